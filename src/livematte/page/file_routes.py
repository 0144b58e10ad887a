"""Routes for what is dropped on the page, for what comes of it, and `POST /api/photo`."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from livematte.config import ModelSettings
from livematte.errors import LivematteError, UsageError
from livematte.page.answers import Refused, read_body, read_json, route
from livematte.page.jobs import Job, Jobs, cut_out, plain_names
from livematte.page.orders import Order, check_order
from livematte.page.store import MOST_PHOTO_BYTES, Store, Stored, safe_name
from livematte.reporting import ListReporter

_TICKET_SECONDS = 60.0
_CHUNK_BYTES = 1 << 20
_MEDIA_TYPES = {
    ".png": "image/png", ".webp": "image/webp", ".tif": "image/tiff", ".avif": "image/avif", ".jpg": "image/jpeg",
    ".mov": "video/quicktime", ".webm": "video/webm", ".mkv": "video/x-matroska", ".mp4": "video/mp4",
    ".zip": "application/zip",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Ticket:
    path: Path
    until: float


class FileRoutes:
    """Handlers on the store and the jobs."""

    def __init__(self, store: Store, jobs: Jobs, model: ModelSettings) -> None:
        """model: the network and device of the run; the page may only choose the quality."""
        self._model = model
        self._store = store
        self._jobs = jobs
        self._tickets: dict[str, _Ticket] = {}
        self._photo_turn = asyncio.Semaphore(1)

    def routes(self) -> list[Route]:
        """The table."""
        return [
            route("/api/here", self._here, "POST"),
            route("/api/bye", self._bye, "POST"),
            route("/api/uploads", self._upload, "POST"),
            route("/api/uploads/{id}", self._remove, "DELETE"),
            route("/api/uploads/{id}/{what:str}", self._begin, "POST"),
            route("/api/jobs/{id}", self._job, "GET"),
            route("/api/jobs/{id}/stop", self._stop, "POST"),
            route("/api/jobs/{id}/picture", self._picture, "GET"),
            route("/api/jobs/{id}/ticket", self._ticket, "POST"),
            route("/files/{ticket}", self._download, "GET"),
            route("/api/photo", self._photo, "POST"),
        ]

    def sweep(self) -> None:
        """Delete what belongs to pages that have gone; called now and then on the server's loop."""
        for client in self._store.gone():
            self._jobs.stop_all_of(client)

    async def _here(self, request: Request) -> Response:
        self._store.heard_of(_client(request))
        return JSONResponse({})

    async def _bye(self, request: Request) -> Response:
        self._jobs.stop_all_of(_client(request))
        return JSONResponse({})

    async def _upload(self, request: Request) -> Response:
        return JSONResponse(_described(await self._store.receive(request, client=_client(request))))

    async def _remove(self, request: Request) -> Response:
        stored = self._store.find(request.path_params["id"])
        self._jobs.forget(stored.id)
        return JSONResponse({})

    async def _begin(self, request: Request) -> Response:
        stored = self._store.find(request.path_params["id"])
        what = request.path_params["what"]
        if what == "try" and stored.kind == "clip":
            job = self._jobs.add("try", stored, check_order("try", await read_json(request), self._model))
        elif what == "run":
            kind = stored.kind
            job = self._jobs.add(kind, stored, check_order(kind, await read_json(request), self._model))
        else:
            raise UsageError(f"a {stored.kind} cannot be asked to '{what[:20]}'.")
        return JSONResponse(job.as_dict())

    async def _job(self, request: Request) -> Response:
        return JSONResponse(self._found(request).as_dict())

    async def _stop(self, request: Request) -> Response:
        job = self._found(request)
        job.stop.set()
        return JSONResponse(job.as_dict())

    async def _picture(self, request: Request) -> Response:
        picture = self._found(request).picture
        if picture is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no picture of it.")
        return self._streamed(picture)

    async def _ticket(self, request: Request) -> Response:
        """An address for one download: a browser saves from an address, and cannot send the token with that."""
        result = self._found(request).result
        if result is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is nothing to save yet.")
        now = time.monotonic()
        self._tickets = {name: one for name, one in self._tickets.items() if one.until > now}
        name = secrets.token_urlsafe(24)
        self._tickets[name] = _Ticket(result, now + _TICKET_SECONDS)
        return JSONResponse({"url": f"/files/{name}"})

    async def _download(self, request: Request) -> Response:
        ticket = self._tickets.pop(request.path_params["ticket"], None)
        if ticket is None or ticket.until < time.monotonic():
            raise Refused(HTTPStatus.NOT_FOUND, "this download's address was used or is too old. Press Save again.")
        name = quote(ticket.path.name)
        return self._streamed(ticket.path, {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"})

    def _found(self, request: Request) -> Job:
        return self._jobs.find(request.path_params["id"])

    def _streamed(self, path: Path, headers: dict[str, str] | None = None) -> Response:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise Refused(HTTPStatus.NOT_FOUND, "that file is not here any more.") from error
        kind = _MEDIA_TYPES.get(path.suffix, "application/octet-stream")
        length = {"Content-Length": str(size)}
        return StreamingResponse(self._parts(path), media_type=kind, headers={**length, **(headers or {})})

    async def _parts(self, path: Path) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        with path.open("rb") as file:
            while part := await loop.run_in_executor(self._store.pool, file.read, _CHUNK_BYTES):
                yield part

    async def _photo(self, request: Request) -> Response:
        """A photo in, its cut-out back: as the body itself, or as the form field `file` (as rembg's server takes it).

        Options as query or form fields: format, background, crop, quality, and the edge controls.
        """
        name, data, options = await _photo_of(request)
        order = check_order("photo", options, self._model)
        async with self._photo_turn:  # one at a time: each takes several copies of its picture
            loop = asyncio.get_running_loop()
            path, made = await loop.run_in_executor(self._store.pool, self._cut_out, name, data, order)
        return Response(made, media_type=_MEDIA_TYPES[path.suffix])

    def _cut_out(self, name: str, data: bytes, order: Order) -> tuple[Path, bytes]:
        with tempfile.TemporaryDirectory(prefix="photo-", dir=self._store.folder) as scratch:
            path = Path(scratch) / name
            path.write_bytes(data)
            stored = Stored("", "", name, "photo", path, len(data))
            try:
                target = cut_out(stored, Path(scratch), order, ListReporter())
            except LivematteError as error:
                error.args = (plain_names(str(error), stored),)
                raise
            return target, target.read_bytes()


def _client(request: Request) -> str:
    client = request.query_params.get("client", "")
    if not client.replace("-", "").replace("_", "").isalnum() or len(client) > 64:
        raise UsageError("which page this is must be said with ?client=NAME.")
    return client


def _described(stored: Stored) -> dict[str, Any]:
    return {"id": stored.id, "name": stored.name, "kind": stored.kind, "bytes": stored.bytes}


async def _photo_of(request: Request) -> tuple[str, bytes, dict[str, Any]]:
    """(name, bytes, options) of a raw body or of a form."""
    given: dict[str, str] = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        body = await read_body(request, MOST_PHOTO_BYTES)
        form = await _form(request, body)
        upload = form.pop("file", None)
        if not isinstance(upload, UploadFile):
            raise UsageError("the form has no file called 'file': curl -F file=@photo.jpg ...")
        data = await upload.read()
        await upload.close()
        given |= {key: value for key, value in form.items() if isinstance(value, str)}
        name = upload.filename or "photo.jpg"
    else:
        data = await read_body(request, MOST_PHOTO_BYTES)
        name = given.pop("name", "photo.jpg")
    if not data:
        raise UsageError("no photo came: send it as the body (curl --data-binary @photo.jpg) or as the form's 'file'.")
    return safe_name(name), data, {key: _typed(key, value) for key, value in given.items()}


async def _form(request: Request, body: bytes) -> dict[str, Any]:
    """The fields of a form whose bytes were read (and counted) already."""
    from starlette.formparsers import MultiPartException, MultiPartParser

    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        parsed = await MultiPartParser(request.headers, once(), max_files=1, max_fields=20).parse()
    except (MultiPartException, ValueError, KeyError) as error:  # older starlettes let the parser's own errors through
        raise UsageError(f"the form cannot be read: {getattr(error, 'message', error)}.") from error
    return dict(parsed.items())


def _typed(key: str, value: str) -> Any:
    """A query's text as the setting's own kind; the settings' own check says what is wrong with it."""
    if key == "crop":
        return value.lower() in ("1", "true", "yes")
    if key == "levels":
        return value.split(",")
    return value
