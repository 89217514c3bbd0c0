// Looking into an image, or into one of its layers: the instruction, the files, and who shares it.

import { h, keyed, setText } from "./dom.js";
import { Files } from "./files_view.js";
import { ago, brief, count, nameOf, short, size } from "./format.js";
import { Lenses } from "./lenses.js";
import { Table, Tabs } from "./tabs.js";

export class ImageView {
  constructor(inspector, digest) {
    Object.assign(this, { inspector, digest, link: inspector.link, state: inspector.state });
    this.lenses = new Lenses();
    this.history = new Table("history", ["", "instruction", "made", "size"]);
    this.blobs = new Table("files on the host", ["", "size", "digest", "file of this machine"]);
    this.tabs = new Tabs("parts of the image", [
      { name: "about", label: "Overview", build: () => this.lenses.element },
      { name: "image-files", label: "Files inside", build: () => this.buildFiles() },
      { name: "blobs", label: "Files on the host", build: () => this.blobs.element },
      { name: "history", label: "Instructions", build: () => this.history.element },
    ], (name) => { inspector.imageTab = name; }, inspector.imageTab);
    this.element = this.tabs.element;
    this.look();
  }

  buildFiles() {
    const ask = (window) => this.link().ask("image_files", { name: this.digest, ...window });
    this.files = new Files("files of the image", "all layers together: what every container of it begins with",
      ask, (path) => this.link().ask("image_text", { name: this.digest, path }), "It has no files, only settings.");
    return this.files.element;
  }

  async look() {
    const told = await this.link().ask("image", { name: this.digest }).catch(() => null);
    if (!told) return;
    this.about = told;
    const rows = told.history.map((one, at) => ({ ...one, at: told.history.length - at }));
    this.fill(this.history, rows, (row) => row.at, (row) => {
      const text = row.text.replace(/^\/bin\/sh -c #\(nop\) +/, "").replace(/^RUN \/bin\/sh -c /, "RUN ");
      return [row.at, text, row.layer ? "a layer" : "settings only", row.layer ? size(row.size) : ""];
    });
    this.fill(this.blobs, told.blobs, (row) => row.what, (row) => [row.what, size(row.size), short(row.digest), brief(row.path)]);
    this.render();
  }

  fill(table, rows, keyOf, cells) {
    keyed(table.body, rows, keyOf, (row) => h("tr", {}, cells(row).map(() => h("td"))), (element, row) => {
      cells(row).forEach((cell, at) => setText(element.children[at], String(cell)));
    });
  }

  render() {
    const image = this.state.images.get(this.digest);
    if (!image) return;
    const users = [...this.state.containers.values()].filter((one) => one.digest === this.digest);
    const created = Date.parse(image.created) / 1000;
    const said = Object.fromEntries(image.settings);
    const start = [said.ENTRYPOINT, said.CMD].filter(Boolean).join(" ");
    const config = this.about ? `written in its configuration, ${short(this.about.blobs[1].digest)}` : "";
    this.lenses.draw([
      ["it is", "the files that a container begins with", "a manifest that names one configuration and a stack of layers"],
      ["digest", "", image.digest],
      ["names", "", image.names.join(", ") || "none"],
      ["files", "one tree, from / down", `${count(image.layers.length, "layer")}, ${size(image.size)} compressed, each stored once`],
      ["can change", "yes, in the container's own writable layer", "never: other bytes would be another image"],
      ["starts", start || "nothing: say what to run", config],
      ["as user", said.USER ?? "root", config],
      ["in", said.WORKDIR ?? "/", config],
      ["environment", said.ENV ?? "", config],
      ["ports", said.EXPOSE ? `${said.EXPOSE}: somebody may listen there` : "", said.EXPOSE ? "a note; nothing is published by it" : ""],
      ["volumes", said.VOLUME ?? "", said.VOLUME ? "a new volume for each container" : ""],
      ["labels", "", said.LABEL ?? ""],
      ["made", "", `${created ? ago(created) : "not told"}, for ${image.platform}`],
      ["containers", "each sees only itself", users.length ? users.map((one) => one.name).join(", ") : "none"],
    ].filter(([, inside, host]) => inside || host), this.state.lens);
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
      (path) => link().ask("layer_text", { digest, number, path }), "It changes no file.");
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
