/** How two texts differ by words, in few bytes; ui/diff.js, for the pages, is finer. */

const WORD = /\s+|[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]|[^\s\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]+/gu;
const MOST_PAIRS = 4e6, SHOWN = 2000;

/** [tag, text] in order. What is too long to compare is one removed and one added stretch. */
export function differences(before, after) {
  const a = before.match(WORD) ?? [], b = after.match(WORD) ?? [];
  let head = 0, n = a.length, m = b.length;
  while (head < n && head < m && a[head] === b[head]) head += 1;
  while (n > head && m > head && a[n - 1] === b[m - 1]) n -= 1, m -= 1;
  const parts = [["span", a.slice(0, head).join("")]];
  const add = (tag, text) => (parts.at(-1)[0] === tag ? (parts.at(-1)[1] += text) : parts.push([tag, text]));
  const width = m - head + 1;
  if ((n - head + 1) * width > MOST_PAIRS) add("del", a.slice(head, n).join("")), add("ins", b.slice(head, m).join(""));
  else {
    const common = new Uint16Array((n - head + 1) * width);
    const at = (i, j) => (i - head) * width + j - head;
    for (let i = n - 1; i >= head; i -= 1) {
      for (let j = m - 1; j >= head; j -= 1) {
        common[at(i, j)] = a[i] === b[j] ? common[at(i + 1, j + 1)] + 1 : Math.max(common[at(i + 1, j)], common[at(i, j + 1)]);
      }
    }
    for (let i = head, j = head; i < n || j < m; ) {
      if (i < n && j < m && a[i] === b[j]) add("span", a[i++]), j++;
      else if (j >= m || (i < n && common[at(i + 1, j)] >= common[at(i, j + 1)])) add("del", a[i++]);
      else add("ins", b[j++]);
    }
  }
  add("span", a.slice(n).join(""));
  return parts;
}

export const shown = (text) => (text.length > SHOWN ? `${text.slice(0, SHOWN)} … (${text.length})` : text);
