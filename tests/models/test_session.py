"""Sessions on tiny networks whose answers follow from a formula, and publishers' preprocessing by hand."""

from __future__ import annotations

from pathlib import Path

import make_models
import numpy as np
import pytest
from publishers import PUBLISHED, Published

from livematte import resources
from livematte.config import ModelSettings
from livematte.errors import DeviceError, ModelError, UsageError
from livematte.frames import Frame
from livematte.models import catalogue
from livematte.models.load import LoadedModel, load_model
from livematte.models.manifest import AlphaOutput
from livematte.models.session import Session, take_alpha
from livematte.photos.stills import Still, to_frame
from livematte.reporting import ListReporter
from livematte.runtimes.placement import NodeRun

LICENCE = 'licence = { spdx = "MIT", commercial = "yes", text = "test", evidence = "u" }'
WEIGHTS = 'weights = [{ source = "bring", file = "x.onnx", export = "make it" }]'


def frame(rgb: np.ndarray, index: int = 0) -> Frame:
    return to_frame(Still(np.ascontiguousarray(rgb)), index=index)


def grey(height: int, width: int, value: float) -> Frame:
    return frame(np.full((height, width, 3), round(value * 255), np.uint8))


def manifest(path: Path, *, size: str, alpha: str = "{ position = 0 }", more: str = "", image: str = "") -> None:
    """A manifest beside a network."""
    path.with_suffix(".toml").write_text(
        f"""format = 1
name = "test"
title = "test"
subjects = ["people"]
about = "test"
{LICENCE}
[[graphs]]
{WEIGHTS}
{more}
[graphs.input]
{image}
size = {size}
[graphs.alpha]
{alpha.strip("{} ").replace(", ", chr(10))}
[defaults]
warm_runs = 3
""",
        encoding="utf-8",
    )


def load(path: Path, **settings: object) -> LoadedModel:
    return load_model(ModelSettings(model=str(path), device="cpu", **settings), reporter=ListReporter())


AREA = '{ policy = "area", multiple_of = 32, pixels = { fast = 4096, good = 4096, best = 16384 } }'


def test_the_default_network_runs() -> None:
    loaded = load_model(ModelSettings(device="cpu"), reporter=ListReporter())
    session = Session(loaded)
    alpha = session.estimate(grey(90, 160, 0.4)).alpha
    assert alpha.dtype == np.float32
    assert alpha.shape == (256, 448)
    assert 0 <= alpha.min() <= alpha.max() <= 1
    assert not session.is_recurrent
    assert "livematte-s in fp32 on cpu" in loaded.describe()
    assert "onnxruntime" in loaded.describe()
    session.close()
    loaded.close()


def test_size_change_binds_again(tmp_path: Path) -> None:
    path = make_models.stateless(tmp_path / "a.onnx")
    manifest(path, size=AREA)
    session = Session(load(path))
    assert session.estimate(grey(100, 100, 0.2)).alpha.shape == (64, 64)
    found = session.estimate(grey(50, 200, 0.8)).alpha
    assert found.shape == (32, 128)
    np.testing.assert_allclose(found, 204 / 255, atol=1e-5)
    assert session.network_size.width == 128


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2), (2, 333), (3840, 2160)])
def test_odd_sizes(tmp_path: Path, width: int, height: int) -> None:
    path = make_models.stateless(tmp_path / "a.onnx")
    manifest(path, size=AREA)
    np.testing.assert_allclose(Session(load(path)).estimate(grey(height, width, 0.6)).alpha, 0.6, atol=1e-5)


@pytest.mark.parametrize("make", [make_models.half, make_models.half_out, make_models.stateless])
def test_half_precision_in_and_out(tmp_path: Path, make: object) -> None:
    path = make(tmp_path / "a.onnx")
    manifest(path, size=AREA)
    found = Session(load(path)).estimate(grey(64, 64, 0.2)).alpha
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 0.2, atol=1e-3)


def test_half_precision_on_a_processor_is_said(tmp_path: Path) -> None:
    path = make_models.half(tmp_path / "a.onnx")
    manifest(path, size=AREA)
    reporter = ListReporter()
    load_model(ModelSettings(model=str(path), device="cpu"), reporter=reporter)
    assert any("half precision" in note for note in reporter.notes)


