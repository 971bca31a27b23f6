"""The worked examples in prompts: one text file that a person can edit, parsed strictly.

    <!-- comments like this are ignored -->
    ## Introduction: concepts
    free text, shown above the examples of this stage (optional)
    ## Example: short name
    <snippet> … </snippet>           each tag alone on its line, in this order
    <properties> … </properties>     category, language, difficulty, concepts: one `name: value` per line
    <instruction> … </instruction>
    <reasoning> … </reasoning>       optional: how a solution is found
    <response> … </response>         holds a fenced code block
    <explanation> … </explanation>   optional: how the response works
    <tests> … </tests>               holds a fenced code block
    ## Judgement: short name
    <snippet> … </snippet>
    <judgement> … </judgement>       yes or no
    ## Evolution: short name
    <instruction> … </instruction>
    <change> … </change>             what the evolved task does otherwise
    <evolved> … </evolved>           the evolved task
    ## Edit: short name              with <before>, <after>, <subject>, <instruction> and <tests>
    ## Monologue: short name         with <program>, <call>, <value>, <forward> and <backward>

Any other content is refused with file, line and fix, because a section lost silently would spoil every prompt of a
run. A file may lack what a run does not need (judgements, say); only a request for it fails (`pool`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from selfcodealign.errors import FewShotError, did_you_mean
from selfcodealign.files import read_text
from selfcodealign.generation.few_shot_parser import OPTIONAL_TAGS, FoundSection, Lines
from selfcodealign.rows import digest

# The kinds of prompts and the sections of each, in order; a stage chooses its kind.
PROMPT_TAGS = {
    "concepts": ("snippet", "concepts"),
    "instructions": ("properties", "instruction"),
    "instructions-from-seed": ("snippet", "instruction"),
    "responses": ("instruction", "response", "tests"),
    "responses-explained": ("instruction", "reasoning", "response", "explanation", "tests"),
    "judge": ("snippet", "judgement"),
    "evolve": ("instruction", "change", "evolved"),
    "edits": ("before", "after", "subject", "instruction", "tests"),
    "forward": ("program", "call", "forward", "value"),
    "backward": ("program", "value", "backward", "call"),
    "pairs": ("snippet", "instruction", "response", "tests"),
    "pairs-untested": ("snippet", "instruction", "response"),
}
# How many of its sections a kind shows, where that is not the first alone; the model writes the others.
_SHOWN = {"evolve": 2, "edits": 3, "forward": 2, "backward": 2}
# The heading under which a kind of prompt finds its worked examples, where that is not "Example".
HEADINGS = {
    "judge": "Judgement",
    "evolve": "Evolution",
    "edits": "Edit",
    "forward": "Monologue",
    "backward": "Monologue",
}
# The kinds whose texts may be repeated in a data set, and are watched for.
_WATCHED = ("concepts", "instructions", "instructions-from-seed", "responses", "judge")
KNOWN_VALUES = {"category": ("function", "class", "program"), "difficulty": ("easy", "medium", "hard")}
JUDGEMENTS = ("yes", "no")
PROPERTIES = ("category", "language", "difficulty", "concepts")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkedExample:
    """One worked example: a seed snippet, the instruction made from its concepts, and a response with tests.

    `response` and `tests` are Markdown with fenced code; `reasoning` and `explanation` stand around the response in
    prompts that ask for them, and may be empty; `line` is the line of its heading in the file.
    """

    name: str
    snippet: str
    category: str
    language: str
    difficulty: str
    concepts: tuple[str, ...]
    instruction: str
    response: str
    tests: str
    reasoning: str = ""
    explanation: str = ""
    line: int = field(default=0, compare=False)

    def sections(self) -> dict[str, str]:
        """The text of every section by tag, as `prompts.lay_out` takes it."""
        return {
            "snippet": self.snippet,
            "concepts": ", ".join(self.concepts),
            "properties": lay_out_properties(self.category, self.language, self.difficulty, self.concepts),
            "instruction": self.instruction,
            "response": self.response,
            "tests": self.tests,
            **({"reasoning": self.reasoning} if self.reasoning else {}),
            **({"explanation": self.explanation} if self.explanation else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One worked example for the docstring judge: a snippet, and whether its docstring is good ("yes" or "no")."""

    name: str
    snippet: str
    judgement: str

    def sections(self) -> dict[str, str]:
        """The text of every section by tag, as `prompts.lay_out` takes it."""
        return {"snippet": self.snippet, "judgement": self.judgement}


