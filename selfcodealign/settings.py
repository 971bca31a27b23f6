"""Every setting of a run, section by section: its default, its bounds, and what it does."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from selfcodealign.baseline_settings import (
    EditSettings,
    EvolveSettings,
    EvolveVerifiedSettings,
    ImportedSettings,
    MonologueSettings,
    NovelSettings,
    PairSettings,
    PrequerySettings,
    ScoreCurationSettings,
    SelfInstructSettings,
    VerifySettings,
)
from selfcodealign.sections import AskingSection, Section, derived, free, later, renamed
from selfcodealign.training_settings import DpoSettings, GrpoSettings, TrainSettings

#: Licences (SPDX) that ask for no more than a notice. LicenseRef-BSD: a package that does not say how many clauses.
_LISTED: str = """
    0BSD AFL-3.0 Apache-2.0 BlueOak-1.0.0 BSD-2-Clause BSD-3-Clause BSD-3-Clause-Clear BSD-4-Clause BSL-1.0 CC0-1.0
    CNRI-Python HPND ISC LicenseRef-BSD MIT MIT-0 MIT-CMU NCSA PostgreSQL PSF-2.0 Python-2.0 Python-2.0.1 Unlicense
    UPL-1.0 WTFPL X11 Zlib ZPL-2.1
"""
PERMISSIVE: list[str] = _LISTED.split()
#: Filters of commits that `seeds.commits_skip` may name, in the order in which they are applied.
CommitFilter = Literal[
    "long_before",
    "issue_reference",
    "names_file",
    "short_subject",
    "long_subject",
    "not_capitalised",
    "too_few_tokens",
    "too_many_tokens",
    "not_imperative",
    "trivial_subject",
    "automatic_message",
    "version_number",
    "hash",
    "cherry_picked",
    "version_bump",
    "first_person",
    "thanks",
    "code_review",
    "joke",
    "tracker",
    "unfinished",
    "link",
    "exercise",
]
#: Fewest and most lines of a window where a recipe sets no number, by `seeds.lines_per`.
LINE_BOUNDS = {"document": (1, 15), "chunk": (5, 30)}
#: What a program that is checked offline, alone and without a screen cannot use or should not learn. An entry stands
#: for everything below it: `os.system` for this function only, `http` for all of the package.
_MODULES: str = """
    subprocess pty os.system os.popen os.startfile os.fork os.forkpty os.kill os.killpg os.abort os._exit
    os.execl os.execle os.execlp os.execlpe os.execv os.execve os.execvp os.execvpe
    os.spawnl os.spawnle os.spawnlp os.spawnlpe os.spawnv os.spawnve os.spawnvp os.spawnvpe
    os.setuid os.setgid os.chroot os.mount
    ctypes winreg _winreg msvcrt _winapi win32api win32con win32gui pythoncom win32com pywintypes
    socket ssl socketserver http ftplib smtplib smtpd poplib imaplib nntplib telnetlib xmlrpc urllib.request
    urllib2 httplib xmlrpclib SocketServer
    requests httpx aiohttp urllib3 paramiko boto boto3 botocore websocket websockets selenium scrapy telnetlib3
    tkinter Tkinter turtle curses matplotlib pylab seaborn plotly bokeh pygame PyQt4 PyQt5 PyQt6 PySide PySide2 PySide6
    wx gtk gi kivy
    argparse optparse getopt sys.argv sys.exit
    setuptools distutils pip pkg_resources
