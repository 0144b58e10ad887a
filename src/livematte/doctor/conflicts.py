"""Two distributions that own one Python module in one environment: which, and what repairs it.

`onnxruntime` and `onnxruntime-gpu` (and their siblings) install the same files, as do the flavours of
`opencv-python`. pip installs both without a word, the last one wins file by file, and a GPU is silently not used.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass

_OWNED = {"onnxruntime": "onnxruntime", "opencv": "cv2"}
"""Start of the distribution's name -> the module that its kind installs."""
_WANTED = {"onnxruntime": ("onnxruntime-gpu", "onnxruntime"), "cv2": ("opencv-python-headless",)}
"""Which one to keep, the first that is there: a GPU build also runs on the CPU."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """One module with several owners."""

    module: str
    distributions: tuple[str, ...]
    problem: str
    repair: str
    """The command that repairs it. It is only ever shown, never run."""


def find_conflicts(distributions: Iterable[importlib.metadata.Distribution] | None = None) -> list[Conflict]:
    """Every module of ours with more than one owner. Reads the file lists of a handful of distributions only."""
    owners: dict[str, set[str]] = {}
    for one in importlib.metadata.distributions() if distributions is None else distributions:
        name = (one.name or "").lower().replace("_", "-")
        module = next((module for start, module in _OWNED.items() if name.startswith(start)), None)
        if module is not None and _installs(one, module):
            owners.setdefault(module, set()).add(name)
    return [_conflict(module, sorted(names)) for module, names in sorted(owners.items()) if len(names) > 1]


def _installs(distribution: importlib.metadata.Distribution, module: str) -> bool:
    """True where the distribution's list has the module's own `__init__.py` (plug-ins install beside it only)."""
    return any(file.as_posix() == f"{module}/__init__.py" for file in distribution.files or ())


def _conflict(module: str, names: list[str]) -> Conflict:
    keep = next((wanted for wanted in _WANTED[module] if wanted in names), names[0])
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    return Conflict(
        module=module,
        distributions=tuple(names),
        problem=f"{listed} install the same module '{module}' into this environment; which one runs is left to chance.",
        repair=f"Repair: pip uninstall -y {' '.join(names)} && pip install --force-reinstall --no-deps {keep}",
    )
