"""From files to the atlas: decoding, foreground colours, label quality; and the cache on disk that keeps the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch

from training.atlas import LEVELS, Atlas, Extents
from training.files import Files
from training.sources import DataList, Picture

U8 = npt.NDArray[np.uint8]
T = TypeVar("T")

FORMAT = 3
"""Raise it when what the cache holds changes."""
MIN_BODY_PX = 200
BODY_POINTS = 24


@dataclass(frozen=True)
class PersonFacts:
    """What the planner must know of a person without seeing a pixel; lengths in pixels of the cached picture."""

    figure: int
    """Atlas picture: colour without the old background, and alpha."""
    photo: int
    """Atlas picture: the photograph as taken, and alpha; -1 when it is not fit to be shown."""
    size: tuple[int, int]
    """Height, width."""
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 of alpha above one half."""
    cut_bottom: bool
    cut_sides: bool
    cut_top: bool
    weight: float
    points: list[tuple[float, float]]
    """Points (x, y) upon the body, below its upper fifth: where hands and held things may be."""


@dataclass(frozen=True)
class SceneFacts:
    """A background or a thing."""

    picture: int
    size: tuple[int, int]
    weight: float


@dataclass(frozen=True)
class Catalogue:
    """All that the planner draws from."""

    people: list[PersonFacts]
    scenes: list[SceneFacts]
    things: list[SceneFacts]


@dataclass(frozen=True)
class Loaded:
    """An atlas on the device and the catalogue of what is in it."""

    atlas: Atlas
    catalogue: Catalogue
    folder: Path
    """The cache that they come from."""


def foreground(image: U8, alpha: U8) -> U8:
    """The person's own colour where the old background shines through, (H, W, 3) RGB uint8.

    Blur fusion, two passes: Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021.
    """
    i = image.astype(np.float32)
    a = alpha.astype(np.float32)[..., None] / 255
    f, b = i, i
    for radius in (48, 6):
        kernel = (radius, radius)
        mean_a = cv2.blur(a, kernel)[..., None]
        mean_f = cv2.blur(f * a, kernel) / (mean_a + 1e-4)
        mean_b = cv2.blur(b * (1 - a), kernel) / (1 - mean_a + 1e-4)
        f = np.clip(mean_f + a * (i - a * mean_f - (1 - a) * mean_b), 0, 255)
        b = mean_b
    return f.astype(np.uint8)


def thickness(alpha: U8) -> float:
    """Area of thick soft places (wider than about 2 % of the picture) over the body's area.

    Pseudo-labels have such places inside bodies; they teach a network to hedge.
    """
    soft = ((alpha > 13) & (alpha < 242)).astype(np.uint8)
    width = max(3, round(0.02 * max(alpha.shape)) | 1)
    core = cv2.erode(soft, np.ones((width, width), np.uint8))
    return float(core.sum() / max(np.count_nonzero(alpha > 127), 1))