"""
BAD_IMPORTS: list[str] = _MODULES.split()
#: The parts that an answer may have, in their order, and those that every answer has.
ANSWER_PARTS = ("reasoning", "response", "explanation", "tests")
PLAIN_PARTS = ("response", "tests")
#: Most tokens of an answer where a recipe sets no number.
MOST_TOKENS = {"concepts": 256, "instructions": 768, "responses": 1536, "pairs": 2304}


class ModelSettings(Section):
    """The base model, and where it runs."""

    name: str = Field("embedded", description='"embedded", a local folder, a hub name, or the name a server uses')
    revision: str | None = Field(None, description="hub revision; a commit hash makes a run repeatable")
    urls: list[str] = free([], description="OpenAI-compatible servers that hold this model; several share the load")
    api: Literal["completions", "chat"] = later(
        "completions",
        description="servers: completions: they continue the prompt; chat: the prompt is a message, for servers that "
        "have /v1/chat/completions alone",
    )
    serve: Literal["vllm"] | None = free(None, description="start a server for the model and stop it after the run")
    serve_args: list[str] = free([], description="extra arguments for the server that `serve` starts")
    replicas: int | None = free(
        None,
        ge=1,
        description="servers that `serve` starts; default: as many as the visible GPUs have room for, at least 1",
    )
    api_key_env: str = free("OPENAI_API_KEY", description="environment variable that holds the API key")
    device: str = free("auto", description="local models: auto, cpu, cuda or cuda:N")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = free(
        "auto",
        description="precision; auto: the checkpoint's own on a GPU; on a CPU float32, or bfloat16 if much faster",
    )
    batch_size: int = free(64, ge=1, description="local models: rows decoded in one batch")
    cache_gib: float | None = free(
        None,
        gt=0,
        description="local models: memory for keys and values, in GiB; default: 1.5, on a GPU 0.8 of what is free",
    )
    threads: int | None = free(
        None, ge=1, description="local models on a CPU: threads; default: 1 for small models, else the fastest number"
    )
    concurrency: int = free(256, ge=1, description="servers: most requests in flight; few at first")
    request_seconds: float = free(600.0, gt=0, description="servers: longest silence of a server")
    retry_seconds: float = free(300.0, ge=0, description="servers: how long to retry before the run stops")
    requests_per_minute: float | None = free(None, gt=0, description="servers: most requests a minute, in all")
    tokens_per_minute: float | None = free(
        None, gt=0, description="servers: most tokens a minute, prompts and answers, in all"
    )
    seeds: bool = free(
        True, description="servers: send a seed with each request: repeatable texts, slower sampling on vLLM"
    )
    group: int = free(
        16, ge=1, description="servers: most texts in one request, where the server takes several; 1: one by one"
    )
    failed_share: float = free(
        0.05, ge=0.0, le=1.0, description="servers: share of the last 200 requests above which failed ones stop the run"
    )

    @field_validator("api_key_env")
    @classmethod
    def _name_a_variable(cls, name: str) -> str:
        """A key in this place would be stored in recipe.toml; the message does not repeat it."""
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError("this is no name of an environment variable; put the key in one, and its name here")
        return name


class SeedSettings(Section):
    """The sources of seeds, and the functions that qualify as seeds."""

    sources: list[str] = Field(
        default=["stdlib"],
        min_length=1,
        description='"stdlib", "package:NAME", "git:PATH" or "git:PATH@REVISION", "hub:NAME", or a path: .py, .ipynb, '
        "folder, archive (.tar.gz, .zip, .whl and others), .jsonl (also .gz, .zst), .parquet, or a folder that "
        "`datasets` saved",
    )
    code_column: str | None = derived(
        "content",
        description="data sets: the column that holds the code; default: that of the published data sets, else content",
    )
    path_column: str | None = Field(
        None, description="the column that holds the file's path; default: that of the published data sets"
    )
    licence_column: str | None = Field(
        None, description="the column that holds the file's licence or a list; default: that of the published data sets"
    )
    repository_column: str | None = Field(
        None, description="the column that names the file's repository; default: that of the published data sets"
    )
    split: str = Field("train", description="data sets of the hub or saved by `datasets`: the split to read")
    blob_url: str | None = free(
        None,
        description="where the texts of The Stack v2 are fetched, for example "
        "https://softwareheritage.s3.amazonaws.com/content/{blob_id}; its terms ask for an agreement first",
    )
    skip: list[Literal["generated", "vendored", "tests"]] = Field(
        default=["generated", "vendored", "tests"], description="kinds of files that are dropped and counted"
    )
    licence: str | None = Field(None, description="SPDX expression for files that state no licence")
    licences: list[str] = Field(
        default=list(PERMISSIVE),
        description='SPDX licences whose code is taken; ["any"]: all code, unknown licences too',
    )
    own_code: list[str] = Field(default=[], description="sources whose code is yours: taken whatever their licence is")
    kind: Literal["functions", "lines", "commits"] = Field(
        "functions",
        description="functions: documented functions that stand alone; lines: random windows of files; commits: "
        "changes of one file with their messages",
    )
    closure: bool = Field(True, description="carry the definitions of its own file that a function needs")
    closure_lines: int = Field(120, ge=1, description="most lines that a function carries")
    closure_depth: int = Field(5, ge=1, description="most steps from a function to a definition that it carries")
    methods: bool = Field(False, description="methods, too, each with its class header and the attributes it uses")
    max_lines: int = Field(150, ge=2, description="most lines of a function")
    min_arguments: int = Field(1, ge=0, description="fewest arguments of a function")
    max_file_kib: int = Field(1024, ge=1, description="drop larger files without reading them")
    lines_per: Literal["document", "chunk"] = Field(
        "document", description="lines: one window of each document, or of each chunk of 100 lines"
    )
    lines_min: int | None = Field(
        None, ge=1, description="lines: fewest lines of a window; default: 1 per document, 5 per chunk"
    )
    lines_max: int | None = Field(
        None, ge=1, description="lines: most lines of a window; default: 15 per document, 30 per chunk"
    )
    lines_tidy: bool | None = Field(
        None,
        description="lines: only documents of 10 to 5,000 lines of at most 80 characters on average; windows without "
        "common indentation, tabs and runs of empty lines, none of symbols alone; default: only per chunk",
    )
    lines_standard_library: bool = Field(
        False, description="lines: only documents that import nothing but the standard library"
    )
    commits_endings: list[str] = Field(
        default=[".py"], min_length=1, description="commits: how the names of the changed files end"
    )
    commits_skip: list[CommitFilter] = Field(default=[], description="commits: filters that are not applied")
    commits_min_tokens: int = Field(50, ge=0, description="commits: fewest tokens of the code before and after")
    commits_max_tokens: int = Field(768, ge=1, description="commits: most tokens of the code before and after")
    commits_tokenizer: str | None = Field(
        None, description="commits: a tokenizer.json, or a folder with one; default: a token is 3.5 characters"
    )
    limit: int | None = Field(None, ge=1, description="most seeds, drawn uniformly by id")

    @property
    def line_bounds(self) -> tuple[int, int]:
        """The fewest and the most lines of a window."""
        fewest, most = LINE_BOUNDS[self.lines_per]
        return self.lines_min or fewest, self.lines_max or most

    @property
    def tidy_lines(self) -> bool:
        """Whether documents and windows of lines are tidied."""
        return self.lines_per == "chunk" if self.lines_tidy is None else self.lines_tidy

    @model_validator(mode="after")
    def _order_bounds(self) -> SeedSettings:
        fewest, most = self.line_bounds
        if fewest > most:
            raise ValueError(f"seeds.lines_min is {fewest} and seeds.lines_max is {most}: set both")
        if self.commits_min_tokens > self.commits_max_tokens:
            raise ValueError("seeds.commits_min_tokens is more than seeds.commits_max_tokens: set both")
        return self


class NearDedupSettings(Section):
    """Drop seeds that are near-duplicates of others (MinHash over word n-grams)."""

    enabled: bool = Field(True, description="false: keep near-duplicates; copies are still dropped")
    jaccard: float = Field(0.5, gt=0.0, le=1.0, description="Jaccard similarity from which a seed is dropped")
    permutations: int = Field(250, ge=16, description="MinHash permutations by which similar pairs are found")
    ngram: int = Field(5, ge=1, description="words per n-gram")
    against: list[str] = later(
        [],
        description="earlier runs (folders) and data sets (.jsonl, .jsonl.gz, .parquet): drop copies and near copies "
        "of their rows, too",
    )
    against_column: str = later("seed", description="the column of those files that holds the code")


class QualitySettings(Section):
    """Drop seeds by rules on their code and docstring."""

    secrets: bool = Field(True, description="drop seeds that hold credentials (detect-secrets)")
    personal_data: bool = Field(True, description="drop seeds with e-mail or public IP addresses")
    bad_imports: list[str] = Field(
        default=list(BAD_IMPORTS),
        description="modules, or attributes of them, that no seed may use; an entry stands for all below it; []: none",
    )
    bad_words: list[str] = Field(
        default=["todo", "fixme", "xxx"],
        description="words that no comment or docstring may hold, in any case; []: none",
    )
    placeholders: bool = Field(True, description="drop functions that do nothing or return a constant")
    wrappers: bool = Field(False, description="drop functions that only pass their arguments on")
    stub_docstrings: bool = Field(
        True, description="drop docstrings with no word but headings, types and arguments, or that an editor wrote"
    )
    repeating_docstrings: bool = Field(False, description="drop docstrings with no word but those of the name")
    docstring_languages: list[str] = Field(
        default=["en"], description="languages of docstrings (ISO 639); those too short to tell are kept; []: any"
    )
    max_data: float = Field(
        0.8, ge=0.0, le=1.0, description="largest share of tables of literals in the code without docstrings; 1: any"
    )


class TypeSettings(Section):
    """Drop seeds with undefined names or type errors, found without running anything."""

    checker: Literal["pyrefly", "pyright", "none"] = Field(
        "pyrefly", description="type checker; pyright: as published, slower, a program to install; none: no types"
    )
    undefined_names: bool = Field(True, description="drop seeds with undefined names (ruff)")
    possibly_unbound: bool = Field(
        False, description="drop seeds with a variable that some path leaves unset, which is seldom an error"
    )


class DecontaminationSettings(Section):
    """Drop seeds, and later rows, that hold a task of a benchmark."""

    benchmarks: list[str] = Field(
        default=["available"],
        description='benchmarks: names, files (.jsonl, .jsonl.gz, .json, .parquet), hub:NAME; "available": every known '
        "one that can be read, from evaluate.problems, caches or the net; []: none",
    )


class JudgeSettings(AskingSection):
    """The base model as a yes/no judge of a seed's docstring: few-shot, greedy."""

    by: Literal["probability", "word"] = Field(
        "probability",
        description='"probability": P(yes) / (P(yes) + P(no)) at the first token decides; "word": the first word does, '
        "as published",
    )
    threshold: float = Field(0.5, gt=0.0, lt=1.0, description="seeds with at least this probability of yes are kept")
    examples: int = Field(6, ge=2, description="worked examples per prompt")
    max_tokens: int = Field(5, ge=1, description="most tokens of an answer")


