// Player of one document: requests and fetches blocks ahead, plays them in order, skips silent ones.

import { Queue } from "./queue.js";
import { failureKind } from "./audiocache.js";
import { ORIGIN_REFUSED } from "./socket.js";

const TICK_MS = 500;
const FETCH_AHEAD = 4;
const FETCH_AGAIN_SECONDS = 2;
const BUSY_MS = 2_000;
const PERSISTENT = new Set(["login", "origin", "decode"]); // not solved by another document or voice
const MAX_CONSECUTIVE_FAILURES = 4; // then playback stops instead of running through the whole document

/**
 * phase: "idle", "waiting" (for audio), "playing", "paused", "finished".
 * problem: null or {kind, ...}; see messages.js for the kinds.
 * Events: `change`, `block` (the cursor moved), `status` (detail: {index}).
 */
export class Player extends EventTarget {
  #queue = new Queue(0);
  #document = null;
  #voice = null;
  #fetchNotBefore = 0;
  #failures = 0; // consecutive blocks that failed
  #refusal = null; // problem to show after the blocks that are ready have been played
  #evictions = 0; // `evicted` replies to our own cursor_moved that are still to come
  #timer = null;
  #speed = 1;
  #silence = null; // timer of the silence after a block that has ended; the phase is still "playing"

