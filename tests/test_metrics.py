"""Errors of alpha on 4x4 planes whose numbers are worked out by hand, and RVM's published figure on a real set."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from livematte import metrics
from livematte.errors import UsageError

EMPTY = np.zeros((4, 4), np.float32)
HALF_ROW = EMPTY.copy()
HALF_ROW[0] = 0.5  # four of sixteen pixels are off by a half
PLANES = hnp.arrays(np.float32, (5, 6), elements=st.floats(0, 1, width=32))


def test_mad_mse_and_sad_by_hand() -> None:
    assert metrics.mad(HALF_ROW, EMPTY) == pytest.approx(4 * 0.5 / 16 * 1e3)  # 125
    assert metrics.mse(HALF_ROW, EMPTY) == pytest.approx(4 * 0.25 / 16 * 1e3)  # 62.5
    assert metrics.sad(HALF_ROW, EMPTY) == pytest.approx(2.0 / 1e3)


def test_integer_alphas_mean_their_full_range() -> None:
    narrow = np.full((4, 4), 51, np.uint8)  # 0.2
    wide = np.full((4, 4), 13107, np.uint16)  # 0.2
    assert metrics.mad(narrow, wide) == pytest.approx(0, abs=1e-4)
    assert metrics.mad(narrow, EMPTY) == pytest.approx(200, rel=1e-6)
    assert metrics.mad(wide, EMPTY) == pytest.approx(200, rel=1e-6)


def test_dtssd_by_hand() -> None:
    # The prediction jumps by 0.5 in one row, the truth stays: sqrt(4 * 0.25 / 16) = 0.25.
    assert metrics.dtssd(HALF_ROW, EMPTY, EMPTY, EMPTY) == pytest.approx(25.0)
    # An error that does not change in time is no flicker.
    assert metrics.dtssd(HALF_ROW, HALF_ROW, EMPTY, EMPTY) == 0.0


def test_grad_by_hand() -> None:
    """A step edge from column 1 to 2, repeated at the borders, against nothing.

    With g and d the normalised 1-D kernels of half width 4 (sum of g: G), the response at column x is G times the sum
    of d over the taps that fall right of the edge; rows are alike.
    """
    step = EMPTY.copy()
    step[:, 2:] = 1
    sigma = 1.4
    taps = range(-4, 5)
    gauss = [math.exp(-(x**2) / (2 * sigma**2)) for x in taps]
    slope = [-x * w for x, w in zip(taps, gauss, strict=True)]
    smoothing_sum = sum(gauss) / math.sqrt(sum(w * w for w in gauss))
    length = math.sqrt(sum(w * w for w in slope))
    total = 0.0
    for column in range(4):
        right_of_edge = sum(w for x, w in zip(taps, slope, strict=True) if column + x >= 2) / length
        total += 4 * (right_of_edge * smoothing_sum) ** 2
    assert metrics.grad(step, EMPTY) == pytest.approx(total / 1e3, rel=1e-5)


def test_grad_does_not_stretch() -> None:
    """Halving all of alpha is an error of Grad, which a stretch to the alpha's own extremes would hide."""
    step = EMPTY.copy()
    step[:, 2:] = 1
    assert metrics.grad(step * 0.5, step) == pytest.approx(metrics.grad(step, EMPTY) / 4, rel=1e-5)


def test_conn_by_hand() -> None:
    """Truth: a full 2x2 block. Prediction: the block and a separate pixel of 0.8.

    The block is the source region at every level. The pixel leaves it at the first level, so its own level is 0:
    phi(0.8) = 1 - 0.8, phi(0) = 1; every other pixel agrees. The sum is 0.8.
    """
    true = EMPTY.copy()
    true[:2, :2] = 1
    predicted = true.copy()
    predicted[3, 3] = 0.8
    assert metrics.conn(predicted, true) == pytest.approx(0.8 / 1e3)
    # 0.1 apart is below the tolerance of 0.15.
    predicted[3, 3] = 0.1
    assert metrics.conn(predicted, true) == 0.0


