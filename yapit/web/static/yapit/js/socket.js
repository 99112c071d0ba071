// WebSocket client: connects, reconnects with backoff, and detects missing frames.

export const NOT_AUTHENTICATED = 4401;
export const NO_CREDENTIALS = 4407;
export const ORIGIN_REFUSED = 4403;
const REFUSALS = [NOT_AUTHENTICATED, NO_CREDENTIALS, ORIGIN_REFUSED];
const MIN_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
const STABLE_MS = 5_000; // a connection that lasted this long resets the backoff

/** Exponential backoff with full jitter, so that clients of a restarted server do not reconnect all at once. */
export function reconnectDelay(attempt, random = Math.random) {
  const limit = Math.min(MAX_DELAY_MS, 1_000 * 2 ** attempt);
  return MIN_DELAY_MS + random() * (limit - MIN_DELAY_MS);
}

/**
 * Events: `open`, `frame` (detail: the message), `gap`, `down` (detail: {code, delay}), and
 * `refused` (detail: {code}), after which it does not reconnect by itself.
 */
export class ReconnectingSocket extends EventTarget {
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

  /** Connect now, without waiting for the backoff delay. */
  start() {
    clearTimeout(this.#timer);
    if (this.#socket && this.#socket.readyState <= WebSocket.OPEN) return;
    const socket = (this.#socket = this.connect(this.url));
    // Ignore events of a previous connection.
    const ifCurrent = (handler) => (event) => socket === this.#socket && handler(event);
    socket.onopen = ifCurrent(() => this.#onOpen());
    socket.onmessage = ifCurrent((event) => this.#onMessage(event));
    socket.onclose = ifCurrent((event) => this.#onClose(event));
  }

  /** Replace a connection that is open but no longer gets replies. */
  restart() {
    this.#socket?.close();
    this.#onClose({ code: 1006 });
  }

  /** Send a message. False without a connection: send again after `open`. */
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
    if (this.#openedAt && this.now() - this.#openedAt > STABLE_MS) this.#attempt = 0;
    this.#openedAt = 0;
    const delay = reconnectDelay(this.#attempt, this.random);
    this.#attempt += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.start(), delay);
    this.dispatchEvent(new CustomEvent("down", { detail: { code, delay } }));
  }
}
