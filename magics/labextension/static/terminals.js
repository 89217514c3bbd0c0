// The inspector makes terminals through the server; only JupyterLab itself can show one.
export const terminals = {
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
