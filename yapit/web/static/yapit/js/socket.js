// The WebSocket: connects, comes back after a loss, and notices frames that went missing.

export const NOT_AUTHENTICATED = 4401;
export const NO_CREDENTIALS = 4407;
export const ORIGIN_REFUSED = 4403;
const REFUSALS = [NOT_AUTHENTICATED, NO_CREDENTIALS, ORIGIN_REFUSED];
const SHORTEST = 500;
const LONGEST = 30_000;
const SETTLED_MS = 5_000; // a connection that lived this long was a good one: start again with short delays

/** Full jitter, so that the listeners of a restarted server do not come back all at once. */
export function reconnectDelay(attempt, random = Math.random) {
  const ceiling = Math.min(LONGEST, 1_000 * 2 ** attempt);
  return SHORTEST + random() * (ceiling - SHORTEST);
}

/**
 * Events: `open`, `frame` (detail: the message), `gap`, `down` (detail: {code, delay}), and
 * `refused` (detail: {code}) after which it does not try again by itself.
 */
export class SpeechSocket extends EventTarget {
  #socket = null;
  #timer = null;
  #attempt = 0;
  #openedAt = 0;
  #lastSeq = 0;

  constructor(url, { connect = (u) => new WebSocket(u, "yapit.v1"), random = Math.random, now = Date.now } = {}) {
    super();
    Object.assign(this, { url, connect, random, now });
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connect now, whatever delay was running. */
  start() {
    clearTimeout(this.#timer);
    if (this.#socket && this.#socket.readyState <= WebSocket.OPEN) return;
    const socket = (this.#socket = this.connect(this.url));
    // Events of a connection that was given up must not touch its successor.
    const mine = (handler) => (event) => socket === this.#socket && handler(event);
    socket.onopen = mine(() => this.#onOpen());
    socket.onmessage = mine((event) => this.#onMessage(event));
    socket.onclose = mine((event) => this.#onClose(event));
  }

  /** Give this connection up and make a new one: it is open, but nobody is there. */
  restart() {
    this.#socket?.close();
    this.#onClose({ code: 1006 });
  }

  /** False when there is no connection; the caller asks again after `open`. */
  send(message) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #onOpen() {
    this.#openedAt = this.now();
    this.#lastSeq = 0;
    this.dispatchEvent(new Event("open"));
  }

  #onMessage(event) {
    let frame;
    try {
      frame = JSON.parse(event.data);
    } catch {
      return;
    }
    const isGap = Number.isInteger(frame.seq) && frame.seq !== this.#lastSeq + 1;
    if (Number.isInteger(frame.seq)) this.#lastSeq = frame.seq;
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
    if (isGap) this.dispatchEvent(new Event("gap"));
  }

  #onClose({ code }) {
    this.#socket = null;
    if (REFUSALS.includes(code)) {
      this.dispatchEvent(new CustomEvent("refused", { detail: { code } }));
      return;
    }
    if (this.#openedAt && this.now() - this.#openedAt > SETTLED_MS) this.#attempt = 0;
    this.#openedAt = 0;
    const delay = reconnectDelay(this.#attempt, this.random);
    this.#attempt += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.start(), delay);
    this.dispatchEvent(new CustomEvent("down", { detail: { code, delay } }));
  }
}
