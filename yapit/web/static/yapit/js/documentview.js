// Document text: loads sections page by page on demand, as HTML that the server has sanitised.

import * as api from "./api.js";

const PAGE = 60;

/** Events: `loaded` (detail: {sections}), `failed` (detail: the error), `chosen` (detail: index of the clicked block). */
export class DocumentView extends EventTarget {
  #document = null;
  #abort = new AbortController();
  #offset = 0;
  #total = Infinity;
  #blocks = 0; // number of blocks on the page
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
    [this.#document, this.#offset, this.#total, this.#blocks, this.#loading] = [null, 0, Infinity, 0, null];
    this.article.replaceChildren();
    this.sentinel.hidden = true;
  }

  /** Show a document, loaded at least up to the block. */
  async open(document, block) {
    this.clear();
    this.#document = document;
    this.sentinel.hidden = false;
    await this.reach(block);
  }

  /** Load sections until the block is on the page. */
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
    // The observer reports changes only: check again if the end of the page is still in view.
    if (!this.sentinel.hidden && this.sentinel.getBoundingClientRect().top < innerHeight + 1200) {
      queueMicrotask(() => this.#loadMore().catch(() => {}));
    }
  }

  /** Show a note behind a block, such as why it is not spoken; null removes it. */
  annotate(block, text) {
    const elements = this.elements(block);
    this.article.querySelector(`.block-note[data-for="${block}"]`)?.remove();
    for (const element of elements) element.classList.toggle("is-silent", text !== null);
    if (text === null || !elements.length) return;
    const note = document.createElement("small");
    note.className = "block-note";
    note.dataset.for = block;
    note.textContent = text;
    elements.at(-1).after(" ", note);
  }

  // A footnote is at the end of the document, which may not be loaded yet.
  async #scrollToId(id) {
    await this.reach(Infinity);
    const target = document.getElementById(id);
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
    target?.scrollIntoView({ block: "center", behavior });
  }

  // Selecting text and following a link do not start playback.
  #onClick(event) {
    const anchor = event.target.closest("a[href^='#']");
    if (anchor) {
      event.preventDefault();
      this.#scrollToId(anchor.hash.slice(1)).catch(() => {}); // reported by the `failed` event
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
    table.tabIndex = 0; // scrolls horizontally, so it must be focusable
  }
  return section;
}
