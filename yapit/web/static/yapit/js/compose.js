// "New text" dialog: takes a text that is pasted, dropped on the page or opened from a file.

import * as api from "./api.js";
import { $, closeByClick } from "./dialogs.js";
import { MAX_CHARACTERS, UnreadableFile, countCharacters, readTextFile, contentProblem } from "./textfile.js";

const LOGGED_OUT = "You are no longer logged in. Log in again in another tab, then come back: your text is still here.";

/** Event: `created` (detail: the document). */
export class ComposeDialog extends EventTarget {
  constructor(dialog) {
    super();
    this.dialog = dialog;
    this.text = $("#new-text", dialog);
    this.title = $("#new-title", dialog);
    this.error = $("#new-error", dialog);
    closeByClick(dialog);
    $("form", dialog).addEventListener("submit", (event) => this.#onSubmit(event));
    this.text.addEventListener("input", () => this.#updateCount());
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form", dialog).requestSubmit();
    });
    $("#new-file", dialog).addEventListener("change", (event) => this.#onFileChosen(event));
    this.#acceptDrops();
    document.addEventListener("paste", (event) => this.#onPaste(event));
  }

  open({ content = "", title = "", markdown = true } = {}) {
    this.text.value = content;
    this.title.value = title;
    $(`[name=format][value=${markdown ? "markdown" : "plain"}]`, this.dialog).checked = true;
    this.#showError(null);
    this.#updateCount();
    if (!this.dialog.open) this.dialog.showModal();
    this.text.focus();
    this.text.setSelectionRange(0, 0);
    this.text.scrollTop = 0;
  }

  #updateCount() {
    const characters = countCharacters(this.text.value);
    $("#new-count", this.dialog).textContent = characters ? `${characters.toLocaleString("en")} characters` : "";
    $("#new-count", this.dialog).classList.toggle("is-over", characters > MAX_CHARACTERS);
    if (!this.error.hidden) this.#showError(null);
  }

  #showError(message) {
    this.error.hidden = !message;
    this.error.textContent = message ?? "";
  }

  async #onSubmit(event) {
    event.preventDefault();
    const content = this.text.value;
    const reason = contentProblem(content);
    if (reason) {
      this.#showError(reason);
      this.text.focus();
      return;
    }
    const markdown = $("[name=format]:checked", this.dialog).value === "markdown";
    await this.#create(content, this.title.value.trim(), markdown);
  }

  async #create(content, title, markdown) {
    const button = $("[type=submit]", this.dialog);
    button.disabled = true;
    try {
      const created = await api.createDocument(content, title, markdown);
      this.dialog.close();
      this.dispatchEvent(new CustomEvent("created", { detail: created }));
    } catch (error) {
      this.#showError(api.isLoggedOut(error) ? LOGGED_OUT : error.message);
    } finally {
      button.disabled = false;
    }
  }

  async #onFileChosen({ target }) {
    const [file] = target.files;
    if (file) await this.openFile(file);
    target.value = ""; // so that the same file can be selected again
  }

  async openFile(file) {
    try {
      this.open(await readTextFile(file));
    } catch (error) {
      if (!(error instanceof UnreadableFile)) throw error;
      this.open();
      this.#showError(error.message);
    }
  }

  // Pasting outside of a text field opens the dialog with the pasted text.
  #onPaste(event) {
    if (event.target.closest?.("input, textarea, dialog[open]")) return;
    const [file] = event.clipboardData.files;
    const content = event.clipboardData.getData("text/plain");
    if (!file && !content.trim()) return;
    event.preventDefault();
    if (file) this.openFile(file);
    else this.open({ content });
  }

  #acceptDrops() {
    const overlay = $("#drop");
    const hasFile = (event) => [...event.dataTransfer.types].some((type) => type === "Files" || type === "text/plain");
    addEventListener("dragover", (event) => {
      if (!hasFile(event) || event.target.closest?.("textarea, input")) return;
      event.preventDefault();
      overlay.hidden = false;
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) overlay.hidden = true;
    });
    addEventListener("drop", (event) => this.#onDrop(event, overlay));
  }

  #onDrop(event, overlay) {
    if (overlay.hidden) return;
    event.preventDefault();
    overlay.hidden = true;
    const [file] = event.dataTransfer.files;
    const content = event.dataTransfer.getData("text/plain");
    if (file) this.openFile(file);
    else if (content.trim()) this.open({ content });
  }
}
