"""Parts of training that a rehearsal would not catch being subtly wrong."""

# ruff: noqa: E402 (imports follow the skip, because they fail without PyTorch)

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'livematte[training,cpu]'")
pytest.importorskip("onnx", reason="onnx is not installed: pip install 'livematte[training,cpu]'")

from training import effects, losses
from training.atlas import Atlas, Extents, Window
from training.composer import Composer
from training.files import Files, pack
from training.folding import folded
from training.geometry import after, inverted, level_for, moved, similarity
from training.network import Network
from training.pictures import thickness
from training.plan import CAMERA, LAYER, MAX_LAYERS, Label, Outline, Plan, plain_colour, plain_layer
from training.sources import Holdout, Source, Sources, label_is_trusted


def atlas_of(rgba: np.ndarray) -> Atlas:
    """One picture, all of whose levels are the full one."""
    height, width = rgba.shape[:2]
    texels = torch.from_numpy(np.ascontiguousarray(rgba).view(np.int32).reshape(-1))
    level = [np.full((1, 4), value, np.int64) for value in (0, height, width)]
    return Atlas(texels, Extents(*level))


def identity(n: int = 1) -> torch.Tensor:
    return torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]).repeat(n, 1, 1)


class TestAtlas:
    rgba = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)

    def sampled(self, inverse: torch.Tensor, border: str, window: Window) -> np.ndarray:
        zero = torch.zeros(1, dtype=torch.int64)
        return (atlas_of(self.rgba).sample(zero, zero, inverse, window, border=border)[0] * 255).numpy()  # type: ignore[arg-type]

    @pytest.mark.parametrize("border", ["clear", "mirror"])
    def test_the_identity_gives_the_picture_back(self, border: str) -> None:
        out = self.sampled(identity(), border, Window(0, 0, 8, 8))
        np.testing.assert_allclose(out, self.rgba, atol=1e-3)

    def test_outside_a_figure_is_clear_and_outside_a_room_is_its_mirror_image(self) -> None:
        beside = Window(0, 8, 8, 8)
        assert not self.sampled(identity(), "clear", beside)[..., 3].any()
        np.testing.assert_allclose(self.sampled(identity(), "mirror", beside), self.rgba[:, ::-1], atol=1e-3)

    def test_a_window_is_a_part_of_the_frame(self) -> None:
        turned = torch.tensor([[[0.9, 0.2, 0.3], [-0.1, 1.1, 0.4]]])
        whole = self.sampled(turned, "mirror", Window(0, 0, 8, 8))
        np.testing.assert_allclose(self.sampled(turned, "mirror", Window(2, 3, 4, 5)), whole[2:6, 3:8], atol=1e-3)


class TestGeometry:
    def test_a_map_and_its_inverse_cancel(self) -> None:
        m = similarity(0.7, 0.4, (3.0, 5.0), (10.0, 2.0), flip=True, stretch=1.2)
        assert moved(m, (3.0, 5.0)) == pytest.approx((10.0, 2.0))
        np.testing.assert_allclose(after(inverted(m), m), np.eye(2, 3), atol=1e-12)

    @pytest.mark.parametrize(("texels", "level"), [(0.5, 0), (1.0, 0), (2.0, 1), (4.0, 2), (100.0, 3)])
    def test_shrinking_calls_for_a_coarser_level(self, texels: float, level: int) -> None:
        assert level_for(similarity(texels, 0.3, (0.0, 0.0), (0.0, 0.0))) == level


class TestEffects:
    def test_fine_jpeg_hardly_changes_a_picture_and_coarse_jpeg_does(self) -> None:
        ramp = torch.linspace(0, 1, 32)[None, None, :, None].expand(2, 32, 32, 3).contiguous()
        coded = effects.jpeg(ramp, torch.tensor([98.0, 5.0]))
        error = (coded - ramp).abs().mean((1, 2, 3))
        assert error[0] < 0.01 < error[1]

    def test_blotched_noise_is_as_strong_as_fine_noise(self) -> None:
        grey = torch.full((2, 64, 64, 3), 0.5)
        strength, none = torch.tensor([0.05, 0.05]), torch.zeros(2)
        out = effects.noise(grey, strength, none, torch.tensor([True, False]), torch.Generator().manual_seed(0))
        assert out.std((1, 2, 3)).tolist() == pytest.approx([0.05, 0.05], rel=0.06)

    def test_plain_colour_changes_nothing(self) -> None:
        rgb = torch.rand(1, 4, 4, 3, generator=torch.Generator().manual_seed(0))
        plain = {name: torch.from_numpy(plain_colour()[name][None].copy()) for name in plain_colour().dtype.names or ()}
        assert torch.allclose(effects.coloured(rgb, plain), rgb, atol=1e-3)


