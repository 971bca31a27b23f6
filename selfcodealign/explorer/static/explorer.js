// Copies rows, counts on demand, and follows a live run. Texts of rows become text, never HTML.
"use strict";

const EVERY = 2000;

function asNumber(value) {
  return value.toLocaleString("en-US");
}

function follow(work) {
  const rows = new Map([...document.querySelectorAll("tr[data-stage]")].map((row) => [row.dataset.stage, row]));
  const put = (row, name, text) => {
    const cell = row.querySelector(`[data-of="${name}"]`);
    if (cell && cell.textContent !== text) cell.textContent = text;
  };
  const say = (text) => {
    if (work.textContent !== text) work.textContent = text;
  };
  let wasWorking = null;
  async function look() {
    try {
      if (!document.hidden) {
        const answer = await fetch("/live", { cache: "no-store" });
        if (!answer.ok) throw new Error(answer.status);
        const now = await answer.json();
        // New stages, reasons and links come with the whole page.
        if (now.stages.some((one) => !rows.has(one.name)) || (wasWorking && !now.working)) return location.reload();
        wasWorking = now.working;
        for (const one of now.stages) {
          const row = rows.get(one.name);
          if (one.kept + one.dropped > 0 && !row.querySelector('[data-of="kept"]')) return location.reload();
          put(row, "state", one.state);
          put(row, "kept", asNumber(one.kept));
          put(row, "dropped", asNumber(one.dropped));
        }
        const pace = now.rows_per_second === null ? "" : `: ${now.rows_per_second.toFixed(1)} rows/s`;
        say(now.working ? `A run is at work${pace}.` : "No run is at work.");
      }
    } catch {
      say("The explorer does not answer: is it still running?");
    }
    setTimeout(look, EVERY);
  }
  setTimeout(look, EVERY);
}

async function copy(button) {
  const answer = await fetch(button.dataset.copy);
  const text = answer.ok ? JSON.stringify(await answer.json(), null, 1) : "";
  let done = "Failed";
  try {
    if (text) {
      await navigator.clipboard.writeText(text);
      done = "Copied";
    }
  } catch { /* the browser refuses: the button says so */ }
  const before = button.textContent;
  button.textContent = done;
  setTimeout(() => { button.textContent = before; }, 1500);
}

async function count(button) {
  button.disabled = true;
  const answer = await fetch(button.dataset.count);
  button.replaceWith(answer.ok ? `${asNumber((await answer.json()).total)} rows in all` : "Counting took too long.");
}

const work = document.getElementById("work");
if (work) follow(work);
for (const [name, act] of [["copy", copy], ["count", count]]) {
  for (const button of document.querySelectorAll(`button[data-${name}]`)) {
    button.hidden = false;
    button.addEventListener("click", () => act(button));
  }
}
