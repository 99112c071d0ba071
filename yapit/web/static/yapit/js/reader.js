// Reader page: creates and connects its parts.

import * as api from "./api.js";
import { ComposeDialog } from "./compose.js";
import { GaplessAudio } from "./gapless.js";
import { $, closeByClick, make, toast } from "./dialogs.js";
import { Documents } from "./documents.js";
import { AutoScroll } from "./autoscroll.js";
import { ChangeEvents } from "./events.js";
import { Highlighter } from "./highlight.js";
import { listenForKeys } from "./shortcuts.js";
import { connectMediaKeys, describeMedia } from "./media.js";
import { NoticeBar } from "./noticebar.js";
import { DocumentView } from "./documentview.js";
import { Player } from "./player.js";
import { PositionSaver } from "./position.js";
import { Progress } from "./progress.js";
import { AudioCache } from "./audiocache.js";
import { Sidebar } from "./sidebar.js";
import { ORIGIN_REFUSED, ReconnectingSocket } from "./socket.js";
import { Speed } from "./speed.js";
import { Timeline, formatDuration } from "./timeline.js";
import { VoicePicker } from "./voices.js";
import { silenceReason } from "./messages.js";

const bootstrap = JSON.parse($("#bootstrap").textContent);

class Reader {
  document = null;
  timeline = null;
  #opening = 0;

  constructor() {
    const url = new URL(bootstrap.socket, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new ReconnectingSocket(url.href);
    this.events = new ChangeEvents();
    this.audio = new GaplessAudio($("#audio-a"), $("#audio-b"));
    this.player = new Player({ socket: this.socket, cache: new AudioCache(), audio: this.audio });
    this.documentView = new DocumentView($("#article"), $("#sentinel"));
    this.highlighter = new Highlighter($("#document-view"));
    this.autoScroll = new AutoScroll();
    this.progress = new Progress($("#progress"));
    this.position = new PositionSaver();
    this.documents = new Documents($("#library"));
    this.compose = new ComposeDialog($("#compose"));
    this.voices = new VoicePicker($("#voices"), $("#voice-button"));
    this.speed = new Speed($("#speed"), $("#speed-button"));
    this.sidebar = new Sidebar();
    this.notices = new NoticeBar(this.player, this.socket);
    this.#connect();
  }

  async start() {
    this.socket.start();
    this.events.start();
    if (!$("#audio-a").canPlayType("audio/ogg; codecs=opus")) this.player.fail({ kind: "decode" });
    try {
      await Promise.all([this.#loadVoices(), this.#openFirst()]);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #loadVoices() {
    const [voices, models, preferences] = await Promise.all([api.voices(), api.models(), api.preferences()]);
    this.models = models;
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

  // --- Document --------------------------------------------------------------------------------------------------

  async open(id, { replace = false, keepHistory = false } = {}) {
    const opening = (this.#opening += 1);
    this.position.flush();
    this.player.close();
    try {
      const document = await api.getDocument(id);
      if (opening === this.#opening) await this.#show(document, { replace, keepHistory });
    } catch (error) {
      if (opening !== this.#opening) return;
      this.#showEmpty();
      if (error.status === 404) toast("This document no longer exists, or is not shared with you.");
      else this.#fail(error);
    }
  }

  async #show(document, { replace, keepHistory }) {
    this.document = document;
    const cursor = document.position?.block_idx ?? 0;
    if (!keepHistory) history[replace ? "replaceState" : "pushState"]({ id: document.id }, "", `/d/${document.id}`);
    this.#setTitle(document.title);
    $("#empty").hidden = true;
    $("#share-button").hidden = !document.is_owner;
    this.documents.setCurrent(document);
    this.timeline = this.progress.timeline = new Timeline(document.block_count, document.est_duration_ms);
    this.player.open(document, cursor);
    await this.documentView.open(document, cursor);
    this.#showBlock({ jump: true });
  }

  #setTitle(title) {
    document.title = title ? `${title} · Yapit` : "Yapit";
    $("#title").textContent = title;
    describeMedia({ title, voice: this.voices.current?.name, icon: bootstrap.icon });
  }

  #showEmpty() {
    this.document = this.timeline = null;
    this.player.close();
    this.documentView.clear();
    this.progress.clear();
    this.documents.setCurrent(null);
    this.#setTitle("");
    $("#heading").hidden = true;
    $("#empty").hidden = false;
    $("#share-button").hidden = true;
  }

  // Show the document's title unless the text begins with a heading of its own.
  #showHeading(firstSection) {
    const heading = $("h1", firstSection);
    const length = make("p", { className: "muted length", textContent: `${formatDuration(this.document.est_duration_ms)} to listen` });
    $("#heading").hidden = Boolean(heading);
    $("#heading").replaceChildren(make("h1", { textContent: this.document.title }));
    if (heading) heading.after(length);
    else $("#heading").append(length);
  }

  #onLoaded(sections) {
    if (sections[0] && sections[0] === $("#article").firstElementChild) this.#showHeading(sections[0]);
    for (const [index, characters] of charactersOfBlocks(sections)) {
      this.timeline?.setCharacters(index, characters);
    }
  }

  // --- Changes made elsewhere --------------------------------------------------------------------------------------

  /** Read again what may have changed without being told. */
  async #reread() {
    const listed = await this.documents.reread();
    const current = listed.find(({ id }) => id === this.document?.id);
    if (current) this.#showChange(current);
    else if (this.document) await this.#rereadDocument(this.document.id);
    await this.#checkLimit();
  }

  async #rereadDocument(id) {
    try {
      this.#showChange(await api.getDocument(id));
    } catch (error) {
      if (error.status !== 404) throw error; // `document_gone` follows
    }
  }

  #showChange(changed) {
    this.documents.show(changed);
    if (changed.id !== this.document?.id) return;
    const { title, is_public: isPublic } = changed;
    Object.assign(this.document, { title, is_public: isPublic });
    this.#setTitle(title);
    if (!$("#heading").hidden) $("#heading h1").textContent = title;
  }

