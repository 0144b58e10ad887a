"""Writes the pictures of docs/hard-cases.md, and prints its first table: python docs/make_hard_cases.py [MODEL.onnx]

Each picture is composed: a person with a known alpha before a room from a formula, so the true matte is exact. The
person is the demo's public-domain portrait (NASA, Eileen Collins), cut out once with `--quality best`. Given another
network's file, its figures are printed beside those of the embedded one. The room and the props are drawn here.
"""

# ruff: noqa: T201  (a script reports on stdout)

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from livematte import Session, metrics
from livematte.config import MattingSettings
from livematte.demo.clip import PORTRAIT

FOLDER = Path(__file__).resolve().parent / "images"
WIDTH, HEIGHT = 960, 540
PANEL_PX = 320
"""Width of one of the three panels: the picture, our matte, the true one."""
QUALITY = 84

Picture = npt.NDArray[np.float32]
"""(HEIGHT, WIDTH, 3) RGB in 0..255."""
Alpha = npt.NDArray[np.float32]
"""(HEIGHT, WIDTH) in 0..1."""


@dataclass(frozen=True)
class Case:
    """A picture that is hard, its true matte, and settings that help."""

    picture: Picture
    true: Alpha
    help: MattingSettings | None = None


@dataclass(frozen=True)
class Person:
    """Premultiplied colour and alpha of the portrait, at its own size."""

    color: Picture
    alpha: Alpha


def main(words: list[str]) -> None:
    """All pictures, and a line of figures for each."""
    with Session(quality="best") as session:
        person = _cut_out(session)
    plain = Session()
    best = Session(quality="best")
    other = Session(words[0]) if words else None
    refined = Session(refine_with=words[0]) if words else None
    FOLDER.mkdir(exist_ok=True)
    print("case | embedded | --quality best | with the case's option | other network | --refine-with it")
    for name, make in CASES.items():
        case = make(person)
        rgb = np.clip(case.picture, 0, 255).round().astype(np.uint8)
        matte = plain.matte(rgb)
        figures = [_mad(matte, case.true), _mad(best.matte(rgb), case.true)]
        if case.help is not None:
            with Session(matting=case.help) as helped:
                figures.append(_mad(helped.matte(rgb), case.true))
        else:
            figures.append(float("nan"))
        figures += [_mad(session.matte(rgb), case.true) for session in (other, refined) if session is not None]
        print(name, *(f"{figure:.1f}" for figure in figures), sep=" | ")
        _write(name, rgb, matte, case.true)
    for session in (plain, best, other, refined):
        if session is not None:
            session.close()


def _mad(alpha: npt.NDArray[np.uint8], true: Alpha) -> float:
    """Mean absolute difference, times 1000."""
    return float(metrics.mad(alpha.astype(np.float32) / 255, true))


def _cut_out(session: Session) -> Person:
    with Image.open(PORTRAIT) as opened:
        rgb = np.asarray(opened.convert("RGB"))
    cut = np.asarray(session.cutout(Image.fromarray(rgb)), np.float32)
    alpha = np.clip((cut[..., 3] / 255 - 0.08) / 0.84, 0, 1)
    y, x = np.mgrid[: alpha.shape[0], : alpha.shape[1]].astype(np.float32)
    helmet = np.clip((x - 296) / 14, 0, 1) * np.clip((y - 330) / 14, 0, 1)  # on the table before her
    alpha *= 1 - np.maximum(helmet, np.clip((x - 400) / 40, 0, 1))
    return Person(cut[..., :3] * alpha[..., None], alpha)


# -- the room, and how people come into it -----------------------------------------------------------------------


