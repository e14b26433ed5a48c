// Without this script the page shows everything; with it, tables sort and the gallery selects.
"use strict";

function sortKey(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  return cell.dataset.missing !== undefined ? null : cell.textContent.trim();
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

function sortTable(table, header) {
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const keyed = Array.from(body.rows, (row) => [sortKey(row, header.cellIndex), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null); // missing ones always last
    return down ? compare(b, a) : compare(a, b);
  });
  body.append(...keyed.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    header.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sortTable(table, header));
  }
}

// A wide window has room for the contents beside the text.
const contents = document.querySelector("nav details");
const wide = matchMedia("(min-width: 1240px)");
const unfold = () => {
  contents.open = wide.matches;
};
if (contents) {
  wide.addEventListener("change", unfold);
  unfold();
}

for (const command of document.querySelectorAll(".advice pre, .cause > pre")) {
  const button = document.createElement("button");
  const text = command.textContent;
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(command); // no clipboard here: it is marked for Ctrl-C
    }
  });
  command.after(button);
}

const picker = document.getElementById("shelf");
if (picker) {
  const gallery = document.getElementById("cards");
  const cards = Array.from(gallery.children);
  const places = cards.map((card) => new Map(card.dataset.shelves.split(" ").map((at) => at.split(":"))));
  const show = () => {
    const key = picker.value;
    const on = cards
      .map((card, number) => [key === "all" ? number : Number(places[number].get(key) ?? NaN), card])
      .filter(([place]) => !Number.isNaN(place))
      .sort(([a], [b]) => a - b)
      .map(([, card]) => card);
    for (const card of cards) card.hidden = !on.includes(card);
    gallery.append(...on);
    const chosen = picker.selectedOptions[0].textContent.trim();
    document.getElementById("picked").textContent =
      `${on.length} ${on.length === 1 ? "sample" : "samples"}: ${chosen}`;
  };
  picker.closest(".picker").hidden = false;
  picker.addEventListener("change", show);
  show();
}

// Paper has no arrows to click: everything folded is printed open.
let folded = [];
addEventListener("beforeprint", () => {
  folded = Array.from(document.querySelectorAll("details:not([open])"));
  for (const details of folded) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
});
