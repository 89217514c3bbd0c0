// Numbers, times and states in words, as the cards of the notebook write them.

export function size(count) {
  let number = count;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (number < 999.5) return `${unit === "B" ? number : Number(number.toPrecision(3))} ${unit}`;
    number /= 1000;
  }
  return `${Number(number.toPrecision(3))} TB`;
}

// Bytes as flags write them, 1024 each: 256m.
export function flagSize(count) {
  const at = ["", "k", "m", "g"].findLastIndex((_, step) => count % 1024 ** step === 0);
  return `${count / 1024 ** at}${["", "k", "m", "g"][at]}`;
}

// The same read again; NaN for what is none.
export function readSize(text) {
  const [, number, unit] = text.toLowerCase().match(/^([\d.]+)\s*([kmg]?)i?b?$/) ?? [];
  return Math.round(Number(number) * 1024 ** ["", "k", "m", "g"].indexOf(unit));
}

export function ago(then, now = Date.now() / 1000) {
  const seconds = Math.floor(now - then);
  if (seconds < 5) return "just now";
  for (const [length, unit] of [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]]) {
    if (seconds >= length) {
      const number = Math.floor(seconds / length);
      return `${number} ${unit}${number === 1 ? "" : "s"} ago`;
    }
  }
  return "just now";
}

export function short(digest) {
  return digest.slice(digest.lastIndexOf(":") + 1).slice(0, 12);
}

// A path or a name with its long fingerprints cut: enough to tell them apart.
export function brief(text) {
  return text.replace(/[0-9a-f]{64}/g, (whole) => `${whole.slice(0, 12)}…`);
}

export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : noun.endsWith("s") ? "es" : "s"}`;
}

// A state in words, and its class: a word and a shape beside each colour.
export function stateOf(container) {
  if (container.state !== "exited") return [container.state, container.state];
  if (container.status === null) return ["exited, status unknown", "failed"];
  const words = `exited (${container.status})${container.oom ? ", out of memory" : ""}`;
  return [words, container.status ? "failed" : "exited"];
}

export function modeText(kind, mode) {
  const first = { dir: "d", symlink: "l", char: "c", block: "b", fifo: "p" }[kind] ?? "-";
  const bits = "rwxrwxrwx";
  return first + [...bits].map((bit, at) => (mode & (1 << (8 - at)) ? bit : "-")).join("");
}

export function nameOf(image) {
  return image.names[0] ?? `${short(image.digest)} (no name)`;
}
