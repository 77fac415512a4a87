"use strict";

// A column is sorted as numbers where each cell that is not empty begins with one.
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(?![\w.])/i;

function isNumeric(rows, column) {
  const texts = rows.map((row) => row.cells[column].textContent.trim()).filter((text) => text !== "");
  return texts.length > 0 && texts.every((text) => NUMBER.test(text));
}

function sortBy(table, column, numeric, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = [...table.tBodies[0].rows].map((row) => [row.cells[column].textContent.trim(), row]);
  keyed.sort(([a], [b]) => {
    // What is empty comes last in both directions.
    if (a === "" || b === "") return (a === "") - (b === "");
    return sign * (numeric ? parseFloat(a) - parseFloat(b) : a.localeCompare(b, "en", { numeric: true }));
  });
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const rows = [...table.tBodies[0].rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const numeric = isNumeric(rows, column);
    if (numeric) for (const cell of [head, ...rows.map((row) => row.cells[column])]) cell.classList.add("number");
    head.querySelector("button").addEventListener("click", () => {
      // The best of a number is mostly the highest.
      const first = numeric ? "descending" : "ascending";
      const other = numeric ? "ascending" : "descending";
      const direction = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((one) => one.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", direction);
      sortBy(table, column, numeric, direction);
    });
  });
}

for (const button of document.querySelectorAll("button.clip")) {
  button.addEventListener("click", () => {
    const image = button.querySelector("img");
    const plays = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(plays));
    image.src = plays ? image.dataset.moving : image.dataset.still;
  });
}
