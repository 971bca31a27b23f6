"""Export a run's data in the formats of other trainers.

Supervised: `trl` (prompt + completion, so that TRL puts loss on the responses), `axolotl`, `llama-factory`, `openai`.
Preference pairs: `dpo`, a response that passed its tests and one that failed them, to the same instruction.
Verifiable rewards: `rl`, an instruction with the tests of its verified response and the share of responses that passed.

Supervised formats hold the messages that a model is tuned on; pairs and tasks hold the instruction alone and verified
answers: tests shown in a prompt would be a reward given away.

The tests of an `rl` task will judge other responses, which are trained to pass them: by default a task is made only of
an example that also passed in a process apart from its tests.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selfcodealign.errors import ExportError, UserError, did_you_mean
from selfcodealign.files import make_folder, replace_file, write_json_lines, write_text
from selfcodealign.rows import Response
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.sandbox import Status

#: Reasons that prove the response wrong; others (no tests, cut by length, ...) say nothing about the code.
FAILED = ("failed", "error", "timeout", "memory", "crashed", "blocked")

#: OpenAI's fine-tuning refuses fewer.
OPENAI_FEWEST = 10

_DATA = "train.jsonl"

Record = dict[str, Any]
#: What an example has to have proven: "split", that it passed in a process apart from its tests, or no more than that
#: it is in the data set.
Proof = Literal["any", "split"]


@dataclass(frozen=True)
class Exported:
    """The written files, the data file first; `notes` are sentences for the user."""

    files: list[Path]
    rows: int
    notes: list[str]


@dataclass(frozen=True)
class Format:
    """How records are made, and the files that accompany them.

    `source` reads the run; `convert` makes one output record; `companions` writes further files, by name, for a folder;
    `proof` is required where the user requires nothing else.
    """

    meaning: str
    source: Callable[[Path], Iterator[Record]]
    convert: Callable[[Record], Record]
    companions: Callable[[str], dict[str, str]] = lambda data: {}
    proof: Proof = "any"


def export(
    run: str | Path, to: str, out: str | Path, *, overwrite: bool = False, proof: Proof | None = None
) -> Exported:
    """Write `run` in format `to`. `out` is a .jsonl file (.parquet for trl, dpo and rl) or a folder.

    `run`: a run folder, or for supervised formats and rl a data-set folder. `proof`: "split" takes only examples that
    also passed in a process apart from their tests, "any" takes all; default: "split" for rl, "any" for the others.
    Raises `ExportError`, also if `out` exists (a folder: with files in it), unless `overwrite` replaces it; a folder is
    replaced only if exports alone made it.
    """
    form = find_format(to)
    run, out = Path(run), Path(out)
    if not run.is_dir():
        raise ExportError(f"no run folder at {run}")
    data = out if out.suffix else out / _DATA
    if data.suffix not in (".jsonl", ".parquet") or (data.suffix == ".parquet" and to not in ("trl", "dpo", "rl")):
        kinds = ".jsonl or .parquet" if to in ("trl", "dpo", "rl") else ".jsonl"
        raise ExportError(f"{to} is written as {kinds}, or into a folder: {out} is neither")
    if not overwrite and (any(out.iterdir()) if out.is_dir() else os.path.lexists(out)):
        raise ExportError(f"{out} exists: give --overwrite to replace it, or choose another --out")
    foreign = _find_foreign(out)
    if foreign:
        raise ExportError(f"{out} holds {foreign}, which no export wrote: choose another --out")
    found = list(form.source(run))
    required = proof or form.proof
    rows = [form.convert(row) for row in found if required == "any" or _proof_of(row) == required]
    if not rows:
        raise ExportError(f"{run} holds nothing for {to}: {_explain_none(form, required, len(found))}")
    make_folder(data.parent, error=ExportError)
    _write(data, rows)
    files = [data]
    for name, text in form.companions(data.name).items() if not out.suffix else ():
        write_text(out / name, text, error=ExportError)
        files.append(out / name)
    for name in _names() if not out.suffix else ():
        if out / name not in files:
            (out / name).unlink(missing_ok=True)
    notes = []
    if len(rows) < len(found):
        notes.append(f"{len(found) - len(rows)} of {len(found)} {form.meaning} have no split proof and were left out")
    if to == "openai" and len(rows) < OPENAI_FEWEST:
        notes.append(f"OpenAI requires at least {OPENAI_FEWEST} examples; these are {len(rows)}")
    if form.companions(_DATA) and out.suffix:
        notes.append(f"give a folder to --out to get {', '.join(form.companions(_DATA))} as well")
    return Exported(files, len(rows), notes)


def export_rows(
    run: Path, to: str, *, proof: Proof | None = None, error: type[UserError] = ExportError
) -> list[Record]:
    """Return the records of a run in format `to`, none if it has none. Raises `error`; see `export`."""
    form = find_format(to)
    required = proof or form.proof
    try:
        return [form.convert(row) for row in form.source(run) if required == "any" or _proof_of(row) == required]
    except ExportError as problem:
        raise error(str(problem)) from None


def _proof_of(row: Record) -> str:
    """What the example has proven; data sets of earlier versions do not say, and were judged in one process."""
    return row.get("proof") or "shared"


def _explain_none(form: Format, required: Proof, found: int) -> str:
    if not found:
        return f"{form.meaning} are needed"
    return (
        f"none of its {found} {form.meaning} has {required} proof (passed in a process apart from its tests). Give "
        "--proof any to take them all, or run the recipe again with execution.split = true"
    )


def _names() -> set[str]:
    """The names of all files that an export into a folder may write."""
    return {_DATA, *(name for form in FORMATS.values() for name in form.companions(_DATA))}


def _find_foreign(out: Path) -> str | None:
    """The name of something in the folder `out` that is no file of an export; None if `out` is no folder."""
    there = sorted(out.iterdir()) if out.is_dir() else []
    return next((one.name for one in there if one.name not in _names() or not one.is_file()), None)


def find_format(to: str) -> Format:
    """Find a format by name. Raises `ExportError` that names the formats and the one that was probably meant."""
    if to not in FORMATS:
        raise ExportError(f'no format "{to}": one of {", ".join(FORMATS)}{did_you_mean(to, FORMATS)}')
    return FORMATS[to]


def _dataset_files(run: Path) -> list[Path]:
    home = run / "dataset" if (run / "dataset").is_dir() else run
    files = sorted(home.glob("data/train*.parquet"))
    if not files:
        raise ExportError(
            f"the data set is not written yet: {run} has no dataset/data/train-*.parquet; run the recipe to its end"
        )
    return files


def _examples(run: Path) -> Iterator[Record]:
    """Read the rows of the data set, in order."""
    import pyarrow.parquet as pq

    for file in _dataset_files(run):
        table = pq.ParquetFile(file)
        names = table.schema_arrow.names
        for name in ("instruction", "response"):
            if name not in names:
                raise ExportError(f"{file} has no column {name}{did_you_mean(name, names)}")
        for batch in table.iter_batches(1024):
            yield from batch.to_pylist()


def _tasks(run: Path) -> Iterator[Record]:
    """Read the examples that passed their tests."""
    for row in _examples(run):
        if "tests" not in row or "pass_rate" not in row:
            raise ExportError(f"{run} has no tests with measured pass rates: export a run of this package")
        if row["tests"] and _has_passed(row):
            yield row


def _pairs(run: Path) -> Iterator[Record]:
    """Pair each example with a response to the same instruction that failed its tests, where there is one.

    Only instructions of the data set are used: others were dropped for a reason, some for contamination. Among several
    failures, the one with the smallest id is chosen: ids are hashes, so the choice is arbitrary but the same on any
    machine and in any order of sampling.
    """
    import duckdb

    answers = RunFolder(run).making(Response)
    dropped = [str(file) for file in sorted(answers.path.glob("dropped-*.parquet"))] if answers else []
    if not dropped:
        raise ExportError(f"no responses in {run}: preference pairs are made from a run folder")
    query = f"""
        SELECT instruction_id, arg_min(r.response, r.response_id), min(r.response_id), arg_min(reason, r.response_id)
        FROM read_parquet(?) r JOIN read_parquet(?) e USING (instruction_id)
        WHERE reason IN {FAILED} AND trim(coalesce(r.response, '')) <> '' AND r.response <> e.response
        GROUP BY instruction_id"""
    files = [str(file) for file in _dataset_files(run)]
    try:
        failures = {row[0]: row[1:] for row in duckdb.execute(query, [dropped, files]).fetchall()}
    except duckdb.Error as error:
        raise ExportError(f"cannot read the answers of {run}: {str(error).splitlines()[0]}") from None
    for example in _examples(run):
        if example["instruction_id"] in failures and _has_passed(example):
            names = ("rejected", "rejected_id", "rejected_reason")
            yield example | dict(zip(names, failures[example["instruction_id"]], strict=True))


def _provenance(row: Record) -> Record:
    """The licence and the origin of the seed; data sets of earlier versions call the former `licence`."""
    return {"license": row.get("license", row.get("licence")), "origin": row.get("origin")}


def _has_passed(row: Record) -> bool:
    """Whether an example passed its tests; in data sets of earlier versions all did."""
    return row.get("status", Status.PASSED) == Status.PASSED


def _said(row: Record) -> tuple[str, str]:
    """What the user says and what the model answers."""
    by_role = {message["role"]: message["content"] for message in row.get("messages") or ()}
    return by_role.get("user", row["instruction"]), by_role.get("assistant", row["response"])


def _user(text: str) -> list[Record]:
    return [{"role": "user", "content": text}]


def _assistant(text: str) -> list[Record]:
    return [{"role": "assistant", "content": text}]


def _to_trl(row: Record) -> Record:
    user, assistant = _said(row)
    return {"prompt": _user(user), "completion": _assistant(assistant), **_provenance(row)}


def _to_messages(row: Record) -> Record:
    user, assistant = _said(row)
    return {"messages": _user(user) + _assistant(assistant)}


def _to_messages_and_more(row: Record) -> Record:
    return _to_messages(row) | _provenance(row)


def _to_alpaca(row: Record) -> Record:
    user, assistant = _said(row)
    return {"instruction": user, "input": "", "output": assistant, **_provenance(row)}


def _to_pair(row: Record) -> Record:
    kept = ("rejected_id", "rejected_reason", "instruction_id", "category", "difficulty")
    return {
        "prompt": _user(row["instruction"]),
        "chosen": _assistant(row["response"]),
        "rejected": _assistant(row["rejected"]),
        "chosen_id": row["response_id"],
        **{name: row[name] for name in kept},
        **_provenance(row),
    }


def _to_task(row: Record) -> Record:
    kept = ("tests", "pass_rate", "samples", "instruction_id", "category", "difficulty")
    return {
        "prompt": _user(row["instruction"]),
        **{name: row.get(name) for name in kept},
        "proof": _proof_of(row),
        "reference": row["response"],
        **_provenance(row),
    }


def _axolotl_files(data: str) -> dict[str, str]:
    text = f"""# The part of an axolotl configuration that reads this folder; loss on the responses and their ends.
