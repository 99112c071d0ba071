// Sidebar with the document list: a column in wide windows, a drawer in narrow ones.

import { $ } from "./dialogs.js";

const WIDE = "(min-width: 60rem)";

export class Sidebar {
  constructor() {
    this.button = $("#menu-button");
    this.library = $("#library");
    this.wide = matchMedia(WIDE);
    this.button.addEventListener("click", () => this.#set(!this.isOpen));
    $("#scrim").addEventListener("click", () => this.closeDrawer());
    this.wide.addEventListener("change", () => this.#set(this.wide.matches));
    this.#set(this.wide.matches);
  }

  #set(isOpen) {
    this.isOpen = isOpen;
    document.body.classList.toggle("has-library", isOpen);
    this.library.inert = !isOpen;
    this.button.setAttribute("aria-expanded", isOpen);
    $("#scrim").hidden = !isOpen || this.wide.matches;
    if (isOpen && !this.wide.matches) $("a, button", this.library).focus();
  }

  /** Close the sidebar where it covers the text, in narrow windows. */
  closeDrawer() {
    if (!this.wide.matches && this.isOpen) {
      this.#set(false);
      this.button.focus();
    }
  }
}
