"""The key of a plan: everything that goes into it, in one canonical form."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias

Option: TypeAlias = str | int | float | bool
"""What an option's value may be."""

PLAN = "plan"
"""The part that is a plan; what a runtime keeps beside it (compiled kernels) has another name."""
_PART = "part"
"""Option that names a file which belongs to a plan."""
_ID_LENGTH = 40
"""Hexadecimal digits of the sha256 that name a file: 160 bits, so no two keys share one."""


def this_os() -> str:
    """The operating system and the processor's kind, as a plan depends on them: `linux-x86_64`, `windows-amd64`."""
    system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    return f"{system}-{platform.machine().lower() or 'unknown'}"


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanKey:
    """What a plan was built from, by what, for what. Two keys are equal if all of it is.

    ValueError where a value is not what the field says.
    """

    weights_sha256: str
    """Of the very file that is handed to the builder: the graph after it was made static or turned to fp16."""
    profile: str
    """The shapes, as JSON: input -> [best], or [least, best, most]; each shape a list of sides."""
    precision: str
    """fp32, tf32, fp16, int8 or mixed."""
    runtime: str
    """`tensorrt` or `tensorrt-rtx`."""
    runtime_version: str
    options: Mapping[str, Option] = field(default_factory=dict)
    """Everything else that the builder was told and that changes the plan."""
    os: str = field(default_factory=this_os)
    gpu: str = ""
    """Name and compute capability of the GPU (`NVIDIA H100 80GB HBM3 sm_90`) where the plan is for that one alone."""
    targets: tuple[str, ...] = ()
    """Compute capabilities (`sm_89`) where the plan is for named ones; their order says nothing."""

    def __post_init__(self) -> None:
        for one in ("weights_sha256", "profile", "precision", "runtime", "runtime_version", "os", "gpu"):
            if not isinstance(getattr(self, one), str):
                raise ValueError(f"{one} is not a text")
        if re.fullmatch(r"[0-9a-f]{64}", self.weights_sha256) is None:
            raise ValueError("weights_sha256 is not 64 hexadecimal digits")
        if not isinstance(self.options, Mapping) or not isinstance(self.targets, tuple | list):
            raise ValueError("options is not a table, or targets no list")
        if not all(isinstance(name, str) and _is_option(value) for name, value in self.options.items()):
            raise ValueError("an option is not a text, a finite number, true or false")
        if not all(isinstance(target, str) for target in self.targets):
            raise ValueError("a target is not a text")
        object.__setattr__(self, "options", MappingProxyType(dict(sorted(self.options.items()))))
        object.__setattr__(self, "targets", tuple(sorted(set(self.targets))))

    def canonical(self) -> bytes:
        """The key as JSON in ASCII, the same bytes for equal keys."""
        return json.dumps(
            self.as_dict(), sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":")
        ).encode("ascii")

    @cached_property
    def digest(self) -> str:
        """sha256 of the canonical form, in hexadecimal."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @property
    def id(self) -> str:
        """What names the plan's file, and the person's word for it: 40 hexadecimal digits."""
        return self.digest[:_ID_LENGTH]

    @property
    def part(self) -> str:
        """`plan`, or what belongs to one: `runtime-cache`."""
        return str(self.options.get(_PART, PLAN))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        return values | {"options": dict(self.options), "targets": list(self.targets)}

    @classmethod
    def from_dict(cls, values: object) -> PlanKey:
        """What `as_dict` gave. ValueError for anything else, whatever it is."""
        if not isinstance(values, dict):
            raise ValueError("the key is not a table")
        names = {one.name for one in fields(cls)}
        if values.keys() != names:
            odd = ", ".join(sorted(str(name)[:40] for name in values.keys() ^ names))
            raise ValueError(f"the key has other fields than this version's: {odd}")
        if not isinstance(values["targets"], list):
            raise ValueError("targets is not a list")
        return cls(**{name: values[name] for name in names})

    def shapes(self) -> dict[str, list[list[int]]]:
        """The profile read: input -> [best], or [least, best, most]. Empty where it is not in that form."""
        try:
            found = json.loads(self.profile)
        except (ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {name: shapes for name, shapes in found.items() if _are_shapes(shapes)}

    def is_akin(self, other: PlanKey) -> bool:
        """Whether both are of the same graph, shapes and precision: one may stand where the other was looked for."""
        same = ("weights_sha256", "profile", "precision", "runtime")
        return self.part == other.part and all(getattr(self, name) == getattr(other, name) for name in same)

    def differences(self, other: PlanKey) -> list[str]:
        """What `other`, an akin key of a plan that is here, has that this one has not; each as a clause."""
        found: list[str] = []
        if self.runtime_version != other.runtime_version:
            found.append(f"built by {other.runtime} {other.runtime_version}, and {self.runtime_version} is installed")
        if self.os != other.os:
            found.append(f"for {other.os}, and this is {self.os}")
        if self.gpu != other.gpu:
            found.append(f"for {other.gpu or 'no GPU in particular'}, and this is {self.gpu or 'for any'}")
        if self.targets != other.targets:
            found.append(f"for {_listed(other.targets)}, and {_listed(self.targets)} is asked for")
        if self.options != other.options:
            names = sorted(name for name in {*self.options, *other.options}
                           if self.options.get(name) != other.options.get(name))  # fmt: skip
            found.append(f"built with another {', '.join(names)}")
        return found

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, PlanKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)


def _is_option(value: object) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _are_shapes(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (1, 3)
        and all(isinstance(shape, list) and all(isinstance(side, int) for side in shape) for shape in value)
    )


def _listed(targets: tuple[str, ...]) -> str:
    return ", ".join(targets) or "every chip that the library takes by itself"
