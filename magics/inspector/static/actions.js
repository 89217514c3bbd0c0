// Verbs as buttons. Where something would be lost it is asked for first; what went wrong is said where
// the button is, with what to do about it.

import { h, icon, keyed, setAttribute, setText } from "./dom.js";
import { flagSize, readSize } from "./format.js";

const RUNS = ["running", "paused"];
const VERBS = [
  { verb: "start", label: "Start", when: (one) => !RUNS.includes(one.state) },
  { verb: "stop", label: "Stop", when: (one) => RUNS.includes(one.state) },
  { verb: "kill", label: "Kill now", when: (one, busy) => busy.has("stop") && RUNS.includes(one.state) },
  { verb: "restart", label: "Restart", when: (one) => one.state === "running" },
  { verb: "pause", label: "Pause", when: (one) => one.state === "running" },
  { verb: "unpause", label: "Go on", when: (one) => one.state === "paused" },
  { verb: "terminal", label: "Terminal", when: (one) => one.state === "running" },
  { verb: "commit", label: "Commit …", when: () => true },
  { verb: "limits", label: "Limits …", when: () => true },
  { verb: "rename", label: "Rename …", when: () => true },
  { verb: "export", label: "Export", when: () => true },
  { verb: "reset", label: "Reset …", when: (one) => !RUNS.includes(one.state) },
  { verb: "remove", label: "Delete …", when: () => true },
];
const DRAWN = { kill: "stop", remove_image: "remove", create: "start", export: "save" };

export class Actions {
  constructor(state, link, dialogs) {
    Object.assign(this, { state, link, dialogs });
    this.busy = new Map(); // key of what it is done to → verbs that are being done
    this.buttons = h("div", { class: "sc-actions", role: "toolbar", "aria-label": "What can be done" });
    this.problem = h("p", { class: "sc-problem", role: "alert" });
    this.element = h("div", {}, this.buttons, this.problem);
  }

  container(one) {
    const busy = this.busyOf(one.id);
    this.show(one.id, VERBS.filter(({ when }) => when(one, busy)), (verb) => this.doTo(one, verb));
  }

  image(image) {
    const verbs = [{ verb: "create", label: "Run …" }, { verb: "tag", label: "Name …" }, { verb: "save", label: "Save" }, { verb: "push", label: "Push …" }, ...image.names.map((name) => ({ verb: "remove_image", label: `Remove ${name} …`, name }))];
    this.show(image.digest, verbs, (verb, name) => this.doToImage(image, verb, name));
  }

  nothing() {
    this.show("", [], () => {});
  }

  busyOf(key) {
    if (!this.busy.has(key)) this.busy.set(key, new Set());
    return this.busy.get(key);
  }

  show(key, verbs, act) {
    if (this.key !== key) setText(this.problem, "");
    this.key = key;
    this.act = act;
    const busy = this.busyOf(key);
    keyed(this.buttons, verbs, ({ verb, name }) => `${key} ${verb} ${name ?? ""}`,
      ({ verb, label, name }) => h("button", { class: `sc-button sc-${verb}`, type: "button", onclick: () => busy.has(verb) || this.act(verb, name) },
        icon(DRAWN[verb] ?? verb), h("span", {}, label)),
      (button, { verb }) => {
        // Not `disabled`: that would take the focus away from whoever pressed it by a key.
        setAttribute(button, "aria-disabled", String(busy.has(verb)));
        setAttribute(button, "aria-busy", String(busy.has(verb)));
      });
  }

  async doTo(one, verb) {
    const given = { id: one.id };
    if (verb === "export") {
      await this.dialogs.download("Export", this.link().exported(one.id), `sandcell export -o ${one.name}.tar ${one.name}`);
      return;
    }
    if (verb === "commit") {
      given.name = await this.dialogs.text("Commit", `A new image of what ${one.name} changed. Its own image stays as it is.`, "name of the new image", `${one.name}-changed`, "Commit");
      if (given.name === null) return;
    }
    if (verb === "rename") {
      given.name = await this.dialogs.text("Rename", "Its id stays the same.", "new name", one.name, "Rename");
      if (given.name === null || given.name === one.name) return;
    }
    if (verb === "limits") {
      const limits = await this.askLimits(one);
      if (limits) await this.carryOut(one.id, verb, () => this.link().ask("update", { ...given, ...limits }));
      return;
    }
    if (verb === "reset" && !(await this.dialogs.sure("Reset", `Everything that ${one.name} wrote to its own files is lost: they will be the image's again.`, "Throw the writable layer away"))) return;
    if (verb === "remove") {
      const running = RUNS.includes(one.state);
      const lost = `${running ? `${one.name} is running and will be killed. ` : ""}Its writable layer and its log are lost. The image stays.`;
      if (!(await this.dialogs.sure("Delete", lost, `Delete ${one.name}`))) return;
      given.force = running;
    }
    // A cell's container has a shell as its first process, and that does not hear a friendly signal.
    if (verb === "stop" && one.attached) given.timeout = 0.25;
    await this.carryOut(one.id, verb, async () => {
      if (verb !== "terminal") return this.link().ask(verb, given);
      const shown = await this.link().terminal(one.id).catch(() => false);
      if (shown) return null;
      const { command } = await this.link().ask("command", { id: one.id });
      return this.dialogs.show("Terminal", "Type this in a terminal of the machine that runs the container:", command);
    });
  }

