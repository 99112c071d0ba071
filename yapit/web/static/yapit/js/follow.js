// Keeps the spoken block in view, until the reader scrolls away; then waits to be called back.

const OURS_MS = 900; // a scroll within this time after our own is ours

/** Event `change`: `isFollowing` or `isAway` is different now. */
export class Follower extends EventTarget {
  isFollowing = true;
  #elements = [];
  #oursUntil = 0;

  constructor() {
    super();
    for (const name of ["wheel", "touchmove"]) {
      addEventListener(name, () => this.#yield(), { passive: true });
    }
    addEventListener("scroll", () => performance.now() > this.#oursUntil && this.#yield(), { passive: true });
    addEventListener("keydown", (event) => {
      if (["PageUp", "PageDown", "Home", "End"].includes(event.key)) this.#yield();
    });
  }

  /** The spoken block is this one now. */
  show(elements) {
    this.#elements = elements;
    if (this.isFollowing) this.#bringIntoView();
  }

  /** Follow again, from here on. */
  resume() {
    this.isFollowing = true;
    this.#bringIntoView();
    this.dispatchEvent(new Event("change"));
  }

  /** A document was opened: at its beginning, or with the block a third down the page. */
  begin(elements, isAtStart) {
    this.#elements = elements;
    this.isFollowing = true;
    this.#oursUntil = performance.now() + OURS_MS;
    if (isAtStart) scrollTo({ top: 0, behavior: "instant" });
    else this.#scroll("instant");
  }

  get direction() {
    const box = this.#elements[0]?.getBoundingClientRect();
    return box && box.top > innerHeight / 2 ? "down" : "up";
  }

  #yield() {
    if (!this.isFollowing || !this.#elements.length) return;
    this.isFollowing = false;
    this.dispatchEvent(new Event("change"));
  }

  #bringIntoView() {
    if (!this.#elements.length) return;
    const top = this.#elements[0].getBoundingClientRect().top;
    const bottom = this.#elements.at(-1).getBoundingClientRect().bottom;
    if (top < innerHeight * 0.12 || bottom > innerHeight * 0.68) {
      this.#scroll(matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth");
    }
  }

  #scroll(behavior) {
    if (!this.#elements.length) return;
    this.#oursUntil = performance.now() + OURS_MS;
    const top = this.#elements[0].getBoundingClientRect().top + scrollY - innerHeight * 0.28;
    scrollTo({ top: Math.max(0, top), behavior });
  }
}
