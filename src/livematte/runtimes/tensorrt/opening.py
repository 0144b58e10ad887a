"""From a network to its plan: the graph prepared, the key made, the cache asked, and built where it has none.

`livematte engine build` and the engines themselves go through here, so that they mean the same plan.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from livematte.errors import SinkError, UsageError
from livematte.reporting import Reporter
from livematte.runtimes.cuda.base import DeviceFacts
from livematte.runtimes.graphs import GraphFacts, Prepared, prepare
from livematte.runtimes.graphs.facts import Precision
from livematte.runtimes.onnx_header import read_header
from livematte.runtimes.plans import Miss, PlanKey, PlanStore
from livematte.runtimes.tensorrt.builder import build_plan
from livematte.runtimes.tensorrt.library import Library, RuntimeName, load
from livematte.runtimes.tensorrt.profile import Profile, Shape
from livematte.runtimes.tensorrt.request import BuildOptions, BuildRequest, Built, Progress, nothing

_GRAPHS: dict[str, Precision] = {"fp32": "fp32", "tf32": "fp32", "mixed": "fp32", "fp16": "fp16", "int8": "int8"}
"""A plan's precision -> the graph that it is built from; an fp32 graph keeps the file's own types."""


@dataclass(frozen=True)
class PlanWish:
    """Which plan is wanted."""

    onnx: Path
    """The network's own file."""
    runtime: RuntimeName
    precision: str
    """`request.PRECISIONS`."""
    shapes: Mapping[str, Shape]
    """Of every input, as `Contract.shapes` gives them for one picture size."""
    facts: GraphFacts = field(default_factory=GraphFacts)
    targets: tuple[str, ...] = ()
    """tensorrt-rtx: compute capabilities as `sm_89`; empty: every RTX chip from Ampere on."""
    gpu: DeviceFacts | None = None
    """tensorrt: the GPU that the plan is for, and is built on."""
    options: BuildOptions = field(default_factory=BuildOptions)
    dynamic: Profile | None = None
    """A range of shapes instead of one; the graph then keeps its free sides."""
    label: str = ""
    """The network's name, for messages and notes; not part of the key."""

    @property
    def name(self) -> str:
        """For messages."""
        return self.label or self.onnx.stem

    def graph_facts(self) -> GraphFacts:
        """The facts in the one form that makes one key: constants as float32 has them, types as the file has them."""
        constants = {name: float(np.float32(value)) for name, value in self.facts.constants.items()}
        states = {source for source, _ in self.facts.states}
        pictures = [spec for spec in read_header(self.onnx).inputs if spec.name not in states and len(spec.shape) == 4]
        is_half = bool(pictures) and pictures[0].dtype == "float16"
        return replace(self.facts, constants=constants, io="fp16" if is_half else "fp32")


@dataclass(frozen=True)
class Obtained:
    """A plan, and where it came from."""

    plan: bytes
    key: PlanKey
    from_cache: bool
    reason: str
    """Why it had to be built; empty where it was there."""
    seconds: float
    """Of the build; 0 where it was there."""
    facts: Mapping[str, Any]
    """Notes of the build: `model`, `layers`, `islands`, `seconds`, `builder`..."""


def obtain(
    wish: PlanWish,
    *,
    store: PlanStore,
    reporter: Reporter,
    progress: Progress = nothing,
    rebuild: bool = False,
) -> Obtained:
    """The plan of a wish, from the cache or built now, which is said with the reason.

    rebuild: whatever the cache has. Errors as `builder.build_plan` and `graphs.prepare`. Where the cache cannot be
    written the plan is used all the same, and a warning says so.
    """
    library = load(wish.runtime)
    library.check_targets(wish.targets)
    prepared = prepared_graph(wish, reporter)
    key = wish_key(wish, prepared)
    found = Miss("a new build was asked for", "absent") if rebuild else store.get(key)
    if not isinstance(found, Miss):
        return Obtained(found.plan, key, True, "", 0.0, found.header.notes)
    ranged = None if rebuild else ranged_plan(wish, store)
    if ranged is not None:
        return ranged
    with store.building(key, what=f"the {wish.runtime} plan of {wish.name}", reporter=reporter) as had_to_wait:
        again = found if rebuild and not had_to_wait else store.get(key)
        if not isinstance(again, Miss):
            return Obtained(again.plan, key, True, "", 0.0, again.header.notes)
        reporter.note(f"{wish.name} for {library.name} in {wish.precision}: {again.reason}. It is built now.")
        request = build_request(wish, prepared, store)
        built = build_plan(request, progress=progress)
        notes = _notes(wish, prepared, library, built)
        try:
            store.put(key, built.plan, notes)
        except SinkError as error:
            reporter.warn(f"{error} The plan is used, and built again next time.")
    return Obtained(built.plan, key, False, again.reason, built.seconds, notes)


