// Reads a text file that was dropped or opened; says in words why one is refused.

export const MOST_CHARACTERS = 500_000;
const MOST_BYTES = 2_000_000; // 500,000 characters, four bytes each
const ENDINGS = /\.(txt|text|md|markdown|mdown)$/i;
const MARKDOWN = /\.(md|markdown|mdown)$/i;

export class NotReadable extends Error {}

function decode(bytes) {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (first === 0xfe && second === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes); // what old editors wrote
  }
}

/** Gives {content, title, markdown}, or throws NotReadable with a sentence for the reader. */
export async function readTextFile(file) {
  if (!ENDINGS.test(file.name) && !file.type.startsWith("text/")) {
    throw new NotReadable(`“${file.name}” is not a text file. Yapit reads .txt and .md.`);
  }
  if (file.size > MOST_BYTES) {
    throw new NotReadable(`“${file.name}” is too large: ${(file.size / 1e6).toFixed(1)} MB. The limit is 500,000 characters.`);
  }
  const content = decode(new Uint8Array(await file.arrayBuffer()));
  if (content.includes("\0")) throw new NotReadable(`“${file.name}” holds something other than text.`);
  if (!content.trim()) throw new NotReadable(`“${file.name}” is empty.`);
  return { content, title: file.name.replace(/\.[^.]+$/, ""), markdown: MARKDOWN.test(file.name) };
}

/** Why this text cannot become a document, or null. Characters are code points, as the server counts them. */
export function whyNot(content) {
  if (!content.trim()) return "There is no text yet.";
  const characters = countCharacters(content);
  if (characters > MOST_CHARACTERS) {
    return `That is ${characters.toLocaleString("en")} characters; the limit is 500,000.`;
  }
  return null;
}

export function countCharacters(content) {
  let pairs = 0;
  for (let i = 0; i < content.length; i += 1) {
    const unit = content.charCodeAt(i);
    if (unit >= 0xd800 && unit < 0xdc00) pairs += 1;
  }
  return content.length - pairs;
}
