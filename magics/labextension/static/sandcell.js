// A prebuilt JupyterLab extension written by hand: what a bundler would make of one small plugin.
// JupyterLab loads this file as a script and asks the container below for the module "./extension".
(() => {
  const terminals = {
    id: "sandcell:terminals",
    autoStart: true,
    description: "Opens terminals that the inspector made.",
    activate: (app) => {
      // A page without this extension never answers, and the inspector shows the command instead.
      document.addEventListener("sandcell:terminal", (event) => {
        event.preventDefault();
        app.commands.execute("terminal:open", { name: event.detail.name });
      });
    },
  };

  const modules = { "./extension": { __esModule: true, default: [terminals] } };
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB.sandcell = {
    init: () => {},
    get: async (name) => () => modules[name],
  };
})();
