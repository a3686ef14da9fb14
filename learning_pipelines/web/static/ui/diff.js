/**
 * How two texts differ, word by word, and how that is shown.
 *
 * Belongs here: comparing texts as data, the element that shows it. Not here: where the texts come from, editors.
 *
 * The shortest edit script of Myers (An O(ND) Difference Algorithm, 1986) over words and marks. Work is bounded: what differs too much, or is
 * too long, is one removed and one added stretch between what both texts begin and end with.
 */

import { h } from "./dom.js";

// Words with their marks, signs of scripts that write without spaces one by one, an emoji with what belongs to it, white space, any other sign.
const DENSE = "[\\p{sc=Han}\\p{sc=Hiragana}\\p{sc=Katakana}\\p{sc=Thai}]";
const EMOJI = "\\p{Extended_Pictographic}[\\u200d\\ufe0f\\p{Extended_Pictographic}\\u{1f3fb}-\\u{1f3ff}]*";
const TOKEN = new RegExp(`\\s+|${DENSE}\\p{M}*|${EMOJI}|(?:(?!${DENSE})[\\p{L}\\p{M}\\p{N}_])+|[^]`, "gu");
const MOST_CHARACTERS = 200_000; // of what is left of one text without the common beginning and end
const MOST_EDITS = 1_000;
const MOST_WORK = 20_000_000;
const SHOWN_OF_PART = 20_000;
const SHOWN_IN_ALL = 100_000;

/** @typedef {{kind: "same" | "removed" | "added", text: string}} Part */

/**
 * The parts in order; same and removed joined give `before`, same and added joined give `after`. Of a change, what is removed comes first.
 *
 * @param {string} before @param {string} after @returns {Part[]}
 */
export function diffWords(before, after) {
  const [head, tail] = commonEnds(before, after);
  const [former, latter] = [before.slice(head, before.length - tail), after.slice(head, after.length - tail)];
  const parts = [{ kind: "same", text: before.slice(0, head) }];
  if (Math.max(former.length, latter.length) > MOST_CHARACTERS) parts.push({ kind: "removed", text: former }, { kind: "added", text: latter });
  else parts.push(...compared(former.match(TOKEN) ?? [], latter.match(TOKEN) ?? []));
  parts.push({ kind: "same", text: before.slice(before.length - tail) });
  return tidy(parts);
}

/**
 * The parts as an element: <del> and <ins>, announced as such by style rules of .diff. Very long parts are shortened in their middle, which says so.
 *
 * @param {Part[]} parts @returns {HTMLElement}
 */
export function showDiff(parts) {
  const each = Math.max(200, Math.min(SHOWN_OF_PART, Math.floor(SHOWN_IN_ALL / Math.max(1, parts.length))));
  const tags = { same: "span", removed: "del", added: "ins" };
  return h("div", { class: "diff", dir: "auto" }, parts.map(({ kind, text }) => h(tags[kind], {}, shortened(text, each))));
}

function shortened(text, most) {
  if (text.length <= most) return text;
  const [start, end] = [whole(text, most >> 1), whole(text, text.length - (most >> 1))];
  const left = new Intl.NumberFormat("en").format(end - start);
  return [text.slice(0, start), h("span", { class: "hint" }, ` … ${left} characters not shown … `), text.slice(end)];
}

/** A place that does not cut a surrogate pair. */
function whole(text, place) {
  const code = text.charCodeAt(place);
  return code >= 0xdc00 && code <= 0xdfff ? place - 1 : place;
}

/** How many characters both begin and end with, cut back to where white space begins so that no word is torn. */
function commonEnds(before, after) {
  const shortest = Math.min(before.length, after.length);
  let head = 0;
  while (head < shortest && before.charCodeAt(head) === after.charCodeAt(head)) head += 1;
  if (head === before.length && head === after.length) return [head, 0];
  while (head > 0 && !/\s/.test(before[head - 1])) head -= 1;
  let tail = 0;
  while (tail < shortest - head && before.charCodeAt(before.length - 1 - tail) === after.charCodeAt(after.length - 1 - tail)) tail += 1;
  while (tail > 0 && !/\s/.test(before[before.length - tail])) tail -= 1;
  return [head, tail];
}

function compared(former, latter) {
  const most = Math.min(MOST_EDITS, Math.floor(MOST_WORK / Math.max(1, 2 * (former.length + latter.length))));
  const trace = editTrace(former, latter, most);
  if (trace === null) return [{ kind: "removed", text: former.join("") }, { kind: "added", text: latter.join("") }];
  return walkedBack(former, latter, trace);
}

/** For each number of edits, how far along `former` every diagonal gets; null if more than `most` are needed. */
function editTrace(former, latter, most) {
  const [n, m] = [former.length, latter.length];
  const bound = Math.min(most, n + m);
  const reach = new Int32Array(2 * bound + 3);
  const trace = [];
  for (let edits = 0; edits <= bound; edits += 1) {
    trace.push(reach.slice(bound + 1 - edits - 1, bound + 1 + edits + 2));
    for (let k = -edits; k <= edits; k += 2) {
      const at = bound + 1 + k;
      let x = k === -edits || (k !== edits && reach[at - 1] < reach[at + 1]) ? reach[at + 1] : reach[at - 1] + 1;
      while (x < n && x - k < m && former[x] === latter[x - k]) x += 1;
      reach[at] = x;
      if (x >= n && x - k >= m) return trace;
    }
  }
  return null;
}

function walkedBack(former, latter, trace) {
  const parts = [];
  let [x, y] = [former.length, latter.length];
  for (let edits = trace.length - 1; edits >= 0; edits -= 1) {
    const before = (k) => trace[edits][k + edits + 1]; // as it was before this edit
    const k = x - y;
    const down = k === -edits || (k !== edits && before(k - 1) < before(k + 1));
    const fromX = edits === 0 ? 0 : before(down ? k + 1 : k - 1);
    const fromY = edits === 0 ? 0 : fromX - (down ? k + 1 : k - 1);
    const startX = edits === 0 ? 0 : down ? fromX : fromX + 1;
    if (x > startX) parts.push({ kind: "same", text: former.slice(startX, x).join("") });
    if (edits > 0) parts.push(down ? { kind: "added", text: latter[fromY] } : { kind: "removed", text: former[fromX] });
    [x, y] = [fromX, fromY];
  }
  return parts.reverse();
}

/** Neighbours of one kind joined; white space alone between two changes belongs to the change; what is removed comes first. */
function tidy(parts) {
  const tidied = [];
  let change = { removed: "", added: "" };
  const close = () => {
    if (change.removed) tidied.push({ kind: "removed", text: change.removed });
    if (change.added) tidied.push({ kind: "added", text: change.added });
    change = { removed: "", added: "" };
  };
  const kept = parts.filter((part) => part.text !== "");
  kept.forEach((part, place) => {
    const between = [kept[place - 1], kept[place + 1]].every((one) => one && one.kind !== "same");
    const inside = part.kind === "same" && between && !/\S/.test(part.text);
    if (part.kind !== "same") change[part.kind] += part.text;
    else if (inside) change = { removed: change.removed + part.text, added: change.added + part.text };
    else {
      close();
      const last = tidied.at(-1);
      if (last?.kind === "same") last.text += part.text;
      else tidied.push({ ...part });
    }
  });
  close();
  return tidied;
}
