"""One graph, captured once: colour, blur and smoothing follow the parameter block from launch to launch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernels.pictures import LIMITED, person, scene
from kernels.shim.build import shim_library

from livematte.matting.temporal import STRENGTHS
from livematte.runtimes.cuda.base import DeviceArray
from livematte.runtimes.cuda.graphs import Graph, capture
from livematte.runtimes.cuda.null import open_null
from livematte.runtimes.kernels import parameters as p
from livematte.runtimes.kernels import reference_composite, reference_smooth
from livematte.runtimes.kernels.ops_composite import CompositeOps, blur_scratch, rgb_matrix
from livematte.runtimes.kernels.ops_smooth import SmoothOps
from livematte.runtimes.kernels.planes import PlaneSet, layout_bytes

WIDTH, HEIGHT = 130, 70
AnyArray = npt.NDArray[Any]


class Graphed:
    """Smoothing, a composite over a colour and one over the blurred room, as one graph on the null driver."""

    def __init__(self, seed: int) -> None:
        self.driver = open_null(seed=seed)
        self.library, self.stream = shim_library(self.driver), self.driver.stream()
        self.library.load("smooth", "blur", "composite")
        self.arrays: list[DeviceArray] = []
        self.front, self.room = scene(WIDTH, HEIGHT, 8, seed=1), scene(WIDTH, HEIGHT, 8, seed=2)
        self.alpha = person(WIDTH, HEIGHT, np.uint8)
        self.small = np.clip(self.alpha.astype(np.float32) / 255, 0.1, 0.9)
        self.past = np.full_like(self.small, 0.5)
        self.block = self.fresh((p.PARAMETERS.itemsize,), np.uint8)
        self.steadied = self.fresh(self.small.shape, np.float32)
        self.over_colour, self.over_blur = (self.fresh((HEIGHT, WIDTH, 4), np.uint8) for _ in range(2))
        self.graph = self._captured()

    def fresh(self, shape: tuple[int, ...], dtype: type[np.generic]) -> DeviceArray:
        self.arrays.append(self.driver.array(shape, dtype))
        return self.arrays[-1]

    def filled(self, values: AnyArray) -> DeviceArray:
        made = self.fresh(values.shape, values.dtype.type)
        made.upload(values, self.stream)
        return made

    def picture(self, samples: list[AnyArray]) -> PlaneSet:
        raw = np.zeros(layout_bytes("yuv420p", WIDTH, HEIGHT), np.uint8)
        for plane, values in zip(
            PlaneSet.over("yuv420p", WIDTH, HEIGHT, LIMITED, pointer=0).planes, samples, strict=True
        ):
            rows = raw[plane.pointer : plane.pointer + plane.pitch * plane.height].reshape(-1, plane.pitch)
            rows[:, : plane.width] = values
        return PlaneSet.over("yuv420p", WIDTH, HEIGHT, LIMITED, pointer=self.filled(raw).pointer)

    def _captured(self) -> Graph:
        smooth, composite = SmoothOps(self.library), CompositeOps(self.library)
        front, room, alpha = self.picture(self.front), self.picture(self.room), self.filled(self.alpha)
        small, past = self.filled(self.small), self.filled(self.past)
        scratch = self.fresh((blur_scratch(WIDTH, HEIGHT),), np.uint8)
        self.stream.synchronize()
        with capture(self.driver, self.stream) as recording:
            smooth.ema(small, past, self.steadied, self.block, self.stream)
            composite.over_colour(front, alpha, self.over_colour, self.block, self.stream)
            composite.over_blur(front, alpha, room, self.over_blur, scratch, self.block, self.stream)
            return recording.finish()

    def launch(self, values: p.Block) -> tuple[AnyArray, AnyArray, AnyArray]:
        """(smoothed alpha, over the colour, over the blur) with these parameters."""
        self.block.upload(p.as_bytes(values), self.stream)
        self.graph.launch(self.stream)
        results = [np.empty(one.shape, one.dtype) for one in (self.steadied, self.over_colour, self.over_blur)]
        for one, into in zip((self.steadied, self.over_colour, self.over_blur), results, strict=True):
            one.download(into, self.stream)
        self.stream.synchronize()
        return results[0], results[1], results[2]

    def close(self) -> None:
        self.graph.close()
        for one in self.arrays:
            one.close()
        self.library.close()
        self.driver.close()


@pytest.fixture(params=[1, 2, 3])
def graphed(request: pytest.FixtureRequest) -> Iterator[Graphed]:
    made = Graphed(request.param)
    yield made
    made.close()


def test_a_captured_graph_follows_the_block(graphed: Graphed) -> None:
    front, alpha, matrix = graphed.front, graphed.alpha, rgb_matrix(LIMITED, 8)
    for px, colour, interval in ((9.0, (40, 200, 90), None), (70.0, (180, 90, 60), 0.02), (20.0, (16, 128, 128), 0.1)):
        values = p.neutral(WIDTH, HEIGHT)
        p.set_blur(values, px, WIDTH, HEIGHT)
        p.set_colour(values, colour)
        p.set_time(values, "ema", STRENGTHS["normal"], interval)
        steadied, over_colour, over_blur = graphed.launch(values)
        np.testing.assert_array_equal(steadied, reference_smooth.ema(graphed.small, graphed.past, values))
        made = reference_composite.over(front, alpha, reference_composite.colour_planes(front, values))
        np.testing.assert_array_equal(over_colour, reference_composite.rgba(made, None, matrix))
        made = reference_composite.over(front, alpha, reference_composite.blurred_room(graphed.room, alpha, values))
        apart = np.abs(over_blur.astype(int) - reference_composite.rgba(made, None, matrix))
        assert apart.max() <= 2  # a mean that rounds to the other side is up to two steps of RGB
        assert np.count_nonzero(apart) <= 0.01 * apart.size
