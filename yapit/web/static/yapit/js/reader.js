// The reader page: puts the parts together.

import * as api from "./api.js";
import { Compose } from "./compose.js";
import { Deck } from "./deck.js";
import { $, closeByClick, make, toast } from "./dialogs.js";
import { Documents } from "./documents.js";
import { Follower } from "./follow.js";
import { Highlighter } from "./highlight.js";
import { listenForKeys } from "./keys.js";
import { connectMediaKeys, describeMedia } from "./media.js";
import { NoticeBar } from "./noticebar.js";
import { Paper } from "./paper.js";
import { Player } from "./player.js";
import { PositionKeeper } from "./position.js";
import { Progress } from "./progress.js";
import { Shelf } from "./shelf.js";
import { Sidebar } from "./sidebar.js";
import { SpeechSocket } from "./socket.js";
import { Speed } from "./speed.js";
import { Timeline, inWords } from "./timeline.js";
import { VoicePicker } from "./voices.js";
import { whyMute } from "./words.js";

const bootstrap = JSON.parse($("#bootstrap").textContent);

class Reader {
  document = null;
  timeline = null;
  #opening = 0;

  constructor() {
    const address = new URL(bootstrap.socket, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new SpeechSocket(address.href);
    this.deck = new Deck($("#deck-a"), $("#deck-b"));
    this.player = new Player({ socket: this.socket, shelf: new Shelf(), deck: this.deck });
    this.paper = new Paper($("#article"), $("#sentinel"));
    this.highlighter = new Highlighter($("#paper"));
    this.follower = new Follower();
    this.progress = new Progress($("#progress"));
    this.position = new PositionKeeper();
    this.documents = new Documents($("#library"));
    this.compose = new Compose($("#compose"));
    this.voices = new VoicePicker($("#voices"), $("#voice-button"));
    this.speed = new Speed($("#speed"), $("#speed-button"));
    this.sidebar = new Sidebar();
    this.notices = new NoticeBar(this.player, this.socket);
    this.#connect();
  }

  async start() {
    this.socket.start();
    if (!$("#deck-a").canPlayType("audio/ogg; codecs=opus")) this.player.giveUp({ kind: "decode" });
    try {
      await Promise.all([this.#loadVoices(), this.#openFirst()]);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #loadVoices() {
    const [voices, models, preferences] = await Promise.all([api.voices(), api.models(), api.preferences()]);
    this.voices.fill(voices, models, preferences, bootstrap.model);
    this.speed.show(preferences.default_speed ?? 1);
    this.player.speed = this.speed.value;
    if (this.voices.current) this.player.setVoice(this.voices.current);
  }

  async #openFirst() {
    const recent = await this.documents.refresh();
    const id = bootstrap.document ?? recent?.id;
    if (id) await this.open(id, { replace: true });
    else this.#showEmpty();
  }

  // --- A document ---------------------------------------------------------------------------------------------------

  async open(id, { replace = false, silent = false } = {}) {
    const opening = (this.#opening += 1);
    this.position.flush();
    this.player.close();
    try {
      const document = await api.getDocument(id);
      if (opening === this.#opening) await this.#show(document, { replace, silent });
    } catch (error) {
      if (opening !== this.#opening) return;
      this.#showEmpty();
      if (error.status === 404) toast("This document does not exist any more, or is not shared with you.");
      else this.#fail(error);
    }
  }

  async #show(document, { replace, silent }) {
    this.document = document;
    const cursor = document.position?.block_idx ?? 0;
    if (!silent) history[replace ? "replaceState" : "pushState"]({ id: document.id }, "", `/d/${document.id}`);
    this.#title(document.title);
    $("#empty").hidden = true;
    $("#share-button").hidden = !document.is_owner;
    this.documents.setCurrent(document);
    this.timeline = this.progress.timeline = new Timeline(document.block_count, document.est_duration_ms);
    this.player.open(document, cursor);
    await this.paper.open(document, cursor);
    this.#showBlock({ jump: true });
  }

  #title(title) {
    document.title = title ? `${title} · Yapit` : "Yapit";
    $("#title").textContent = title;
    describeMedia({ title, voice: this.voices.current?.name, icon: bootstrap.icon });
  }

  #showEmpty() {
    this.document = this.timeline = null;
    this.player.close();
    this.paper.clear();
    this.progress.clear();
    this.documents.setCurrent(null);
    this.#title("");
    $("#heading").hidden = true;
    $("#empty").hidden = false;
    $("#share-button").hidden = true;
  }

  // A text that does not begin with a heading of its own gets the document's title.
  #head(firstSection) {
    const own = $("h1", firstSection);
    const length = make("p", { className: "muted length", textContent: `${inWords(this.document.est_duration_ms)} to listen` });
    $("#heading").hidden = Boolean(own);
    $("#heading").replaceChildren(make("h1", { textContent: this.document.title }));
    if (own) own.after(length);
    else $("#heading").append(length);
  }

  #onLoaded(sections) {
    if (sections[0] && sections[0] === $("#article").firstElementChild) this.#head(sections[0]);
    for (const [index, characters] of charactersOfBlocks(sections)) {
      this.timeline?.measure(index, characters);
    }
  }

  // --- The sound and the text -------------------------------------------------------------------------------------

  async #showBlock({ jump = false } = {}) {
    const { cursor } = this.player;
    await this.paper.reach(cursor).catch(() => {}); // the paper says itself what failed
    if (cursor !== this.player.cursor) return;
    const elements = this.paper.elements(cursor);
    this.highlighter.showBlock(elements);
    this.#showWords();
    if (jump) this.follower.begin(elements, cursor === 0);
    else this.follower.show(elements);
    this.#showProgress();
  }

