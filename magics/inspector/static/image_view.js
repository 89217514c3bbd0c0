// Looking into an image, or into one of its layers: the instruction, the files, and who shares it.

import { h, keyed, setText } from "./dom.js";
import { Files } from "./files_view.js";
import { ago, count, nameOf, size } from "./format.js";
import { Table, Tabs } from "./tabs.js";

export class ImageView {
  constructor(inspector, digest) {
    Object.assign(this, { inspector, digest, link: inspector.link, state: inspector.state });
    this.facts = h("tbody");
    this.history = new Table("history", ["", "instruction", "made", "size"]);
    this.tabs = new Tabs("parts of the image", [
      { name: "about", label: "Overview", build: () => h("table", { class: "sc-lenses" }, this.facts) },
      { name: "history", label: "Instructions", build: () => this.history.element },
    ], (name) => { inspector.imageTab = name; }, inspector.imageTab);
    this.element = this.tabs.element;
    this.look();
  }

  async look() {
    const told = await this.link().ask("image", { name: this.digest }).catch(() => null);
    if (!told) return;
    const rows = told.history.map((one, at) => ({ ...one, at: told.history.length - at }));
    keyed(this.history.body, rows, (row) => row.at, () => h("tr", {}, h("td"), h("td"), h("td"), h("td")), (element, row) => {
      const text = row.text.replace(/^\/bin\/sh -c #\(nop\) +/, "").replace(/^RUN \/bin\/sh -c /, "RUN ");
      [row.at, text, row.layer ? "a layer" : "settings only", row.layer ? size(row.size) : ""].forEach((cell, at) => setText(element.children[at], String(cell)));
    });
  }

  render() {
    const image = this.state.images.get(this.digest);
    if (!image) return;
    const users = [...this.state.containers.values()].filter((one) => one.digest === this.digest);
    const created = Date.parse(image.created) / 1000;
    const rows = [
      ["names", image.names.join(", ") || "none"],
      ["digest", image.digest],
      ["made", created ? ago(created) : "not told"],
      ["platform", image.platform],
      ["layers", `${image.layers.length}, ${size(image.size)} compressed, read-only`],
      ["containers", users.length ? `${count(users.length, "container")}: ${users.map((one) => one.name).join(", ")}` : "none"],
      ...image.settings,
    ];
    keyed(this.facts, rows, ([name]) => name, ([name]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "sc-code" })), (row, [, text]) => setText(row.lastChild, text));
  }

  touched() {}

  close() {}
}

export class LayerView {
  constructor(inspector, digest, number) {
    Object.assign(this, { digest, number, state: inspector.state });
    this.made = h("code", { class: "sc-instruction" });
    this.shared = h("p", { class: "sc-quiet" });
    const link = inspector.link;
    this.files = new Files("files of the layer", "what this instruction did to the files below",
      (window) => link().ask("layer_files", { digest, number, ...window }),
      (path) => link().ask("layer_text", { digest, number, path }));
    this.element = h("div", { class: "sc-tabbed" }, this.made, this.shared, this.files.element);
  }

  render() {
    const image = this.state.images.get(this.digest);
    const layer = image?.layers[this.number - 1];
    if (!layer) return;
    setText(this.made, layer.text);
    const others = [...this.state.images.values()].filter((one) => one !== image && one.layers[this.number - 1]?.chain === layer.chain);
    setText(this.shared, `${layer.digest} · ${size(layer.size)} compressed · ${others.length ? `shared with ${others.map(nameOf).join(", ")}: stored once` : "no other image has it"}`);
  }

  touched() {}

  close() {}
}
