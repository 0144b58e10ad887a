"""Clips of ours, played by a real Chromium: the browser must show what the matte says."""

from __future__ import annotations

import http.server
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livematte.config import InputSettings, OutputSettings
from livematte.frames import Frame, Matte, MattedFrame
from livematte.matting.foreground import clean
from livematte.reporting import ListReporter
from livematte.sinks import open_sink
from livematte.sources import open_source
from livematte.sources.synthetic import SyntheticSource

PAGE = """<!doctype html><meta charset="utf-8"><video id="clip" muted playsinline src="/clip.webm"></video>
<script>
const clip = document.getElementById('clip');
function over(colour) {
  const canvas = document.createElement('canvas');
  canvas.width = clip.videoWidth; canvas.height = clip.videoHeight;
  const context = canvas.getContext('2d');
  context.fillStyle = colour; context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(clip, 0, 0);
  return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data);
}
function report(value) { return fetch('/result', {method: 'POST', body: JSON.stringify(value)}); }
clip.addEventListener('error', () => report({error: String(clip.error && clip.error.message)}));
clip.requestVideoFrameCallback(() => report({width: clip.videoWidth, height: clip.videoHeight,
  red: over('rgb(255,0,0)'), blue: over('rgb(0,0,255)')}));
clip.play().catch(error => report({error: String(error)}));
</script>"""

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if "browser" in os.environ.get("LIVEMATTE_REQUIRE", "").split(","):
            pytest.fail("no Chromium on PATH, and LIVEMATTE_REQUIRE asks for one")
        pytest.skip("no Chromium on PATH")
    return found


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[int, queue.Queue[bytes]]]:
    """A server on this machine that hands out the page and the clip and takes the page's pixels."""
    results: queue.Queue[bytes] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_clip = self.path == "/clip.webm"
            body = (tmp_path / "clip.webm").read_bytes() if is_clip else PAGE.encode()
            self.send_response(200)
            self.send_header("Content-Type", "video/webm" if is_clip else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            results.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: the test's output is its own."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, results
    server.shutdown()
    thread.join()
    server.server_close()


def watched(chromium: str, folder: Path, port: int, results: queue.Queue[bytes]) -> dict[str, Any]:
    """What the page reports after a Chromium has opened it."""
    browser = subprocess.Popen(
        [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"http://127.0.0.1:{port}/"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        answer: dict[str, Any] = json.loads(results.get(timeout=90))
    finally:
        browser.terminate()
        browser.wait(30)
    return answer


@pytest.mark.browser
@pytest.mark.slow
def test_chromium_shows_our_webm_transparent(
    chromium: str, served: tuple[int, queue.Queue[bytes]], tmp_path: Path
) -> None:
    port, results = served
    alpha = write_clip(tmp_path / "clip.webm", OutputSettings())
    answer = watched(chromium, tmp_path, port, results)
    assert "error" not in answer, answer
    shape = (answer["height"], answer["width"], 4)
    red = np.array(answer["red"], np.uint8).reshape(shape)
    blue = np.array(answer["blue"], np.uint8).reshape(shape)

    empty, full = alpha == 0, alpha == 255
    assert empty.mean() > 0.2
    assert full.mean() > 0.02
    assert np.abs(red[empty][:, :3].astype(int) - (255, 0, 0)).mean() < 2
    assert np.abs(blue[empty][:, :3].astype(int) - (0, 0, 255)).mean() < 2
    assert np.abs(red[full].astype(int) - blue[full]).mean() < 2, "under full alpha no background shows"
    # Over two colours that differ by 255 in red and blue, what shows of them is 1 - alpha (Smith & Blinn 1996).
    shown = (red[..., 0].astype(int) - blue[..., 0] + blue[..., 2].astype(int) - red[..., 2]) / 510
    assert np.abs(shown - (1 - alpha / 255)).mean() < 3 / 255


@pytest.mark.browser
@pytest.mark.slow
def test_chromium_reads_alpha_out_of_our_stacked_video(
    chromium: str, served: tuple[int, queue.Queue[bytes]], tmp_path: Path
) -> None:
    """H.264 in MP4 (browsers look at a file's content, not at its name): the lower half's grey is the matte."""
    port, results = served
    alpha = write_clip(tmp_path / "clip.mp4", OutputSettings(stacked=True))
    (tmp_path / "clip.mp4").rename(tmp_path / "clip.webm")
    answer = watched(chromium, tmp_path, port, results)
    assert "error" not in answer, answer
    shown = np.array(answer["red"], np.uint8).reshape((answer["height"], answer["width"], 4)).astype(int)
    height, width = alpha.shape
    assert shown.shape[:2] == (2 * (height + height % 2), width + width % 2)
    lower = shown[shown.shape[0] // 2 :][:height, :width]
    assert np.ptp(lower[..., :3], axis=2).max() <= 4, "grey"
    assert np.abs(lower[..., 1] - alpha).mean() < 1.5
    assert (lower[..., 3] == 255).all(), "the video itself is opaque"


def write_clip(path: Path, settings: OutputSettings) -> np.ndarray:
    """A picture with the formula's exact alpha, five times, through our own sink; gives that alpha, (H, W) uint8.

    Five times the same: on a busy machine the next frame comes between the page's two drawings.
    """
    source = open_source("synthetic:160x96@25:5", InputSettings(), reporter=ListReporter())
    frames = [item for item in source if isinstance(item, Frame)]
    info = source.info
    assert isinstance(source, SyntheticSource)
    alpha = source.clip.alpha(0)
    source.close()
    foreground = clean(frames[0].host_picture(), alpha)
    sink = open_sink(str(path), settings=settings, info=info, reporter=ListReporter())
    sink.open(info)
    for frame in frames:
        sink.write(MattedFrame(replace(frames[0], time=frame.time, index=frame.index), Matte(alpha, foreground)))
    sink.close()
    return alpha
