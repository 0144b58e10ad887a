"""Which input shapes a plan is built for: one set, or a range with a best one, from a network's size policy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from livematte.config import Quality
from livematte.errors import UsageError
from livematte.models.contract import Contract
from livematte.models.manifest import FixedSize, NativeRatioSize
from livematte.models.sizes import NetworkSize, network_size

Shape = tuple[int, ...]

WIDEST = Fraction(12, 5)
"""Aspect of the widest pictures that a dynamic profile takes: 2.4:1, cinema's; its inverse for upright ones."""


@dataclass(frozen=True, slots=True)
class Range:
    """The shapes of one input: each side from `least` to `most`; the plan is fastest at `best`."""

    least: Shape
    best: Shape
    most: Shape

    def holds(self, shape: Shape) -> bool:
        """Whether this shape may be fed."""
        return len(shape) == len(self.best) and all(
            low <= side <= high for low, side, high in zip(self.least, shape, self.most, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Profile:
    """Every input of a plan by name, sorted."""

    inputs: tuple[tuple[str, Range], ...]

    @classmethod
    def static(cls, shapes: Mapping[str, Iterable[int]]) -> Profile:
        """One shape for each input."""
        whole = {name: tuple(int(side) for side in shape) for name, shape in sorted(shapes.items())}
        return cls(tuple((name, Range(shape, shape, shape)) for name, shape in whole.items())).checked()

    @classmethod
    def dynamic(cls, least: Mapping[str, Shape], best: Mapping[str, Shape], most: Mapping[str, Shape]) -> Profile:
        """A range for each input. UsageError where the three do not fit together."""
        if not least.keys() == best.keys() == most.keys():
            raise UsageError(
                f"a profile names its inputs three times alike; got {sorted(least)}, {sorted(best)} and {sorted(most)}."
            )
        return cls(tuple((name, Range(least[name], best[name], most[name])) for name in sorted(best))).checked()

    def checked(self) -> Profile:
        """Itself. UsageError (2) for sides below 1 or out of order."""
        for name, of in self.inputs:
            if len({len(of.least), len(of.best), len(of.most)}) != 1:
                raise UsageError(f"the shapes of '{name}' differ in their number of sides: {of.least} to {of.most}.")
            sides = zip(of.least, of.best, of.most, strict=True)
            if any(not 1 <= low <= middle <= high for low, middle, high in sides):
                raise UsageError(
                    f"the shapes of '{name}' go from {of.least} over {of.best} to {of.most}; each side must be at "
                    "least 1 and must not fall."
                )
        return self

    @property
    def is_static(self) -> bool:
        """Whether there is one shape only."""
        return all(of.least == of.most for _, of in self.inputs)

    def of(self, name: str) -> Range | None:
        """The range of an input, None where the profile does not name it."""
        return dict(self.inputs).get(name)

    def takes(self, shapes: Mapping[str, Shape]) -> bool:
        """Whether all of these shapes may be fed."""
        ranges = dict(self.inputs)
        return shapes.keys() == ranges.keys() and all(ranges[name].holds(shape) for name, shape in shapes.items())

    def as_dict(self) -> dict[str, list[list[int]]]:
        """For JSON: name -> [least, best, most]; one shape only where all are the same."""
        return {
            name: [list(of.best)] if of.least == of.most else [list(of.least), list(of.best), list(of.most)]
            for name, of in self.inputs
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, list[list[int]]]) -> Profile:
        """What `as_dict` gave."""
        ranges = ((name, [tuple(shape) for shape in shapes]) for name, shapes in sorted(data.items()))
        return cls(
            tuple((name, Range(*shapes) if len(shapes) == 3 else Range(*shapes * 3)) for name, shapes in ranges)
        ).checked()

    def as_json(self) -> str:
        """Canonical: the same profile is the same text."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))


def static_profile(
    contract: Contract, width: int, height: int, *, quality: Quality = "good", override: tuple[int, int] | None = None
) -> Profile:
    """The one size that the network has for pictures of `width` x `height` px."""
    return Profile.static(contract.shapes(_size(contract, width, height, quality, override)))


def dynamic_profile(contract: Contract, width: int, height: int, *, quality: Quality = "good") -> Profile:
    """Every size that the network has for pictures between 2.4:1 and 1:2.4, best at `width` x `height` px.

    UsageError (2) for networks with a fixed size, and for those that scale inside by a ratio, which a plan folds in.
    """
    spec = contract.graph.input
    assert spec is not None  # tie() made sure
    if isinstance(spec.size, FixedSize | NativeRatioSize) or contract.fixed_size() is not None:
        raise UsageError("this network is built for one picture size at a time, so it takes no range of shapes.")
    if contract.states:
        raise UsageError("a recurrent network's states have the size of its picture, so it takes no range of shapes.")
    best = contract.shapes(_size(contract, width, height, quality, None))
    short = max(min(width, height), 16)
    aspects = (WIDEST, Fraction(16, 9), Fraction(4, 3), Fraction(1))
    pictures = [(round(short * aspect), short) for aspect in aspects] + [(width, height)]
    every = [
        contract.shapes(_size(contract, *picture, quality, None)) for wide in pictures for picture in (wide, wide[::-1])
    ]
    least = {name: tuple(min(shapes[name][at] for shapes in every) for at in range(len(best[name]))) for name in best}
    most = {name: tuple(max(shapes[name][at] for shapes in every) for at in range(len(best[name]))) for name in best}
    return Profile.dynamic(least, best, most)


def _size(
    contract: Contract, width: int, height: int, quality: Quality, override: tuple[int, int] | None
) -> NetworkSize:
    spec = contract.graph.input
    assert spec is not None  # tie() made sure
    return network_size(spec.size, width, height, quality=quality, override=override)
