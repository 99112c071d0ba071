// Request state of each block of a document: which to request next, and their results. Pure: no socket, clock or DOM.

export const PREFETCH = 8;
export const PER_MESSAGE = 32;
export const ACK_TIMEOUT_MS = 10_000; // requested without any reply
export const QUEUED_TIMEOUT_MS = 30_000; // queued without a result
const RESENDS = 2;
const RETRIES = 2;

const UNANSWERED = new Set(["requested", "queued"]);
const SILENT = new Set(["skipped", "error"]);

function fresh() {
  return { status: "idle", at: 0, since: null, urgent: false, resends: 0, retries: 0, url: null, words: [], durationMs: null, pauseMs: 0, reason: null };
}

/** Word timings from their JSON string; empty if it cannot be parsed, since playback works without them. */
export function parseWords(text) {
  if (!text) return [];
  try {
    const words = JSON.parse(text);
    return Array.isArray(words) ? words.filter((w) => typeof w.t === "string" && Number.isFinite(w.s)) : [];
  } catch {
    return [];
  }
}

export class Queue {
  #entries = new Map();
  #heldUntil = 0;

  constructor(count, cursor = 0) {
    this.count = count;
    this.cursor = cursor;
  }

  entry(index) {
    let entry = this.#entries.get(index);
    if (!entry) this.#entries.set(index, (entry = fresh()));
    return entry;
  }

  isPlayable(index) {
    return index >= 0 && index < this.count && !SILENT.has(this.entry(index).status);
  }

  /** Index of the nearest playable block in that direction, or null at the end of the document. */
  neighbour(index, step) {
    for (let i = index + step; i >= 0 && i < this.count; i += step) if (this.isPlayable(i)) return i;
    return null;
  }

  /** Indices of the block at the cursor and of those to prefetch after it. */
  window() {
    const indices = [];
    for (let i = this.cursor; i < this.count && indices.length <= PREFETCH; i += 1) {
      if (this.isPlayable(i)) indices.push(i);
    }
    return indices;
  }

  /** True while a requested block has no final status. */
  get hasUnanswered() {
    return [...this.#entries.values()].some(({ status }) => UNANSWERED.has(status));
  }

  /** Request unfinished blocks again: after a jump, a new connection or lost frames. */
  resume() {
    this.#heldUntil = 0;
    for (const entry of this.#entries.values()) {
      if (UNANSWERED.has(entry.status)) Object.assign(entry, { status: "idle", resends: 0, urgent: false });
    }
  }

  /** Mark these (without a list: all) unfinished blocks as not requested: the server has dropped them. */
  drop(indices) {
    for (const [index, entry] of this.#entries) {
      if (UNANSWERED.has(entry.status) && (!indices || indices.includes(index))) {
        Object.assign(entry, { status: "idle", urgent: false });
      }
    }
  }

  /** Send no requests before that time. */
  hold(until) {
    this.#heldUntil = Math.max(this.#heldUntil, until);
  }

  /** Make failed blocks playable again: the user pressed play again. */
  retryFailed() {
    for (const entry of this.#entries.values()) {
      if (entry.status === "error") Object.assign(entry, fresh());
    }
  }

  /** Requests to send now, as {priority, indices}; marks their blocks as requested. */
  requests(now) {
    if (now < this.#heldUntil) return [];
    const [first, ...rest] = this.window();
    const messages = [];
    if (first !== undefined && this.#isDue(first, true)) {
      messages.push({ priority: "playing", indices: [first] });
    }
    const due = rest.filter((index) => this.#isDue(index, false));
    for (let i = 0; i < due.length; i += PER_MESSAGE) {
      messages.push({ priority: "prefetch", indices: due.slice(i, i + PER_MESSAGE) });
    }
    for (const { priority, indices } of messages) {
      for (const index of indices) this.#markRequested(index, priority === "playing", now);
    }
    return messages;
  }

  // A prefetched block that playback now waits for is requested again with priority.
  #isDue(index, urgent) {
    const { status, urgent: wasUrgent } = this.entry(index);
    return status === "idle" || (urgent && UNANSWERED.has(status) && !wasUrgent);
  }

  #markRequested(index, urgent, now) {
    const entry = this.entry(index);
    Object.assign(entry, { status: "requested", at: now, since: entry.since ?? now, urgent });
  }

  /** Apply a status frame. False when it changed nothing. */
  receive(frame, now) {
    const index = frame.block_idx;
    if (!Number.isInteger(index) || index < 0 || index >= this.count) return false;
    const entry = this.entry(index);
    if (frame.status === "queued") {
      // "queued" may arrive after "cached": the job is queued before its status frame is sent.
      if (!UNANSWERED.has(entry.status) && entry.status !== "idle") return false;
      Object.assign(entry, { status: "queued", at: now, since: entry.since ?? now });
      return true;
    }
    if (frame.status === "cached" && frame.audio_url) {
      Object.assign(entry, {
        status: "cached", url: frame.audio_url, words: parseWords(frame.word_timestamps),
        durationMs: frame.duration_ms ?? null, pauseMs: frame.pause_ms ?? 0, reason: null, since: null, resends: 0,
      });
      return true;
    }
    if (SILENT.has(frame.status) && entry.status !== "cached") {
      Object.assign(entry, { status: frame.status, reason: frame.error ?? null, since: null });
      return true;
    }
    return false;
  }

  /** Request a block again whose audio was gone. False when it has failed too often. */
  retry(index) {
    const entry = this.entry(index);
    if (entry.retries >= RETRIES) {
      this.fail(index, "its audio could not be fetched");
      return false;
    }
    Object.assign(entry, { status: "idle", url: null, urgent: false, retries: entry.retries + 1 });
    return true;
  }

  fail(index, reason) {
    Object.assign(this.entry(index), { status: "error", reason, since: null });
  }

  /** Request timed-out blocks again. True when repeated requests had no reply: the connection is dead. */
  checkTimeouts(now) {
    let isDead = false;
    for (const entry of this.#entries.values()) {
      if (entry.status === "queued" && now - entry.at > QUEUED_TIMEOUT_MS) {
        Object.assign(entry, { status: "idle", urgent: false });
      } else if (entry.status === "requested" && now - entry.at > ACK_TIMEOUT_MS) {
        isDead ||= entry.resends >= RESENDS;
        Object.assign(entry, { status: "idle", urgent: false, resends: entry.resends + 1 });
      }
    }
    return isDead;
  }

  /** Milliseconds since the block at the cursor was first requested; 0 when it is not pending. */
  waitingMs(now) {
    const { since } = this.entry(this.cursor);
    return since === null ? 0 : now - since;
  }

  readyAhead() {
    return this.window().filter((index) => index > this.cursor && this.entry(index).status === "cached").length;
  }
}
