// Making and updating elements. Text is always text: nothing here ever parses HTML.

// An element. `attributes`: "on…" adds a listener, true and false are an attribute's presence, the rest
// is set as it is. Children are elements, text, or nothing.
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

// Set only what is different, so that selections, focus and screen readers are left in peace.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The same of a text with paths in it, which may be broken after a slash; what is copied has no mark of that.
export function setPath(element, text) {
  if (element.textContent !== text) element.replaceChildren(...text.split(/(?<=\S\/)/).flatMap((part) => [part, h("wbr")]));
}

export function setAttribute(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

// Children of `parent` as `items` ask for, one each, in their order. `make(item)` gives a new element,
// `update(element, item)` brings it up to date. An element stays the same as long as its key does, and
// is moved only when it must be: what has the focus keeps it.
export function keyed(parent, items, keyOf, make, update) {
  const known = parent.keyedChildren ?? (parent.keyedChildren = new Map());
  const keys = items.map(keyOf);
  const wanted = new Set(keys);
  for (const [key, element] of known) {
    if (wanted.has(key)) continue;
    // Whoever was on it goes on beside it.
    if (element.contains(document.activeElement)) (element.nextElementSibling ?? element.previousElementSibling)?.focus?.();
    element.remove();
    known.delete(key);
  }
  let before = parent.firstElementChild;
  items.forEach((item, at) => {
    let element = known.get(keys[at]);
    if (!element) {
      element = make(item);
      known.set(keys[at], element);
    }
    if (element === before) before = before.nextElementSibling;
    else parent.insertBefore(element, before);
    update(element, item);
  });
}

const PATHS = {
  start: "M5 3l9 5-9 5z",
  stop: "M4 4h8v8H4z",
  restart: "M8 3a5 5 0 1 0 5 5h-2a3 3 0 1 1-3-3v2l4-3-4-3z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  unpause: "M3 3h2v10H3zM7 3l7 5-7 5z",
  commit: "M8 1l6 3-6 3-6-3zM2 7l6 3 6-3v2l-6 3-6-3zM2 11l6 3 6-3v1.500l-6 3-6-3z",
  reset: "M3 2v5h5L6 5a4 4 0 1 1-2 5H2a6 6 0 1 0 2.600-6.400z",
  remove: "M6 1h4v1h4v2H2V2h4zM3 5h10l-1 10H4z",
  terminal: "M1 2h14v12H1zM3 5l3 3-3 3 1 1 4-4-4-4zM8 11h5v1.500H8z",
  tag: "M1 2h6l8 7-6 6-8-8zM4 4a1 1 0 1 0 .01 0z",
  limits: "M2 3h6v2H2zM11 3h3v2h-3zM8 2h2v4H8zM2 8h1v2H2zM6 8h8v2H6zM3 7h2v4H3zM2 12h7v2H2zM12 12h2v2h-2zM9.500 11h2v4h-2z",
  rename: "M2 12l8-8 3 3-8 8H2zM11 3l1-1 3 3-1 1z",
  save: "M7 1h2v6h3l-4 4-4-4h3zM2 12h12v3H2z",
  push: "M7 12h2V6h3L8 2 4 6h3zM2 12h2v1h8v-1h2v3H2z",
  pull: "M7 2h2v6h3l-4 4-4-4h3zM2 12h2v1h8v-1h2v3H2z",
  prune: "M9 1h2v6h2v2l1 6H2l1-6V7h6zM5 9l-.6 4h1.600V11h1v2h1.500v-2h1v2h2L11 9z",
  shared: "M2 2h8v8H2zM6 11h5V6h3v8H6z",
};

// A small drawing that screen readers pass over.
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  drawing.setAttribute("viewBox", "0 0 16 16");
  drawing.setAttribute("class", "sc-icon");
  drawing.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  path.setAttribute("fill-rule", "evenodd");
  drawing.append(path);
  return drawing;
}

// Let something be done at most once per frame, however often it is asked for.
export function onceAFrame(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    // A page that is not seen has no frames, but must be right when it is seen again.
    const soon = document.hidden ? (then) => setTimeout(then, 200) : requestAnimationFrame;
    soon(() => {
      waiting = false;
      work();
    });
  };
}
