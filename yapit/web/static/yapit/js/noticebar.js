// Notice bar above the player: playback state and problems.

import { $ } from "./dialogs.js";
import { notice, state } from "./messages.js";

export class NoticeBar {
  #wasOnline = false;

  constructor(player, socket) {
    Object.assign(this, { player, socket });
    this.button = $("#notice-action");
    this.button.addEventListener("click", () => this.#act(this.button.dataset.action));
    player.addEventListener("change", () => this.#show());
    this.#show();
  }

  #show() {
    const { player } = this;
    this.#wasOnline ||= player.isOnline;
    const { phase, problem, isOnline, wantsSound } = player;
    const waitingMs = player.waitingMs();
    const shown = notice({ problem, isOnline, wantsSound, waitingMs, wasOnline: this.#wasOnline });
    $("#notice").hidden = !shown;
    $("#notice").classList.toggle("is-calm", Boolean(shown?.isCalm));
    setText($("#notice-text"), shown?.text ?? "");
    this.button.hidden = !shown?.action;
    this.button.textContent = shown?.label ?? "";
    this.button.dataset.action = shown?.action ?? "";
    setText($("#state"), player.count ? state({ phase, waitingMs }) : "");
  }

  #act(action) {
    if (action === "login") location.assign(`/login/?next=${encodeURIComponent(location.pathname)}`);
    else if (action === "reconnect") this.socket.start();
    else if (action === "play") this.player.play();
  }
}

// Setting the same text again would make screen readers announce it again.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
