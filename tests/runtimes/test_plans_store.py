"""The folder of plans: whole files only, this user's alone, and a reason for whatever is not there."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from pathlib import Path

import pytest
from plans_helpers import NOTES, PLAN, key, store

from livematte.errors import SinkError
from livematte.runtimes.plans import Miss, PlanBytes, PlanStore
from livematte.runtimes.plans import folder as rights

posix = pytest.mark.skipif(sys.platform == "win32", reason="rights are POSIX's; Windows keeps plans in the profile")


def miss(there: PlanStore) -> Miss:
    found = there.get(key())
    assert isinstance(found, Miss)
    return found


def test_looking_makes_nothing(tmp_path: Path) -> None:
    there, reporter = store(tmp_path)
    assert miss(there) == Miss("no plan has been built on this machine yet", "absent")
    assert there.entries() == []
    assert not there.folder.exists()
    assert not reporter.notes + reporter.warnings


def test_it_lies_in_the_cache_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIVEMATTE_CACHE", str(tmp_path / "elsewhere"))
    there = PlanStore()
    there.put(key(), PLAN, {})
    assert list((tmp_path / "elsewhere" / "plans").iterdir()) == [there.path_of(key())]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"runtime_version": "1.6.0"}, "stale", "built by tensorrt-rtx 1.6.0, and 1.7.1.116 is installed"),
        ({"targets": ("sm_120",)}, "stale", "for sm_120, and sm_89 is asked for"),
        ({"precision": "fp32"}, "absent", "no plan has been built for this yet"),
        ({"weights_sha256": "0" * 64}, "absent", "no plan has been built for this yet"),
    ],
    ids=str,
)
def test_a_plan_of_another_kind_is_not_taken(tmp_path: Path, change: dict, kind: str, words: str) -> None:
    there, _ = store(tmp_path)
    there.put(key(**change), PLAN, NOTES)
    found = miss(there)
    assert found.kind == kind
    assert words in found.reason


def test_of_several_stale_ones_the_closest_is_named(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    there.put(key(runtime_version="1.5", targets=("sm_75",), options={}), PLAN, NOTES)
    there.put(key(runtime_version="1.6"), PLAN, NOTES)
    assert miss(there).reason == "the plan here was built by tensorrt-rtx 1.6, and 1.7.1.116 is installed"


def test_a_plan_under_the_name_of_another_is_not_taken(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    os.replace(there.put(key(precision="fp32"), PLAN, NOTES), there.path_of(key()))
    assert miss(there).kind == "damaged"
    assert [entry.problem for entry in there.entries()] == ["has the name of another plan"]


def test_a_damaged_one_is_replaced(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    path = there.put(key(), PLAN, NOTES)
    path.write_bytes(path.read_bytes()[:-1])
    assert "cut short" in miss(there).reason
    there.put(key(), PLAN, NOTES)
    assert isinstance(there.get(key()), PlanBytes)


def test_an_empty_plan_and_a_kernel_cache_are_files_like_others(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    kernels = key(options={**key().options, "part": "runtime-cache"})
    there.put(key(), b"", {})
    there.put(kernels, b"kernels", {})
    found = there.get(kernels)
    assert isinstance(found, PlanBytes)
    assert found.plan == b"kernels"
    assert isinstance(there.get(key()), PlanBytes)
    other = there.get(key(precision="fp32", options=kernels.options))
    assert isinstance(other, Miss)
    assert "runtime cache" in other.reason


def test_use_is_remembered(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    path = there.put(key(), PLAN, NOTES)
    os.utime(path, (1e9, 1e9))
    assert there.entries()[0].used == 1e9
    there.get(key())
    assert there.entries()[0].used > 1.7e9


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, _ = store(tmp_path)
    before = there.put(key(), b"the plan before", NOTES)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SinkError, match=r"10,240 bytes.*No space left.*engine prune"):
        there.put(key(), PLAN, NOTES)
    assert list(there.folder.iterdir()) == [before]
    found = there.get(key())
    assert isinstance(found, PlanBytes)
    assert found.plan == b"the plan before"


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    there.folder.parent.mkdir()
    there.folder.write_text("")
    assert miss(there).kind == "refused"
    with pytest.raises(SinkError, match="LIVEMATTE_CACHE"):
        there.put(key(), PLAN, NOTES)
    with there.building(key(), what="the plan", reporter=store(tmp_path)[1]) as waited:
        assert not waited  # it is built all the same, and only not kept


def test_a_cache_folder_that_is_a_file(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    there.folder.parent.write_text("")
    assert miss(there).kind == "refused"
    with pytest.raises(SinkError, match="LIVEMATTE_CACHE"):
        there.prepare()


@posix
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_nobody_else_can_open_the_folder_or_a_plan(tmp_path: Path, mask: int) -> None:
    there, _ = store(tmp_path)
    old = os.umask(mask)
    try:
        path = there.put(key(), PLAN, NOTES)
        with there.building(key(), what="the plan", reporter=store(tmp_path)[1]):
            lock = there.lock_of(key().id)
            assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    finally:
        os.umask(old)
    assert stat.S_IMODE(there.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
def test_a_folder_that_others_can_read_is_closed(tmp_path: Path) -> None:
    there, reporter = store(tmp_path)
    there.put(key(), PLAN, NOTES)
    there.folder.chmod(0o755)
    assert isinstance(there.get(key()), PlanBytes)
    assert stat.S_IMODE(there.folder.stat().st_mode) == 0o700
    assert len(reporter.notes) == 1
    assert "yours alone now" in reporter.notes[0]


@posix
@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_what_lay_where_others_could_write_is_not_used(tmp_path: Path, mode: int) -> None:
    there, reporter = store(tmp_path)
    there.put(key(), PLAN, NOTES)
    there.folder.chmod(mode)
    assert isinstance(there.get(key()), Miss)
    assert list(there.folder.iterdir()) == []
    assert stat.S_IMODE(there.folder.stat().st_mode) == 0o700
    assert "what lay there was removed (1 plan)" in reporter.warnings[0]


@posix
def test_another_users_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, _ = store(tmp_path)
    there.put(key(), PLAN, NOTES)
    somebody = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    found = miss(there)
    assert found.kind == "refused"
    assert f"this is number {somebody}" in found.reason
    for refused in (there.entries, there.prepare, lambda: there.put(key(), PLAN, NOTES)):
        with pytest.raises(SinkError, match="belongs to user number"):
            refused()


@posix
def test_a_link_in_the_folders_place_is_not_followed(tmp_path: Path) -> None:
    other, _ = store(tmp_path / "other")
    other.put(key(), PLAN, NOTES)
    there, _ = store(tmp_path)
    there.folder.parent.mkdir()
    there.folder.symlink_to(other.folder)
    assert miss(there).kind == "refused"


@posix
def test_a_link_in_a_plans_place_is_not_followed(tmp_path: Path) -> None:
    other, _ = store(tmp_path / "other")
    target = other.put(key(), PLAN, NOTES)
    there, _ = store(tmp_path)
    there.prepare()
    there.path_of(key()).symlink_to(target)
    assert "is a link" in miss(there).reason
    assert "is a link" in there.entries()[0].problem
    there.put(key(), b"new", NOTES)
    assert not there.path_of(key()).is_symlink()
    assert PLAN in target.read_bytes()


@posix
def test_a_pipe_in_a_plans_place_does_not_hang(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    there.prepare()
    os.mkfifo(there.path_of(key()), 0o600)
    assert "is not a plain file" in miss(there).reason
    assert "is not a plain file" in there.entries()[0].problem
    there.put(key(), PLAN, NOTES)
    assert isinstance(there.get(key()), PlanBytes)


@posix
def test_a_plan_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    there.put(key(), PLAN, NOTES).chmod(0o620)
    assert "can be written by other users" in miss(there).reason


@posix
def test_a_plan_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, _ = store(tmp_path)
    path = there.put(key(), PLAN, NOTES)
    whole = os.fstat

    def foreign(descriptor: int) -> os.stat_result:
        state = whole(descriptor)
        if state.st_ino != path.stat().st_ino:
            return state
        return os.stat_result((*state[:4], os.geteuid() + 1, *state[5:]))

    monkeypatch.setattr(rights.os, "fstat", foreign)
    assert "belongs to user number" in miss(there).reason


def test_a_folder_in_a_plans_place(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    there.prepare()
    there.path_of(key()).mkdir()
    assert miss(there).kind == "damaged"
    assert there.entries()[0].problem
    there.put(key(), PLAN, NOTES)
    assert isinstance(there.get(key()), PlanBytes)
    there.path_of(key()).unlink()
    (there.path_of(key()) / "full").mkdir(parents=True)
    with pytest.raises(SinkError, match="cannot be kept"):
        there.put(key(), PLAN, NOTES)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    there.prepare()
    there.path_of(key()).mkdir()
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("only Linux lists them")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        there.get(key())
        there.entries()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_replacement_waits_for_a_reader_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to replace a file that is open; the other program reads it for a moment only."""
    from livematte.runtimes.plans import store as module

    tries: list[int] = []
    replace = os.replace

    class Windows:
        name = "nt"

        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def replace(self, source: Path, target: Path) -> None:
            tries.append(1)
            if len(tries) < 3:
                raise PermissionError(errno.EACCES, "Access is denied")
            replace(source, target)

    monkeypatch.setattr(module, "os", Windows())
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    there, _ = store(tmp_path)
    there.put(key(), PLAN, NOTES)
    assert len(tries) == 3
    assert isinstance(there.get(key()), PlanBytes)


def test_on_windows_plans_lie_in_the_users_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "me")
    monkeypatch.setattr(rights.platformdirs, "user_cache_dir", lambda: str(tmp_path / "local"))
    rights._check_windows(tmp_path / "me" / "cache" / "plans")
    rights._check_windows(tmp_path / "local" / "livematte" / "plans")
    for outside in (tmp_path / "shared" / "plans", tmp_path / "me" / ".." / "you" / "plans"):
        with pytest.raises(SinkError, match="inside your own user folder"):
            rights._check_windows(outside)
