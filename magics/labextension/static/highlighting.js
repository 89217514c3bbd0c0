// A `%%image` cell is coloured as a Dockerfile, a `%%container` cell as what runs it speaks.

const SHELLS = /^(ba|da|a|z|k|mk)?sh$|^busybox$/;
const PYTHON = /^(python|pypy)[\d.]*$/;

// The name of a cell's language as CodeMirror's list has it, "" when the cell is none of ours.
export function language(text) {
  const [, magic, rest, body] = /^\s*%%(image|container)(?![^\s])(.*)\n?([^]*)/.exec(text) || [];
  if (!magic) return "";
  if (magic === "image") return "dockerfile";
  const given = /\s--with(?:=|\s+)(?:"([^"]*)"|'([^']*)'|(\S+))/.exec(rest);
  const line = given ? given[1] ?? given[2] ?? given[3] : (/^#!(.*)/.exec(body) || [])[1];
  return spoken(line || "sh");
}

// What the program of an interpreter's line speaks, seen through `env` and `env -S`.
function spoken(line) {
  const base = (word) => word.split("/").pop();
  let words = line.trim().split(/\s+/);
  if (base(words[0]) === "env") {
    words = words.slice(1).map((word) => word.replace(/^-S/, ""));
    words = words.filter((word) => word && word !== "-i" && !word.includes("="));
  }
  const name = base(words[0] || "sh");
  if (SHELLS.test(name)) return "shell";
  if (PYTHON.test(name)) return words.includes("-m") || words.includes("-c") ? "text" : "python";
  return name;
}

// Keep the colours of one code cell right, whatever its first lines or the kernel become.
function follow(model, languages) {
  let own = ""; // the type that we gave the cell
  let usual = model.mimeType; // the one that the notebook wants it to have

  const update = async () => {
    if (model.mimeType !== own) usual = model.mimeType;
    const name = language(model.sharedModel.getSource());
    const found = name && languages.findByName(name);
    own = found ? [].concat(found.mime)[0] : name ? "text/plain" : "";
    const wanted = own || usual;
    if (model.mimeType === wanted) return;
    // An editor shows whichever language is loaded last: let both be there before they are exchanged.
    await Promise.allSettled([model.mimeType, wanted].map((mime) => languages.getLanguage(mime)));
    if (wanted === (own || usual)) model.mimeType = wanted;
  };
  model.mimeTypeChanged.connect(update);
  model.sharedModel.changed.connect((_, change) => {
    if (change.sourceChange) update();
  });
  update();
}

export const highlighting = (IEditorLanguageRegistry) => ({
  id: "sandcell:highlighting",
  autoStart: true,
  description: "Colours the cells of %%image and %%container.",
  requires: [IEditorLanguageRegistry],
  activate: (app, languages) => {
    const known = new WeakSet();
    const meet = (models) => {
      for (const model of models) {
        if (model.type !== "code" || known.has(model)) continue;
        known.add(model);
        follow(model, languages);
      }
    };
    app.docRegistry.addWidgetExtension("Notebook", {
      createNew: (_, context) => {
        const { cells } = context.model;
        const changed = (_, change) => meet(change.newValues);
        cells.changed.connect(changed);
        meet(cells);
        return { isDisposed: false, dispose: () => cells.changed.disconnect(changed) };
      },
    });
  },
});
