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
    if (this.element.open) return Promise.resolve(false); // pressed twice
    this.title.textContent = title;
    const yes = h("button", { class: `sc-button sc-${kind}`, value: "yes" }, button);
    const no = h("button", { class: "sc-button", value: "no", formnovalidate: true }, button ? "Cancel" : "Close");
    this.body.replaceChildren(h("p", {}, about), ...fields, h("div", { class: "sc-dialog-buttons" }, no, button ? yes : null));
    this.element.returnValue = "no";
    this.element.showModal();
    (this.body.querySelector("input, select, .sc-copy") ?? no).focus();
    return new Promise((resolve) => {
      this.element.addEventListener("close", () => resolve(this.element.returnValue === "yes"), { once: true });
    });
  }

  sure(title, about, button) {
    return this.open(title, about, button, "danger");
  }

  async text(title, about, label, value, button) {
    const told = await this.form(title, about, [{ name: "text", label, value, required: true }], button);
    return told && told.text;
  }

  // Several fields: [{name, label, value, required, kind, choices}]; what was typed by name, null for nothing.
  async form(title, about, fields, button) {
    const made = fields.map((field) => [field.name, this.field(field)]);
    const labels = made.map(([, input], at) => h("label", { class: "sc-field" }, h("span", {}, fields[at].label), input));
    const done = await this.open(title, about, button, "plain", ...labels);
    return done ? Object.fromEntries(made.map(([name, input]) => [name, input.value.trim()])) : null;
  }

  field({ value = "", required = false, kind = "text", choices, pattern, hint = "" }) {
    if (choices) return h("select", {}, choices.map(([name, label]) => h("option", { value: name, selected: name === value }, label)));
    const input = h("input", { type: kind, placeholder: hint, value, pattern, required, spellcheck: "false", autocomplete: "off", maxlength: 255, step: kind === "number" && "any", min: kind === "number" && 0 });
    // The first button of a form is what Enter presses; here that must be the one that does it.
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      if (input.form.reportValidity()) this.element.close("yes");
    });
    return input;
  }

  note(title, about, hint = "") {
    return this.open(title, about, "", "plain", ...(hint ? [h("p", { class: "sc-quiet" }, hint)] : []));
  }

  // A file of the page's own server; where that has no such place, the command that writes it.
  async download(title, place, command) {
    if (place) h("a", { href: place, download: "" }).click();
    else await this.show(title, "Type this in a terminal of the machine that has it:", command);
  }

  show(title, about, text) {
    return this.open(title, about, "", "plain", h("code", { class: "sc-copy", tabindex: "0" }, text));
  }
}