class FewShotSettings(Section):
    """The worked examples in the prompts."""

    file: str = Field("python", description='"python", "tiny", or the path of your own file')
    draws: int | None = Field(
        None,
        ge=0,
        description="distinct ordered draws of examples per stage, so prefix caches hit; 0: a new draw for each row; "
        "default: one for each 16 seeds, at most 64",
    )


class ConceptSettings(AskingSection):
    """Seed → concepts."""

    examples: int = Field(8, ge=1, description="worked examples per prompt")
    temperature: float = Field(0.7, ge=0.0, description="sampling temperature; 0: greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int | None = derived(
        MOST_TOKENS["concepts"],
        ge=1,
        description="most tokens of an answer; longer ones are dropped; default: twice what the longest worked example "
        "needs, at most 256",
    )
    max_concepts: int = Field(12, ge=1, description="keep at most this many concepts, the first ones")
    snippet_lines: int | None = Field(None, ge=2, description="show at most this many lines of the seed")
    snippet_characters: int | None = Field(None, ge=40, description="show at most this many characters of the seed")
    snippet_carried: bool = later(
        True,
        description="show what a function carries, where snippet_lines and snippet_characters leave room for all of it",
    )
    snippet_docstrings: bool = Field(True, description="false: show the seed's code without its docstrings")


