"""What a browser gets: custom elements, the JavaScript client, React hooks, pages. Plain modules, served as they lie here.

Belongs here: files for browsers and where they are. Not here: routes that serve them (api/pages.py), numbers (the API's routes).
"""

from __future__ import annotations

from pathlib import Path

FILES = Path(__file__).parent / "static"
"""Served below /api/learning/web/: elements/ and client/ for pages of others, ui/, pages/ and vendor/ for the project's own."""

PAGES = {"/": "dashboard", "/annotate": "annotate", "/training": "training", "/executions": "executions", "/reports": "reports"}
"""Paths of the pages, and the module in pages/ that fills each."""
