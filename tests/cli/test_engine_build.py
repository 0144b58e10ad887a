"""`livematte engine build` on the command line, over an injected builder: words, plans, exit codes."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_world import PLAN, World
from outcome import Command

from livematte import resources
from livematte.cli.app import run
from livematte.errors import DeviceError, ModelError
from livematte.runtimes.plans import PlanStore
from livematte.runtimes.tensorrt import library

pytest.importorskip("onnx", reason="plans are built from graphs that onnx makes")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def plans(done: Any) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    summary = done.events[-1]
    assert summary["event"] == "summary"
    return list(summary["plans"])


def test_a_plan_is_built_kept_and_found(command: Command, world: World) -> None:
    (first,) = plans(command("engine", "build", "auto", "--target", "sm_89", "--json"))
    assert not first["from_cache"]
    assert (first["model"], first["runtime"], first["precision"]) == ("livematte-s", "tensorrt-rtx", "fp32")
    assert (first["shape"], first["targets"], first["bytes"]) == ("256x448", ["sm_89"], len(PLAN))
    assert Path(first["path"]).read_bytes().endswith(PLAN)
    (again,) = plans(command("engine", "build", "livematte-s", "--target", "sm_89", "--json"))
    assert again["from_cache"]
    assert again["id"] == first["id"]
    assert len(world.requests) == 1


def test_the_words_for_a_person(command: Command, world: World) -> None:
    first = command("engine", "build", "auto", "--target", "sm_89", "--runtime", "tensorrt-rtx")
    assert "no plan has been built" in first.out
    assert "livematte-s in fp32, input 256x448, for sm_89: built in 2.0 s, 7 kB" in first.out
    again = command("engine", "build", "auto", "--target", "sm_89", "--runtime", "tensorrt-rtx")
    assert again.out.count("\n") == 1
    assert "was here already" in again.out
    quiet = command("engine", "build", "auto", "--target", "sm_89", "--rebuild", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert len(world.requests) == 2


def test_progress_as_json(command: Command, world: World) -> None:
    done = command("engine", "build", "auto", "--target", "sm_89", "--json")
    stages = [event["stage"] for event in done.events if event["event"] == "progress"]
    assert stages == ["optimising", "done"]


def test_progress_on_a_terminal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    assert run(["engine", "build", "auto", "--target", "sm_89"]) == 0
    assert run(["engine", "list"]) == 0
    text = stream.getvalue()
    assert "built in 2.0 s" in text
    assert "network" in text
    assert "\x1b[?25h" in text  # the cursor is back


def test_a_plan_for_each_chip_and_shape(command: Command, world: World) -> None:
    made = plans(
        command(
            "engine",
            "build",
            "auto",
            "--target",
            "sm_89,sm_120",
            "--target",
            "sm_89",
            "--shape",
            "256x448",
            "--shape",
            "448x256",
            "--precision",
            "fp16",
            "--json",
        )
    )
    assert [(one["shape"], one["targets"]) for one in made] == [
        ("256x448", ["sm_89"]),
        ("256x448", ["sm_120"]),
        ("448x256", ["sm_89"]),
        ("448x256", ["sm_120"]),
    ]
    assert len({one["id"] for one in made}) == 4
    assert {request.precision for request in world.requests} == {"fp16"}
    assert world.requests[2].profile.of("rgb").best == (1, 3, 448, 256)  # type: ignore[union-attr]


def test_a_range_of_shapes(command: Command, world: World) -> None:
    done = command("engine", "build", "auto", "--target", "sm_89", "--shape", "224x384:256x448:288x512", "--json")
    (one,) = plans(done)
    assert one["shape"] == "224x384:256x448:288x512"
    (request,) = world.requests
    held = request.profile.of("rgb")
    assert held is not None
    assert (held.least, held.best, held.most) == ((1, 3, 224, 384), (1, 3, 256, 448), (1, 3, 288, 512))
    (within,) = plans(command("engine", "build", "auto", "--target", "sm_89", "--shape", "288x384", "--json"))
    assert within["from_cache"]


@pytest.mark.parametrize(("quality", "shape"), [("fast", "224x384"), ("good", "256x448"), ("best", "288x512")])
def test_the_shape_of_a_quality(command: Command, world: World, quality: str, shape: str) -> None:
    (one,) = plans(command("engine", "build", "auto", "--target", "sm_89", "--quality", quality, "--json"))
    assert one["shape"] == shape


def test_the_gpu_of_this_machine_is_the_target_of_rtx(command: Command, world: World) -> None:
    world.gpu("NVIDIA GeForce RTX 4090", (8, 9))
    (one,) = plans(command("engine", "build", "auto", "--runtime", "tensorrt-rtx", "--json"))
    assert (one["targets"], one["gpu"]) == (["sm_89"], "")
    assert world.closed == 1


def test_tensorrt_builds_for_the_gpu_of_this_machine(command: Command, world: World) -> None:
    world.gpu("NVIDIA H100 80GB HBM3")
    (one,) = plans(command("engine", "build", "auto", "--json"))
    assert (one["runtime"], one["targets"], one["gpu"]) == ("tensorrt", [], "NVIDIA H100 80GB HBM3 sm_90")
    world.gpu("NVIDIA A100-SXM4-40GB", (8, 0))
    done = command("engine", "build", "auto")
    assert "the plan here was for NVIDIA H100 80GB HBM3 sm_90, and this is NVIDIA A100-SXM4-40GB sm_80" in done.out


def test_another_version_builds_again_and_says_why(command: Command, world: World) -> None:
    command("engine", "build", "auto", "--target", "sm_89")
    world.install("tensorrt_rtx", "1.8.0.1")
    done = command("engine", "build", "auto", "--target", "sm_89")
    assert done.code == 0
    assert "the plan here was built by tensorrt-rtx 1.7.1.116, and 1.8.0.1 is installed" in done.out
    assert len(world.requests) == 2


@pytest.mark.parametrize(
    "content", [b"", b"LMPLAN\r\n", b"\x00" * 5000, b"LMPLAN\r\n\x01\0\0\0\xff\xff\xff\xff" + b"x" * 99]
)
def test_a_damaged_plan_is_built_again_and_it_is_said(command: Command, world: World, content: bytes) -> None:
    (one,) = plans(command("engine", "build", "auto", "--target", "sm_89", "--json"))
    Path(one["path"]).write_bytes(content)
    done = command("engine", "build", "auto", "--target", "sm_89")
    assert done.code == 0
    assert f"the plan here, {Path(one['path']).name}, " in done.out
    assert "It is built now" in done.out
    assert len(world.requests) == 2
    assert command("engine", "inspect", one["id"]).code == 0


USAGE = [
    (["--runtime", "tensorrt", "--target", "sm_89"], "measures its kernels there"),
    (["--target", "89"], "--target cannot be '89'"),
    (["--target", "sm_90"], "'sm_90', and TensorRT-RTX 1.7.1.116 builds for sm_86, sm_89, sm_120"),
    (["--runtime", "tensorrt-rtx"], "--target is missing"),
    (["--target", "sm_89", "--shape", "448"], "HEIGHTxWIDTH"),
    (["--target", "sm_89", "--shape", "256x448:288x512"], "least:best:most"),
    (["--target", "sm_89", "--shape", "288x512:256x448:224x384"], "must grow"),
    (["--target", "sm_89", "--shape", "250x448"], "multiples of 32"),
    (["--target", "sm_89", "--precision", "bf16"], "Allowed: auto, fp32, tf32, fp16, int8"),
    (["--target", "sm_89", "--precision", "int8"], "engine quantize"),
    (["--runtime", "onnxruntime"], "Allowed: auto, tensorrt, tensorrt-rtx"),
    (["--runtime", "tensorrt", "--device", "cpu"], "--device cannot be 'cpu'"),
]


@pytest.mark.parametrize(("words", "said"), USAGE, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_wrong_words_end_with_2(command: Command, world: World, words: list[str], said: str) -> None:
    done = command("engine", "build", "auto", *words)
    assert done.code == 2
    assert said in done.message
    assert not world.requests


def test_target_with_tensorrt_needs_no_library_to_be_refused(command: Command, world: World) -> None:
    world.install("tensorrt", None)
    assert command("engine", "build", "auto", "--runtime", "tensorrt", "--target", "sm_89").code == 2


def test_no_model(command: Command, world: World) -> None:
    assert command("engine", "build", "--target", "sm_89").code == 2
    assert command("engine", "build", "nonsuch", "--target", "sm_89").code == 4
    assert command("engine", "build", "missing.onnx", "--target", "sm_89").code == 4
    assert command("engine", "build", "rvm", "--target", "sm_89").code == 4


def test_a_plan_is_never_taken_as_a_model(command: Command, world: World, tmp_path: Path) -> None:
    (one,) = plans(command("engine", "build", "auto", "--target", "sm_89", "--json"))
    assert command("engine", "build", one["path"], "--target", "sm_89").code == 4


def test_what_is_not_there_ends_with_5(command: Command, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    done = command("engine", "build", "auto", "--runtime", "tensorrt")
    assert done.code == 5
    assert "no NVIDIA driver" in done.message
    world.install("tensorrt", None)
    world.install("tensorrt_rtx", None)
    done = command("engine", "build", "auto", "--runtime", "tensorrt-rtx", "--target", "sm_89")
    assert done.code == 5
    assert "livematte[rtx]" in done.message
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    done = command("engine", "build", "auto")
    assert done.code == 5
    assert "livematte[rtx]" in done.message
    assert "livematte[tensorrt]" in done.message


@pytest.mark.parametrize(
    ("error", "code"), [(ModelError("crashed."), 4), (DeviceError("no memory."), 5), (KeyboardInterrupt(), 130)]
)
def test_a_failed_build_leaves_nothing(command: Command, world: World, error: BaseException, code: int) -> None:
    world.error = error
    assert command("engine", "build", "auto", "--target", "sm_89").code == code
    assert PlanStore().entries() == []
    assert not list(PlanStore().folder.glob("*.part"))
    world.error = None
    assert command("engine", "build", "auto", "--target", "sm_89").code == 0


def test_a_folder_that_cannot_be_used_ends_with_1_before_anything_is_built(command: Command, world: World) -> None:
    folder = resources.cache_dir() / "plans"
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    done = command("engine", "build", "auto", "--target", "sm_89")
    assert done.code == 1
    assert "LIVEMATTE_CACHE" in done.message
    assert not world.requests


def test_a_plan_that_could_not_be_kept_ends_with_1(
    command: Command, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from livematte.runtimes.plans import store

    def full(*_paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_replace", full)
    done = command("engine", "build", "auto", "--target", "sm_89")
    assert done.code == 1
    assert "No space left" in done.out
    assert "could not be kept" in done.out


def test_the_key_is_the_one_that_the_engine_asks_for(command: Command, world: World) -> None:
    """What `engine build` keeps is what a run with the same words finds."""
    from livematte.config import ModelSettings
    from livematte.models.load import find_network
    from livematte.models.sizes import network_size
    from livematte.reporting import ListReporter
    from livematte.runtimes.graphs import GraphFacts
    from livematte.runtimes.tensorrt.opening import PlanWish, prepared_graph, wish_key

    (one,) = plans(command("engine", "build", "auto", "--target", "sm_89", "--precision", "fp16", "--json"))
    settings = ModelSettings(precision="fp16", runtime="tensorrt-rtx")
    found = find_network(settings, reporter=ListReporter())
    spec = found.contract.graph.input
    assert spec is not None
    wish = PlanWish(
        onnx=found.path,
        runtime="tensorrt-rtx",
        precision=found.computes_in or found.precision,
        shapes=found.contract.shapes(network_size(spec.size, 1280, 720)),
        # As runtimes/tensorrt/engine.py makes them of EngineOptions.
        facts=GraphFacts(outputs=(found.contract.alpha.name,), keep_fp32=found.contract.graph.keep_fp32),
        targets=("sm_89",),
    )
    assert wish_key(wish, prepared_graph(wish)).id == one["id"]


def test_runtime_names_are_those_of_the_library() -> None:
    assert {dialect.runtime for dialect in library.DIALECTS} == {"tensorrt", "tensorrt-rtx"}


def test_the_summary_is_json(command: Command, world: World) -> None:
    world.facts["layers"] = {"fp16": 120, "fp32": 4}
    done = command("engine", "build", "auto", "--target", "sm_89", "--json")
    assert json.loads(done.out.splitlines()[-1])["plans"][0]["notes"]["layers"] == {"fp16": 120, "fp32": 4}
