// Which blocks to ask for, and what became of each. Pure: no socket, no clock, no page.

export const AHEAD = 8;
export const PER_MESSAGE = 32;
export const SILENCE_MS = 10_000; // asked, and not even "queued" came back
export const QUEUED_MS = 30_000; // queued, and nothing more was heard
const RESENDS = 2;
const HEALS = 2;

const PENDING = new Set(["asked", "queued"]);
const MUTE = new Set(["skipped", "error"]);

function fresh() {
  return { status: "idle", at: 0, since: null, urgent: false, resends: 0, heals: 0, url: null, words: [], durationMs: null, reason: null };
}

/** Word timings travel as a JSON string; a page that cannot read them still speaks. */
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

  isSpeakable(index) {
    return index >= 0 && index < this.count && !MUTE.has(this.entry(index).status);
  }

  /** The nearest block in that direction that can be heard, or null at the end of the document. */
  neighbour(index, step) {
    for (let i = index + step; i >= 0 && i < this.count; i += step) if (this.isSpeakable(i)) return i;
    return null;
  }

  /** The block at the cursor and those to have ready behind it. */
  window() {
    const indices = [];
    for (let i = this.cursor; i < this.count && indices.length <= AHEAD; i += 1) {
      if (this.isSpeakable(i)) indices.push(i);
    }
    return indices;
  }

  /** True when the server has been asked for something that it has not answered for good. */
  get isWaiting() {
    return [...this.#entries.values()].some(({ status }) => PENDING.has(status));
  }

  /** Whatever has no outcome yet must be asked for again: a jump, a new connection, lost frames. */
  resume() {
    this.#heldUntil = 0;
    for (const entry of this.#entries.values()) {
      if (PENDING.has(entry.status)) Object.assign(entry, { status: "idle", resends: 0, urgent: false });
    }
  }

  /** These (or, without a list, all) are no longer waited for on the server. */
  drop(indices) {
    for (const [index, entry] of this.#entries) {
      if (PENDING.has(entry.status) && (!indices || indices.includes(index))) {
        Object.assign(entry, { status: "idle", urgent: false });
      }
    }
  }

  /** Ask for nothing before that moment. */
  hold(until) {
    this.#heldUntil = Math.max(this.#heldUntil, until);
  }

  /** Give blocks that failed another chance: the listener pressed play again. */
  forgive() {
    for (const entry of this.#entries.values()) {
      if (entry.status === "error") Object.assign(entry, fresh());
    }
  }

  /** The messages to send now; calling it again at once gives none. */
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
      for (const index of indices) this.#ask(index, priority === "playing", now);
    }
    return messages;
  }

  // A block that was asked for in good time and is now waited for deserves its turn before the rest.
  #isDue(index, urgent) {
    const { status, urgent: wasUrgent } = this.entry(index);
    return status === "idle" || (urgent && PENDING.has(status) && !wasUrgent);
  }

  #ask(index, urgent, now) {
    const entry = this.entry(index);
    Object.assign(entry, { status: "asked", at: now, since: entry.since ?? now, urgent });
  }

  /** Take in a status frame. False when it changed nothing. */
  receive(frame, now) {
    const index = frame.block_idx;
    if (!Number.isInteger(index) || index < 0 || index >= this.count) return false;
    const entry = this.entry(index);
    if (frame.status === "queued") {
      // It may overtake "cached": the job is on its way before this answer is written.
      if (!PENDING.has(entry.status) && entry.status !== "idle") return false;
      Object.assign(entry, { status: "queued", at: now, since: entry.since ?? now });
      return true;
    }
    if (frame.status === "cached" && frame.audio_url) {
      Object.assign(entry, {
        status: "cached", url: frame.audio_url, words: parseWords(frame.word_timestamps),
        durationMs: frame.duration_ms ?? null, reason: null, since: null, resends: 0,
      });
      return true;
    }
    if (MUTE.has(frame.status) && entry.status !== "cached") {
      Object.assign(entry, { status: frame.status, reason: frame.error ?? null, since: null });
      return true;
    }
    return false;
  }

  /** Its audio was not there. True when the block may be asked for again. */
  heal(index) {
    const entry = this.entry(index);
    if (entry.heals >= HEALS) {
      this.fail(index, "its audio could not be fetched");
      return false;
    }
    Object.assign(entry, { status: "idle", url: null, urgent: false, heals: entry.heals + 1 });
    return true;
  }

  fail(index, reason) {
    Object.assign(this.entry(index), { status: "error", reason, since: null });
  }

  /** Look for silence. Returns true when even asking again was not answered: the line is dead. */
  lookForSilence(now) {
    let isDead = false;
    for (const entry of this.#entries.values()) {
      if (entry.status === "queued" && now - entry.at > QUEUED_MS) {
        Object.assign(entry, { status: "idle", urgent: false });
      } else if (entry.status === "asked" && now - entry.at > SILENCE_MS) {
        isDead ||= entry.resends >= RESENDS;
        Object.assign(entry, { status: "idle", urgent: false, resends: entry.resends + 1 });
      }
    }
    return isDead;
  }

  /** How long the listener has been waiting for the block at the cursor, in milliseconds. */
  waitedFor(now) {
    const { since } = this.entry(this.cursor);
    return since === null ? 0 : now - since;
  }

  readyAhead() {
    return this.window().filter((index) => index > this.cursor && this.entry(index).status === "cached").length;
  }
}
