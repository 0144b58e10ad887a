"""Runs, the recommendation, and the page: whole, without a network, and saying what the JSON says."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from bench_samples import made_report, made_round
from PIL import Image

from livematte.bench import pages
from livematte.bench.advice import recommend
from livematte.bench.charts import nice, parts_of
from livematte.bench.plan import Case
from livematte.bench.result import as_run


def test_a_run_says_what_its_rounds_gave() -> None:
    run = as_run(Case(), [made_round(20.0, seed=1), made_round(25.0, seed=2)])
    assert run["fps"] == pytest.approx(1000 / 22.5, rel=0.02)
    assert run["fps_of_rounds"] == [pytest.approx(50, rel=0.02), pytest.approx(40, rel=0.02)]
    assert run["limiting_stage"] == "matting"  # `network` is a part of it, not a thread
    assert run["limit_fps"] == pytest.approx(1000 / (0.95 * 22.5), rel=0.01)
    assert run["efficiency"] == pytest.approx(0.95, abs=0.02)
    assert run["cpu_percent"] == pytest.approx(150, abs=1)
    assert run["engine_alone"]["ms"] == 12.0  # the better round
    assert run["queue_depth"]["matting"] == {"mean": 2.67, "max": 3}
    assert len(run["samples"]["interval_ms"]) == 2


def test_only_a_stage_with_a_thread_can_limit() -> None:
    stages = {"decode": 1.0, "network": 30.0, "matting": 12.0, "encode": 15.0}
    run = as_run(Case(), [made_round(20.0, stages_ms=stages)])
    assert run["limiting_stage"] == "encode"
    assert run["limit_fps"] == pytest.approx(1000 / 15, rel=0.01)


def test_a_paced_run_counts_what_was_lost() -> None:
    run = as_run(Case(pace=30.0), [made_round(frames=90, handed=100)])
    assert run["dropped"] == 10
    assert run["efficiency"] is None


def _run(fps: float, mad: float | None, **case: object) -> dict[str, object]:
    run = as_run(Case(**case), [made_round(1000 / fps, noise=0.0)])  # type: ignore[arg-type]
    return {**run, "quality": None if mad is None else {"mad": mad, "dtssd": 1.0, "source": ""}}


def test_the_best_matte_that_keeps_30_is_recommended() -> None:
    runs = [
        _run(90, 12.0, quality="fast"),
        _run(45, 11.0, quality="good"),
        _run(31, 11.0, quality="good", model="slower-twin"),
        _run(12, 5.0, quality="best"),
        _run(400, None, model="unknown"),
    ]
    (one,) = recommend(runs)
    assert one["keeps_30"]
    assert one["command"] == "livematte convert CLIP --quality good"
    assert "keeps 30" in pages.sentence(one)


def test_where_nothing_keeps_30_the_fastest_is_named() -> None:
    (one,) = recommend([_run(8, 11.0, quality="good"), _run(12, 12.0, quality="fast")])
    assert not one["keeps_30"]
    assert one["command"].endswith("--quality fast")
    assert "nothing" in pages.sentence(one)


def test_the_command_holds_everything_that_differs_from_the_default() -> None:
    case = {"device": "cuda:1", "precision": "fp16", "model": "my net.onnx", "output": "webm", "encode": "fast"}
    (one,) = recommend([_run(60, 5.0, source="a.mp4", size=(1920, 1080), threads=4, **case)])
    assert one["command"] == (
        "livematte convert CLIP --size 1920x1080 --model 'my net.onnx' --quality good --device cuda:1 "
        "--precision fp16 --threads 4 --format webm --encode fast"
    )


def test_parts_of_a_run_add_up_without_counting_twice() -> None:
    parts = parts_of(as_run(Case(), [made_round(20.0)]))
    assert parts == pytest.approx(
        {"decode": 1.0, "network": 14.0, "foreground": 4.0, "other matting": 1.0, "encode": 2.0}, abs=0.01
    )


@pytest.mark.parametrize(("value", "end"), [(0.07, 0.08), (1.0, 1.0), (1.01, 1.5), (33, 40), (99, 100), (0, 1)])
def test_axes_end_at_round_numbers(value: float, end: float) -> None:
    assert nice(value) == pytest.approx(end)


def test_page_and_picture_stand_alone(tmp_path: Path) -> None:
    report = made_report()
    report["runs"][0]["name"] += ' <script>alert("x")</script>'
    report["not_run"].append({"name": "other", "case": {}, "why": "it is <not> here"})
    written = pages.write(report, tmp_path / "bench.json")
    assert [path.name for path in written] == ["bench.json", "bench.html", "bench.png"]
    assert json.loads(written[0].read_text()) == report
    page = written[1].read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert "it is &lt;not&gt; here" in page
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots) == 3
    for plot in plots:
        ET.fromstring(plot)
    assert f"{report['runs'][0]['fps']:.1f}" in page
    with Image.open(written[2]) as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 10


def test_a_report_without_runs_is_written_without_plots(tmp_path: Path) -> None:
    report = {**made_report(), "runs": [], "recommendation": []}
    assert [path.suffix for path in pages.write(report, tmp_path / "none.json")] == [".json", ".html"]
