"""What every request must pass, and what every answer carries.

Note [What is refused]
    The server listens on 127.0.0.1, but any web page that the person opens can send requests there. So: the Host header
    must be ours, or a foreign name was made to point here (DNS rebinding); an Origin, where there is one, must be ours
    (no CORS header is ever sent, so a foreign page could not read the answer, but it could still cause something);
    whatever is not the page's own plain files needs the token in a header, which a foreign page cannot know.
    Fetch metadata (https://www.w3.org/TR/fetch-metadata/) refuses embedding by foreign pages on top.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from livematte.page.tokens import is_same

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Cache-Control": "no-store",
}
"""On every answer, refusals too."""

_OPEN = ("/", "/obs")
_OPEN_BELOW = ("/static/", "/files/")
"""Plain files of ours; and downloads, whose address is a ticket that is random and good for one use."""


@dataclass(frozen=True, slots=True)
class Access:
    """What this run accepts."""

    port: int
    page_token: str
    obs_token: str | None

    @property
    def hosts(self) -> frozenset[str]:
        """Host headers that are ours."""
        names = ("127.0.0.1", "localhost")
        return frozenset({f"{name}:{self.port}" for name in names} | (set(names) if self.port == 80 else set()))


class Guard:
    """ASGI middleware (Note [What is refused])."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass the request on and put the headers on its answer."""
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        refused = self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, with_headers)
            return
        status, text = refused
        body = json.dumps({"kind": "Refused", "message": text}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),  # the request's body, which may be large, is not read
        ]
        await with_headers({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope) -> tuple[HTTPStatus, str] | None:
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = headers.get("host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._access.hosts:
            return HTTPStatus.MISDIRECTED_REQUEST, (
                f"this address is not the page's. Open http://127.0.0.1:{self._access.port}/ as it was printed."
            )
        allowed = {f"http://{host}" for host in self._access.hosts}
        if any(origin.lower() not in allowed for origin in headers.get("origin", [])):
            return HTTPStatus.FORBIDDEN, "requests that another web page sends are refused."
        site = headers.get("sec-fetch-site", ["none"])[0]
        if site not in ("none", "same-origin") and headers.get("sec-fetch-dest", [""])[0] != "document":
            return HTTPStatus.FORBIDDEN, "this page cannot be embedded in, or loaded by, another web page."
        path = scope["path"]
        if path in _OPEN or path.startswith(_OPEN_BELOW):
            return None
        return self._token_refusal(path, headers)

    def _token_refusal(self, path: str, headers: dict[str, list[str]]) -> tuple[HTTPStatus, str] | None:
        given = _given_token(headers)
        if path.startswith("/api/obs/"):
            expected, where = self._access.obs_token, "Copy the address for OBS anew from livematte's lines."
        else:
            expected, where = (
                self._access.page_token,
                (
                    "Open the page with the address that livematte printed in this run, or send its token as the "
                    "header 'Authorization: Bearer TOKEN'."
                ),
            )
        if expected is None or not is_same(given, expected):
            return HTTPStatus.UNAUTHORIZED, f"the token is missing or not this run's. {where}"
        return None


def _given_token(headers: dict[str, list[str]]) -> str:
    bearer = headers.get("authorization", [""])[0]
    scheme, _, token = bearer.partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return headers.get("x-livematte-token", [""])[0]
