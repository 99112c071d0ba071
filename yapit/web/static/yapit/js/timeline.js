// Duration of a document: exact for blocks with known audio, estimated for the rest. Pure.

const MS_PER_CHARACTER = 1000 / 14;

export class Timeline {
  #estimates; // ms
  #known = new Map(); // block -> ms
  #characters = new Map();

  constructor(count, totalMs) {
    this.count = count;
    this.#estimates = new Float64Array(count).fill(count ? totalMs / count : 0);
  }

  /** Set the number of characters of a block. */
  setCharacters(index, characters) {
    this.#characters.set(index, characters);
    if (!this.#known.has(index)) this.#estimates[index] = characters * this.#pace();
  }

  /** Set the exact duration of a block, with the silence after it. */
  setDuration(index, durationMs) {
    if (!durationMs || this.#known.get(index) === durationMs) return;
    this.#known.set(index, durationMs);
    this.#estimates[index] = durationMs;
    const pace = this.#pace();
    for (const [other, characters] of this.#characters) {
      if (!this.#known.has(other)) this.#estimates[other] = characters * pace;
    }
  }

  /** Forget the exact durations: another voice has another pace. */
  clearDurations() {
    this.#known.clear();
  }

  // Milliseconds per character of this voice, from the known durations.
  #pace() {
    let ms = 1_000 * MS_PER_CHARACTER; // prior: a thousand characters at the usual pace
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

  /** Start of a block in milliseconds; for index `count`, the end of the document. */
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

/** Duration as text: "5 min", "1 h 20 min". */
export function formatDuration(ms) {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 1) return "less than a minute";
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return rest ? `${Math.floor(minutes / 60)} h ${rest} min` : `${minutes / 60} h`;
}

/** Time as "4:07" or "1:04:07". */
export function formatClock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, i) => (i ? String(part).padStart(2, "0") : String(part))).join(":");
}
