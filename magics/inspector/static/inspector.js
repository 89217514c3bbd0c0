// The inspector as a whole: both sides, what is chosen below them, and how they hear of changes.

import { Actions } from "./actions.js";
import { ContainerView } from "./container_view.js";
import { Dialogs } from "./dialogs.js";
import { h, onceAFrame, setAttribute, setText } from "./dom.js";
import { count, nameOf, short, stateOf } from "./format.js";
import { Boxes } from "./glass.js";
import { ImageView, LayerView } from "./image_view.js";
import { Stacks } from "./stacks.js";
import { State } from "./state.js";
import { StoreActions } from "./store_actions.js";

export class Inspector {
  // `link`: where the store is. It may be changed for a better one by `use`.
  constructor(root) {
    this.root = root;
    this.state = new State();
    this.view = null;
    this.current = null;
    this.link = () => this.current;
    this.dialogs = new Dialogs();
    const store = new StoreActions(this.state, this.link, this.dialogs);
    this.stacks = new Stacks(this.state, store.images);
    this.boxes = new Boxes(this.state, store.containers);
    this.actions = new Actions(this.state, this.link, this.dialogs);
    root.classList.add("sc");
    root.setAttribute("data-lm-suppress-shortcuts", "true"); // keys are ours here, not the notebook's
    root.setAttribute("role", "region");
    root.setAttribute("aria-label", "sandcell inspector");
    root.append(this.bar(), h("div", { class: "sc-sides" }, this.stacks.element, this.boxes.element), this.detail(), this.dialogs.element);
    root.addEventListener("keydown", (event) => this.press(event));
    root.addEventListener("focusin", () => this.rove());
    const render = onceAFrame(() => this.render());
    this.state.listeners.add(render);
    this.state.touching.add((id) => {
      if (id === null || id === this.state.chosen?.key) this.view?.touched();
    });
    render();
  }

  bar() {
    this.told = h("span", { class: "sc-status", role: "status" });
    this.tally = h("span", { class: "sc-tally" });
    this.search = h("input", { type: "search", class: "sc-search", placeholder: "search  ( / )", "aria-label": "search images and containers", spellcheck: "false",
      oninput: () => {
        this.state.words = this.search.value;
        this.state.changed();
      } });
    const lens = (name, label) => h("label", { class: "sc-lens" }, h("input", { type: "radio", name: this.group, value: name, checked: name === "inside", onchange: () => {
      this.state.lens = name;
      this.state.changed();
    } }), h("span", {}, label));
    this.group = `sc-lens-${Math.random().toString(36).slice(2)}`;
    return h("div", { class: "sc-top" }, h("b", { class: "sc-brand" }, "sandcell"), this.tally,
      h("fieldset", { class: "sc-lens-choice" }, h("legend", { class: "sc-only-heard" }, "how containers are looked at"), lens("inside", "from inside"), lens("host", "from the host")),
      this.search, this.told);
  }

  detail() {
    this.kind = h("span", { class: "sc-kind" });
    this.name = h("h3", { class: "sc-title" });
    this.pill = h("span", { class: "sc-pill" });
    this.body = h("div", { class: "sc-detail-body" });
    this.hint = h("p", { class: "sc-quiet sc-hint" }, "Choose an image, a layer or a container to look inside.");
    this.pane = h("section", { class: "sc-detail", "aria-label": "what is chosen", hidden: true },
      h("div", { class: "sc-detail-head" }, this.kind, this.name, this.pill, this.actions.element,
        h("button", { class: "sc-close", type: "button", "aria-label": "look at nothing", onclick: () => this.leave() }, "×")),
      this.body);
    return h("div", { class: "sc-below" }, this.hint, this.pane);
  }

  // Look at nothing; whoever works by keys goes on where they chose.
  leave() {
    this.root.querySelector(".sc-side .sc-chosen")?.focus();
    this.state.choose(null);
  }

  // One stop of the Tab key for each side, however many things stand there: arrow keys do the rest.
  rove() {
    for (const side of [this.stacks, this.boxes]) {
      const all = [...side.element.querySelectorAll("[data-key]")];
      const here = [document.activeElement, side.stop].find((one) => all.includes(one));
      side.stop = here ?? all.find((one) => one.classList.contains("sc-chosen")) ?? all[0];
      for (const one of all) {
        const stop = one === side.stop ? 0 : -1;
        if (one.tabIndex !== stop) one.tabIndex = stop;
      }
    }
  }

