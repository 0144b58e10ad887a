"""Which file is compared with which, and which frame with which.

Note [Matching frames]
    Two clips are matched by time: frames whose times differ by less than half a frame are a pair, others are left out
    and counted. Pictures have no times of their own; they are matched by order, and must be equally many. Two folders
    of pictures are a clip each where all names are one word and a number (`frame_0001.png`) and the sizes are equal;
    else each picture is compared with the one of the same name, and so are the clips of two folders. What livematte
    and others append to a name (`_alpha`, `.alpha`, `_matte`) does not count.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from livematte.errors import UsageError
from livematte.evaluation.reading import AlphaFrame, AlphaReader
from livematte.sources import expand_inputs
from livematte.sources.inputs import folder_contents

_APPENDED: Final = re.compile(r"[._-](alpha|matte|mask|pha|com|true|gt)$", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"(.*?)(\d+)(\D*)")


@dataclass(frozen=True, slots=True)
class Job:
    """One comparison."""

    name: str
    """For tables: the predicted file's name."""
    predicted: str
    """What `open_source` takes."""
    true: str | None
    source: str | None = None


def plan(predicted: str, true: str | None, source: str | None) -> list[Job]:
    """The comparisons behind what was named. UsageError where the two do not belong together, SourceError where one
    is not there."""
    specs = [spec for spec in (predicted, true, source) if spec is not None]
    if not all(Path(spec).is_dir() for spec in specs):  # a folder of pictures may stand for a clip
        return [Job(_name(predicted), expand_one(predicted), _maybe(true), _maybe(source))]
    if all(_is_sequence(Path(spec)) for spec in specs):
        return [Job(_name(predicted), predicted, true, source)]
    files = _by_stem(Path(predicted))
    others = None if true is None else _by_stem(Path(true))
    sources = None if source is None else _by_stem(Path(source))
    _check_names(files, others, predicted, true)
    _check_names(files, sources, predicted, source)
    return [
        Job(key, file, None if others is None else others[key], None if sources is None else sources[key])
        for key, file in files.items()
    ]


def expand_one(spec: str) -> str:
    """A spec that names one input. UsageError where it is a pattern for several."""
    found = expand_inputs([spec])
    if len(found) != 1:
        raise UsageError(f"'{spec}' names {len(found)} inputs. Name one, or a folder.")
    return found[0].spec


def _maybe(spec: str | None) -> str | None:
    return None if spec is None else expand_one(spec)


def _name(spec: str) -> str:
    return Path(spec).name or spec


def _is_sequence(folder: Path) -> bool:
    """True for pictures that are the frames of one clip, by their names and sizes."""
    pictures, videos = folder_contents(folder)
    if videos or len(pictures) < 2:
        return False
    words = [_NUMBERED.fullmatch(path.stem) for path in pictures]
    return all(words) and len({(word[1], word[3]) for word in words if word}) == 1 and len(_sizes(pictures)) <= 1


def _sizes(pictures: list[Path]) -> set[tuple[int, int]]:
    """Sizes by the files' heads. What Pillow does not read (EXR, DPX) is a frame of a film."""
    found = set()
    for path in pictures:
        with contextlib.suppress(OSError, ValueError), Image.open(path) as picture:
            found.add(picture.size)
    return found


def _by_stem(folder: Path) -> dict[str, str]:
    pictures, videos = folder_contents(folder)
    if pictures and videos:
        raise UsageError(f"the folder '{folder}' holds both pictures and videos. Put them into two folders.")
    found: dict[str, str] = {}
    for path in pictures or videos:
        key = str(path.parent.relative_to(folder) / _bare(path.stem))
        if key in found:
            raise UsageError(f"'{found[key]}' and '{path}' are both '{key}'. Keep one of them in the folder.")
        found[key] = str(path)
    if not found:
        raise UsageError(f"the folder '{folder}' holds no pictures and no videos that are known by their suffix.")
    return found


def _bare(stem: str) -> str:
    return _APPENDED.sub("", stem)


def _check_names(files: dict[str, str], others: dict[str, str] | None, folder: str, other_folder: str | None) -> None:
    if others is None:
        return
    missing = [key for key in files if key not in others]
    if missing:
        named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise UsageError(
            f"in '{other_folder}' there is nothing for {named} of '{folder}'. Files are matched by their names without "
            "suffix (and without _alpha); rename or remove them."
        )


@dataclass(slots=True)
class Matching:
    """Frames of several readers, matched; counts what found no partner."""

    readers: list[AlphaReader]
    """The predicted one first."""
    unmatched: int = 0

    def __iter__(self) -> Iterator[list[AlphaFrame]]:
        """One frame of each reader, belonging together (Note [Matching frames]). UsageError for unequal counts of
        pictures and for clips that share no frame."""
        timed = all(reader.is_timed for reader in self.readers)
        pairs = self._by_time() if timed else self._by_order()
        count = 0
        for pair in pairs:
            count += 1
            yield pair
        if not count:
            names = " and ".join(reader.info.name for reader in self.readers)
            raise UsageError(
                f"no frame of {names} has the time of another one. Clips are matched by time: check their rates and "
                "starts, or write both as picture folders, which are matched by order."
            )

    def _by_order(self) -> Iterator[list[AlphaFrame]]:
        for count, group in enumerate(itertools.zip_longest(*self.readers)):
            if any(one is None for one in group):
                short = self.readers[[one is None for one in group].index(True)].info.name
                raise UsageError(
                    f"{short} ends after {count} pictures, and another one goes on. Pictures are matched by order, so "
                    "they must be equally many."
                )
            yield list(group)

    def _by_time(self) -> Iterator[list[AlphaFrame]]:
        tolerance = 0.5 * min(reader.frame_seconds for reader in self.readers)
        streams = [iter(reader) for reader in self.readers]
        heads = [next(stream, None) for stream in streams]
        while True:
            present = [head for head in heads if head is not None]
            if len(present) < len(heads):
                break
            newest = max(head.seconds for head in present)
            late = [at for at, head in enumerate(present) if newest - head.seconds >= tolerance]
            if not late:
                yield present
                heads = [next(stream, None) for stream in streams]
                continue
            for at in late:
                self.unmatched += 1
                heads[at] = next(streams[at], None)
        for head, stream in zip(heads, streams, strict=True):
            self.unmatched += (head is not None) + sum(1 for _ in stream)
