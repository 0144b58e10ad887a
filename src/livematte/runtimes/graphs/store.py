"""Converted graphs in the user's cache, named by all that went into them.

An ONNX file is data and runs no code, so unlike a plan it needs no owner's check; its bytes are held against the hash
in the record beside it, and a file that was cut short or changed is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from filelock import FileLock

from livematte.errors import ModelError
from livematte.models.weights import hash_file
from livematte.runtimes.graphs.facts import Prepared, graphs_dir

FORMAT = 1
"""Raised whenever a rule of this package changes what it makes."""


@dataclass(frozen=True)
class Place:
    """Where one conversion belongs."""

    path: Path

    @property
    def record(self) -> Path:
        """The file beside it with hash, islands and notes."""
        return self.path.with_suffix(".json")

    def find(self) -> Prepared | str | None:
        """What is there; None: nothing; a sentence: something that is not what its record says."""
        if not self.path.is_file():
            return None
        try:
            held = json.loads(self.record.read_text(encoding="utf-8"))
            if held["sha256"] != hash_file(self.path):
                return f"{self.path.name} in the cache is not what was written; it is made anew"
            return Prepared(
                self.path,
                tuple((str(node), str(reason)) for node, reason in held["islands"]),
                tuple(str(note) for note in held["notes"]),
                {str(name): tuple(int(side) for side in shape) for name, shape in held["shapes"].items()},
                from_cache=True,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return f"the record of {self.path.name} in the cache is missing or broken; it is made anew"

    def put(self, model: onnx.ModelProto, prepared: Prepared) -> Prepared:
        """Write graph and record, each whole or not at all. ModelError where the folder cannot be written."""
        try:
            write_whole(self.path, model.SerializeToString())
            record = {
                "sha256": hash_file(self.path),
                "islands": prepared.islands,
                "notes": prepared.notes,
                "shapes": prepared.shapes,
            }
            write_whole(self.record, json.dumps(record).encode())
        except OSError as error:
            raise ModelError(
                f"the converted network cannot be written to {self.path.parent}: {error}. Free some space, or name "
                "another folder with LIVEMATTE_CACHE."
            ) from error
        return prepared

    @contextmanager
    def building(self) -> Iterator[None]:
        """One builder at a time; a second one waits, and then finds what the first one made."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(self.path.with_suffix(".lock"))):
            yield


def place_of(stem: str, key: Mapping[str, Any]) -> Place:
    """The place of what this key describes."""
    canonical = json.dumps({"format": FORMAT, **key}, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:24]
    return Place(graphs_dir() / f"{stem}-{digest}.onnx")


def write_whole(path: Path, data: bytes) -> None:
    """The file appears with all its bytes, or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
