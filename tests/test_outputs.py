"""Names of outputs: the defaults, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from livematte.config import OutputSettings
from livematte.errors import UsageError
from livematte.outputs import default_target, resolve_targets


@pytest.mark.parametrize(
    ("source", "settings", "name"),
    [
        ("clip.mp4", {}, "clip_alpha.mov"),
        ("clip.mp4", {"format": "webm"}, "clip_alpha.webm"),
        ("clip.mp4", {"format": "png"}, "clip_alpha/"),
        ("clip.mp4", {"format": "rawvideo"}, "clip_alpha.rgba"),
        ("clip.mp4", {"background": "blur=20"}, "clip_blur.mp4"),
        ("clip.mp4", {"background": "#78ff9b"}, "clip_78ff9b.mp4"),
        ("clip.mp4", {"background": "some/beach.jpg"}, "clip_beach.mp4"),
        ("clip.mp4", {"background": "green", "format": "mov"}, "clip_green.mov"),
        ("clip.mp4", {"alpha_only": True}, "clip_matte.mov"),
        ("clip.mp4", {"foreground_only": True}, "clip_foreground.mov"),
        ("clip.mp4", {"stacked": True}, "clip_stacked.mp4"),
        ("clip.mp4", {"stacked": True, "format": "hevc"}, "clip_stacked.mp4"),
        ("clip.mp4", {"background": "green", "format": "hevc"}, "clip_green.mp4"),
        ("clip.mp4", {"format": "png-mov"}, "clip_alpha.mov"),
        ("clip.mp4", {"format": "hevc-alpha"}, "clip_alpha.mov"),
        ("clip.mp4", {"format": "pair"}, "clip.mp4"),
        ("clip.mov", {"format": "pair", "background": "green"}, "clip.mp4"),
        ("clip.mp4", {"format": "png", "alpha_only": True}, "clip_matte/"),
        ("shot_%04d.png", {}, "shot_alpha.mov"),
        ("-", {}, "output_alpha.mov"),
        ("https://me:pw@example.org/live/my%20stream.m3u8?key=1", {}, "my_stream_alpha.mov"),
        ("https://example.org/", {}, "output_alpha.mov"),
    ],
)
def test_default_names(source: str, settings: dict[str, object], name: str) -> None:
    assert default_target(source, OutputSettings.model_validate(settings)) == name


def test_the_default_stands_beside_the_input_and_a_folder_gives_its_name(tmp_path: Path) -> None:
    clip = tmp_path / "my.clip.mp4"
    assert Path(default_target(str(clip), OutputSettings())) == tmp_path / "my.clip_alpha.mov"
    pictures = tmp_path / "pictures.v2"
    pictures.mkdir()
    assert Path(default_target(str(pictures), OutputSettings())) == tmp_path / "pictures.v2_alpha.mov"


def test_an_existing_output_is_refused_unless_it_may_be_replaced(tmp_path: Path) -> None:
    taken = tmp_path / "out.mov"
    taken.write_bytes(b"x")
    with pytest.raises(UsageError, match="--overwrite"):
        resolve_targets("clip.mp4", [str(taken)], OutputSettings())
    assert resolve_targets("clip.mp4", [str(taken)], OutputSettings(overwrite=True)) == [str(taken)]


def test_folders_and_patterns_are_taken_when_something_is_in_them(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    assert resolve_targets("clip.mp4", [f"{folder}/"], OutputSettings()) == [f"{folder}/"]
    pattern = str(folder / "shot_%04d.png")
    assert resolve_targets("clip.mp4", [pattern], OutputSettings()) == [pattern]
    (folder / "shot_0001.png").write_bytes(b"x")
    for target in (f"{folder}/", pattern):
        with pytest.raises(UsageError, match="exists already"):
            resolve_targets("clip.mp4", [target], OutputSettings())


def test_the_input_is_never_an_output_by_whatever_name(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mov"
    clip.write_bytes(b"x")
    other = tmp_path / "link.mov"
    other.symlink_to(clip)
    for target in (str(clip), str(other), str(tmp_path / "." / "clip.mov")):
        with pytest.raises(UsageError, match="input itself"):
            resolve_targets(str(clip), [target], OutputSettings(overwrite=True))


def test_the_scratch_name_is_never_the_input_either(tmp_path: Path) -> None:
    """`livematte convert clip.part.mov -o clip.mov`, to save what an interrupted run left, must not delete it."""
    kept = tmp_path / "clip.part.mov"
    kept.write_bytes(b"x")
    pictures = tmp_path / "shots.part"
    pictures.mkdir()
    for source, target in ((kept, tmp_path / "clip.mov"), (pictures, f"{tmp_path}/shots/")):
        with pytest.raises(UsageError, match="until it is whole, and that is the input"):
            resolve_targets(str(source), [str(target)], OutputSettings())
    assert resolve_targets(str(kept), [str(tmp_path / "other.mov")], OutputSettings())


def test_pictures_are_not_written_over_those_that_are_read(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"shot_{number:04}.png").write_bytes(b"x")
    pattern = str(tmp_path / "shot_%04d.png")
    for source in (pattern, str(tmp_path)):
        with pytest.raises(UsageError, match="input itself"):
            resolve_targets(source, [pattern], OutputSettings(overwrite=True))
    assert resolve_targets(str(tmp_path), [str(tmp_path / "matte_%04d.png")], OutputSettings())


def test_scratch_in_an_empty_folder_does_not_occupy_it(tmp_path: Path) -> None:
    (tmp_path / "shots" / "shots.part").mkdir(parents=True)
    assert resolve_targets("clip.mp4", [f"{tmp_path}/shots/"], OutputSettings())
    (tmp_path / "shots" / "other.txt").write_bytes(b"x")
    with pytest.raises(UsageError, match="exists already"):
        resolve_targets("clip.mp4", [f"{tmp_path}/shots/"], OutputSettings())


def test_two_outputs_of_one_name_and_names_that_say_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="twice"):
        resolve_targets("clip.mp4", [str(tmp_path / "a.mov"), str(tmp_path / "a.mov")], OutputSettings())
    with pytest.raises(UsageError, match=r"\.webm"):
        resolve_targets("clip.mp4", [str(tmp_path / "a.xyz")], OutputSettings())
    with pytest.raises(UsageError, match="--background"):
        resolve_targets("clip.mp4", [str(tmp_path / "a.mp4")], OutputSettings())
    with pytest.raises(UsageError, match="writes nothing"):
        resolve_targets("clip.mp4", ["a.mov"], OutputSettings(format="null"))


def test_a_pair_is_two_files_beside_the_input_and_both_are_looked_at(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x")
    pair = OutputSettings(format="pair")
    assert resolve_targets(str(clip), [], pair) == [str(clip)]
    for word in ("fg", "alpha"):
        taken = tmp_path / f"clip_{word}.mp4"
        taken.write_bytes(b"x")
        with pytest.raises(UsageError, match=f"clip_{word}.mp4 exists already"):
            resolve_targets(str(clip), [], pair)
        with pytest.raises(UsageError, match="input itself"):
            resolve_targets(str(taken), [str(clip)], OutputSettings(format="pair", overwrite=True))
        taken.unlink()