  #onGone(id) {
    this.documents.remove(id);
    if (id !== this.document?.id) return;
    this.#showEmpty();
    toast("This document was deleted, or is no longer shared with you.");
  }

  /** End a pause for used up characters when the account has enough again. */
  async #checkLimit() {
    const limit = this.player.limit;
    if (!limit) return;
    const type = this.models.find(({ id }) => id === this.voices.current?.model)?.usage_type;
    const balance = (await api.usage()).balances.find(({ usage_type: usageType }) => usageType === type);
    const isEnough = balance?.available === null || balance?.available >= (limit.usage?.requested ?? 1);
    if (balance && isEnough) this.player.limitRaised();
  }

  // --- Playback and text -----------------------------------------------------------------------------------------

  async #showBlock({ jump = false } = {}) {
    const { cursor } = this.player;
    await this.documentView.reach(cursor).catch(() => {}); // reported by its `failed` event
    if (cursor !== this.player.cursor) return;
    const elements = this.documentView.elements(cursor);
    this.highlighter.showBlock(elements);
    this.#showWords();
    if (jump) this.autoScroll.showInitial(elements, cursor === 0);
    else this.autoScroll.show(elements);
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
    if (entry.durationMs) this.timeline?.setDuration(index, entry.durationMs + entry.pauseMs);
    this.documentView.annotate(index, ["skipped", "error"].includes(entry.status) ? silenceReason(entry) : null);
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
    $("#follow").hidden = this.autoScroll.isFollowing || !this.player.wantsSound;
    $("#follow").dataset.direction = this.autoScroll.direction;
  }

  seek(index, options) {
    this.autoScroll.isFollowing = true;
    this.player.seek(index, options);
  }

  toggle() {
    if (!this.player.wantsSound) this.autoScroll.resume();
    this.player.toggle();
  }

  // --- Event handlers --------------------------------------------------------------------------------------------

  #connect() {
    this.#connectPlayer();
    this.#connectChoices();
    this.#connectDocuments();
    this.#connectEvents();
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
      this.documents.showPosition(this.document.id, this.player.cursor);
    });
    this.documentView.addEventListener("loaded", (event) => this.#onLoaded(event.detail.sections));
    this.documentView.addEventListener("failed", (event) => this.#fail(event.detail));
    this.documentView.addEventListener("chosen", (event) => this.seek(event.detail, { play: true }));
    this.progress.addEventListener("seek", (event) => this.seek(event.detail));
    this.autoScroll.addEventListener("change", () => this.#onFollowChange());
  }

  #connectChoices() {
    this.voices.addEventListener("chosen", ({ detail: voice }) => {
      this.timeline?.clearDurations();
      this.player.setVoice(voice);
      this.#setTitle(this.document?.title ?? "");
      this.#savePreferences({ default_voice: voice.id });
    });
    this.voices.addEventListener("pinned", ({ detail }) => this.#savePreferences({ pinned_voices: detail }));
    this.speed.addEventListener("change", () => {
      this.player.speed = this.speed.value;
      this.#showProgress();
      clearTimeout(this.speedTimer);
      this.speedTimer = setTimeout(() => this.#savePreferences({ default_speed: this.speed.value }), 600);
    });
  }

  #connectDocuments() {
    const { documents } = this;
    documents.addEventListener("open", (event) => {
      this.sidebar.closeDrawer();
      this.open(event.detail);
    });
    documents.addEventListener("renamed", ({ detail }) => {
      if (detail.id === this.document?.id) this.#setTitle(detail.title);
    });
    documents.addEventListener("deleted", () => this.#showEmpty());
    documents.addEventListener("failed", (event) => this.#fail(event.detail));
    this.compose.addEventListener("created", async ({ detail }) => {
      this.sidebar.closeDrawer();
      await this.open(detail.id);
      $("#play").focus();
    });
    addEventListener("popstate", ({ state }) => {
      if (state?.id && state.id !== this.document?.id) this.open(state.id, { keepHistory: true });
    });
  }

  #connectEvents() {
    const { events } = this;
    const onEvent = (name, action) =>
      events.addEventListener(name, async ({ detail }) => {
        try {
          await action(detail);
        } catch (error) {
          // Not reachable: `connected` follows.
          if (!(error instanceof api.NetworkError)) this.#fail(error);
        }
      });
    this.documents.addEventListener("listed", () => events.watch(this.documents.ids));
    onEvent("connected", () => this.#reread());
    onEvent("document", (id) => this.#rereadDocument(id));
    onEvent("document_gone", (id) => this.#onGone(id));
    onEvent("balance", () => this.#checkLimit());
    onEvent("refused", ({ code }) => code !== ORIGIN_REFUSED && this.player.fail({ kind: "login" }));
  }

  #connectButtons() {
    $("#play").addEventListener("click", () => this.toggle());
    $("#previous").addEventListener("click", () => this.player.step(-1));
    $("#next").addEventListener("click", () => this.player.step(1));
    $("#follow").addEventListener("click", () => this.autoScroll.resume());
    $("#share-button").addEventListener("click", () => this.documents.openShare(this.document));
    $("#help-button").addEventListener("click", () => $("#help").showModal());
    closeByClick($("#help"));
    for (const button of document.querySelectorAll("[data-compose]")) {
      button.addEventListener("click", () => this.compose.open());
    }
    addEventListener("online", () => this.#start());
    // A background tab may have lost its connection, or the user has logged in again in another tab.
    document.addEventListener("visibilitychange", () => !document.hidden && this.#start());
  }

  #start() {
    this.socket.start();
    this.events.start();
  }

  #escape() {
    this.sidebar.closeDrawer();
    if (!this.autoScroll.isFollowing) this.autoScroll.resume();
  }

  async #savePreferences(changes) {
    try {
      await api.changePreferences(changes);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error) {
    if (api.isLoggedOut(error)) this.player.fail({ kind: "login" });
    else if (error instanceof api.ApiError || error instanceof api.NetworkError) toast(error.message);
    else throw error;
  }
}

/** Map of block index to number of characters; a block may have several spans. */
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
