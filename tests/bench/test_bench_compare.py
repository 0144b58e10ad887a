"""What changed beyond the noise, which pairs are refused, and the exit codes of `bench compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench_samples import made_report

from livematte.bench.compare import compare, read
from livematte.cli.bench import compare as command
from livematte.errors import SourceError, UsageError

GPU = {"name": "a GPU", "driver": "580", "driver_model": "WDDM", "power_limit_watts": 115.0}


def _compare(before: dict[str, Any], after: dict[str, Any], *, force: bool = False) -> Any:
    return compare(before, after, force=force, noise_percent=3.0)


def test_the_same_program_twice_is_the_same() -> None:
    found = _compare(made_report(20.0, seed=1), made_report(20.0, seed=2))
    assert [change.figure for change in found.changes] == ["fps", "latency p50", "dropped"]
    assert {change.verdict for change in found.changes} == {"same"}


def test_ten_percent_slower_is_slower_in_both_figures() -> None:
    found = _compare(made_report(20.0, seed=1), made_report(22.0, seed=2))
    by_figure = {change.figure: change for change in found.changes}
    assert by_figure["fps"].verdict == "slower"
    assert by_figure["fps"].percent == pytest.approx(-9.1, abs=0.5)
    assert by_figure["fps"].low_percent <= by_figure["fps"].percent <= by_figure["fps"].high_percent
    assert by_figure["latency p50"].verdict == "slower"
    assert by_figure["latency p50"].percent == pytest.approx(10, abs=1)
    back = _compare(made_report(22.0, seed=2), made_report(20.0, seed=1))
    assert [change.verdict for change in back.changes][:2] == ["faster", "faster"]


def test_lost_frames_count() -> None:
    worse = made_report(20.0, seed=2)
    worse["runs"][1]["dropped"] = 60
    found = _compare(made_report(20.0, seed=1), worse)
    assert found.changes[-1].verdict == "slower"


def test_a_change_within_the_noise_is_none() -> None:
    found = _compare(made_report(20.0, seed=1), made_report(20.4, seed=2))
    assert found.changes[0].verdict == "same"


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ({"power_source": "mains"}, {"power_source": "battery"}, "power source: mains and battery"),
        ({"gpus": [GPU]}, {"gpus": [{**GPU, "power_limit_watts": 80.0}]}, "power limit: 115.0 and 80.0"),
        ({"gpus": [GPU]}, {"gpus": [{**GPU, "driver_model": "TCC"}]}, "driver model: WDDM and TCC"),
        ({"gpus": [GPU]}, {}, "power limit: 115.0 and no GPU"),
    ],
)
def test_pairs_in_different_states_are_refused_unless_forced(before: Any, after: Any, named: str) -> None:
    pair = made_report(machine=before), made_report(machine=after)
    with pytest.raises(UsageError, match=named):
        _compare(*pair)
    forced = _compare(*pair, force=True)
    assert any(named in remark for remark in forced.remarks)


def test_other_versions_are_said_and_allowed() -> None:
    found = _compare(made_report(), made_report(machine={"packages": {"av": "19.0.0"}, "python": "3.14.1"}))
    assert "python: 3.11.7 and 3.14.1" in found.remarks
    assert "av: 18.1.0 and 19.0.0" in found.remarks


def test_runs_without_a_partner_are_named() -> None:
    alone = made_report()
    del alone["runs"][1]
    found = _compare(alone, made_report())
    assert found.only_after == ("auto good, 720p, null, 30 fps",)


def _written(path: Path, report: dict[str, Any]) -> Path:
    path.write_text(json.dumps(report))
    return path


def test_exit_codes_for_ci(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = _written(tmp_path / "a.json", made_report(20.0, seed=1))
    same = _written(tmp_path / "b.json", made_report(20.0, seed=2))
    slow = _written(tmp_path / "c.json", made_report(23.0, seed=3))
    assert command(base, same) == 0
    assert command(base, slow) == 1
    assert "slower" in capsys.readouterr().out
    assert command(slow, base) == 0
    assert UsageError.exit_code == 2


def test_files_that_are_no_reports(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.json"):
        read(tmp_path / "none.json")
    with pytest.raises(UsageError, match="livematte-bench/1"):
        read(_written(tmp_path / "old.json", {"schema": "livematte-bench/0"}))
