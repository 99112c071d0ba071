// Saves the playback position on the server: throttled while playing, at once when the page is left.

import * as api from "./api.js";

const THROTTLE_MS = 4_000;

export class PositionSaver {
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
    // Ignored: the next block saves again, and other requests report an ended session.
    api.savePosition(id, block, keepalive).catch(() => {});
  }
}
