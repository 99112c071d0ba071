// The list of documents: open, rename, delete with a way back, share.

import * as api from "./api.js";
import { $, closeByClick, icon, make, placeBeside, toast } from "./dialogs.js";
import { inWords } from "./timeline.js";

const PAGE = 50;

/** Events: `open` (detail: id), `renamed` and `deleted` (detail: the document), `failed` (detail: error). */
export class Documents extends EventTarget {
  #documents = [];
  #total = 0;
  #current = null;
  #subject = null; // whose menu or dialog is open

  constructor(root) {
    super();
    this.root = root;
    this.list = $("#documents", root);
    this.menu = $("#document-menu");
    this.share = $("#share");
    this.list.addEventListener("click", (event) => this.#onClick(event));
    $("#more-documents", root).addEventListener("click", () => this.#try(() => this.#load()));
    $("[data-do=rename]", this.menu).addEventListener("click", () => this.#rename(this.#subject));
    $("[data-do=share]", this.menu).addEventListener("click", () => this.openShare(this.#subject));
    $("[data-do=delete]", this.menu).addEventListener("click", () => this.#delete(this.#subject));
    $("#share-toggle").addEventListener("change", (event) => this.#try(() => this.#setPublic(event.target.checked)));
    $("#share-copy").addEventListener("click", () => this.#copyLink());
    closeByClick(this.share);
  }

  /** The list anew; gives the document to open when the address names none. */
  async refresh() {
    this.#documents = [];
    await this.#load();
    return this.#mostRecent();
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

  /** The listener came that far; shown without drawing the list anew. */
  notePosition(id, block) {
    const item = this.#documents.find((candidate) => candidate.id === id);
    if (!item) return;
    item.position = { ...item.position, block_idx: block };
    const shown = this.#rowOf(item)?.querySelector(".document-meta");
    if (shown) shown.textContent = meta(item);
  }

  async #load() {
    const page = await api.listDocuments(this.#documents.length, PAGE);
    const known = new Set(this.#documents.map(({ id }) => id));
    this.#documents.push(...page.data.filter(({ id }) => !known.has(id)));
    this.#total = page.total;
    this.#draw();
  }

  // What was listened to last; before anything was, what came last.
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
  }

  #row(item) {
    const isCurrent = item.id === this.#current;
    const link = make("a", { href: `/d/${item.id}`, className: "document-link" },
      make("span", { className: "document-title", textContent: item.title }),
      make("span", { className: "document-meta", textContent: meta(item) }));
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
    this.#subject = this.#documents.find((item) => item.id === id);
    this.menu.showPopover();
    placeBeside(this.menu, button);
    $("button", this.menu).focus();
  }

  #rowOf(item) {
    return $(`.document[data-id="${item.id}"]`, this.list);
  }

  #rename(item) {
    this.menu.hidePopover();
    const row = this.#rowOf(item);
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
      await this.#change(item, { title });
      this.dispatchEvent(new CustomEvent("renamed", { detail: item }));
    } catch (error) {
      item.title = before;
      this.#draw();
      throw error;
    }
  }

  async #change(item, changes) {
    Object.assign(item, await api.changeDocument(item.id, changes));
    this.#draw();
  }

  // The server hears of it when the time to undo is over.
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
    const reallyDelete = async () => {
      try {
        await api.deleteDocument(item.id, true);
      } catch (error) {
        restore();
        throw error;
      }
    };
    toast(`“${item.title}” deleted.`, { undo: restore, done: () => this.#try(reallyDelete) });
    if (item.id === this.#current) this.dispatchEvent(new CustomEvent("deleted", { detail: item }));
  }

  openShare(item) {
    this.menu.hidePopover();
    this.#subject = item;
    $("#share-toggle").checked = item.is_public;
    $("#share-link").value = new URL(`/d/${item.id}`, location.href).href;
    this.#showShared(item.is_public);
    this.share.showModal();
  }

  async #setPublic(isPublic) {
    try {
      await this.#change(this.#subject, { is_public: isPublic });
    } finally {
      $("#share-toggle").checked = this.#subject.is_public;
      this.#showShared(this.#subject.is_public);
    }
  }

  #showShared(isPublic) {
    $("#share-link-row").hidden = !isPublic;
    $("#share-state").textContent = isPublic
      ? "Whoever has the link can read and hear this document."
      : "Only you can open this document.";
  }

  async #copyLink() {
    const field = $("#share-link");
    try {
      await navigator.clipboard.writeText(field.value);
      $("#share-state").textContent = "The link is copied.";
    } catch {
      field.select(); // no clipboard outside of a secure page
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

function meta({ est_duration_ms: ms, block_count: count, position, is_public: isPublic }) {
  const parts = [inWords(ms)];
  if (position?.block_idx > 0 && count > 1) {
    parts.push(position.block_idx >= count - 1 ? "heard" : `${Math.max(1, Math.round((100 * position.block_idx) / count))} % heard`);
  }
  if (isPublic) parts.push("shared");
  return parts.join(" · ");
}