  // Hear of the store by `link`, and ask there.
  use(link) {
    this.current?.close();
    this.current = link;
    this.watched = undefined;
    link.listen((message) => this.state.hear(message), (text) => this.tell(text));
    link.ask("about").then((about) => {
      this.about = about;
      this.told.title = `store ${about.home}, rung ${about.rung}`;
      this.state.changed();
    }, () => {});
  }

  tell(text) {
    setText(this.told, text);
    setAttribute(this.told, "data-live", String(text.startsWith("live")));
  }

  render() {
    this.stacks.render();
    this.boxes.render();
    this.rove();
    const running = [...this.state.containers.values()].filter((one) => one.pid !== null).length;
    setText(this.tally, `${count(this.state.images.size, "image")} · ${count(this.state.containers.size, "container")}, ${running} running`);
    this.renderDetail();
  }

  renderDetail() {
    const chosen = this.state.chosen;
    const thing = chosen && (chosen.kind === "container" ? this.state.containers : this.state.images).get(chosen.key);
    if (chosen && !thing) {
      this.state.chosen = null; // it is gone
      setText(this.hint, `That ${chosen.kind} is gone. Choose another one to look inside.`);
    }
    const key = thing ? `${chosen.kind} ${chosen.key} ${chosen.number ?? ""}` : "";
    if (key !== this.shown) {
      this.shown = key;
      this.view?.close();
      this.view = thing ? this.makeView(chosen) : null;
      this.body.replaceChildren(...(this.view ? [this.view.element] : []));
      this.watch(thing && chosen.kind === "container" ? [chosen.key] : []);
    }
    this.pane.hidden = !thing;
    this.hint.hidden = Boolean(thing);
    if (!thing) return;
    setAttribute(this.pane, "data-kind", chosen.kind);
    setText(this.kind, chosen.kind);
    if (chosen.kind === "container") {
      const [words, kind] = stateOf(thing);
      setText(this.name, thing.name);
      setText(this.pill, `${words} · rung ${thing.rung}`);
      setAttribute(this.pill, "data-state", kind);
      this.actions.container(thing);
    } else {
      setText(this.name, chosen.kind === "layer" ? `${chosen.number} of ${nameOf(thing)}` : nameOf(thing));
      setText(this.pill, chosen.kind === "layer" ? short(thing.layers[chosen.number - 1]?.digest ?? "") : "read-only");
      setAttribute(this.pill, "data-state", "still");
      if (chosen.kind === "image") this.actions.image(thing);
      else this.actions.nothing();
    }
    this.view.render();
  }

  makeView({ kind, key, number }) {
    if (kind === "container") return new ContainerView(this, key);
    return kind === "image" ? new ImageView(this, key) : new LayerView(this, key, number);
  }

  watch(ids) {
    if (String(ids) === String(this.watched)) return;
    this.watched = ids;
    this.current?.watch(ids);
  }

  press(event) {
    const typing = event.target.matches("input:not([type=radio]), textarea, select");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      this.search.focus();
    } else if (event.key === "Escape" && event.target === this.search) {
      this.search.value = this.state.words = "";
      this.state.changed();
    } else if (["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key) && !typing) this.step(event);
    // The notebook has meanings for single keys, and must not hear these.
    event.stopPropagation();
  }

  // Arrow keys go through what can be chosen on one side, left and right from side to side; Home and End.
  step(event) {
    const here = event.target.closest?.(".sc-side");
    if (!here) return;
    const jump = { Home: 0, End: -1 }[event.key];
    const sideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
    const sides = [this.stacks.element, this.boxes.element];
    const inBoxes = event.target.classList.contains("sc-glass");
    let target;
    if (sideways && !(inBoxes && event.key === "ArrowRight")) {
      const side = sides[event.key === "ArrowRight" ? 1 : 0];
      if (side !== here) target = side.querySelector(".sc-chosen, [data-key]");
    }
    if (!target && (!sideways || here === sides[1])) {
      const all = [...here.querySelectorAll("[data-key]")];
      const forward = event.key === "ArrowDown" || event.key === "ArrowRight";
      target = jump === undefined ? all[all.indexOf(event.target) + (forward ? 1 : -1)] : all.at(jump);
    }
    if (!target) return;
    event.preventDefault();
    target.focus();
  }

  close() {
    this.view?.close();
    this.current?.close();
  }
}

