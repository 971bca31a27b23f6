"""README's pictures: each is made by docs/pictures.py, is there and is a picture; the terminal is drawn from a run."""

from __future__ import annotations

import importlib.util
import json
import re
import struct
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from tests.support.places import ROOT

README = (ROOT / "README.md").read_text("utf-8")
MOST_BYTES = 300_000


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


SCRIPT = load_script()


def test_readme_shows_the_pictures_that_the_script_makes() -> None:
    """No other ones, and no picture lies unused in the folder."""
    shown = re.findall(r"docs/pictures/([\w.-]+)", README)
    assert sorted(set(shown) - {"pictures.py"}) == sorted(SCRIPT.PICTURES)
    assert sorted(path.name for path in SCRIPT.FOLDER.iterdir()) == sorted(SCRIPT.PICTURES)


def read_png(data: bytes) -> tuple[int, int]:
    """Return width and height of a PNG; every chunk is checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, kinds = 8, []
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        body = data[place + 4 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length]) == (zlib.crc32(body),)
        kinds.append(body[:4])
        place += 12 + length
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


@pytest.mark.parametrize("name", SCRIPT.PICTURES)
def test_a_picture_is_valid_and_small(name: str) -> None:
    """A PNG of the size that the script takes, or an SVG that loads nothing from elsewhere."""
    path: Path = SCRIPT.FOLDER / name
    data = path.read_bytes()
    assert len(data) <= MOST_BYTES
    if path.suffix == ".png":
        assert read_png(data) == (SCRIPT.WIDTH, SCRIPT.HEIGHT)
    else:
        assert ET.fromstring(data).tag == "{http://www.w3.org/2000/svg}svg"
        assert re.findall(rb"url\((?!#)|href=|@font-face", data) == []


def test_the_terminal_is_drawn_from_the_telemetry_of_a_run(tmp_path: Path) -> None:
    """The frame shows the run in the middle of its answers; a run without such a moment is refused."""
    figures = {"stage.seeds.entered_rows": 90, "stage.seeds.kept_rows": 40, "stage.seeds.dropped_rows.too_long": 50}
    begun = {"stage.responses.entered_rows": 10, "stage.responses.kept_rows": 8, "stage.responses.expected_rows": 40}
    going = begun | {"stage.responses.entered_rows": 24, "stage.responses.dropped_rows.failed": 3}
    lines = [
        {"seconds": 5.0, "event": "finished", "stages": "seeds", **figures},
        {"seconds": 15.0, "event": "working", "stages": "responses", **figures, **begun},
        {"seconds": 29.0, "event": "working", "stages": "responses", **figures, **going},
    ]
    (tmp_path / "run.json").write_text(json.dumps({"journey": ["seeds", "responses", "train"]}), "utf-8")
    telemetry = tmp_path / "telemetry.jsonl"
    telemetry.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    console = Console(width=92, height=40, record=True, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(SCRIPT.replay(tmp_path, console))
    shown = captured.get().splitlines()
    assert shown[1].split() == ["✓", "seeds", "90", "40", "44%", "0:05"]
    assert "24/40" in shown[2]
    assert shown[3].split() == ["·", "train"]
    assert shown[4].startswith("stage 2 of 3, 0:29 so far")
    telemetry.write_text(json.dumps(lines[0]), "utf-8")
    with pytest.raises(SystemExit, match="middle of responses"):
        SCRIPT.replay(tmp_path, console)
