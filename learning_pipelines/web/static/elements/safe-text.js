/**
 * Answers as elements: paragraphs, headings, lists, code, bold and links of the Markdown that agents write. No markup is ever parsed: every
 * character of the text ends in a text node, and links lead to http(s) only.
 *
 * Belongs here: from text to elements. Not here: where the text is from, looks.
 */

import { h } from "../ui/dom.js";

const LONGEST = 100_000; // longer texts are shown as they are
const INLINE = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/g;

/** The elements of a text. @param {string} text @returns {HTMLElement[]} */
export function rendered(text) {
  if (text.length > LONGEST) return [h("p", { class: "plain", dir: "auto" }, text)];
  const parts = text.split(/^```[^\n]*\n([\s\S]*?)^```[ \t]*$/m);
  return parts.flatMap((part, place) => (place % 2 ? [h("pre", { dir: "ltr", tabindex: "0" }, h("code", {}, part))] : blocks(part)));
}

function blocks(text) {
  return text.split(/\n\s*\n/).filter((block) => block.trim()).map((block) => {
    const lines = block.trim().split("\n");
    for (const [tag, mark] of [["ul", /^\s*[-*•]\s+/], ["ol", /^\s*\d+[.)]\s+/]]) {
      if (lines.every((line) => mark.test(line))) return h(tag, { dir: "auto" }, lines.map((line) => h("li", {}, inline(line.replace(mark, "")))));
    }
    const heading = lines.length === 1 && /^#{1,6}\s+(.+)$/.exec(lines[0]);
    return heading ? h("p", { dir: "auto" }, h("strong", {}, inline(heading[1]))) : h("p", { class: "plain", dir: "auto" }, inline(lines.join("\n")));
  });
}

function inline(text) {
  const found = [];
  let from = 0;
  for (const match of text.matchAll(INLINE)) {
    const [all, code, bold, label, address] = match;
    found.push(text.slice(from, match.index));
    found.push(code ? h("code", {}, code) : bold ? h("strong", {}, bold) : link(label, address));
    from = match.index + all.length;
  }
  return [...found, text.slice(from)];
}

/** A link to somewhere else; text alone where the address is not one of http(s). */
export function link(label, address) {
  const known = URL.canParse(address ?? "") && /^https?:$/.test(new URL(address).protocol);
  return known ? h("a", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" }, label) : label;
}
