// What a container wrote, as it is written. Text only: escapes of terminals are taken out.

import { h, onceAFrame } from "./dom.js";

const MOST = 400_000; // characters that stay on the page
// eslint-disable-next-line no-control-regex
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;

export class Log {
  constructor(follow) {
    this.follow = follow;
    this.text = h("pre", { class: "sc-log", tabindex: "0", role: "log", "aria-label": "output" });
    this.element = h("div", { class: "sc-log-box" }, this.text);
    this.put = onceAFrame(() => this.flush());
    this.begin();
  }

  begin() {
    this.pending = [];
    this.length = 0;
    this.text.replaceChildren();
    this.ended = this.follow((message) => {
      if (message.whole) {
        const whole = message.whole.map(({ text }) => text).join("");
        if (whole === this.whole) return;
        this.whole = whole;
        this.text.replaceChildren();
        this.pending = message.whole;
      } else if (message.error) this.pending.push({ stream: "stderr", text: `${message.error.cause}\n` });
      else this.pending.push(message);
      this.put();
    });
    this.put(); // that there is nothing is told as well
  }

  // It was started anew, perhaps: listen again.
  again() {
    this.ended();
    this.begin();
  }

  flush() {
    const atEnd = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 30;
    for (const { stream, text } of this.pending.splice(0)) {
      const plain = text.replace(ESCAPES, "").replace(/\r\n/g, "\n");
      this.text.append(h("span", { class: `sc-${stream}` }, plain));
      this.length += plain.length;
    }
    while (this.length > MOST && this.text.firstChild) {
      this.length -= this.text.firstChild.textContent.length;
      this.text.firstChild.remove();
    }
    this.text.classList.toggle("sc-empty", !this.text.firstChild);
    if (atEnd) this.text.scrollTop = this.text.scrollHeight;
  }

  close() {
    this.ended();
  }
}
