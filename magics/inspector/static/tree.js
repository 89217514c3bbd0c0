// A file tree that is asked for piece by piece and drawn only where it is seen: fifty thousand files cost
// as many elements as fit on the screen. WAI-ARIA: the tree pattern, with one active row.

import { h, onceAFrame, setAttribute, setText } from "./dom.js";
import { modeText, size } from "./format.js";

const ROW = 22; // pixels, as in details.css
const PAGE = 200;
const FEW = 20; // files that are all shown at once, without a click
const WORDS = { A: "added", C: "changed", D: "deleted", "": "" };
const SIGNS = { A: "+", C: "~", D: "−", "": "" };

export class Tree {
  // `ask({path, offset, limit, search})` → {total, rows, counts, size, wasted}; `open(row)`: a file was chosen.
  constructor(label, ask, open, told) {
    Object.assign(this, { ask, open, told });
    this.folders = new Map();
    this.active = 0;
    this.pool = [];
    this.stretches = [];
    this.total = 0;
    this.search = "";
    this.space = h("div", { class: "sc-tree-space" });
    this.element = h("div", {
      class: "sc-tree", role: "tree", tabindex: "0", "aria-label": label,
      onscroll: () => this.soon(), onkeydown: (event) => this.press(event), onclick: (event) => this.click(event),
    }, this.space);
    this.soon = onceAFrame(() => this.draw());
    new ResizeObserver(() => this.soon()).observe(this.element);
    this.reload();
  }

  // Ask anew; what is open stays open, and the place stays.
  async reload() {
    const opened = [...this.folders].filter(([, folder]) => folder.open).map(([path]) => path);
    this.generation = (this.generation ?? 0) + 1;
    const fresh = new Map([["", { path: "", open: true, total: 0, rows: [], asked: new Set() }]]);
    const first = await this.load(fresh.get(""), 0);
    if (!first) return;
    this.told(first);
    for (const path of opened) if (path) fresh.set(path, { path, open: true, total: 0, rows: [], asked: new Set() });
    await Promise.all([...fresh.values()].filter((folder) => folder.path).map((folder) => this.load(folder, 0)));
    if (!this.unfolded && !this.search && first.total && first.files <= FEW) await this.unfold(fresh, fresh.get(""));
    this.folders = fresh;
    this.arrange();
  }

  // Open all folders; once, for then somebody may have closed some.
  async unfold(folders, { rows }) {
    this.unfolded = true;
    for (const { open, path } of rows) {
      if (!open) continue;
      const folder = { path, open: true, total: 0, rows: [], asked: new Set() };
      folders.set(path, folder);
      await this.load(folder, 0);
      await this.unfold(folders, folder);
    }
  }

  filter(words) {
    if (this.search === words) return;
    this.search = words;
    this.folders.clear();
    this.active = 0;
    this.element.scrollTop = 0;
    this.reload();
  }

  async load(folder, page) {
    if (folder.asked.has(page)) return null;
    folder.asked.add(page);
    const generation = this.generation;
    const window = { path: folder.path, offset: page * PAGE, limit: PAGE };
    try {
      const told = await this.ask(this.search ? { ...window, limit: 1000, search: this.search } : window);
      if (generation !== this.generation) return null;
      folder.total = told.total;
      told.rows.forEach((row, at) => { folder.rows[told.offset + at] = row; });
      return told;
    } catch (error) {
      folder.asked.delete(page);
      this.told({ error });
      return null;
    }
  }

  // The rows as stretches of folders, so that a row is found by its number without a list of them all.
  arrange() {
    this.stretches = [];
    let at = 0;
    const lay = (folder, depth) => {
      let from = 0;
      const stretch = (to) => {
        if (to > from) this.stretches.push({ at, folder, depth, from });
        at += Math.max(0, to - from);
        from = to;
      };
      const inner = this.search ? [] : folder.rows
        .map((row, number) => [number, row && this.folders.get(row.path)])
        .filter(([, child]) => child?.open && child !== folder);
      for (const [number, child] of inner) {
        stretch(number + 1);
        lay(child, depth + 1);
      }
      stretch(folder.total);
    };
    lay(this.folders.get(""), 1);
    this.total = at;
    this.active = Math.max(0, Math.min(this.active, at - 1));
    this.space.style.height = `${at * ROW}px`;
    this.soon();
  }