def _room() -> Picture:
    """A wall lit from the left, a shelf with books and a window: a formula, the same each time."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    shade = 168 + 40 * np.exp(-(((x - 200) / 420) ** 2)) - 0.05 * y
    room = np.stack([shade * tint for tint in (1.0, 0.95, 0.86)], axis=-1)
    random = np.random.default_rng(3)
    for row in range(3):
        left = 640
        while left < 930:
            width, tall = int(random.integers(12, 30)), int(random.integers(60, 95))
            top = 120 + row * 120 - tall
            room[top : top + tall, left : left + width] = random.uniform(40, 170, 3)
            left += width + 2
        room[120 + row * 120 : 128 + row * 120, 630:950] = (96, 66, 44)
    room[60:300, 40:230] = (228, 236, 244)
    room[60:300:80, 40:230] = room[60:300, 40:230:95] = (120, 110, 100)
    return np.asarray(room, np.float32)


def _placed(person: Person, scale: float, left: float, top: float, *, mirrored: bool = False) -> Person:
    """The person in a picture of the room's size; `left`, `top`: of the portrait's corner, px."""
    flip = person.alpha.shape[1] * scale if mirrored else 0.0
    matrix = np.array([[-scale if mirrored else scale, 0, left + flip], [0, scale, top]], np.float32)
    size, how = (WIDTH, HEIGHT), cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    color = cv2.warpAffine(person.color, matrix, size, flags=how)
    return Person(np.asarray(color, np.float32), np.asarray(cv2.warpAffine(person.alpha, matrix, size, flags=how)))


def _over(front: Person, behind: Picture) -> Picture:
    return np.asarray(front.color + behind * (1 - front.alpha[..., None]), np.float32)


def _sat(person: Person) -> Person:
    """Where most cases have her: head and shoulders, left of the middle."""
    return _placed(person, 1.15, 130, 10)


# -- the cases ---------------------------------------------------------------------------------------------------


def _plain(person: Person) -> Case:
    front = _sat(person)
    return Case(_over(front, _room()), front.alpha)


def _glass(person: Person) -> Case:
    """A pane before her that mirrors the window and a lamp: she is seen through it, and is still all there."""
    front = _sat(person)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    bands = 0.5 + 0.5 * np.sin((x + 0.8 * y) / 46)
    share = (0.30 * (bands > 0.72) + 0.12)[..., None]
    return Case(_over(front, _room()) * (1 - share) + share * np.float32(240), front.alpha)


def _motion(person: Person) -> Case:
    """Her whole figure smeared over 70 px, as in a fast turn at 1/30 s."""
    front = _sat(person)
    line = np.ones((1, 70), np.float32) / 70
    smeared = Person(cv2.filter2D(front.color, -1, line), cv2.filter2D(front.alpha, -1, line))
    return Case(_over(smeared, _room()), smeared.alpha)


def _mirror(person: Person) -> Case:
    """A mirror on the wall shows her a second time; the mirror image belongs to the room."""
    front = _placed(person, 1.05, 20, 50)
    room = _room()
    image = _placed(person, 0.62, 610, 120, mirrored=True)
    room[90:450, 600:930] = (92, 70, 48)
    glass = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    glass[102:438, 612:918] = 1
    inside = 0.92 * _over(image, np.full_like(room, (150, 148, 140)))
    return Case(_over(front, room * (1 - glass) + inside * glass), front.alpha, MattingSettings(region="0,0,0.62,1"))


def _low_contrast(person: Person) -> Case:
    """A wall in the colours of her clothes and hair, in flat light."""
    front = _sat(person)
    shown = front.alpha > 0.9
    mean = front.color[shown].mean(axis=0)
    wall = cv2.GaussianBlur(front.color + mean * (1 - front.alpha[..., None]), (0, 0), 70)
    return Case(_over(front, wall * 0.9 + mean * 0.1), front.alpha)


def _dark(person: Person) -> Case:
    """The plain case at an eighth of its light, with the sensor's noise."""
    case = _plain(person)
    noise = np.random.default_rng(5).normal(0, 5, case.picture.shape).astype(np.float32)
    return Case(case.picture / 8 + noise, case.true)


def _held(person: Person) -> Case:
    """She holds a sign before her chest; it is meant to stay."""
    front = _sat(person)
    board = np.zeros((HEIGHT, WIDTH), np.float32)
    corners = cv2.boxPoints(((390, 420), (330, 170), -6)).astype(np.int32)
    cv2.fillConvexPoly(board, corners, 1.0, cv2.LINE_AA)
    words = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.putText(words, "HELLO", (275, 450), cv2.FONT_HERSHEY_DUPLEX, 2.4, 255, 6, cv2.LINE_AA)
    ink = words[..., None].astype(np.float32) / 255
    paper = np.array((236, 233, 222), np.float32) * (1 - ink) + np.array((40, 60, 120), np.float32) * ink
    picture = _over(front, _room()) * (1 - board[..., None]) + board[..., None] * paper
    return Case(picture, np.maximum(front.alpha, board))


def _back(person: Person) -> Case:
    """Seen from behind: hair where the face was."""
    hair = np.zeros(person.alpha.shape, np.float32)
    cv2.ellipse(hair, (222, 118), (62, 84), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    cv2.ellipse(hair, (222, 190), (34, 40), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    hair = cv2.GaussianBlur(hair, (0, 0), 4) * person.alpha
    y, x = np.mgrid[: hair.shape[0], : hair.shape[1]].astype(np.float32)
    strands = 62 + 14 * np.sin(x / 1.7 + 2 * np.sin(y / 23)) + 10 * np.sin(x / 4.1 + y / 60)
    tone = np.stack([strands * tint for tint in (1.0, 0.72, 0.5)], axis=-1)
    color = person.color * (1 - hair[..., None]) + tone * hair[..., None]
    return _plain(Person(np.asarray(color, np.float32), person.alpha))


def _crowd(person: Person) -> Case:
    """One before eight others, smaller and farther away, who overlap."""
    picture, everybody = _room(), np.zeros((HEIGHT, WIDTH), np.float32)
    for number in range(8):
        far = _placed(person, 0.42, -60 + 118 * number, 150 + 14 * (number % 3), mirrored=number % 2 == 1)
        picture = _over(far, picture)
        everybody = np.maximum(everybody, far.alpha)
    front = _placed(person, 0.95, 240, 80)
    return Case(_over(front, picture), np.maximum(everybody, front.alpha))


CASES: dict[str, Callable[[Person], Case]] = {
    "plain": _plain,
    "glass": _glass,
    "motion": _motion,
    "mirror": _mirror,
    "low-contrast": _low_contrast,
    "dark": _dark,
    "held": _held,
    "back": _back,
    "crowd": _crowd,
}


def _write(name: str, rgb: npt.NDArray[np.uint8], matte: npt.NDArray[np.uint8], true: Alpha) -> None:
    """The picture, our matte and the true one, side by side."""
    panels = [rgb, *(np.repeat(one[..., None], 3, axis=-1) for one in (matte, (true * 255).round().astype(np.uint8)))]
    size = PANEL_PX, round(PANEL_PX * HEIGHT / WIDTH)
    small = [cv2.resize(panel, size, interpolation=cv2.INTER_AREA) for panel in panels]
    path = FOLDER / f"hard-{name}.jpg"
    Image.fromarray(np.hstack(small)).save(path, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
