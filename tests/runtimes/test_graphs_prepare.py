"""What an engine's builder calls: cached, made anew where something is wrong, with errors that help."""

from __future__ import annotations

import builtins
import sys
import threading
from pathlib import Path
from typing import Any

import graphs_making
import onnx
import pytest

from livematte.errors import DeviceError, ModelError, UsageError
from livematte.models.contract import tie
from livematte.models.manifest import ExtraInput, Graph
from livematte.models.sizes import NetworkSize
from livematte.reporting import ListReporter
from livematte.runtimes.graphs import GraphFacts, Prepared, facts_of, prepare
from livematte.runtimes.onnx_header import read_header

SHAPES = {"src": (1, 3, 64, 96), "r1i": (1, 1, 1, 1), "downsample_ratio": (1,)}
FACTS = GraphFacts(states=graphs_making.STATES, outputs=("pha",), constants={"downsample_ratio": 0.5})


@pytest.fixture
def guided(tmp_path: Path) -> Path:
    return graphs_making.saved(graphs_making.guided(), tmp_path / "guided.onnx")


def static_half(path: Path, facts: GraphFacts = FACTS, **changes: Any) -> Prepared:
    return prepare(path, **{"precision": "fp16", "shapes": SHAPES, "for_": "tensorrt", "facts": facts} | changes)


def test_a_static_fp16_graph_is_made_once(guided: Path) -> None:
    first = static_half(guided)
    assert not first.from_cache
    assert first.shapes == {"src": (1, 3, 64, 96), "r1i": (1, 8, 16, 24)}
    assert first.islands
    assert all(node and reason for node, reason in first.islands)
    header = read_header(first.path)
    assert {spec.name: (spec.dtype, spec.shape) for spec in header.inputs} == {
        "src": ("float32", (1, 3, 64, 96)), "r1i": ("float16", (1, 8, 16, 24)),
    }  # fmt: skip
    again = static_half(guided)
    assert again.from_cache
    assert (again.path, again.islands, again.notes, again.shapes) == (
        first.path,
        first.islands,
        first.notes,
        first.shapes,
    )


def test_everything_that_goes_in_is_part_of_the_key(guided: Path) -> None:
    paths = {
        static_half(guided).path,
        static_half(guided, precision="fp32").path,
        static_half(guided, for_="cpu").path,
        static_half(guided, shapes=SHAPES | {"src": (1, 3, 64, 128)}).path,
        static_half(guided, GraphFacts(FACTS.states, FACTS.outputs, {"downsample_ratio": 0.25})).path,
        static_half(guided, GraphFacts(FACTS.states, FACTS.outputs, FACTS.constants, ("HardSwish",))).path,
        static_half(guided, GraphFacts(FACTS.states, FACTS.outputs, FACTS.constants, io="fp16")).path,
    }
    assert len(paths) == 7


@pytest.mark.parametrize("harm", ["cut", "record", "no record"])
def test_a_damaged_file_is_made_anew_and_said(guided: Path, harm: str) -> None:
    first = static_half(guided)
    whole, record = first.path.read_bytes(), first.path.with_suffix(".json")
    if harm == "cut":
        first.path.write_bytes(whole[: len(whole) // 2])
    elif harm == "record":
        record.write_text("{")
    else:
        record.unlink()
    reporter = ListReporter()
    again = static_half(guided, reporter=reporter)
    assert not again.from_cache
    assert again.path.read_bytes() == whole
    assert len(reporter.notes) == 1
    assert reporter.notes[0].endswith("it is made anew.")


def test_several_at_once_make_it_once(guided: Path) -> None:
    found: list[Prepared] = []
    threads = [threading.Thread(target=lambda: found.append(static_half(guided)), name="test") for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.from_cache for one in found) == [False, True, True]


def test_free_sides_stay_free_and_extra_inputs_stay(guided: Path) -> None:
    made = prepare(guided, precision="fp16", shapes=None, for_="cpu", facts=FACTS)
    assert made.shapes == {}
    header = read_header(made.path)
    assert [spec.name for spec in header.inputs] == ["src", "r1i", "downsample_ratio"]
    assert [spec.name for spec in header.outputs] == ["pha", "r1o"]


def test_a_file_in_fp16_keeps_its_islands(guided: Path) -> None:
    once = prepare(guided, precision="fp16", shapes=None, for_="cpu", facts=FACTS)
    facts = GraphFacts(FACTS.states, FACTS.outputs, FACTS.constants)
    twice = static_half(once.path, facts)
    assert not twice.islands
    assert any("in fp16 already" in note for note in twice.notes)


def test_int8_of_a_file_without_it_names_the_command(guided: Path) -> None:
    with pytest.raises(UsageError, match=r"livematte engine quantize .*guided.onnx CLIP --for tensorrt"):
        static_half(guided, precision="int8")


def test_no_network_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("no network at all, but some text")
    with pytest.raises(ModelError, match="cannot be read as an ONNX network"):
        static_half(path)


def test_a_missing_package_names_the_extra(guided: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "onnx" or name.startswith("onnx."):
            raise ModuleNotFoundError("No module named 'onnx'", name="onnx")
        return real(name, *rest, **more)

    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DeviceError, match=r"pip install 'livematte\[quantize\]'"):
        static_half(guided)


def test_importing_the_package_imports_no_library() -> None:
    import subprocess

    code = "import sys, livematte.runtimes.graphs as g; print([m for m in ('onnx', 'onnxruntime') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_facts_come_from_the_manifest(guided: Path) -> None:
    from livematte.models.catalogue import by_name

    graph: Graph = by_name("rvm-mobilenetv3").graph.model_copy(
        update={
            "states": by_name("rvm-mobilenetv3").graph.states[:1],
            "extra": (ExtraInput(name="downsample_ratio", value="ratio"),),
        }
    )
    contract = tie(graph, read_header(guided), str(guided))
    facts, shapes = facts_of(contract, NetworkSize(96, 64, (0, 0, 96, 64), ratio=0.5))
    assert facts == GraphFacts((("r1i", "r1o"),), ("pha",), {"downsample_ratio": 0.5}, ("downsample_ratio",))
    assert shapes == SHAPES
    assert static_half(guided, facts, shapes=shapes).shapes["r1i"] == (1, 8, 16, 24)


def test_the_graph_that_is_written_is_a_valid_one(guided: Path) -> None:
    onnx.checker.check_model(str(static_half(guided).path), full_check=True)