@given(PLANES, PLANES)
def test_perfect_is_zero_and_order_does_not_matter(a: np.ndarray, b: np.ndarray) -> None:
    for measure in (metrics.mad, metrics.mse, metrics.sad, metrics.grad, metrics.conn):
        assert measure(a, a) == pytest.approx(0, abs=1e-12)  # SIMD tails may round differently from call to call
        assert measure(a, b) == pytest.approx(measure(b, a), rel=1e-5, abs=1e-7)
    assert metrics.mse(a, b) <= metrics.mad(a, b) + 1e-4  # since no difference exceeds 1


def test_clip_score_is_the_mean_over_frames() -> None:
    score = metrics.ClipScore(("MAD", "dtSSD"))
    assert score.add(EMPTY, EMPTY) == {"MAD": 0.0}
    assert score.add(HALF_ROW, EMPTY) == pytest.approx({"MAD": 125.0, "dtSSD": 25.0})
    assert score.add(HALF_ROW, EMPTY) == pytest.approx({"MAD": 125.0, "dtSSD": 0.0})
    assert score.frames == 3
    assert score.mean == pytest.approx({"MAD": 250 / 3, "dtSSD": 12.5})
    by_clip = {"a": score.mean, "b": metrics.score_clip([(EMPTY, EMPTY)] * 9, ("MAD", "dtSSD"))}
    assert metrics.mean_over_clips(by_clip) == pytest.approx({"MAD": 125 / 3, "dtSSD": 6.25})


def test_dtssd_of_one_frame_is_not_a_number() -> None:
    assert math.isnan(metrics.score_clip([(EMPTY, EMPTY)], ("dtSSD",))["dtSSD"])


@pytest.mark.parametrize(
    ("predicted", "true", "says"),
    [
        (EMPTY, np.zeros((4, 5), np.float32), "differ in size: 4x4 and 5x4"),
        (np.zeros((4, 4, 3), np.uint8), EMPTY, "must be a plane"),
        (np.zeros((4, 4), np.int32), EMPTY, "got int32"),
        (np.full((4, 4), 255.0), EMPTY, "0..1, got 255"),
        (np.full((4, 4), np.nan), EMPTY, "0..1"),
        (np.zeros((0, 4), np.uint8), np.zeros((0, 4), np.uint8), "empty"),
    ],
)
def test_what_cannot_be_scored_is_said(predicted: np.ndarray, true: np.ndarray, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        metrics.mad(predicted, true)


def test_unknown_metric_is_said() -> None:
    with pytest.raises(UsageError, match="unknown metric PSNR"):
        metrics.ClipScore(("PSNR",))


@pytest.mark.shared
@pytest.mark.slow
def test_rvm_scores_as_published_for_the_set(shared: Path) -> None:
    """The set's own README: RVM on `scarf` has MAD 1.78 and dtSSD 2.84. Decoder, network and metrics together."""
    import av

    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(
        str(shared / "models" / "rvm_mobilenetv3_fp32.onnx"), options, providers=["CPUExecutionProvider"]
    )
    states = [np.zeros((1, 1, 1, 1), np.float32)] * 4
    ratio = np.array([0.375], np.float32)
    score = metrics.ClipScore()
    with av.open(shared / "eval" / "scarf.mp4") as clip, av.open(shared / "eval" / "scarf.alpha.mkv") as truth:
        for picture, true in zip(clip.decode(video=0), truth.decode(video=0), strict=True):
            rgb = picture.to_ndarray(format="rgb24").transpose(2, 0, 1)[None].astype(np.float32) / 255
            feeds = {"src": rgb, "downsample_ratio": ratio}
            feeds |= {f"r{n}i": state for n, state in enumerate(states, 1)}
            _, alpha, *states = session.run(None, feeds)
            score.add(np.clip(alpha[0, 0], 0, 1), true.to_ndarray(format="gray"))
    assert score.mean["MAD"] == pytest.approx(1.78, abs=0.06)
    assert score.mean["dtSSD"] == pytest.approx(2.84, abs=0.06)
