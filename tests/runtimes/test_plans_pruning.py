"""What `engine prune` takes: damage, other versions, age and size; and what it leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from plans_helpers import NOTES, PLAN, key, store

from livematte.runtimes.plans import PlanKey, PlanStore, Pruning, prune

NOW = 2e9
DAY = 86400.0


def put(there: PlanStore, days_ago: float, **changes: object) -> PlanKey:
    """A plan of 10,240 bytes that was last used so long ago."""
    one = key(**changes)
    os.utime(there.put(one, PLAN, NOTES), (NOW - days_ago * DAY,) * 2)
    return one


def left(there: PlanStore) -> set[PlanKey]:
    return {entry.header.key for entry in there.entries() if entry.header is not None}


def test_nothing_of_nothing(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    assert prune(there, Pruning(everything=True), now=NOW) == []
    assert not there.folder.exists()


def test_good_plans_stay(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    one = put(there, 300)
    assert prune(there, Pruning(versions={"tensorrt-rtx": "1.7.1.116", "tensorrt": "11.4"}), now=NOW) == []
    assert left(there) == {one}


def test_damaged_ones_go(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    good, bad = put(there, 1), put(there, 1, precision="fp32")
    there.path_of(bad).write_bytes(b"nonsense")
    (there.folder / "name.plan").mkdir()
    gone = prune(there, Pruning(), now=NOW)
    assert {one.path.name: one.reason for one in gone} == {
        there.path_of(bad).name: "is not a plan of ours",
        "name.plan": "is not a plain file",
    }
    assert list(there.folder.iterdir()) == [there.path_of(good)]


def test_other_versions_of_what_is_installed_go(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    old = put(there, 1, runtime_version="1.6.0")
    elsewhere = put(there, 1, runtime="tensorrt", runtime_version="10.16")
    new = put(there, 1)
    (one,) = prune(there, Pruning(versions={"tensorrt-rtx": "1.7.1.116"}), now=NOW)
    assert one.path == there.path_of(old)
    assert one.reason == "was built by tensorrt-rtx 1.6.0, and 1.7.1.116 is installed"
    assert one.bytes > len(PLAN)
    assert left(there) == {new, elsewhere}


def test_age_counts_from_the_last_use(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    old, young = put(there, 31), put(there, 29, precision="fp32")
    (one,) = prune(there, Pruning(unused_days=30), now=NOW)
    assert one.path == there.path_of(old)
    assert one.reason == "was not used for 31 days"
    assert left(there) == {young}


@pytest.mark.parametrize(("most", "stay"), [(0, 0), (10_000, 0), (15_000, 1), (25_000, 2), (100_000, 3)])
def test_beyond_a_size_the_longest_unused_go(tmp_path: Path, most: int, stay: int) -> None:
    there, _ = store(tmp_path)
    plans = [put(there, days, options={"number": days}) for days in (1, 2, 3)]
    assert len(prune(there, Pruning(most_bytes=most), now=NOW)) == 3 - stay
    assert left(there) == set(plans[:stay])


def test_a_dry_run_removes_nothing(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    put(there, 1)
    (there.folder / "x.1-a.part").write_bytes(b"")
    os.utime(there.folder / "x.1-a.part", (NOW - DAY,) * 2)
    before = sorted(there.folder.iterdir())
    assert len(prune(there, Pruning(everything=True, dry_run=True), now=NOW)) == 2
    assert sorted(there.folder.iterdir()) == before


def test_what_killed_runs_left_goes_and_what_is_written_now_stays(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    there.prepare()
    for name, hours in (("a.1-a.part", 2), ("b.1-a.part", 0.5), ("a.lock", 2), ("b.lock", 0.5)):
        (there.folder / name).write_bytes(b"12345")
        os.utime(there.folder / name, (NOW - hours * 3600,) * 2)
    (one,) = prune(there, Pruning(), now=NOW)
    assert (one.path.name, one.bytes) == ("a.1-a.part", 5)
    assert {path.name for path in there.folder.iterdir()} == {"b.1-a.part", "b.lock"}


def test_everything(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    put(there, 1)
    (there.folder / "timing-11.4-abc.cache").write_bytes(b"times")
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    for suffix in (".onnx", ".json", ".lock"):
        (graphs / f"livematte-s-1{suffix}").write_bytes(b"")
    assert len(prune(there, Pruning(everything=True, graphs=graphs), now=NOW)) == 3
    assert list(there.folder.iterdir()) == []
    assert list(graphs.iterdir()) == []


def test_graphs_go_by_age_and_not_by_size(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    for name, days in (("old.onnx", 31), ("new.onnx", 29)):
        (graphs / name).write_bytes(b"")
        os.utime(graphs / name, (NOW - days * DAY,) * 2)
    assert prune(there, Pruning(most_bytes=0, graphs=graphs), now=NOW) == []
    (one,) = prune(there, Pruning(unused_days=30, graphs=graphs), now=NOW)
    assert one.path.name == "old.onnx"


def test_what_cannot_be_removed_is_said(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    (there.folder / "a.plan" / "full").mkdir(parents=True)
    there.folder.chmod(0o700)
    (one,) = prune(there, Pruning(), now=NOW)
    assert one.kept.startswith("it cannot be removed")
