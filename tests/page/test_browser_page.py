"""The pages in a real headless Chromium: what a person, and what OBS, gets to see."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import cv2
import numpy as np
import pytest
from PIL import Image

from livematte.page.server import PageServer
from page.chromium import Browser, Tab
from page.fake_controls import FakeControls, Playing

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PRIVATE = "GL Driver Message"  # SwiftShader's own remarks on speed


@pytest.fixture
def tab(browser: Browser) -> Any:
    made = browser.tab()
    yield made
    told = [line for line in made.logged if PRIVATE not in line]
    made.open("about:blank")
    assert not told, f"the page's console: {told}"


def _shown(tab: Tab, canvas: str = "after") -> np.ndarray:
    """(96, 160, 3): what is on the screen where the canvas is, at the frame's own size."""
    left, top, width, height = tab.run(f"""(() => {{ const box = document.getElementById('{canvas}')
        .getBoundingClientRect(); return [box.left + scrollX, box.top + scrollY, box.width, box.height]; }})()""")
    shot = tab.screenshot(clip={"x": left, "y": top, "width": width, "height": height, "scale": 1})
    return np.asarray(cv2.resize(shot, (160, 96), interpolation=cv2.INTER_AREA))


def _inside(alphas: list[np.ndarray]) -> np.ndarray:
    """Pixels that nobody covers in any frame, away from the pane's round corners."""
    nobody = np.minimum.reduce([alpha == 0 for alpha in alphas])
    for rows in (slice(0, 6), slice(-6, None)):
        nobody[rows] = False
    return nobody


def _wait_for_pictures(tab: Tab, count: int = 3, canvas: str = "after") -> None:
    tab.wait(f"Number(document.getElementById('{canvas}').dataset.count || 0) >= {count}")


def _press(tab: Tab, text: str) -> None:
    script = f"[...document.querySelectorAll('button')].find((one) => one.textContent === '{text}' && one.offsetParent)"
    tab.wait(f"Boolean({script})")
    tab.run(f"{script}.click()")


def test_the_page_shows_the_matted_picture_and_its_controls_change_it(
    server: PageServer, controls: FakeControls, tab: Tab
) -> None:
    nobody = _inside(controls.alphas)
    with Playing(controls):
        tab.screen(1280, 900)
        tab.open(server.urls.page)
        _wait_for_pictures(tab)
        assert tab.run("location.href").endswith("/"), "the token is no longer in the address"
        assert np.abs(_shown(tab)[nobody].astype(int) - (0, 255, 0)).mean() < 6
        first = int(tab.run("document.getElementById('after').dataset.count"))
        _wait_for_pictures(tab, first + 10)
        assert server.watchers() == 1
        assert "Live" in tab.wait("document.getElementById('state-text').textContent")
        assert "18.4 ms" in tab.run("document.getElementById('stages').textContent")

        tab.run("""(() => { const colour = document.getElementById('colour'); colour.value = '#ff0000';
            colour.dispatchEvent(new Event('input')); })()""")
        end = time.monotonic() + 60
        while np.abs(_shown(tab)[nobody].astype(int) - (255, 0, 0)).mean() > 6:
            assert time.monotonic() < end, "the background did not become red"
        tab.run("""(() => { const shrink = document.getElementById('live-shrink'); shrink.value = '3.5';
            shrink.dispatchEvent(new Event('input')); })()""")
        tab.wait("document.getElementById('live-shrink').value === '3.5'")
        while controls.matting.shrink != 3.5:
            assert time.monotonic() < end

        _press(tab, "Camera off")
        tab.wait("document.getElementById('state-text').textContent.includes('Camera off')")
        assert controls.is_off
        while np.abs(_shown(tab)[10:-10].astype(int) - 90).mean() > 6:
            assert time.monotonic() < end, "the card did not come"
        tab.call("Page.reload")
        tab.wait("document.getElementById('state-text')?.textContent.includes('Camera off')")


