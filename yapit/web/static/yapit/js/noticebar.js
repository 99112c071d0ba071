// The words above the player: the state of the sound, and what is wrong when something is.

import { $ } from "./dialogs.js";
import { notice, state } from "./words.js";

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
    const { phase, trouble, isOnline, wantsSound } = player;
    const waitedFor = player.waitedFor();
    const words = notice({ trouble, isOnline, wantsSound, waitedFor, wasOnline: this.#wasOnline });
    $("#notice").hidden = !words;
    $("#notice").classList.toggle("is-calm", Boolean(words?.isCalm));
    say($("#notice-text"), words?.text ?? "");
    this.button.hidden = !words?.action;
    this.button.textContent = words?.label ?? "";
    this.button.dataset.action = words?.action ?? "";
    say($("#state"), player.count ? state({ phase, waitedFor }) : "");
  }

  #act(action) {
    if (action === "login") location.assign(`/login/?next=${encodeURIComponent(location.pathname)}`);
    else if (action === "reconnect") this.socket.start();
    else if (action === "play") this.player.play();
  }
}

// The same words set again would be read out again.
function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}
