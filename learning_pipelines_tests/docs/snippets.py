"""What stands in the pages of docs/ as code, and how each piece is meant to be tried.

A comment directly above a block says so: `<!-- not run: reason -->`, `<!-- slow -->`, `<!-- example -->` (something shown, no code). Without one, shell
is run in a home of its own (in the service's tests where it holds curl), Python and JavaScript against a running service.

Belongs here: reading pages. Not here: running anything (test_snippets.py, test_shell.py), generated pages (reference.py, diagram.py).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted((PROJECT / "docs").glob("*.md"))
CODE = ("bash", "python", "js", "jsx", "html", "sql")
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"^<!-- (.+) -->\n\Z", re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """A block of code on a page. `reason`: why it is not run, None where it is."""

    page: str
    line: int
    language: str
    text: str
    slow: bool
    reason: str | None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def asks_service(self) -> bool:
        return "curl" in self.text

    def commands(self) -> Iterator[list[str]]:
        """The commands of a shell block, one after the other, as words; continuation lines joined, comments and here-documents left out."""
        plain = re.sub(r"<<'EOF'[^\n]*\n.*?^EOF$", "", self.text, flags=re.MULTILINE | re.DOTALL)
        for line in re.sub(r"\\\n", " ", plain).split("\n"):
            if line.startswith(("learning-pipelines", "make", "docker", "python", "duckdb", "kubectl", "pip")):
                yield shlex.split(line, comments=True)


def blocks(page: Path) -> Iterator[Snippet]:
    """Every block of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        mark = _MARK.search(text[: found.start()])
        said = mark[1] if mark else ""
        reason = said.removeprefix("not run: ") if said.startswith("not run: ") else None
        language = "text" if said == "example" else found[1]
        yield Snippet(page.name, text.count("\n", 0, found.start()) + 1, language, found[2], said == "slow", reason)


def snippets(*languages: str) -> list[Snippet]:
    """The code of all pages, of these languages or of all."""
    return [one for page in PAGES for one in blocks(page) if one.language in (languages or CODE)]
