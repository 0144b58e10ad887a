from __future__ import annotations

import inspect
import logging
from pathlib import Path

import av
import av.error
import av.logging
import pytest

from livematte.sources.ffmpeg_errors import REASONS, captured_log, is_damage, last_useful, reason, without_credentials


def _classes() -> dict[str, type[BaseException]]:
    return {
        kind.__name__: kind
        for kind in vars(av.error).values()
        if inspect.isclass(kind) and issubclass(kind, BaseException) and kind.__module__.startswith("av.")
    }


def test_every_exception_of_pyav_has_a_reason_of_its_own() -> None:
    assert set(_classes()) - set(REASONS) == set()


def test_every_error_code_leads_to_a_reason() -> None:
    for code, kind in av.error.classes.items():
        assert reason(kind(code, "the system's words")), kind


def test_the_most_specific_class_wins() -> None:
    assert "404" in reason(av.error.HTTPNotFoundError(1, "x"))
    assert reason(av.error.FileNotFoundError(2, "x")) == REASONS["FileNotFoundError"]
    assert "No space left" in reason(av.error.OSError(28, "No space left on device"))


def test_a_subclass_that_is_new_falls_back_to_its_parent() -> None:
    class Newer(av.error.HTTPClientError):
        pass

    Newer.__module__ = "av.error"
    assert reason(Newer(1, "x")) == REASONS["HTTPClientError"]


def test_pythons_own_errors_have_reasons_too() -> None:
    assert reason(PermissionError(13, "Permission denied")) == "permission denied"
    assert reason(ValueError("odd")) == "odd"


def test_damage_is_told_from_input_and_output_errors() -> None:
    assert is_damage(av.error.InvalidDataError(1, "x"))
    assert not is_damage(av.error.OSError(5, "x"))
    assert not is_damage(av.error.ConnectionResetError(104, "x"))


def test_ffmpegs_reason_is_captured_and_reaches_no_handler(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from clipmaker import Clip, write_clip

    path = write_clip(tmp_path / "a.mp4", Clip(frames=3))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    with caplog.at_level(logging.DEBUG), pytest.raises(av.error.InvalidDataError), captured_log() as lines:
        av.open(str(path))
    assert "moov atom not found" in last_useful(lines)
    assert not caplog.records
    assert av.logging.get_level() is None


def test_credentials_are_taken_out_of_urls() -> None:
    assert without_credentials("rtsp://user:secret@host/a and http://x@y/") == "rtsp://host/a and http://y/"