def test_the_room_is_asked_for_only_while_its_pane_is_open(
    server: PageServer, controls: FakeControls, tab: Tab
) -> None:
    with Playing(controls):
        tab.open(server.urls.page)
        _wait_for_pictures(tab)
        assert not any(one["before"] for one in controls.wants)
        _press(tab, "Show the room")
        _wait_for_pictures(tab, canvas="before")
        assert controls.wanted["before"]
        room = controls.frames[0].rgb()
        nobody = _inside(controls.alphas)
        assert np.abs(_shown(tab, "before")[nobody].astype(int) - room[nobody]).mean() < 6
        _press(tab, "Hide the room")
        end = time.monotonic() + 60
        while controls.wanted["before"]:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_region_is_drawn_with_the_mouse(server: PageServer, controls: FakeControls, tab: Tab) -> None:
    with Playing(controls):
        tab.screen(1280, 900)
        tab.open(server.urls.page)
        _wait_for_pictures(tab)
        _press(tab, "Draw on the picture")
        left, top, width, height = tab.run("""(() => { const box = document.getElementById('after')
            .getBoundingClientRect(); return [box.left, box.top, box.width, box.height]; })()""")
        at = [(0.25, 0.1), (0.5, 0.5), (0.75, 0.9)]
        for kind, (x, y) in zip(("mousePressed", "mouseMoved", "mouseReleased"), at, strict=True):
            tab.call(
                "Input.dispatchMouseEvent", type=kind, x=left + x * width, y=top + y * height, button="left",
                buttons=1, clickCount=1,
            )  # fmt: skip
        tab.wait("document.getElementById('region').value.startsWith('0.2')")
    assert controls.matting.region is not None
    assert np.allclose([float(part) for part in controls.matting.region.split(",")], [0.25, 0.1, 0.5, 0.8], atol=0.01)


def test_a_dropped_photo_comes_back_transparent(
    server: PageServer, tab: Tab, portrait: bytes, tmp_path: Path, uploads: Path
) -> None:
    photo = tmp_path / "me.png"
    photo.write_bytes(portrait)
    tab.open(server.urls.page)
    _press(tab, "Photos and clips")
    tab.choose_files("#chosen", photo)
    tab.wait("Boolean(document.querySelector('.shown img')?.complete)")
    pixels = tab.run("""(async () => { const image = document.querySelector('.shown img'); await image.decode();
        const canvas = document.createElement('canvas'); canvas.width = image.naturalWidth;
        canvas.height = image.naturalHeight; const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);
        return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data); })()""")
    alpha = np.array(pixels, np.uint8).reshape(240, 320, 4)[..., 3]
    assert (alpha[62:218, 112:208] == 255).all()
    assert alpha.mean() == pytest.approx(255 * 160 * 100 / (320 * 240), abs=2)
    address = tab.run("""(async () => { const asked = await import('/static/api.js');
        const loaded = performance.getEntriesByType('resource').map((one) => one.name);
        const job = loaded.find((one) => one.endsWith('/picture'));
        return (await asked.askJson(new URL(job).pathname.replace('/picture', '/ticket'), {})).url; })()""")
    with urlopen(server.urls.page.split("#")[0] + address.lstrip("/"), timeout=60) as answer:
        assert Image.open(io.BytesIO(answer.read())).mode == "RGBA"

    assert list(uploads.rglob("me.png"))
    tab.open("about:blank")  # the page closes
    end = time.monotonic() + 60
    while list(uploads.rglob("me.png")):
        assert time.monotonic() < end, "what came in is deleted when the page closes"
        time.sleep(0.05)


@pytest.mark.parametrize("webgl", [True, False])
def test_obs_gets_true_transparency(server: PageServer, controls: FakeControls, tab: Tab, webgl: bool) -> None:
    """Two screenshots over different colours: what shows of them is 1 - alpha (Smith and Blinn 1996)."""
    if not webgl:  # OBS with hardware acceleration switched off
        tab.call(
            "Page.addScriptToEvaluateOnNewDocument",
            source="""const real = HTMLCanvasElement.prototype.getContext;
            HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
              return kind === 'webgl' ? null : real.call(this, kind, ...rest); };""",
        )
    assert server.urls.obs is not None
    tab.screen(160, 96)
    tab.open(server.urls.obs)
    time.sleep(0.3)
    assert np.abs(tab.screenshot((255, 0, 0)).astype(int) - (255, 0, 0)).max() == 0, "transparent until frames come"
    count = 0
    end = time.monotonic() + 60
    while not count:  # the first step may come before cut-outs are wanted
        assert time.monotonic() < end
        number = controls.step()
        time.sleep(0.3)
        count = int(tab.run("document.getElementById('picture').dataset.count || 0"))
    red, blue = tab.screenshot((255, 0, 0)), tab.screenshot((0, 0, 255))
    alpha = controls.alphas[number]
    empty, full = alpha == 0, alpha == 255
    assert np.abs(red[empty].astype(int) - (255, 0, 0)).mean() < 0.5
    assert np.abs(blue[empty].astype(int) - (0, 0, 255)).mean() < 0.5
    touched = np.any(red[empty] != (255, 0, 0), axis=-1).mean()
    assert touched < 0.01, "without snapping, JPEG leaves something on 3 % of them"
    assert np.abs(red[full].astype(int) - blue[full]).mean() < 1
    shown = (red[..., 0].astype(int) - blue[..., 0] + blue[..., 2].astype(int) - red[..., 2]) / 510
    assert np.abs(shown - (1 - alpha / 255)).mean() < 2 / 255
    exact = _over(controls, number, (255, 0, 0))
    assert np.abs(red.astype(int) - exact).mean() < 2.5, "edges are neither darkened nor brightened"
    rim = (alpha > 20) & (alpha < 235)
    assert abs((red[rim].astype(int) - exact[rim]).mean()) < 4

    controls.set_camera_off(True)
    tab.wait("document.getElementById('picture').dataset.layout === 'empty'")
    assert np.abs(tab.screenshot((0, 0, 255)).astype(int) - (0, 0, 255)).max() == 0


