"""Real runs of the embedded network on tiny pictures: the probe, the child, the command."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from livematte.bench import child, runner
from livematte.bench.plan import Case, Length
from livematte.bench.probe import Probe
from livematte.cli.bench import How, Said, What, bench
from livematte.errors import SourceError, UsageError
from livematte.frames import AudioPacket, Frame
from livematte.reporting import ListReporter
from livematte.sources.synthetic import SyntheticSource, parse_synthetic

TINY = Case(size=(128, 96), quality="fast", length=Length(frames=12, seconds=60.0, warm_up=3))


def test_a_saturated_round_measures_what_is_left_after_the_warm_up() -> None:
    made = child.measure(TINY)
    assert made.frames == len(made.latency_ms) == 11  # 12 measured frames, the first of them the zero of the clock
    assert made.seconds == pytest.approx(sum(made.interval_ms) / 1000, abs=0.01)
    assert all(value > 0 for value in made.latency_ms)
    assert {"decode", "network", "foreground", "matting", "encode"} <= set(made.stages_ms)
    assert set(made.threads) == {"decode", "matting", "encode"}
    assert made.stages_ms["matting"] >= made.stages_ms["network"]
    assert len(made.depths["matting"]) == made.frames
    assert made.alone["fps"] > 0
    assert made.cpu_seconds > 0
    assert made.notes == []


def test_time_ends_a_round_too() -> None:
    made = child.measure(replace(TINY, length=Length(frames=2000, seconds=0.2, warm_up=3)))
    assert 1 <= made.frames < 1000


def test_a_paced_round_takes_its_time_and_loses_nothing_when_it_is_slow() -> None:
    made = child.measure(replace(TINY, pace=5.0, length=Length(frames=6, seconds=60.0, warm_up=2)))
    assert made.seconds > 0.7  # five frames, 0.2 s apart; the first may come late
    assert len(made.late_ms) == 5
    assert made.stages_ms["decode"] < 190  # the waiting for the next frame's time is not decoding


def test_a_paced_frame_that_comes_late_counts_from_when_it_was_due() -> None:
    """A decoder that is behind must not make the latency look good."""
    inner = SyntheticSource(parse_synthetic("synthetic:64x48@30:6"))

    class Slow:
        name, is_live, info, decoder, damaged = inner.name, False, inner.info, inner.decoder, 0

        def __iter__(self) -> Iterator[Frame | AudioPacket]:
            for item in inner:
                time.sleep(0.03)
                yield item

        def close(self) -> None:
            inner.close()

    probe = Probe(Length(frames=6, warm_up=0), pace=100.0)
    for item in probe.source(Slow()):
        assert isinstance(item, Frame)
        probe.went(item.index)
    assert probe.latency_ms[-1] > 80  # five frames, each 20 ms later than it was due
    assert probe.late_ms[-1] > 80
    assert min(probe.decode_ms) >= 29


def test_a_file_is_written_and_its_size_is_known(tmp_path: Path) -> None:
    assert child.measure(replace(TINY, output="mkv")).bytes_per_frame > 100


def test_too_short_a_clip_is_said() -> None:
    with pytest.raises(SourceError, match="warm-up"):
        child.measure(replace(TINY, source="synthetic:64x48@25:4", size=None))


@pytest.mark.slow
def test_a_case_that_cannot_run_leaves_the_others(tmp_path: Path) -> None:
    broken = replace(TINY, source=str(tmp_path / "none.mp4"))
    reporter, seen = ListReporter(), []
    report = runner.run_cases([broken, TINY], rounds=1, reporter=reporter, observer=lambda s: seen.append(s.case))
    assert [run["name"] for run in report["runs"]] == [TINY.name]
    assert "none.mp4" in report["not_run"][0]["why"]
    assert any("not run" in line for line in reporter.warnings)
    assert set(seen) == {0, 1}


def _dies(case: Case, connection: object) -> None:
    import os

    os._exit(9)


def test_a_child_that_dies_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "main", _dies)
    with pytest.raises(runner.RunFailed, match="exit code 9"):
        runner.run_case(TINY, lambda frames, fps: None)


def test_ctrl_c_keeps_what_was_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench_samples import made_round

    answers = iter([made_round()])

    def run_case(case: Case, told: object) -> object:
        try:
            return next(answers)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(runner, "run_case", run_case)
    report = runner.run_cases([TINY, TINY], rounds=1, reporter=ListReporter(), observer=lambda state: None)
    assert report["interrupted"]
    assert len(report["runs"]) == 1


def test_the_command_writes_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one process, because a spawned child a run is what test_a_case_that_cannot_run_leaves_the_others does."""
    monkeypatch.setattr(runner, "run_case", lambda case, told: child.measure(case))
    what = What(quality=["fast"], size=["128x96"], pace=["saturated,30"])
    how = How(frames=6, seconds=20.0, warm_up=2, rounds=2)
    path = tmp_path / "bench.json"
    assert bench(what=what, how=how, said=Said(json=True, report=str(path))) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    written = json.loads(path.read_text())
    assert last == {"event": "summary", **written}
    assert written["schema"] == "livematte-bench/1"
    assert isinstance(written["machine"]["cpu"], str)
    assert len(written["runs"]) == 2
    for run in written["runs"]:
        assert run["fps"] > 0
        assert {"p50", "p95", "p99"} <= set(run["latency_ms"])
        assert run["quality"]["mad"] > 0
    assert path.with_suffix(".html").is_file()
    assert path.with_suffix(".png").is_file()


def test_a_persons_run_ends_with_the_command_to_copy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "run_case", lambda case, told: child.measure(case))
    what = What(quality=["fast"], size=["128x96"], pace=["saturated"])
    assert bench(what=what, how=How(frames=6, warm_up=2, rounds=1), said=Said()) == 0
    assert capsys.readouterr().out.rstrip().splitlines()[-1].strip() == "livematte convert CLIP --quality fast"


@pytest.mark.parametrize(
    ("what", "how", "said", "named"),
    [
        (What(model=["rvm"]), How(quick=True), Said(), "--model"),
        (What(), How(frames=1), Said(), "--frames"),
        (What(), How(seconds=0.0), Said(), "--seconds"),
        (What(), How(rounds=0), Said(), "--rounds"),
        (What(), How(), Said(report="page.html"), "page.html"),
        (What(), How(eval="/nowhere/at/all"), Said(), "alpha.mkv"),
        (What(size=["huge"]), How(), Said(), "huge"),
    ],
)
def test_wrong_usage_is_said_before_anything_runs(what: What, how: How, said: Said, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        bench(what=what, how=how, said=said)
