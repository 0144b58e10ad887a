"""Who is let in: hosts, origins, tokens, and the headers that every answer carries."""

from __future__ import annotations

import pytest

from livematte.page.guard import SECURITY_HEADERS
from page.conftest import Client

API = "/api/live/state"
GUARDED = [
    ("GET", "/api/info"),
    ("GET", "/api/live/state"),
    ("GET", "/api/live/frame?client=a&after=0"),
    ("GET", "/api/live/frame?client=a&after=0&view=before"),
    ("GET", "/api/obs/frame?client=a&after=0"),
    ("POST", "/api/live/background"),
    ("POST", "/api/live/background/file?name=a.png"),
    ("POST", "/api/live/matting"),
    ("POST", "/api/live/camera"),
    ("POST", "/api/here?client=a"),
    ("POST", "/api/bye?client=a"),
    ("POST", "/api/uploads?client=a&name=a.mp4"),
    ("DELETE", "/api/uploads/x"),
    ("POST", "/api/uploads/x/run"),
    ("GET", "/api/jobs/x"),
    ("POST", "/api/jobs/x/stop"),
    ("GET", "/api/jobs/x/picture"),
    ("POST", "/api/jobs/x/ticket"),
    ("POST", "/api/photo"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_nothing_but_the_plain_page_answers_without_the_token(client: Client, method: str, path: str) -> None:
    for token in (None, "x" * 32, client.token[:-1]):
        answer = client.ask(method, path, b"{}" if method == "POST" else None, token=token)
        assert answer.status == 401, (path, token)
        assert "token" in answer.json["message"]


def test_the_guarded_table_is_complete(client: Client) -> None:
    """A route that is added must be listed above, or be one of the plain files."""
    from livematte.config import ModelSettings
    from livematte.page.file_routes import FileRoutes
    from livematte.page.live_routes import LiveRoutes

    listed = {
        path.partition("?")[0].replace("/x/run", "/{id}/{what:str}").replace("/x", "/{id}") for _, path in GUARDED
    }
    made = [
        route.path
        for routes in (FileRoutes(None, None, ModelSettings()), LiveRoutes(None, None, None, allow_raw=False))  # type: ignore[arg-type]
        for route in routes.routes()
    ]
    assert {path for path in made if not path.startswith("/files/")} <= listed


def test_the_obs_token_opens_the_cut_out_and_nothing_else(client: Client) -> None:
    for method, path in GUARDED:
        answer = client.ask(method, path, b"{}" if method == "POST" else None, token=client.obs_token)
        assert answer.status == (204 if path.startswith("/api/obs/") else 401), path
    assert client.ask("GET", "/api/obs/frame?client=a&after=0").status == 401, "the page's token is not OBS'"


def test_the_token_is_taken_from_either_header(client: Client) -> None:
    assert client.ask("GET", API, token=None, headers={"X-Livematte-Token": client.token}).status == 200
    assert client.ask("GET", API, token=None, headers={"authorization": f"bearer {client.token}"}).status == 200
    assert client.ask("GET", f"{API}?token={client.token}", token=None).status == 401, "addresses end up in logs"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example:{port}", ""])
def test_a_foreign_host_is_refused_even_with_the_token(client: Client, host: str) -> None:
    for path in ("/", API):
        answer = client.ask("GET", path, headers={"Host": host.format(port=client.port)})
        assert answer.status == 421, "a name that an attacker made to point here (DNS rebinding)"


def test_both_of_our_own_hosts_are_taken(client: Client) -> None:
    for host in (f"127.0.0.1:{client.port}", f"LOCALHOST:{client.port}"):
        assert client.ask("GET", API, headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1", "https://127.0.0.1:{port}"]
)
def test_a_foreign_origin_is_refused_even_with_the_token(client: Client, origin: str) -> None:
    headers = {"Origin": origin.format(port=client.port)}
    answer = client.ask("POST", "/api/live/camera", {"off": True}, headers=headers)
    assert answer.status == 403
    assert client.ask("GET", API).json["state"] != "off"


def test_our_own_origin_is_taken(client: Client) -> None:
    headers = {"Origin": f"http://127.0.0.1:{client.port}"}
    assert client.ask("POST", "/api/live/camera", {"off": False}, headers=headers).status == 200


def test_a_foreign_page_cannot_embed_or_load_ours(client: Client) -> None:
    frame = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}
    assert client.ask("GET", "/", headers=frame).status == 403
    assert client.ask("GET", "/static/api.js", headers={"Sec-Fetch-Site": "same-site"}).status == 403
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    assert client.ask("GET", "/", headers=link).status == 200, "a link from a mail program may open it"


def test_preflights_get_no_permission(client: Client) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.ask("OPTIONS", "/api/photo", headers=asked, token=None)
    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(("path", "token"), [("/", None), ("/obs", None), (API, ""), (API, "wrong"), ("/nothing", "")])
def test_every_answer_carries_the_headers(client: Client, path: str, token: str | None) -> None:
    answer = client.ask("GET", path, token=token)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name.lower()] == value
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not [name for name in answer.headers if name.startswith("access-control") or name == "server"]


@pytest.mark.parametrize(
    "path",
    ["/static/../server.py", "/static/..%2fserver.py", "/static/%2e%2e/%2e%2e/config.py", "/static//etc/passwd",
     "/static/", "/static/nothing.js", "/files/x", "/../../etc/passwd"],
)  # fmt: skip
def test_no_path_leads_out_of_the_pages_own_files(client: Client, path: str) -> None:
    answer = client.ask("GET", path)
    assert answer.status == 404, answer.body[:200]
    assert "message" in answer.json


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/obs", "text/html"), ("/static/page.css", "text/css"),
     ("/static/page.js", "text/javascript"), ("/static/icon.svg", "image/svg+xml")],
)  # fmt: skip
def test_the_plain_files_have_their_types_and_no_secret(client: Client, path: str, kind: str) -> None:
    answer = client.ask("GET", path, token=None)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith(kind)
    assert client.token.encode() not in answer.body
    assert client.obs_token.encode() not in answer.body


def test_the_pages_files_load_nothing_from_elsewhere(client: Client) -> None:
    from importlib import resources

    for one in (resources.files("livematte.page") / "static").iterdir():
        text = one.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, one.name
        assert "https://" not in text, one.name
        assert " style=" not in text, f"{one.name}: the policy forbids inline styles"
