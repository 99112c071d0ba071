// API keys page: create a key, show its token once, rename and revoke keys.

import * as api from "./api.js";
import { $, closeByClick, make, toast } from "./dialogs.js";
import { ChangeEvents } from "./events.js";

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function describe(key) {
  const used = key.last_used ? `last used ${moment.format(new Date(key.last_used))}` : "never used";
  const parts = [`created ${day.format(new Date(key.created))}`, used];
  if (key.expires_at) {
    const end = new Date(key.expires_at);
    parts.push(`${end < new Date() ? "expired" : "expires"} ${day.format(end)}`);
  }
  return parts.join(" · ");
}

function row(key) {
  const rename = make("button", { type: "button", className: "link", textContent: "Rename", aria: { label: `Rename ${key.name}` } });
  const revoke = make("button", { type: "button", className: "link danger", textContent: "Revoke", aria: { label: `Revoke ${key.name}` } });
  rename.onclick = () => renameKey(key);
  revoke.onclick = () => revokeKey(key);
  const text = make("div", { className: "key-about" },
    make("strong", { textContent: key.name }),
    make("span", { className: "muted", textContent: `yk_${key.id}_… · ${describe(key)}` }));
  return make("li", { data: { key: key.id } }, text, rename, revoke);
}

function showError(selector, error) {
  const box = $(selector);
  box.hidden = !error;
  box.textContent = !error ? "" : api.isLoggedOut(error) ? "You are no longer logged in. Reload the page." : error.message;
}

async function refresh() {
  try {
    const { data, limit } = await api.listKeys();
    $("#keys").replaceChildren(...data.map(row));
    $("#no-keys").hidden = data.length > 0;
    $("#key-count").textContent = data.length ? `${data.length} of ${limit}` : "";
    showError("#list-error", null);
  } catch (error) {
    showError("#list-error", error);
  }
}

/** Open a confirmation dialog. Resolves to true if it was confirmed. */
function confirmed(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

async function perform(action, message) {
  try {
    await action();
    toast(message);
  } catch (error) {
    showError("#list-error", error);
    return;
  }
  await refresh();
}

async function revokeKey(key) {
  $("#revoke-heading").textContent = `Revoke “${key.name}”?`;
  if (await confirmed($("#revoke"))) await perform(() => api.revokeKey(key.id), "The key has been revoked.");
}

async function renameKey(key) {
  $("#new-name").value = key.name;
  if (await confirmed($("#rename"))) await perform(() => api.renameKey(key.id, $("#new-name").value), "The key has been renamed.");
}

$("#new-key").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [name, button] = [$("#key-name"), $("#new-key button")];
  button.disabled = true;
  try {
    const created = await api.createKey(name.value, Number($("#key-days").value) || null);
    showError("#new-key-error", null);
    event.target.reset();
    $("#created-heading").textContent = `The key “${created.name}”`;
    $("#token").value = created.token;
    $("#created").hidden = false;
    $("#token").focus();
    $("#token").select();
    await refresh();
  } catch (error) {
    showError("#new-key-error", error);
    name.focus();
  } finally {
    button.disabled = false;
  }
});

function hideToken() {
  $("#token").value = "";
  $("#created").hidden = true;
}

$("#copy-token").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("#token").value);
    toast("Copied.");
  } catch {
    $("#token").select(); // the clipboard API needs HTTPS
    toast("Press Ctrl+C to copy.");
  }
});
$("#hide-token").addEventListener("click", () => {
  hideToken();
  $("#key-name").focus();
});
// A page restored from the back/forward cache must not show the token again.
addEventListener("pagehide", hideToken);
for (const dialog of document.querySelectorAll("dialog")) closeByClick(dialog);
const events = new ChangeEvents();
events.addEventListener("keys", refresh);
events.addEventListener("connected", refresh);
events.addEventListener("refused", refresh); // shows that the log-in has ended
events.start();
refresh();
