"""What is to be measured: cases, the sizes' names, and how lists of options become cases."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, cast, get_args

from livematte.config import Encode, InputSettings, ModelSettings, OutputSettings, Precision, Quality, Settings
from livematte.errors import UsageError
from livematte.models.sizes import parse_size
from livematte.sinks.formats import FORMATS

SIZES: Final = {
    "360p": (640, 360),
    "480p": (854, 480),
    "540p": (960, 540),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "4k": (3840, 2160),
}
"""Sizes by the names that people use, 16:9."""
VIRTUAL: Final = "virtual"
"""The output that is a virtual camera."""
OUTPUTS: Final = (*FORMATS, VIRTUAL)
SYNTHETIC: Final = "synthetic"
SATURATED: Final = 0.0
_PACES: Final = "saturated, or frames a second such as 30 or 60"


@dataclass(frozen=True, slots=True)
class Length:
    """How long one run is measured."""

    frames: int = 300
    """At most so many, the warm-up apart."""
    seconds: float = 10.0
    """No new frame is begun after this time, the warm-up apart."""
    warm_up: int = 30
    """Frames of each run that do not count."""


@dataclass(frozen=True, slots=True)
class Case:
    """One setting to measure."""

    model: str = "auto"
    quality: Quality = "good"
    runtime: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    size: tuple[int, int] | None = (1280, 720)
    """(width, height); None: the clip's own."""
    source: str = SYNTHETIC
    """`synthetic`, or a clip."""
    output: str = "null"
    """A format's name, or `virtual`."""
    encode: Encode = "good"
    pace: float = SATURATED
    """Frames a second that arrive, as from a camera; 0: as fast as they are taken."""
    threads: int = 0
    length: Length = field(default_factory=Length)

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise UsageError(f"unknown output '{self.output}'. There are: {', '.join(OUTPUTS)}.")
        if self.pace < 0 or self.pace > 1000:
            raise UsageError(f"the pace {self.pace:g} is not possible; {_PACES}.")

    @property
    def key(self) -> dict[str, Any]:
        """What makes this case another one than the next: plain values, for JSON and for comparing reports."""
        values = asdict(self)
        del values["length"]
        values["size"] = size_name(self.size)
        return values

    @property
    def name(self) -> str:
        """One line for persons: `livematte-s good, 720p, null, saturated`."""
        parts = [f"{self.model} {self.quality}"]
        parts += [word for word in (self.runtime, self.device, self.precision) if word != "auto"]
        parts.append(size_name(self.size))
        if self.source != SYNTHETIC:
            parts.append(self.source)
        parts.append(self.output if self.encode == "good" else f"{self.output} ({self.encode})")
        parts.append("saturated" if not self.pace else f"{self.pace:g} fps")
        return ", ".join(parts)

    def spec(self) -> str:
        """What `open_source` takes."""
        if self.source != SYNTHETIC:
            return self.source
        width, height = self.size or SIZES["720p"]
        return f"synthetic:{width}x{height}@30:{self.length.warm_up + self.length.frames}"

    def settings(self) -> Settings:
        """The settings of `convert` for this case."""
        opaque = self.output == VIRTUAL or not FORMATS[self.output].carries_alpha
        size = f"{self.size[0]}x{self.size[1]}" if self.size and self.source != SYNTHETIC else None
        return Settings(
            input=InputSettings(size=size),
            model=ModelSettings.model_validate(
                {
                    "model": self.model,
                    "quality": self.quality,
                    "runtime": self.runtime,
                    "device": self.device,
                    "precision": self.precision,
                    "threads": self.threads,
                }
            ),
            output=OutputSettings(
                format="mp4" if self.output == VIRTUAL else self.output,
                encode=self.encode,
                background="blur" if opaque else None,
                overwrite=True,
            ),
        )


def size_name(size: tuple[int, int] | None) -> str:
    """`720p` for a size that has a name, else `WIDTHxHEIGHT`; `source` where the clip's own is kept."""
    if size is None:
        return "source"
    known = {value: name for name, value in SIZES.items()}
    return known.get(size, f"{size[0]}x{size[1]}")


def parse_sizes(words: Sequence[str]) -> list[tuple[int, int] | None]:
    """Names of `SIZES`, `WIDTHxHEIGHT`, or `source`. UsageError for anything else."""
    found: list[tuple[int, int] | None] = []
    for word in words:
        if word.lower() in SIZES:
            found.append(SIZES[word.lower()])
        elif word == "source":
            found.append(None)
        elif re.fullmatch(r"\d+x\d+", word):
            found.append(parse_size(word))
        else:
            raise UsageError(
                f"unknown size '{word}'. There are {', '.join(SIZES)}, source (the clip's own), and WIDTHxHEIGHT."
            )
    return found


def parse_paces(words: Sequence[str]) -> list[float]:
    """`saturated` or frames a second. UsageError for anything else."""
    found = []
    for word in words:
        if word == "saturated":
            found.append(SATURATED)
        elif re.fullmatch(r"\d+(\.\d+)?", word) and 0 < float(word) <= 1000:
            found.append(float(word))
        else:
            raise UsageError(f"unknown pace '{word}': {_PACES}.")
    return found


@dataclass(frozen=True, slots=True)
class Axes:
    """Lists of values; every combination is a case."""

    models: Sequence[str] = ("auto",)
    qualities: Sequence[str] = ("good",)
    runtimes: Sequence[str] = ("auto",)
    devices: Sequence[str] = ("auto",)
    precisions: Sequence[str] = ("auto",)
    sizes: Sequence[str] = ("720p",)
    sources: Sequence[str] = (SYNTHETIC,)
    outputs: Sequence[str] = ("null",)
    paces: Sequence[str] = ("saturated",)
    encode: Encode = "good"
    threads: int = 0


def cases(axes: Axes, length: Length) -> list[Case]:
    """Every combination, saturated runs before paced ones. UsageError for a value that cannot be."""
    for quality in axes.qualities:
        if quality not in get_args(Quality):
            raise UsageError(f"unknown quality '{quality}'. There are: {', '.join(get_args(Quality))}.")
    for precision in axes.precisions:
        if precision not in get_args(Precision):
            raise UsageError(f"unknown precision '{precision}'. There are: {', '.join(get_args(Precision))}.")
    sizes, paces = parse_sizes(axes.sizes), parse_paces(axes.paces)
    if None in sizes and SYNTHETIC in axes.sources:
        raise UsageError("a synthetic clip has no size of its own: name one with --size, or a clip with --input.")
    made = [
        Case(
            model, cast(Quality, quality), runtime, device, precision, size, source, output, axes.encode, pace,
            axes.threads, length,
        )
        for pace, model, quality, runtime, device, precision, size, source, output in itertools.product(
            paces, axes.models, axes.qualities, axes.runtimes, axes.devices, axes.precisions, sizes, axes.sources,
            axes.outputs,
        )
    ]  # fmt: skip
    return list(dict.fromkeys(made))


def quick() -> list[Case]:
    """`--quick`: the embedded network, synthetic 720p, nothing written; as fast as it goes, then at 30 fps."""
    length = Length(frames=150, seconds=8.0, warm_up=15)
    case = Case(length=length)
    return [case, replace(case, pace=30.0)]
