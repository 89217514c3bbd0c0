// Looking into a container: what it is seen as from inside and from the host, its files, log, processes,
// network and mounts.

import { Curves } from "./curves.js";
import { h, keyed, setAttribute, setText } from "./dom.js";
import { Files } from "./files_view.js";
import { ago, brief, count, flagSize, size } from "./format.js";
import { Lenses } from "./lenses.js";
import { Log } from "./log_view.js";
import { Table, Tabs } from "./tabs.js";

export class ContainerView {
  constructor(inspector, id) {
    Object.assign(this, { inspector, id, link: inspector.link, state: inspector.state });
    this.about = null;
    this.lenses = new Lenses();
    this.curves = new Curves();
    this.use = h("p", { class: "sc-quiet" });
    this.facets = h("ul", { class: "sc-facets" });
    this.processes = new Table("processes", ["pid inside", "pid on the host", "user inside", "processor", "memory", "command"]);
    this.mounts = new Table("mounts", ["inside", "kind", "on the host", ""]);
    this.network = h("div", { class: "sc-network" });
    this.tabs = new Tabs("parts of the container", [
      { name: "overview", label: "Overview", build: () => this.buildOverview() },
      { name: "files", label: "Files changed", build: () => this.buildFiles() },
      { name: "log", label: "Log", build: () => this.buildLog() },
      { name: "processes", label: "Processes", build: () => this.processes.element },
      { name: "network", label: "Network", build: () => this.network },
      { name: "mounts", label: "Mounts", build: () => this.mounts.element },
    ], (name) => { inspector.tab = name; }, inspector.tab);
    this.element = this.tabs.element;
    this.look();
    // What has no event of its own: processes come and go.
    this.timer = setInterval(() => document.hidden || this.tabs.name !== "processes" || this.look(), 2000);
  }

  buildOverview() {
    return h("div", { class: "sc-overview" }, h("div", {}, this.lenses.element, this.facets), h("div", { class: "sc-using" }, this.curves.element, this.use));
  }

  buildFiles() {
    const ask = (window) => this.link().ask("container_files", { id: this.id, ...window });
    this.files = new Files("files changed", "the writable layer: what this container did to its image's files",
      ask, (path) => this.link().ask("container_text", { id: this.id, path }),
      "No file is different from the image's. What the container writes appears here.", (path) => this.fetch(path));
    return this.files.element;
  }

  fetch(path) {
    const name = this.state.containers.get(this.id)?.name ?? this.id;
    return this.inspector.dialogs.download("Copy out", this.link().fetched(this.id, path), `sandcell cp ${name}:${path} .`);
  }

  buildLog() {
    this.log = new Log((piece) => this.link().follow(this.id, piece));
    return this.log.element;
  }

