"""What is dropped: names, bounds, conversions, photos, and that all of it is deleted."""

from __future__ import annotations

import io
import itertools
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from clipmaker import Clip, write_clip
from livematte.config import Settings
from livematte.errors import UsageError
from livematte.page import store as store_module
from livematte.page.orders import check_order
from livematte.page.server import PageServer
from livematte.page.store import Store, kind_of, safe_name
from livematte.reporting import ListReporter
from page.conftest import Answer, Client

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    return write_clip(tmp_path / "clip.mp4", Clip(frames=8)).read_bytes()


def _upload(client: Client, name: str, data: bytes, *, page: str = "page1") -> Answer:
    return client.ask("POST", f"/api/uploads?client={page}&name={name}", data)


def _finished(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    end = time.monotonic() + 120
    while job["state"] in ("waiting", "running"):
        assert time.monotonic() < end
        time.sleep(0.05)
        job = client.ask("GET", f"/api/jobs/{job['id']}").json
    return job


def _kept(uploads: Path) -> list[str]:
    # Not rglob: it fails where a folder goes away while it looks.
    return [name for _, _, names in os.walk(uploads) for name in names if not name.endswith(".lock")]


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../etc/passwd.png", "passwd.png"),
        ("..\\..\\windows\\a.PNG", "a.png"),
        ("/abs/olute.mov", "olute.mov"),
        ("a\x00b\n.mp4", "ab.mp4"),
        ("con.png", "_con.png"),
        ("-rf.mp4", "_-rf.mp4"),
        (".hidden.jpg", "hidden.jpg"),
        ("Größe 1 (neu).mp4", "Größe 1 (neu).mp4"),
        ("a:b|c?.mp4", "a_b_c_.mp4"),
        ("shot_%04d.png", "shot__04d.png"),
        ("x" * 300 + ".mp4", "x" * 80 + ".mp4"),
    ],
)
def test_names_are_made_harmless(given: str, safe: str) -> None:
    assert safe_name(given) == safe


@pytest.mark.parametrize("given", ["", ".", "..", "/", "clip", ".mp4", "a/", "\x00.png"])
def test_names_that_say_nothing_are_refused(given: str) -> None:
    with pytest.raises(UsageError, match="no file name"):
        safe_name(given)


def test_an_upload_never_leaves_its_folder(client: Client, uploads: Path, clip: bytes) -> None:
    answer = _upload(client, "..%2F..%2F..%2Fescape.mp4", clip)
    assert answer.status == 200, answer.body
    assert answer.json["name"] == "escape.mp4"
    found = list(uploads.rglob("escape.mp4"))
    assert len(found) == 1
    assert not list(uploads.parent.glob("escape.mp4"))
    if os.name == "posix":
        assert stat.S_IMODE(found[0].stat().st_mode) == 0o600
        for folder in list(found[0].parents)[:2]:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700


# -- bounds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.txt", "a.svg", "a.m3u8", "a.html", "a.onnx", "a.zip"])
def test_other_kinds_are_refused(client: Client, uploads: Path, name: str) -> None:
    answer = _upload(client, name, b"x" * 100)
    assert answer.status == 415
    assert not _kept(uploads)


@pytest.mark.parametrize(
    "head", [b"#EXTM3U\nhttp://example.com/a.ts", b"ffconcat version 1.0\nfile /etc/passwd", b"<?xml "]
)
def test_lists_of_other_files_are_no_clips(client: Client, uploads: Path, head: bytes) -> None:
    assert _upload(client, "a.mp4", head).status == 415
    assert not _kept(uploads)


def test_an_empty_file_is_refused(client: Client, uploads: Path) -> None:
    assert _upload(client, "a.mp4", b"").status == 400
    assert not _kept(uploads)


