// The right side: containers as glass boxes that stand on their image, each with its process inside and
// a thin writable layer of its own at the bottom.

import { h, keyed, setAttribute, setText } from "./dom.js";
import { count, nameOf, size, stateOf } from "./format.js";

const MOST_LINES = 6;

export class Boxes {
  // `heads`: what stands beside the headline.
  constructor(state, heads) {
    this.state = state;
    this.empty = h("p", { class: "sc-quiet" });
    this.list = h("div", { class: "sc-groups" });
    this.element = h("section", { class: "sc-side sc-containers", "aria-label": "Containers" },
      h("h3", {}, "Containers", h("span", { class: "sc-about" }, "running instances, each with files of its own"), heads),
      this.empty, this.list);
  }

  render() {
    const all = [...this.state.containers.values()];
    this.why = new Map(all.map((one) => [one.id, this.state.found(["name", one.name], ["image", one.image], ["command", one.command], ["state", one.state], ["id", one.id])]));
    const shown = all.filter((one) => this.why.get(one.id) !== null);
    shown.sort((one, other) => one.created - other.created);
    setText(this.empty, shown.length ? "" : all.length ? "no container has these words"
      : this.state.heard ? "no containers yet: %%container IMAGE runs a cell in one" : "");
    const groups = new Map();
    for (const one of shown) {
      if (!groups.has(one.digest)) groups.set(one.digest, { digest: one.digest, image: one.image, containers: [] });
      groups.get(one.digest).containers.push(one);
    }
    keyed(this.list, [...groups.values()], (group) => group.digest, (group) => this.makeGroup(group),
      (element, group) => this.updateGroup(element, group));
  }

  makeGroup(group) {
    const choose = () => this.state.choose({ kind: "image", key: group.digest });
    const boxes = h("div", { class: "sc-boxes" });
    const plinth = h("button", { class: "sc-plinth", type: "button", onclick: choose, "data-key": `plinth ${group.digest}` },
      h("span", { class: "sc-lines", "aria-hidden": "true" }), h("span", { class: "sc-plinth-text" }));
    const element = h("div", { class: "sc-group" }, boxes, plinth);
    element.parts = { boxes, plinth };
    return element;
  }

  updateGroup(element, group) {
    const { boxes, plinth } = element.parts;
    keyed(boxes, group.containers, (one) => one.id, (one) => this.makeBox(one), (box, one) => this.updateBox(box, one));
    const image = this.state.images.get(group.digest);
    const layers = image?.layers ?? [];
    const lines = layers.slice(-MOST_LINES).map((layer) => layer.chain).reverse();
    keyed(plinth.firstChild, lines, (chain) => chain, () => h("i"), () => {});
    const name = image ? nameOf(image) : group.image;
    const facts = image ? `${count(layers.length, "layer")} · ${size(image.size)} · ` : "";
    setText(plinth.lastChild, `image ${name} · ${facts}read-only`);
    const users = count(group.containers.length, "container");
    setAttribute(plinth, "aria-label", `${users} on image ${name}, read-only`);
    plinth.classList.toggle("sc-lit", this.state.lit === group.digest);
  }

  makeBox(one) {
    const choose = () => this.state.choose({ kind: "container", key: one.id });
    const parts = {
      name: h("b", { class: "sc-name" }),
      pill: h("span", { class: "sc-pill" }),
      command: h("code", { class: "sc-command" }),
      process: h("span", { class: "sc-process" }),
    };
    const box = h("button", { class: "sc-glass", type: "button", onclick: choose, "data-key": `container ${one.id}` },
      h("span", { class: "sc-glass-top" }, h("span", { class: "sc-kind" }, "container"), parts.pill),
      parts.name,
      h("span", { class: "sc-glass-body" }, parts.command, parts.process),
      h("span", { class: "sc-writable" }, "writable layer"));
    box.parts = parts;
    return box;
  }

  updateBox(box, one) {
    const { name, pill, command, process } = box.parts;
    const [words, kind] = stateOf(one);
    setText(name, one.name);
    setText(pill, words);
    setAttribute(box, "data-state", kind);
    setText(command, one.command ? `$ ${one.command}` : "");
    const why = this.why.get(one.id);
    setText(process, why ? `found by its ${why}` : this.process(one));
    process.classList.toggle("sc-why", Boolean(why));
    setAttribute(box, "title", `${one.name}\n${one.command}\n${words}`);
    setAttribute(box, "aria-label", `container ${one.name}, ${words}, of image ${one.image}, ${this.process(one)}`);
    const chosen = this.state.isChosen("container", one.id);
    box.classList.toggle("sc-chosen", chosen);
    setAttribute(box, "aria-pressed", String(chosen));
  }

  process(one) {
    if (one.state === "created") return "not started yet";
    if (one.pid === null) return "its process has ended";
    return this.state.lens === "inside" ? "pid 1 inside" : `pid ${one.pid} on the host`;
  }
}