def test_nhwc_with_mean_and_std(tmp_path: Path) -> None:
    path = make_models.nhwc(tmp_path / "a.onnx")
    manifest(
        path,
        size='{ policy = "fixed", width = 12, height = 8, fit = "stretch" }',
        image='layout = "NHWC"\nchannels = "BGR"\nmean = [0.5, 0.25, 0.0]\nstd = [0.5, 0.5, 1.0]',
    )
    rgb = np.zeros((8, 12, 3), np.uint8)
    rgb[...] = (51, 102, 204)  # the channels arrive as 0.8, 0.4, 0.2
    found = Session(load(path)).estimate(frame(rgb)).alpha
    np.testing.assert_allclose(found, ((0.8 - 0.5) / 0.5 + (0.4 - 0.25) / 0.5 + 0.2) / 3, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "alpha", "expected"),
    [
        (make_models.logits, 'activation = "sigmoid"', lambda g: 1 / (1 + np.exp(4 - 8 * g))),
        (make_models.softmax, 'activation = "softmax", channel = 1', lambda g: 1 / (1 + np.exp(4 - 8 * g))),
        (make_models.softmax, 'activation = "softmax", channel = 0, invert = true',
         lambda g: 1 / (1 + np.exp(4 - 8 * g))),
        (make_models.stateless, "invert = true", lambda g: 1 - g),
    ],
)  # fmt: skip
def test_activations(tmp_path: Path, make: object, alpha: str, expected: object) -> None:
    path = make(tmp_path / "a.onnx")
    manifest(path, size=AREA, alpha=alpha)
    for value in (0.0, 0.2, 0.6, 1.0):
        found = Session(load(path)).estimate(grey(32, 32, value)).alpha
        np.testing.assert_allclose(found, expected(value), atol=1e-5)


def test_which_output_is_alpha(tmp_path: Path) -> None:
    path = make_models.many(tmp_path / "a.onnx")
    size = '{ policy = "fixed", width = 16, height = 16, fit = "stretch" }'
    for at, expected in enumerate((0.2, 0.8, 0.0)):
        manifest(path, size=size, alpha=f"position = {at}")
        np.testing.assert_allclose(Session(load(path)).estimate(grey(9, 9, 0.2)).alpha, expected, atol=1e-5)


def test_letterbox_pads_with_zeros_and_crops_them(tmp_path: Path) -> None:
    path = make_models.many(tmp_path / "a.onnx")
    manifest(path, size='{ policy = "fixed", width = 16, height = 16, fit = "letterbox" }')
    loaded = load(path)
    session = Session(loaded)
    found = session.estimate(grey(20, 40, 0.6)).alpha
    assert found.shape == (8, 16)
    np.testing.assert_allclose(found, 0.6, atol=1e-5)
    fed = session._binding.buffer("input.1")
    assert not fed[:, :, :4].any()
    assert not fed[:, :, 12:].any()


def test_no_stretch_between_minimum_and_maximum(tmp_path: Path) -> None:
    """A dim picture stays dim: neither its own maximum nor the output's range is stretched."""
    path = make_models.stateless(tmp_path / "a.onnx")
    manifest(path, size=AREA)
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[32:] = 10
    found = Session(load(path)).estimate(frame(rgb)).alpha
    np.testing.assert_allclose(found.max(), 10 / 255, atol=1e-4)


def test_mirrored_pass_for_best_on_files(tmp_path: Path) -> None:
    """Two passes run, and a mirrored one that was not mirrored back would show a picture's left on the right."""
    path = make_models.stateless(tmp_path / "a.onnx")
    manifest(path, size=AREA)
    rgb = np.zeros((128, 128, 3), np.uint8)
    rgb[:, :64] = 255
    plain = Session(load(path, quality="best")).estimate(frame(rgb)).alpha.copy()
    session = Session(load(path, quality="best"), is_file=True)
    runs = []
    session_run = session._run
    session._run = lambda f, *, mirrored: (runs.append(mirrored), session_run(f, mirrored=mirrored))[1]
    np.testing.assert_allclose(session.estimate(frame(rgb)).alpha, plain, atol=1e-5)
    assert runs == [False, True]


