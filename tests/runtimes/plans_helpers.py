"""Keys, stores and broken files for the tests of the plan cache."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from livematte.reporting import ListReporter
from livematte.runtimes.plans import PlanKey, PlanStore

PLAN = bytes(range(256)) * 40
NOTES = {"model": "livematte-s", "seconds": 1.5, "layers": {"fp16": 120, "fp32": 4}, "islands": [["norm", "a reason"]]}


def key(**changes: Any) -> PlanKey:
    """A key, with changes."""
    usual = PlanKey(
        weights_sha256=hashlib.sha256(b"network").hexdigest(),
        profile='{"rgb":[[1,3,256,448]]}',
        precision="fp16",
        runtime="tensorrt-rtx",
        runtime_version="1.7.1.116",
        options={"optimization_level": 3},
        os="linux-x86_64",
        targets=("sm_89",),
    )
    return replace(usual, **changes)


def store(tmp_path: Path) -> tuple[PlanStore, ListReporter]:
    """An empty store, and who hears what it says."""
    reporter = ListReporter()
    return PlanStore(tmp_path / "cache" / "plans", reporter=reporter), reporter


def file_of(values: Mapping[str, Any] | bytes, plan: bytes = PLAN) -> bytes:
    """A file whose outer form is right, with this header (a table, or the very bytes)."""
    text = values if isinstance(values, bytes) else json.dumps(values).encode("ascii")
    return struct.pack("<8sII32s", b"LMPLAN\r\n", 1, len(text), hashlib.sha256(text).digest()) + text + plan


def header_of(of: PlanKey, plan: bytes = PLAN, **changes: Any) -> dict[str, Any]:
    """The values of a right header, with changes."""
    values = {
        "key": of.as_dict(),
        "length": len(plan),
        "sha256": hashlib.sha256(plan).hexdigest(),
        "built": 1.7e9,
        "notes": dict(NOTES),
    }
    return values | changes
