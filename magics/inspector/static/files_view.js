// A tree of changed files, what they add up to, a search, and the text of the chosen file beside it.

import { h, icon, setText } from "./dom.js";
import { count, size } from "./format.js";
import { Tree } from "./tree.js";

export class Files {
  // `ask(window)`: a window of rows; `read(path)`: {text, cut} of a file.
  // `nothing`: what is said where no file is.
  // `fetch(path)`: let a file be kept elsewhere; where it is left out, no button is there for it.
  constructor(label, about, ask, read, nothing = "No file was changed.", fetch = null) {
    this.read = read;
    this.keep = fetch && h("button", { class: "sc-button sc-small sc-fetch", type: "button", onclick: () => fetch(this.name.textContent) }, icon("save"), h("span", {}, "Copy out"));
    this.empty = nothing;
    this.totals = h("p", { class: "sc-totals", "aria-live": "polite" });
    this.name = h("b");
    this.text = h("pre", { class: "sc-text-of", tabindex: "0" });
    this.preview = h("div", { class: "sc-preview", hidden: true },
      h("div", { class: "sc-preview-head" }, this.name, this.keep, h("button", { class: "sc-close", type: "button", "aria-label": "close the file", onclick: () => { this.preview.hidden = true; } }, "×")), this.text);
    this.tree = new Tree(label, ask, (row) => this.open(row), (told) => this.told(told));
    const search = h("input", { type: "search", class: "sc-search", placeholder: "find a file", "aria-label": "find a file", spellcheck: "false",
      oninput: () => {
        clearTimeout(this.typing);
        this.typing = setTimeout(() => this.tree.filter(search.value.trim()), 200);
      } });
    this.nothing = h("p", { class: "sc-nothing" }, "reading …");
    this.element = h("div", { class: "sc-files" }, h("div", { class: "sc-files-head" }, h("span", { class: "sc-quiet" }, about), this.totals, search),
      h("div", { class: "sc-files-body" }, h("div", { class: "sc-tree-box" }, this.tree.element, this.nothing), this.preview));
  }

  told({ error, counts, size: bytes, wasted, total, files }) {
    if (error) {
      setText(this.totals, error.told?.cause ?? String(error.message));
      return;
    }
    const [added, changed, deleted] = counts;
    const words = added + changed + deleted ? [`${added} added`, `${changed} changed`, `${deleted} deleted`, size(bytes)] : [count(files, "file"), size(bytes)];
    if (wasted) words.push(`${size(wasted)} wasted below`);
    setText(this.totals, total ? words.join(" · ") : "");
    setText(this.nothing, total ? "" : this.tree.search ? "Nothing has this in its name." : this.empty);
  }

  async open(row) {
    setText(this.name, `/${row.path}`);
    this.preview.hidden = false;
    if (this.keep) this.keep.hidden = row.change === "D";
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