  // Those limits that were changed, as `update` takes them; null for none.
  async askLimits(one) {
    const { inspect } = await this.link().ask("container", { id: one.id }).catch(() => ({ inspect: null }));
    const host = inspect?.HostConfig ?? { Memory: 0, NanoCpus: 0, PidsLimit: 0 };
    const now = {
      memory: host.Memory > 0 ? flagSize(host.Memory) : "",
      cpus: host.NanoCpus > 0 ? String(host.NanoCpus / 1e9) : "",
      pids_limit: host.PidsLimit > 0 ? String(host.PidsLimit) : "",
    };
    const about = `What ${one.name} may use of this machine, from now on. An empty field leaves it as it is.`;
    const told = await this.dialogs.form("Limits", about, [
      { name: "memory", label: "memory", value: now.memory, hint: "no limit; 256m or 1g", pattern: "[0-9.]+ ?[kmgKMG]?" },
      { name: "cpus", label: "processors", kind: "number", value: now.cpus, hint: "no limit; 0.5 is half of one" },
      { name: "pids_limit", label: "processes", kind: "number", value: now.pids_limit, hint: "no limit" },
    ], "Set limits");
    const changed = Object.entries(told ?? {}).filter(([name, text]) => text && text !== now[name]);
    if (!changed.length) return null;
    return Object.fromEntries(changed.map(([name, text]) => [name, name === "memory" ? readSize(text) : Number(text)]));
  }

  async run(image) {
    const about = "A new container of this image. It gets a writable layer of its own; the image stays as it is.";
    const told = await this.dialogs.form("Run", about, [
      { name: "command", label: "command, for a shell", hint: "empty: what the image says" },
      { name: "name", label: "name", hint: "empty: one is made up" },
      { name: "network", label: "network", value: "none", choices: [["none", "none: loopback alone"], ["bridge", "bridge: a way out"], ["host", "host: the machine's own"]] },
    ], "Run");
    if (!told) return;
    const command = told.command ? ["sh", "-c", told.command] : undefined;
    await this.carryOut(image.digest, "create", async () => {
      const made = await this.link().ask("create", { image: image.names[0] ?? image.digest, name: told.name, network: told.network, command, start: true });
      this.state.choose({ kind: "container", key: made.id });
    });
  }

  async save(image) {
    const name = image.names[0] ?? image.digest;
    await this.dialogs.download("Save", this.link().archive(name), `sandcell save -o image.tar ${name}`);
  }

  // A name that says where to: it is given to the image first, if it has another.
  async push(image) {
    const name = await this.dialogs.text("Push", "Send this image to the registry in its name, where others may pull it. What is there already is not sent again.", "registry/name:tag", image.names[0] ?? "", "Push");
    if (!name) return;
    await this.carryOut(image.digest, "push", async () => {
      if (!image.names.includes(name)) await this.link().ask("tag", { source: image.digest, target: name });
      await this.link().ask("push", { name });
    });
  }

  async doToImage(image, verb, name) {
    if (verb === "create") await this.run(image);
    else if (verb === "save") await this.save(image);
    else if (verb === "push") await this.push(image);
    else if (verb === "tag") {
      const target = await this.dialogs.text("Name", "One more name for this image.", "name[:tag]", "", "Give this name");
      if (target) await this.carryOut(image.digest, verb, () => this.link().ask("tag", { source: image.digest, target }));
    } else if (await this.dialogs.sure("Remove", `The name ${name} is taken away${image.names.length > 1 ? "; the image keeps its others." : ", and with it the image, when no container needs it."}`, `Remove ${name}`)) {
      await this.carryOut(image.digest, verb, () => this.link().ask("remove_image", { name }));
    }
  }

  async carryOut(key, verb, work) {
    const busy = this.busyOf(key);
    busy.add(verb);
    setText(this.problem, "");
    this.state.changed();
    try {
      await work();
    } catch (error) {
      const told = error.told ?? { cause: String(error.message ?? error), hint: "" };
      const what = [told.operation, told.object].filter(Boolean).join(" ");
      if (this.key === key) setText(this.problem, `${what ? `${what}: ` : ""}${told.cause}${told.hint ? ` – ${told.hint}` : ""}`);
    } finally {
      busy.delete(verb);
      this.state.changed();
    }
  }
}
