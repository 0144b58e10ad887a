"""`livematte webcam` from end to end, on clips in place of a camera."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from outcome import Command

from livematte import presets
from livematte.cli.options import setting_of
from livematte.config import LiveSettings
from livematte.live.governed import adapts
from livematte.reporting import ListReporter
from livematte.sources import camera_devices
from livematte.sources.camera_kinds import Camera, Survey

SOURCE = "synthetic:320x180@30:60"
NULL = ("--runtime", "null", "--output", "null", "--idle-seconds", "0")
PATIENCE_SECONDS = 90.0


def test_a_clip_to_nowhere_ends_with_the_summary(command: Command) -> None:
    done = command("webcam", "--input", SOURCE, "--loop", *NULL, "--duration", "2", "--json")
    assert done.code == 0, done.out
    summary = done.events[-1]
    assert summary["event"] == "summary"
    assert summary["frames"] > 0
    assert summary["frames"] + summary["dropped"] > 10
    assert summary["repeated"] >= 0
    assert summary["faults"] == 0
    assert set(summary["latency_ms"]) == {"p50", "p95", "p99"}
    assert summary["cpu_percent"] > 0
    assert summary["fps"] > 0
    assert summary["rungs"][0].startswith("livematte-s ")
    assert summary["outputs"] == {"null": "closed"}
    kinds = [event["event"] for event in done.events]
    assert kinds.count("start") == kinds.count("summary") == 1
    start = next(event for event in done.events if event["event"] == "start")
    assert "livematte-s" in start["engine"]
    assert "320x180" in start["camera"]
    assert start["status"].endswith("-> null")


def test_the_status_line_comes_first_and_a_clip_ends_by_itself(command: Command, clip: Path) -> None:
    done = command("webcam", "--input", clip, *NULL, "--quality", "fast")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert "livematte-s" in lines[0]
    assert "clip.mp4" in lines[0]
    assert lines[0].endswith("-> null")
    assert "frames in" in lines[-1]
    assert done.err == ""


def test_a_recording_beside_it_carries_alpha(command: Command, tmp_path: Path) -> None:
    import av

    target = tmp_path / "take.mov"
    done = command("webcam", "--input", SOURCE, *NULL, "--output", target, "--encode", "fast", "--json")
    assert done.code == 0, done.out
    assert done.events[-1]["outputs"] == {"null": "closed", str(target): "closed"}
    with av.open(str(target)) as container:
        assert "a" in container.streams.video[0].format.name


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["--duration", "0"], 2, "above 0"),
        (["--duration", "-3"], 2, "above 0"),
        (["--cpu-share", "2"], 2, "--cpu-share cannot be '2'"),
        (["--adapt", "perhaps"], 2, "auto, on or off"),
        (["--output", "null"], 2, "named twice"),
        (["--model", "nothing-of-the-kind"], 4, "nothing-of-the-kind"),
        (["--background", "no such picture.jpg"], 3, "no such picture.jpg"),
        (["--background", "blur=2"], 2, "would leave the room to be seen"),
        (["--region", "somewhere"], 2, "somewhere"),
        (["--keep-background"], 2, "room"),
        (["--start", "3"], 2, "no option '--start'"),
        (["clip.mp4"], 2, "one argument too many"),
    ],
)
def test_what_cannot_be_ends_with_its_code(command: Command, arguments: list[str], code: int, part: str) -> None:
    done = command("webcam", "--input", SOURCE, *NULL, *arguments)
    assert done.code == code, done.err
    assert part in done.err
    assert "Traceback" not in done.err


def test_a_clip_that_is_not_there(command: Command) -> None:
    done = command("webcam", "--input", "nowhere.mp4", *NULL, "--json")
    assert done.code == 3
    assert done.events[-1]["event"] == "error"
    assert "nowhere.mp4" in done.events[-1]["message"]


def test_the_extra_for_the_virtual_camera_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    done = command("webcam", "--input", SOURCE, "--output", "virtual", "--runtime", "null")
    assert done.code == 1
    assert "pip install 'livematte[webcam]'" in done.err


def test_the_extra_for_the_page_is_named_before_the_camera_is_opened(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    done = command("webcam", "--input", SOURCE, *NULL, "--page", "--page-port", "0")
    assert done.code == 2
    assert "livematte[" in done.err
    assert "frames in" not in done.out


def test_the_page_is_shown_where_it_was_asked_for(command: Command) -> None:
    pytest.importorskip("uvicorn")
    done = command(
        "webcam", "--input", SOURCE, "--loop", *NULL, "--page", "--page-port", "0", "--duration", "1", "--json"
    )
    assert done.code == 0, done.out
    page = next(event for event in done.events if event["event"] == "page")
    assert page["url"].startswith("http://127.0.0.1:")
    assert page["obs_url"]
    assert done.events[-1]["outputs"] == {"null": "closed", "page": "closed"}


def test_a_new_token_shows_the_page_with_another_address(command: Command) -> None:
    pytest.importorskip("uvicorn")
    from livematte.page.tokens import obs_token

    def address(*more: str) -> str:
        done = command(
            "webcam", "--input", SOURCE, *NULL, "--page", "--page-port", "0", "--duration", "0.3", "--json", *more
        )
        assert done.code == 0, done.out
        found = next(event["obs_url"] for event in done.events if event["event"] == "page")
        return str(found).partition("#")[2]

    kept = obs_token(reporter=ListReporter())
    assert address() == kept
    assert address("--rotate-token") != kept


# -- cameras --------------------------------------------------------------------------------------------------------


def test_list_names_cameras_and_what_is_left_out(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera(0, "HD Pro Webcam C920", "/dev/video0")
    own = Camera(-1, "livematte", "/dev/video10", kind="own", remark="livematte's own virtual camera")
    monkeypatch.setattr(camera_devices, "survey", lambda: Survey((camera,), (own,)))
    monkeypatch.setattr(camera_devices, "describe_camera", lambda one: f"{one.number}  {one.name}: 1280x720 at 30")
    done = command("webcam", "--list")
    assert done.code == 0
    assert "0  HD Pro Webcam C920: 1280x720 at 30" in done.out
    assert "not offered: livematte (/dev/video10)" in done.out
    assert "--input" in done.out
    listed = command("webcam", "--list", "--json").events[-1]
    assert [one["name"] for one in listed["cameras"]] == ["HD Pro Webcam C920"]
    monkeypatch.setattr(camera_devices, "survey", lambda: Survey((), (), "the system cannot be asked"))
    nothing = command("webcam", "--list")
    assert nothing.code == 0
    assert "--input clip.mp4 --loop" in nothing.out
    assert "cannot be asked" in nothing.out


# -- help and presets -----------------------------------------------------------------------------------------------


def test_every_live_setting_is_an_option_with_its_help(command: Command) -> None:
    done = command("webcam", "--help")
    assert done.code == 0
    text = " ".join(done.out.replace("│", " ").split())
    for key, field in LiveSettings.model_fields.items():
        assert f"--{key.replace('_', '-')}" in text
        assert (field.description or "?").split(":")[0].split(";")[0] in text
        assert setting_of(key) is field
    for option in ("--background", "--overwrite", "--quality", "--subject", "--page", "--no-open", "--duration"):
        assert option in text
    for meaningless in ("--constant-rate", "--no-audio", "--keep-location", "--start"):
        assert meaningless not in text


@pytest.mark.parametrize("name", ["call", "stream"])
def test_the_live_presets_leave_the_governor_its_work(name: str) -> None:
    settings = presets.load_settings(preset=name)
    assert adapts(settings)
    assert not settings.live.allow_raw
    assert settings.matting.subject == "largest"
    assert presets.preset_title(presets.preset_files()[name])
    stated = presets.read_layer(presets.preset_files()[name])
    assert {"live", "matting", "output"} <= set(stated)
    assert settings.output.background == ("blur" if name == "call" else None)


# -- its end --------------------------------------------------------------------------------------------------------


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "livematte", "webcam", "--input", SOURCE, "--loop", *NULL, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def events_until(process: subprocess.Popen[str], kind: str) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        yield event
        if event["event"] == kind:
            return
    raise AssertionError(f"it ended before '{kind}': {process.stderr.read() if process.stderr else ''}")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_whoever_ends_it_ends_it_in_order_with_0(name: str) -> None:
    process = start("--json")
    try:
        list(events_until(process, "start"))
        deadline = time.monotonic() + PATIENCE_SECONDS
        for event in events_until(process, "summary"):
            if event["event"] == "progress" and event["frames"] > 0:
                process.send_signal(getattr(signal, name))
                break
            assert time.monotonic() < deadline
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["event"] == "summary"
    assert err == ""
