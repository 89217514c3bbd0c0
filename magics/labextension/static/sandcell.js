// A prebuilt JupyterLab extension written by hand: what a bundler would make of two small plugins.
// JupyterLab loads this file as a script, hands it the modules that all extensions share, and asks for
// "./extension": the interface of a module federation container, which needs no bundler to be met.
(() => {
  const here = document.currentScript.src;
  let shared = {};

  // One of JupyterLab's own modules; there is one of each, for they hold what must be the same for all.
  const lend = async (name) => {
    const [version] = Object.values(shared[name]);
    return (await version.get())();
  };

  const plugins = async () => {
    const [{ IEditorLanguageRegistry }, { terminals }, { highlighting }] = await Promise.all([
      lend("@jupyterlab/codemirror"),
      import(new URL("terminals.js", here)),
      import(new URL("highlighting.js", here)),
    ]);
    return [terminals, highlighting(IEditorLanguageRegistry)];
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB.sandcell = {
    init: (scope) => {
      shared = scope;
    },
    get: async () => {
      const found = { __esModule: true, default: await plugins() };
      return () => found;
    },
  };
})();