class InstructionSettings(AskingSection):
    """Concepts → instruction."""

    examples: int = Field(8, ge=1, description="worked examples per prompt")
    per_seed: int = Field(1, ge=1, description="instructions written from each seed")
    temperature: float = Field(0.7, ge=0.0, description="sampling temperature; 0: greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int | None = derived(
        MOST_TOKENS["instructions"],
        ge=1,
        description="most tokens of an answer; longer ones are dropped; default: twice what the longest worked example "
        "needs, at most 768",
    )
    categories: list[Literal["function", "class", "program"]] = Field(
        default=["function", "function", "class", "program"],
        min_length=1,
        description="one is drawn uniformly for each instruction",
    )
    difficulties: list[Literal["easy", "medium", "hard"]] = Field(
        default=["easy", "medium", "hard"], min_length=1, description="one is drawn uniformly for each instruction"
    )
    concepts_shown: int | None = Field(None, ge=1, description="show at most this many concepts, drawn at random")


class ResponseSettings(AskingSection):
    """Instruction → responses with tests; each is executed as soon as it is sampled."""

    examples: int = Field(1, ge=1, description="worked examples per prompt")
    prompt: Literal["few-shot", "instruction"] = later(
        "few-shot",
        description="instruction: the instruction alone is what a chat model is asked, and its whole answer is the "
        "response",
    )
    tests: bool = later(True, description="ask for tests with each response")
    execute: bool = later(
        True, description="run each response with its tests; false: take every answer unverified (status not_run)"
    )
    parts: list[Literal["reasoning", "response", "explanation", "tests"]] = later(
        list(PLAIN_PARTS),
        description="what the model writes; with reasoning before the response or an explanation after it, all four "
        "parts, from worked examples that have them",
    )
    samples: int = Field(10, ge=1, description="most responses sampled per instruction")
    stop_after_passes: int = Field(
        1, ge=0, description="stop sampling an instruction after this many verified responses; 0: draw all samples"
    )
    give_up: float = later(
        0.0,
        ge=0.0,
        lt=1.0,
        description="stop sampling an instruction when the estimated chance that any of its other samples passes is "
        "below this; changes which instructions the data set has; 0: never",
    )
    temperature: float = Field(0.7, ge=0.0, description="sampling temperature; 0: greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int | None = derived(
        MOST_TOKENS["responses"],
        ge=1,
        description="most tokens of an answer; longer ones are dropped; default: twice what the longest worked example "
        "needs, at most 1536",
    )

    @model_validator(mode="after")
    def _have_tests_to_run(self) -> ResponseSettings:
        if self.execute and not self.tests:
            raise ValueError(
                "responses.tests = false leaves nothing to run: set responses.execute = false, too, which takes every "
                "answer unverified"
            )
        return self

    @field_validator("parts")
    @classmethod
    def _know_the_parts(cls, parts: list[str]) -> list[str]:
        if tuple(parts) not in (PLAIN_PARTS, ANSWER_PARTS):
            known = " or ".join(str(list(one)).replace("'", '"') for one in (PLAIN_PARTS, ANSWER_PARTS))
            raise ValueError(f"an answer has these parts, in this order: {known}")
        return parts


