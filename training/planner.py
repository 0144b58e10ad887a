"""Draws scenes: who stands where, before what, under which light, seen by which camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from training.atlas import LEVELS
from training.geometry import Affine, inverted, moved, similarity
from training.pictures import Catalogue, PersonFacts
from training.plan import CAMERA, KINDS, LAYER, MAX_LAYERS, Label, Outline, Plan, Record, plain_colour, plain_layer
from training.props import Props, cumulative, draw, random_colour

SHARES = {
    "empty": 0.1,
    "photo": 0.16,
    "portrait": 0.22,
    "figure": 0.16,
    "turned": 0.12,
    "row": 0.1,
    "before photo": 0.11,
    "held": 0.03,
}
"""How often each of KINDS is drawn in training.

Held things and cloth of other materials teach that any texture may be a person: at five times these shares a network
took hedges and desks for people (MAD 22 in place of 13 on the composites of `evaluate`).
"""


@dataclass(frozen=True)
class _Placing:
    """Where a figure goes: its height, lower edge and centre in pixels, its turn in radians."""

    tall: float
    base: float
    centre: float
    turn: float


class Planner:
    """Scenes for one catalogue; every draw comes from the generator that is passed in."""

    def __init__(self, catalogue: Catalogue) -> None:
        """ValueError when there are no people or no scenes."""
        if not catalogue.people or not catalogue.scenes:
            raise ValueError(
                f"{len(catalogue.people)} people and {len(catalogue.scenes)} scenes to compose from; "
                "at least one of each is needed: leave out fewer sources"
            )
        self._people = catalogue.people
        self._chance = cumulative([p.weight * (0.7 if p.cut_sides else 1) for p in catalogue.people])
        self._photos = [p for p in catalogue.people if p.photo >= 0]
        free = [p for p in catalogue.people if not (p.cut_bottom or p.cut_top or p.cut_sides)]
        self._whole = free or catalogue.people
        self._props = Props(catalogue)

    def batch(self, rng: np.random.Generator, size: tuple[int, int], kinds: list[str], paired: int = 0) -> Plan:
        """One scene for each of `kinds`; the first `paired` of them are painted twice."""
        layers, cameras = np.zeros((len(kinds), MAX_LAYERS), LAYER), np.zeros(len(kinds), CAMERA)
        layers["cloth"]["picture"] = -1
        layers["mask"]["picture"] = -1
        for i, kind in enumerate(kinds):
            stack = self._scene(rng, size, kind)[:MAX_LAYERS]
            for k, layer in enumerate(stack):
                layers[i, k] = layer
            cameras[i] = self._camera(rng)
            cameras[i]["kind"], cameras[i]["paired"] = KINDS.index(kind), i < paired
        return Plan(size, layers, cameras)

    def kinds(self, rng: np.random.Generator, count: int) -> list[str]:
        """`count` kinds, drawn by SHARES."""
        shares = np.array(list(SHARES.values()))
        return [str(kind) for kind in rng.choice(list(SHARES), count, p=shares / shares.sum())]

    def _scene(self, rng: np.random.Generator, size: tuple[int, int], kind: str) -> list[Record]:
        if kind in ("photo", "before photo") and self._photos:
            stack = [self._photo(rng, size)]
            if kind == "before photo":
                stack.append(self._figure(rng, size, "portrait" if rng.random() < 0.6 else "figure")[0])
            return stack
        stack = [self._props.scene(rng, size, things=0.3 if kind == "empty" else 0.08)]
        if rng.random() < 0.5:
            stack += [self._props.thing(rng, size, self._outline(rng, size)) for _ in range(rng.integers(1, 4))]
        if kind == "empty":
            return stack
        if kind == "row":
            return stack + self._row(rng, size)
        for i in range(2 if rng.random() < 0.12 else 1):
            pose = ("portrait" if rng.random() < 0.5 else "figure") if kind == "held" or i else kind
            figure, forward, person = self._figure(rng, size, pose)
            stack.append(figure)
        if kind == "held":
            stack += [self._props.held(rng, size, figure, forward, person) for _ in range(rng.integers(1, 3))]
        if rng.random() < 0.06:
            stack.append(self._props.desk(rng, size))
        return stack

    def _photo(self, rng: np.random.Generator, size: tuple[int, int]) -> Record:
        """A photograph as taken, filling the frame, its label as the truth; seldom turned on its side."""
        person = self._photos[rng.integers(len(self._photos))]
        layer = plain_layer()
        layer["outline"], layer["label"], layer["picture"] = Outline.FRAME, Label.PICTURE, person.photo
        turn = rng.normal(0, 0.05) if rng.random() < 0.9 else rng.uniform(-math.pi, math.pi)
        self._props.fill(layer, rng, person.size, size, low=0.75, turn=turn)
        layer["colour"] = random_colour(rng, 0.8)
        return layer

    def _outline(self, rng: np.random.Generator, size: tuple[int, int]) -> tuple[int, Affine]:
        """A person's figure and where it would stand: an outline that things may borrow."""
        person = self._draw(rng)
        return person.figure, inverted(self._forward(rng, person, self._place(rng, size, person, "figure")))

    def _draw(self, rng: np.random.Generator) -> PersonFacts:
        return self._people[draw(rng, self._chance)]

    def _figure(self, rng: np.random.Generator, size: tuple[int, int], pose: str) -> tuple[Record, Affine, PersonFacts]:
        person = self._whole[rng.integers(len(self._whole))] if pose == "turned" else self._draw(rng)
        forward = self._forward(rng, person, self._place(rng, size, person, pose))
        return self._dressed(rng, size, person, forward), forward, person

    def _row(self, rng: np.random.Generator, size: tuple[int, int]) -> list[Record]:
        """Two to six whole figures of about one height, side by side."""
        height, width = size
        count = int(rng.integers(2, 7))
        tall, base = height * rng.uniform(0.45, 0.9), height * rng.uniform(0.85, 1.1)
        step, middle = tall * rng.uniform(0.16, 0.36), width * (0.5 + rng.normal(0, 0.12))
        row = []
        for i in rng.permutation(count):
            person = self._whole[rng.integers(len(self._whole))]
            own = tall * rng.uniform(0.92, 1.06)
            placing = _Placing(own, base, middle + (i - (count - 1) / 2) * step, rng.normal(0, 0.05))
            row.append(self._dressed(rng, size, person, self._forward(rng, person, placing)))
        return row

    def _place(self, rng: np.random.Generator, size: tuple[int, int], person: PersonFacts, pose: str) -> _Placing:
        height, width = size
        x0, y0, x1, y1 = person.box
        aspect = (x1 - x0) / (y1 - y0)
        tall = float(np.clip(math.exp(rng.normal(math.log(0.85), 0.35)), 0.3, 1.7)) * height
        tall = min(tall, 1.5 * width / aspect)
        turn = rng.normal(0, math.radians(7 if rng.random() < 0.85 else 18))
        if person.cut_bottom:
            base = height + (rng.uniform(0, 0.3) * tall if rng.random() < 0.45 else 1)
        elif pose == "turned":
            turn = rng.normal(0, math.radians(40)) if rng.random() < 0.6 else rng.uniform(-math.pi, math.pi)
            tall = min(tall, 0.95 * height)
            base = height * rng.uniform(0.5, 0.6) + 0.5 * tall
        elif pose == "portrait":  # the head in the frame, the legs out of it
            tall = min(height * rng.uniform(1.05, 1.8), 1.3 * (y1 - y0), 1.5 * width / aspect)
            base = height * rng.uniform(0.02, 0.3) + tall
        else:
            tall = min(tall, 0.98 * height)
            base = height * rng.uniform(max(0.7, tall / height), 1.1)
        if person.cut_top:
            base = min(base, tall + 1)  # never a flat top inside the frame
        centre = width * (0.5 + rng.normal(0, 0.22))
        if person.cut_sides and rng.random() < 0.6:  # a cut side goes to the frame's side
            centre = width * (-0.05 if rng.random() < 0.5 else 1.05)
        return _Placing(tall, base, centre, turn)

    def _forward(self, rng: np.random.Generator, person: PersonFacts, placing: _Placing) -> Affine:
        """From the person's picture to the frame; turned about the body's middle when it turns far."""
        x0, y0, x1, y1 = person.box
        scale, flip, stretch = placing.tall / (y1 - y0), rng.random() < 0.5, math.exp(rng.normal(0, 0.06))
        middle = (x0 + x1) / 2
        if abs(placing.turn) > 0.4:
            source, target = (middle, (y0 + y1) / 2), (placing.centre, placing.base - placing.tall / 2)
        else:
            source, target = (middle, float(y1)), (placing.centre, placing.base)
        return similarity(scale, placing.turn, source, target, flip=flip, stretch=stretch)

    def _dressed(self, rng: np.random.Generator, size: tuple[int, int], person: PersonFacts, forward: Affine) -> Record:
        """The figure's layer: light, cloth, blur, shadow."""
        height, _ = size
        x0, y0, x1, y1 = person.box
        layer = plain_layer()
        layer["outline"], layer["label"], layer["picture"] = Outline.ALPHA, Label.PERSON, person.figure
        pivot = moved(forward, ((x0 + x1) / 2, (y0 + y1) / 2))
        self._props.put(layer, rng, forward, pivot, height)
        layer["colour"] = random_colour(rng, 1.0 if rng.random() < 0.5 else 0.5)
        if rng.random() < 0.2:  # people must not be known by being sharper than their room
            layer["level"] = min(int(layer["level"]) + 1, LEVELS - 1)
        if rng.random() < 0.03:
            rim = moved(forward, ((x0 + x1) / 2, y0 + rng.uniform(0.12, 0.35) * (y1 - y0)))[1]
            self._props.cloth(layer, rng, size, rim)
        if rng.random() < 0.5:
            turn = rng.uniform(0.3, 1.2) * 2 * math.pi / height
            layer["bend"][0] = (*rng.normal(0, 0.012 * height, 2), turn, rng.uniform(0, 2 * math.pi))
            layer["bend"][1] = layer["bend"][0]
            layer["bend"][1, 3] += rng.normal(0, 0.15)
        if rng.random() < 0.12:
            layer["smear"] = rng.normal(0, 0.02 * height, 2)
        if rng.random() < 0.3:
            layer["harmonise"] = rng.uniform(0.1, 0.8)
        if rng.random() < 0.2:
            layer["shadow"] = (rng.uniform(0.1, 0.6), *rng.normal(0, 0.06 * height, 2))
        return layer

    def _camera(self, rng: np.random.Generator) -> Record:
        camera = np.zeros((), CAMERA)
        camera["colour"] = random_colour(rng, 0.6) if rng.random() < 0.5 else plain_colour()
        dark = rng.random() < 0.12
        camera["exposure"] = rng.uniform(0.15, 0.5) if dark else 1
        if dark or rng.random() < 0.5:
            camera["noise"], camera["shot"] = rng.uniform(0.003, 0.03), rng.uniform(0, 0.04)
            camera["coarse_noise"] = rng.random() < 0.5
        camera["detail"] = rng.uniform(0.4, 0.9) if rng.random() < 0.2 else 1
        camera["jpeg"] = rng.uniform(30, 95) if rng.random() < 0.3 else 0
        return camera