def is_kept(wish: PlanWish, store: PlanStore, reporter: Reporter | None = None) -> bool:
    """Whether `obtain` would build nothing. The graph is prepared if it is not yet."""
    key = wish_key(wish, prepared_graph(wish, reporter))
    return not isinstance(store.get(key), Miss) or ranged_plan(wish, store) is not None


def prepared_graph(wish: PlanWish, reporter: Reporter | None = None) -> Prepared:
    """The graph that the plan is built from: static, or with free sides for a dynamic profile."""
    return prepare(
        wish.onnx,
        precision=_GRAPHS[wish.precision],
        shapes=None if wish.dynamic else dict(wish.shapes),
        for_="tensorrt",
        facts=wish.graph_facts(),
        reporter=reporter,
    )


def wish_key(wish: PlanWish, prepared: Prepared) -> PlanKey:
    """Everything that goes into the plan. DeviceError (5) where the library is missing: its version is part of it."""
    library = load(wish.runtime)
    gpu = ""
    if wish.gpu is not None and not library.dialect.has_targets:
        gpu = f"{wish.gpu.name} sm_{wish.gpu.capability[0]}{wish.gpu.capability[1]}"
    return PlanKey(
        weights_sha256=_sha256(prepared.path),
        profile=_profile(wish, prepared).as_json(),
        precision=wish.precision,
        runtime=wish.runtime,
        runtime_version=library.version,
        options=wish.options.as_dict(),
        gpu=gpu,
        targets=wish.targets,
    )


def ranged_plan(wish: PlanWish, store: PlanStore) -> Obtained | None:
    """A plan for a range of shapes that takes those of this wish, where somebody built one."""
    if wish.dynamic is not None or wish.facts.states or wish.facts.constants:
        return None
    for entry in store.entries():
        key = None if entry.header is None else entry.header.key
        if key is None or key.part != "plan" or key.runtime != wish.runtime or key.precision != wish.precision:
            continue
        try:
            profile = Profile.from_dict(key.shapes())
        except UsageError:  # shapes that no version of ours writes
            continue
        if profile.is_static or not profile.takes(wish.shapes):
            continue
        wider = replace(wish, dynamic=profile)
        found = store.get(key) if wish_key(wider, prepared_graph(wider)) == key else None
        if found is not None and not isinstance(found, Miss):
            return Obtained(found.plan, key, True, "", 0.0, found.header.notes)
    return None


def build_request(wish: PlanWish, prepared: Prepared, store: PlanStore) -> BuildRequest:
    """What the builder is told; the timing cache lies beside the plans."""
    options = wish.options
    if wish.runtime == "tensorrt" and options.timing_cache is None and wish.gpu is not None:
        gpu = hashlib.sha256(f"{wish.gpu.name} {wish.gpu.capability}".encode()).hexdigest()[:12]
        name = f"timing-{load(wish.runtime).version}-{gpu}.cache"
        options = replace(options, timing_cache=store.folder / name)
    return BuildRequest(
        onnx=prepared.path,
        runtime=wish.runtime,
        profile=_profile(wish, prepared),
        precision=wish.precision,
        targets=wish.targets,
        options=options,
        device=0 if wish.gpu is None else wish.gpu.ordinal,
    )


def _profile(wish: PlanWish, prepared: Prepared) -> Profile:
    return wish.dynamic or Profile.static(prepared.shapes or wish.shapes)


def _notes(wish: PlanWish, prepared: Prepared, library: Library, built: Built) -> dict[str, Any]:
    """For `livematte engine inspect`."""
    notes = {
        "model": wish.name,
        "file": wish.onnx.name,
        "builder": library.name,
        "seconds": round(built.seconds, 2),
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "islands": [list(pair) for pair in prepared.islands],
    }
    return notes | {key: value for key, value in built.facts.items() if key != "library"}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
