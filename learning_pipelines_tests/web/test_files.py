"""Rules for everything that browsers get, checked by reading the files.

Belongs here: no markup parsed, nothing the pages' policy would refuse, nothing from elsewhere, sizes, syntax. Not here: pages at work (browser/).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from learning_pipelines.web import FILES, PAGES

MOST_BYTES = 150_000
WRITTEN = sorted(path for path in FILES.rglob("*") if path.is_file() and "vendor" not in path.parts)
SCRIPTS = [path for path in WRITTEN if path.suffix == ".js"]
_PARSES = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML|srcdoc|\beval\(|new Function")
_REFUSED = re.compile(r"""\bstyle\s*:|setAttribute\(\s*["'](?:style|on)|\bstyle="|javascript:""")
_CSS_TEXT = re.compile(r"`[^`]*`", re.DOTALL)
_ELSEWHERE = re.compile(r"""["'`(](?:https?:)?//[\w.-]+\.\w+""")
_IMPORTED = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["'](\.[^"']+)["']""")
_MARKUP_COMMENT = re.compile(r"/\*.*?\*/|<!--.*?-->", re.DOTALL)
NAMES = ("http://www.w3.org",)
"""Of a namespace; nothing is fetched from there."""

_READ = """for (const name of NAMES) {
  await import(name).catch((error) => { if (error instanceof SyntaxError) { console.log(name, String(error)); process.exit(1); } }); // no document here
}
console.log("read");
process.exit(0);
"""


def code(path: Path) -> str:
    """A file's text without its block comments."""
    return _MARKUP_COMMENT.sub("", path.read_text(encoding="utf-8"))


def found(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [f"{path.relative_to(FILES)}: {hit}" for path in paths for hit in pattern.findall(code(path))]


def test_nothing_parses_markup_out_of_data() -> None:
    assert len(SCRIPTS) > 10
    assert found(_PARSES, SCRIPTS) == []


def test_no_element_is_made_with_a_style_attribute_or_a_listener_in_markup() -> None:
    texts = {path: _CSS_TEXT.sub("", code(path)) for path in SCRIPTS}
    assert [(path.name, hit) for path, text in texts.items() for hit in _REFUSED.findall(text)] == []


def test_nothing_names_another_origin() -> None:
    assert [hit for hit in found(_ELSEWHERE, WRITTEN) if not hit.endswith(NAMES)] == []


def loaded(path: Path) -> set[Path]:
    """A module and what it imports, whatever imports only when it is needed left out."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += list(imports(module))
    return seen


def imports(module: Path) -> Iterator[Path]:
    for statement in re.findall(r"""(?:^|\n)(?:import|export)\b[^;]*?["']\.[^"']+["']""", code(module)):
        yield (module.parent / _IMPORTED.findall(statement)[0]).resolve()


@pytest.mark.parametrize("page", sorted(PAGES.values()))
def test_a_page_stays_small(page: str) -> None:
    files = {*loaded(FILES / "pages" / f"{page}.js"), FILES / "ui" / "ui.css", FILES / "ui" / "icon.svg"}
    sizes = {str(path.relative_to(FILES)): path.stat().st_size for path in files}
    assert not any("vendor" in path.parts for path in files), "the library of charts is loaded when it is first needed"
    assert sum(sizes.values()) <= MOST_BYTES, sorted(sizes.items(), key=lambda one: -one[1])


def test_every_script_is_a_module_that_can_be_read(tmp_path: Path) -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("node is not installed: nothing else here reads JavaScript.")
    shutil.copytree(FILES, tmp_path / "static")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    names = json.dumps([f"./static/{path.relative_to(FILES)}" for path in SCRIPTS])
    (tmp_path / "read.js").write_text(_READ.replace("NAMES", names))
    done = subprocess.run([node, "read.js"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "read"), done.stdout + done.stderr
