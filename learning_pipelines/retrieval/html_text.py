"""HTML into Markdown: headings, paragraphs, lists, tables, code; by the standard library's parser.

Belongs here: telling HTML from other text, and which tags mean which structure. Not here: Markdown's own blocks (blocks.py).

The parser takes anything: unclosed, misnested and unknown tags change the structure, never whether there is a text.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_STARTS = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:(?!<!--|-->).)*-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_CLOSED = re.compile(r"</(?:p|div|li|ul|ol|td|tr|table|h[1-6]|section|article|span)\s*>", re.I)
_MARKDOWN = re.compile(r"^(?:#{1,6} |```)", re.M)
_LOOK_AT = 100_000

_BLOCKS = frozenset(
    ("p", "div", "section", "article", "main", "aside", "header", "footer", "nav", "ul", "ol", "dl", "dt", "dd", "figure", "figcaption", "form", "fieldset",
     "address", "details", "summary", "blockquote", "center", "table", "body", "html", "hr", "option", "select")
)  # fmt: skip
_DROPPED = frozenset(("script", "style", "noscript", "template", "svg", "math", "iframe", "object"))
_PARSED = frozenset(("noscript", "template", "svg", "math", "object"))
"""Of these what holds other tags: left open, they would take the rest of the page with them."""
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}


def is_html(text: str) -> bool:
    """A page, or a fragment with closed block tags that is not Markdown with a few tags in it."""
    if _STARTS.match(text):
        return True
    closed = len(_CLOSED.findall(text, 0, _LOOK_AT))
    fragment = closed >= 1 and text.lstrip().startswith("<") and not _MARKDOWN.search(text, 0, _LOOK_AT)
    return fragment or closed > max(10, min(len(text), _LOOK_AT) / 200)


def to_markdown(text: str) -> str:
    """The text of a page with its structure. Scripts, styles and the head are left out (its title becomes the first heading)."""
    dropped = _DROPPED
    while True:
        reader = _Reader(dropped)
        reader.feed(text)
        reader.close()
        if reader.open not in _PARSED:
            return reader.text()
        dropped = dropped - {reader.open}


class _Reader(HTMLParser):
    """`open`: the dropped tag that was opened last and not closed yet."""

    def __init__(self, dropped: frozenset[str]) -> None:
        super().__init__(convert_charrefs=True)
        self._all_dropped = dropped
        self._lines: list[str] = []
        self._line: list[str] = []
        self.open: str | None = None
        self._pre = False
        self._lists: list[list[int]] = []
        self._rows: list[list[str]] | None = None

    def text(self) -> str:
        self._end_table()
        self._break()
        return "\n".join(self._lines)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.open is not None:
            return
        if tag in self._all_dropped:
            self.open = tag
        elif tag == "br":
            self._end_line()
        elif tag in _HEADINGS or tag == "title":
            self._break()
            self._line.append("# " if tag == "title" else f"{_HEADINGS[tag]} ")
        elif tag == "pre":
            self._break()
            self._lines.append("```")
            self._pre = True
        elif tag in ("ul", "ol"):
            self._end_line() if self._lists else self._break()
            self._lists.append([0 if tag == "ul" else 1])
        elif tag == "li":
            self._end_line()
            self._line.append(self._mark())
        elif tag == "table":
            self._end_table()
            self._break()
            self._rows = []
        elif tag == "tr" and self._rows is not None:
            self._flush_cell()
            self._rows.append([])
        elif tag in ("td", "th") and self._rows is not None:
            self._cell()
        elif tag == "tr" or (tag in _BLOCKS and self._rows is not None):
            self._line.append(" ")
        elif tag in _BLOCKS:
            self._break()

    def handle_endtag(self, tag: str) -> None:
        if self.open is not None:
            if tag == self.open:
                self.open = None
        elif tag == "pre" and self._pre:
            self._end_line()
            self._lines += ["```", ""]
            self._pre = False
        elif tag in ("ul", "ol"):
            self._lists = self._lists[:-1]
            self._end_line() if self._lists else self._break()
        elif tag == "table":
            self._end_table()
        elif tag in ("tr", "td", "th") and self._rows is not None:
            self._flush_cell()
        elif tag in _HEADINGS or tag == "title" or tag in _BLOCKS:
            self._break()

    def handle_data(self, data: str) -> None:
        if self.open is not None:
            return
        if self._pre:
            *whole, rest = data.split("\n")
            for line in whole:
                self._line.append(line)
                self._end_line()
            self._line.append(rest)
        else:
            self._line.append(re.sub(r"\s+", " ", data))

    def _mark(self) -> str:
        if not self._lists:
            return "- "
        indent, current = "   " * min(len(self._lists) - 1, 8), self._lists[-1]
        if current[0] == 0:
            return f"{indent}- "
        current[0] += 1
        return f"{indent}{current[0] - 1}. "

    def _in_cell(self) -> bool:
        return self._rows is not None and bool(self._rows) and bool(self._rows[-1])

    def _cell(self) -> None:
        self._flush_cell()
        if self._rows is not None:
            if not self._rows:
                self._rows.append([])
            self._rows[-1].append("")

    def _flush_cell(self) -> None:
        said = " ".join("".join(self._line).split()).replace("|", "\\|")
        self._line = []
        if not said:
            return
        if self._in_cell():
            assert self._rows is not None
            self._rows[-1][-1] = f"{self._rows[-1][-1]} {said}".strip()
        else:  # between a table's cells: a caption, or text that does not belong there
            self._lines += [said, ""]

    def _end_line(self) -> None:
        if self._rows is not None:
            self._flush_cell()
            return
        line = "".join(self._line)
        line = line.rstrip() if self._pre else line.rstrip().replace("\xa0", " ")
        self._line = []
        if line.strip() or self._pre:
            self._lines.append(line if self._pre or line.lstrip()[:1] in "-0123456789" else line.strip())

    def _break(self) -> None:
        self._end_line()
        if self._rows is None and self._lines and self._lines[-1] and not self._pre:
            self._lines.append("")

    def _end_table(self) -> None:
        if self._rows is None:
            return
        self._flush_cell()
        rows, self._rows = [row for row in self._rows if any(row)], None
        if not rows:
            return
        width = max(map(len, rows))
        full = [f"| {' | '.join([*row, *[''] * (width - len(row))])} |" for row in rows]
        self._lines += [full[0], f"|{' --- |' * width}", *full[1:], ""]