RATIO = """{ policy = "native_ratio", longest_side = 64, scale = { fast = 0.5, good = 1.0, best = 1.6 } }"""
STATES = (
    "states = ["
    + ", ".join(f'{{ input = "r{at}i", output = "r{at}o" }}' for at in range(1, 5))
    + ']\nextra = [{ name = "downsample_ratio", value = "ratio" }]'
)


def recurrent(tmp_path: Path, **options: object) -> Session:
    path = make_models.recurrent(tmp_path / "r.onnx", **options)
    manifest(path, size=RATIO, alpha='name = "pha"', more=STATES, image='name = "src"')
    return Session(load(path))


def test_recurrent_state_warm_and_reset(tmp_path: Path) -> None:
    session = recurrent(tmp_path)
    assert session.is_recurrent
    value = 0.4

    def alpha() -> float:
        return float(session.estimate(grey(96, 128, value)).alpha.mean())

    first, second = alpha(), alpha()
    assert first == pytest.approx(0.6 * value, abs=1e-5)
    assert second == pytest.approx(0.5 * value + 0.15 * value, abs=1e-5)
    session.reset()
    assert alpha() == pytest.approx(first, abs=1e-6)
    session.warm(grey(96, 128, value))  # three runs, then the fourth counts
    assert alpha() == pytest.approx(0.5 * value + 0.1 * value * (1 + 1 / 2 + 1 / 4 + 1 / 8), abs=1e-5)


def test_recurrent_state_is_forgotten_at_another_size(tmp_path: Path) -> None:
    session = recurrent(tmp_path)
    for _ in range(4):
        session.estimate(grey(96, 128, 1.0))
    assert float(session.estimate(grey(128, 96, 0.4)).alpha.mean()) == pytest.approx(0.24, abs=1e-5)


def test_fixed_file_and_another_size(tmp_path: Path) -> None:
    path = make_models.many(tmp_path / "a.onnx")
    manifest(path, size='{ policy = "fixed", width = 32, height = 32, fit = "stretch" }')
    with pytest.raises(ModelError, match="16x16 only"):
        Session(load(path)).estimate(grey(8, 8, 0.5))


def test_network_size_of_the_persons_own(tmp_path: Path) -> None:
    path = make_models.stateless(tmp_path / "a.onnx")
    manifest(path, size=AREA)
    assert Session(load(path, network_size="96x64")).estimate(grey(8, 8, 0.5)).alpha.shape == (64, 96)
    with pytest.raises(UsageError, match="multiples of 32"):
        Session(load(path, network_size="97x64")).estimate(grey(8, 8, 0.5))


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (1, 1, 1, 4, 4), (1, 3, 4)])
def test_take_alpha_refuses_other_forms(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="gave a matte of shape"):
        take_alpha(np.zeros(shape, np.float32), AlphaOutput(channel=3), is_nhwc=False, origin="x")


def test_the_null_runtime_gives_constant_alpha() -> None:
    loaded = load_model(ModelSettings(runtime="null"), reporter=ListReporter())
    assert loaded.engine.name == "null"
    np.testing.assert_array_equal(Session(loaded).estimate(grey(9, 16, 0.3)).alpha, 1.0)


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda one: one.manifest)
@pytest.mark.parametrize("size", [(640, 640), (1280, 720), (720, 1280)], ids=str)
def test_input_is_what_the_publisher_feeds(tmp_path: Path, published: Published, size: tuple[int, int]) -> None:
    """The shipped manifest on a stand-in that hands its input out, one channel at a time."""
    path = make_models.planes(
        tmp_path / "stand-in.onnx",
        picture=published.picture,
        matte=published.matte,
        sides=published.sides,
        extra_outputs=published.outputs - 1,
    )
    text = (resources.root() / "engines" / f"{published.manifest}.toml").read_text(encoding="utf-8")
    rgb = _smooth_picture(*size)
    expected = published.preprocess(rgb)
    for channel in range(3):
        lines = [line for line in text.splitlines() if not line.startswith(("channel = ", "activation = "))]
        changed = "\n".join(lines).replace("[graphs.alpha]\n", f"[graphs.alpha]\nchannel = {channel}\n")
        path.with_suffix(".toml").write_text(changed, encoding="utf-8")
        found = Session(load(path)).estimate(frame(rgb)).alpha
        assert found.shape == expected.shape[2:]
        # Both are exact-area means; ours is of 8 bits, so it may be off by one step of 255, and a mean off by none.
        step = np.ptp(expected[0, channel]) / np.ptp(rgb[..., channel].astype(float))
        error = found - expected[0, channel]
        assert np.abs(error).max() < 2.5 * step
        assert np.abs(error.mean()) < 0.1 * step