@dataclass(frozen=True, slots=True, kw_only=True)
class FewShotFile:
    """A parsed few-shot file; `introductions` has every kind of `PROMPT_TAGS`, "" where the file has none.

    `others` has the worked examples under further headings of `KIND_TAGS`: text by tag.
    """

    introductions: dict[str, str]
    examples: tuple[WorkedExample, ...]
    judgements: tuple[Judgement, ...]
    others: dict[str, tuple[dict[str, str], ...]] = field(default_factory=dict)
    path: str = field(default="", compare=False)

    def pool(self, stage: str, count: int = 1) -> tuple[dict[str, str], ...]:
        """Return the worked examples of a stage for `prompts.lay_out`: tag → text, only the stage's own tags.

        Raises `FewShotError` if there are fewer than `count`.
        """
        kind = HEADINGS.get(stage, "Example")
        tags = PROMPT_TAGS[stage]
        parts = [part for part in self._parts(kind) if all(tag in part for tag in tags)]
        if len(parts) < count:
            optional = " and ".join(f"<{tag}>" for tag in tags if tag in OPTIONAL_TAGS)
            sections = f'"## {kind}: name" sections' + (f" with {optional}" if optional else "")
            raise FewShotError(
                f'{self.path}: stage "{stage}" needs more examples ({count}) than are here ({len(parts)}); '
                f'add {sections} or lower the stage\'s setting "examples"'
            )
        return tuple({tag: part[tag] for tag in tags} for part in parts)

    def _parts(self, kind: str) -> Sequence[dict[str, str]]:
        if kind == "Example":
            return [one.sections() for one in self.examples]
        return [one.sections() for one in self.judgements] if kind == "Judgement" else self.others.get(kind, ())

    def prompt_digest(self, stage: str) -> str:
        """Digest of the texts in the stage's prompts; other edits, comments and names do not change it."""
        texts = [f"{tag}={text}" for example in self.pool(stage, 0) for tag, text in example.items()]
        return digest(stage, self.introductions[stage], *texts)

    @property
    def digest(self) -> str:
        """Digest of the texts in the prompts that lead from a seed to responses."""
        return digest(*(self.prompt_digest(stage) for stage in _WATCHED))


