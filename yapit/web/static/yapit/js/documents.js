// Document list: open, rename, delete with undo, share.

import * as api from "./api.js";
import { $, closeByClick, icon, make, placeBeside, toast } from "./dialogs.js";
import { formatDuration } from "./timeline.js";

const PAGE = 50;

/**
 * Events: `open` (detail: id), `renamed` and `deleted` (detail: the document), `listed` (the list has changed),
 * `failed` (detail: error).
 */
export class Documents extends EventTarget {
  #documents = [];
  #total = 0;
  #current = null;
  #selected = null; // the document whose menu or dialog is open

  constructor(root) {
    super();
    this.root = root;
    this.list = $("#documents", root);
    this.menu = $("#document-menu");
    this.share = $("#share");
    this.list.addEventListener("click", (event) => this.#onClick(event));
    $("#more-documents", root).addEventListener("click", () => this.#try(() => this.#load()));
    $("[data-do=rename]", this.menu).addEventListener("click", () => this.#rename(this.#selected));
    $("[data-do=share]", this.menu).addEventListener("click", () => this.openShare(this.#selected));
    $("[data-do=delete]", this.menu).addEventListener("click", () => this.#delete(this.#selected));
    $("#share-toggle").addEventListener("change", (event) => this.#try(() => this.#setPublic(event.target.checked)));
    $("#share-copy").addEventListener("click", () => this.#copyLink());
    closeByClick(this.share);
  }

  /** Reload the list. Returns the document to open when the URL names none. */
  async refresh() {
    this.#documents = [];
    await this.#load();
    return this.#mostRecent();
  }

  /** Ids of the listed documents, the current one first. */
  get ids() {
    const ids = this.#documents.map(({ id }) => id);
    return this.#current ? [this.#current, ...ids.filter((id) => id !== this.#current)] : ids;
  }

  /** Read the first page again and show what has changed elsewhere. Returns its documents. */
  async reread() {
    const { data } = await api.listDocuments(0, PAGE);
    for (const document of data) this.show(document);
    return data;
  }

  /** Show the title and the sharing of a document, if it is listed. The position is the player's. */
  show({ id, title, is_public: isPublic }) {
    const item = this.#documents.find((candidate) => candidate.id === id);
    if (!item || (item.title === title && item.is_public === isPublic)) return;
    Object.assign(item, { title, is_public: isPublic });
    if (this.#selected?.id === id && this.share.open) {
      this.#selected.is_public = isPublic; // it may be another object of the same document
      $("#share-toggle").checked = isPublic;
      this.#showShared(isPublic);
    }
    if (!$(".rename", this.list)) this.#draw(); // a title is being typed: shown afterwards
  }

  /** A document was deleted elsewhere. */
  remove(id) {
    const at = this.#documents.findIndex((item) => item.id === id);
    if (at < 0) return;
    this.#documents.splice(at, 1);
    this.#total -= 1;
    this.#draw();
  }

  setCurrent(document) {
    this.#current = document?.id ?? null;
    const listed = this.#documents.find(({ id }) => id === this.#current);
    if (document?.is_owner && !listed) {
      this.#documents.unshift(document);
      this.#total += 1;
    }
    this.#draw();
  }

  /** Show a new position without redrawing the list. */
  showPosition(id, block) {
    const item = this.#documents.find((candidate) => candidate.id === id);
    if (!item) return;
    item.position = { ...item.position, block_idx: block };
    const shown = this.#rowFor(item)?.querySelector(".document-meta");
    if (shown) shown.textContent = describe(item);
  }

  async #load() {
    const page = await api.listDocuments(this.#documents.length, PAGE);
    const known = new Set(this.#documents.map(({ id }) => id));
    this.#documents.push(...page.data.filter(({ id }) => !known.has(id)));
    this.#total = page.total;
    this.#draw();
  }

  // The document played last or, if none was played, created last.
  #mostRecent() {
    const playedAt = ({ position }) => position?.played_at ?? "";
    const byTime = (time) => this.#documents.reduce((best, item) => (time(item) > time(best) ? item : best));
    if (!this.#documents.length) return null;
    return this.#documents.some(playedAt) ? byTime(playedAt) : byTime(({ created }) => created);
  }

  #draw() {
    this.list.replaceChildren(...this.#documents.map((item) => this.#row(item)));
    $("#more-documents", this.root).hidden = this.#documents.length >= this.#total;
    $("#no-documents", this.root).hidden = this.#documents.length > 0;
    this.dispatchEvent(new Event("listed"));
  }

  #row(item) {
    const isCurrent = item.id === this.#current;
    const link = make("a", { href: `/d/${item.id}`, className: "document-link" },
      make("span", { className: "document-title", textContent: item.title }),
      make("span", { className: "document-meta", textContent: describe(item) }));
    if (isCurrent) link.setAttribute("aria-current", "page");
    const more = make("button", {
      type: "button", className: "icon-button document-more", aria: { label: `More for ${item.title}`, haspopup: "menu" },
    }, icon("more"));
    return make("li", { className: "document", data: { id: item.id } }, link, more);
  }

  #onClick(event) {
    const row = event.target.closest(".document");
    if (!row || event.target.closest("form")) return;
    if (event.target.closest(".document-more")) {
      this.#openMenu(row.dataset.id, event.target.closest("button"));
    } else if (event.target.closest("a") && !(event.metaKey || event.ctrlKey || event.shiftKey)) {
      event.preventDefault();
      this.dispatchEvent(new CustomEvent("open", { detail: row.dataset.id }));
    }
  }

  #openMenu(id, button) {
    this.#selected = this.#documents.find((item) => item.id === id);
    this.menu.showPopover();
    placeBeside(this.menu, button);
    $("button", this.menu).focus();
  }

  #rowFor(item) {
    return $(`.document[data-id="${item.id}"]`, this.list);
  }

  #rename(item) {
    this.menu.hidePopover();
    const row = this.#rowFor(item);
    const field = make("input", { type: "text", value: item.title, maxLength: 200, required: true, aria: { label: "New title" } });
    const form = make("form", { className: "rename" }, field);
    const finish = () => form.isConnected && this.#draw();
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try(() => this.#saveTitle(item, field.value.trim()));
    });
    field.addEventListener("keydown", (event) => event.key === "Escape" && finish());
    field.addEventListener("blur", () => this.#try(() => this.#saveTitle(item, field.value.trim())));
    row.replaceChildren(form);
    field.select();
  }

  async #saveTitle(item, title) {
    if (!title || title === item.title) {
      this.#draw();
      return;
    }
    const before = item.title;
    item.title = title;
    this.#draw();
    try {
      await this.#update(item, { title });
      this.dispatchEvent(new CustomEvent("renamed", { detail: item }));
    } catch (error) {
      item.title = before;
      this.#draw();
      throw error;
    }
  }

  async #update(item, changes) {
    Object.assign(item, await api.changeDocument(item.id, changes));
    this.#draw();
  }

  // The request is sent when the time to undo has passed.
  #delete(item) {
    this.menu.hidePopover();
    const at = this.#documents.indexOf(item);
    this.#documents.splice(at, 1);
    this.#total -= 1;
    this.#draw();
    const restore = () => {
      this.#documents.splice(at, 0, item);
      this.#total += 1;
      this.#draw();
    };
    const sendDelete = async () => {
      try {
        await api.deleteDocument(item.id, true);
      } catch (error) {
        restore();
        throw error;
      }
    };
    toast(`“${item.title}” deleted.`, { undo: restore, done: () => this.#try(sendDelete) });
    if (item.id === this.#current) this.dispatchEvent(new CustomEvent("deleted", { detail: item }));
  }

  openShare(item) {
    this.menu.hidePopover();
    this.#selected = item;
    $("#share-toggle").checked = item.is_public;
    $("#share-link").value = new URL(`/d/${item.id}`, location.href).href;
    this.#showShared(item.is_public);
    this.share.showModal();
  }

  async #setPublic(isPublic) {
    try {
      await this.#update(this.#selected, { is_public: isPublic });
    } finally {
      $("#share-toggle").checked = this.#selected.is_public;
      this.#showShared(this.#selected.is_public);
    }
  }

  #showShared(isPublic) {
    $("#share-link-row").hidden = !isPublic;
    $("#share-state").textContent = isPublic
      ? "Anyone with the link can read and listen to this document."
      : "Only you can open this document.";
  }

  async #copyLink() {
    const field = $("#share-link");
    try {
      await navigator.clipboard.writeText(field.value);
      $("#share-state").textContent = "Link copied.";
    } catch {
      field.select(); // the clipboard API needs HTTPS
      $("#share-state").textContent = "Press Ctrl+C to copy the link.";
    }
  }

  async #try(action) {
    try {
      await action();
    } catch (error) {
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    }
  }
}

function describe({ est_duration_ms: ms, block_count: count, position, is_public: isPublic }) {
  const parts = [formatDuration(ms)];
  if (position?.block_idx > 0 && count > 1) {
    parts.push(position.block_idx >= count - 1 ? "finished" : `${Math.max(1, Math.round((100 * position.block_idx) / count))} % played`);
  }
  if (isPublic) parts.push("shared");
  return parts.join(" · ");
}
