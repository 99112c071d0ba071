// Text files: decoding of dropped or opened files, with error messages for unsuitable ones.

export const MAX_CHARACTERS = 500_000;
const MAX_BYTES = 2_000_000; // 500,000 characters, four bytes each
const EXTENSIONS = /\.(txt|text|md|markdown|mdown)$/i;
const MARKDOWN = /\.(md|markdown|mdown)$/i;

export class UnreadableFile extends Error {}

function decode(bytes) {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (first === 0xfe && second === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes); // the encoding of older Windows editors
  }
}

/** Returns {content, title, markdown}, or throws UnreadableFile with a message for the user. */
export async function readTextFile(file) {
  if (!EXTENSIONS.test(file.name) && !file.type.startsWith("text/")) {
    throw new UnreadableFile(`“${file.name}” is not a text file. Yapit reads .txt and .md.`);
  }
  if (file.size > MAX_BYTES) {
    throw new UnreadableFile(`“${file.name}” is too large: ${(file.size / 1e6).toFixed(1)} MB. The limit is 500,000 characters.`);
  }
  const content = decode(new Uint8Array(await file.arrayBuffer()));
  if (content.includes("\0")) throw new UnreadableFile(`“${file.name}” contains something other than text.`);
  if (!content.trim()) throw new UnreadableFile(`“${file.name}” is empty.`);
  return { content, title: file.name.replace(/\.[^.]+$/, ""), markdown: MARKDOWN.test(file.name) };
}

/** Error message for a text that cannot become a document, or null. Characters are counted as code points, as on the server. */
export function contentProblem(content) {
  if (!content.trim()) return "There is no text yet.";
  const characters = countCharacters(content);
  if (characters > MAX_CHARACTERS) {
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
