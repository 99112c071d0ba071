// Plays one document: asks for blocks ahead of the sound, hands them to the deck, steps over what is mute.

import { Queue } from "./queue.js";
import { verdict } from "./shelf.js";
import { ORIGIN_REFUSED } from "./socket.js";

const TICK_MS = 500;
const FETCH_AHEAD = 4;
const FETCH_AGAIN_SECONDS = 2;
const BUSY_MS = 2_000;
const LASTING = new Set(["login", "origin", "decode"]); // another document or voice does not mend these
const FAILURES_IN_A_ROW = 4; // more than that and going on would only burn through the document

/**
 * phase: "idle", "waiting" (for the sound), "playing", "paused", "finished".
 * trouble: null or {kind, ...}; words.js puts it into words.
 * Events: `change`, `block` (the cursor moved), `status` (detail: {index}).
 */
export class Player extends EventTarget {
  #queue = new Queue(0);
  #document = null;
  #voice = null;
  #fetchNotBefore = 0;
  #failures = 0; // since something was heard
  #refusal = null; // the trouble to name when what is ready has been heard
  #evictions = 0; // answers to our own cursor_moved that are still to come
  #timer = null;

  constructor({ socket, shelf, deck, now = Date.now }) {
    super();
    Object.assign(this, { socket, shelf, deck, now, phase: "idle", trouble: null, isOnline: false });
    socket.addEventListener("open", () => this.#onOpen());
    socket.addEventListener("down", () => this.#onDown());
    socket.addEventListener("refused", (event) => this.#onRefused(event.detail.code));
    socket.addEventListener("gap", () => this.#startOver());
    socket.addEventListener("frame", (event) => this.#onFrame(event.detail));
    deck.addEventListener("playing", () => this.#onPlaying());
    deck.addEventListener("ended", () => this.#onEnded());
    deck.addEventListener("stopped", () => this.#onStopped());
    deck.addEventListener("broken", (event) => this.#onBroken(event.detail.index));
  }

  get cursor() {
    return this.#queue.cursor;
  }

  get count() {
    return this.#queue.count;
  }

  get seconds() {
    return this.deck.index === this.cursor ? this.deck.seconds : 0;
  }

  get wantsSound() {
    return this.phase === "waiting" || this.phase === "playing";
  }

  entry(index) {
    return this.#queue.entry(index);
  }

  waitedFor() {
    return this.phase === "waiting" ? this.#queue.waitedFor(this.now()) : 0;
  }

  open(document, cursor) {
    this.#document = document;
    this.#reset(Math.min(cursor, Math.max(0, document.block_count - 1)));
    this.#set({ phase: "idle", trouble: this.#lastingTrouble() });
  }

  close() {
    if (this.#document) this.#tellCursor();
    this.#document = null;
    this.#reset(0);
    this.#set({ phase: "idle", trouble: this.#lastingTrouble() });
  }

  /** A change in mid-sentence goes on with the same block in the new voice. */
  setVoice(voice) {
    if (this.#voice?.id === voice.id && this.#voice?.model === voice.model) return;
    this.#voice = voice;
    if (!this.#document) return;
    const wanted = this.wantsSound;
    this.#tellCursor();
    this.#reset(this.cursor);
    this.#set({ phase: wanted ? "waiting" : "idle", trouble: this.#lastingTrouble() });
    this.#pump();
  }

  #lastingTrouble() {
    return LASTING.has(this.trouble?.kind) ? this.trouble : null;
  }

  set speed(value) {
    this.deck.speed = value;
  }

  #reset(cursor) {
    this.#refusal = null;
    this.#queue = new Queue(this.#document?.block_count ?? 0, cursor);
    this.shelf.clear();
    this.deck.clear();
  }

  play() {
    if (!this.#document || !this.#voice || !this.count) return;
    this.deck.unlock();
    if (this.trouble) {
      this.#refusal = null;
      this.#queue.resume();
      this.#queue.forgive();
      this.socket.start();
    }
    this.#failures = 0;
    if (this.phase === "finished") this.#moveTo(0);
    if (!this.#queue.isSpeakable(this.cursor)) this.#stepOver();
    this.#set({ phase: "waiting", trouble: null });
    this.#pump();
  }

  pause() {
    if (!this.wantsSound) return;
    this.#set({ phase: "paused" });
    this.deck.pause();
  }

  toggle() {
    if (this.wantsSound) this.pause();
    else this.play();
  }

  /** Go to a block; `play` starts the sound there even if it was off. */
  seek(index, { play = this.wantsSound } = {}) {
    if (!this.#document || index < 0 || index >= this.count) return;
    this.deck.pause();
    this.#moveTo(index);
    if (this.deck.index === index) this.deck.rewind();
    if (play) this.play();
    else this.#set({ phase: "paused" });
  }

  step(direction) {
    const index = this.#queue.neighbour(this.cursor, direction);
    if (index !== null) this.seek(index);
  }

  #moveTo(index) {
    this.#refusal = null;
    this.#queue.cursor = index;
    this.#tellCursor();
    this.dispatchEvent(new Event("block"));
  }

  #tellCursor() {
    if (!this.#queue.isWaiting) return;
    this.#queue.resume();
    this.#evictions += this.socket.send({ type: "cursor_moved", document_id: this.#document.id, cursor: this.cursor }) ? 1 : 0;
  }

  // --- The server -----------------------------------------------------------------------------------------------

  #onOpen() {
    this.isOnline = true;
    this.#evictions = 0;
    this.#startOver();
    const wasRefused = ["login", "origin"].includes(this.trouble?.kind);
    this.#set({ trouble: wasRefused ? null : this.trouble });
  }

  #onDown() {
    this.isOnline = false;
    this.#set({});
  }

  #onRefused(code) {
    this.isOnline = false;
    this.#stop({ kind: code === ORIGIN_REFUSED ? "origin" : "login" });
  }

  #startOver() {
    this.#queue.resume();
    this.#pump();
  }

  #onFrame(frame) {
    if (frame.type === "evicted" && this.#evictions > 0) {
      this.#evictions -= 1; // what our own jump threw out has been asked for anew where it is wanted
      return;
    }
    if (frame.document_id && frame.document_id !== this.#document?.id) return;
    if (frame.type === "status") this.#onStatus(frame);
    else if (frame.type === "evicted") this.#queue.drop(frame.block_indices);
    else if (frame.type === "error") this.#onError(frame);
    this.#pump();
  }

  #onStatus(frame) {
    // Late news of a voice that was switched away from.
    if (frame.model_slug !== this.#voice?.model || frame.voice_slug !== this.#voice?.id) return;
    if (frame.status === "error" && frame.recoverable === false) {
      this.#onLimit(frame);
      return;
    }
    if (frame.status === "error" && frame.code === "busy") {
      this.#queue.drop([frame.block_idx]);
      this.#waitForRoom(BUSY_MS);
      return;
    }
    if (!this.#queue.receive(frame, this.now())) return;
    this.dispatchEvent(new CustomEvent("status", { detail: { index: frame.block_idx } }));
  }

  // What is ready was paid for and is still heard; nothing more is asked for.
  #onLimit({ code, error, usage }) {
    this.#refusal = { kind: code === "usage_limit" ? "usage" : "refused", message: error, usage };
    this.#queue.drop();
    this.#queue.hold(Infinity);
  }

  #onError({ code, error, block_indices: indices, retry_after: retryAfter }) {
    this.#queue.drop(indices ?? undefined);
    if (retryAfter) {
      this.#waitForRoom(retryAfter * 1_000);
    } else {
      this.#stop({ kind: "refused", code, message: error });
    }
  }

  // Said only to a listener who is waiting; the others will not notice.
  #waitForRoom(ms) {
    this.#queue.hold(this.now() + ms);
    if (this.phase === "waiting") this.#set({ trouble: { kind: "busy" } });
  }

  /** Something outside found that going on makes no sense. */
  giveUp(trouble) {
    this.#stop(trouble);
  }

  /** End the session until the listener does something about it. */
  #stop(trouble) {
    const wasWanted = this.wantsSound;
    this.#set({ phase: wasWanted ? "paused" : this.phase, trouble });
    if (wasWanted) this.deck.pause();
  }

  // --- The sound ------------------------------------------------------------------------------------------------

  #onPlaying() {
    this.#failures = 0;
    if (this.wantsSound) this.#set({ phase: "playing", trouble: null });
  }

  #onEnded() {
    if (this.phase !== "playing") return;
    const next = this.#queue.neighbour(this.cursor, 1);
    if (next === null) {
      this.#set({ phase: "finished" });
      return;
    }
    this.#queue.cursor = next;
    this.phase = "waiting";
    this.#pump();
    this.dispatchEvent(new Event("block"));
    this.#set({});
  }

  #onStopped() {
    if (this.phase === "playing" && !this.deck.isSounding) this.#set({ phase: "paused" });
  }

  #onBroken(index) {
    this.shelf.drop(index);
    this.#queue.fail(index, "this browser cannot decode its audio");
    this.dispatchEvent(new CustomEvent("status", { detail: { index } }));
    if (index === this.cursor) this.#stop({ kind: "decode" });
  }

  #stepOver() {
    this.#failures += this.#queue.entry(this.cursor).status === "error" ? 1 : 0;
    if (this.#failures > FAILURES_IN_A_ROW) {
      this.#stop({ kind: "refused", message: "Several passages in a row could not be spoken." });
      return;
    }
    const next = this.#queue.neighbour(this.cursor, 1);
    if (next === null) {
      this.#set({ phase: "finished" });
      return;
    }
    this.#queue.cursor = next;
    this.dispatchEvent(new Event("block"));
    if (!this.#queue.isSpeakable(next)) this.#stepOver();
  }

  /** Do all that can be done now. Harmless to call at any time. */
  #pump() {
    if (!this.#document || !this.#voice || !this.wantsSound) return;
    if (!this.#queue.isSpeakable(this.cursor)) this.#stepOver();
    if (!this.wantsSound) return;
    if (this.#refusal && this.#queue.entry(this.cursor).status !== "cached") {
      this.#stop(this.#refusal);
      return;
    }
    this.#keepTicking();
    this.#request();
    this.#fetchAhead();
    this.#sound();
    this.#prepareNext();
  }

  #request() {
    if (!this.socket.isOpen) return;
    for (const { priority, indices } of this.#queue.requests(this.now())) {
      this.socket.send({
        type: "synthesize", document_id: this.#document.id, block_indices: indices, priority,
        model: this.#voice.model, voice: this.#voice.id,
      });
    }
  }

  #fetchAhead() {
    if (this.now() < this.#fetchNotBefore) return;
    for (const index of this.#queue.window().slice(0, FETCH_AHEAD)) {
      const { status, url } = this.#queue.entry(index);
      if (status === "cached" && !this.shelf.get(index) && !this.shelf.isLoading(index)) this.#fetch(index, url);
    }
    this.shelf.trim([...this.deck.inUse, ...this.#queue.window()]);
  }

  async #fetch(index, url) {
    const queue = this.#queue;
    try {
      await this.shelf.fetch(index, url);
    } catch (error) {
      if (queue !== this.#queue || error.name === "AbortError") return;
      this.#onFetchFailed(index, error);
    }
    if (queue === this.#queue) this.#pump();
  }

  #onFetchFailed(index, error) {
    const meaning = verdict(error);
    if (meaning === "login") this.#stop({ kind: "login" });
    if (meaning === "later") this.#fetchNotBefore = this.now() + (error.retryAfter ?? FETCH_AGAIN_SECONDS) * 1_000;
    if (meaning === "gone") this.#queue.heal(index);
    if (meaning === "never") this.#queue.fail(index, "its audio could not be fetched");
    this.dispatchEvent(new CustomEvent("status", { detail: { index } }));
  }

  #sound() {
    if (this.deck.isSounding && this.deck.index === this.cursor) return;
    const address = this.shelf.get(this.cursor);
    if (!address && this.deck.index !== this.cursor) return;
    this.deck.load(this.cursor, address);
    this.#start();
  }

  async #start() {
    const index = this.cursor;
    try {
      await this.deck.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") throw error;
      if (index === this.cursor) this.#stop({ kind: "autoplay" });
    }
  }

  #prepareNext() {
    const next = this.#queue.neighbour(this.cursor, 1);
    const address = next === null ? null : this.shelf.get(next);
    if (address && this.deck.index === this.cursor) this.deck.prepare(next, address);
  }

  // --- Time -----------------------------------------------------------------------------------------------------

  #keepTicking() {
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  #tick() {
    if (!this.wantsSound) {
      clearInterval(this.#timer);
      this.#timer = null;
      return;
    }
    // While there is no connection nobody can answer, so silence means nothing.
    if (this.socket.isOpen && this.#queue.lookForSilence(this.now())) this.socket.restart();
    this.#pump();
    if (this.phase === "waiting") this.#set({});
  }

  #set(changes) {
    Object.assign(this, changes);
    this.dispatchEvent(new Event("change"));
  }
}
