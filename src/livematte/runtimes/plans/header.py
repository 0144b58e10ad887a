"""What stands before a plan in its file, and is checked before anything is deserialised.

Note [A plan's file]
    magic, 8 bytes; format version and the header's length, two little-endian 32-bit numbers; sha256 of the header,
    32 bytes; the header, JSON in ASCII; the plan itself, to the end of the file. The header holds the key, the plan's
    length and sha256, when it was built, and notes for persons. Everything is bounded before it is read, so a file of
    any content costs a sentence, never a crash.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn, TypeAlias

from livematte.runtimes.plans.key import PlanKey

Notes: TypeAlias = Mapping[str, Any]
"""What the builder noted, as plain JSON values."""

MAGIC = b"LMPLAN\r\n"
"""The line end shows a file that was copied as text, as PNG's does."""
FORMAT = 1
_PREFIX = struct.Struct("<8sII32s")
MOST_HEADER_BYTES = 1 << 20
_MOST_PLAN_BYTES = 16 << 30
_FIELDS = frozenset(("key", "length", "sha256", "built", "notes"))


class BadPlan(ValueError):
    """The file is not a whole plan of this format; the text says why, as a clause. Never leaves this package."""


@dataclass(frozen=True, slots=True)
class PlanHeader:
    """Everything that a plan's file says about the plan."""

    key: PlanKey
    length: int
    """Bytes of the plan."""
    sha256: str
    """Of the plan."""
    built: float
    """When, in seconds since 1970."""
    notes: Notes

    @classmethod
    def of(cls, key: PlanKey, plan: bytes, notes: Notes, *, now: float) -> PlanHeader:
        """The header of a plan that was just built."""
        return cls(key, len(plan), hashlib.sha256(plan).hexdigest(), now, dict(notes))

    def encode(self) -> bytes:
        """All that stands before the plan. Notes that are too long, or no JSON, are left out, and that is noted."""
        text = self._json(self.notes)
        if text is None or len(text) > MOST_HEADER_BYTES:
            text = self._json({"left_out": "the builder's notes were too long, or not plain values"})
        assert text is not None  # every other value is ours, and plain
        return _PREFIX.pack(MAGIC, FORMAT, len(text), hashlib.sha256(text).digest()) + text

    def _json(self, notes: Notes) -> bytes | None:
        values = {
            "key": self.key.as_dict(),
            "length": self.length,
            "sha256": self.sha256,
            "built": self.built,
            "notes": dict(notes),
        }
        try:
            return json.dumps(values, sort_keys=True, ensure_ascii=True, allow_nan=False).encode("ascii")
        except (TypeError, ValueError, RecursionError):
            return None


def read_header(file: BinaryIO, file_bytes: int) -> PlanHeader:
    """The header of an open file of `file_bytes` bytes, which then stands at the plan. BadPlan says what is wrong."""
    prefix = file.read(_PREFIX.size)
    if not prefix:
        raise BadPlan("is empty")
    if prefix[: len(MAGIC)] != MAGIC[: len(prefix)]:
        raise BadPlan("is not a plan of ours")
    if len(prefix) < _PREFIX.size:
        raise BadPlan(f"is cut short ({file_bytes:,} bytes)")
    _, version, length, sha256 = _PREFIX.unpack(prefix)
    if version != FORMAT:
        raise BadPlan(f"was written by another version of livematte (format {version}, this one reads {FORMAT})")
    if length > MOST_HEADER_BYTES:
        raise BadPlan("has a damaged header")
    text = file.read(length)
    if len(text) < length:
        raise BadPlan(f"is cut short ({file_bytes:,} bytes)")
    if hashlib.sha256(text).digest() != sha256:
        raise BadPlan("has a damaged header")
    header = _parse(text)
    whole = _PREFIX.size + length + header.length
    if file_bytes < whole:
        raise BadPlan(f"is cut short ({file_bytes:,} of {whole:,} bytes)")
    if file_bytes > whole:
        raise BadPlan(f"is longer than it was written ({file_bytes:,} instead of {whole:,} bytes)")
    return header


def read_plan(file: BinaryIO, header: PlanHeader) -> bytes:
    """The plan behind a header that was just read. BadPlan where it is not what was written."""
    try:
        plan = file.read(header.length)
    except MemoryError:
        raise BadPlan(f"does not fit into this machine's memory ({header.length:,} bytes)") from None
    if len(plan) != header.length or hashlib.sha256(plan).hexdigest() != header.sha256:
        raise BadPlan("is damaged: its sha256 is not the one that was written")
    return plan


def _parse(text: bytes) -> PlanHeader:
    """The header's values, each of the kind that it must be."""
    try:
        values = json.loads(text.decode("ascii"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise BadPlan("has a damaged header") from None
    if not isinstance(values, dict) or values.keys() != _FIELDS:
        raise BadPlan("has the header of another version of livematte")
    length, sha256, built, notes = (values[name] for name in ("length", "sha256", "built", "notes"))
    if type(length) is not int or not 0 <= length <= _MOST_PLAN_BYTES:
        raise BadPlan("has a damaged header: its length is none")
    if not isinstance(sha256, str) or not isinstance(notes, dict):
        raise BadPlan("has a damaged header: its sha256 or notes are none")
    if type(built) not in (int, float) or not math.isfinite(built) or not 0 <= built <= 1e11:
        raise BadPlan("has a damaged header: its time is none")
    try:
        key = PlanKey.from_dict(values["key"])
    except ValueError as error:
        raise BadPlan(f"has a key that this version cannot read ({error})") from None
    return PlanHeader(key, length, sha256, float(built), notes)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