def _over(controls: FakeControls, number: int, colour: tuple[int, int, int]) -> np.ndarray:
    from livematte.color_convert import to_rgb

    frame = controls.frames[number]
    straight = to_rgb(controls.foregrounds[number], frame.color, frame.width, frame.height).astype(float)
    weight = controls.alphas[number][..., None] / 255
    return straight * weight + np.array(colour) * (1 - weight)


def test_the_obs_page_fills_any_size_and_keeps_the_shape(server: PageServer, controls: FakeControls, tab: Tab) -> None:
    assert server.urls.obs is not None
    tab.screen(640, 640)
    tab.open(server.urls.obs)
    with Playing(controls):
        _wait_for_pictures(tab, canvas="picture")
        shot = tab.screenshot((255, 0, 255))
    there = np.any(np.abs(shot.astype(int) - (255, 0, 255)) > 40, axis=-1)
    rows = np.flatnonzero(there.any(axis=1))
    assert rows.min() >= 128, "160 to 96 in a square leaves 128 px above"
    assert rows.max() < 640 - 128
    assert rows.size > 200


def test_the_obs_page_reconnects_by_itself(server: PageServer, controls: FakeControls, tab: Tab, uploads: Path) -> None:
    from livematte.config import Settings
    from livematte.reporting import ListReporter
    from page.conftest import Client

    port = Client(server.urls).port
    assert server.urls.obs is not None
    tab.open(server.urls.obs)
    with Playing(controls):
        _wait_for_pictures(tab, canvas="picture")
        server.stop()
        tab.wait("document.getElementById('picture').dataset.layout === 'empty'")
        again = PageServer(controls, Settings(), port=port, reporter=ListReporter())
        assert again.start().obs == server.urls.obs
        try:
            seen = int(tab.run("document.getElementById('picture').dataset.count"))
            _wait_for_pictures(tab, seen + 3, canvas="picture")
        finally:
            again.stop()
    tab.logged[:] = [line for line in tab.logged if "ERR_CONNECTION_REFUSED" not in line and "ERR_" not in line]


def test_a_page_without_its_token_says_what_to_do(server: PageServer, tab: Tab) -> None:
    tab.open(server.urls.page.split("#")[0])
    assert "address that livematte printed" in tab.wait("document.getElementById('notice').textContent")
    tab.logged[:] = [line for line in tab.logged if "401" not in line]


def test_everything_has_a_name_for_screen_readers_and_a_place_for_keys(
    server: PageServer, controls: FakeControls, tab: Tab
) -> None:
    with Playing(controls):
        tab.open(server.urls.page)
        _wait_for_pictures(tab)
        tab.run(
            "for (const one of document.querySelectorAll('details, section')) { one.open = true; one.hidden = false; }"
        )
        tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    wanted = {
        "button",
        "slider",
        "textbox",
        "radio",
        "combobox",
        "checkbox",
        "image",
        "ColorWell",
        "DisclosureTriangle",
    }
    nameless = [
        node["role"]["value"] + str(node.get("backendDOMNodeId"))
        for node in tree
        if not node.get("ignored") and node["role"]["value"] in wanted and not node.get("name", {}).get("value")
    ]
    assert not nameless
    assert len(tree) > 60
    unreachable = tab.run("""[...document.querySelectorAll('button, input, select, summary')]
        .filter((one) => one.tabIndex < 0).map((one) => one.id)""")
    assert not unreachable


def test_the_narrow_page_does_not_scroll_sideways(server: PageServer, controls: FakeControls, tab: Tab) -> None:
    with Playing(controls):
        for width, dark in ((360, False), (800, True), (1280, False)):
            tab.screen(width, 800, dark=dark)
            tab.open("about:blank")
            tab.open(server.urls.page)
            _wait_for_pictures(tab)
            assert tab.run("document.documentElement.scrollWidth") <= width
            paper = tab.screenshot()[-3, 3].mean()
            assert paper < 60 if dark else paper > 200
            assert cv2.countNonZero(tab.screenshot()[..., 0]) > 0
