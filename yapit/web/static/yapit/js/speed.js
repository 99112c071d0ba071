// How fast it speaks: a small panel with a slider and the usual speeds.

import { $, placeBeside } from "./dialogs.js";

export const SLOWEST = 0.5;
export const FASTEST = 3;
const STEP = 0.1;

export function clampSpeed(value) {
  const speed = Number(value);
  if (!Number.isFinite(speed) || speed <= 0) return 1;
  return Math.min(FASTEST, Math.max(SLOWEST, Math.round(speed * 20) / 20));
}

/** Event `change` when the listener chose another speed. */
export class Speed extends EventTarget {
  value = 1;

  constructor(panel, button) {
    super();
    Object.assign(this, { panel, button, slider: $("input", panel) });
    panel.addEventListener("toggle", (event) => event.newState === "open" && this.#onOpen());
    this.slider.addEventListener("input", () => this.choose(this.slider.value));
    panel.addEventListener("click", (event) => {
      const speed = event.target.closest("[data-speed]")?.dataset.speed;
      if (speed) this.choose(speed);
    });
  }

  #onOpen() {
    placeBeside(this.panel, this.button);
    this.slider.focus();
  }

  /** Set it as it was remembered. */
  show(value) {
    this.value = clampSpeed(value);
    const words = `${this.value.toLocaleString("en", { maximumFractionDigits: 2 })}×`;
    this.slider.value = this.value;
    this.slider.setAttribute("aria-valuetext", words);
    this.button.setAttribute("aria-label", `Speed: ${words}`);
    $("#speed-value").textContent = words;
    for (const preset of this.panel.querySelectorAll("[data-speed]")) {
      preset.setAttribute("aria-pressed", Number(preset.dataset.speed) === this.value);
    }
  }

  choose(value) {
    this.show(value);
    this.dispatchEvent(new Event("change"));
  }

  step(direction) {
    this.choose(this.value + direction * STEP);
  }
}
