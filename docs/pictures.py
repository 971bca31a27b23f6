"""Makes the pictures of README from a finished run of the recipe quickstart: `python docs/pictures.py RUN`.

The terminal is drawn by the display itself, from what the run's telemetry recorded; pages are opened in a browser, as
the tests do (`make .venv/.browser` fetches one). A test holds this list and README together.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
from rich.console import Console, RenderableType
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, DIMMED_MONOKAI

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from selfcodealign.models.usage import Usage  # noqa: E402
from selfcodealign.progress.terminal import Live  # noqa: E402
from tests.support.chromium import visit  # noqa: E402

FOLDER = ROOT / "docs" / "pictures"
PAGES = ("report", "explorer", "story")
#: Each picture, in light and in dark.
PICTURES = ("terminal.svg", "terminal-dark.svg", *(f"{name}{dark}.png" for name in PAGES for dark in ("", "-dark")))
#: Of pages, in points, and of the terminal.
WIDTH, HEIGHT, COLUMNS = 1200, 750, 92
#: The stage in whose middle the terminal is shown, and whose rows are listed.
SHOWN, SHARE = "responses", 0.5
#: The rows that are listed.
FILTER = "f=status&o=is&v=failed"
COMMAND = (sys.executable, "-m", "selfcodealign")


def draw_terminal(run: Path) -> None:
    """Draw what a terminal showed in the middle of the run."""
    for dark, theme in (("", DEFAULT_TERMINAL_THEME), ("-dark", DIMMED_MONOKAI)):
        console = Console(file=StringIO(), force_terminal=True, color_system="truecolor", width=COLUMNS, height=40)
        drawn = Console(file=StringIO(), force_terminal=True, color_system="truecolor", width=COLUMNS, record=True)
        drawn.print(f"$ selfcodealign run {run.name}")
        drawn.print(replay(run, console))
        picture = drawn.export_svg(title="", theme=theme, unique_id="terminal")
        # Without the fonts that rich would load from elsewhere.
        picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
        (FOLDER / f"terminal{dark}.svg").write_text(picture, "utf-8")


def replay(run: Path, console: Console) -> RenderableType:
    """Tell the display what the telemetry has recorded, as far as the middle of a stage; return its frame."""
    lines = [json.loads(line) for line in (run / "telemetry.jsonl").read_text("utf-8").splitlines()]
    now, asked = 0.0, {}
    with ExitStack() as patched:
        for module in ("drawer", "board", "tally"):
            patched.enter_context(patch(f"selfcodealign.progress.{module}.monotonic", lambda: now))
        live, told = Live(console), {}
        live.asked = lambda: asked
        live.journey(json.loads((run / "run.json").read_text("utf-8"))["journey"])
        for line in lines:
            stages = line["stages"].split(", ")
            live.reach(stages)
            for stage in stages:
                if stage not in told:
                    live.start(stage, None)
            now = line["seconds"]
            for stage in stages:
                told[stage] = tell(live, stage, figures_of(line, stage), told.get(stage, Counter()), asked)
            frame = live.draw()
            if told.get(SHOWN, Counter())["entered_rows"] >= SHARE * told.get(SHOWN, Counter())["expected_rows"] > 0:
                return frame
            for stage in stages if line["event"] == "finished" else ():
                live.count_rows(stage, told[stage]["entered_rows"], told[stage]["kept_rows"])
                live.finish(stage)
    raise SystemExit(f"{run}/telemetry.jsonl has no line of the middle of {SHOWN}")


def figures_of(line: dict[str, Any], stage: str) -> Counter[str]:
    """What a line of the telemetry tells of a stage."""
    start = f"stage.{stage}."
    return Counter({name.removeprefix(start): value for name, value in line.items() if name.startswith(start)})


def tell(live: Live, stage: str, now: Counter[str], before: Counter[str], asked: dict[str, Usage]) -> Counter[str]:
    """Tell the display what a stage has done since the line before."""
    live.expect(stage, now["expected_rows"] or None)
    reasons = [name for name in now if name.startswith("dropped_rows.")]
    dropped = [name.partition(".")[2] for name in reasons for _ in range(now[name] - before[name])]
    new = now - before
    live.advance(stage, new["entered_rows"], kept=new["kept_rows"], dropped=dropped)
    if now["requests"]:
        prompts = now["prompt_tokens"]
        asked[stage] = Usage(now["requests"], prompts, prompts, now["cached_tokens"], now["answer_tokens"])
    return now


def take_pages(run: Path) -> None:
    """Take pictures of the report, a list of rows and the story of a row, as a browser shows them."""
    with TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.html"
        subprocess.run([*COMMAND, "report", str(run), "--out", str(report)], check=True, stdout=subprocess.DEVNULL)
        for dark in (False, True):
            with visit(width=WIDTH, height=HEIGHT, dark=dark) as visited, viewing(run) as address:
                base = address.partition("?")[0]
                visited.page.goto(address)  # its token gives a cookie
                task, answer = example_of(run)
                pages = (report.as_uri(), f"{base}stage/{SHOWN}?{FILTER}", f"{base}row/{answer}")
                for name, page in zip(PAGES, pages, strict=True):
                    visited.page.goto(page, wait_until="networkidle")
                    if name == "story":  # from the task on: the seed is code of others, under a licence of its own
                        visited.page.locator(f"#task-{task}").evaluate("(heading) => heading.scrollIntoView()")
                    visited.page.screenshot(path=FOLDER / f"{name}{'-dark' * dark}.png")
                if visited.errors or visited.outside:
                    raise SystemExit(f"the pages have errors: {visited.errors + visited.outside}")


@contextmanager
def viewing(run: Path) -> Iterator[str]:
    """Serve the run's rows within the context; give the address."""
    with subprocess.Popen([*COMMAND, "-q", "view", str(run), "--no-open"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.send_signal(signal.SIGINT)


def example_of(run: Path) -> tuple[str, str]:
    """The ids of a task in the data set and of an answer to it that failed: the first in the order of the answers."""
    kept, dropped = (
        [row for file in sorted((run / stage).glob(names)) for row in pq.read_table(file, columns=columns).to_pylist()]
        for stage, names, columns in (
            ("selection", "kept-*.parquet", ["instruction_id"]),
            (SHOWN, "dropped-*.parquet", ["instruction_id", "response_id", "line"]),
        )
    )
    chosen = {row["instruction_id"] for row in kept}
    failed = [row for row in dropped if row["instruction_id"] in chosen and row["line"]]
    return min(((row["instruction_id"], row["response_id"]) for row in failed), key=lambda ids: ids[1])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("which run? Try: python docs/pictures.py runs/quickstart")
    FOLDER.mkdir(exist_ok=True)
    draw_terminal(Path(sys.argv[1]))
    take_pages(Path(sys.argv[1]))