def decode(payload: bytes) -> U8:
    """A JPEG's or PNG's pixels, RGB (h, w, 3); ValueError when it is none."""
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{len(payload)} bytes that OpenCV cannot read as a picture; fetch the data again")
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def _decode_at_most(payload: bytes, side: int) -> U8:
    """... shrunk to `side` pixels on its longer side if it is larger."""
    rgb = decode(payload)
    scale = side / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    return np.ascontiguousarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _levels(rgb: U8, alpha: U8) -> list[U8]:
    """RGBA at full size and halved three times."""
    out: list[U8] = [np.ascontiguousarray(np.dstack([rgb, alpha]), np.uint8)]
    for _ in range(LEVELS - 1):
        height, width = (max(1, -(-side // 2)) for side in out[-1].shape[:2])
        half = cv2.resize(out[-1], (width, height), interpolation=cv2.INTER_AREA)
        out.append(np.ascontiguousarray(half, np.uint8))
    return out


def _load_scene(picture: Picture, files: Files, side: int) -> list[U8]:
    rgb = _decode_at_most(files.read(picture.name), side)
    return _levels(rgb, np.full(rgb.shape[:2], 255, np.uint8))


@dataclass(frozen=True)
class _LoadedPerson:
    figure: list[U8]
    photo: list[U8]
    facts: PersonFacts


def _load_person(picture: Picture, files: Files, side: int) -> _LoadedPerson | None:
    """None when there is hardly a body."""
    rgb = _decode_at_most(files.read(picture.name), side)
    label = decode(files.read(picture.alpha_name))[..., 0]
    resized = cv2.resize(label, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_AREA)
    alpha: U8 = np.ascontiguousarray(resized, np.uint8)
    ys, xs = np.nonzero(alpha > 127)
    if len(ys) < MIN_BODY_PX:
        return None
    x0, y0, x1, y1 = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
    low = np.flatnonzero(ys > y0 + 0.2 * (y1 - y0))
    chosen = low[np.linspace(0, len(low) - 1, BODY_POINTS).astype(int)] if len(low) else np.zeros(0, int)
    facts = PersonFacts(
        figure=-1,
        photo=-1,
        size=(alpha.shape[0], alpha.shape[1]),
        box=(x0, y0, x1, y1),
        cut_bottom=_touches(alpha[-2:]),
        cut_sides=_touches(alpha[:, :2]) or _touches(alpha[:, -2:]),
        cut_top=_touches(alpha[:2]),
        weight=picture.source.weight / (1 + 20 * thickness(alpha)),
        points=[(float(xs[i]) + 0.5, float(ys[i]) + 0.5) for i in chosen],
    )
    photo = _levels(rgb, alpha) if picture.source.as_taken else []
    return _LoadedPerson(_levels(foreground(rgb, alpha), alpha), photo, facts)


def _touches(strip: U8) -> bool:
    return bool((strip > 127).mean() > 0.03)


class _Writer:
    """Appends pictures to the file of texels."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("wb")
        self._texels = 0
        self.rows: list[list[tuple[int, int, int]]] = []

    def add(self, levels: list[U8]) -> int:
        row = []
        for level in levels:
            row.append((self._texels, level.shape[0], level.shape[1]))
            self._stream.write(level.data)
            self._texels += level.shape[0] * level.shape[1]
        self.rows.append(row)
        return len(self.rows) - 1

    def close(self) -> None:
        self._stream.close()


def build(files: Files, pictures: DataList, folder: Path, *, side: int, workers: int) -> None:
    """Decode everything into `folder` (texels.bin, then index.json): about 10 bytes a pixel of people.

    `side`: longest side of a cached picture in pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Writer(folder / "texels.bin")
    people: list[dict[str, object]] = []
    for person in _spread(partial(_load_person, files=files, side=side), pictures.people, workers):
        if person is not None:
            photo = writer.add(person.photo) if person.photo else -1
            people.append(asdict(person.facts) | {"figure": writer.add(person.figure), "photo": photo})
    groups: dict[str, list[dict[str, object]]] = {}
    for name, group in (("scenes", pictures.scenes), ("things", pictures.things)):
        loaded = _spread(partial(_load_scene, files=files, side=side), group, workers)
        groups[name] = [
            {"picture": writer.add(levels), "size": levels[0].shape[:2], "weight": picture.source.weight}
            for picture, levels in zip(group, loaded, strict=True)
        ]
    writer.close()
    index = {"key": _key(pictures, side), "rows": writer.rows, "people": people} | groups
    (folder / "index.json").write_text(json.dumps(index), "utf-8")


def _spread(work: partial[T], items: list[Picture], workers: int) -> Iterator[T]:
    if workers < 2:
        yield from map(work, items)
        return
    with get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(work, items, chunksize=16)


def _key(pictures: DataList, side: int) -> str:
    """Changes with all that decides the cache's content."""
    return hashlib.sha256(json.dumps([FORMAT, side, asdict(pictures)]).encode()).hexdigest()


def load(files: Files, pictures: DataList, folder: Path, *, side: int, workers: int, device: torch.device) -> Loaded:
    """The atlas of `pictures` on `device`, built first where `folder` does not hold it already."""
    path = folder / "index.json"
    if not path.exists() or json.loads(path.read_text("utf-8"))["key"] != _key(pictures, side):
        path.unlink(missing_ok=True)
        build(files, pictures, folder, side=side, workers=workers)
    return open_cache(folder, device)


def open_cache(folder: Path, device: torch.device, *, resident: bool = False) -> Loaded:
    """What `build` wrote.

    On a CPU the texels stay a map of the file unless `resident`: then they are read into memory at once. A run reads
    them at random, and a kernel that takes back idle pages of files makes that a hundred times slower.
    """
    index = json.loads((folder / "index.json").read_text("utf-8"))
    rows = np.array(index["rows"], np.int64)  # (pictures, levels, 3)
    count = int(rows[-1, -1, 0] + rows[-1, -1, 1] * rows[-1, -1, 2])
    path = folder / "texels.bin"
    if resident:
        texels = torch.from_numpy(np.fromfile(path, np.int32, count))
    else:
        texels = torch.from_file(str(path), shared=False, size=count, dtype=torch.int32)
    extents = Extents(*(np.ascontiguousarray(rows[..., i]) for i in range(3)))
    people = [PersonFacts(**_tuples(row)) for row in index["people"]]
    scenes, things = ([SceneFacts(**_tuples(row)) for row in index[name]] for name in ("scenes", "things"))
    return Loaded(Atlas(texels.to(device), extents), Catalogue(people, scenes, things), folder)


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples."""
    return {key: tuple(row[key]) if key in ("size", "box") else row[key] for key in row}
