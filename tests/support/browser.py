"""Opens a page in a real browser, as wide as a phone, in light or dark, and tells what it looks like.

The page stands in a frame: a window cannot be as narrow as a phone's.
"""

from __future__ import annotations

import json
import re
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

from tests.support.chromium import find_browser

#: The program, or None where the machine has none.
BROWSER = find_browser()

_MEASURE = """
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument, view = page.defaultView;
  page.querySelectorAll("details").forEach(one => one.open = true);
  const style = element => view.getComputedStyle(element);
  const inside = element => element.closest(".scroll") !== null;
  const wide = [...page.body.querySelectorAll("*")].filter(
    element => !inside(element) && element.getBoundingClientRect().right > view.innerWidth + 1);
  const texts = [...page.querySelectorAll("svg text")].filter(text => {
    const own = text.getBoundingClientRect(), frame = text.closest("svg").getBoundingClientRect();
    return own.left < frame.left - 1 || own.right > frame.right + 1 || own.bottom > frame.bottom + 1;
  });
  // WCAG 2.1: the contrast of each text with the first background below it.
  const parts = colour => (colour.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = colour => parts(colour).slice(0, 3).map(
    part => (part /= 255) <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4
  ).reduce((sum, part, place) => sum + part * [.2126, .7152, .0722][place], 0);
  const behind = element => {
    for (let one = element; one; one = one.parentElement) {
      const found = style(one).backgroundColor;
      if ((parts(found)[3] ?? 1) > .5) return found;
    }
    return style(page.body).backgroundColor;
  };
  const contrast = element => {
    const drawn = style(element), ink = element.closest("svg") ? drawn.fill : drawn.color;
    const [dark, bright] = [light(ink), light(behind(element))].sort((a, b) => a - b);
    return (bright + .05) / (dark + .05);
  };
  const own = element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  const shown = [...page.body.querySelectorAll("*")].filter(
    element => own(element) && !["SCRIPT", "STYLE", "TITLE", "title"].includes(element.tagName));
  const stops = [...page.querySelectorAll("[tabindex], summary, a[href]")];
  document.querySelector("pre").textContent = JSON.stringify({
    width: page.documentElement.scrollWidth, view: view.innerWidth, title: page.title, text: page.body.innerText,
    background: style(page.body).backgroundColor, colour: style(page.body).color,
    wide: wide.map(element => element.outerHTML.slice(0, 200)), cut: texts.map(text => text.textContent),
    focused: stops.filter(stop => { stop.focus(); return page.activeElement === stop; }).length, stops: stops.length,
    faint: [...new Set(shown.filter(element => contrast(element) < 4.5).map(
      element => `${contrast(element).toFixed(2)} ${element.tagName} ${element.getAttribute("class")}`))],
    regions: [...page.querySelectorAll("[role=region]")].map(region => region.getAttribute("aria-label")),
    smallest: Math.min(
      ...[...page.querySelectorAll("svg")].map(svg => 13 * svg.clientWidth / svg.viewBox.baseVal.width)),
  });
});
"""


def look_at(page: str, folder: Path, *, width: int = 360, dark: bool = False) -> dict[str, Any]:
    """Return what the page's text, colours, sizes and stops of the keyboard are, in a frame of `width` points.

    `wide` are elements beyond the frame, `cut` labels beyond their picture, `faint` texts whose contrast is below 4.5.
    """
    assert BROWSER
    frame = (
        f'<!doctype html><iframe style="border:0;width:{width}px;height:800px" srcdoc="{escape(page)}"></iframe>'
        f"<pre></pre><script>{_MEASURE}</script>"
    )
    path = folder / "frame.html"
    path.write_text(frame, "utf-8")
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
    ]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [*command, "--dump-dom", path.as_uri()], capture_output=True, text=True, check=False, timeout=120
    )
    found = re.search(r"<pre>(\{.*\})</pre>", done.stdout, re.DOTALL)
    assert found, done.stdout[-500:] + done.stderr[-2000:]
    return json.loads(unescape(found[1]))
