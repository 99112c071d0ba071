// Auto-scroll: keeps the spoken block in view until the user scrolls away; `resume` turns it on again.

const OWN_SCROLL_MS = 900; // scroll events within this time after scrolling by script are not the user's

/** Event: `change` (of `isFollowing`). */
export class AutoScroll extends EventTarget {
  isFollowing = true;
  #elements = [];
  #ownScrollUntil = 0;

  constructor() {
    super();
    for (const name of ["wheel", "touchmove"]) {
      addEventListener(name, () => this.#stopFollowing(), { passive: true });
    }
    addEventListener("scroll", () => performance.now() > this.#ownScrollUntil && this.#stopFollowing(), { passive: true });
    addEventListener("keydown", (event) => {
      if (["PageUp", "PageDown", "Home", "End"].includes(event.key)) this.#stopFollowing();
    });
  }

  /** Set the elements of the spoken block. */
  show(elements) {
    this.#elements = elements;
    if (this.isFollowing) this.#bringIntoView();
  }

  /** Scroll to the spoken block and follow it again. */
  resume() {
    this.isFollowing = true;
    this.#bringIntoView();
    this.dispatchEvent(new Event("change"));
  }

  /** Scroll to the start position of a document: its top, or the block at a third of the window height. */
  showInitial(elements, isAtStart) {
    this.#elements = elements;
    this.isFollowing = true;
    this.#ownScrollUntil = performance.now() + OWN_SCROLL_MS;
    if (isAtStart) scrollTo({ top: 0, behavior: "instant" });
    else this.#scroll("instant");
  }

  get direction() {
    const box = this.#elements[0]?.getBoundingClientRect();
    return box && box.top > innerHeight / 2 ? "down" : "up";
  }

  #stopFollowing() {
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
    this.#ownScrollUntil = performance.now() + OWN_SCROLL_MS;
    const top = this.#elements[0].getBoundingClientRect().top + scrollY - innerHeight * 0.28;
    scrollTo({ top: Math.max(0, top), behavior });
  }
}
