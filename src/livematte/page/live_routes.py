"""The live part of the page: state, pictures, controls; and `/obs`' picture."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from livematte.errors import UsageError
from livematte.live.base import Controls
from livematte.page.answers import Refused, read_json, route, text_of
from livematte.page.feed import FrameFeed
from livematte.page.pictures import View
from livematte.page.store import Store

_LONGEST_WAIT_SECONDS = 1.0
"""A request for a frame is answered by then, with or without one: so a client that has gone is noticed."""


class LiveRoutes:
    """Handlers on one run's controls."""

    def __init__(self, controls: Controls, feed: FrameFeed, store: Store, *, allow_raw: bool) -> None:
        self._controls = controls
        self._feed = feed
        self._store = store
        self._allow_raw = allow_raw
        self._background_file: str | None = None

    def routes(self) -> list[Route]:
        """The table."""
        return [
            route("/api/live/state", self._state, "GET"),
            route("/api/live/frame", self._frame, "GET"),
            route("/api/obs/frame", self._obs_frame, "GET"),
            route("/api/live/background", self._background, "POST"),
            route("/api/live/background/file", self._background_upload, "POST"),
            route("/api/live/matting", self._matting, "POST"),
            route("/api/live/camera", self._camera, "POST"),
        ]

    async def _state(self, request: Request) -> Response:
        state = dataclasses.asdict(self._controls.state())
        return JSONResponse(state | {"watchers": self._feed.watchers()})

    async def _frame(self, request: Request) -> Response:
        view = request.query_params.get("view", "after")
        if view == "after":
            return await self._picture(request, "after")
        if view == "before":
            if not self._allow_raw:
                raise Refused(
                    HTTPStatus.FORBIDDEN,
                    "the picture before shows the room, which only --allow-raw at start permits.",
                )
            return await self._picture(request, "before")
        raise UsageError(f"there is no view '{view[:40]}'; there are after and before.")

    async def _obs_frame(self, request: Request) -> Response:
        return await self._picture(request, "obs")

    async def _picture(self, request: Request, view: View) -> Response:
        client = request.query_params.get("client", "")
        after = request.query_params.get("after", "0")
        if not re.fullmatch(r"[\w-]{1,64}", client) or not re.fullmatch(r"\d{1,18}", after):
            raise UsageError("a frame is asked for with ?client=NAME&after=NUMBER.")
        shown = await self._feed.next(view, client, int(after), _LONGEST_WAIT_SECONDS)
        if shown is None:
            return Response(status_code=int(HTTPStatus.NO_CONTENT), headers={"X-Livematte-Layout": "same"})
        picture = shown.picture
        headers = {
            "ETag": f'"{shown.number}"',
            "X-Livematte-Layout": picture.layout,
            "X-Livematte-Size": f"{picture.width}x{picture.height}",
        }
        if picture.layout == "empty":
            return Response(status_code=int(HTTPStatus.NO_CONTENT), headers=headers)
        return Response(picture.jpeg, media_type="image/jpeg", headers=headers)

    async def _background(self, request: Request) -> Response:
        text = text_of(await read_json(request), "text").strip()
        if not text:
            raise UsageError("no background was given: choose one, or type a colour, a path, or blur=PX.")
        await self._change_background(text)
        return await self._state(request)

    async def _background_upload(self, request: Request) -> Response:
        """Kept until another is uploaded, or the run ends: the worker reads it again when it starts again."""
        saved = await self._store.receive(request, client="", keep=True)
        try:
            await self._change_background(str(saved.path))
        except BaseException:
            self._store.remove(saved.id)
            raise
        if self._background_file is not None:
            self._store.remove(self._background_file)
        self._background_file = saved.id
        return await self._state(request)

    async def _change_background(self, text: str) -> None:
        # It reads the file to check it, which takes a while with a large picture.
        await asyncio.get_running_loop().run_in_executor(self._store.pool, self._controls.set_background, text)

    async def _matting(self, request: Request) -> Response:
        self._controls.set_matting(await read_json(request))
        return await self._state(request)

    async def _camera(self, request: Request) -> Response:
        off = (await read_json(request)).get("off")
        if not isinstance(off, bool):
            raise UsageError("'off' must be true or false.")
        self._controls.set_camera_off(off)
        return await self._state(request)
