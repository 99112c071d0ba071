// Highlights the spoken block and, where word timings are known, the spoken word.

const MAX_GAP = 60; // characters between words; a word further away is spoken differently from how it is written

// A block has several spans: split at style changes within a word, or between words at the end of a paragraph.
const paragraphOf = (element) => element.closest("p, li, h1, h2, h3, h4, h5, h6, figure, blockquote, aside");

/** The text of several elements as one string, with a mapping from offsets to DOM positions. */
class SpokenText {
  #nodes = []; // [text node, offset of its start]

  constructor(elements) {
    let [text, paragraph] = ["", null];
    for (const element of elements) {
      if (text && paragraphOf(element) !== paragraph) text += " ";
      paragraph = paragraphOf(element);
      const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        this.#nodes.push([walker.currentNode, text.length]);
        text += walker.currentNode.data;
      }
    }
    this.text = text;
  }

  range(start, end) {
    const range = new Range();
    range.setStart(...this.#place(start));
    range.setEnd(...this.#place(end));
    return range;
  }

  #place(offset) {
    const [node, start] = this.#nodes.findLast(([, begin]) => begin <= offset) ?? this.#nodes[0];
    return [node, Math.min(offset - start, node.data.length)];
  }
}

/** [start, end] offsets of each timed word in the text, or null for a word that does not occur in it. */
export function alignWords(text, words) {
  const haystack = text.toLowerCase();
  let from = 0;
  return words.map(({ t }) => {
    const needle = t.trim().toLowerCase().replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "");
    const at = needle ? haystack.indexOf(needle, from) : -1;
    if (at < 0 || at - from > MAX_GAP) return null;
    from = at + needle.length;
    return [at, from];
  });
}

/** Index of the word spoken at `seconds`: the last one that has begun, -1 before the first. */
export function wordAt(words, seconds) {
  let [low, high] = [0, words.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (words[middle].s <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export class Highlighter {
  #elements = [];
  #words = [];
  #ranges = [];
  #shown = null;
  #mark = globalThis.Highlight ? new Highlight() : null;
  #overlay = null; // for browsers without the CSS Custom Highlight API

  constructor(container) {
    if (this.#mark) {
      CSS.highlights.set("spoken-word", this.#mark);
      return;
    }
    this.#overlay = document.createElement("div");
    this.#overlay.className = "word-overlay";
    this.#overlay.hidden = true;
    container.append(this.#overlay);
  }

  showBlock(elements) {
    for (const element of this.#elements) element.classList.remove("is-spoken");
    this.#elements = elements;
    for (const element of elements) element.classList.add("is-spoken");
    this.setWords([]);
  }

  setWords(words) {
    this.#words = words;
    const text = words.length && this.#elements.length ? new SpokenText(this.#elements) : null;
    this.#ranges = text ? alignWords(text.text, words).map((span) => span && text.range(...span)) : [];
    this.#showRange(null);
  }

  get hasWords() {
    return this.#words.length > 0;
  }

  at(seconds) {
    const index = wordAt(this.#words, seconds);
    // At a word that is not in the text, the highlight stays on the word before it.
    const range = this.#ranges.slice(0, index + 1).findLast((candidate) => candidate) ?? null;
    if (range !== this.#shown) this.#showRange(range);
  }

  #showRange(range) {
    this.#shown = range;
    if (this.#mark) {
      this.#mark.clear();
      if (range) this.#mark.add(range);
    } else {
      this.#positionOverlay(range);
    }
  }

  #positionOverlay(range) {
    const overlay = this.#overlay;
    overlay.hidden = !range;
    if (!range) return;
    const box = range.getBoundingClientRect();
    const origin = overlay.offsetParent.getBoundingClientRect();
    overlay.style.transform = `translate(${box.left - origin.left}px, ${box.top - origin.top}px)`;
    overlay.style.width = `${box.width}px`;
    overlay.style.height = `${box.height}px`;
  }
}
