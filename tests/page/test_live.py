"""State, pictures and controls of a live run, over HTTP."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from livematte.color_convert import to_rgb
from livematte.config import Settings
from livematte.page.pictures import fitted, side_by_side
from livematte.page.server import PageServer
from livematte.reporting import ListReporter
from page.conftest import Answer, Client
from page.fake_controls import FakeControls, Playing


def _decoded(answer: Answer) -> np.ndarray:
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "image/jpeg"
    return np.ascontiguousarray(cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])


def _number(answer: Answer) -> int:
    return int(answer.headers["etag"].strip('"'))


def _frame(client: Client, *, view: str = "after", after: int = 0, layout: str | None = None) -> Answer:
    """The next frame; with `layout`: as soon as one of that layout comes."""
    end = time.monotonic() + 30
    while True:
        if view == "obs":
            answer = client.ask("GET", f"/api/obs/frame?client=t&after={after}", token=client.obs_token)
        else:
            answer = client.ask("GET", f"/api/live/frame?client=t&view={view}&after={after}")
        if answer.headers.get("x-livematte-layout") == (layout or answer.headers.get("x-livematte-layout")):
            return answer
        assert time.monotonic() < end, f"no {layout} picture came"
        after = _number(answer) if "etag" in answer.headers else after


def test_the_state_comes_whole(client: Client) -> None:
    state = client.ask("GET", "/api/live/state").json
    assert state["state"] == "running"
    assert state["stages_ms"]["network"] == 18.4
    assert state["matting"]["smooth"] == "normal"
    assert state["watchers"] == 0


def test_the_composite_comes_out_as_it_is(client: Client, controls: FakeControls) -> None:
    with Playing(controls):
        shown = _decoded(_frame(client, layout="plain"))
    assert shown.shape == (96, 160, 3)
    empty = np.minimum.reduce([alpha == 0 for alpha in controls.alphas])
    assert np.abs(shown[empty].astype(int) - (0, 255, 0)).mean() < 6, "the background's green where nobody is"
    green = np.all(np.abs(shown.astype(int) - (0, 255, 0)) < 60, axis=-1)
    assert not green.all(), "and somebody is there"


def test_a_frame_is_handed_out_once_and_the_newest_wins(client: Client, controls: FakeControls) -> None:
    client.ask("GET", "/api/live/frame?client=t&after=0")  # somebody watches: the composite is wanted from now on
    controls.step()
    first = _frame(client, layout="plain")
    again = client.ask("GET", f"/api/live/frame?client=t&after={_number(first)}")
    assert again.status == 204
    assert again.headers["x-livematte-layout"] == "same"
    for _ in range(3):
        controls.step()
    assert _number(_frame(client, after=_number(first), layout="plain")) != _number(first)


def test_the_room_is_shown_only_where_it_was_allowed(client: Client, controls: FakeControls, uploads: Path) -> None:
    with Playing(controls):
        room = _decoded(_frame(client, view="before", layout="plain"))
        assert {"before": True, "straight": False, "composite": False} in controls.wants
    expected = controls.frames[0].rgb()
    nobody = np.minimum.reduce([alpha == 0 for alpha in controls.alphas])
    assert np.abs(room[nobody].astype(int) - expected[nobody]).mean() < 6

    strict = PageServer(controls, Settings(), port=0, reporter=ListReporter())
    other = Client(strict.start())
    try:
        controls.wants.clear()
        answer = other.ask("GET", "/api/live/frame?client=t&view=before&after=0")
        assert answer.status == 403
        assert "--allow-raw" in answer.json["message"]
        assert not any(one["before"] for one in controls.wants)
    finally:
        strict.stop()


def test_obs_gets_straight_colours_beside_alpha(client: Client, controls: FakeControls) -> None:
    with Playing(controls):
        answer = _frame(client, view="obs", layout="sides")
    both = _decoded(answer)
    width, height = map(int, answer.headers["x-livematte-size"].split("x"))
    assert (width, height) == (160, 96)
    colour, alpha = both[:, :width], both[:, both.shape[1] // 2 :][:, :width, 1]
    errors = [np.abs(alpha.astype(int) - one).mean() for one in controls.alphas]
    best = int(np.argmin(errors))
    assert errors[best] < 1.5
    exact = controls.alphas[best]
    assert alpha[exact == 255].min() >= 240
    seen = exact > 8
    straight = to_rgb(controls.foregrounds[best], controls.frames[best].color, width, height)
    assert np.abs(colour[seen].astype(int) - straight[seen]).mean() < 4, "colours are not multiplied by alpha"


@pytest.mark.parametrize("width", [64, 100, 1, 333])
def test_no_width_lets_alpha_bleed_into_colour(width: int) -> None:
    rgb = np.full((40, width, 3), (250, 30, 30), np.uint8)
    picture = side_by_side(rgb, np.zeros((40, width), np.uint8))
    both = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    half = both.shape[1] // 2
    assert half % 16 == 0
    assert np.abs(both[:, :width].astype(int) - (250, 30, 30)).max() <= 4
    assert both[:, half : half + width].max() <= 3, "what the shader takes for nothing"


def test_large_pictures_are_made_smaller_and_small_ones_stay() -> None:
    assert fitted(3840, 2160, (1280, 720)) == (1280, 720)
    assert fitted(1080, 1920, (1280, 720)) == (405, 720)
    assert fitted(160, 96, (1280, 720)) == (160, 96)


def test_a_camera_that_is_off_is_a_card_here_and_nothing_in_obs(client: Client, controls: FakeControls) -> None:
    with Playing(controls):
        _frame(client, layout="plain")
        assert client.ask("POST", "/api/live/camera", {"off": True}).json["state"] == "off"
        time.sleep(0.2)
    card = _decoded(_frame(client, layout="plain"))
    assert np.abs(card.astype(int) - 90).mean() < 5
    empty = _frame(client, view="obs", layout="empty")
    assert empty.status == 204
    assert _frame(client, view="before", layout="empty").status == 204


def test_before_the_first_frame_obs_is_empty(client: Client) -> None:
    assert _frame(client, view="obs", layout="empty").status == 204


def test_a_transparent_background_is_shown_as_a_cut_out(client: Client, controls: FakeControls) -> None:
    controls.background = "transparent"
    with Playing(controls):
        assert _decoded(_frame(client, layout="sides")).shape[1] == 320


def test_nobody_watches_nobody_pays(client: Client, controls: FakeControls) -> None:
    with Playing(controls):
        _frame(client, layout="plain")
        end = time.monotonic() + 30
        while controls.wanted["composite"]:
            assert time.monotonic() < end
            time.sleep(0.05)
        before = controls.waits
        time.sleep(0.6)
        assert controls.waits == before, "no frame is waited for, let alone encoded"
    assert controls.wanted == {"before": False, "straight": False, "composite": False}


def test_one_encoding_serves_all(client: Client, controls: FakeControls, monkeypatch: pytest.MonkeyPatch) -> None:
    from livematte.page import feed

    made = []
    real = feed.encode
    monkeypatch.setattr(feed, "encode", lambda item, view, **named: made.append(view) or real(item, view, **named))
    client.ask("GET", "/api/live/frame?client=a&after=0")
    controls.step()
    numbers = set()
    for name in "abcdef":
        answer = client.ask("GET", f"/api/live/frame?client={name}&after=0")
        if answer.headers.get("x-livematte-layout") == "plain":
            numbers.add(_number(answer))
    assert len(numbers) == 1
    assert len(made) <= 3


def test_controls_change_what_runs(client: Client, controls: FakeControls) -> None:
    assert client.ask("POST", "/api/live/background", {"text": "blur=25"}).json["background"] == "blur=25"
    changes = {"shrink": 2, "levels": [0.1, 0.9], "smooth": "strong", "region": "0.25,0,0.5,1", "subject": "largest"}
    state = client.ask("POST", "/api/live/matting", changes).json
    assert state["matting"]["levels"] == [0.1, 0.9]
    assert (controls.matting.shrink, controls.matting.region) == (2.0, "0.25,0,0.5,1")
    assert client.ask("POST", "/api/live/matting", {"region": None}).json["matting"]["region"] is None
    assert controls.matting.shrink == 2.0, "what was not named stays"


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/api/live/background", {"text": "nonsense"}, "not known"),
        ("/api/live/background", {"text": ""}, "no background"),
        ("/api/live/background", {"text": 5}, "text"),
        ("/api/live/background", {}, "text"),
        ("/api/live/matting", {"shrink": 99}, "shrink"),
        ("/api/live/matting", {"levels": [1]}, "levels"),
        ("/api/live/matting", {"keep_background": True}, "cannot be changed"),
        ("/api/live/camera", {"off": "yes"}, "true or false"),
        ("/api/live/camera", b"{", "JSON"),
        ("/api/live/camera", b"[]", "object"),
    ],
)
def test_wrong_changes_are_refused_with_the_reason(
    client: Client, controls: FakeControls, path: str, body: object, word: str
) -> None:
    answer = client.ask("POST", path, body)
    assert answer.status == 400
    assert word in answer.json["message"]
    assert answer.json["kind"] == "UsageError"
    assert controls.background == "#00ff00"
    assert not controls.matting.keep_background


def test_an_error_of_our_own_is_json_too(
    client: Client, controls: FakeControls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(text: str) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(controls, "set_background", broken)
    answer = client.ask("POST", "/api/live/background", {"text": "red"})
    assert (answer.status, answer.json["kind"]) == (500, "InternalError")
    assert "nobody thought of this" in caplog.text
    caplog.clear()


def test_a_body_that_is_too_large_is_refused(client: Client) -> None:
    answer = client.ask("POST", "/api/live/camera", b" " * (65 << 10))
    assert answer.status == 413


@pytest.mark.parametrize(
    "query", ["", "client=a", "client=a&after=x", "client=a/b&after=1", "after=1", "client=a&after=1&view=x"]
)
def test_a_frame_is_asked_for_properly(client: Client, query: str) -> None:
    expected = {"client=a": 204}.get(query, 400)
    assert client.ask("GET", f"/api/live/frame?{query}").status == expected


def test_a_background_is_uploaded_and_the_one_before_deleted(
    client: Client, controls: FakeControls, uploads: Path
) -> None:
    paths = []
    for colour in (10, 200):
        _, coded = cv2.imencode(".png", np.full((8, 8, 3), colour, np.uint8))
        answer = client.ask("POST", "/api/live/background/file?name=../../sky.png", coded.tobytes())
        assert answer.status == 200, answer.body
        paths.append(Path(controls.background))
    assert paths[1].read_bytes() == coded.tobytes()
    assert paths[1].name == "sky.png"
    assert uploads in paths[1].parents
    assert not paths[0].exists()
