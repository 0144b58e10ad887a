"""The manifests: the schema's messages, and what the shipped ones say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from livematte import resources
from livematte.errors import ModelError
from livematte.models import catalogue

ENGINES = resources.root() / "engines"
GOOD = (ENGINES / "livematte-s.toml").read_text(encoding="utf-8")


def test_the_shipped_ones() -> None:
    assert list(catalogue.shipped()) == [
        "livematte-s", "ben2", "birefnet-general", "birefnet-general-lite", "birefnet-matting", "birefnet-portrait",
        "inspyrenet", "isnet", "isnet-anime", "modnet-photographic", "modnet-webcam", "pp-humanseg", "rmbg-1.4",
        "rmbg-2.0", "rvm-mobilenetv3", "rvm-resnet50", "selfie", "u2net", "u2net_human_seg", "u2netp",
    ]  # fmt: skip
    for name, one in catalogue.shipped().items():
        assert name == one.name
        assert one.licence.text


def test_aliases() -> None:
    assert catalogue.by_name("auto").name == catalogue.DEFAULT == "livematte-s"
    assert catalogue.by_name("rvm").name == "rvm-mobilenetv3"
    assert catalogue.by_name("modnet").name == "modnet-photographic"


def test_what_is_embedded_has_a_model_card_for_these_bytes() -> None:
    """A network that takes another's place under the same name takes its card along."""
    for one in catalogue.shipped().values():
        for weights in (file for graph in one.graphs for file in graph.weights if file.source == "embedded"):
            card = (ENGINES / f"{one.name}.md").read_text(encoding="utf-8")
            assert weights.sha256 in card
            assert one.licence.spdx in card
            for heading in ("## Input and output", "## Figures", "## What it was trained on", "## What it does badly"):
                assert heading in card


def test_embedded_bytes_are_the_manifests() -> None:
    files = catalogue.by_name("auto").graph.weights
    assert [one.precision for one in files] == ["fp32", "int8"]
    for weights in files:
        data = (ENGINES / weights.file).read_bytes()
        assert hashlib.sha256(data).hexdigest() == weights.sha256
        assert len(data) == weights.size_bytes


def test_every_fetchable_file_is_pinned() -> None:
    for one in catalogue.shipped().values():
        for weights in one.graph.weights:
            if weights.source == "url":
                assert weights.url.startswith("https://")
                assert weights.sha256
                assert weights.size_bytes


def test_rvm_as_its_publisher_describes_it() -> None:
    graph = catalogue.by_name("rvm").graph
    assert [(s.input, s.output, s.channels, s.stride) for s in graph.states] == [
        ("r1i", "r1o", 16, 2), ("r2i", "r2o", 20, 4), ("r3i", "r3o", 40, 8), ("r4i", "r4o", 64, 16),
    ]  # fmt: skip
    assert (graph.alpha.name, graph.alpha.position) == ("pha", 1)
    assert graph.extra[0].dtype == "float32"
    assert catalogue.by_name("rvm").is_recurrent


def test_rvm_resnet_as_its_publisher_describes_it() -> None:
    graph = catalogue.by_name("rvm-resnet50").graph
    assert [(s.input, s.channels, s.stride) for s in graph.states] == [
        ("r1i", 16, 2), ("r2i", 32, 4), ("r3i", 64, 8), ("r4i", 128, 16),
    ]  # fmt: skip


def test_which_networks_leave_an_activation_to_us() -> None:
    """BiRefNet's files give logits (its export notebook); every other one here has its last activation inside."""
    activations = {name: one.graph.alpha.activation for name, one in catalogue.shipped().items()}
    assert {name for name, what in activations.items() if what != "none"} == {
        "birefnet-general", "birefnet-general-lite", "birefnet-matting", "birefnet-portrait",
    }  # fmt: skip
    assert {what for name, what in activations.items() if name.startswith("birefnet")} == {"sigmoid"}
    assert catalogue.by_name("pp-humanseg").graph.alpha.channel == 1


def test_brias_networks_are_not_for_commercial_use() -> None:
    barred = [name for name, one in catalogue.shipped().items() if one.licence.commercial == "no"]
    assert barred == ["rmbg-1.4", "rmbg-2.0"]


def test_weights_by_precision() -> None:
    rvm = catalogue.by_name("rvm")
    assert rvm.weights("auto").precision == "fp32"
    assert rvm.weights("fp16").file == "rvm_mobilenetv3_fp16.onnx"
    with pytest.raises(ModelError, match="no file in fp16; it exists in fp32"):
        catalogue.by_name("isnet").weights("fp16")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("multiple_of = 32", "multiple_of = 0"), ["multiple_of", "got 0", "greater than or equal to 1"]),
        (('layout = "NCHW"', 'layout = "CHWN"'), ["graphs.0.input.layout", "'CHWN'", "'NCHW' or 'NHWC'"]),
        (('policy = "area"', 'policy = "round"'), ["graphs.0.input.size", "'area', 'short_side'"]),
        (('activation = "none"', 'activaton = "none"'), ["graphs.0.alpha.activaton", "does not exist"]),
        (("format = 1", "format = 2"), ["format", "got 2"]),
        (('title = "livematte-s"', ""), ["title", "required"]),
        (("sha256 = \"f081", "sha256 = \"F081"), ["sha256"]),
        (("format = 1", "format = "), ["not valid TOML"]),
        (('source = "embedded"', 'source = "url"'), ["needs url and url_evidence"]),
    ],
)  # fmt: skip
def test_a_wrong_manifest_names_file_key_value_and_allowed(change: tuple[str, str], said: list[str]) -> None:
    if "f081" in change[0]:  # the hash changes with each better network
        digest = catalogue.by_name("auto").weights().sha256
        change = (f'sha256 = "{digest}"', f'sha256 = "{digest.upper()}"')
    assert change[0] in GOOD
    with pytest.raises(ModelError) as caught:
        catalogue.parse(GOOD.replace(*change), "mine.toml")
    assert str(caught.value).startswith("mine.toml")
    for part in said:
        assert part in str(caught.value)
    assert caught.value.exit_code == 4


def test_several_graphs_and_a_prompt_are_allowed(tmp_path: Path) -> None:
    """SAM-like: an encoder that gives no matte, a decoder that takes no picture."""
    decoder = """
[[graphs]]
role = "mask_decoder"
weights = [{ source = "bring", file = "decoder.onnx", export = "make it" }]
alpha = { name = "masks", activation = "sigmoid" }
feeds = { image_embeddings = "image_encoder.image_embeddings" }
extra = [{ name = "has_mask_input", value = 0.0 }]

[prompt]
kinds = ["points", "box"]
points_input = "point_coords"
labels_input = "point_labels"
"""
    start, end = GOOD.index("[graphs.alpha]"), GOOD.index("[defaults]")
    encoder = GOOD[:start].replace("[[graphs]]", '[[graphs]]\nrole = "image_encoder"', 1)
    text = encoder + decoder + GOOD[end:]
    path = tmp_path / "sam.toml"
    path.write_text(text, encoding="utf-8")
    found = catalogue.read(path)
    assert [graph.role for graph in found.graphs] == ["image_encoder", "mask_decoder"]
    assert found.prompt.kinds == ("points", "box")
    with pytest.raises(ModelError, match="2 graphs"):
        _ = found.graph


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ModelError, match=r"no network called 'foo'.*livematte-s.*path of an \.onnx file"):
        catalogue.by_name("foo")


def test_unreadable_manifest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        catalogue.read(tmp_path / "none.toml")