  find(index) {
    let low = 0;
    let high = this.stretches.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.stretches[middle].at <= index) low = middle;
      else high = middle - 1;
    }
    const stretch = this.stretches[low];
    if (!stretch) return null;
    const number = stretch.from + index - stretch.at;
    return { folder: stretch.folder, number, depth: stretch.depth, row: stretch.folder.rows[number] };
  }

  draw() {
    if (!this.element.isConnected) return;
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - 4);
    const fit = Math.ceil(this.element.clientHeight / ROW) + 8;
    const last = Math.min(this.total, first + fit);
    while (this.pool.length < last - first) this.pool.push(this.makeRow());
    // A row keeps its element for as long as it is drawn, however far is scrolled.
    const drawn = new Set();
    for (let index = first; index < last; index += 1) {
      const element = this.pool[index % this.pool.length];
      drawn.add(element);
      if (!element.isConnected) this.space.append(element);
      this.drawRow(element, index);
    }
    // What is not seen is not there: hidden, it would go on saying that it is the active one.
    for (const element of this.pool) if (!drawn.has(element)) element.remove();
    setAttribute(this.element, "aria-activedescendant", [...drawn].find((row) => row.index === this.active)?.id ?? null);
  }

  makeRow() {
    this.made = (this.made ?? 0) + 1;
    return h("div", { class: "sc-row", role: "treeitem", id: `${this.name ?? (this.name = `sc${Math.random().toString(36).slice(2)}`)}-${this.made}` },
      h("span", { class: "sc-twist", "aria-hidden": "true" }), h("span", { class: "sc-sign", "aria-hidden": "true" }),
      h("span", { class: "sc-row-name" }), h("span", { class: "sc-row-more" }), h("span", { class: "sc-row-wasted" }), h("span", { class: "sc-size" }));
  }

  drawRow(element, index) {
    const found = this.find(index);
    const { row, depth, folder, number } = found;
    element.index = index;
    element.style.transform = `translateY(${index * ROW}px)`;
    element.classList.toggle("sc-active", index === this.active);
    const [twist, sign, name, more, wasted, bytes] = element.children;
    if (!row) {
      this.load(folder, Math.floor(number / PAGE)).then((told) => told && this.soon());
      setText(name, "…");
      for (const part of [twist, sign, more, wasted, bytes]) setText(part, "");
      return;
    }
    const opened = row.open ? Boolean(this.folders.get(row.path)?.open) : null;
    element.style.setProperty("--depth", depth);
    setText(twist, row.open ? (opened ? "▾" : "▸") : "");
    setText(sign, SIGNS[row.change]);
    setAttribute(element, "data-change", row.change || "none");
    setText(name, row.name + (row.kind === "dir" ? "/" : ""));
    const [added, changed, deleted] = row.counts ?? [0, 0, 0];
    const counts = row.counts ? [added && `+${added}`, changed && `~${changed}`, deleted && `−${deleted}`].filter(Boolean).join(" ") : "";
    setText(more, row.link ? `→ ${row.link}` : counts || (row.mode === undefined ? "" : modeText(row.kind, row.mode)));
    setText(wasted, row.wasted ? `wastes ${size(row.wasted)}` : "");
    setText(bytes, row.kind === "file" || row.open ? size(row.size) : "");
    setAttribute(element, "aria-level", depth);
    setAttribute(element, "aria-setsize", folder.total);
    setAttribute(element, "aria-posinset", number + 1);
    setAttribute(element, "aria-expanded", opened);
    setAttribute(element, "aria-selected", String(index === this.active));
    setAttribute(element, "aria-label", `${row.name} ${WORDS[row.change]} ${bytes.textContent} ${wasted.textContent}`.trim());
  }

  click(event) {
    const element = event.target.closest(".sc-row");
    if (!element) return;
    this.active = element.index;
    this.act();
  }

  act() {
    const { row } = this.find(this.active) ?? {};
    if (row?.open && !this.search) this.toggle(row, !this.folders.get(row.path)?.open);
    else if (row) this.open(row);
    this.soon();
  }

  async toggle(row, open) {
    let folder = this.folders.get(row.path);
    if (!folder) {
      folder = { path: row.path, open: false, total: 0, rows: [], asked: new Set() };
      this.folders.set(row.path, folder);
    }
    folder.open = open;
    if (open) await this.load(folder, 0);
    this.arrange();
  }

  press(event) {
    const { row } = this.find(this.active) ?? {};
    const page = Math.floor(this.element.clientHeight / ROW) - 1;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.total, End: this.total };
    if (event.key in steps) this.active = Math.max(0, Math.min(this.total - 1, this.active + steps[event.key]));
    else if (event.key === "ArrowRight" && row?.open) this.toggle(row, true);
    else if (event.key === "ArrowLeft" && row?.open && this.folders.get(row.path)?.open) this.toggle(row, false);
    else if (event.key === "Enter" || event.key === " ") this.act();
    else return;
    event.preventDefault();
    event.stopPropagation();
    const top = this.active * ROW;
    const view = this.element;
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + ROW > view.scrollTop + view.clientHeight) view.scrollTop = top + ROW - view.clientHeight;
    this.soon();
  }
}
