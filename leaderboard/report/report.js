"use strict";
// Tables sort on a click: figures downwards first, words upwards first, the third click as it was.
for (const table of document.querySelectorAll("table.sort")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.querySelectorAll("th[aria-sort]")];
  const valueOf = (row, column) => row.cells[column].dataset.value;
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const filled = original.filter((row) => valueOf(row, column) !== undefined);
      const numeric = filled.every((row) => !Number.isNaN(Number(valueOf(row, column))));
      const first = numeric ? "descending" : "ascending";
      const second = numeric ? "ascending" : "descending";
      const before = head.getAttribute("aria-sort");
      const order = before === "none" ? first : before === first ? second : "none";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", order);
      table.classList.toggle("sorted", order !== "none");
      const sign = order === "descending" ? -1 : 1;
      const compare = (a, b) => numeric
        ? valueOf(a, column) - valueOf(b, column)
        : valueOf(a, column).localeCompare(valueOf(b, column));
      const blank = original.filter((row) => valueOf(row, column) === undefined);
      const rows = order === "none" ? original : [...filled.sort((a, b) => sign * compare(a, b)), ...blank];
      body.append(...rows);
    });
  });
}

// The figures beside a chart are those at the rank under the pointer.
for (const cursor of document.querySelectorAll(".chart .cursor")) {
  const chart = cursor.closest(".chart");
  const svg = chart.querySelector("svg");
  const rows = [...chart.querySelectorAll("[data-values]")];
  const left = Number(cursor.dataset.left);
  const right = Number(cursor.dataset.right);
  const show = (rank) => {
    chart.querySelector("thead .at").textContent = `R${rank}`;
    for (const row of rows) row.querySelector(".at").textContent = row.dataset.values.trim().split(" ")[rank - 1];
  };
  svg.addEventListener("pointermove", (event) => {
    const x = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
    const ranks = rows[0].dataset.values.trim().split(" ").length;
    const rank = Math.min(ranks, Math.max(1, 1 + Math.round((x - left) / (right - left) * (ranks - 1))));
    const place = left + (rank - 1) / (ranks - 1) * (right - left);
    cursor.setAttribute("x1", place);
    cursor.setAttribute("x2", place);
    cursor.style.visibility = "visible";
    show(rank);
  });
  svg.addEventListener("pointerleave", () => {
    cursor.style.visibility = "hidden";
    show(1);
  });
}

// A link to a result opens it.
const openTarget = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") {
    target.open = true;
    target.scrollIntoView();
  }
};
addEventListener("hashchange", openTarget);
openTarget();