class ExecutionSettings(Section):
    """The sandbox that runs every response against its tests."""

    sandbox: Literal["auto", "namespaces", "landlock", "unsafe"] = free(
        "auto", description="isolation; auto: the strongest that this machine allows; unsafe: none"
    )
    workers: int | None = free(None, ge=1, description="programs run in parallel; default: one per core")
    warm: list[str] = free(["numpy", "pandas"], description="libraries imported once and shared by all programs")
    seconds: float = Field(10.0, gt=0, description="wall-clock limit of a program")
    memory_mib: int = Field(4096, ge=64, description="memory limit of a program, in MiB")
    mutation_testing: bool = renamed(
        "strength", True, description="run the tests against mutants of the response; tests that kill none are weak"
    )
    split: bool = later(
        True,
        description="run passing programs again with response and tests in two processes, and note on each answer "
        "whether it passed there (proof: split) or not (shared)",
    )
    cross: bool = later(
        False,
        description="run every answer against the tests of the other answers to its instruction, too, and note on each "
        "answer which it passes",
    )
    flake_reruns: int = Field(0, ge=0, description="rerun passing programs this often under other hash seeds")


class SelectionSettings(Section):
    """Which responses become the data set, and what a model tuned on it reads and writes."""

    answers: Literal["passed", "failed", "random", "passed_else_any"] = later(
        "passed",
        description="the answer to an instruction that becomes its row: passed: one that passed its tests, or any "
        "where a recipe runs none; failed: one that did not; random: the first sample that could be read; "
        "passed_else_any: one that passed, else one that did not",
    )
    first_samples: int | None = later(
        None, ge=1, description="only the first so many answers to each instruction count; default: all that were drawn"
    )
    tests_in_instruction: float = later(
        0.0,
        ge=0.0,
        le=1.0,
        description="probability with which some of the tests' assertions are shown to the user, below instructions "
        "that have no examples",
    )
    tests_in_response: Literal["never", "asked"] = later(
        "never", description="asked: the assistant also writes the tests where the instruction mentions tests"
    )
    comments: bool = later(True, description="false: the assistant's code has no comments")
    keep_reasoning: float = later(
        1.0, ge=0.0, le=1.0, description="probability with which the assistant's message keeps its reasoning part"
    )
    keep_explanation: float = later(
        1.0, ge=0.0, le=1.0, description="probability with which the assistant's message keeps its explanation part"
    )
    max_instruction_words: int = Field(200, ge=1, description="drop longer instructions")
    min_mutation_score: float = renamed(
        "min_test_strength", 0.0, ge=0.0, le=1.0, description="smallest share of mutants that the tests must kill"
    )
    proof: Literal["any", "split"] = Field(
        "any", description="split: drop responses that did not also pass in a process apart from their tests"
    )
    choose: Literal["random", "agreement"] = Field(
        "random",
        description="which verified answer to an instruction is taken; agreement: one that passes the same siblings' "
        "tests as many others (needs execution.cross)",
    )
    unfinished_words: list[str] = Field(
        default=["todo", "fixme", "your code here", "notimplemented"],
        description="drop responses that contain one of these, in any case",
    )
    same_names: bool = Field(True, description="keep one response per set of defined names")
    jaccard: float = Field(0.7, gt=0.0, le=1.0, description="Jaccard similarity from which a row is dropped")
    permutations: int = Field(250, ge=16, description="MinHash permutations by which similar pairs are found")
    ngram: int = Field(5, ge=1, description="words per n-gram")
    near_dedup: list[Literal["instruction", "response", "code"]] = Field(
        default=["instruction", "response", "code"], description="texts compared for near-duplicates; []: none"
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_new_place(cls, values: Any) -> Any:
        if isinstance(values, dict) and "decontaminate" in values:
            raise ValueError(
                "selection.decontaminate is now decontamination.benchmarks, which by default has every benchmark that "
                "can be read: move the list there"
            )
        return values


class DatasetSettings(Section):
    """The published data set."""

    license: str = free(
        "", description='licence of the data set, for its card; "": that of the seeds, if it is one, else "other"'
    )


class EvaluateSettings(Section):
    """The benchmarks that score the base and the tuned model, and how models are asked."""

    benchmarks: list[str] = Field(
        default=["tiny-eval"], min_length=1, description="names of benchmarks, as in `selfcodealign evaluate -b`"
    )
    problems: dict[str, str] = Field(
        default={}, description="benchmark = file: read its problems from the file instead of fetching them"
    )
    base_modes: list[Literal["completion", "completion-unstripped", "few-shot", "chat"]] = Field(
        default=["chat", "few-shot"],
        min_length=1,
        description="how the base model is asked; the tuned model is asked in chat",
    )
    samples: int = Field(1, ge=1, description="answers per problem; more than one needs a temperature")
    temperature: float = Field(0.0, ge=0.0, description="sampling temperature; 0: greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int = Field(1024, ge=1, description="most tokens of an answer")
    k: list[Annotated[int, Field(ge=1)]] = Field(default=[1], min_length=1, description="values of k in pass@k")
    few_shot: str = Field("python", description="few-shot file whose worked example few-shot prompts show")
    limit: int | None = Field(None, ge=1, description="only the first problems of each benchmark, at most this many")


class TelemetrySettings(Section):
    """What a run tells of itself while it works, and whom."""

    seconds: float = free(10.0, ge=0.0, description="seconds between two lines of RUN/telemetry.jsonl; 0: none")
    otlp: str = free(
        "",
        description='"http://collector:4318": send the same figures there (OpenTelemetry, OTLP over HTTP); "": nothing '
        "leaves the machine",
    )

    @field_validator("otlp")
    @classmethod
    def _name_an_address(cls, address: str) -> str:
        if address and not re.match(r"https?://[^/]", address):
            raise ValueError('this is no address of a collector: write "http://HOST:4318" or "https://HOST/v1/metrics"')
        return address

    @model_validator(mode="after")
    def _agree(self) -> TelemetrySettings:
        if self.otlp and not self.seconds:
            raise ValueError("telemetry.otlp needs telemetry.seconds above 0")
        return self


class PriceSettings(Section):
    """What tokens of the base model and hours of servers cost, for `selfcodealign plan` and `--budget money=`."""

    prompt_tokens: float | None = free(None, ge=0, description="price of a million tokens of prompts")
    cached_tokens: float | None = free(
        None, ge=0, description="price of a million tokens of prompts from a prefix cache; default: as other prompts"
    )
    answer_tokens: float | None = free(None, ge=0, description="price of a million tokens of answers")
    all_models: bool = free(False, description="the prices of tokens hold for the recipe's [models.NAME], too")
    server_hour: float | None = free(None, ge=0, description="price of an hour of all servers of a run together")
    currency: str | None = free(None, description='word that stands behind prices, such as "EUR"')

    @property
    def known(self) -> bool:
        """Whether anything has a price."""
        return self.of_tokens or bool(self.server_hour)

    @property
    def of_tokens(self) -> bool:
        """Whether any token has a price."""
        return any((self.prompt_tokens, self.cached_tokens, self.answer_tokens))


#: From source code to a data set.
DATA_JOURNEY = (
    "seeds",
    "decontamination",
    "near_dedup",
    "concepts",
    "instructions",
    "responses",
    "selection",
    "dataset",
)


class Recipe(Section):
    """A whole run: its stages, and a section for each."""

    journey: list[str] = Field(
        default=list(DATA_JOURNEY), description="stages of the run, in order; your own stage: file.py:NAME"
    )
    own: dict[str, dict[str, Any]] = Field(default={}, description="[own.NAME]: the section of your own stage NAME")
    random_seed: int = Field(0, description="seed of every draw and every sample")
    flush_seconds: float = free(10.0, gt=0, description="most time until a finished row is on disk")
    model: ModelSettings = ModelSettings()
    models: dict[str, ModelSettings] = Field(
        default={}, description="[models.NAME]: another model, which a stage asks that names it (responses.model)"
    )
    seeds: SeedSettings = SeedSettings()
    imported: ImportedSettings = ImportedSettings()
    near_dedup: NearDedupSettings = NearDedupSettings()
    quality: QualitySettings = QualitySettings()
    types: TypeSettings = TypeSettings()
    decontamination: DecontaminationSettings = DecontaminationSettings()
    judge: JudgeSettings = JudgeSettings()
    few_shot: FewShotSettings = FewShotSettings()
    concepts: ConceptSettings = ConceptSettings()
    instructions: InstructionSettings = InstructionSettings()
    responses: ResponseSettings = ResponseSettings()
    evolve: EvolveSettings = EvolveSettings()
    evolve_verified: EvolveVerifiedSettings = EvolveVerifiedSettings()
    verify: VerifySettings = VerifySettings()
    edits: EditSettings = EditSettings()
    prequery: PrequerySettings = PrequerySettings()
    self_instruct: SelfInstructSettings = SelfInstructSettings()
    novel: NovelSettings = NovelSettings()
    pairs: PairSettings = PairSettings()
    execution: ExecutionSettings = ExecutionSettings()
    selection: SelectionSettings = SelectionSettings()
    score_curation: ScoreCurationSettings = ScoreCurationSettings()
    monologues: MonologueSettings = MonologueSettings()
    dataset: DatasetSettings = DatasetSettings()
    train: TrainSettings = TrainSettings()
    dpo: DpoSettings = DpoSettings()
    grpo: GrpoSettings = GrpoSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    prices: PriceSettings = PriceSettings()

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        for where, model in {
            "model": self.model,
            **{f"models.{name}": one for name, one in self.models.items()},
        }.items():
            if model.urls and model.serve:
                raise ValueError(
                    f"{where}.urls and {where}.serve exclude each other: name servers, or let serve start one"
                )
            if model.name == "embedded" and (model.serve is None) and model.urls:
                raise ValueError(
                    f'{where}.urls needs {where}.name: the name the servers use, or "" to take the one they hold'
                )
            if where != "model" and "name" not in model.model_fields_set:
                raise ValueError(f"[{where}] names no model: set {where}.name")
        for section, settings in self:
            if isinstance(settings, AskingSection) and settings.model not in ("", *self.models):
                known = (
                    f"its models are {', '.join(self.models)}" if self.models else "this recipe has no [models.NAME]"
                )
                raise ValueError(
                    f'{section}.model = "{settings.model}", and {known}: add [models.{settings.model}], or name another'
                )
        return self