def split_tags(kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The sections that a kind of prompt shows, and those that the model writes."""
    tags, shown = PROMPT_TAGS[kind], _SHOWN.get(kind, 1)
    return tags[:shown], tags[shown:]


def lay_out_properties(category: str, language: str, difficulty: str, concepts: Sequence[str]) -> str:
    """Write the text of a <properties> section, the same for worked examples and for the open example."""
    values = (category, language, difficulty, ", ".join(concepts))
    return "\n".join(f"{name}: {value}" for name, value in zip(PROPERTIES, values, strict=True))


def packaged_names() -> list[str]:
    """Return the names under which `load_few_shot` finds the few-shot files in the package."""
    folder = files("selfcodealign") / "few_shot"
    return sorted(entry.name.removesuffix(".md") for entry in folder.iterdir() if entry.name.endswith(".md"))


def load_few_shot(name_or_path: str | Path) -> FewShotFile:
    """Load a packaged few-shot file by its bare name, any other file by its path (`./python` for a file named python).

    Raises `FewShotError` that names file and line for everything outside the format in the module's docstring.
    """
    names = packaged_names()
    packaged = Path(str(files("selfcodealign"))) / "few_shot" / f"{name_or_path}.md"
    source = packaged if str(name_or_path) in names else Path(name_or_path)
    if not os.path.exists(source):
        beside = (str(path) for path in Path(name_or_path).parent.glob("*.md"))
        hint = did_you_mean(str(name_or_path), [*names, *beside]) or f"; the packaged ones are {', '.join(names)}"
        raise FewShotError(f"{source}: there is no such few-shot file{hint}")
    return parse_few_shot(read_text(source, error=FewShotError), str(source))


@lru_cache(maxsize=8)
def parse_few_shot(text: str, path: str) -> FewShotFile:
    """Parse the text of a few-shot file; `path` names the file in errors (`FewShotError`)."""
    lines = Lines(path, text)
    introductions = dict.fromkeys(PROMPT_TAGS, "")
    examples: list[WorkedExample] = []
    judgements: list[Judgement] = []
    others: dict[str, list[dict[str, str]]] = {}
    taken: set[tuple[str, str]] = set()
    while lines.skip_blank():
        line, kind, name = lines.take_heading(tuple(PROMPT_TAGS))
        if (kind, name) in taken:
            raise lines.error(line, f'there are two "## {kind}: {name}"; rename or remove one')
        taken.add((kind, name))
        if kind == "Introduction":
            introductions[name] = lines.take_introduction()
        elif kind == "Example":
            examples.append(_read_example(lines, line, name, lines.take_sections(line, kind, name)))
        elif kind == "Judgement":
            judgements.append(_read_judgement(lines, name, lines.take_sections(line, kind, name)))
        else:
            sections = lines.take_sections(line, kind, name)
            others.setdefault(kind, []).append({tag: text.strip("\n") for tag, (_, text) in sections.items()})
    if not examples and not judgements and not others:
        raise lines.error(1, 'there is no worked example; add at least one "## Example: name"')
    return FewShotFile(
        introductions=introductions,
        examples=tuple(examples),
        judgements=tuple(judgements),
        others={kind: tuple(parts) for kind, parts in others.items()},
        path=path,
    )


def _read_example(lines: Lines, line: int, name: str, sections: dict[str, FoundSection]) -> WorkedExample:
    properties = _read_properties(lines, *sections["properties"])
    if properties["language"].lower() == "python":
        lines.check_python(*sections["snippet"])
    for tag in ("response", "tests"):
        opened, text = sections[tag]
        lines.check_fenced(opened, tag, text, properties["language"])
    return WorkedExample(
        name=name,
        snippet=sections["snippet"][1].strip("\n"),
        category=properties["category"],
        language=properties["language"],
        difficulty=properties["difficulty"],
        concepts=tuple(concept.strip() for concept in properties["concepts"].split(",") if concept.strip()),
        instruction=sections["instruction"][1].strip("\n"),
        response=sections["response"][1].strip("\n"),
        tests=sections["tests"][1].strip("\n"),
        **{tag: sections[tag][1].strip("\n") for tag in OPTIONAL_TAGS if tag in sections},
        line=line,
    )


def _read_judgement(lines: Lines, name: str, sections: dict[str, FoundSection]) -> Judgement:
    opened, text = sections["judgement"]
    lines.check_choice(opened + 1, text.strip(), "judgement", JUDGEMENTS)
    return Judgement(name=name, snippet=sections["snippet"][1].strip("\n"), judgement=text.strip())


def _read_properties(lines: Lines, opened: int, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line, entry in enumerate(text.split("\n"), opened + 1):
        if not entry.strip():
            continue
        name, colon, value = (part.strip() for part in entry.partition(":"))
        if not colon or not value.strip(", "):
            raise lines.error(line, f'"{entry[:40]}" is no property; write "name: value"')
        lines.check_choice(line, name, "property", PROPERTIES)
        if name in found:
            raise lines.error(line, f'property "{name}" is there twice; remove one')
        if name in KNOWN_VALUES:
            lines.check_choice(line, value, name, KNOWN_VALUES[name])
        found[name] = value
    for name in PROPERTIES:
        if name not in found:
            raise lines.error(opened, f'<properties> has no "{name}"; add a line "{name}: …"')
    return found
