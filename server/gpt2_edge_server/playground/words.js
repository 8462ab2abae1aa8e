/** Figures and tokens as people read them. */

/**
 * A probability: "12.3%", and what is nearly all or nothing as such.
 * @param {number} probability
 */
export function percent(probability) {
  if (probability > 0.999) return ">99.9%";
  if (probability < 0.001) return "<0.1%";
  return `${(100 * probability).toFixed(1)}%`;
}

/** @param {number} count @param {string} one @param {string} many */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return bytes >= 1e3 ? `${(bytes / 1e3).toFixed(0)} kB` : `${bytes} B`;
}

/** 124439808 as "124 million". @param {number} count */
export function large(count) {
  if (count >= 1e9) return `${(count / 1e9).toFixed(2)} billion`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} million`;
  return count.toLocaleString("en");
}

/** What is seen of characters that are not. @type {Record<string, string>} */
const SIGNS = { " ": "·", "\n": "↵", "\t": "→" };
/** Text of which nothing is seen: other spaces, controls, joiners, marks without a letter. */
const UNSEEN = /^[\s\p{C}\p{M}]+$/u;

/**
 * A token to look at: spaces and line breaks as signs, set apart from its letters; what else would
 * not be seen by its code points.
 * @param {string} text
 * @returns {(string | HTMLElement)[]}
 */
export function visible(text) {
  if (!text) return [sign("∅")];
  return text.split(/([ \n\t])/).map((part) => {
    if (part in SIGNS) return sign(SIGNS[part] ?? "");
    return UNSEEN.test(part) ? sign(codePoints(part)) : part;
  });
}

/** Such as "U+00A0". @param {string} text */
function codePoints(text) {
  const hexadecimal = (/** @type {string} */ character) =>
    (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
  return Array.from(text, (character) => `U+${hexadecimal(character)}`).join(" ");
}

/** @param {string} text */
function sign(text) {
  const element = document.createElement("span");
  element.className = "sign";
  element.textContent = text;
  return element;
}

/** A token to be read aloud. @param {string} text */
export function spoken(text) {
  const word = text.trim();
  if (word) return UNSEEN.test(word) ? "an invisible character" : word;
  if (/\n/.test(text)) return "line break";
  return text ? "space" : "nothing";
}

/** How many words there are. @param {string} text */
export function wordCount(text) {
  return text.match(/[\p{L}\p{N}]+(?:['’.-][\p{L}\p{N}]+)*/gu)?.length ?? 0;
}