  #showWords() {
    this.highlighter.setWords(this.player.entry(this.player.cursor).words);
  }

  #showProgress() {
    this.progress.show(this.player.cursor, this.player.seconds, this.speed.value);
  }

  #animate() {
    if (this.highlighter.hasWords) this.highlighter.at(this.player.seconds);
    this.#showProgress();
    if (this.player.phase === "playing") requestAnimationFrame(() => this.#animate());
    else this.isAnimating = false;
  }

  #onStatus(index) {
    const entry = this.player.entry(index);
    if (entry.durationMs) this.timeline?.learn(index, entry.durationMs);
    this.paper.annotate(index, ["skipped", "error"].includes(entry.status) ? whyMute(entry) : null);
    if (index === this.player.cursor && entry.words.length) this.#showWords();
  }

  #onPlayerChange() {
    const { wantsSound } = this.player;
    $("#play").setAttribute("aria-label", wantsSound ? "Pause" : "Play");
    document.body.dataset.phase = this.player.phase;
    $("#play").disabled = !this.document || !this.player.count || !this.voices.current;
    if (this.player.phase === "playing" && !this.isAnimating) {
      this.isAnimating = true;
      this.#animate();
    }
    this.#onFollowChange();
  }

  #onFollowChange() {
    $("#follow").hidden = this.follower.isFollowing || !this.player.wantsSound;
    $("#follow").dataset.direction = this.follower.direction;
  }

  seek(index, options) {
    this.follower.isFollowing = true;
    this.player.seek(index, options);
  }

  toggle() {
    if (!this.player.wantsSound) this.follower.resume();
    this.player.toggle();
  }

  // --- Wiring -----------------------------------------------------------------------------------------------------

  #connect() {
    this.#connectPlayer();
    this.#connectChoices();
    this.#connectDocuments();
    this.#connectButtons();
    connectMediaKeys(this.player);
    listenForKeys({
      toggle: () => this.toggle(), previous: () => this.player.step(-1), next: () => this.player.step(1),
      faster: () => this.speed.step(1), slower: () => this.speed.step(-1), help: () => $("#help").showModal(),
      compose: () => this.compose.open(), voice: () => this.voices.open(), escape: () => this.#escape(),
    });
  }

  #connectPlayer() {
    this.player.addEventListener("change", () => this.#onPlayerChange());
    this.player.addEventListener("status", (event) => this.#onStatus(event.detail.index));
    this.player.addEventListener("block", () => {
      this.#showBlock();
      if (!this.document) return;
      this.position.note(this.document.id, this.player.cursor);
      this.documents.notePosition(this.document.id, this.player.cursor);
    });
    this.paper.addEventListener("loaded", (event) => this.#onLoaded(event.detail.sections));
    this.paper.addEventListener("failed", (event) => this.#fail(event.detail));
    this.paper.addEventListener("chosen", (event) => this.seek(event.detail, { play: true }));
    this.progress.addEventListener("seek", (event) => this.seek(event.detail));
    this.follower.addEventListener("change", () => this.#onFollowChange());
  }

  #connectChoices() {
    this.voices.addEventListener("chosen", ({ detail: voice }) => {
      this.timeline?.forget();
      this.player.setVoice(voice);
      this.#title(this.document?.title ?? "");
      this.#remember({ default_voice: voice.id });
    });
    this.voices.addEventListener("pinned", ({ detail }) => this.#remember({ pinned_voices: detail }));
    this.speed.addEventListener("change", () => {
      this.player.speed = this.speed.value;
      this.#showProgress();
      clearTimeout(this.speedTimer);
      this.speedTimer = setTimeout(() => this.#remember({ default_speed: this.speed.value }), 600);
    });
  }

  #connectDocuments() {
    const { documents } = this;
    documents.addEventListener("open", (event) => {
      this.sidebar.closeDrawer();
      this.open(event.detail);
    });
    documents.addEventListener("renamed", ({ detail }) => {
      if (detail.id === this.document?.id) this.#title(detail.title);
    });
    documents.addEventListener("deleted", () => this.#showEmpty());
    documents.addEventListener("failed", (event) => this.#fail(event.detail));
    this.compose.addEventListener("created", async ({ detail }) => {
      this.sidebar.closeDrawer();
      await this.open(detail.id);
      $("#play").focus();
    });
    addEventListener("popstate", ({ state }) => {
      if (state?.id && state.id !== this.document?.id) this.open(state.id, { silent: true });
    });
  }

  #connectButtons() {
    $("#play").addEventListener("click", () => this.toggle());
    $("#previous").addEventListener("click", () => this.player.step(-1));
    $("#next").addEventListener("click", () => this.player.step(1));
    $("#follow").addEventListener("click", () => this.follower.resume());
    $("#share-button").addEventListener("click", () => this.documents.openShare(this.document));
    $("#help-button").addEventListener("click", () => $("#help").showModal());
    closeByClick($("#help"));
    for (const button of document.querySelectorAll("[data-compose]")) {
      button.addEventListener("click", () => this.compose.open());
    }
    addEventListener("online", () => this.socket.start());
    // A sleeping tab may have lost its connection, and in another one somebody may have logged in again.
    document.addEventListener("visibilitychange", () => !document.hidden && this.socket.start());
  }

  #escape() {
    this.sidebar.closeDrawer();
    if (!this.follower.isFollowing) this.follower.resume();
  }

  async #remember(changes) {
    try {
      await api.changePreferences(changes);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error) {
    if (api.isLoginLost(error)) this.player.giveUp({ kind: "login" });
    else if (error instanceof api.Refused || error instanceof api.Unreachable) toast(error.message);
    else throw error;
  }
}

/** [block, number of characters] for every block in these sections; one block may be several spans. */
function charactersOfBlocks(sections) {
  const characters = new Map();
  for (const section of sections) {
    for (const span of section.querySelectorAll(".block[data-block]")) {
      const index = Number(span.dataset.block);
      characters.set(index, (characters.get(index) ?? 0) + span.textContent.length);
    }
  }
  return characters;
}

new Reader().start();
