// The left side: images as stacks of read-only layers. What several images share is drawn once, and
// they stand on it side by side.

import { h, icon, keyed, setAttribute, setText } from "./dom.js";
import { count, nameOf, size } from "./format.js";

const MOST_SHEETS = 12;

// Runs of layers that the same images have, lowest first: {key, layers: [{…, number}], images that end
// there, runs that stand on it, how many images go through it}.
export function runsOf(images) {
  const root = { children: new Map(), images: [], through: 0 };
  for (const image of images) {
    let node = root;
    image.layers.forEach((layer, at) => {
      let next = node.children.get(layer.chain);
      if (!next) {
        next = { layer: { ...layer, number: at + 1 }, children: new Map(), images: [], through: 0, of: image };
        node.children.set(layer.chain, next);
      }
      next.through += 1;
      node = next;
    });
    node.images.push(image);
  }
  return [...root.children.values()].map(runFrom).concat(
    root.images.map((image) => ({ key: image.digest, layers: [], images: [image], runs: [], through: 1, of: image })),
  );
}

function runFrom(first) {
  const layers = [];
  let node = first;
  for (;;) {
    layers.push(node.layer);
    if (node.images.length || node.children.size !== 1) break;
    [node] = node.children.values();
  }
  const runs = [...node.children.values()].map(runFrom);
  return { key: first.layer.chain, layers, images: node.images, runs, through: node.through, of: first.of };
}

export class Stacks {
  // `heads`: what stands beside the headline.
  constructor(state, heads) {
    this.state = state;
    this.largest = 1;
    this.unfolded = new Set();
    this.empty = h("p", { class: "sc-quiet" });
    this.list = h("div", { class: "sc-families" });
    this.element = h("section", { class: "sc-side sc-images", "aria-label": "Images" },
      h("h3", {}, "Images", h("span", { class: "sc-about" }, "read-only templates: stacks of layers"), heads),
      this.empty, this.list);
  }

  render() {
    const all = [...this.state.images.values()];
    const why = (image) => this.state.found(["name", image.names.join(" ")], ["instructions", image.layers.map((layer) => layer.text).join(" ")], ["id", image.digest]);
    const images = all.filter((image) => why(image) !== null);
    images.sort((one, other) => (one.created < other.created ? -1 : one.created > other.created ? 1 : 0));
    this.largest = Math.max(1, ...all.flatMap((image) => image.layers.map((layer) => layer.size)));
    setText(this.empty, images.length ? "" : all.length ? "no image has these words"
      : this.state.heard ? "no images yet: %%image NAME builds one" : "looking …");
    this.runs(this.list, runsOf(images));
  }

  runs(parent, runs) {
    keyed(parent, runs, (run) => run.key, (run) => this.make(run), (element, run) => this.update(element, run));
  }

  make() {
    const parts = {
      towers: h("div", { class: "sc-towers" }),
      plates: h("div", { class: "sc-plates" }),
      sheets: h("div", { class: "sc-sheets" }),
    };
    const element = h("div", { class: "sc-run" }, parts.towers, parts.plates, parts.sheets);
    element.parts = parts;
    return element;
  }

  update(element, run) {
    const { towers, plates, sheets } = element.parts;
    this.runs(towers, run.runs);
    element.classList.toggle("sc-shared", run.through > 1);
    keyed(plates, run.images, (image) => image.digest, (image) => this.makePlate(image),
      (plate, image) => this.updatePlate(plate, image));
    const rows = this.shown(run).reverse();
    keyed(sheets, rows, (row) => row.chain, (row) => this.makeSheet(row), (sheet, row) => this.updateSheet(sheet, row, run));
  }

  shown(run) {
    if (run.layers.length <= MOST_SHEETS || this.unfolded.has(run.key)) return [...run.layers];
    const middle = run.layers.slice(4, -4);
    const total = middle.reduce((sum, layer) => sum + layer.size, 0);
    const fold = { chain: `${run.key} folded`, fold: run.key, size: total, text: `… ${middle.length} more layers`, number: "" };
    return [...run.layers.slice(0, 4), fold, ...run.layers.slice(-4)];
  }

  makePlate(image) {
    const choose = () => this.state.choose({ kind: "image", key: image.digest });
    const plate = h("button", { class: "sc-plate", type: "button", onclick: choose, "data-key": `image ${image.digest}` },
      h("span", { class: "sc-kind" }, "image"), h("b"), h("span", { class: "sc-size" }));
    return plate;
  }

  updatePlate(plate, image) {
    const [, name, total] = plate.children;
    setText(name, nameOf(image));
    setText(total, size(image.size));
    const also = image.names.slice(1).join(", ");
    setAttribute(plate, "title", `${image.names.join(", ") || "without a name"}\n${image.digest}`);
    setAttribute(plate, "aria-label",
      `image ${nameOf(image)}${also ? `, also ${also}` : ""}, ${count(image.layers.length, "layer")}, ${size(image.size)}, read-only`);
    this.mark(plate, this.state.isChosen("image", image.digest), this.state.lit === image.digest);
  }

  makeSheet(row) {
    const sheet = h("button", { class: "sc-sheet", type: "button", onclick: () => this.press(sheet), "data-key": `layer ${row.chain}` },
      h("span", { class: "sc-number" }), h("span", { class: "sc-text" }), h("span", { class: "sc-badge" }, icon("shared"), h("span")),
      h("span", { class: "sc-size" }), h("span", { class: "sc-bar", "aria-hidden": "true" }, h("i")));
    return sheet;
  }

  press(sheet) {
    const { row, run } = sheet.shows;
    if (row.fold) {
      this.unfolded.add(row.fold);
      this.state.changed();
      return;
    }
    // Of the images that have this layer, the one that is looked at already.
    const lit = this.state.images.get(this.state.lit);
    const has = lit?.layers[row.number - 1]?.chain === row.chain;
    this.state.choose({ kind: "layer", key: has ? lit.digest : run.of.digest, number: row.number });
  }

  updateSheet(sheet, row, run) {
    sheet.shows = { row, run };
    const [number, text, badge, bytes, bar] = sheet.children;
    setText(number, String(row.number));
    setText(text, row.text);
    setText(badge.lastChild, String(run.through));
    setAttribute(badge, "title", `shared: ${count(run.through, "image")} stand on this layer, it is stored once`);
    badge.classList.toggle("sc-none", run.through < 2 || Boolean(row.fold));
    bar.firstChild.style.width = `${Math.max(row.size ? 3 : 0, (100 * row.size) / this.largest)}%`;
    setText(bytes, size(row.size));
    setAttribute(sheet, "title", row.text);
    const shared = run.through > 1 ? `, shared by ${run.through} images` : "";
    setAttribute(sheet, "aria-label", row.fold ? `unfold${row.text.slice(1)}` : `layer ${row.number}, ${row.text}, ${size(row.size)}${shared}`);
    const lit = this.state.images.get(this.state.lit);
    const within = lit?.layers[row.number - 1]?.chain === row.chain;
    const chosen = this.state.chosen;
    this.mark(sheet, within && chosen?.kind === "layer" && chosen.number === row.number, within);
  }

  mark(element, chosen, lit) {
    element.classList.toggle("sc-chosen", Boolean(chosen));
    element.classList.toggle("sc-lit", Boolean(lit));
    setAttribute(element, "aria-pressed", String(Boolean(chosen)));
  }
}