def test_too_large_is_refused_by_header_and_by_count(
    client: Client, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MOST_PHOTO_BYTES", 3 << 20)
    lie = client.ask("POST", "/api/uploads?client=a&name=a.png", b"x", headers={"Content-Length": str(4 << 20)})
    assert lie.status == 413
    assert "livematte photo" in lie.json["message"]
    parts = [b"x" * (1 << 20)] * 5
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    try:  # without a length: counted while it comes
        headers = {"Authorization": f"Bearer {client.token}"}
        connection.request("POST", "/api/uploads?client=a&name=b.png", iter(parts), headers, encode_chunked=True)
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before all of it was sent
    finally:
        connection.close()
    assert not _kept(uploads)


def test_too_many_are_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MOST_FILES", 2)
    first = _upload(client, "a.mp4", b"12345")
    assert first.status == 200
    assert _upload(client, "b.mp4", b"12345").status == 200
    assert _upload(client, "c.mp4", b"12345").status == 429
    assert client.ask("DELETE", f"/api/uploads/{first.json['id']}").status == 200
    assert _upload(client, "c.mp4", b"12345").status == 200


def test_a_full_disk_is_refused_before_it_is_full(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_FREE_BYTES", 1 << 60)
    answer = _upload(client, "a.mp4", b"12345")
    assert answer.status == 507
    assert "no room" in answer.json["message"]


# -- clips ---------------------------------------------------------------------------------------------------------


def test_a_clip_is_tried_converted_and_saved(client: Client, clip: bytes, uploads: Path) -> None:
    stored = _upload(client, "clip.mp4", clip).json
    assert (stored["kind"], stored["bytes"]) == ("clip", len(clip))
    order = {"preset": "web", "quality": "fast", "shrink": 1}
    tried = _finished(client, client.ask("POST", f"/api/uploads/{stored['id']}/try", order).json)
    assert tried["state"] == "done", tried
    sheet = client.ask("GET", f"/api/jobs/{tried['id']}/picture")
    assert sheet.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(sheet.body)).size[0] > 64 * 3

    made = _finished(client, client.ask("POST", f"/api/uploads/{stored['id']}/run", order).json)
    assert made["state"] == "done", made
    assert made["name"] == "clip_alpha.webm"
    assert made["summary"]["frames"] == 8
    assert "Chrome" in made["summary"]["shows"]
    ticket = client.ask("POST", f"/api/jobs/{made['id']}/ticket", {}).json["url"]
    saved = client.ask("GET", ticket, token=None)
    assert saved.status == 200
    assert saved.headers["content-disposition"] == "attachment; filename*=UTF-8''clip_alpha.webm"
    assert len(saved.body) == made["bytes"] == int(saved.headers["content-length"])
    assert saved.body[:4] == b"\x1aE\xdf\xa3"
    assert client.ask("GET", ticket, token=None).status == 404, "a ticket is good for once"

    client.ask("DELETE", f"/api/uploads/{stored['id']}")
    assert not _kept(uploads)
    assert client.ask("GET", f"/api/jobs/{made['id']}").status == 404


def test_a_clip_with_a_background_becomes_mp4(client: Client, clip: bytes) -> None:
    stored = _upload(client, "clip.mp4", clip).json
    order = {"preset": "premiere", "background": "green", "quality": "fast"}
    made = _finished(client, client.ask("POST", f"/api/uploads/{stored['id']}/run", order).json)
    assert (made["state"], made["name"]) == ("done", "clip_green.mp4"), made


def test_a_conversion_is_stopped_and_leaves_nothing(client: Client, tmp_path: Path, uploads: Path) -> None:
    long = write_clip(tmp_path / "long.mp4", Clip(width=128, height=96, frames=500)).read_bytes()
    stored = _upload(client, "long.mp4", long).json
    job = client.ask("POST", f"/api/uploads/{stored['id']}/run", {}).json
    waiting = client.ask("POST", f"/api/uploads/{stored['id']}/run", {}).json
    end = time.monotonic() + 60
    while not client.ask("GET", f"/api/jobs/{job['id']}").json["progress"].get("frames"):
        assert time.monotonic() < end
        time.sleep(0.02)
    client.ask("POST", f"/api/jobs/{waiting['id']}/stop")
    client.ask("POST", f"/api/jobs/{job['id']}/stop")
    assert _finished(client, job)["state"] == "stopped"
    assert _finished(client, waiting)["state"] == "stopped"
    assert _kept(uploads) == ["long.mp4"]


def test_a_broken_clip_says_what_is_wrong_without_our_paths(client: Client, uploads: Path) -> None:
    stored = _upload(client, "broken.mp4", b"\x00\x00\x00\x18ftypmp42" + b"x" * 500).json
    made = _finished(client, client.ask("POST", f"/api/uploads/{stored['id']}/run", {}).json)
    assert made["state"] == "failed"
    assert "broken.mp4" in made["error"]
    assert str(uploads) not in made["error"]


@pytest.mark.parametrize(
    ("order", "word"),
    [
        ({"preset": "nosuch"}, "no preset"),
        ({"preset": 5}, "name"),
        ({"background": "/etc/passwd"}, "background here"),
        ({"background": "beach.jpg"}, "background here"),
        ({"background": "blur=-1"}, "radius"),
        ({"shrink": 1000}, "shrink"),
        ({"model": "/tmp/x.onnx"}, "not known"),
        ({"keep_background": True}, "not known"),
        ({"quality": "superb"}, "quality"),
        ({"format": "exe"}, "picture format"),
    ],
)
def test_orders_that_cannot_be_are_refused(client: Client, clip: bytes, order: dict[str, Any], word: str) -> None:
    stored = _upload(client, "clip.mp4", clip).json
    answer = client.ask("POST", f"/api/uploads/{stored['id']}/run", order)
    assert answer.status == 400
    assert word in answer.json["message"]


def test_what_is_not_there_is_said(client: Client, clip: bytes) -> None:
    for method, path in (
        ("POST", "/api/uploads/nothing/run"),
        ("DELETE", "/api/uploads/nothing"),
        ("GET", "/api/jobs/nothing"),
        ("GET", "/api/jobs/nothing/picture"),
        ("POST", "/api/jobs/nothing/ticket"),
        ("GET", "/files/nothing"),
    ):
        assert client.ask(method, path).status == 404, path
    stored = _upload(client, "clip.mp4", clip).json
    assert client.ask("POST", f"/api/uploads/{stored['id']}/dance", {}).status == 400


def test_presets_are_destinations(client: Client) -> None:
    names = [one["name"] for one in client.ask("GET", "/api/info").json["presets"]]
    assert {"premiere", "web", "obs"} <= set(names)
    assert not {"call", "stream", "bench"} & set(names)
    for name in names:
        assert check_order("clip", {"preset": name}).settings.output.format


# -- photos --------------------------------------------------------------------------------------------------------


def test_a_dropped_photo_comes_back_transparent(client: Client, portrait: bytes) -> None:
    stored = _upload(client, "me.png", portrait).json
    made = _finished(client, client.ask("POST", f"/api/uploads/{stored['id']}/run", {"quality": "good"}).json)
    assert (made["state"], made["name"]) == ("done", "me_alpha.png"), made
    picture = Image.open(io.BytesIO(client.ask("GET", f"/api/jobs/{made['id']}/picture").body))
    alpha = np.asarray(picture)[..., 3]
    assert picture.size == (320, 240)
    assert (alpha[62:218, 112:208] == 255).all()
    assert alpha.mean() == pytest.approx(255 * 160 * 100 / (320 * 240), abs=2), "and 0 around it"


@pytest.mark.parametrize("as_form", [True, False])
def test_the_api_gives_a_png_with_alpha(client: Client, portrait: bytes, uploads: Path, as_form: bool) -> None:
    if as_form:
        body = (
            b'--XX\r\nContent-Disposition: form-data; name="file"; filename="me.png"\r\n\r\n'
            + portrait
            + b"\r\n--XX--\r\n"
        )
        answer = client.ask("POST", "/api/photo", body, headers={"Content-Type": "multipart/form-data; boundary=XX"})
    else:
        answer = client.ask("POST", "/api/photo", portrait)
    assert answer.status == 200, answer.body[:300]
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.body)).mode == "RGBA"
    assert not _kept(uploads)


