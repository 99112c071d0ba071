// Gapless playback: two audio elements, one plays while the other loads the next block.

/** URL of a WAV file with 50 ms of silence. */
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

/** Events: `ended`, `playing`, `undecodable` (detail: {index}), `stopped` (paused, also by the browser or system). */
export class GaplessAudio extends EventTarget {
  #current;
  #standby;
  #blocks = new WeakMap(); // element -> index of the block that it holds
  #speed = 1;
  #isUnlocked = false;

  constructor(first, second) {
    super();
    [this.#current, this.#standby] = [first, second];
    for (const element of [first, second]) this.#attach(element);
  }

  #attach(element) {
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
      this.dispatchEvent(new CustomEvent("undecodable", { detail: { index } }));
    });
  }

  /** Index of the loaded block, or null. */
  get index() {
    return this.#blocks.get(this.#current) ?? null;
  }

  get seconds() {
    return this.#current.currentTime;
  }

  get isPlaying() {
    return this.index !== null && !this.#current.paused && !this.#current.ended;
  }

  get inUse() {
    return [this.#current, this.#standby].map((element) => this.#blocks.get(element)).filter(Number.isInteger);
  }

  set speed(value) {
    this.#speed = value;
    for (const element of [this.#current, this.#standby]) this.#applySpeed(element);
  }

  // Loading resets playbackRate to defaultPlaybackRate, so set both.
  #applySpeed(element) {
    element.preservesPitch = true;
    element.defaultPlaybackRate = this.#speed;
    element.playbackRate = this.#speed;
  }

  /** Call within the first user gesture: some browsers allow playback later only if the element was played in one. */
  unlock() {
    if (this.#isUnlocked) return;
    this.#isUnlocked = true;
    const url = silence();
    for (const element of [this.#current, this.#standby]) {
      if (this.#blocks.has(element)) continue;
      element.src = url;
      element.play().catch(() => {}); // if this is refused, playing the block is refused as well and reported
    }
  }

  load(index, url) {
    if (this.index === index) return;
    if (this.#blocks.get(this.#standby) === index) {
      const former = this.#current;
      [this.#current, this.#standby] = [this.#standby, former];
      this.#empty(former);
      return;
    }
    this.#fill(this.#current, index, url);
  }

  prepare(index, url) {
    if (this.#blocks.get(this.#standby) !== index) this.#fill(this.#standby, index, url);
  }

  #fill(element, index, url) {
    this.#blocks.set(element, index);
    element.src = url;
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

  /** Rejects with NotAllowedError when the autoplay policy requires a click first. */
  async play() {
    try {
      await this.#current.play();
    } catch (error) {
      // Paused or replaced before playback began; for an undecodable block the `error` event follows.
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
