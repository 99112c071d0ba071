// The page of API keys: make one, see its token once, rename, revoke.

import * as api from "./api.js";
import { $, closeByClick, make, toast } from "./dialogs.js";

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function about(key) {
  const used = key.last_used ? `last used ${moment.format(new Date(key.last_used))}` : "never used";
  const parts = [`made ${day.format(new Date(key.created))}`, used];
  if (key.expires_at) {
    const end = new Date(key.expires_at);
    parts.push(`${end < new Date() ? "expired" : "expires"} ${day.format(end)}`);
  }
  return parts.join(" · ");
}

function row(key) {
  const rename = make("button", { type: "button", className: "link", textContent: "Rename", aria: { label: `Rename ${key.name}` } });
  const revoke = make("button", { type: "button", className: "link danger", textContent: "Revoke", aria: { label: `Revoke ${key.name}` } });
  rename.onclick = () => askForName(key);
  revoke.onclick = () => askToRevoke(key);
  const text = make("div", { className: "key-about" },
    make("strong", { textContent: key.name }),
    make("span", { className: "muted", textContent: `yk_${key.id}_… · ${about(key)}` }));
  return make("li", { data: { key: key.id } }, text, rename, revoke);
}

function say(selector, error) {
  const box = $(selector);
  box.hidden = !error;
  box.textContent = !error ? "" : api.isLoginLost(error) ? "You are no longer logged in. Reload the page." : error.message;
}

async function show() {
  try {
    const { data, limit } = await api.listKeys();
    $("#keys").replaceChildren(...data.map(row));
    $("#no-keys").hidden = data.length > 0;
    $("#key-count").textContent = data.length ? `${data.length} of ${limit}` : "";
    say("#list-error", null);
  } catch (error) {
    say("#list-error", error);
  }
}

/** Resolves to whether it was confirmed. */
function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

async function attempt(action, done) {
  try {
    await action();
    toast(done);
  } catch (error) {
    say("#list-error", error);
    return;
  }
  await show();
}

async function askToRevoke(key) {
  $("#revoke-heading").textContent = `Revoke “${key.name}”?`;
  if (await ask($("#revoke"))) await attempt(() => api.revokeKey(key.id), "The key is revoked.");
}

async function askForName(key) {
  $("#new-name").value = key.name;
  if (await ask($("#rename"))) await attempt(() => api.renameKey(key.id, $("#new-name").value), "The key is renamed.");
}

$("#new-key").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [name, button] = [$("#key-name"), $("#new-key button")];
  button.disabled = true;
  try {
    const made = await api.createKey(name.value, Number($("#key-days").value) || null);
    say("#new-key-error", null);
    event.target.reset();
    $("#made-heading").textContent = `The key “${made.name}”`;
    $("#token").value = made.token;
    $("#made").hidden = false;
    $("#token").focus();
    $("#token").select();
    await show();
  } catch (error) {
    say("#new-key-error", error);
    name.focus();
  } finally {
    button.disabled = false;
  }
});

function hideToken() {
  $("#token").value = "";
  $("#made").hidden = true;
}

$("#copy-token").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("#token").value);
    toast("Copied.");
  } catch {
    $("#token").select(); // there is no clipboard without https
    toast("Press Ctrl+C to copy.");
  }
});
$("#hide-token").addEventListener("click", () => {
  hideToken();
  $("#key-name").focus();
});
// A page that comes back from the browser's memory must not bring the token with it.
addEventListener("pagehide", hideToken);
for (const dialog of document.querySelectorAll("dialog")) closeByClick(dialog);
show();
