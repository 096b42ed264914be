"use strict";
// Sorting a table by a click on its heading. Without script the tables stand as they were written.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = Array.from(table.tHead.rows[0].cells);
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const numeric = heading.classList.contains("number");
      const before = heading.getAttribute("aria-sort");
      const up = before ? before === "descending" : !numeric;
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.order ?? row.cells[column].textContent.trim();
      const compare = (a, b) => numeric ? Number(value(a)) - Number(value(b)) : value(a).localeCompare(value(b));
      const rows = Array.from(table.tBodies[0].rows).sort((a, b) => (up ? 1 : -1) * compare(a, b));
      table.tBodies[0].append(...rows);
    });
  });
}
