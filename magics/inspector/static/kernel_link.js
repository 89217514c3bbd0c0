// To the store by way of the notebook's kernel, where no server of the same store answers. Changes are
// pushed by a thread of the kernel while a cell runs; questions go to a subshell where the kernel has
// them, else they wait until the cell ends, and that is said.

import { Refused } from "./server_link.js";

export class KernelLink {
  constructor(model) {
    this.model = model;
    this.kind = "kernel";
    this.waiting = new Map();
    this.number = 0;
    this.onCustom = (message) => this.receive(message);
    model.on("msg:custom", this.onCustom);
  }

  async listen(hear, status) {
    this.hear = hear;
    this.status = status;
    this.twin = await this.subshell().catch(() => null);
    status(this.twin ? "live, by way of a subshell" : "live; buttons wait until the running cell ends");
    this.send({ hear: true });
  }

  // A second connection to the kernel whose requests are answered beside the running cell.
  async subshell() {
    const kernel = this.model.widget_manager?.kernel;
    if (!kernel?.supportsSubshells) return null;
    const reply = await kernel.requestCreateSubshell({}).done;
    if (reply.content.status !== "ok") return null;
    const twin = kernel.clone({ handleComms: false });
    twin.subshellId = reply.content.subshell_id;
    return twin;
  }

  send(message) {
    if (!this.twin) {
      this.model.send(message);
      return;
    }
    const text = JSON.stringify(JSON.stringify(message));
    const code = `from sandcell.magics.inspector.widget import heard as _; _(${JSON.stringify(this.model.get("key"))}, ${text}); del _`;
    this.twin.requestExecute({ code, silent: true, store_history: false, allow_stdin: false, stop_on_error: false }, true);
  }

  receive(message) {
    if (message.answer === undefined) {
      this.hear?.(message);
      return;
    }
    const settle = this.waiting.get(message.answer);
    this.waiting.delete(message.answer);
    if (message.error) settle?.reject(new Refused(message.error));
    else settle?.resolve(message.value);
    this.tellWaiting();
  }

  ask(question, given = {}) {
    const number = `${this.model.get("key")}:${(this.number += 1)}:${Math.random()}`;
    return new Promise((resolve, reject) => {
      this.waiting.set(number, { resolve, reject });
      this.send({ ask: question, given, number });
      setTimeout(() => this.tellWaiting(), 400);
    });
  }

  // What waits longer than a moment waits for the cell.
  tellWaiting() {
    const busy = this.waiting.size > 0 && !this.twin;
    this.status?.(busy ? "queued until the cell ends" : this.twin ? "live, by way of a subshell" : "live; buttons wait until the running cell ends");
  }

  watch(ids) {
    this.send({ watch: ids });
  }

  // No stream here: the whole end of the log is asked for now and then.
  follow(id, piece) {
    let timer = null;
    const look = async () => {
      const told = await this.ask("log", { id }).catch(() => null);
      if (timer === undefined) return;
      if (told) piece({ whole: told.pieces.map(([stream, text]) => ({ stream, text })) });
      timer = setTimeout(look, 2000);
    };
    look();
    return () => {
      clearTimeout(timer);
      timer = undefined;
    };
  }

  async terminal() {
    return false;
  }

  port() {
    return null;
  }

  archive() {
    return null;
  }

  exported() {
    return null;
  }

  fetched() {
    return null;
  }

  close() {
    this.model.off("msg:custom", this.onCustom);
    this.send({ hear: false });
    this.twin?.dispose();
  }
}
