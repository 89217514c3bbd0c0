// What is done to the store as a whole: bringing an image from a registry, and taking away what nobody needs.
// Small buttons in the headlines; how it went is said in a dialog, for nothing is chosen by it.

import { h, icon, setAttribute } from "./dom.js";
import { count, size } from "./format.js";

export class StoreActions {
  constructor(state, link, dialogs) {
    Object.assign(this, { state, link, dialogs });
    this.images = h("span", { class: "sc-heads" }, this.button("pull", "Pull …", () => this.pull()), this.button("prune", "Prune …", () => this.pruneImages()));
    this.containers = h("span", { class: "sc-heads" }, this.button("prune", "Prune …", () => this.pruneContainers()));
  }

  button(verb, label, act) {
    const button = h("button", { class: `sc-button sc-small sc-${verb}`, type: "button", onclick: async () => {
      if (button.getAttribute("aria-disabled") === "true") return;
      setAttribute(button, "aria-disabled", "true");
      try {
        await act();
      } catch (error) {
        const told = error.told ?? { cause: String(error.message ?? error), hint: "" };
        await this.dialogs.note(label.replace(" …", ""), [told.object, told.cause].filter(Boolean).join(": "), told.hint);
      } finally {
        setAttribute(button, "aria-disabled", "false");
      }
    } }, icon(verb), h("span", {}, label));
    return button;
  }

  async pull() {
    const name = await this.dialogs.text("Pull", "Bring an image from a registry; from Docker Hub where its name has none. Layers that are here already are not brought again.", "registry/name:tag", "", "Pull");
    if (!name) return;
    const image = await this.link().ask("pull", { name });
    this.state.choose({ kind: "image", key: image.digest });
  }

  async pruneImages() {
    const about = "Blobs and unpacked layers that no named image and no container needs are deleted. Named images and all containers stay.";
    if (!(await this.dialogs.sure("Prune", about, "Delete what nothing needs"))) return;
    const { removed, size: bytes } = await this.link().ask("prune");
    await this.dialogs.note("Prune", removed.length ? `${count(removed.length, "thing")} deleted, ${size(bytes)} freed.` : "Everything is in use.");
  }

  async pruneContainers() {
    const ended = [...this.state.containers.values()].filter((one) => ["created", "exited"].includes(one.state));
    if (!ended.length) return this.dialogs.note("Prune", "All containers run.");
    const about = `${count(ended.length, "container")} that do not run, with what they wrote: ${ended.slice(0, 12).map((one) => one.name).join(", ")}${ended.length > 12 ? ", …" : ""}`;
    if (await this.dialogs.sure("Prune", about, `Delete ${count(ended.length, "container")}`)) await this.link().ask("prune_containers");
    return null;
  }
}
