"""Settings from files: what wins, what is refused, and that configs/ tells the truth."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from livematte import presets, resources
from livematte.cli.options import InputSettings, MattingOptions, OutputOptions, RunOptions, settings_from
from livematte.config import Settings
from livematte.errors import UsageError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture
def own_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(resources, "config_dir", lambda: tmp_path / "config")
    folder = tmp_path / "config" / "presets"
    folder.mkdir(parents=True)
    return folder


def test_reference_is_up_to_date() -> None:
    assert (CONFIGS / "reference.toml").read_text(encoding="utf-8") == presets.reference_toml(), (
        "run: python docs/make_reference.py"
    )


def test_reference_equals_the_defaults_and_lists_every_key() -> None:
    text = (CONFIGS / "reference.toml").read_text(encoding="utf-8")
    assert presets.load_settings(config=CONFIGS / "reference.toml") == Settings()
    stated = tomllib.loads(text)
    for name, section in Settings.model_fields.items():
        for key, field in section.annotation.model_fields.items():  # type: ignore[union-attr]
            assert key in stated[name] or (field.default is None and f"# {key} = " in text)


def test_shipped_presets_are_valid_and_explained() -> None:
    found = presets.preset_files()
    assert {"premiere", "obs", "web", "call", "stream"} <= found.keys()
    assert "reference" not in found
    for name, path in found.items():
        settings = presets.load_settings(preset=name)
        assert settings.output.format is not None or "live" in presets.read_layer(path)
        assert presets.preset_title(path)


def test_options_beat_the_file_and_the_file_beats_the_preset(own_presets: Path, tmp_path: Path) -> None:
    (own_presets / "mine.toml").write_text('[output]\nformat = "webm"\nencode = "fast"\n[matting]\nshrink = 1.0\n')
    config = tmp_path / "my.toml"
    config.write_text('[output]\nencode = "lossless"\n[matting]\nshrink = 2.0\n')
    run = RunOptions(preset="mine", config=str(config))
    typed = {"matting": MattingOptions(shrink=3.0), "output": OutputOptions(), "input": InputSettings()}
    settings = settings_from(run, typed)
    assert settings.output.format == "webm"
    assert settings.output.encode == "lossless"
    assert settings.matting.shrink == 3.0
    assert settings.matting.feather == Settings().matting.feather


def test_an_option_typed_with_its_default_value_still_wins(own_presets: Path) -> None:
    (own_presets / "mine.toml").write_text("[matting]\nshrink = 1.0\n")
    settings = settings_from(RunOptions(preset="mine"), {"matting": MattingOptions(shrink=0.0)})
    assert settings.matting.shrink == 0.0


def test_a_users_preset_goes_before_a_shipped_one(own_presets: Path) -> None:
    (own_presets / "web.toml").write_text('[output]\nformat = "mkv"\n')
    assert presets.load_settings(preset="web").output.format == "mkv"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[matting]\nshrnk = 2\n", ["'matting.shrnk'", "Did you mean 'shrink'?"]),
        ('[matting]\nformat = "mov"\n', ["'matting.format'", "[output]"]),
        ("shrink = 2\n", ["'shrink'", "belongs into the section [matting]"]),
        ("[mating]\nshrink = 2\n", ["'mating'", "Did you mean 'matting'?"]),
        ("[matting]\nshrink = 200\n", ["matting.shrink", "200", "a number from -50 to 50"]),
        ('[model]\nquality = "superb"\n', ["model.quality", "'superb'", "fast, good or best"]),
        ("model = 3\n", ["'model'", "section", "[model]"]),
        ("[matting\n", ["not valid TOML"]),
    ],
)
def test_a_wrong_file_names_file_key_and_what_is_allowed(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        presets.load_settings(config=path)
    for part in [str(path), *parts]:
        assert part in str(caught.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        presets.load_settings(config="nowhere.toml")


def test_a_preset_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="Did you mean 'premiere'"):
        presets.load_settings(preset="premier")
