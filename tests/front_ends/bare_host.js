// A front end that gives a widget what anywidget promises, and nothing else: no JupyterLab, no variables of a
// theme, no server, no subshells. What the widget sends waits in `sent` for whoever plays the kernel.
window.sent = [];
const heard = new Set();
const traits = {};
const model = {
  get: (name) => traits[name],
  set: (name, value) => { traits[name] = value; },
  save_changes() {},
  on: (name, hear) => { if (name === "msg:custom") heard.add(hear); },
  off: (name, hear) => heard.delete(hear),
  send: (content) => { sent.push(content); },
};
window.deliver = (message) => { for (const hear of heard) hear(message, []); };
// As anywidget loads it: one module out of the text, by an address that is the text itself.
window.start = async (text, styles, values) => {
  Object.assign(traits, values);
  document.head.append(Object.assign(document.createElement("style"), { textContent: styles }));
  const place = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const { default: widget } = await import(place);
  const end = await widget.render({ model, el: document.querySelector("#cell") });
  window.end = () => { end?.(); return heard.size; };
};
