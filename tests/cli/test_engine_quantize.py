"""`livematte engine quantize` on the command line: what is passed on, what is said, and the exit codes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from outcome import Command

from livematte.errors import DeviceError, SourceError, UsageError

pytest.importorskip("onnx", reason="graphs are converted with onnx")
conversion = pytest.importorskip("livematte.runtimes.graphs.conversion")

REPORT = SimpleNamespace(lines=lambda: ["fp32 0.0", "int8 1.3"], as_dict=lambda: {"rows": [1, 2]}, frames=48)


class Tool:
    """Stands for the conversion itself, which has its own tests."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.refused: str | None = None
        self.error: Exception | None = None

    def __call__(self, request: Any, *, reporter: Any, progress: Any) -> Any:
        self.requests.append(request)
        progress("calibrating", 0.5)
        if self.error is not None:
            raise self.error
        path = None if self.refused else Path("out.onnx")
        manifest = None if self.refused else Path("out.toml")
        return conversion.QuantizeResult(path, manifest, self.refused, REPORT, (("norm", "a mean"),))


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Tool:
    one = Tool()
    monkeypatch.setattr(conversion, "quantize_model", one)
    return one


def test_words_become_a_request(command: Command, tool: Tool) -> None:
    done = command(
        "engine",
        "quantize",
        "auto",
        "a.mp4",
        "b/",
        "--precision",
        "fp16",
        "--for",
        "tensorrt",
        "--max-mad",
        "1.5",
        "-o",
        "x.onnx",
        "--frames",
        "9",
        "--quality",
        "best",
        "--network-size",
        "448x256",
        "--threads",
        "2",
        "--allow-slower",
        "--overwrite",
        "--runtime",
        "openvino",
    )
    assert done.code == 0, done.err
    assert tool.requests == [
        conversion.QuantizeRequest(
            model="auto",
            inputs=("a.mp4", "b/"),
            precision="fp16",
            target="tensorrt",
            max_mad=1.5,
            output=Path("x.onnx"),
            frames=9,
            quality="best",
            network_size="448x256",
            threads=2,
            allow_slower=True,
            overwrite=True,
            runtime="openvino",
        )
    ]


def test_the_defaults_are_those_of_the_request(command: Command, tool: Tool) -> None:
    command("engine", "quantize", "auto", "a.mp4")
    assert tool.requests == [conversion.QuantizeRequest("auto", ("a.mp4",))]


def test_what_is_said(command: Command, tool: Tool) -> None:
    done = command("engine", "quantize", "auto", "a.mp4")
    for words in ("int8 1.3", "norm: a mean", "Written: out.onnx", "--model out.onnx"):
        assert words in done.out
    events = command("engine", "quantize", "auto", "a.mp4", "--json").events
    assert events[0]["stage"] == "calibrating"
    assert events[-1]["report"] == {"rows": [1, 2]}
    assert events[-1]["output"] == "out.onnx"
    quiet = command("engine", "quantize", "auto", "a.mp4", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_a_refusal_ends_with_1_and_is_said(command: Command, tool: Tool) -> None:
    tool.refused = "the mattes are 3.1 from those of fp32."
    done = command("engine", "quantize", "auto", "a.mp4")
    assert done.code == 1
    assert "int8 1.3" in done.out
    assert "the mattes are 3.1" in done.out
    quiet = command("engine", "quantize", "auto", "a.mp4", "--quiet")
    assert "the mattes are 3.1" in quiet.err
    events = command("engine", "quantize", "auto", "a.mp4", "--json").events
    assert events[-1]["refused"] == tool.refused
    assert events[-1]["output"] is None


@pytest.mark.parametrize(("error", "code"), [(UsageError("a."), 2), (SourceError("b."), 3), (DeviceError("c."), 5)])
def test_errors_keep_their_codes(command: Command, tool: Tool, error: Exception, code: int) -> None:
    tool.error = error
    done = command("engine", "quantize", "auto", "a.mp4")
    assert done.code == code
    assert str(error) in done.message


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["auto"],
        ["auto", "a.mp4", "--for", "gpu"],
        ["auto", "a.mp4", "--precision", "fp8"],
        ["auto", "a.mp4", "--max-mat", "3"],
    ],
)
def test_wrong_words_end_with_2(command: Command, tool: Tool, words: list[str]) -> None:
    assert command("engine", "quantize", *words).code == 2
    assert not tool.requests
