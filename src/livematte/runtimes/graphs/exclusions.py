"""Which nodes stay out of INT8, by measurement on the user's own frames.

Each node with weights is quantized alone, and what that does to alpha says how sensitive it is. Then all are quantized
but the most sensitive, first none left out, then one, two, four and so on, until alpha is close enough. (Analysis layer
by layer is the field's way: Wu et al. 2020, "Integer Quantization for Deep Learning Inference",
https://arxiv.org/abs/2004.09602, section 6.1.) First and last layers come out on top by themselves where they matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx

from livematte.errors import ModelError
from livematte.runtimes.graphs.calibrate import Calibration, Range
from livematte.runtimes.graphs.facts import Target
from livematte.runtimes.graphs.quantize import ACTIVATIONS, PASSING, Recipe, candidates, quantized
from livematte.runtimes.graphs.running import Network

MOST_GROUPS = 60
"""Nodes are tried alone up to this number; in a larger network, neighbours together."""
_MARGIN = 0.5
"""Share of the allowed error that the search aims at: its frames are few, and over time errors flicker."""
_ALONE_PROBES = 3


@dataclass(frozen=True)
class Choice:
    """What the search ended with."""

    model: onnx.ModelProto
    excluded: tuple[tuple[str, str], ...]
    """(node, reason) of what stays as it is, the rules' exclusions first."""
    mad: float
    """x 1e3, of alpha against the network as it is, on the frames of the search."""
    notes: tuple[str, ...]


class Search:
    """One search over one network."""

    def __init__(
        self,
        model: onnx.ModelProto,
        seen: Calibration,
        *,
        target: Target,
        alpha: str,
        islands: Mapping[str, str],
        progress: Callable[[float], None],
    ) -> None:
        """alpha: name of the output that is measured. islands: node -> reason, of what no search may quantize."""
        self._model = model
        self._seen = seen
        self._alpha = alpha
        self._islands = dict(islands)
        self._progress = progress
        self._ranges: Mapping[str, Range] = seen.extremes()
        self._base = Recipe(target, excluded=frozenset(islands))

    def run(self, goal_mad: float) -> Choice:
        """Quantize as much as keeps the error within `goal_mad` (x 1e3); the best that was found where nothing does.

        ModelError where there is nothing to quantize.
        """
        nodes = candidates(self._model, self._base.excluded)
        if not nodes:
            raise ModelError("the network has no convolution or matrix product that INT8 could make faster.")
        notes = [self._choose_ranges()]
        order = self._by_sensitivity(nodes)
        mad, made, left_out = self._descend(order, goal_mad)
        if self._base.target == "cpu":
            if mad > goal_mad * _MARGIN:
                # What lies between convolutions can be what harms: a Concat has one scale for all that it joins.
                every, self._base = self._base, replace(self._base, passing=ACTIVATIONS)
                other = self._descend(order, goal_mad)
                if other[0] < mad:
                    mad, made, left_out = other
                else:
                    self._base = every
            mad, made, note = self._try_other(left_out, mad, made, goal_mad)
            notes.append(note)
        measured = tuple((name, "alpha was closer without it, by measurement") for name in left_out)
        return Choice(made, (*self._islands.items(), *measured), mad, tuple(notes))

    def _descend(self, order: list[list[str]], goal_mad: float) -> tuple[float, onnx.ModelProto, tuple[str, ...]]:
        """(error, model, nodes left out) of the first rung that is close enough, of the closest where none is."""
        best: tuple[float, onnx.ModelProto, tuple[str, ...]] | None = None
        for left_out in _ladder(order):
            recipe = replace(self._base, excluded=self._base.excluded | set(left_out))
            made = quantized(self._model, self._ranges, recipe)
            mad = self._error(made)
            if best is None or mad < best[0]:
                best = (mad, made, left_out)
            if mad <= goal_mad * _MARGIN:
                break
        assert best is not None  # the ladder has a first rung
        return best

    def _error(self, model: onnx.ModelProto, probes: int | None = None) -> float:
        """Mean difference of alpha, x 1e3, over the first so many probes; the past is that of the network as it is."""
        network = Network(model, what="the network in INT8")
        errors = [
            np.abs(network.run(feeds, [self._alpha])[self._alpha] - outputs[self._alpha]).mean()
            for feeds, outputs in self._seen.probes[:probes]
        ]
        return 1e3 * float(np.mean(errors))

    def _choose_ranges(self) -> str:
        """Extremes or the frames' usual ranges, whichever gives the closer alpha with everything quantized."""
        errors = {}
        for name, ranges in (("extremes", self._seen.extremes()), ("usual", self._seen.usual())):
            errors[name] = self._error(quantized(self._model, ranges, self._base))
        if errors["usual"] < errors["extremes"]:
            self._ranges = self._seen.usual()
            return f"ranges are the mean of each frame's (MAD {errors['usual']:.2f} against {errors['extremes']:.2f})"
        return f"ranges are the extremes over all frames (MAD {errors['extremes']:.2f} against {errors['usual']:.2f})"

    def _by_sensitivity(self, nodes: list[str]) -> list[list[str]]:
        """Groups of nodes, the most sensitive first."""
        size = -(-len(nodes) // MOST_GROUPS)
        groups = [nodes[at : at + size] for at in range(0, len(nodes), size)]
        errors: list[float] = []
        for at, group in enumerate(groups):
            recipe = replace(self._base, only=frozenset(group), passing=ACTIVATIONS)
            errors.append(self._error(quantized(self._model, self._ranges, recipe), _ALONE_PROBES))
            self._progress((at + 1) / len(groups))
        ranked = sorted(range(len(groups)), key=lambda at: -errors[at])
        return [groups[at] for at in ranked]

    def _try_other(
        self, left_out: tuple[str, ...], mad: float, model: onnx.ModelProto, goal_mad: float
    ) -> tuple[float, onnx.ModelProto, str]:
        """With or without the operators between convolutions in 8 bits: the quicker one that is close enough."""
        has_more = self._base.passing != ACTIVATIONS
        excluded = self._base.excluded | set(left_out)
        recipe = replace(self._base, excluded=excluded, passing=ACTIVATIONS if has_more else PASSING)
        other = quantized(self._model, self._ranges, recipe)
        other_mad = self._error(other)
        mine, others = self._times(model, other)
        takes_other = others < mine and other_mad <= max(goal_mad * _MARGIN, mad)
        kept, dropped = (others, mine) if takes_other else (mine, others)
        what = "what lies between convolutions is in INT8 too"
        if has_more == takes_other:
            what = "convolutions and what is fused with them are in INT8"
        note = f"{what} ({kept:.1f} ms, the other way {dropped:.1f})"
        return (other_mad, other, note) if takes_other else (mad, model, note)

    def _times(self, *models: onnx.ModelProto) -> list[float]:
        """Milliseconds a run, the least of several taken in turn: a busy machine only ever adds."""
        networks = [Network(model) for model in models]
        feeds = self._seen.probes[0][0]
        least = [float("inf")] * len(networks)
        for _ in range(6):
            for at, network in enumerate(networks):
                begin = time.perf_counter()
                network.run(feeds, [self._alpha])
                least[at] = min(least[at], 1e3 * (time.perf_counter() - begin))
        return least


def _ladder(order: list[list[str]]) -> list[tuple[str, ...]]:
    """What is left out: nothing, the most sensitive group, the two, four, ... most sensitive, up to half of them."""
    counts = [0, 1]
    while counts[-1] * 2 <= max(len(order) // 2, 1):
        counts.append(counts[-1] * 2)
    return [tuple(name for group in order[:count] for name in group) for count in counts]
