"""What routes share: JSON in and out, and what an error becomes."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from livematte.errors import (
    DeviceError,
    LivematteError,
    ModelError,
    NobodyFound,
    SinkError,
    SourceError,
    UsageError,
)

if TYPE_CHECKING:
    from starlette.routing import Route

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

MOST_JSON_BYTES = 64 << 10
_logger = logging.getLogger("livematte")


class Refused(LivematteError):
    """A request that cannot be served, with its own HTTP status."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


_STATUS: Mapping[type[LivematteError], HTTPStatus] = {
    UsageError: HTTPStatus.BAD_REQUEST,
    NobodyFound: HTTPStatus.UNPROCESSABLE_ENTITY,
    SourceError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ModelError: HTTPStatus.SERVICE_UNAVAILABLE,
    DeviceError: HTTPStatus.SERVICE_UNAVAILABLE,
    SinkError: HTTPStatus.INSUFFICIENT_STORAGE,
}


def status_of(error: LivematteError) -> HTTPStatus:
    """The HTTP status that says the same as the error."""
    if isinstance(error, Refused):
        return error.status
    return next((code for kind, code in _STATUS.items() if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def failure(error: LivematteError) -> Response:
    """`{"kind": ..., "message": ...}` with the error's status; the rest of the request's body is not read."""
    body = {"kind": type(error).__name__, "message": str(error)}
    return JSONResponse(body, int(status_of(error)), headers={"Connection": "close"})


def route(path: str, handler: Handler, *methods: str) -> Route:
    """A route whose `LivematteError`s become JSON."""
    from starlette.routing import Route

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except LivematteError as error:
            return failure(error)
        except ClientDisconnect:
            return Response(status_code=int(HTTPStatus.BAD_REQUEST))  # nobody reads it
        except Exception as error:
            _logger.exception("the page failed at %s", path)
            body = {"kind": "InternalError", "message": f"an error of livematte's own: {type(error).__name__}: {error}"}
            return JSONResponse(body, int(HTTPStatus.INTERNAL_SERVER_ERROR))

    return Route(path, answered, methods=list(methods))


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object; Refused where it is too large or none."""
    body = await read_body(request, MOST_JSON_BYTES)
    try:
        value = json.loads(body or b"{}")
    except ValueError as error:
        raise UsageError(f"the request's body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise UsageError("the request's body must be a JSON object.")
    return value


async def read_body(request: Request, most_bytes: int) -> bytes:
    """The whole body; Refused (413) as soon as it is larger than `most_bytes`, whatever its header claims."""
    refuse_large(request, most_bytes)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most_bytes:
            raise too_large(most_bytes)
        parts.append(part)
    return b"".join(parts)


def refuse_large(request: Request, most_bytes: int) -> None:
    """Refused (413) where the header already says that the body is too large."""
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > most_bytes:
        raise too_large(most_bytes)


def too_large(most_bytes: int) -> Refused:
    """The 413."""
    from livematte.progress import readable_bytes

    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"this is larger than the page takes (at most {readable_bytes(most_bytes)}). Use the command line for it: "
        "'livematte convert' and 'livematte photo' have no limit.",
    )


def text_of(values: Mapping[str, Any], key: str, *, most: int = 1000) -> str:
    """A text out of a JSON body; UsageError where there is none."""
    value = values.get(key)
    if not isinstance(value, str) or len(value) > most:
        raise UsageError(f"'{key}' must be a text of at most {most} characters.")
    return value
