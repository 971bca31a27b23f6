"""What a server tells about its queue: the gauges at `/metrics`, in Prometheus' text format.

vLLM        vllm:num_requests_running     vllm:num_requests_waiting
SGLang      sglang:num_running_reqs       sglang:num_queue_reqs         (with --enable-metrics)
llama.cpp   llamacpp:requests_processing  llamacpp:requests_deferred    (with --metrics)
TGI         tgi_batch_current_size        tgi_queue_size
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: The gauges of an engine: requests that it works on, requests that wait.
_NAMES = (
    ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    ("sglang:num_running_reqs", "sglang:num_queue_reqs"),
    ("llamacpp:requests_processing", "llamacpp:requests_deferred"),
    ("tgi_batch_current_size", "tgi_queue_size"),
)
_ANY_NAME = "|".join(re.escape(name) for pair in _NAMES for name in pair)
_SAMPLE = re.compile(rf"^({_ANY_NAME})(?:\{{(.*)\}})?[ \t]+([0-9.eE+]+)", re.MULTILINE)
#: Labels of series that repeat the sum: the ranks of one engine work on the same requests, and requests of one priority
#: are part of all.
_REPEATED = re.compile(r'\b(?:tp_rank|pp_rank|moe_ep_rank|priority)="(?!0?")')


@dataclass(frozen=True, slots=True)
class Queue:
    """The requests that a server works on, and those that wait there."""

    running: float
    waiting: float


def read_queue(text: str) -> Queue | None:
    """Return what an engine says about its requests, summed over its replicas; None where it says nothing.

    >>> read_queue('vllm:num_requests_running{engine="0"} 16.0\\nvllm:num_requests_waiting{engine="0"} 3.0')
    Queue(running=16.0, waiting=3.0)
    """
    found: dict[str, list[tuple[str, float]]] = {}
    for name, labels, value in _SAMPLE.findall(text):
        try:
            found.setdefault(name, []).append((labels, float(value)))
        except ValueError:
            continue
    for running, waiting in _NAMES:
        if running in found and waiting in found:
            return Queue(_sum(found[running]), _sum(found[waiting]))
    return None


def _sum(series: list[tuple[str, float]]) -> float:
    once = [value for labels, value in series if not _REPEATED.search(labels)]
    return sum(once or [value for _, value in series])
