// Remembers on the server where the listener is, a few seconds behind and for certain on leaving.

import * as api from "./api.js";

const THROTTLE_MS = 4_000;

export class PositionKeeper {
  #pending = null; // {id, block}
  #timer = null;

  constructor() {
    addEventListener("pagehide", () => this.flush(true));
    document.addEventListener("visibilitychange", () => document.hidden && this.flush(true));
  }

  note(id, block) {
    if (this.#pending && this.#pending.id !== id) this.flush();
    this.#pending = { id, block };
    this.#timer ??= setTimeout(() => this.flush(), THROTTLE_MS);
  }

  flush(keepalive = false) {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.#pending) return;
    const { id, block } = this.#pending;
    this.#pending = null;
    // The next block brings the next chance; whether the log-in is lost is said elsewhere.
    api.savePosition(id, block, keepalive).catch(() => {});
  }
}
