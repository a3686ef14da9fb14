"""A report in the artifact store: the page, Markdown and JSON, below reports/<organization>/.

Belongs here: paths and writing. Not here: what is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from learning_pipelines.examples.export_files import whole_file
from learning_pipelines.reports.markdown import week_markdown
from learning_pipelines.reports.page import week_html

FORMATS = ("html", "json", "md")


def report_path(artifacts: str, organization: str, week: str, suffix: str = "md") -> str:
    """Where a report of a week is kept below the artifact store."""
    return f"{artifacts.rstrip('/')}/reports/{organization}/{week}.{suffix}"


def content(numbers: Mapping[str, Any], suffix: str, link: str) -> bytes:
    """A report in one of the FORMATS; `link` is the address of the pages. The same numbers give the same bytes."""
    if suffix == "html":
        return week_html(numbers, link).encode()
    if suffix == "md":
        return week_markdown(numbers).encode()
    return orjson.dumps(numbers, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def write_report(artifacts: str, numbers: Mapping[str, Any], link: str) -> dict[str, str]:
    """Stores all formats in the artifact store (an fsspec URL) and returns their paths by format."""
    paths = {}
    for suffix in FORMATS:
        paths[suffix] = report_path(artifacts, numbers["organization"], numbers["week"], suffix)
        with whole_file(paths[suffix], make_folders=True) as file:
            file.write(content(numbers, suffix, link))
    return paths
