"""Each rule of fakecuda bites: what a real driver orders holds for every seed, what it does not shows for some."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fakecuda.build import HERE, played_names
from fakecuda.plugin import FakeCuda

SEEDS = 60
SCENES, RULES = "fakecuda.scenes", "fakecuda.rule_scenes"
ILLEGAL_ADDRESS = 700


# --- order ---


@pytest.mark.parametrize("blocking", [False, True])
def test_work_joined_by_events_is_right_for_every_seed(fakecuda: FakeCuda, blocking: bool) -> None:
    done = fakecuda.call(f"{SCENES}:chain", seeds=SEEDS, waits=True, blocking=blocking)
    assert done["right"] == SEEDS


def test_a_removed_wait_gives_wrong_data_for_some_seed(fakecuda: FakeCuda) -> None:
    done = fakecuda.call(f"{SCENES}:chain", seeds=SEEDS, waits=False)
    assert 0 < done["right"] < SEEDS


def test_a_stream_keeps_its_order(fakecuda: FakeCuda) -> None:
    assert fakecuda.call(f"{SCENES}:stream_order", seeds=SEEDS) == SEEDS


def test_the_legacy_stream_orders_blocking_streams_and_no_others(fakecuda: FakeCuda) -> None:
    assert fakecuda.call(f"{SCENES}:legacy", seeds=SEEDS, blocking=True) == SEEDS
    assert 0 < fakecuda.call(f"{SCENES}:legacy", seeds=SEEDS, blocking=False) < SEEDS


def test_a_wait_is_for_what_was_recorded_before_it(fakecuda: FakeCuda) -> None:
    assert fakecuda.call(f"{SCENES}:early_event", seeds=SEEDS) > 0


def test_the_order_is_the_seeds(fakecuda: FakeCuda) -> None:
    # The machine may be slow: no work is run for being idle.
    assert fakecuda.call(f"{SCENES}:same_seed_same_order", env={"FAKE_IDLE_MS": "0"})


# --- memory ---


def test_pinned_memory_is_read_late_and_pageable_memory_at_the_call(fakecuda: FakeCuda) -> None:
    done = fakecuda.call(f"{SCENES}:pinned_is_late", seeds=SEEDS)
    assert 0 < done["late"] < SEEDS
    assert done["staged"] == SEEDS


def test_memory_is_poisoned_guarded_and_checked(fakecuda: FakeCuda) -> None:
    seen = fakecuda.call(f"{SCENES}:poison")
    assert (seen["fresh"], seen["pinned"]) == ([0xCB], [0xCB])
    assert (seen["behind"], seen["host"], seen["double"], seen["freed"]) == (1, 1, [0, 1], 1)
    assert (seen["too_much"], seen["nothing"]) == (2, 1)
    assert seen["before"] == []
    assert len(seen["overrun"]) == 1
    assert "behind an allocation of 64 bytes" in seen["overrun"][0]
    assert len(seen["late_write"]) == 1
    assert "after it was freed" in seen["late_write"][0]


def test_a_kernel_that_writes_too_far_kills_the_context(fakecuda: FakeCuda) -> None:
    seen = fakecuda.call(f"{SCENES}:kernel_overrun")
    assert seen["good"] == [0, 0]
    assert seen["bad"] == [0, ILLEGAL_ADDRESS]
    assert seen["later"] == ILLEGAL_ADDRESS
    assert "kernel writes" in seen["damage"][0]


def test_a_pointer_freed_before_its_kernel_runs_is_seen(fakecuda: FakeCuda) -> None:
    seen = fakecuda.call(f"{SCENES}:stale_pointer")
    assert seen["sync"] == ILLEGAL_ADDRESS
    assert "argument 0" in seen["damage"][0]


def test_the_host_cannot_read_device_memory(fakecuda: FakeCuda) -> None:
    script = f"import sys; sys.path.insert(0, {str(HERE.parent)!r}); from fakecuda.scenes import *; touch_on_the_host()"
    assert fakecuda.run([sys.executable, "-c", script]).returncode == -signal.SIGSEGV
    opened = fakecuda.run([sys.executable, "-c", script], env={"FAKE_PROTECT": "0"})
    assert opened.stdout.strip() == r"b'\xcb'"


def test_stream_ordered_allocations_need_their_order(fakecuda: FakeCuda) -> None:
    done = fakecuda.call(f"{SCENES}:ordered_allocation", seeds=SEEDS)
    assert done["with"] == SEEDS
    assert done["without"] < SEEDS


# --- contexts ---


def test_contexts_have_flags_threads_and_an_end(fakecuda: FakeCuda) -> None:
    seen = fakecuda.call(f"{RULES}:contexts")
    assert (seen["flags"], seen["active"]) == (4, 1)
    assert seen["old_set_flags"] == 708
    assert seen["stream_of_another"] == seen["event_of_another"] == 400
    assert seen["no_current"] == 201
    assert (seen["after_release"], seen["blocks"]) == (709, 0)
    assert seen["no_device"] == 101
    assert fakecuda.call(f"{RULES}:current_is_per_thread") == 201


# --- capture and graphs ---


def test_graphs_replay_fork_and_join(fakecuda: FakeCuda) -> None:
    done = fakecuda.call(f"{RULES}:replay", seeds=SEEDS)
    assert done["right"] == done["wanted"]


def test_graphs_replay_recorded_arguments_and_pointers(fakecuda: FakeCuda) -> None:
    assert fakecuda.call(f"{RULES}:arguments_are_recorded") == [41, 41, 99]
    seen = fakecuda.call(f"{RULES}:replay_of_freed")
    assert seen["sync"] == ILLEGAL_ADDRESS
    assert "freed" in seen["damage"][0]


def test_capture_rules(fakecuda: FakeCuda) -> None:
    codes = fakecuda.call(f"{RULES}:capture_rules")
    assert codes == {
        "alloc, thread-local": [900, 901],
        "alloc, relaxed": [0, 0],
        "alloc elsewhere, thread-local": [0, 0],
        "alloc elsewhere, global": [900, 901],
        "synchronize it": [900, 901],
        "synchronize all": [900, 901],
        "query its event": [907, 901],
        "legacy beside a blocking one": [906, 901],
        "legacy beside a non-blocking one": [0, 0],
        "end in another thread": [908, 0],
        "pageable copy": [900, 901],
        "foreign event": [905, 901],
        "unjoined": [0, 904],
        "begin again": [401, 0],
        "nothing": [0, 0],
        "legacy itself": 900,
        "end without begin": 401,
    }


# --- host functions, failures, entries ---


def test_host_functions_run_in_order_and_may_not_call_the_driver(fakecuda: FakeCuda) -> None:
    assert fakecuda.call(f"{RULES}:host_functions") == {"seen": [8, 800], "damage": []}


def test_work_runs_although_nobody_calls(fakecuda: FakeCuda) -> None:
    assert fakecuda.call(f"{RULES}:idle_machine", wait_seconds=60)


def test_any_call_can_fail(fakecuda: FakeCuda) -> None:
    made_by_cuda = {"cuInit", "cuDevicePrimaryCtxSetFlags_v2", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent"}
    names = sorted(played_names() - made_by_cuda)
    assert len(names) > 100
    assert fakecuda.call(f"{RULES}:failures", names=names) == dict.fromkeys(names, 999)
    assert fakecuda.call(f"{RULES}:second_failure") == [0, 2, 0]


def test_the_environment_can_make_a_call_fail(fakecuda: FakeCuda) -> None:
    env = {"FAKE_FAIL": "cuMemAlloc:2:2"}
    assert fakecuda.call(f"{RULES}:failure_of_the_environment", env=env) == [0, 2, 0]
    assert fakecuda.call(f"{RULES}:failure_of_the_environment", env={"FAKE_FAIL": "cuMemAlloc_v2:*:2"}) == [2, 2, 2]


def test_a_failed_kernel_is_sticky(fakecuda: FakeCuda) -> None:
    assert fakecuda.call(f"{RULES}:sticky_failure") == [700, 700, 700]


def test_entries_are_found_by_name_and_version(fakecuda: FakeCuda) -> None:
    names = ["cuMemAlloc=cuMemAlloc_v2", "cuCtxCreate=cuCtxCreate_v4", "cuGraphInstantiate=cuGraphInstantiateWithFlags"]
    new = fakecuda.call(f"{RULES}:entries", version=13000, names=[*names, "cuNoSuchThing"])
    assert new["answers"] == {**{name: [0, 0, True] for name in names}, "cuNoSuchThing": [0, 1, False]}
    assert new["unknown"] == ["cuNoSuchThing"]
    old = fakecuda.call(f"{RULES}:entries", version=11000, names=["cuCtxCreate=cuCtxCreate_v2"])
    assert old["answers"] == {"cuCtxCreate=cuCtxCreate_v2": [0, 0, True]}


def test_codes_have_names(fakecuda: FakeCuda) -> None:
    assert fakecuda.call(f"{RULES}:texts", codes=[0, 2, 700, 12345]) == [
        "CUDA_SUCCESS", "CUDA_ERROR_OUT_OF_MEMORY", "CUDA_ERROR_ILLEGAL_ADDRESS", "1",
    ]  # fmt: skip


def test_there_may_be_no_device(fakecuda: FakeCuda) -> None:
    script = "import ctypes; print(ctypes.CDLL('libcuda.so.1').cuInit(0))"
    assert fakecuda.run([sys.executable, "-c", script], env={"FAKE_DEVICES": "0"}).stdout.strip() == "100"


def test_the_log_names_the_calls(fakecuda: FakeCuda, tmp_path: Path) -> None:
    target = tmp_path / "log"
    fakecuda.call(f"{SCENES}:stream_order", seeds=1, env={"FAKE_LOG": str(target)})
    text = target.read_text()
    assert "[fake] cuMemsetD8Async" in text
    assert "[fake] run fill" in text


def test_kernels_compiled_for_the_cpu_run(fakecuda: FakeCuda, tmp_path: Path) -> None:
    source = tmp_path / "kernel.cpp"
    source.write_text(
        "using u = unsigned;\n"
        'extern "C" void add_one__run(u gx, u, u, u bx, u, u, u, void** a) {\n'
        "  unsigned char* p = *static_cast<unsigned char**>(a[0]);\n"
        "  for (unsigned i = 0; i < gx * bx && i < unsigned(*static_cast<int*>(a[1])); ++i) ++p[i];\n"
        "}\n"
        'extern "C" const unsigned add_one__sizes[] = {8, 4, 0};\n'
    )
    library = tmp_path / "kernel.so"
    compiler = shutil.which("g++")
    assert compiler is not None
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    assert fakecuda.call(f"{RULES}:shim_kernel", path=str(library), seeds=10) == 10
