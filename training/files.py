"""The training data as named files, in a folder or packed in parts.

A part is an uncompressed tar archive below a given size, so that the data can travel where single files may not be
large. Both forms read alike: a name is a path relative to the data's root, with forward slashes.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PART_PATTERN = "part_*.tar"
PART_BYTES = 55_000_000
"""Upper bound of a part's payload; with tar's headers and padding a part of small files stays below 60 MB."""
TAR_BLOCK_BYTES = 512


@dataclass(frozen=True)
class _Place:
    path: Path
    offset: int
    bytes: int | None
    """None: up to the end of the file."""


class Files:
    """Read-only files by name, from a folder or from the parts in it."""

    def __init__(self, places: dict[str, _Place]) -> None:
        self._places = places

    @classmethod
    def open(cls, root: Path) -> Files:
        """Index `root`: its parts if it has any, else the files themselves.

        Raises FileNotFoundError when `root` is not there or holds no `people.tsv`.
        """
        parts = sorted(root.glob(PART_PATTERN))
        places = _index_parts(parts) if parts else _index_folder(root)
        if "people.tsv" not in places:
            raise FileNotFoundError(
                f"{root}: no people.tsv among {len(places)} files; give the folder that holds people.tsv, people/, "
                f"backgrounds/ and things/, or parts of it ({PART_PATTERN})"
            )
        return cls(places)

    def names(self, prefix: str = "") -> list[str]:
        """Names that begin with `prefix`, sorted."""
        return sorted(name for name in self._places if name.startswith(prefix))

    def read(self, name: str) -> bytes:
        """The whole file; KeyError when there is none of that name."""
        place = self._places[name]
        with place.path.open("rb") as stream:
            stream.seek(place.offset)
            return stream.read() if place.bytes is None else stream.read(place.bytes)


def _index_folder(root: Path) -> dict[str, _Place]:
    return {path.relative_to(root).as_posix(): _Place(path, 0, None) for path in root.rglob("*") if path.is_file()}


def _index_parts(parts: list[Path]) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    for path in parts:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                places[member.name] = _Place(path, member.offset_data, member.size)
    return places


def pack(files: Files, names: list[str], folder: Path, part_bytes: int = PART_BYTES) -> list[Path]:
    """Write `names` into parts of at most `part_bytes` each under `folder`; returns the parts in order.

    Raises FileExistsError when the folder holds parts already, ValueError when one file alone is too large.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob(PART_PATTERN)):
        raise FileExistsError(f"{folder} holds parts already; remove them or choose another folder")
    paths: list[Path] = []
    for part in _shared_out(files, names, part_bytes):
        paths.append(folder / PART_PATTERN.replace("*", f"{len(paths):03d}"))
        with tarfile.open(paths[-1], "w:", format=tarfile.USTAR_FORMAT) as archive:
            for name, payload in part:
                info = tarfile.TarInfo(name)  # no owner, no time: the same data gives the same bytes
                info.size = len(payload)
                archive.addfile(info, io.BytesIO(payload))
    return paths


def _shared_out(files: Files, names: list[str], part_bytes: int) -> Iterator[list[tuple[str, bytes]]]:
    """The files in their order, in lists that each fill at most `part_bytes` of an archive."""
    part: list[tuple[str, bytes]] = []
    used = 0
    for name in names:
        payload = files.read(name)
        need = TAR_BLOCK_BYTES + -(-len(payload) // TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES
        if need > part_bytes:
            raise ValueError(f"{name} takes {need} bytes, more than a part's {part_bytes}; raise --part-bytes")
        if part and used + need > part_bytes:
            yield part
            part, used = [], 0
        part.append((name, payload))
        used += need
    if part:
        yield part
