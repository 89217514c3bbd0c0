// What is known of the store, and what is chosen. Whoever shows something of it is told when it changes.

export class State {
  constructor() {
    this.images = new Map();
    this.containers = new Map();
    this.chosen = null; // {kind: "image" | "layer" | "container", key, number}
    this.lens = "inside";
    this.words = "";
    this.stats = new Map(); // container → samples, oldest first
    this.listeners = new Set();
    this.touching = new Set();
    this.heard = false;
  }

  // A message of a link: the whole state, a patch, or samples.
  hear(message) {
    if (message.state) {
      this.images = new Map(Object.entries(message.state.images));
      this.containers = new Map(Object.entries(message.state.containers));
      this.heard = true;
      for (const touch of this.touching) touch(null);
    }
    for (const kind of ["images", "containers"]) {
      for (const [key, value] of Object.entries(message.patch?.[kind] ?? {})) {
        if (value === null) this[kind].delete(key);
        else this[kind].set(key, value);
      }
    }
    for (const sample of message.stats ?? []) this.sample(sample);
    for (const id of message.touched ?? []) for (const touch of this.touching) touch(id);
    this.changed();
  }

  sample(sample) {
    const samples = this.stats.get(sample.id) ?? [];
    if (samples.length && sample.time <= samples.at(-1).time) return;
    // After a restart the counter begins anew.
    if (samples.length && sample.cpu < samples.at(-1).cpu) samples.length = 0;
    samples.push(sample);
    if (samples.length > 120) samples.shift();
    this.stats.set(sample.id, samples);
  }

  choose(chosen) {
    this.chosen = chosen;
    this.changed();
  }

  isChosen(kind, key, number) {
    const chosen = this.chosen;
    return chosen !== null && chosen.kind === kind && chosen.key === key && chosen.number === number;
  }

  // The digest of the image that is looked at: itself, by a layer, or under a container.
  get lit() {
    const { kind, key } = this.chosen ?? {};
    return kind === "container" ? this.containers.get(key)?.digest : key;
  }

  // Which of these parts the searched words are in: "" where nothing is searched for or the name has them
  // all, null where they are in none. `parts`: [what, text], the name first; a fingerprint counts from its
  // beginning, and not for words that it holds by chance.
  found(...parts) {
    const words = this.words.toLowerCase().split(/\s+/).filter(Boolean);
    const places = words.map((word) => parts.findIndex(([what, text]) => {
      const low = text.toLowerCase();
      return what === "id" ? word.length > 3 && low.replace(/^sha256:/, "").startsWith(word.replace(/^sha256:/, "")) : low.includes(word);
    }));
    if (places.includes(-1)) return null;
    return [...new Set(places.filter((at) => at > 0).map((at) => parts[at][0]))].join(", ");
  }

  changed() {
    for (const listener of this.listeners) listener();
  }
}
