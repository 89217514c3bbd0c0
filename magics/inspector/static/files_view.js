// A tree of changed files, what they add up to, a search, and the text of the chosen file beside it.

import { h, setText } from "./dom.js";
import { size } from "./format.js";
import { Tree } from "./tree.js";

export class Files {
  // `ask(window)`: a window of rows; `read(path)`: {text, cut} of a file.
  constructor(label, about, ask, read) {
    this.read = read;
    this.totals = h("p", { class: "sc-totals", "aria-live": "polite" });
    this.name = h("b");
    this.text = h("pre", { class: "sc-text-of", tabindex: "0" });
    this.preview = h("div", { class: "sc-preview", hidden: true },
      h("div", { class: "sc-preview-head" }, this.name, h("button", { class: "sc-close", type: "button", "aria-label": "close the file", onclick: () => { this.preview.hidden = true; } }, "×")), this.text);
    this.tree = new Tree(label, ask, (row) => this.open(row), (told) => this.told(told));
    const search = h("input", { type: "search", class: "sc-search", placeholder: "find a file", "aria-label": "find a file", spellcheck: "false",
      oninput: () => {
        clearTimeout(this.typing);
        this.typing = setTimeout(() => this.tree.filter(search.value.trim()), 200);
      } });
    this.element = h("div", { class: "sc-files" }, h("div", { class: "sc-files-head" }, h("span", { class: "sc-quiet" }, about), this.totals, search),
      h("div", { class: "sc-files-body" }, this.tree.element, this.preview));
  }

  told({ error, counts, size: bytes, wasted, total }) {
    if (error) {
      setText(this.totals, error.told?.cause ?? String(error.message));
      return;
    }
    const [added, changed, deleted] = counts;
    const words = [`${added} added`, `${changed} changed`, `${deleted} deleted`, size(bytes)];
    if (wasted) words.push(`${size(wasted)} wasted below`);
    setText(this.totals, total ? words.join(" · ") : this.tree.search ? "nothing of that name" : "nothing: no file was changed");
  }

  async open(row) {
    setText(this.name, `/${row.path}`);
    this.preview.hidden = false;
    if (row.change === "D" || row.kind !== "file") {
      setText(this.text, row.change === "D" ? "deleted here; a layer below still holds it" : row.link ? `${row.kind} to ${row.link}` : row.kind);
      return;
    }
    setText(this.text, "reading …");
    const told = await this.read(row.path).catch((error) => ({ text: error.told?.cause ?? String(error.message) }));
    if (this.name.textContent !== `/${row.path}`) return;
    setText(this.text, told.text ?? `not text: ${size(told.size)}`);
    if (told.cut) this.text.append("\n… the rest is not shown");
  }
}
