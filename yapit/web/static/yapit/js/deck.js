// Two audio elements taken in turns: while one sounds the other has the next block loaded.

/** A twentieth of a second of silence, as an address. */
function silence() {
  const samples = 400;
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + samples, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // mono
  header.setUint32(24, 8_000, true); // samples and bytes a second
  header.setUint32(28, 8_000, true);
  header.setUint16(32, 1, true);
  header.setUint16(34, 8, true); // bits
  text(36, "data");
  header.setUint32(40, samples, true);
  const quiet = new Uint8Array(samples).fill(128);
  return URL.createObjectURL(new Blob([header, quiet], { type: "audio/wav" }));
}

/** Events: `ended`, `playing`, `broken` (detail: {index}), `stopped` (the system paused us). */
export class Deck extends EventTarget {
  #current;
  #standby;
  #blocks = new WeakMap(); // element -> block it holds
  #speed = 1;
  #isUnlocked = false;

  constructor(first, second) {
    super();
    [this.#current, this.#standby] = [first, second];
    for (const element of [first, second]) this.#listen(element);
  }

  #listen(element) {
    const whenCurrent = (name) => () => {
      if (element === this.#current && this.index !== null) this.dispatchEvent(new Event(name));
    };
    element.addEventListener("ended", whenCurrent("ended"));
    element.addEventListener("playing", whenCurrent("playing"));
    element.addEventListener("pause", () => {
      if (!element.ended) whenCurrent("stopped")();
    });
    element.addEventListener("error", () => {
      const index = this.#blocks.get(element) ?? null;
      if (index === null) return;
      this.#blocks.delete(element);
      this.dispatchEvent(new CustomEvent("broken", { detail: { index } }));
    });
  }

  /** The block that is loaded, or null. */
  get index() {
    return this.#blocks.get(this.#current) ?? null;
  }

  get seconds() {
    return this.#current.currentTime;
  }

  get isSounding() {
    return this.index !== null && !this.#current.paused && !this.#current.ended;
  }

  get inUse() {
    return [this.#current, this.#standby].map((element) => this.#blocks.get(element)).filter(Number.isInteger);
  }

  set speed(value) {
    this.#speed = value;
    for (const element of [this.#current, this.#standby]) this.#applySpeed(element);
  }

  // Loading resets the rate to the default one, so both are set.
  #applySpeed(element) {
    element.preservesPitch = true;
    element.defaultPlaybackRate = this.#speed;
    element.playbackRate = this.#speed;
  }

  /** Within the first gesture: some browsers let an element sound later only if it was played in one. */
  unlock() {
    if (this.#isUnlocked) return;
    this.#isUnlocked = true;
    const address = silence();
    for (const element of [this.#current, this.#standby]) {
      if (this.#blocks.has(element)) continue;
      element.src = address;
      element.play().catch(() => {}); // a browser that refuses even this refuses again, and then it is said
    }
  }

  load(index, address) {
    if (this.index === index) return;
    if (this.#blocks.get(this.#standby) === index) {
      const former = this.#current;
      [this.#current, this.#standby] = [this.#standby, former];
      this.#empty(former);
      return;
    }
    this.#fill(this.#current, index, address);
  }

  prepare(index, address) {
    if (this.#blocks.get(this.#standby) !== index) this.#fill(this.#standby, index, address);
  }

  #fill(element, index, address) {
    this.#blocks.set(element, index);
    element.src = address;
    this.#applySpeed(element);
    element.load();
  }

  #empty(element) {
    this.#blocks.delete(element);
    element.pause();
  }

  rewind() {
    this.#current.currentTime = 0;
  }

  /** Rejects with NotAllowedError when the browser wants a click first. */
  async play() {
    try {
      await this.#current.play();
    } catch (error) {
      // A pause or another block came before the sound did; an undecodable block raises `error` itself.
      if (error.name !== "AbortError" && error.name !== "NotSupportedError") throw error;
    }
  }

  pause() {
    this.#current.pause();
  }

  clear() {
    for (const element of [this.#current, this.#standby]) {
      this.#empty(element);
      element.removeAttribute("src");
      element.load();
    }
  }
}