def test_the_api_takes_options(client: Client, portrait: bytes) -> None:
    answer = client.ask("POST", "/api/photo?background=%23ff0000&format=jpeg&crop=1&levels=0.1,0.9", portrait)
    assert answer.status == 200, answer.body[:300]
    picture = Image.open(io.BytesIO(answer.body))
    assert picture.format == "JPEG"
    assert picture.size == (100, 160)


@pytest.mark.parametrize(
    ("query", "body", "status", "kind"),
    [
        ("", b"not a picture", 422, "SourceError"),
        ("", b"", 400, "UsageError"),
        ("?format=exe", b"x", 400, "UsageError"),
        ("?shrink=much", b"x", 400, "UsageError"),
        ("?name=..", b"x", 400, "UsageError"),
        ("?background=/etc/passwd", b"x", 400, "UsageError"),
    ],
)
def test_the_apis_errors_are_json(
    client: Client, uploads: Path, query: str, body: bytes, status: int, kind: str
) -> None:
    answer = client.ask("POST", f"/api/photo{query}", body)
    assert (answer.status, answer.json["kind"]) == (status, kind), answer.body
    assert str(uploads) not in answer.json["message"]


def test_a_photo_of_nobody_is_said(client: Client) -> None:
    _, coded = cv2.imencode(".png", np.zeros((120, 160, 4), np.uint8))
    answer = client.ask("POST", "/api/photo", coded.tobytes())
    assert (answer.status, answer.json["kind"]) == (422, "NobodyFound")


