"""All families of the world, with their weights in the corpus."""

from __future__ import annotations

from tiny.lists import make_list_task
from tiny.small import make_scalar_task, make_text_task
from tiny.structures import make_failure_task, make_mapping_task, make_range_task, make_set_task
from tiny.tasks import Generator
from tiny.texts import make_class_task, make_format_task, make_pattern_task

GENERATORS: tuple[tuple[Generator, float], ...] = (
    (make_list_task, 8.0),
    (make_scalar_task, 1.3),
    (make_text_task, 1.3),
    (make_range_task, 1.0),
    (make_mapping_task, 0.8),
    (make_failure_task, 1.2),
    (make_pattern_task, 0.9),
    (make_set_task, 0.5),
    (make_format_task, 0.9),
    (make_class_task, 0.5),
)
