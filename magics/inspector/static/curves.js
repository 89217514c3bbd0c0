// A curve of the last two minutes. One path element, changed in place; the newest value is a text too.

import { h, setAttribute, setText } from "./dom.js";
import { size } from "./format.js";

const SECONDS = 60;
const WIDE = 240;
const HIGH = 56;

export class Curve {
  constructor(title, kind) {
    const space = "http://www.w3.org/2000/svg";
    this.value = h("output", { class: "sc-curve-value" });
    this.scale = h("span", { class: "sc-curve-scale" });
    this.area = document.createElementNS(space, "path");
    this.line = document.createElementNS(space, "path");
    this.area.setAttribute("class", "sc-curve-area");
    this.line.setAttribute("class", "sc-curve-line");
    const drawing = document.createElementNS(space, "svg");
    drawing.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
    drawing.setAttribute("preserveAspectRatio", "none");
    drawing.setAttribute("aria-hidden", "true");
    drawing.append(this.area, this.line);
    this.element = h("figure", { class: `sc-curve sc-${kind}` },
      h("figcaption", {}, h("b", {}, title), this.value, this.scale), drawing);
  }

  // `points`: [seconds, value], oldest first; `most`: the value at the top.
  draw(points, most, text, scale) {
    setText(this.value, text);
    setText(this.scale, scale);
    const last = points.at(-1)?.[0] ?? 0;
    const places = points
      .filter(([time]) => last - time <= SECONDS)
      .map(([time, value]) => {
        const x = WIDE - ((last - time) / SECONDS) * WIDE;
        const y = HIGH - 2 - Math.min(1, value / (most || 1)) * (HIGH - 4);
        return `${x.toFixed(1)},${y.toFixed(1)}`;
      });
    const path = places.length ? `M${places.join("L")}` : "";
    setAttribute(this.line, "d", path);
    const first = places[0]?.split(",")[0];
    setAttribute(this.area, "d", path ? `${path}L${WIDE},${HIGH}L${first},${HIGH}Z` : "");
  }
}

// The two curves of a container.
export class Curves {
  constructor() {
    this.cpu = new Curve("processor", "cpu");
    this.memory = new Curve("memory", "memory");
    this.element = h("div", { class: "sc-curves" }, this.cpu.element, this.memory.element);
  }

  draw(samples, limits = {}) {
    const used = samples.slice(1).map((sample, at) => {
      const before = samples[at];
      return [sample.time, (100 * (sample.cpu - before.cpu)) / (sample.time - before.time)];
    });
    const now = used.at(-1)?.[1] ?? 0;
    const peak = Math.max(...used.map(([, value]) => value), 1);
    const most = limits.cpus ? limits.cpus * 100 : [10, 25, 50, 100, 200, 400, 800].find((step) => step >= peak) ?? peak;
    this.cpu.draw(used, most, `${now.toFixed(now < 10 ? 1 : 0)} %`,
      limits.cpus ? `limit ${limits.cpus} processors` : `of ${Math.round(most)} %`);
    const bytes = samples.map((sample) => [sample.time, sample.memory]);
    const newest = samples.at(-1);
    const top = newest?.memory_limit ?? Math.max(1, ...bytes.map(([, value]) => value)) * 1.25;
    this.memory.draw(bytes, top, newest ? size(newest.memory) : "–",
      newest?.memory_limit ? `limit ${size(newest.memory_limit)}` : "no limit");
  }
}
