// A list of a static bundle: searched and filtered here. What rows hold is only ever put in as text.
"use strict";
(() => {
  const PORTION = 100;
  const LINK = /^row\/[0-9a-f]+\.html(#answer-[0-9a-f]+)?$/;
  const { columns, rows } = window.LISTED || { columns: [], rows: [] };
  const find = (id) => document.getElementById(id);
  const cell = (kind, text) => {
    const one = document.createElement(kind);
    one.textContent = text;
    return one;
  };
  const searched = rows.map((row) => row.join("\n").toLowerCase());
  let chosen = [];
  let shown = 0;

  const draw = (row) => {
    const line = document.createElement("tr");
    const name = cell("th", "");
    name.scope = "row";
    const id = cell("code", row[0].slice(0, 8));
    if (LINK.test(row[1])) {
      const link = document.createElement("a");
      link.href = `../${row[1]}`;
      link.append(id);
      name.append(link);
    } else {
      name.append(id);
    }
    line.append(name, ...row.slice(2).map((value) => cell("td", value)));
    return line;
  };

  const more = () => {
    find("rows").append(...chosen.slice(shown, shown + PORTION).map(draw));
    shown = Math.min(chosen.length, shown + PORTION);
    find("more").hidden = shown >= chosen.length;
    find("size").textContent = `${chosen.length} of ${rows.length} rows match; ${shown} are shown`;
  };

  const filter = () => {
    const words = find("q").value.toLowerCase();
    const kept = find("kept").value;
    const reason = find("reason").value;
    chosen = rows.filter(
      (row, number) =>
        (!kept || row[2] === kept) && (!reason || row[3] === reason) && (!words || searched[number].includes(words)),
    );
    shown = 0;
    find("rows").replaceChildren();
    more();
  };

  find("head").append(cell("th", "row"), ...columns.map((name) => cell("th", name)));
  for (const one of [...find("head").children]) {
    one.scope = "col";
  }
  for (const reason of [...new Set(rows.map((row) => row[3]))].filter(Boolean).sort()) {
    find("reason").append(cell("option", reason));
  }
  // A link of the overview names a reason.
  const asked = new URLSearchParams(location.search);
  if (asked.get("f") === "reason") {
    find("reason").value = asked.get("v");
  }
  for (const id of ["q", "kept", "reason"]) {
    find(id).addEventListener("input", filter);
  }
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  find("more").addEventListener("click", more);
  find("filters").hidden = false;
  filter();
})();