  // Something befell it: ask again, soon and once.
  touched() {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => {
      this.look();
      this.files?.tree.reload();
      this.log?.again();
    }, 120);
  }

  async look() {
    try {
      this.about = await this.link().ask("container", { id: this.id });
      if (this.about.stats) this.state.sample(this.about.stats);
    } catch (error) {
      if (!this.about) setText(this.use, error.told?.cause ?? String(error.message));
      return;
    }
    this.render();
  }

  render() {
    const one = this.state.containers.get(this.id);
    if (!one || !this.about) return;
    const { inspect, processes } = this.about;
    this.renderLenses(one, inspect);
    const samples = this.state.stats.get(this.id) ?? [];
    const host = inspect.HostConfig;
    this.curves.draw(samples, { cpus: host.NanoCpus / 1e9 });
    const newest = samples.at(-1);
    const most = host.PidsLimit > 0 ? `, at most ${host.PidsLimit}` : ", no limit";
    setText(this.use, one.pid === null ? "It does not run, so it uses nothing but the space of its files."
      : newest ? `${count(newest.pids, "process")}${most} · received ${size(newest.received)} · sent ${size(newest.sent)}` : "");
    keyed(this.facets, one.facets, (facet) => facet.name, () => h("li", {}, h("b"), h("span")), (item, facet) => {
      setText(item.firstChild, facet.name);
      setText(item.lastChild, ` ${facet.state === "shared" ? "shared with the host" : facet.state}: ${facet.reason}${facet.fix ? ` – ${facet.fix}` : ""}`);
    });
    this.renderTable(this.processes.body, processes, (row) => row.pid, (row) => [
      row.inside, row.pid, row.user, `${row.cpu.toFixed(2)} s`, size(row.memory), `${"  ".repeat(this.depth(row, processes))}${row.command}`]);
    this.renderTable(this.mounts.body, inspect.Mounts, (row) => row.Destination, (row) => [
      row.Destination, row.Type, row.Source, row.RW ? "" : "read-only"]);
    this.renderNetwork(one, inspect, newest);
  }

  depth(row, all, seen = 0) {
    const parent = row.parent && seen < 20 ? all.find((other) => other.inside === row.parent) : null;
    return parent ? 1 + this.depth(parent, all, seen + 1) : 0;
  }

  renderLenses(one, inspect) {
    const runs = one.pid !== null;
    const map = inspect.HostConfig.IDMappings.UidMap[0];
    const outside = map ? `uid ${map.split(":")[1]}` : "uid 0: root, with fewer rights";
    const rows = [
      ["first process", runs ? "pid 1" : "none", runs ? `pid ${one.pid}` : "none"],
      ["command", one.command, "the same"],
      ["called", inspect.Config.Hostname, `${one.name} (${one.id.slice(0, 12)})`],
      ["root is", "uid 0", outside],
      ["its files", "/", `the layers of ${one.image}, and on them ${inspect.GraphDriver.Data.UpperDir}`],
      ["network", one.network === "none" ? "lo alone" : one.network, inspect.NetworkSettings.Networks[one.network]?.IPAddress || one.network],
      ["limits", this.limits(inspect.HostConfig), inspect.CgroupsPath || "no control group"],
      ["kernel", this.inspector.about?.kernel ?? "", `${this.inspector.about?.kernel ?? ""}: the same one`],
      ["output", "stdout and stderr", inspect.LogPath],
      ["created", ago(one.created), one.started ? `started ${ago(one.started)}` : "never started"],
    ];
    this.lenses.draw(rows, this.state.lens);
    setAttribute(this.processes.element, "data-lens", this.state.lens);
  }

  limits(host) {
    const told = [host.Memory > 0 && `memory ${flagSize(host.Memory)}`, host.NanoCpus > 0 && `${host.NanoCpus / 1e9} processors`, host.PidsLimit > 0 && count(host.PidsLimit, "process")];
    return told.filter(Boolean).join(", ") || "none";
  }

  renderTable(body, rows, keyOf, cells) {
    keyed(body, rows, keyOf, (row) => h("tr", {}, cells(row).map(() => h("td"))), (element, row) => {
      cells(row).forEach((text, at) => {
        setText(element.children[at], brief(String(text)));
        setAttribute(element.children[at], "title", String(text).length > 60 ? text : null);
      });
    });
  }

  renderNetwork(one, inspect, newest) {
    const address = inspect.NetworkSettings.Networks[one.network]?.IPAddress;
    const facts = [
      ["network", one.network === "none" ? "none: nothing but loopback" : one.network],
      ["address", address || "127.0.0.1, its own"],
      ["published", inspect.HostConfig.PublishedPorts.join(", ") || "no ports"],
      ["traffic", newest ? `received ${size(newest.received)}, sent ${size(newest.sent)}` : "–"],
    ];
    if (!this.facts) {
      this.facts = h("tbody");
      this.links = h("div", { class: "sc-ports" });
      const field = h("input", { type: "number", min: 1, max: 65535, class: "sc-port", placeholder: "8000", "aria-label": "port in the container" });
      const go = h("button", { class: "sc-button", type: "button", onclick: () => this.openPort(one.name, field.value || 8000) }, "Open in a new tab");
      const way = this.link().port(one.name, 1) ? h("p", {}, "A web server in the container is reached through Jupyter: port ", field, " ", go) : h("p", { class: "sc-quiet" }, "Ports are reached through Jupyter's server, which does not answer here.");
      this.network.append(h("table", { class: "sc-lenses sc-facts", "aria-label": "network" }, this.facts), this.links, way);
    }
    this.renderTable(this.facts, facts, ([name]) => name, (row) => row);
    const exposed = (this.state.images.get(one.digest)?.settings ?? []).find(([name]) => name === "EXPOSE")?.[1] ?? "";
    const published = inspect.HostConfig.PublishedPorts.map((text) => text.split("->")[1]);
    const ports = [...new Set([...exposed.split(" "), ...published].map((text) => parseInt(text, 10)).filter(Boolean))];
    keyed(this.links, one.pid === null || !this.link().port(one.name, 1) ? [] : ports, (port) => port,
      (port) => h("a", { class: "sc-button", href: this.link().port(one.name, port), target: "_blank", rel: "noopener noreferrer" }, `open port ${port}`), () => {});
  }

  openPort(name, port) {
    window.open(this.link().port(name, port), "_blank", "noopener,noreferrer");
  }

  close() {
    clearInterval(this.timer);
    clearTimeout(this.soon);
    this.log?.close();
  }
}
