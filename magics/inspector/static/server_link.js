// To the store by way of Jupyter's server: REST for questions and verbs, a WebSocket for what changes.

const ROUTES = {
  about: () => ["GET", "about"],
  container: (a) => ["GET", `containers/${a.id}`],
  create: (a) => ["POST", "containers", a],
  image_files: ({ name, ...window }) => ["GET", `images/${encodeURIComponent(name)}/files`, window],
  image_text: ({ name, path }) => ["GET", `images/${encodeURIComponent(name)}/text`, { path }],
  image: (a) => ["GET", `images/${a.name}`],
  container_files: ({ id, ...window }) => ["GET", `containers/${id}/files`, window],
  layer_files: ({ digest, number, ...window }) => ["GET", `images/${digest}/layers/${number}/files`, window],
  container_text: ({ id, path }) => ["GET", `containers/${id}/text`, { path }],
  layer_text: ({ digest, number, path }) => ["GET", `images/${digest}/layers/${number}/text`, { path }],
  command: (a) => ["GET", `containers/${a.id}/command`],
  log: (a) => ["GET", `containers/${a.id}/log`],
  remove: ({ id, force }) => ["DELETE", `containers/${id}`, { force }],
  remove_image: ({ name, force }) => ["DELETE", `images/${encodeURIComponent(name)}`, { force }],
  pull: (a) => ["POST", "images/pull", a],
  push: ({ name }) => ["POST", `images/${encodeURIComponent(name)}/push`],
  prune: () => ["POST", "prune"],
  prune_containers: () => ["POST", "prune/containers"],
  tag: ({ source, target }) => ["POST", `images/${encodeURIComponent(source)}/tag`, { target }],
};

export class Refused extends Error {
  constructor(told) {
    super(told.cause);
    this.told = told;
  }
}

export class ServerLink {
  // `base`: address of /sandcell/ on the server, ending in a slash; `token`: Jupyter's, where the page has one.
  constructor(base, token = "") {
    this.base = base;
    this.token = token;
    this.kind = "server";
    this.watched = [];
    this.patience = 500;
  }

  async ask(question, given = {}) {
    const make = ROUTES[question] ?? (({ id, ...body }) => ["POST", `containers/${id}/${question}`, body]);
    const [method, path, more = {}] = make(given);
    const fields = Object.entries(more).filter(([, value]) => value !== undefined && value !== "");
    const query = method === "POST" || !fields.length ? "" : `?${new URLSearchParams(fields)}`;
    const body = method === "POST" ? JSON.stringify(Object.fromEntries(fields)) : undefined;
    const answer = await fetch(`${this.base}api/${path}${query}`, { method, body, headers: this.headers(), credentials: "same-origin" });
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) return told;
    throw new Refused(told.error ?? { cause: `${answer.status} ${answer.statusText}`, hint: "" });
  }

  headers() {
    const headers = { "Content-Type": "application/json" };
    if (this.token) headers.Authorization = `token ${this.token}`;
    const forged = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
    if (forged) headers["X-XSRFToken"] = decodeURIComponent(forged[1]);
    return headers;
  }

  // Hear messages until `close`; a connection that breaks is made again. `status(text)` tells how it is.
  listen(hear, status) {
    this.hear = hear;
    this.status = status;
    this.open();
  }

  open() {
    if (this.ended) return;
    const socket = new WebSocket(this.address("api/events"));
    this.socket = socket;
    socket.onopen = () => {
      this.patience = 500;
      this.status("live");
      this.watch(this.watched);
    };
    socket.onmessage = (event) => this.hear(JSON.parse(event.data));
    socket.onclose = () => {
      if (this.ended) return;
      this.status("connection lost, trying again …");
      setTimeout(() => this.open(), this.patience);
      this.patience = Math.min(10_000, this.patience * 2);
    };
  }

  address(path) {
    const url = new URL(this.base + path, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    if (this.token) url.searchParams.set("token", this.token);
    return url.href;
  }

  watch(ids) {
    this.watched = ids;
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ watch: ids }));
  }

  // The log as it is written; gives a function that ends it.
  follow(id, piece) {
    const socket = new WebSocket(this.address(`api/containers/${id}/log/stream`));
    socket.onmessage = (event) => piece(JSON.parse(event.data));
    return () => socket.close();
  }

  // A terminal of Jupyter's own; false where no page around us can show it.
  async terminal(id) {
    const { name } = await this.ask("terminal", { id });
    const event = new CustomEvent("sandcell:terminal", { detail: { name }, cancelable: true });
    return !document.dispatchEvent(event);
  }

  // Where a port of a container is reached.
  port(name, number) {
    return `${this.base}port/${encodeURIComponent(name)}/${number}/`;
  }

  // Where an image is had as one file, the files of a container, or one of them.
  archive(name) {
    return `${this.base}api/images/${encodeURIComponent(name)}/archive`;
  }

  exported(id) {
    return `${this.base}api/containers/${id}/export`;
  }

  fetched(id, path) {
    return `${this.base}api/containers/${id}/archive?${new URLSearchParams({ path })}`;
  }

  close() {
    this.ended = true;
    this.socket?.close();
  }
}
