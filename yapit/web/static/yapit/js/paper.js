// The text on the page: sections come in pages as they are needed, as HTML that the server has sanitised.

import * as api from "./api.js";

const PAGE = 60;

/** Events: `loaded` (more text is there), `failed` (detail: the error), `chosen` (detail: block). */
export class Paper extends EventTarget {
  #document = null;
  #abort = new AbortController();
  #offset = 0;
  #total = Infinity;
  #blocks = 0; // blocks below this one are on the page
  #loading = null;

  constructor(article, sentinel) {
    super();
    this.article = article;
    this.sentinel = sentinel;
    article.addEventListener("click", (event) => this.#onClick(event));
    new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) this.#loadMore().catch(() => {});
    }, { rootMargin: "1200px" }).observe(sentinel);
  }

  clear() {
    this.#abort.abort();
    this.#abort = new AbortController();
    Object.assign(this, { blockCount: 0 });
    [this.#document, this.#offset, this.#total, this.#blocks, this.#loading] = [null, 0, Infinity, 0, null];
    this.article.replaceChildren();
    this.sentinel.hidden = true;
  }

  /** Show a document, loaded at least as far as the block. */
  async open(document, block) {
    this.clear();
    this.#document = document;
    this.sentinel.hidden = false;
    await this.reach(block);
  }

  /** Load until the block is on the page. */
  async reach(block) {
    const document = this.#document;
    while (document && document === this.#document && this.#blocks <= block && this.#offset < this.#total) {
      await this.#loadMore();
    }
  }

  elements(block) {
    return [...this.article.querySelectorAll(`.block[data-block="${block}"]`)];
  }

  async #loadMore() {
    if (!this.#document || this.#offset >= this.#total) return;
    this.#loading ??= this.#loadPage(this.#abort.signal).finally(() => (this.#loading = null));
    await this.#loading;
  }

  async #loadPage(signal) {
    try {
      const page = await api.sections(this.#document.id, this.#offset, PAGE, signal);
      signal.throwIfAborted();
      this.#append(page);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
      throw error;
    }
  }

  #append({ data, total }) {
    const added = data.map(render);
    this.article.append(...added);
    this.#offset += data.length;
    this.#total = data.length ? total : 0;
    for (const { first_block: first, block_count: count } of data) {
      if (count) this.#blocks = Math.max(this.#blocks, first + count);
    }
    this.sentinel.hidden = this.#offset >= this.#total;
    this.dispatchEvent(new CustomEvent("loaded", { detail: { sections: added } }));
    // The observer reports changes only: an end that is still in view has to be looked at again.
    if (!this.sentinel.hidden && this.sentinel.getBoundingClientRect().top < innerHeight + 1200) {
      queueMicrotask(() => this.#loadMore().catch(() => {}));
    }
  }

  /** Say behind a block why it is silent, or take that back with null. */
  annotate(block, words) {
    const elements = this.elements(block);
    this.article.querySelector(`.block-note[data-for="${block}"]`)?.remove();
    for (const element of elements) element.classList.toggle("is-mute", words !== null);
    if (words === null || !elements.length) return;
    const note = document.createElement("small");
    note.className = "block-note";
    note.dataset.for = block;
    note.textContent = words;
    elements.at(-1).after(" ", note);
  }

  // A footnote stands at the very end, which may not be on the page yet.
  async #goTo(id) {
    await this.reach(Infinity);
    const target = document.getElementById(id);
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
    target?.scrollIntoView({ block: "center", behavior });
  }

  // Marking text with the mouse and following a link are not a wish to hear it.
  #onClick(event) {
    const inside = event.target.closest("a[href^='#']");
    if (inside) {
      event.preventDefault();
      this.#goTo(inside.hash.slice(1)).catch(() => {}); // what failed to load is said by the event
    }
    if (event.target.closest("a, button, input, summary") || !getSelection().isCollapsed) return;
    const block = event.target.closest(".block[data-block]");
    if (block) this.dispatchEvent(new CustomEvent("chosen", { detail: Number(block.dataset.block) }));
  }
}

function render({ kind, html }) {
  const section = document.createElement("section");
  section.className = `section section-${kind}`;
  section.innerHTML = html;
  for (const link of section.querySelectorAll("a[href^='http']")) {
    link.rel = "noopener noreferrer nofollow";
    link.target = "_blank";
  }
  for (const image of section.querySelectorAll("img")) {
    image.loading = "lazy";
    image.referrerPolicy = "no-referrer";
    if (image.dataset.width) image.style.width = `${image.dataset.width}%`;
  }
  for (const table of section.querySelectorAll("table, pre")) {
    table.tabIndex = 0; // scrolls sideways, so the keyboard must reach it
  }
  return section;
}
