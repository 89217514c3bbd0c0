// A table of the same things by two lenses: from inside and from the host. One of them is in focus.

import { h, keyed, setAttribute, setPath } from "./dom.js";
import { brief } from "./format.js";

export class Lenses {
  constructor() {
    this.body = h("tbody");
    const heads = [["inside", "from inside"], ["host", "from the host"]];
    this.element = h("table", { class: "sc-lenses", "aria-label": "the same things from inside and from the host" },
      h("thead", {}, h("tr", {}, h("td"), heads.map(([lens, label]) => h("th", { scope: "col", "data-lens": lens }, label)))), this.body);
  }

  // `rows`: [what, from inside, from the host]; an empty text is a dash.
  draw(rows, lens) {
    keyed(this.body, rows, ([label]) => label, ([label]) => h("tr", {}, h("th", { scope: "row" }, label), h("td", { "data-lens": "inside" }), h("td", { "data-lens": "host" })),
      (row, [, ...texts]) => {
        texts.forEach((text, at) => {
          setPath(row.children[at + 1], /^sha256:\w+$/.test(text) ? text : brief(text || "–"));
          setAttribute(row.children[at + 1], "title", text || null);
        });
      });
    setAttribute(this.element, "data-lens", lens);
  }
}
