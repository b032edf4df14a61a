"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  // Tables are sorted by a click on a heading.
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.textContent) return;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const body = table.tBodies[0];
        const value = (row) => row.cells[column].dataset.order;
        const order = (a, b) => {
          const [x, y] = [value(a), value(b)];
          if (x === "" || y === "") return (x === "") - (y === "");  // missing values are last
          const numbers = !isNaN(x) && !isNaN(y);
          return (up ? 1 : -1) * (numbers ? x - y : x.localeCompare(y));
        };
        body.append(...[...body.rows].sort(order));
      });
    });
  }

  // Runs are filtered by the words in them.
  const filter = document.querySelector(".filter");
  const runs = [...document.querySelectorAll("details.run")];
  if (runs.length > 1) {
    filter.hidden = false;
    filter.querySelector("input").addEventListener("input", (event) => {
      const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const run of runs) {
        const text = run.querySelector("summary").textContent.toLowerCase();
        run.hidden = !words.every((word) => text.includes(word));
      }
    });
  }

  // A chart shows the values at the step under the pointer.
  const tooltip = document.getElementById("tooltip");
  const nearest = (steps, step) => {
    let best = 0;
    steps.forEach((other, i) => { if (Math.abs(other - step) < Math.abs(steps[best] - step)) best = i; });
    return best;
  };
  document.querySelectorAll(".chart svg").forEach((svg, number) => {
    const chart = data.charts[number];
    svg.addEventListener("pointermove", (event) => {
      const place = svg.getBoundingClientRect();
      const at = (event.clientX - place.left) / place.width * chart.size[0];
      const share = (at - chart.box[0]) / (chart.box[2] - chart.box[0]);
      const lines = chart.curves.filter((curve) => curve.steps.length);
      tooltip.hidden = share < 0 || share > 1 || !lines.length;
      if (tooltip.hidden) return;
      const step = chart.x[0] + share * (chart.x[1] - chart.x[0]);
      const first = lines[0].steps[nearest(lines[0].steps, step)];
      tooltip.replaceChildren(`step ${first}`);
      for (const curve of lines) {
        const row = document.createElement("div");
        const dot = document.createElement("span");
        dot.className = "dot";
        dot.style.background = data.colors[curve.group];
        const value = curve.values[nearest(curve.steps, step)];
        row.append(dot, `${Number(value.toPrecision(4))}  ${data.groups.length > 1 ? data.groups[curve.group] : ""}`);
        tooltip.append(row);
      }
      tooltip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tooltip.offsetWidth - 8))}px`;
      tooltip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tooltip.offsetHeight - 8))}px`;
    });
    svg.addEventListener("pointerleave", () => { tooltip.hidden = true; });
  });
})();