@pytest.mark.shared
def test_a_person_is_cut_out_by_the_embedded_network(shared: Path, uploads: Path, reporter: ListReporter) -> None:
    with av.open(str(shared / "clips" / "sister.mkv")) as clip:
        frame = next(itertools.islice(clip.decode(video=0), 20, None)).to_image()
    buffer = io.BytesIO()
    frame.save(buffer, "JPEG")
    server = PageServer(None, Settings(), port=0, reporter=reporter)
    try:
        answer = Client(server.start()).ask("POST", "/api/photo", buffer.getvalue())
    finally:
        server.stop()
    alpha = np.asarray(Image.open(io.BytesIO(answer.body)))[..., 3]
    assert 0.05 < (alpha > 128).mean() < 0.6
    assert alpha[:40, :40].mean() < 5


def test_forms_without_a_file_and_broken_forms_are_refused(client: Client) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    nothing = b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--XX--\r\n'
    assert client.ask("POST", "/api/photo", nothing, headers=headers).status == 400
    assert client.ask("POST", "/api/photo", b"garbage", headers=headers).status == 400
    no_boundary = {"Content-Type": "multipart/form-data"}
    assert client.ask("POST", "/api/photo", nothing, headers=no_boundary).status == 400


# -- what is deleted, and when -------------------------------------------------------------------------------------


def test_a_page_that_closes_takes_its_own_files_with_it(client: Client, uploads: Path) -> None:
    _upload(client, "a.mp4", b"12345", page="one")
    _upload(client, "b.mp4", b"12345", page="two")
    assert client.ask("POST", "/api/bye?client=one").status == 200
    assert _kept(uploads) == ["b.mp4"]


def test_a_page_that_closes_stops_its_conversion(client: Client, tmp_path: Path, uploads: Path) -> None:
    long = write_clip(tmp_path / "long.mp4", Clip(width=128, height=96, frames=500)).read_bytes()
    stored = _upload(client, "long.mp4", long, page="one").json
    job = client.ask("POST", f"/api/uploads/{stored['id']}/run", {}).json
    client.ask("POST", "/api/bye?client=one")
    end = time.monotonic() + 60
    while _kept(uploads) or client.ask("GET", f"/api/jobs/{job['id']}").status != 404:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_silent_page_counts_as_closed_and_one_that_is_heard_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    now = time.monotonic()
    store.heard_of("one")
    assert store.gone(now=now + store_module.SILENCE_SECONDS - 5) == []
    assert store.gone(now=now + store_module.SILENCE_SECONDS + 5) == ["one"]
    assert store.gone(now=now + 9999) == [], "told once"
    store.close(ListReporter())


def test_the_server_deletes_everything_at_its_end(server: PageServer, client: Client, uploads: Path) -> None:
    _upload(client, "a.mp4", b"12345")
    assert _kept(uploads) == ["a.mp4"]
    server.stop()
    assert not list(uploads.iterdir())


def test_what_a_killed_run_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib; from livematte.page.store import Store;"
        "store = Store(pathlib.Path(sys.argv[1])); (store.folder / 'room.mp4').write_bytes(b'x');"
        "os._exit(9)"
    )
    base = tmp_path / "base"
    base.mkdir()
    subprocess.run([sys.executable, "-c", script, str(base)], check=False, timeout=60)
    assert list(base.rglob("room.mp4"))
    alive = Store(base)
    assert not list(base.rglob("room.mp4"))
    other = Store(base)
    assert alive.folder.exists(), "one that is in use stays"
    for store in (alive, other):
        store.close(ListReporter())
    assert not list(base.iterdir())


def test_kinds_go_by_the_ending() -> None:
    assert kind_of("a.mp4") == "clip"
    assert kind_of("a.heic") == "photo"
