"""`--refine-with` from the settings to the files: both networks loaded, said and run; tiny networks."""

from __future__ import annotations

from pathlib import Path

import make_models
import numpy as np
import pytest
from PIL import Image
from test_session import AREA, RATIO, STATES, manifest

import livematte
from livematte.config import MattingSettings, ModelSettings, OutputSettings, Settings
from livematte.conversion import Conversion
from livematte.errors import ModelError, ModelMissing, NobodyFound
from livematte.models.load import load_model
from livematte.models.session import second_sessions
from livematte.photos.conversion import convert_photos
from livematte.photos.options import PhotoOptions
from livematte.reporting import ListReporter

pytest.importorskip("onnxruntime")


@pytest.fixture
def coarse(tmp_path: Path) -> Path:
    """alpha = gray."""
    path = make_models.stateless(tmp_path / "coarse.onnx")
    manifest(path, size=AREA)
    return path


@pytest.fixture
def fine(tmp_path: Path) -> Path:
    """alpha = 1 - gray."""
    path = make_models.stateless(tmp_path / "fine.onnx")
    manifest(path, size=AREA, alpha="invert = true")
    return path


def settings(coarse: Path, fine: Path | str, **more: object) -> ModelSettings:
    return ModelSettings(model=str(coarse), refine_with=str(fine), device="cpu", **more)


def scene() -> np.ndarray:
    """A bright figure of 60x120 px in the dark, with a dark half: both networks disagree all over."""
    picture = np.full((240, 320, 3), 20, np.uint8)
    picture[80:200, 130:190] = 230
    return picture


def test_both_are_loaded_and_said(coarse: Path, fine: Path) -> None:
    loaded = load_model(settings(coarse, fine), reporter=ListReporter())
    assert loaded.second is not None
    assert loaded.second.path == fine
    assert loaded.second.settings.refine_with is None
    assert loaded.describe().count("test in fp32 on cpu") == 2
    assert ", refined with test in fp32 on cpu" in loaded.describe()
    make = second_sessions(loaded)
    assert make is not None
    assert make() is not make()
    loaded.close()
    assert loaded.second.engine.session is None  # type: ignore[attr-defined]


def test_one_network_alone_has_no_second(coarse: Path) -> None:
    loaded = load_model(ModelSettings(model=str(coarse), device="cpu"), reporter=ListReporter())
    assert loaded.second is None
    assert second_sessions(loaded) is None
    assert "refined" not in loaded.describe()
    loaded.close()


def test_the_same_file_twice_is_loaded_once(coarse: Path) -> None:
    loaded = load_model(settings(coarse, coarse, network_size="64x64"), reporter=ListReporter())
    assert loaded.second is not None
    assert loaded.second.engine is loaded.engine
    assert loaded.second.settings.network_size is None
    loaded.close()


@pytest.mark.parametrize(
    ("second", "error", "words"),
    [
        ("nobody-knows", ModelError, "there is no network called 'nobody-knows'"),
        ("isnet", ModelMissing, "livematte model fetch isnet"),
        ("rmbg-1.4", ModelMissing, "--accept-licence"),
        ("missing.onnx", ModelError, "missing.onnx"),
        ("weights.pth", ModelError, "Only ONNX networks are run"),
    ],
)
def test_a_second_network_that_cannot_be_ends_as_the_first_does(
    coarse: Path, second: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as first:
        load_model(ModelSettings(model=second, device="cpu"), reporter=ListReporter())
    with pytest.raises(error, match=words) as found:
        load_model(settings(coarse, second), reporter=ListReporter())
    assert str(found.value) == str(first.value)
    assert found.value.exit_code == first.value.exit_code == 4  # type: ignore[attr-defined]


def test_the_first_is_closed_where_the_second_cannot_be(coarse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from livematte.models.load import LoadedModel

    closed: list[Path] = []
    monkeypatch.setattr(LoadedModel, "close", lambda self: closed.append(self.path))
    with pytest.raises(ModelError):
        load_model(settings(coarse, "nobody-knows"), reporter=ListReporter())
    assert closed == [coarse]


def test_session_of_the_python_api(coarse: Path, fine: Path) -> None:
    """Where the first network is sure, the second one's answer: 1 - 230/255 on the figure; 0 away from it."""
    with livematte.Session(settings=settings(coarse, fine)) as session:
        alpha = session.matte(scene())
        assert "refined with" in session.describe()
        again = list(session.matte_frames([scene()] * 2))
    assert np.abs(alpha[100:180, 145:175].astype(int) - 25).max() <= 2
    assert alpha[80:200, 115:125].mean() > 100  # the band: the second network says 1 - 20/255 there
    assert not alpha[:40].any()
    assert not alpha[:, :80].any()
    for one in again:
        assert np.array_equal(one, alpha)


def test_refine_with_is_an_argument_of_the_session(fine: Path) -> None:
    with livematte.Session(refine_with=str(fine), device="cpu") as session:
        assert "livematte-s" in session.describe()
        assert "refined with test" in session.describe()


def test_photos(coarse: Path, fine: Path, tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    Image.fromarray(np.full((64, 64, 3), 20, np.uint8)).save(tmp_path / "dark.png")
    model = Settings(model=settings(coarse, fine))
    convert_photos(
        [str(tmp_path / "a.png")], None, settings=model, options=PhotoOptions(alpha_only=True), reporter=ListReporter()
    )
    with Image.open(tmp_path / "a_matte.png") as written:
        alpha = np.asarray(written)
    with livematte.Session(settings=settings(coarse, fine)) as session:
        assert np.array_equal(alpha, session.matte(scene()))
    with pytest.raises(NobodyFound):
        convert_photos([str(tmp_path / "dark.png")], None, settings=model, reporter=ListReporter())


def test_convert_says_both_and_times_them(coarse: Path, fine: Path) -> None:
    """The synthetic clip's bright square moves; each frame is matted, and none of the dark ones."""
    given = Settings(
        model=settings(coarse, fine), output=OutputSettings(format="null"), matting=MattingSettings(subject="all")
    )
    conversion = Conversion("synthetic:160x120@25:6", settings=given, reporter=ListReporter())
    conversion.prepare()
    assert "refined with" in conversion.status
    summary = conversion.run()
    assert summary.frames == 6
    assert {"coarse", "crop", "network", "preprocess"} <= set(summary.stages)


def test_a_recurrent_second_network(coarse: Path, tmp_path: Path) -> None:
    """Its past goes on while the box stands: 0.5 now + 0.1 * (2 - 2^-n) of the mean before, warmed by three runs."""
    path = make_models.recurrent(tmp_path / "r.onnx")
    manifest(path, size=RATIO, alpha='name = "pha"', more=STATES, image='name = "src"')
    whole = np.full((96, 128, 3), 204, np.uint8)
    with livematte.Session(settings=settings(coarse, path), matting=MattingSettings(smooth="off")) as session:
        found = [float(alpha.mean()) for alpha in session.matte_frames([whole] * 3)]
    expected = [0.8 * 255 * (0.5 + 0.1 * (2 - 2.0**-runs)) for runs in (3, 4, 5)]
    assert found == pytest.approx(expected, abs=1.0)
    assert found[0] < found[2]
