// How long a document takes: what was heard counts exactly, the rest is estimated. Pure.

const MS_PER_CHARACTER = 1000 / 14;

export class Timeline {
  #estimates; // ms
  #known = new Map(); // block -> ms
  #characters = new Map();

  constructor(count, totalMs) {
    this.count = count;
    this.#estimates = new Float64Array(count).fill(count ? totalMs / count : 0);
  }

  /** The page has the text of this block. */
  measure(index, characters) {
    this.#characters.set(index, characters);
    if (!this.#known.has(index)) this.#estimates[index] = characters * this.#pace();
  }

  /** The audio of this block is there. */
  learn(index, durationMs) {
    if (!durationMs || this.#known.get(index) === durationMs) return;
    this.#known.set(index, durationMs);
    this.#estimates[index] = durationMs;
    const pace = this.#pace();
    for (const [other, characters] of this.#characters) {
      if (!this.#known.has(other)) this.#estimates[other] = characters * pace;
    }
  }

  /** Another voice, another pace. */
  forget() {
    this.#known.clear();
  }

  // Milliseconds per character of this voice, as far as it has been heard.
  #pace() {
    let ms = 1_000 * MS_PER_CHARACTER; // as if a thousand characters had been heard at the usual pace
    let characters = 1_000;
    for (const [index, duration] of this.#known) {
      const length = this.#characters.get(index);
      if (length) [ms, characters] = [ms + duration, characters + length];
    }
    return ms / characters;
  }

  length(index) {
    return this.#estimates[index] ?? 0;
  }

  /** Where a block begins, in milliseconds; `count` gives the end of the document. */
  start(index) {
    let ms = 0;
    for (let i = 0; i < index && i < this.count; i += 1) ms += this.#estimates[i];
    return ms;
  }

  total() {
    return this.start(this.count);
  }

  blockAt(ms) {
    let end = 0;
    for (let i = 0; i < this.count; i += 1) {
      end += this.#estimates[i];
      if (ms < end) return i;
    }
    return Math.max(0, this.count - 1);
  }
}

/** "about 5 minutes", "1 h 20 min" and so on, for people. */
export function inWords(ms) {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 1) return "less than a minute";
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return rest ? `${Math.floor(minutes / 60)} h ${rest} min` : `${minutes / 60} h`;
}

/** "4:07" or "1:04:07". */
export function clock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, i) => (i ? String(part).padStart(2, "0") : String(part))).join(":");
}