  constructor({ socket, cache, audio, now = Date.now, after = setTimeout.bind(globalThis) }) {
    super();
    Object.assign(this, { socket, cache, audio, now, after, phase: "idle", problem: null, isOnline: false });
    socket.addEventListener("open", () => this.#onOpen());
    socket.addEventListener("down", () => this.#onDown());
    socket.addEventListener("refused", (event) => this.#onRefused(event.detail.code));
    socket.addEventListener("gap", () => this.#requestAgain());
    socket.addEventListener("frame", (event) => this.#onFrame(event.detail));
    audio.addEventListener("playing", () => this.#onPlaying());
    audio.addEventListener("ended", () => this.#onEnded());
    audio.addEventListener("stopped", () => this.#onStopped());
    audio.addEventListener("undecodable", (event) => this.#onUndecodable(event.detail.index));
  }

  get cursor() {
    return this.#queue.cursor;
  }

  get count() {
    return this.#queue.count;
  }

  get seconds() {
    return this.audio.index === this.cursor ? this.audio.seconds : 0;
  }

  get wantsSound() {
    return this.phase === "waiting" || this.phase === "playing";
  }

  entry(index) {
    return this.#queue.entry(index);
  }

  waitingMs() {
    return this.phase === "waiting" ? this.#queue.waitingMs(this.now()) : 0;
  }

  open(document, cursor) {
    this.#document = document;
    this.#reset(Math.min(cursor, Math.max(0, document.block_count - 1)));
    this.#set({ phase: "idle", problem: this.#persistentProblem() });
  }

  close() {
    if (this.#document) this.#sendCursor();
    this.#document = null;
    this.#reset(0);
    this.#set({ phase: "idle", problem: this.#persistentProblem() });
  }

  /** During playback, the current block starts again in the new voice. */
  setVoice(voice) {
    if (this.#voice?.id === voice.id && this.#voice?.model === voice.model) return;
    this.#voice = voice;
    if (!this.#document) return;
    const wasPlaying = this.wantsSound;
    this.#sendCursor();
    this.#reset(this.cursor);
    this.#set({ phase: wasPlaying ? "waiting" : "idle", problem: this.#persistentProblem() });
    this.#pump();
  }

  #persistentProblem() {
    return PERSISTENT.has(this.problem?.kind) ? this.problem : null;
  }

  set speed(value) {
    this.#speed = value;
    this.audio.speed = value;
  }

  #reset(cursor) {
    this.#endSilence();
    this.#refusal = null;
    this.#queue = new Queue(this.#document?.block_count ?? 0, cursor);
    this.cache.clear();
    this.audio.clear();
  }

  play() {
    if (!this.#document || !this.#voice || !this.count) return;
    this.audio.unlock();
    if (this.problem) {
      this.#refusal = null;
      this.#queue.resume();
      this.#queue.retryFailed();
      this.socket.start();
    }
    this.#failures = 0;
    if (this.phase === "finished") this.#moveTo(0);
    if (!this.#queue.isPlayable(this.cursor)) this.#skipSilent();
    this.#set({ phase: "waiting", problem: null });
    this.#pump();
  }

  pause() {
    if (!this.wantsSound) return;
    this.#set({ phase: "paused" });
    if (this.#silence !== null) this.#advance(); // or the block that has ended would be played again
    this.audio.pause();
  }

  toggle() {
    if (this.wantsSound) this.pause();
    else this.play();
  }

  /** Move to a block; with `play`, start playback there even if paused. */
  seek(index, { play = this.wantsSound } = {}) {
    if (!this.#document || index < 0 || index >= this.count) return;
    this.audio.pause();
    this.#moveTo(index);
    if (this.audio.index === index) this.audio.rewind();
    if (play) this.play();
    else this.#set({ phase: "paused" });
  }

  step(direction) {
    const index = this.#queue.neighbour(this.cursor, direction);
    if (index !== null) this.seek(index);
  }

  #moveTo(index) {
    this.#endSilence();
    this.#refusal = null;
    this.#queue.cursor = index;
    this.#sendCursor();
    this.dispatchEvent(new Event("block"));
  }

  #sendCursor() {
    if (!this.#queue.hasUnanswered) return;
    this.#queue.resume();
    this.#evictions += this.socket.send({ type: "cursor_moved", document_id: this.#document.id, cursor: this.cursor }) ? 1 : 0;
  }

  // --- Server ----------------------------------------------------------------------------------------------------

  #onOpen() {
    this.isOnline = true;
    this.#evictions = 0;
    this.#requestAgain();
    const wasRefused = ["login", "origin"].includes(this.problem?.kind);
    this.#set({ problem: wasRefused ? null : this.problem });
  }

  #onDown() {
    this.isOnline = false;
    this.#set({});
  }

  #onRefused(code) {
    this.isOnline = false;
    this.#stop({ kind: code === ORIGIN_REFUSED ? "origin" : "login" });
  }

  #requestAgain() {
    this.#queue.resume();
    this.#pump();
  }

  #onFrame(frame) {
    if (frame.type === "evicted" && this.#evictions > 0) {
      this.#evictions -= 1; // the blocks still needed after our own jump have been requested again
      return;
    }
    if (frame.document_id && frame.document_id !== this.#document?.id) return;
    if (frame.type === "status") this.#onStatus(frame);
    else if (frame.type === "evicted") this.#queue.drop(frame.block_indices);
    else if (frame.type === "error") this.#onError(frame);
    this.#pump();
  }

  #onStatus(frame) {
    // A late frame of the previous voice.
    if (frame.model_slug !== this.#voice?.model || frame.voice_slug !== this.#voice?.id) return;
    if (frame.status === "error" && frame.recoverable === false) {
      this.#onLimit(frame);
      return;
    }
    if (frame.status === "error" && frame.code === "busy") {
      this.#queue.drop([frame.block_idx]);
      this.#backOff(BUSY_MS);
      return;
    }
    if (!this.#queue.receive(frame, this.now())) return;
    this.dispatchEvent(new CustomEvent("status", { detail: { index: frame.block_idx } }));
  }

  // Blocks that are ready are paid for and still played; no more are requested.
  #onLimit({ code, error, usage }) {
    this.#refusal = { kind: code === "usage_limit" ? "usage" : "refused", message: error, usage };
    this.#queue.drop();
    this.#queue.hold(Infinity);
  }

  #onError({ code, error, block_indices: indices, retry_after: retryAfter }) {
    this.#queue.drop(indices ?? undefined);
    if (retryAfter) {
      this.#backOff(retryAfter * 1_000);
    } else {
      this.#stop({ kind: "refused", code, message: error });
    }
  }

  // Shown only while playback is waiting: otherwise the user does not notice.
  #backOff(ms) {
    this.#queue.hold(this.now() + ms);
    if (this.phase === "waiting") this.#set({ problem: { kind: "busy" } });
  }

  /** The refusal for used up characters, if playback has stopped or will stop there. */
  get limit() {
    return [this.problem, this.#refusal].find((one) => one?.kind === "usage") ?? null;
  }

  /** The account has characters again: request the blocks that were refused. */
  limitRaised() {
    if (!this.limit) return;
    this.#refusal = null;
    this.#queue.resume();
    this.#queue.retryFailed();
    this.#set({ problem: this.#persistentProblem() });
    this.#pump();
  }

  /** Stop with a problem that was found outside of the player. */
  fail(problem) {
    this.#stop(problem);
  }

  /** Pause and show the problem until the user acts. */
  #stop(problem) {
    const wasPlaying = this.wantsSound;
    this.#set({ phase: wasPlaying ? "paused" : this.phase, problem });
    if (wasPlaying) this.audio.pause();
  }

  // --- Audio -----------------------------------------------------------------------------------------------------

  #onPlaying() {
    this.#failures = 0;
    if (this.wantsSound) this.#set({ phase: "playing", problem: null });
  }

  #onEnded() {
    if (this.phase !== "playing") return;
    if (this.#queue.neighbour(this.cursor, 1) === null) {
      this.#set({ phase: "finished" });
      return;
    }
    const { pauseMs } = this.#queue.entry(this.cursor);
    this.#silence = this.after(() => this.#advance(), pauseMs / this.#speed);
  }

  // The silence is over, or playback was paused or stopped during it.
  #advance() {
    this.#endSilence();
    const next = this.#queue.neighbour(this.cursor, 1);
    if (next === null) {
      this.#set({ phase: "finished" });
      return;
    }
    this.#queue.cursor = next;
    if (this.wantsSound) this.phase = "waiting";
    this.#pump();
    this.dispatchEvent(new Event("block"));
    this.#set({});
  }

  #endSilence() {
    clearTimeout(this.#silence);
    this.#silence = null;
  }

  #onStopped() {
    if (this.phase === "playing" && !this.audio.isPlaying) this.#set({ phase: "paused" });
  }

  #onUndecodable(index) {
    this.cache.drop(index);
    this.#queue.fail(index, "this browser cannot decode its audio");
    this.dispatchEvent(new CustomEvent("status", { detail: { index } }));
    if (index === this.cursor) this.#stop({ kind: "decode" });
  }

  #skipSilent() {
    this.#failures += this.#queue.entry(this.cursor).status === "error" ? 1 : 0;
    if (this.#failures > MAX_CONSECUTIVE_FAILURES) {
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
    if (!this.#queue.isPlayable(next)) this.#skipSilent();
  }

  /** Request, fetch and play whatever can be done now. Idempotent. */
  #pump() {
    if (!this.#document || !this.#voice || !this.wantsSound) return;
    if (!this.#queue.isPlayable(this.cursor)) this.#skipSilent();
    if (!this.wantsSound) return;
    if (this.#refusal && this.#queue.entry(this.cursor).status !== "cached") {
      this.#stop(this.#refusal);
      return;
    }
    this.#keepTicking();
    this.#request();
    this.#fetchAhead();
    this.#playCurrent();
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
      if (status === "cached" && !this.cache.get(index) && !this.cache.isLoading(index)) this.#fetch(index, url);
    }
    this.cache.trim([...this.audio.inUse, ...this.#queue.window()]);
  }

  async #fetch(index, url) {
    const queue = this.#queue;
    try {
      await this.cache.fetch(index, url);
    } catch (error) {
      if (queue !== this.#queue || error.name === "AbortError") return;
      this.#onFetchFailed(index, error);
    }
    if (queue === this.#queue) this.#pump();
  }

  #onFetchFailed(index, error) {
    const kind = failureKind(error);
    if (kind === "login") this.#stop({ kind: "login" });
    if (kind === "later") this.#fetchNotBefore = this.now() + (error.retryAfter ?? FETCH_AGAIN_SECONDS) * 1_000;
    if (kind === "gone") this.#queue.retry(index);
    if (kind === "never") this.#queue.fail(index, "its audio could not be fetched");
    this.dispatchEvent(new CustomEvent("status", { detail: { index } }));
  }

  #playCurrent() {
    if (this.#silence !== null) return;
    if (this.audio.isPlaying && this.audio.index === this.cursor) return;
    const url = this.cache.get(this.cursor);
    if (!url && this.audio.index !== this.cursor) return;
    this.audio.load(this.cursor, url);
    this.#start();
  }

  async #start() {
    const index = this.cursor;
    try {
      await this.audio.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") throw error;
      if (index === this.cursor) this.#stop({ kind: "autoplay" });
    }
  }

  #prepareNext() {
    const next = this.#queue.neighbour(this.cursor, 1);
    const url = next === null ? null : this.cache.get(next);
    if (url && this.audio.index === this.cursor) this.audio.prepare(next, url);
  }

  // --- Timer -----------------------------------------------------------------------------------------------------

  #keepTicking() {
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  #tick() {
    if (!this.wantsSound) {
      clearInterval(this.#timer);
      this.#timer = null;
      return;
    }
    // Without a connection there are no replies, so timeouts mean nothing.
    if (this.socket.isOpen && this.#queue.checkTimeouts(this.now())) this.socket.restart();
    this.#pump();
    if (this.phase === "waiting") this.#set({});
  }

  #set(changes) {
    Object.assign(this, changes);
    this.dispatchEvent(new Event("change"));
  }
}
