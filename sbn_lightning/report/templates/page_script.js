// Tables are sorted by the column whose heading is clicked: largest number first, then smallest; names from A on.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.onclick = () => {
      const text = (row) => row.cells[column].textContent.trim();
      const number = (row) => parseFloat(text(row).replaceAll(",", "").replace("−", "-"));
      const rows = [...table.tBodies[0].rows];
      const isText = column === 0 || rows.every((row) => isNaN(number(row)));
      const before = heading.getAttribute("aria-sort");
      const isUp = before ? before === "descending" : isText;
      const sign = isUp ? 1 : -1;
      rows.sort((a, b) => isText ? sign * text(a).localeCompare(text(b), undefined, { numeric: true })
        : isNaN(number(a)) - isNaN(number(b)) || sign * (number(a) - number(b)));
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", isUp ? "ascending" : "descending");
      table.tBodies[0].append(...rows);
    };
  });
}
// The cell of a confusion matrix at which one points is explained above it.
for (const matrix of document.querySelectorAll(".cells")) {
  const [names, images, cells] = ["names", "images", "cells"].map((name) => JSON.parse(matrix.dataset[name]));
  const count = new Map(cells.map(([row, column, number]) => [row * names.length + column, number]));
  const [text, image] = [matrix.querySelector("p"), matrix.querySelector("img")];
  image.onpointermove = image.onpointerdown = (event) => {
    const place = image.getBoundingClientRect();
    const at = (offset, size) => Math.max(0, Math.min(names.length - 1, Math.floor(offset / size * names.length)));
    const row = at(event.clientY - place.top, place.height), column = at(event.clientX - place.left, place.width);
    const number = count.get(row * names.length + column) || 0;
    text.textContent = `${names[row]} → ${names[column]}: ${number} of ${images[row]} images`;
  };
}
