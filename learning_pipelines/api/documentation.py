"""The page /docs: Swagger UI out of the package fastapi-offline, so that it shows without anything from elsewhere.

Belongs here: the page and its files. Not here: the document it shows (openapi.py).
"""

from __future__ import annotations

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.responses import HTMLResponse

_FILES = "/docs/files"


def install(app: FastAPI) -> None:
    """Adds the page. Its application was made with docs_url and redoc_url None."""
    app.mount(_FILES, StaticFiles(directory=Path(fastapi_offline.__file__).parent / "static"), name="docs-files")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json", title="learning_pipelines", swagger_js_url=f"{_FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{_FILES}/swagger-ui.css", swagger_favicon_url=f"{_FILES}/favicon.png",
        )  # fmt: skip
