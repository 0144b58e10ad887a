"""An .onnx file of the user's: the manifest beside it, a shipped one that it equals, or what can be read off it."""

from __future__ import annotations

from pathlib import Path

import make_models
import pytest

from livematte.config import ModelSettings
from livematte.errors import ModelError
from livematte.models import catalogue
from livematte.models.infer_manifest import _equals, for_file
from livematte.models.load import load_model
from livematte.reporting import ListReporter
from livematte.runtimes.onnx_header import read_header


def test_equal_names_take_the_shipped_contract(tmp_path: Path) -> None:
    reporter = ListReporter()
    assert for_file(make_models.recurrent(tmp_path / "my.onnx"), reporter=reporter).name == "rvm-mobilenetv3"
    assert "my.onnx has the tensors of rvm-mobilenetv3" in reporter.notes[0]
    ours = make_models.stateless(tmp_path / "o.onnx", picture="rgb", matte="alpha")
    assert for_file(ours, reporter=reporter).name == "livematte-s"
    modnet = make_models.stateless(tmp_path / "m.onnx", picture="input", matte="output")
    assert for_file(modnet, reporter=reporter).name == "modnet-photographic"
    isnet = make_models.planes(
        tmp_path / "i.onnx", picture="input_image", matte="output_image", sides=(1, 3, 1024, 1024), extra_outputs=11
    )
    assert for_file(isnet, reporter=reporter).name == "isnet"


def test_of_two_networks_with_equal_names_the_files_size_decides(tmp_path: Path) -> None:
    """RVM's two backbones: 7.5 and 15 MB against 54 and 107 MB."""
    header = read_header(make_models.recurrent(tmp_path / "my.onnx"))
    for size_bytes, name in ((7_503_483, "rvm-mobilenetv3"), (107_479_165, "rvm-resnet50")):
        fitting = [
            one.name
            for one in catalogue.shipped().values()
            if any(_equals(known, one.graph, header, size_bytes) for known in one.graph.recognise)
        ]
        assert fitting == [name]


def test_equal_names_and_another_size_are_another_network(tmp_path: Path) -> None:
    """RMBG's `input` and `output` are MODNet's names, but 1024x1024 is not MODNet's size."""
    path = make_models.stateless(tmp_path / "r.onnx", picture="input", matte="output", sides=(1, 3, 1024, 1024))
    found = for_file(path, reporter=ListReporter())
    assert found.name == "r"
    assert found.graph.input.size.policy == "fixed"


def test_a_manifest_beside_it_wins(tmp_path: Path) -> None:
    path = make_models.stateless(tmp_path / "o.onnx", picture="rgb", matte="alpha")
    path.with_suffix(".toml").write_text("format = 1\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"o\.toml: name"):
        for_file(path, reporter=ListReporter())


def test_inferred_with_its_assumptions_said(tmp_path: Path) -> None:
    reporter = ListReporter()
    found = for_file(make_models.many(tmp_path / "My Net.onnx"), reporter=reporter)
    assert found.graph.input.size.width == 16
    assert found.graph.alpha.position == 0
    assert "assumptions" in reporter.warnings[0]
    assert "'d0'" in reporter.warnings[0]
    free = for_file(make_models.stateless(tmp_path / "free.onnx"), reporter=reporter)
    assert free.graph.input.size.policy == "area"
    nhwc = for_file(make_models.nhwc(tmp_path / "n.onnx"), reporter=reporter)
    assert nhwc.graph.input.layout == "NHWC"
    assert (nhwc.graph.input.size.width, nhwc.graph.input.size.height) == (12, 8)


def test_what_cannot_be_inferred_says_why(tmp_path: Path) -> None:
    path = make_models.softmax(tmp_path / "s.onnx")
    with pytest.raises(ModelError, match=r"none of its outputs is a map of one channel.*s\.toml beside it"):
        for_file(path, reporter=ListReporter())


@pytest.mark.parametrize("name", ["net.pth", "net.pt", "net.ckpt", "net.pkl", "net.tflite", "folder/net"])
def test_only_onnx(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"not an \.onnx file"):
        load_model(ModelSettings(model=str(tmp_path / name)), reporter=ListReporter())


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no file"):
        load_model(ModelSettings(model=str(tmp_path / "none.onnx")), reporter=ListReporter())


@pytest.mark.parametrize("content", [b"", b"not a network at all", b"\x89PNG\r\n\x1a\n" + bytes(64), bytes(100)])
def test_not_a_network(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_model(ModelSettings(model=str(path)), reporter=ListReporter())
    assert "x.onnx" in str(caught.value)


def test_every_prefix_of_a_network_is_refused(tmp_path: Path) -> None:
    whole = make_models.stateless(tmp_path / "a.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        try:
            found = read_header(path)
        except ModelError:
            continue
        assert found.inputs  # the rest of the file says nothing about inputs and outputs
        assert end > len(whole) // 2


def test_header_says_what_the_runtime_says(tmp_path: Path) -> None:
    import onnxruntime

    path = make_models.recurrent(tmp_path / "r.onnx")
    header = read_header(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [(i.name, list(i.shape)) for i in header.inputs] == [(i.name, i.shape) for i in session.get_inputs()]
    assert [(o.name, list(o.shape)) for o in header.outputs] == [(o.name, o.shape) for o in session.get_outputs()]
    assert header.opset == 17


def test_precision_that_the_file_is_not_in(tmp_path: Path) -> None:
    path = make_models.half(tmp_path / "h.onnx")
    with pytest.raises(ModelError, match="is a network in fp16, and --precision asks for fp32"):
        load_model(ModelSettings(model=str(path), precision="fp32"), reporter=ListReporter())


def test_a_manifest_for_other_tensors(tmp_path: Path) -> None:
    path = make_models.stateless(tmp_path / "a.onnx")
    other = Path(make_models.__file__).parents[2] / "engines" / "livematte-s.toml"
    path.with_suffix(".toml").write_text(other.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ModelError, match="wants the input 'rgb', and the file has picture"):
        load_model(ModelSettings(model=str(path)), reporter=ListReporter())
