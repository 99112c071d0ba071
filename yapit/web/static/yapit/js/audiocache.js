// Cache of fetched audio: blob URLs of the blocks near the cursor, least recently used evicted.

import { ApiError, NetworkError, audio, isLoggedOut } from "./api.js";

const MAX_ENTRIES = 24;

/** Kind of a failed fetch: "gone" (request the block again), "login", "later" or "never". */
export function failureKind(error) {
  if (error instanceof NetworkError) return "later";
  if (!(error instanceof ApiError)) return "never";
  if (isLoggedOut(error)) return "login";
  if (error.status === 404) return "gone";
  return error.status >= 500 || error.status === 429 ? "later" : "never";
}

export class AudioCache {
  #urls = new Map(); // block -> blob URL; least recently used first
  #loading = new Map(); // block -> promise
  #abort = new AbortController();

  get(index) {
    const url = this.#urls.get(index);
    if (url) {
      this.#urls.delete(index);
      this.#urls.set(index, url);
    }
    return url ?? null;
  }

  /** Fetch a block; concurrent calls share one request. Rejects as api.audio does. */
  fetch(index, path) {
    if (this.#urls.has(index)) return Promise.resolve(this.get(index));
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
    this.#urls.set(index, URL.createObjectURL(blob));
    return this.#urls.get(index);
  }

  drop(index) {
    const url = this.#urls.get(index);
    if (url) URL.revokeObjectURL(url);
    this.#urls.delete(index);
  }

  /** Evict the least recently used blocks, except those in `inUse`. */
  trim(inUse) {
    for (const index of [...this.#urls.keys()]) {
      if (this.#urls.size <= MAX_ENTRIES) return;
      if (!inUse.includes(index)) this.drop(index);
    }
  }

  clear() {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#loading.clear();
    for (const index of [...this.#urls.keys()]) this.drop(index);
  }
}
