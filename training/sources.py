"""The data list: which pictures are used, from where, under which licence, and which are held out."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from training.files import Files

SOURCES_TOML = Path(__file__).with_name("sources.toml")
HOLDOUT_TXT = Path(__file__).with_name("holdout.txt")

MAX_FLIP_DISAGREEMENT = 0.024
"""Mean |alpha - alpha of the mirrored picture|; above it the teacher did not understand the picture."""
MIN_SECOND_MODEL_IOU = 0.88
MIN_ANNOTATION_IOU = 0.90

Part = Literal["training", "validation"]


@dataclass(frozen=True)
class Source:
    """One origin of pictures, as `sources.toml` has it."""

    name: str
    what: str
    origin: str
    licence: str
    weight: float
    as_taken: bool = False
    judge: str = "second model"


@dataclass(frozen=True)
class Sources:
    """All sources by the prefix of their files' names."""

    people: dict[str, Source]
    scenes: dict[str, Source]
    things: dict[str, Source]

    @classmethod
    def read(cls, path: Path = SOURCES_TOML, without: Collection[str] = ()) -> Sources:
        """`without`: names of sources to leave out; ValueError for a name that is not there."""
        table = tomllib.loads(path.read_text("utf-8"))
        groups = [{row["name"]: Source(**row) for row in table[key]} for key in ("people", "scenes", "things")]
        known = {name for group in groups for name in group}
        unknown = sorted(set(without) - known)
        if unknown:
            raise ValueError(f"no source named {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        people, scenes, things = ({k: s for k, s in group.items() if k not in without} for group in groups)
        return cls(people, scenes, things)


@dataclass(frozen=True)
class Holdout:
    """What training never sees: people by stem, panoramas by the stem that all their views share."""

    people: frozenset[str]
    panoramas: frozenset[str]

    @classmethod
    def read(cls, path: Path = HOLDOUT_TXT) -> Holdout:
        """Lines `person STEM` and `panorama STEM`; `#` begins a comment line."""
        lines = [line.split() for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
        people = frozenset(name for kind, name in lines if kind == "person")
        return cls(people, frozenset(name for kind, name in lines if kind == "panorama"))


@dataclass(frozen=True)
class Picture:
    """One file to load and the source it comes from."""

    name: str
    source: Source

    @property
    def alpha_name(self) -> str:
        """Name of the alpha that belongs to a person's picture."""
        return self.name.removesuffix(".jpg") + ".alpha.png"


@dataclass(frozen=True)
class DataList:
    """The pictures of one part, in the order of their names."""

    people: list[Picture] = field(default_factory=list)
    scenes: list[Picture] = field(default_factory=list)
    things: list[Picture] = field(default_factory=list)

    @classmethod
    def read(cls, files: Files, sources: Sources, holdout: Holdout, part: Part) -> DataList:
        """Training's pictures, or the held-out ones (validation has no things of its own)."""
        held = part == "validation"
        rows = csv.DictReader(io.StringIO(files.read("people.tsv").decode("utf-8")), delimiter="\t")
        people = [
            Picture(f"people/{row['stem']}.jpg", sources.people[row["source"]])
            for row in rows
            if row["source"] in sources.people
            and (row["stem"] in holdout.people) == held
            and label_is_trusted(row, sources.people[row["source"]])
        ]
        scenes = [
            picture
            for picture in _pictures(files, "backgrounds/", sources.scenes)
            if (_panorama(picture.name) in holdout.panoramas) == held
        ]
        things = [] if held else _pictures(files, "things/", sources.things)
        return cls(people, scenes, things)


def label_is_trusted(row: dict[str, str], source: Source) -> bool:
    """Whether a row of `people.tsv` agrees well enough with its judges (a hand-made annotation overrules a network)."""
    if float(row["flip_disagreement"]) > MAX_FLIP_DISAGREEMENT:
        return False
    if row["iou_with_annotation"] != "-":
        return float(row["iou_with_annotation"]) >= MIN_ANNOTATION_IOU
    return source.judge == "mirror" or float(row["iou_with_second_model"]) >= MIN_SECOND_MODEL_IOU


def _pictures(files: Files, folder: str, sources: dict[str, Source]) -> list[Picture]:
    names = [name for name in files.names(folder) if name.endswith(".jpg")]
    prefixes = [name.removeprefix(folder).split("_")[0] for name in names]
    return [Picture(name, sources[prefix]) for name, prefix in zip(names, prefixes, strict=True) if prefix in sources]


def _panorama(name: str) -> str:
    """`backgrounds/hdri_012_3.jpg` -> `hdri_012`."""
    return Path(name).stem.rsplit("_", 1)[0]
