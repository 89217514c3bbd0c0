// Verbs as buttons. Where something would be lost it is asked for first; what went wrong is said where
// the button is, with what to do about it.

import { h, icon, keyed, setText } from "./dom.js";

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
  { verb: "reset", label: "Reset …", when: (one) => !RUNS.includes(one.state) },
  { verb: "remove", label: "Delete …", when: () => true },
];
const DRAWN = { kill: "stop", remove_image: "remove" };

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
    const verbs = [{ verb: "tag", label: "Name …" }, ...image.names.map((name) => ({ verb: "remove_image", label: `Remove ${name} …`, name }))];
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
      ({ verb, label, name }) => h("button", { class: `sc-button sc-${verb}`, type: "button", onclick: () => this.act(verb, name) },
        icon(DRAWN[verb] ?? verb), h("span", {}, label)),
      (button, { verb }) => {
        button.disabled = busy.has(verb);
        button.setAttribute("aria-busy", String(busy.has(verb)));
      });
  }

  async doTo(one, verb) {
    const given = { id: one.id };
    if (verb === "commit") {
      given.name = await this.dialogs.text("Commit", `A new image of what ${one.name} changed. Its own image stays as it is.`, "name of the new image", `${one.name}-changed`, "Commit");
      if (given.name === null) return;
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

  async doToImage(image, verb, name) {
    if (verb === "tag") {
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
