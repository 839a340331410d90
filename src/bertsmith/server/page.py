"""The page: its modules and its style, as they lie in the package. What a client says never becomes a path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI, Response

from bertsmith.explain.self_contained import modules_from, read_asset

FIRST = "live.js"
STYLE = "page.css"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Every module is named at once, so that none waits for the one that imports it.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>bertsmith</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page/{style}">
{modules}
<script type="module" src="page/{first}"></script>
</head>
<body>
<noscript>This page draws itself with JavaScript, which is switched off here.</noscript>
</body>
</html>
"""


def page_files() -> dict[str, tuple[str, bytes]]:
    """All there is of the page: path -> type and content."""
    names = modules_from(FIRST)
    preloads = "\n".join(f'<link rel="modulepreload" href="page/{name}">' for name in names)
    html = _PAGE.format(style=STYLE, modules=preloads, first=FIRST)
    found = {f"/page/{name}": ("text/javascript", read_asset(name).encode()) for name in names}
    return {"/": ("text/html", html.encode()), f"/page/{STYLE}": ("text/css", read_asset(STYLE).encode()), **found}


def add_page(app: FastAPI, content: Mapping[str, tuple[str, bytes]]) -> None:
    """A route for each file of the page, and for nothing else."""
    for path, (kind, file) in content.items():
        app.add_api_route(path, _giving(kind, file), methods=["GET"], include_in_schema=False)


def _giving(kind: str, content: bytes) -> Callable[[], Awaitable[Response]]:
    async def give() -> Response:
        return Response(content, media_type=kind, headers={"Content-Security-Policy": POLICY})

    return give
