// Usage page: shows new figures when the balance has changed.

import { $ } from "./dialogs.js";
import { ChangeEvents } from "./events.js";

const PAUSE_MS = 1_000; // many charges in a row are shown together

let timer = null;

function refreshSoon() {
  timer ??= setTimeout(refresh, PAUSE_MS);
}

async function refresh() {
  timer = null;
  try {
    const response = await fetch(location.href, { credentials: "same-origin" });
    if (response.redirected) location.reload(); // to the log-in page
    else if (response.ok) show(await response.text());
  } catch {
    // Not reachable: `connected` follows.
  }
}

function show(html) {
  const current = new DOMParser().parseFromString(html, "text/html").querySelector("#usage");
  if (current && current.innerHTML !== $("#usage").innerHTML) $("#usage").replaceChildren(...current.childNodes);
}

const events = new ChangeEvents();
events.addEventListener("balance", refreshSoon);
events.addEventListener("connected", refreshSoon);
events.addEventListener("refused", () => location.reload());
events.start();
