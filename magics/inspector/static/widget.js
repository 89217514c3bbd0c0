// The inspector in a notebook. It asks Jupyter's server where that has the same store, so that buttons
// work while a cell runs; else the kernel.

import { Inspector } from "./inspector.js";
import { KernelLink } from "./kernel_link.js";
import { ServerLink } from "./server_link.js";

// Jupyter's pages say where their server is; others have no such server.
function configured() {
  const data = document.getElementById("jupyter-config-data");
  try {
    return data ? JSON.parse(data.textContent) : null;
  } catch {
    return null;
  }
}

async function serverOf(store) {
  const config = configured();
  if (!config?.baseUrl) return null;
  const link = new ServerLink(`${config.baseUrl}sandcell/`, config.token ?? "");
  const about = await link.ask("about").catch(() => null);
  return about?.id === store ? link : null;
}

async function render({ model, el }) {
  const root = document.createElement("div");
  el.append(root);
  const inspector = new Inspector(root);
  inspector.tell("looking for the store …");
  const chosen = model.get("chosen");
  if (chosen?.tab) inspector.tab = chosen.tab;
  if (chosen?.kind) inspector.state.choose(chosen);
  inspector.use((await serverOf(model.get("store"))) ?? new KernelLink(model));
  return () => inspector.close();
}

export default { render };
