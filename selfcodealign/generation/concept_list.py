"""Read a list of concepts, and tell concepts from code, sentences and copies of the prompt's own lists."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

#: Longer "concepts", in characters or words, are sentences: the model has left the format.
LONGEST_CONCEPT, MOST_WORDS = 80, 8
#: So many concepts in the order of a worked example's list, or a whole answer of at least so many out of the lists that
#: the prompt shows, are copied. One or two in common are chance: good lists share words such as "recursion".
LEAST_COPIED = 3
#: Letters of a word that have to stand in the seed for a copied concept to be true of it: "sorting" for `sorted`.
_STEM = 4
_SENTENCE = re.compile(
    r"(?:this|it|we|you|i|the|a|an|there|here|write|return|returns)\s+\S+\s+\S+\s+\S+", re.IGNORECASE
)
_CODE = re.compile(
    r"</?[a-z]+>|[{}]|->|[-+*/=!<>]=|\w\s*=\s*[\w\"'(\[]|>>>|\bself\.\w|^#|^@\w|\($"  # markup, operators, sessions
    r"|^(?:def|class|return|import|from|assert|print|async def)\b.*[(:.]|^from\s+\S+\s+import\b"
    # "import hooks" is a concept, "import random" is none
    rf"|^import\s+(?:\w+\s+as\s|(?:{'|'.join(sorted(sys.stdlib_module_names))}|numpy|pandas)$)"
    r"|^(?:if|for|while|with|elif|else|try|except)\b.*:$"
    r"|^(?!O\()[\w.]+\([^)]*\w[^)]*\)$|^[\w.]+\[.*\]$"  # calls with arguments, but for O(n)
)


@dataclass(frozen=True, slots=True)
class ConceptList:
    """The concepts of an answer, and how many parts of it were removed: "code", "sentence", "copied"."""

    concepts: list[str]
    removed: Counter[str] = field(default_factory=Counter)


def read_concepts(text: str, most: int, *, code: str = "", shown: Sequence[str] = ()) -> ConceptList:
    """Read a list of concepts: commas or lines, up to an empty line; bullets and repetitions removed.

    `shown` are the lists of the worked examples in the prompt: concepts copied from them are removed, but for those
    whose words stand in `code`.

    >>> read_concepts("recursion, Recursion, - string slicing.\\n\\nWrite a function", most=12).concepts
    ['recursion', 'string slicing']
    >>> read_concepts("x = 1, sorting", most=12).removed
    Counter({'code': 1})
    """
    removed: Counter[str] = Counter()
    found: dict[str, str] = {}
    for concept in _parts(re.split(r"\n[ \t]*\n", text.strip())[0]):
        if _CODE.search(concept):
            removed["code"] += 1
        elif len(concept) > LONGEST_CONCEPT or len(concept.split()) > MOST_WORDS or _SENTENCE.match(concept):
            removed["sentence"] += 1
        else:
            found.setdefault(concept.casefold(), concept)
    copied = _find_copied(list(found), [[one.casefold() for one in _parts(text)] for text in shown])
    known = code.casefold()
    for concept in copied:
        if not any(word[:_STEM] in known for word in re.findall(rf"\w{{{_STEM},}}", concept)):
            del found[concept]
            removed["copied"] += 1
    return ConceptList(list(found.values())[:most], removed)


def _parts(text: str) -> Iterable[str]:
    for part in re.split(r"[,;\n]", text):
        if concept := re.sub(r"^(?:[-*•]|\d+[.)])\s*", "", part.strip()).strip(" .`\"'"):
            yield concept


def _find_copied(found: Sequence[str], lists: Sequence[Sequence[str]]) -> set[str]:
    everywhere = {concept for one in lists for concept in one}
    if len(found) >= LEAST_COPIED and everywhere.issuperset(found):
        return set(found)
    rows = {tuple(one[place : place + LEAST_COPIED]) for one in lists for place in range(len(one) - LEAST_COPIED + 1)}
    windows = (tuple(found[place : place + LEAST_COPIED]) for place in range(len(found) - LEAST_COPIED + 1))
    return {concept for window in windows if window in rows for concept in window}
