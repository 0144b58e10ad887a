"""Weights: where they are looked for, fetched and checked. The only server is one of ours on 127.0.0.1."""

from __future__ import annotations

import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from livematte.config import ModelSettings
from livematte.errors import ModelError, ModelMissing, UsageError
from livematte.models import catalogue
from livematte.models import weights as storage
from livematte.models.load import load_model
from livematte.models.manifest import Manifest
from livematte.models.weights import FetchOptions, fetch, locate, place_of, verify
from livematte.reporting import ListReporter

CONTENT = b"weights" * 1000
GOOD = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """An address that serves CONTENT at /net.onnx and nothing else, and the requests it got."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            found = self.path == "/net.onnx"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(CONTENT) if found else 0))
            self.end_headers()
            if found:
                self.wfile.write(CONTENT)

        def log_message(self, *_: object) -> None:
            pass

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", seen
        running.shutdown()
        thread.join()


def network(url: str, *, sha256: str | None = GOOD, commercial: str = "yes", mirrors: str = "") -> Manifest:
    digest = f'sha256 = "{sha256}"\nsha256_evidence = "P"' if sha256 else ""
    return catalogue.parse(
        f"""format = 1
name = "net"
title = "Net"
subjects = ["people"]
about = "test"
licence = {{ spdx = "LicenseRef-test", commercial = "{commercial}", text = "for tests", evidence = "u" }}
[[graphs]]
input = {{ size = {{ policy = "fixed", width = 8, height = 8, fit = "stretch" }} }}
alpha = {{ position = 0 }}
[[graphs.weights]]
source = "url"
file = "net.onnx"
url = "{url}"
url_evidence = "P"
size_bytes = {len(CONTENT)}
{digest}
mirrors = [{mirrors}]
""",
        "net.toml",
    )


def test_fetch_writes_the_file_whole_and_reports_progress(server: tuple[str, list[str]]) -> None:
    reporter = ListReporter()
    steps: list[tuple[int, int | None]] = []
    one = network(f"{server[0]}/net.onnx")
    path = fetch(one, FetchOptions(), reporter=reporter, progress=lambda done, total: steps.append((done, total)))
    assert path == place_of(one.weights()) == storage.weights_dir() / "net.onnx"
    assert path.read_bytes() == CONTENT
    assert max(done for done, _ in steps) == len(CONTENT)
    assert "LicenseRef-test" in reporter.notes[0]
    assert not [left for left in path.parent.iterdir() if left.suffix not in (".onnx", ".json")]
    assert locate(one, one.weights()) == path
    fetch(one, FetchOptions(), reporter=reporter)
    assert len(server[1]) == 1


def test_wrong_bytes_leave_no_file(server: tuple[str, list[str]]) -> None:
    one = network(f"{server[0]}/net.onnx", sha256="0" * 64)
    with pytest.raises(ModelMissing) as caught:
        fetch(one, FetchOptions(), reporter=ListReporter())
    for part in ("another sha256", "0" * 64, f"{server[0]}/net.onnx", str(place_of(one.weights()))):
        assert part in str(caught.value)
    assert not place_of(one.weights()).exists()


def test_mirror_is_tried_second(server: tuple[str, list[str]]) -> None:
    mirror = f'{{ url = "{server[0]}/net.onnx", evidence = "H" }}'
    one = network(f"{server[0]}/gone.onnx", mirrors=mirror)
    assert fetch(one, FetchOptions(), reporter=ListReporter()).read_bytes() == CONTENT
    assert server[1] == ["/gone.onnx", "/net.onnx"]


def test_unreachable_says_where_to_put_the_file(server: tuple[str, list[str]]) -> None:
    one = network(f"{server[0]}/gone.onnx")
    with pytest.raises(ModelMissing, match="404") as caught:
        fetch(one, FetchOptions(), reporter=ListReporter())
    assert GOOD in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("url", ["http://example.org/net.onnx", "ftp://127.0.0.1/net.onnx", "file:///etc/passwd"])
def test_https_only(url: str) -> None:
    with pytest.raises(ModelError, match="https only"):
        fetch(network(url), FetchOptions(), reporter=ListReporter())


def test_rembgs_folder_first(server: tuple[str, list[str]]) -> None:
    folder = Path(os.environ["U2NET_HOME"])
    folder.mkdir()
    (folder / "a.onnx").write_bytes(b"other")
    (folder / "their-name.onnx").write_bytes(CONTENT)
    reporter = ListReporter()
    path = fetch(network(f"{server[0]}/net.onnx"), FetchOptions(), reporter=reporter)
    assert path.read_bytes() == CONTENT
    assert server[1] == []
    assert any("their-name.onnx" in note for note in reporter.notes)


def test_non_commercial_needs_consent(server: tuple[str, list[str]]) -> None:
    one = network(f"{server[0]}/net.onnx", commercial="no")
    with pytest.raises(UsageError, match="--accept-licence"):
        fetch(one, FetchOptions(), reporter=ListReporter())
    assert server[1] == []
    fetch(one, FetchOptions(accept_licence=True), reporter=ListReporter())


def test_without_a_hash_the_first_one_is_recorded(server: tuple[str, list[str]]) -> None:
    one = network(f"{server[0]}/net.onnx", sha256=None)
    with pytest.raises(UsageError, match="--trust-first-use"):
        fetch(one, FetchOptions(), reporter=ListReporter())
    path = fetch(one, FetchOptions(trust_first_use=True), reporter=ListReporter())
    assert [(found.expected, found.is_good) for found in verify([one])] == [(GOOD, True)]
    path.write_bytes(b"changed")
    assert not verify([one])[0].is_good
    with pytest.raises(ModelMissing, match="its sha256 is"):
        locate(one, one.weights())


def test_a_changed_file_is_noticed(server: tuple[str, list[str]]) -> None:
    one = network(f"{server[0]}/net.onnx")
    path = fetch(one, FetchOptions(), reporter=ListReporter())
    path.write_bytes(CONTENT[:-1] + b"X")
    with pytest.raises(ModelMissing, match=GOOD) as caught:
        locate(one, one.weights())
    assert "model fetch net" in str(caught.value)


def test_a_checked_file_is_not_hashed_again(server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    one = network(f"{server[0]}/net.onnx")
    fetch(one, FetchOptions(), reporter=ListReporter())
    monkeypatch.setattr(storage, "hash_file", lambda path: pytest.fail(f"{path} was hashed again"))
    locate(one, one.weights())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("isnet", ["179 MB", "Apache-2.0", "commercial use: unclear", "livematte model fetch isnet"]),
        ("rvm-mobilenetv3", ["15 MB", "GPL-3.0-only", "livematte model fetch rvm-mobilenetv3"]),
        ("modnet-webcam", ["onnx.export_onnx", "modnet_webcam.onnx", "--model"]),
    ],
)
def test_a_network_that_is_not_here(name: str, said: list[str]) -> None:
    with pytest.raises(ModelMissing) as caught:
        load_model(ModelSettings(model=name), reporter=ListReporter())
    for part in said:
        assert part in str(caught.value)
    assert caught.value.exit_code == 4


def test_another_precision_is_in_the_line() -> None:
    with pytest.raises(ModelMissing, match="fetch rvm-mobilenetv3 --precision fp16"):
        load_model(ModelSettings(model="rvm", precision="fp16"), reporter=ListReporter())


def test_bring_prints_the_publishers_command() -> None:
    with pytest.raises(ModelMissing, match=r"(?s)git clone.*export_onnx") as caught:
        fetch(catalogue.by_name("modnet-webcam"), FetchOptions(), reporter=ListReporter())
    assert str(storage.weights_dir() / "modnet_webcam.onnx") in str(caught.value)


def test_embedded_needs_no_fetch() -> None:
    path = fetch(catalogue.by_name("auto"), FetchOptions(), reporter=ListReporter())
    assert path.name == "livematte-s.onnx"
    found = verify([catalogue.by_name("auto")])
    assert [(one.precision, one.is_good) for one in found] == [("fp32", True), ("int8", True)]
