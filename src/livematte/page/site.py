"""The application: which address answers what. Imported only when a page is served (starlette is an extra)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from importlib import resources as package_files
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from livematte import __version__
from livematte.page.answers import Refused, route
from livematte.page.file_routes import FileRoutes
from livematte.page.guard import Access, Guard
from livematte.page.live_routes import LiveRoutes
from livematte.page.store import MOST_CLIP_BYTES, MOST_FILES, MOST_PHOTO_BYTES
from livematte.presets import preset_files, preset_title, read_layer
from livematte.sources.inputs import PICTURE_SUFFIXES, VIDEO_SUFFIXES

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def build_site(access: Access, files: FileRoutes, live: LiveRoutes | None, facts: Mapping[str, object]) -> Guard:
    """The ASGI application behind its guard. `facts`: what the page is told at its start, besides what it can do."""
    static = _static_files()

    async def page(request: Request) -> Response:
        return _file(static, "index.html")

    async def obs(request: Request) -> Response:
        if live is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no live picture here: start 'livematte webcam --page'.")
        return _file(static, "obs.html")

    async def part(request: Request) -> Response:
        return _file(static, request.path_params["name"])

    async def info(request: Request) -> Response:
        return JSONResponse(_about(live) | dict(facts))

    async def unknown(request: Request) -> Response:
        raise Refused(HTTPStatus.NOT_FOUND, "there is nothing at this address.")

    table: list[Route] = [
        route("/", page, "GET"),
        route("/obs", obs, "GET"),
        route("/static/{name}", part, "GET"),
        route("/api/info", info, "GET"),
        *files.routes(),
        *(live.routes() if live is not None else ()),
        route("/{rest:path}", unknown, "GET", "POST", "DELETE", "PUT"),
    ]
    return Guard(Starlette(routes=table), access)


def _static_files() -> dict[str, bytes]:
    """Every file of the page, read once: a name that is not among them does not exist, whatever it is made of."""
    folder = package_files.files("livematte.page") / "static"
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}


def _file(static: dict[str, bytes], name: str) -> Response:
    content = static.get(name)
    if content is None:
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such file.")
    suffix = name[name.rfind(".") :]
    return Response(content, media_type=_MEDIA_TYPES.get(suffix, "application/octet-stream"))


def _about(live: LiveRoutes | None) -> dict[str, Any]:
    return {
        "version": __version__,
        "live": live is not None,
        "presets": destinations(),
        "limits": {"files": MOST_FILES, "photo_bytes": MOST_PHOTO_BYTES, "clip_bytes": MOST_CLIP_BYTES},
        "photo_suffixes": sorted(PICTURE_SUFFIXES),
        "clip_suffixes": sorted(VIDEO_SUFFIXES),
    }


def destinations() -> list[dict[str, str]]:
    """Presets that say what a file is written for: those that choose an output format. Name and first line."""
    found = []
    for name, path in preset_files().items():
        output = read_layer(path).get("output", {})
        if output.get("format") not in (None, "null", "nut", "rawvideo"):
            found.append({"name": name, "title": preset_title(path), "format": str(output["format"])})
    return found
