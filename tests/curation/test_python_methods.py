"""Methods as seeds: a class cut down to one method."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

from selfcodealign.curation.functions import extract_seeds
from selfcodealign.rows import Dropped, Seed, SourceFile
from selfcodealign.settings import SeedSettings

SHELF = '''
    import math
    from dataclasses import dataclass, field

    STEP = 2


    @dataclass
    class Box:
        """A box of things."""

        width: float
        things: list = field(default_factory=list)

        def area(self, scale):
            """Return the scaled area of the box."""
            return STEP * self.width * scale


    class Shelf:
        """Boxes side by side.

        A long text about shelves,
        which says a great deal
        about boxes
        and their
        places.
        """

        kind = "wood"
        colour = "red"

        def __init__(self, boxes):
            self._boxes = boxes
            self._size = len(boxes)

        def __len__(self):
            return self._size

        @property
        def name(self):
            return self.kind

        @name.setter
        def name(self, name):
            self.kind = name

        def label(self, mark):
            """Return the name with a mark."""
            return mark + self.name

        def widest(self, least=STEP):
            """Return the widest box."""
            # the first of them
            return max(self._boxes, key=lambda box: math.ceil(box.width)) if len(self) > least else None

        @staticmethod
        def join(one):
            """Return it as a list."""
            return [one]

        def bare(self):
            """Return a constant value."""
            return 1
'''


def methods(text: str, **chosen: Any) -> dict[str, Seed | Dropped]:
    file = SourceFile(id="0f", path="a.py", text=dedent(text), origin="here", licence="MIT")
    rows = extract_seeds(file, SeedSettings.model_validate({"methods": True} | chosen))
    return {str(row.row.get("function")) if isinstance(row, Dropped) else row.function: row for row in rows}


def code_of(row: Seed | Dropped) -> str:
    assert isinstance(row, Seed), row
    compile(row.seed, "a.py", "exec", dont_inherit=True)
    return row.seed


def test_a_method_comes_with_what_it_uses_of_its_class():
    """The header, the attributes and methods that it uses, `__init__` for what that sets; and nothing else."""
    found = methods(SHELF)
    assert code_of(found["Shelf.label"]) == dedent(
        '''\
        class Shelf:
            kind = "wood"

            @property
            def name(self):
                return self.kind

            @name.setter
            def name(self, name):
                self.kind = name

            def label(self, mark):
                """Return the name with a mark."""
                return mark + self.name'''
    )
    assert code_of(found["Shelf.widest"]) == dedent(
        '''\
        import math


        STEP = 2


        class Shelf:
            def __init__(self, boxes):
                self._boxes = boxes
                self._size = len(boxes)

            def __len__(self):
                return self._size

            def widest(self, least=STEP):
                """Return the widest box."""
                # the first of them
                return max(self._boxes, key=lambda box: math.ceil(box.width)) if len(self) > least else None'''
    )
    widest = found["Shelf.widest"]
    assert isinstance(widest, Seed)
    assert (widest.carried, widest.carried_start, widest.carried_lines) == (["STEP"], 4, 1)


def test_a_class_that_is_made_by_its_variables_keeps_them_all():
    """A data class without a field would be another class; a short docstring is kept."""
    code = code_of(methods(SHELF)["Box.area"])
    assert "width: float\n        things" in code.replace("    things", "        things", 1)
    assert '"""A box of things."""' in code


def test_self_is_no_argument():
    """A method needs an argument besides `self`; all of a static method's count. Nothing is taken unasked."""
    found = methods(SHELF)
    assert getattr(found["Shelf.bare"], "reason", "") == "too_few_arguments"
    assert code_of(found["Shelf.join"]).startswith("class Shelf:\n    @staticmethod\n    def join(one):")
    assert [row.reason for row in methods(SHELF, methods=False).values() if isinstance(row, Dropped)] == [
        "no_functions"
    ]


def test_bases_are_carried_within_the_bounds():
    """A base class of the same file comes with the method; too much of the class itself is a drop."""
    text = '''
        class Base:
            def low(self):
                return 1


        class Top(Base):
            def high(self, x):
                """Return more than the base."""
                return self.low() + x
    '''
    seed = methods(text)["Top.high"]
    assert code_of(seed).startswith(
        "class Base:\n    def low(self):\n        return 1\n\n\nclass Top(Base):\n    def high"
    )
    assert isinstance(seed, Seed)
    assert seed.carried == ["Base"]
    dropped = methods(SHELF, closure_lines=5)["Shelf.label"]
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "closure_too_large"