def _smooth_picture(width: int, height: int) -> np.ndarray:
    """Slow waves, different in each channel: resizing by any exact-area rule gives the same within rounding."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [127.5 + 110 * np.sin(x / (60 + 30 * at)) * np.cos(y / (80 + 20 * at)) for at in range(3)]
    return np.rint(np.dstack(waves)).astype(np.uint8)


def test_publishers_names_do_not_matter_where_tensors_are_bound_by_position() -> None:
    for name in ("modnet", "u2net", "u2netp", "u2net_human_seg", "isnet"):
        graph = catalogue.by_name(name).graph
        assert (graph.input.name, graph.alpha.name) == (None, None)


class _Gpu:
    """An engine that says it is a GPU and where its nodes ran."""

    device = "cuda:0"
    precision = "fp32"
    closed = False

    def __init__(self, *runs: tuple[str, str, int]) -> None:
        self._runs = tuple(NodeRun(f"n{at}", *run) for at, run in enumerate(runs))

    def node_runs(self, shapes: dict[str, tuple[int, ...]]) -> tuple[NodeRun, ...]:
        assert shapes == {"rgb": (1, 3, 256, 448)}
        return self._runs

    def close(self) -> None:
        self.closed = True


_ON_GPU = ("Conv", "CUDAExecutionProvider", 1_000_000)


def test_shape_arithmetic_on_the_processor_is_counted_at_load(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _Gpu(*[_ON_GPU] * 9, ("Concat", "CPUExecutionProvider", 32))
    monkeypatch.setattr("livematte.models.load.RUNTIMES.load", lambda name: lambda path, options: engine)
    reporter = ListReporter()
    loaded = load_model(ModelSettings(device="cuda"), reporter=reporter)
    assert "1 of the network's 10 operations, which work out sizes" in reporter.notes[0]
    assert loaded.count_providers() == {"CUDAExecutionProvider": 9, "CPUExecutionProvider": 1}


def test_a_gpu_that_leaves_computing_to_the_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _Gpu(*[_ON_GPU] * 9, ("Resize", "CPUExecutionProvider", 1_000_000))
    monkeypatch.setattr("livematte.models.load.RUNTIMES.load", lambda name: lambda path, options: engine)
    with pytest.raises(DeviceError, match=r"1 of this network's 10 operations.*1 Resize"):
        load_model(ModelSettings(device="cuda"), reporter=ListReporter())
    assert engine.closed


def test_auto_goes_on_past_a_gpu_that_fails_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from livematte.models import load as loading
    from livematte.runtimes.choice import Candidate

    both = (Candidate("onnxruntime", "cuda"), Candidate("onnxruntime", "cpu"))
    monkeypatch.setattr(loading, "candidates", lambda runtime, device: both)
    real = loading.RUNTIMES.load

    def opening(name: str) -> object:
        def opened(path: Path, options: object) -> object:
            if options.device == "cuda":
                raise DeviceError("the driver is too old.")
            return real(name)(path, options)

        return opened

    monkeypatch.setattr("livematte.models.load.RUNTIMES.load", opening)
    reporter = ListReporter()
    loaded = load_model(ModelSettings(), reporter=reporter)
    assert loaded.engine.device == "cpu"
    assert "onnxruntime on cuda was passed over: the driver is too old." in loaded.describe()
    assert reporter.warnings == ["onnxruntime on cuda was passed over: the driver is too old."]
