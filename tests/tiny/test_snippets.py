"""Concepts are labelled in the syntax tree, and functions are held out of the corpus by their text."""

from __future__ import annotations

import random

from tiny.labels import ALL_LABELS, label_code
from tiny.snippets import cut, draw_concepts, is_held_out, read_text, weigh

CODE = '''def read_ports(text, default=80):
    """Numbers of a list of ports."""
    ports = []
    for part in text.split(","):
        try:
            ports.append(int(part))
        except ValueError:
            ports.append(default)
    return ports or None
'''


def test_labels_name_what_shows_and_where() -> None:
    """Each concept comes with the line of its first appearance."""
    assert label_code(CODE) == {
        "default arguments": 1,
        "list literal": 3,
        "for loop": 4,
        "string splitting": 4,
        "exception handling": 5,
        "integer conversion": 6,
        "list appending": 6,
        "boolean logic": 9,
    }


def test_labels_tell_like_things_apart() -> None:
    """Formatting with % is no modulo, `is None` no comparison, a method of another object no recursion."""
    assert "modulo" not in label_code("def f(x):\n    return '%d' % x")
    assert "string formatting" in label_code("def f(x):\n    return '%d' % x")
    assert "modulo" in label_code("def f(x):\n    return x % 2")
    assert set(label_code("def f(x):\n    return x is None")) == {"none check"}
    assert "recursion" in label_code("def f(x):\n    return f(x - 1)")
    assert "recursion" not in label_code("def f(x):\n    return x.f()")


def test_all_labels_is_complete() -> None:
    """No function of a few standard modules has a label that is not in the list."""
    import argparse
    import inspect
    import textwrap

    seen: set[str] = set()
    for module in (argparse, inspect, textwrap):
        seen |= set(label_code(inspect.getsource(module)))
    assert len(seen) > 40
    assert seen <= set(ALL_LABELS)


def test_cut_keeps_whole_lines() -> None:
    """The limits on lines and characters hold, but at least one line is kept."""
    assert cut(CODE, 2, 1000).count("\n") == 1
    assert cut(CODE, 50, 75) == "\n".join(CODE.split("\n")[:2])
    assert cut(CODE, 5, 3) == CODE.split("\n")[0]


def test_concepts_are_drawn_from_visible_lines_in_order() -> None:
    """Nothing below the cut is named."""
    labels = label_code(CODE)
    shown = cut(CODE, 4, 1000)
    for seed in range(20):
        drawn = draw_concepts(shown, labels, random.Random(seed), {})
        assert drawn == [label for label in labels if label in drawn]
        assert {labels[label] for label in drawn} <= {1, 3, 4}


def test_a_seed_is_read_with_its_imports_and_without_its_docstring() -> None:
    """Both versions of a documented function are held out together; the used imports come first."""
    source = "import re\nimport os\n\n" + CODE.replace("int(part)", "re.sub('a', 'b', part)")
    versions = read_text(source)
    assert [version.documented for version in versions] == [True, False]
    assert versions[0].text.startswith("import re\n\ndef read_ports")
    assert "Numbers of" not in versions[1].text
    assert {version.held_out for version in versions} == {is_held_out(source.partition("\n\n")[2])}
    assert set(weigh(versions)) == set(versions[0].labels) | set(versions[1].labels)
