// Voice picker: voices grouped by model and language, pinned ones first.

import { $, closeByClick, icon, make } from "./dialogs.js";

const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

export function languageName(code) {
  try {
    return code ? names.of(code) : "Other";
  } catch {
    return code;
  }
}

const keyOf = (voice) => `${voice.model}/${voice.id}`;

/** [[heading, [voice, ...]], ...] in display order. */
export function groupVoices(voices, pinned, modelNames = {}) {
  const groups = new Map();
  const add = (heading, voice) => groups.set(heading, [...(groups.get(heading) ?? []), voice]);
  for (const voice of voices.filter(({ id }) => pinned.includes(id))) add("Pinned", voice);
  for (const voice of voices.filter(({ id }) => !pinned.includes(id))) {
    add(`${modelNames[voice.model] ?? voice.model} · ${languageName(voice.language)}`, voice);
  }
  return [...groups];
}

/** Events: `chosen` (detail: voice), `pinned` (detail: list of ids). */
export class VoicePicker extends EventTarget {
  #voices = [];
  #pinned = [];
  #models = {};
  current = null;

  constructor(dialog, button) {
    super();
    Object.assign(this, { dialog, button });
    this.search = $("#voice-search", dialog);
    this.list = $("#voice-list", dialog);
    closeByClick(dialog);
    button.addEventListener("click", () => this.open());
    this.search.addEventListener("input", () => this.#draw());
    this.list.addEventListener("change", (event) => this.#onChange(event.target.value));
    this.list.addEventListener("click", (event) => this.#onClick(event));
    this.list.addEventListener("keydown", (event) => event.key === "Enter" && dialog.close());
  }

  /** Set the available voices and the user's preferences. Selects the default voice without sending `chosen`. */
  fill(voices, models, { pinned_voices: pinned = [], default_voice: preferred }, defaultModel) {
    this.#voices = voices;
    this.#pinned = pinned;
    this.#models = Object.fromEntries(models.map(({ id, name }) => [id, name ?? id]));
    this.#setCurrent(
      voices.find(({ id }) => id === preferred) ?? voices.find(({ model }) => model === defaultModel) ?? voices[0] ?? null,
    );
  }

  open() {
    this.search.value = "";
    this.#draw();
    this.dialog.showModal();
    $("input:checked", this.list)?.focus();
    $("input:checked", this.list)?.closest("label").scrollIntoView({ block: "center" });
  }

  #setCurrent(voice) {
    this.current = voice;
    $("#voice-name").textContent = voice?.name ?? "No voice";
    this.button.disabled = !voice;
    if (voice) this.button.setAttribute("aria-label", `Voice: ${voice.name}`);
  }

  #onChange(key) {
    const voice = this.#voices.find((candidate) => keyOf(candidate) === key);
    if (!voice || voice === this.current) return;
    this.#setCurrent(voice);
    this.dispatchEvent(new CustomEvent("chosen", { detail: voice }));
  }

  #onClick(event) {
    const pin = event.target.closest("[data-pin]")?.dataset.pin;
    if (!pin) return;
    this.#pinned = this.#pinned.includes(pin) ? this.#pinned.filter((id) => id !== pin) : [...this.#pinned, pin];
    this.#draw();
    $(`[data-pin="${CSS.escape(pin)}"]`, this.list)?.focus();
    this.dispatchEvent(new CustomEvent("pinned", { detail: this.#pinned }));
  }

  #draw() {
    const query = this.search.value.trim().toLowerCase();
    const matching = this.#voices.filter((voice) => haystack(voice).includes(query));
    const groups = groupVoices(matching, this.#pinned, this.#models);
    this.list.replaceChildren(...groups.map(([heading, voices]) => this.#group(heading, voices)));
    $("#no-voice").hidden = matching.length > 0;
  }

  #group(heading, voices) {
    return make("fieldset", {}, make("legend", { textContent: heading }), ...voices.map((voice) => this.#option(voice)));
  }

  #option(voice) {
    const radio = make("input", { type: "radio", name: "voice", value: keyOf(voice), checked: voice === this.current });
    const about = [voice.gender, voice.description].filter(Boolean).join(" · ") || languageName(voice.language);
    const label = make("label", { className: "voice" }, radio, make("span", { className: "voice-text" },
      make("span", { className: "voice-label", textContent: voice.name }),
      make("span", { className: "voice-about", textContent: about })));
    const isPinned = this.#pinned.includes(voice.id);
    const pin = make("button", {
      type: "button", className: "icon-button pin", data: { pin: voice.id },
      aria: { pressed: isPinned, label: `Pin ${voice.name}` },
    }, icon("pin"));
    return make("div", { className: "voice-row" }, label, pin);
  }
}

function haystack({ name, id, language, gender, description, model }) {
  return [name, id, languageName(language), language, gender, description, model].join(" ").toLowerCase();
}
