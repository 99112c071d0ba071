// Change events of the account and of watched documents, over /v1/ws/events.

import { ReconnectingSocket } from "./socket.js";

const PATH = "/v1/ws/events";
export const MAX_WATCHED = 200;

/**
 * Events: `connected` (read the state again), `balance`, `preferences`, `voices`, `keys`, `account`, `document` and
 * `document_gone` (detail: its id), and `refused` (detail: {code}) where the log-in has ended.
 */
export class ChangeEvents extends EventTarget {
  #watched = new Set();
  #isConnected = false;
  #isResuming = false; // `watching` answers a request for all documents

  constructor(socket = new ReconnectingSocket(new URL(PATH, location.href).href.replace(/^http/, "ws"))) {
    super();
    this.socket = socket;
    socket.addEventListener("open", () => (this.#isConnected = false));
    socket.addEventListener("down", () => (this.#isConnected = false));
    socket.addEventListener("gap", () => this.#resume());
    socket.addEventListener("frame", (event) => this.#onFrame(event.detail));
    socket.addEventListener("refused", ({ detail }) => this.#tell("refused", detail));
  }

  start() {
    this.socket.start();
  }

  /** Follow exactly these documents, as many as a connection may. */
  watch(ids) {
    const wanted = new Set([...ids].slice(0, MAX_WATCHED));
    const removed = [...this.#watched].filter((id) => !wanted.has(id));
    const added = [...wanted].filter((id) => !this.#watched.has(id));
    this.#watched = wanted;
    if (!this.#isConnected) return; // sent after `connected`
    if (removed.length) this.socket.send({ type: "unwatch", document_ids: removed });
    if (added.length) this.socket.send({ type: "watch", document_ids: added });
  }

  #onFrame(frame) {
    if (frame.type === "connected") this.#resume();
    else if (frame.type === "watching") this.#onWatching();
    else if (frame.type === "changed") this.#tell(frame.subject, frame.document_id);
    else if (frame.type === "document_gone") this.#onGone(frame.document_id);
    else if (frame.type === "error") this.#onError(frame);
  }

  // The documents are watched before the state is read: no change in between is missed.
  #resume() {
    this.#isConnected = true;
    this.#isResuming = this.#watched.size > 0;
    if (this.#isResuming) this.socket.send({ type: "watch", document_ids: [...this.#watched] });
    else this.#tell("connected");
  }

  #onWatching() {
    if (!this.#isResuming) return;
    this.#isResuming = false;
    this.#tell("connected");
  }

  #onGone(id) {
    if (this.#watched.delete(id)) this.#tell("document_gone", id);
  }

  #onError({ code, document_id: id, retry_after: retryAfter }) {
    if (code === "document_not_found") this.#onGone(id);
    else if (retryAfter) setTimeout(() => this.#isConnected && this.#resume(), retryAfter * 1_000);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