class TestComposer:
    def painted(self, *stack: np.ndarray, size: tuple[int, int] = (32, 32)) -> np.ndarray:
        """Alpha (h, w) of layers from an atlas of one white half-clear picture."""
        rgba = np.full((32, 32, 4), 255, np.uint8)
        rgba[..., 3] = 128
        layers, cameras = np.zeros((1, MAX_LAYERS), LAYER), np.zeros(1, CAMERA)
        layers["cloth"]["picture"] = -1
        for k, layer in enumerate(stack):
            layers[0, k] = layer
        cameras["colour"], cameras["exposure"], cameras["detail"] = plain_colour(), 1, 1
        return Composer(atlas_of(rgba), 0).paint(Plan(size, layers, cameras)).alpha[0, 0].numpy()

    @staticmethod
    def layer(outline: Outline, label: Label) -> np.ndarray:
        layer = plain_layer()
        layer["outline"], layer["label"] = outline, label
        layer["inverse"][:] = np.eye(2, 3)
        layer["mask"]["inverse"][:] = similarity(1 / 8, 0.0, (16.0, 16.0), (0.0, 0.0))  # a shape of radius 8
        layer["shape"]["power"], layer["shape"]["softness"] = 2, 0.1
        return layer

    def test_two_half_clear_people_cover_three_quarters(self) -> None:
        person = self.layer(Outline.ALPHA, Label.PERSON)
        half = 128 / 255
        assert self.painted(person, person)[16, 16] == pytest.approx(1 - (1 - half) ** 2, abs=1e-3)

    def test_a_photograph_brings_its_own_alpha(self) -> None:
        assert self.painted(self.layer(Outline.FRAME, Label.PICTURE)) == pytest.approx(128 / 255, abs=1e-3)

    def test_what_stands_before_a_person_hides_it_and_what_is_held_joins_it(self) -> None:
        person = self.layer(Outline.ALPHA, Label.PERSON)
        before = self.painted(person, self.layer(Outline.SHAPE, Label.ROOM))
        held = self.painted(person, self.layer(Outline.SHAPE, Label.PERSON))
        assert (before[16, 16], held[16, 16]) == pytest.approx((0, 1), abs=1e-3)
        assert before[2, 2] == held[2, 2] == pytest.approx(128 / 255, abs=1e-3)


class TestLosses:
    def test_a_perfect_matte_costs_nothing_in_time_or_overlap(self) -> None:
        true = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
        first, second = torch.tensor([0, 1]), torch.tensor([2, 3])
        assert losses.consistency(true, true, first, second) == 0
        assert losses.pyramid(true - true) == 0
        assert losses.overlap(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8)) == 0

    def test_consistency_forgives_a_steady_error(self) -> None:
        true = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.5
        steady = true + 0.3
        flicker = true + torch.tensor([0.3, 0.0])[:, None, None, None]
        rows = (torch.tensor([0]), torch.tensor([1]))
        assert losses.consistency(steady, true, *rows) < 1e-9
        assert losses.consistency(flicker, true, *rows).item() == pytest.approx(losses.CONSISTENCY * 0.09, rel=1e-4)


def test_folding_keeps_the_function() -> None:
    torch.manual_seed(0)
    network = Network()
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(4, 3, 64, 64))  # so that the statistics are not those of the start
    network.eval()
    rgb = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.allclose(folded(network)(rgb)[0], network(rgb)[0], atol=1e-4)


def test_frozen_stages_neither_learn_nor_count() -> None:
    network = Network()
    network.encoder.freeze(2)
    network.train()
    before = network.encoder.stem.norm.running_mean.clone()
    network(torch.rand(2, 3, 64, 64))[0].mean().backward()
    assert torch.equal(network.encoder.stem.norm.running_mean, before)
    assert network.encoder.stages[1][0].depth.conv.weight.grad is None
    assert network.encoder.stages[2][0].depth.conv.weight.grad is not None


def test_labels_are_judged_by_annotation_first_then_by_the_second_model() -> None:
    def judged(judge: str, flip: str, second: str, annotation: str) -> bool:
        source = Source("x", "", "", "", 1.0, judge=judge)
        row = {"flip_disagreement": flip, "iou_with_second_model": second, "iou_with_annotation": annotation}
        return label_is_trusted(row, source)

    assert judged("second model", "0.001", "0.95", "-")
    assert not judged("second model", "0.001", "0.5", "-")
    assert judged("mirror", "0.001", "0.5", "-")
    assert not judged("mirror", "0.1", "0.95", "-")
    assert judged("second model", "0.001", "0.5", "0.95")
    assert not judged("mirror", "0.001", "0.95", "0.5")


def test_thick_soft_places_count_and_thin_edges_do_not() -> None:
    alpha = np.zeros((100, 100), np.uint8)
    alpha[20:80, 20:80] = 255
    alpha[20, 20:80] = 128
    assert thickness(alpha) == 0
    alpha[40:60, 40:60] = 128
    assert thickness(alpha) > 0.05


def test_an_unknown_source_is_named_with_those_there_are() -> None:
    assert "ccp" not in Sources.read(without=["ccp"]).people
    with pytest.raises(ValueError, match=r"no source named nonsense; there are .*ccp"):
        Sources.read(without=["nonsense"])


def test_200_people_and_8_panoramas_are_held_out() -> None:
    holdout = Holdout.read()
    assert (len(holdout.people), len(holdout.panoramas)) == (200, 8)


def test_parts_read_like_the_folder_and_stay_below_their_size(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "people").mkdir(parents=True)
    (folder / "people.tsv").write_text("stem\n", "utf-8")
    for i in range(20):
        (folder / "people" / f"{i}.bin").write_bytes(bytes([i]) * 1000)
    files = Files.open(folder)
    parts = pack(files, files.names(), tmp_path / "parts", part_bytes=8_000)
    assert len(parts) > 2
    assert all(part.stat().st_size <= 8_000 + 10_240 for part in parts)  # tar pads to whole records
    again = Files.open(tmp_path / "parts")
    assert again.names() == files.names()
    assert all(again.read(name) == files.read(name) for name in files.names())
    with pytest.raises(FileExistsError, match="holds parts already"):
        pack(files, files.names(), tmp_path / "parts")
    assert math.isclose(len(again.names("people/")), 20)


def test_a_folder_without_data_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no people\.tsv"):
        Files.open(tmp_path)
