"""`livematte engine list`, `inspect` and `prune` on the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_world import World
from outcome import Command

from livematte.cli import engine_said as said
from livematte.runtimes.plans import PlanKey, PlanStore

PLAN = bytes(5000)
NOTES = {
    "model": "livematte-s",
    "seconds": 12.34,
    "layers": {"fp16": 120, "fp32": 4},
    "types": {"fp16": 50, "fp32": 2},
    "islands": [[f"/norm{at}", "the mean of many values"] for at in range(15)],
    "warnings": ["a weight was rounded"],
}


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def key(**changes: Any) -> PlanKey:
    usual: dict[str, Any] = {
        "weights_sha256": "ab" * 32,
        "profile": '{"rgb":[[1,3,256,448]]}',
        "precision": "fp16",
        "runtime": "tensorrt-rtx",
        "runtime_version": "1.7.1.116",
        "targets": ("sm_89",),
    }
    return PlanKey(**(usual | changes))


def put(notes: dict[str, Any] = NOTES, **changes: Any) -> Path:
    return PlanStore().put(key(**changes), PLAN, notes)


def test_an_empty_list(command: Command) -> None:
    done = command("engine", "list")
    assert done.code == 0
    assert "engine build MODEL" in done.out
    assert command("engine", "list", "--json").events[-1]["plans"] == []


def test_the_list_as_a_table(command: Command) -> None:
    put()
    put(runtime="tensorrt", runtime_version="11.4", targets=(), gpu="NVIDIA H100 sm_90", profile='{"rgb":[[1,3,8,8]]}')
    put(options={"part": "runtime-cache"})
    put(profile='{"rgb":[[1,256,448,3],[1,288,512,3],[1,320,576,3]]}')
    put(profile="{}", notes={})
    done = command("engine", "list")
    assert done.code == 0
    head, *lines, total = done.out.splitlines()
    assert head.split()[:3] == ["id", "network", "runtime"]
    assert len(lines) == 5
    assert total.startswith("5 files, ")
    rows = {line.split()[0]: line for line in lines}
    assert key().id[: said.ID_SHOWN] in rows
    assert "livematte-s" in rows[key().id[: said.ID_SHOWN]]
    assert "fp16   256x448" in rows[key().id[: said.ID_SHOWN]]
    assert "NVIDIA H100 sm_90" in done.out
    assert "livematte-s (runtime-cache)" in done.out
    assert "256x448 to 320x576" in done.out
    assert len({line.index("fp16") for line in lines}) == 1  # the columns stand in line


def test_the_list_as_json(command: Command) -> None:
    path = put()
    summary = command("engine", "list", "--json").events[-1]
    (row,) = summary["plans"]
    assert row["id"] == key().id
    assert row["path"] == str(path)
    assert row["bytes"] == summary["bytes"] == path.stat().st_size
    assert row["shape"] == "256x448"
    assert row["built"].endswith("Z")


def test_damaged_ones_are_marked(command: Command) -> None:
    put()
    bad = put(precision="fp32")
    bad.write_bytes(bad.read_bytes()[:100])
    done = command("engine", "list")
    assert done.code == 0
    assert f"{bad.stem[: said.ID_SHOWN]}  !! is cut short (100 bytes)" in done.out
    assert "engine prune" in done.out
    assert [row["problem"] for row in command("engine", "list", "--json").events[-1]["plans"]].count("") == 1


def test_names_from_files_give_a_terminal_no_orders(command: Command) -> None:
    put({**NOTES, "model": "\x1b[2J\nlivematte", "islands": [["\x1b]0;x\x07", "y"]]})
    for words in (["list"], ["inspect", key().id]):
        done = command("engine", *words)
        assert done.code == 0
        assert "\x1b" not in done.out
        assert "\x07" not in done.out


def test_inspect(command: Command) -> None:
    path = put()
    for word in (key().id, key().id[:4], "livematte-s", path.name):
        done = command("engine", "inspect", word)
        assert done.code == 0
    for words in (
        "livematte-s, in fp16, input 256x448",
        "tensorrt-rtx 1.7.1.116",
        "for: sm_89",
        "in 12.3 s",
        "layers, read back from the plan: 120 fp16, 4 fp32",
        "graph it was built from: 50 fp16, 2 fp32",
        "15 operations",
        "/norm0: the mean of many values",
        "and 3 more",
        "a weight was rounded",
        "ab" * 32,
        "every byte is as it was written",
    ):
        assert words in done.out
    values = command("engine", "inspect", key().id, "--json").events[-1]
    assert PlanKey.from_dict(values["key"]) == key()
    assert values["notes"] == NOTES
    assert values["plan_bytes"] == len(PLAN)


@pytest.mark.parametrize(
    "notes",
    [
        {},
        {"layers": 3, "types": [], "islands": "x", "warnings": {}, "seconds": "y", "model": 7},
        {"islands": [1, [2], ["a", "b", "c"]], "warnings": [{}], "layers": {}},
    ],
)
def test_inspect_takes_any_notes(command: Command, notes: dict[str, Any]) -> None:
    put(notes)
    done = command("engine", "inspect", key().id)
    assert done.code == 0
    assert "not read back" in done.out
    assert command("engine", "list").code == 0


def test_inspect_finds_damage_in_the_plan_itself(command: Command) -> None:
    path = put()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert command("engine", "list", "--json").events[-1]["plans"][0]["problem"] == ""  # only the header is read there
    done = command("engine", "inspect", key().id)
    assert done.code == 1
    assert "DAMAGED: the file is damaged" in done.out
    path.write_bytes(b"")
    done = command("engine", "inspect", key().id)
    assert done.code == 1
    assert "This file is empty" in done.out
    assert command("engine", "inspect", key().id, "--json").events[-1]["problem"] == "is empty"


def test_inspect_of_what_is_not_there(command: Command) -> None:
    assert "engine build MODEL" in command("engine", "inspect", "x").message
    put()
    put(precision="fp32")
    none = command("engine", "inspect", "x")
    assert none.code == 2
    assert key().id[: said.ID_SHOWN] in none.message
    several = command("engine", "inspect", "livematte-s")
    assert several.code == 2
    assert "is 2 plans" in several.message
    assert command("engine", "inspect", "").code == 2
    assert command("engine", "inspect").code == 2


def test_inspect_reads_no_other_folder(command: Command, tmp_path: Path) -> None:
    inside = put()
    outside = tmp_path / "outside.plan"
    outside.write_bytes(inside.read_bytes())
    assert command("engine", "inspect", outside).code == 2


def test_prune_keeps_what_can_be_used(command: Command) -> None:
    put()
    done = command("engine", "prune")
    assert done.code == 0
    assert done.out == "Nothing to remove.\n"
    assert PlanStore().entries()


def test_prune_of_other_versions(command: Command, world: World) -> None:
    old, elsewhere = put(runtime_version="1.6"), put(runtime="tensorrt", runtime_version="10.16")
    world.install("tensorrt", None)
    done = command("engine", "prune")
    assert done.code == 0
    assert f"{old.name} was built by tensorrt-rtx 1.6, and 1.7.1.116 is installed" in done.out
    assert "1 file removed" in done.out
    assert not old.exists()
    assert elsewhere.exists()


def test_prune_by_age_and_size(command: Command) -> None:
    old, young = put(), put(precision="fp32")
    os.utime(old, (1e9, 1e9))
    dry = command("engine", "prune", "--unused-days", "30", "--dry-run")
    assert "1 file would be removed" in dry.out
    assert old.exists()
    assert command("engine", "prune", "--unused-days", "30").code == 0
    assert not old.exists()
    assert command("engine", "prune", "--max-size", "8kB").code == 0
    assert young.exists()
    summary = command("engine", "prune", "--max-size", "1kB", "--json").events[-1]
    assert [Path(one["path"]) for one in summary["removed"]] == [young]
    assert summary["bytes"] > 5000


def test_prune_all(command: Command) -> None:
    put()
    assert command("engine", "prune", "--all").code == 0
    assert PlanStore().entries() == []


@pytest.mark.parametrize(
    "words",
    [
        ["--unused-days", "-1"],
        ["--unused-days", "nan"],
        ["--unused-days", "x"],
        ["--max-size", "much"],
        ["--max-size", "-1GB"],
        ["--max-size", "1e999"],
    ],
)
def test_wrong_words_end_with_2(command: Command, words: list[str]) -> None:
    put()
    assert command("engine", "prune", *words).code == 2
    assert PlanStore().entries()


@pytest.mark.parametrize(
    ("word", "size"),
    [("2GB", 2 * 10**9), ("500 MB", 5 * 10**8), ("1.5g", 1500000000), ("7", 7), ("3GiB", 3 << 30), ("1 KB", 1000)],
)
def test_sizes(word: str, size: int) -> None:
    from livematte.cli.engine_build import parse_bytes

    assert parse_bytes(word) == size


@pytest.mark.skipif(sys.platform == "win32", reason="rights are POSIX's")
@pytest.mark.parametrize("words", [["list"], ["inspect", "x"], ["prune"]])
def test_another_users_folder_ends_with_1(command: Command, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    path = put()
    somebody = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    done = command("engine", *words)
    assert done.code == 1
    assert "LIVEMATTE_CACHE" in done.message
    assert path.exists()
