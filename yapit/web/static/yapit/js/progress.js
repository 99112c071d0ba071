// Progress slider: shows the position within the document; dragging it seeks.

import { $ } from "./dialogs.js";
import { formatClock, formatDuration } from "./timeline.js";

/** Event: `seek` (detail: block index), when the slider is released. */
export class Progress extends EventTarget {
  #timeline = null;
  #isDragged = false;
  #speed = 1;

  constructor(slider) {
    super();
    this.slider = slider;
    slider.addEventListener("input", () => {
      this.#isDragged = true;
      this.#label(this.#timeline.blockAt(Number(slider.value)), Number(slider.value));
    });
    slider.addEventListener("change", () => {
      this.#isDragged = false;
      this.dispatchEvent(new CustomEvent("seek", { detail: this.#timeline.blockAt(Number(slider.value)) }));
    });
    slider.addEventListener("keydown", (event) => this.#onKey(event));
  }

  set timeline(timeline) {
    this.#timeline = timeline;
    this.slider.disabled = !timeline?.count;
  }

  /** Show the position `seconds` into the block at this speed. */
  show(block, seconds, speed) {
    this.#speed = speed;
    if (!this.#timeline || this.#isDragged) return;
    const start = this.#timeline.start(block);
    const now = start + Math.min(seconds * 1000, this.#timeline.length(block));
    this.slider.max = Math.round(this.#timeline.total());
    this.slider.value = Math.round(now);
    this.#label(block, now);
  }

  clear() {
    this.timeline = null;
    this.slider.value = 0;
    this.slider.style.setProperty("--done", "0%");
    $("#elapsed").textContent = "";
    $("#left").textContent = "";
  }

  #label(block, now) {
    const total = this.#timeline.total();
    const left = (total - now) / this.#speed;
    this.slider.style.setProperty("--done", `${total ? (100 * now) / total : 0}%`);
    this.slider.setAttribute("aria-valuetext", `Passage ${block + 1} of ${this.#timeline.count}, ${formatDuration(left)} left`);
    $("#elapsed").textContent = formatClock(now / this.#speed);
    $("#left").textContent = `${formatDuration(left)} left`;
  }

  // An arrow key moves by one block: the slider's own step is a millisecond.
  #onKey(event) {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: 10, PageUp: -10 }[event.key];
    if (!step || !this.#timeline) return;
    event.preventDefault();
    event.stopPropagation();
    const block = this.#timeline.blockAt(Number(this.slider.value)) + step;
    this.dispatchEvent(new CustomEvent("seek", { detail: Math.min(Math.max(0, block), this.#timeline.count - 1) }));
  }
}
