"""All in a scene that is not a person: rooms, things, held things, desks, cloth; and the light on a layer."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from training.geometry import Affine, Point, after, inverted, level_for, moved, similarity
from training.pictures import Catalogue, PersonFacts, SceneFacts
from training.plan import COLOUR, RIPPLES, Label, Outline, Record, plain_layer

Chances = npt.NDArray[np.float64]


def cumulative(weights: list[float]) -> Chances:
    """Weights as a rising curve from 0 to 1, for `draw`."""
    total = np.cumsum(weights)
    return np.asarray(total / total[-1], np.float64)


def draw(rng: np.random.Generator, chances: Chances) -> int:
    """An index, as often as its weight says."""
    return min(int(np.searchsorted(chances, rng.random())), len(chances) - 1)


def random_colour(rng: np.random.Generator, strength: float) -> Record:
    """Exposure, gamma, contrast, white balance; a quarter of them lose or gain saturation."""
    colour = np.zeros((), COLOUR)
    colour["gamma"] = math.exp(rng.normal(0, 0.3 * strength))
    colour["contrast"] = math.exp(rng.normal(0, 0.2 * strength))
    colour["brightness"] = rng.normal(0, 0.06 * strength)
    colour["balance"] = np.exp(rng.normal(0, 0.08 * strength, 3))
    colour["saturation"] = rng.uniform(0, 1.4) if rng.random() < 0.25 else 1
    return colour


class Props:
    """Layers that show scenes and things."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._scenes, self._things = catalogue.scenes, catalogue.things or catalogue.scenes
        self._chance = cumulative([s.weight for s in self._scenes])

    def _material(self, rng: np.random.Generator, things: float) -> SceneFacts:
        if rng.random() < things:
            return self._things[rng.integers(len(self._things))]
        return self._scenes[draw(rng, self._chance)]

    def put(
        self, layer: Record, rng: np.random.Generator, forward: Affine, pivot: Point, height: int, *, sway: float = 1.0
    ) -> None:
        """Set a layer's place in both frames: `forward` in the first, moved a little about `pivot` in the second.

        sway 1: by about 1 % of `height`, 1 degree and 1 %.
        """
        layer["inverse"][0] = inverted(forward)
        target = pivot[0] + rng.normal(0, 0.01 * sway * height), pivot[1] + rng.normal(0, 0.01 * sway * height)
        step = similarity(math.exp(rng.normal(0, 0.01 * sway)), rng.normal(0, 0.015 * sway), pivot, target)
        layer["inverse"][1] = inverted(after(step, forward))
        layer["level"] = level_for(inverted(forward))

    def fill(
        self,
        layer: Record,
        rng: np.random.Generator,
        source: tuple[int, int],
        size: tuple[int, int],
        *,
        low: float,
        high: float = 1.0,
        turn: float = 0.0,
    ) -> None:
        """Show a random window of a picture of size `source` all over the frame.

        low, high: the window's share of the picture; above 1 the picture's mirror image goes on beyond its edges.
        """
        (rows, columns), (height, width) = source, size
        stretch = math.exp(rng.normal(0, 0.08))
        share = rng.uniform(low, high) * min(columns, rows * width / height)
        scale = width / share
        across, down = share, height / scale
        centre = _inside(rng, across, columns), _inside(rng, down, rows)
        middle = (width / 2, height / 2)
        forward = similarity(scale, turn, centre, middle, flip=bool(rng.random() < 0.5), stretch=stretch)
        self.put(layer, rng, forward, middle, height, sway=0.6)

    def scene(self, rng: np.random.Generator, size: tuple[int, int], *, things: float) -> Record:
        """A room, at times out of focus; with chance `things` a photograph of a thing instead.

        Cached rooms are hardly larger than the frame: small windows of them are blurred, and people would be known by
        being sharp, so most windows are large or go on as mirror images.
        """
        layer = self._patch(rng, size, things, low=0.35 if rng.random() < 0.3 else 0.7)
        layer["outline"] = Outline.FRAME
        layer["defocus"] = int(rng.choice([2, 4, 8])) if rng.random() < 0.3 else 0
        return layer

    def _patch(
        self, rng: np.random.Generator, size: tuple[int, int], things: float, *, low: float, high: float = 1.5
    ) -> Record:
        material = self._material(rng, things)
        layer = plain_layer()
        layer["picture"], layer["label"] = material.picture, Label.ROOM
        self.fill(layer, rng, material.size, size, low=low, high=high)
        layer["colour"] = random_colour(rng, 1.0)
        return layer

    def thing(self, rng: np.random.Generator, size: tuple[int, int], person: tuple[int, Affine]) -> Record:
        """A distractor behind the people: a material in some outline, a third of them in the outline of `person`.

        person: the atlas picture that lends its alpha, and the map from the frame to it.
        """
        height, width = size
        layer = self._patch(rng, size, 0.5, low=0.3)
        if rng.random() < 0.3:
            layer["outline"] = Outline.BORROWED
            layer["mask"]["picture"] = person[0]
            middle = (width / 2, height / 2)
            target = middle[0] + rng.normal(0, 0.2) * width, middle[1] + rng.normal(0, 0.2) * height
            turned = similarity(rng.uniform(0.4, 0.9), rng.uniform(-math.pi, math.pi), middle, target)
            self.put(layer["mask"], rng, after(turned, inverted(person[1])), target, height)
        else:
            centre = rng.uniform(0, width), rng.uniform(0.2 * height, height)
            self._shape(layer, rng, size, centre, rng.uniform(0.08, 0.4) * height)
        return layer

    def held(
        self, rng: np.random.Generator, size: tuple[int, int], figure: Record, forward: Affine, person: PersonFacts
    ) -> Record:
        """Something in the hands or on the lap: upon the body, small beside it, and part of the matte."""
        x0, y0, x1, y1 = person.box
        body = math.sqrt((x1 - x0) * (y1 - y0) * abs(float(np.linalg.det(forward[:, :2]))))
        points = person.points or [((x0 + x1) / 2, (y0 + y1) / 2)]
        centre = moved(forward, points[rng.integers(len(points))])
        layer = self._patch(rng, size, 0.4, low=0.2)
        layer["label"] = Label.PERSON
        self._shape(layer, rng, size, centre, body * rng.uniform(0.05, 0.15))
        back = after(inverted(figure["inverse"][0]), figure["inverse"][1])  # the body's motion, second frame to first
        for part in (layer, layer["mask"]):
            part["inverse"][1] = after(part["inverse"][0], back)
        return layer

    def desk(self, rng: np.random.Generator, size: tuple[int, int]) -> Record:
        """A table's edge before everybody, along the lower edge of the frame."""
        height, width = size
        layer = self._patch(rng, size, 0.1, low=0.3)
        top = height * rng.uniform(0.72, 0.97)
        self._shape(layer, rng, size, (width / 2, top + height), height)
        layer["mask"]["inverse"][:] = inverted(
            similarity(height, rng.normal(0, 0.02), (0.0, 0.0), (width / 2, top + height), stretch=4.0)
        )
        layer["shape"]["power"], layer["shape"]["ripple"] = 30, 0
        return layer

    def _shape(
        self,
        layer: Record,
        rng: np.random.Generator,
        size: tuple[int, int],
        centre: tuple[float, float],
        radius: float,
    ) -> None:
        """A closed outline of about `radius` pixels: boxes, discs and blobs."""
        layer["outline"] = Outline.SHAPE
        stretch = math.exp(rng.normal(0, 0.4))
        forward = similarity(radius, rng.uniform(-math.pi, math.pi), (0.0, 0.0), centre, stretch=stretch)
        self.put(layer["mask"], rng, forward, centre, size[0])
        shape = layer["shape"]
        shape["power"] = rng.choice([1.0, 2.0, 2.0, 6.0, 20.0])
        shape["softness"] = rng.uniform(0.7, 2.5) / radius
        if rng.random() < 0.5:
            shape["ripple"] = rng.normal(0, 0.12, RIPPLES)
            shape["phase"] = rng.uniform(0, 2 * math.pi, RIPPLES)

    def cloth(self, layer: Record, rng: np.random.Generator, size: tuple[int, int], rim: float) -> None:
        """Dress a figure in another material below the line y = `rim` (pixels); its shading stays."""
        patch = self._patch(rng, size, 0.5, low=0.2)
        for name in ("picture", "level", "inverse"):
            layer["cloth"][name] = patch[name]
        layer["cloth_rim"] = (rim, rng.uniform(0.5, 1))


def _inside(rng: np.random.Generator, window: float, extent: float) -> float:
    """A centre for `window` within `extent`; the middle when it does not fit."""
    low = min(window, extent) / 2
    return rng.uniform(low, extent - low)
