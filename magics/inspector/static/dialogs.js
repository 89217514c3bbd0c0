// Asking before something is lost, and asking for a name. The browser's own dialog keeps the focus in it,
// closes on Escape and gives the focus back.

import { h } from "./dom.js";

export class Dialogs {
  constructor() {
    this.title = h("h4", { id: `sc-dialog-${Math.random().toString(36).slice(2)}` });
    this.body = h("div");
    this.element = h("dialog", { class: "sc-dialog", "aria-labelledby": this.title.id }, h("form", { method: "dialog" }, this.title, this.body));
  }

  // What was pressed, or what was typed; null for none.
  open(title, about, button, kind, ...fields) {
    this.title.textContent = title;
    const yes = h("button", { class: `sc-button sc-${kind}`, value: "yes" }, button);
    const no = h("button", { class: "sc-button", value: "no", formnovalidate: true }, button ? "Cancel" : "Close");
    this.body.replaceChildren(h("p", {}, about), ...fields, h("div", { class: "sc-dialog-buttons" }, no, button ? yes : null));
    this.element.returnValue = "no";
    this.element.showModal();
    (fields[0] ?? no).focus();
    return new Promise((resolve) => {
      this.element.addEventListener("close", () => resolve(this.element.returnValue === "yes"), { once: true });
    });
  }

  sure(title, about, button) {
    return this.open(title, about, button, "danger");
  }

  async text(title, about, label, value, button) {
    const field = h("input", { type: "text", "aria-label": label, placeholder: label, value, required: true, spellcheck: "false", maxlength: 255 });
    // The first button of a form is what Enter presses; here that must be the one that does it.
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      if (field.value.trim()) this.element.close("yes");
    });
    const done = await this.open(title, about, button, "plain", field);
    return done ? field.value.trim() : null;
  }

  show(title, about, text) {
    return this.open(title, about, "", "plain", h("code", { class: "sc-copy", tabindex: "0" }, text));
  }
}
