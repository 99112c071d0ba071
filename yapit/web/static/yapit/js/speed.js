// Playback speed: a panel with a slider and presets.

import { $, placeBeside } from "./dialogs.js";

export const MIN_SPEED = 0.5;
export const MAX_SPEED = 3;
const STEP = 0.1;

export function clampSpeed(value) {
  const speed = Number(value);
  if (!Number.isFinite(speed) || speed <= 0) return 1;
  return Math.min(MAX_SPEED, Math.max(MIN_SPEED, Math.round(speed * 20) / 20));
}

/** Event: `change`, when the user chose another speed. */
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

  /** Show a speed without sending `change`. */
  show(value) {
    this.value = clampSpeed(value);
    const text = `${this.value.toLocaleString("en", { maximumFractionDigits: 2 })}×`;
    this.slider.value = this.value;
    this.slider.setAttribute("aria-valuetext", text);
    this.button.setAttribute("aria-label", `Speed: ${text}`);
    $("#speed-value").textContent = text;
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