datasets:
  - path: {data}
    ds_type: json
    type: chat_template
    field_messages: messages
    message_property_mappings:
      role: role
      content: content
    roles_to_train: [assistant]
    train_on_eos: turn
sequence_len: 1280
sample_packing: true
"""
    return {"axolotl.yaml": text}


def _llama_factory_files(data: str) -> dict[str, str]:
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    told = {"selfcodealign": {"file_name": data, "formatting": "alpaca", "columns": columns}}
    return {"dataset_info.json": json.dumps(told, indent=2) + "\n"}


FORMATS: dict[str, Format] = {
    "trl": Format("examples", _examples, _to_trl),
    "axolotl": Format("examples", _examples, _to_messages_and_more, _axolotl_files),
    "llama-factory": Format("examples", _examples, _to_alpaca, _llama_factory_files),
    "openai": Format("examples", _examples, _to_messages),
    "dpo": Format("instructions with a passing and a failing response", _pairs, _to_pair),
    "rl": Format("examples with tests", _tasks, _to_task, proof="split"),
}


def _write(path: Path, rows: list[Record]) -> None:
    if path.suffix != ".parquet":
        write_json_lines(path, rows, error=ExportError)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replace_file(path, error=ExportError) as unfinished:
        pq.write_table(pa.Table.from_pylist(rows), unfinished, compression="zstd")
