// DOM helpers for dialogs, menus and toasts.

export const $ = (selector, root = document) => root.querySelector(selector);

/** Create an element with properties and children. Text is never parsed as HTML. */
export function make(tag, { data, aria, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Close the dialog on a click outside of it or on one of its `data-close` buttons. */
export function closeByClick(dialog) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
}

/** Position a floating panel above or below the button that opened it, within the window. */
export function placeBeside(panel, button) {
  const [anchor, size] = [button.getBoundingClientRect(), panel.getBoundingClientRect()];
  const left = Math.min(Math.max(8, anchor.right - size.width), innerWidth - size.width - 8);
  const above = anchor.top - size.height - 8;
  const top = above >= 8 ? above : Math.min(anchor.bottom + 8, innerHeight - size.height - 8);
  panel.style.left = `${left}px`;
  panel.style.top = `${Math.max(8, top)}px`;
}

const TOAST_MS = 7_000;
let dismiss = null;

/** Show a temporary message. With `undo`, `done` runs when the time to undo has passed. */
export function toast(text, { undo, done } = {}) {
  dismiss?.();
  const box = $("#toast");
  const finish = (callback) => () => {
    clearTimeout(timer);
    removeEventListener("pagehide", finished);
    if (dismiss === finished) [dismiss, box.hidden] = [null, true];
    callback?.();
  };
  const finished = finish(done);
  const timer = setTimeout(finished, TOAST_MS);
  // Leaving the page ends the time to undo: a deleted document must not come back.
  addEventListener("pagehide", finished, { once: true });
  dismiss = finished;
  box.replaceChildren(make("span", { textContent: text }));
  if (undo) {
    box.append(make("button", { type: "button", className: "link", textContent: "Undo", onclick: finish(undo) }));
  }
  box.hidden = false;
}
