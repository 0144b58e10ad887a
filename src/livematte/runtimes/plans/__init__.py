"""The cache of built plans: compiled networks for NVIDIA GPUs, which take seconds to minutes to build.

Note [Plans are programs]
    A plan is machine code that the library runs as it finds it: whoever can write a plan can run anything as the user.
    So plans are read from one folder only, which nobody else can open or write (`folder.py`); they are never taken
    from `--model` or any other path; and a header of ours, with the key of all that went in, the length and the
    sha256, is checked before the library sees a byte (`header.py`). The header guards against files cut short,
    stale or foreign; the folder's rights guard against people.

Nothing here imports a runtime, so the plans can be listed on a machine that cannot run them.
"""

from __future__ import annotations

from livematte.runtimes.plans.header import Notes, PlanHeader
from livematte.runtimes.plans.key import PlanKey, this_os
from livematte.runtimes.plans.pruning import Pruning, Removed, prune
from livematte.runtimes.plans.store import Entry, Miss, PlanBytes, PlanStore

__all__ = [
    "Entry",
    "Miss",
    "Notes",
    "PlanBytes",
    "PlanHeader",
    "PlanKey",
    "PlanStore",
    "Pruning",
    "Removed",
    "prune",
    "this_os",
]
