// The audio of blocks near the cursor, as blob addresses. Small: what is far behind is let go.

import { Refused, Unreachable, audio, isLoginLost } from "./api.js";

const KEEP = 24;

/** What a failed fetch means: "gone" (make it again), "login", "later" or "never". */
export function verdict(error) {
  if (error instanceof Unreachable) return "later";
  if (!(error instanceof Refused)) return "never";
  if (isLoginLost(error)) return "login";
  if (error.status === 404) return "gone";
  return error.status >= 500 || error.status === 429 ? "later" : "never";
}

export class Shelf {
  #addresses = new Map(); // block -> blob address; oldest use first
  #loading = new Map(); // block -> promise
  #abort = new AbortController();

  get(index) {
    const address = this.#addresses.get(index);
    if (address) {
      this.#addresses.delete(index);
      this.#addresses.set(index, address);
    }
    return address ?? null;
  }

  /** Fetch a block once, however often it is asked for meanwhile. Rejects as api.audio does. */
  fetch(index, path) {
    if (this.#addresses.has(index)) return Promise.resolve(this.get(index));
    if (!this.#loading.has(index)) {
      const loading = this.#load(index, path, this.#abort.signal).finally(() => {
        if (this.#loading.get(index) === loading) this.#loading.delete(index);
      });
      this.#loading.set(index, loading);
    }
    return this.#loading.get(index);
  }

  isLoading(index) {
    return this.#loading.has(index);
  }

  async #load(index, path, signal) {
    const blob = await audio(path, signal);
    signal.throwIfAborted();
    this.#addresses.set(index, URL.createObjectURL(blob));
    return this.#addresses.get(index);
  }

  drop(index) {
    const address = this.#addresses.get(index);
    if (address) URL.revokeObjectURL(address);
    this.#addresses.delete(index);
  }

  /** Let go of the longest unused, but never of the blocks named. */
  trim(inUse) {
    for (const index of [...this.#addresses.keys()]) {
      if (this.#addresses.size <= KEEP) return;
      if (!inUse.includes(index)) this.drop(index);
    }
  }

  clear() {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#loading.clear();
    for (const index of [...this.#addresses.keys()]) this.drop(index);
  }
}
