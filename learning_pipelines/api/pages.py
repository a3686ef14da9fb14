"""The pages and the files for browsers: /, /annotate, /training, /executions, /reports, and everything below /api/learning/web/.

Belongs here: paths, headers, the frame that all pages share. Not here: what they show (web/), sessions (sessions.py).
"""

from __future__ import annotations

import html
from typing import Any

from fastapi import FastAPI, Request
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from learning_pipelines.api.openapi import BASE
from learning_pipelines.settings import Settings
from learning_pipelines.web import FILES, PAGES

WEB = f"{BASE}/web"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="learning:dagster" content="{dagster}">
<title>{title} · learning_pipelines</title>
<link rel="icon" href="{web}/ui/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{web}/ui/ui.css">
<script type="module" src="{web}/pages/{page}.js"></script>
</head>
<body>
<noscript>This page needs JavaScript. Every number it shows is an answer of the routes at /docs.</noscript>
</body>
</html>
"""


class _Files(StaticFiles):
    """Files that pages of any origin may load, as modules and as images; browsers ask every time whether they changed (an ETag answers)."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        if str(args[0]).endswith(".html"):  # also where it only says that nothing changed: the browser takes these headers over
            response.headers["Content-Security-Policy"] = _POLICY
        return response


def install(app: FastAPI) -> None:
    """Adds the pages and their files."""
    settings: Settings = app.state.service.settings
    app.mount(WEB, GZipMiddleware(_Files(directory=FILES), minimum_size=1_000), name="web")
    for path, page in PAGES.items():
        app.add_api_route(path, _page(page, settings), include_in_schema=False, response_class=HTMLResponse)


def _page(page: str, settings: Settings) -> Any:
    text = _FRAME.format(title=page.capitalize(), page=page, web=WEB, dagster=html.escape(settings.dagster_link))

    async def shown(_: Request) -> HTMLResponse:
        return HTMLResponse(text, headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"})

    return shown
