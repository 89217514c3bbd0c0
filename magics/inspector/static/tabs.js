// Tabs by the WAI-ARIA pattern: arrow keys move, what is not shown is not built.

import { h, setAttribute } from "./dom.js";

export class Tabs {
  // `pages`: [{name, label, build() → element}]; `shown(name)`: told when another one is shown.
  constructor(label, pages, shown, first) {
    this.pages = pages;
    this.shown = shown;
    this.list = h("div", { class: "sc-tabs", role: "tablist", "aria-label": label, onkeydown: (event) => this.press(event) });
    this.panel = h("div", { class: "sc-panel", role: "tabpanel", tabindex: "-1" });
    this.element = h("div", { class: "sc-tabbed" }, this.list, this.panel);
    this.built = new Map();
    for (const { name, label: text } of pages) {
      this.list.append(h("button", { class: "sc-tab", role: "tab", type: "button", "data-tab": name, onclick: () => this.show(name) }, text));
    }
    this.show(pages.some(({ name }) => name === first) ? first : pages[0].name);
  }

  show(name) {
    this.name = name;
    for (const tab of this.list.children) {
      const on = tab.dataset.tab === name;
      setAttribute(tab, "aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      if (on) this.panel.setAttribute("aria-label", tab.textContent);
    }
    if (!this.built.has(name)) this.built.set(name, this.pages.find((page) => page.name === name).build());
    this.panel.replaceChildren(this.built.get(name));
    this.shown(name);
  }

  press(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const at = this.pages.findIndex(({ name }) => name === this.name);
    this.show(this.pages[(at + step + this.pages.length) % this.pages.length].name);
    this.list.querySelector('[aria-selected="true"]').focus();
  }
}

// A table of texts whose rows are kept by their first cell.
export class Table {
  constructor(label, heads) {
    this.body = h("tbody");
    this.element = h("table", { class: "sc-table", "aria-label": label },
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), this.body);
  }
}
