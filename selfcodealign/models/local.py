"""A local checkpoint as a model: transformers on a CPU or a GPU, with continuous batching.

Any number of tasks may call `complete`. One thread owns the model and runs the decode loop (`decoding.Decoder`): a call
enters the batch when a slot is free and leaves it when its completion ends.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from importlib.util import find_spec
from typing import TYPE_CHECKING, Self

from selfcodealign.errors import MissingExtra, ModelError
from selfcodealign.models import Completion, PromptTooLong, Sampling, UnderWay

if TYPE_CHECKING:
    from selfcodealign.models.checkpoints import Checkpoint
    from selfcodealign.models.decoding import Decoder
    from selfcodealign.settings import ModelSettings

_Request = tuple[str, Sampling, int, "Future[Completion]"]


class LocalModel:
    """A checkpoint in this process: `settings.name` is "embedded", a folder or a hub name.

    A row's random numbers depend on its seed alone. In float32 its text therefore hardly depends on the other rows of
    the batch (rounding can still tip a draw that falls between two tokens); in 16 bits it does.
    """

    def __init__(self, settings: ModelSettings) -> None:
        for package in ("torch", "transformers"):
            if find_spec(package) is None:
                raise MissingExtra(f"a local model ({package})", "local")
        #: More than the slots, so that a freed slot never waits for the next call.
        self.concurrency = settings.batch_size + max(1, settings.batch_size // 4)
        self._settings = settings
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._identity: dict[str, str] = {}
        self._failure: ModelError | None = None
        self._closing = threading.Event()
        self._engine: _Engine | None = None

    async def __aenter__(self) -> Self:
        # Idle OpenMP threads must not spin: they would starve the sandbox.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="local-model", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(ready)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closing.set()
        self._requests.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def identity(self) -> dict[str, str]:
        """Return name, revision (hub commit or digest of the folder), engine and version, device, dtype, sampler."""
        return dict(self._identity)

    def under_way(self) -> UnderWay:
        return self._engine.under_way if self._engine is not None else UnderWay()

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        """Continue `prompt` in the batch. Raises `PromptTooLong`, or `ModelError` if the engine has died."""
        assert self._thread is not None, "enter the model with `async with` first"
        answer: Future[Completion] = Future()
        self._requests.put((prompt, sampling, seed, answer))
        if self._failure is not None:
            raise self._failure
        return await asyncio.wrap_future(answer)

    def _run(self, ready: Future[None]) -> None:
        """Body of the engine thread: load, then decode until told to stop."""
        try:
            engine = self._engine = _Engine(self._settings, self._closing.is_set)
        except BaseException as error:  # re-raised in `__aenter__`
            ready.set_exception(error)
            return
        self._identity = engine.identity()
        ready.set_result(None)
        try:
            engine.serve(self._requests)
            self._failure = ModelError("the local model has been closed")
        except Exception as error:
            self._failure = _explain_death(error)
            engine.fail(self._failure)
        finally:
            while not self._requests.empty():
                request = self._requests.get()
                if request is not None:
                    _answer(request[3], self._failure or ModelError("the local model has died"))


class _Engine:
    """The state of the engine thread: checkpoint and decoder."""

    def __init__(self, settings: ModelSettings, stopping: Callable[[], bool]) -> None:
        import torch

        from selfcodealign.models.checkpoints import load_checkpoint
        from selfcodealign.models.decoding import Decoder
        from selfcodealign.models.hardware import choose_memory, choose_threads
        from selfcodealign.models.stop_strings import Detokenizer

        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(settings.threads or 1)
        self._checkpoint = load_checkpoint(settings.name, settings.revision, settings.device, settings.dtype)
        tokenizer, model = self._checkpoint.tokenizer, self._checkpoint.model

        def decode(ids: list[int]) -> str:
            return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

        memory = choose_memory(settings.cache_gib, self._checkpoint.device)
        self._decoder: Decoder = Decoder(
            model, Detokenizer(decode), self._checkpoint.eos_ids, settings.batch_size, memory, stopping
        )
        #: What the decoder is working on, told before and after each step; other threads read it.
        self.under_way = UnderWay()
        if self._checkpoint.device == "cpu":
            torch.set_num_threads(settings.threads or choose_threads(model))

    def identity(self) -> dict[str, str]:
        import torch
        import transformers

        checkpoint: Checkpoint = self._checkpoint
        return {
            "name": checkpoint.name,
            "revision": checkpoint.revision,
            "engine": "transformers",
            "engine_version": f"{transformers.__version__} (torch {torch.__version__})",
            "sampler": "temperature and top_p alone; inverse transform, one uniform number per row and token",
            "device": checkpoint.device,
            "dtype": checkpoint.dtype,
            "context": str(checkpoint.context),
        }

    def serve(self, requests: queue.SimpleQueue[_Request | None]) -> None:
        """Decode until a None arrives; unfinished calls then fail."""
        import torch

        from selfcodealign.models.slot_layer import Stopped

        decoder = self._decoder
        try:
            while True:
                while not requests.empty() or not (decoder.active or decoder.waiting):
                    request = requests.get()
                    if request is None:
                        self.fail(ModelError("the local model was closed before it answered"))
                        return
                    self._submit(*request)
                decoder.discard(lambda row: row.tag.cancelled())
                self.under_way = decoder.under_way()
                ended = decoder.step()
                self.under_way = decoder.under_way()  # first: who is answered counts the tokens of the answer
                for row, completion in ended:
                    _answer(row.tag, completion)
        except Stopped:
            self.fail(ModelError("the local model was closed before it answered"))
        finally:
            torch.set_num_threads(self._threads_before)

    def fail(self, error: ModelError) -> None:
        """Answer all waiting and active calls with `error`."""
        for row in (*self._decoder.waiting, *self._decoder.active):
            _answer(row.tag, error)

    def _submit(self, prompt: str, sampling: Sampling, seed: int, answer: Future[Completion]) -> None:
        from selfcodealign.models.decoding import BatchRow

        ids: list[int] = self._checkpoint.tokenizer(prompt)["input_ids"]
        room = self._checkpoint.context - len(ids)
        if room < 1:
            message = f"the prompt has {len(ids)} tokens, the model's context {self._checkpoint.context}"
            _answer(answer, PromptTooLong(message))
        elif not ids:
            _answer(answer, ModelError("an empty prompt cannot be continued: the tokenizer adds no first token"))
        else:
            self._decoder.submit(BatchRow(ids, sampling, min(sampling.max_tokens, room), seed, tag=answer))


def _answer(waiting: Future[Completion], result: Completion | Exception) -> None:
    """Answer a call unless it is cancelled."""
    if not waiting.set_running_or_notify_cancel():
        return
    if isinstance(result, Completion):
        waiting.set_result(result)
    else:
        waiting.set_exception(result)


def _explain_death(error: Exception) -> ModelError:
    kind = type(error).__name__
    if kind == "OutOfMemoryError" or "not enough memory" in str(error):
        return ModelError("the model ran out of memory while decoding; lower model.cache_gib or model.batch_size")
    if isinstance(error, NotImplementedError):
        return ModelError(
            f'the model uses {error} in its attention, which needs another engine; set model.serve = "vllm"'
        )
    death = ModelError(f"the local model died: {kind}: {' '.join(str(error).split())[:240]}")
    death.__cause__ = error
    return death
