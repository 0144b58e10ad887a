"""From the words of `livematte engine build` to plans: which network, shapes and chips, and what is shown meanwhile."""

from __future__ import annotations

import importlib.util
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from livematte.cli.console import Console
from livematte.cli.engine_progress import watching
from livematte.config import ModelSettings, Quality
from livematte.errors import DeviceError, UsageError
from livematte.models.manifest import FixedSize, NativeRatioSize, SizePolicy
from livematte.models.sizes import NetworkSize, network_size, parse_size
from livematte.reporting import Reporter
from livematte.runtimes.plans import PlanStore

if TYPE_CHECKING:
    from livematte.models.contract import Contract
    from livematte.models.load import FoundNetwork
    from livematte.runtimes.cuda.base import DeviceFacts
    from livematte.runtimes.tensorrt.library import Library, RuntimeName
    from livematte.runtimes.tensorrt.opening import PlanWish

Size = tuple[int, int]
"""(width, height) in px."""

_USUAL_PICTURE: Size = (1920, 1080)
"""16:9, as nearly every camera and clip; a picture of another aspect has another input size, and another plan."""


@dataclass(frozen=True)
class Order:
    """What was asked for, in the person's words."""

    model: str
    precision: str
    shapes: tuple[str, ...]
    quality: Quality
    runtime: str
    targets: tuple[str, ...]
    device: str


@dataclass(frozen=True)
class PlanOrder:
    """One plan to build."""

    wish: PlanWish
    shape: str
    """For persons: `256x448`, or `256x448:512x896:1024x1792`."""

    @property
    def name(self) -> str:
        """For the progress bar."""
        where = f" for {', '.join(self.wish.targets)}" if self.wish.targets else ""
        return f"{self.wish.name} {self.shape}{where}"


def orders_of(order: Order, *, reporter: Reporter) -> list[PlanOrder]:
    """Every plan that the words name: one a shape and chip.

    UsageError (2): words that cannot be meant, chips the library does not know, a size the network cannot take.
    ModelError (4), ModelMissing (4): the network. DeviceError (5): the library or the GPU is not there.
    """
    shapes = [parse_shape(word) for word in order.shapes]
    _check_targets(order)
    runtime = choose_runtime(order.runtime, order.targets)
    if order.runtime == "auto":
        reporter.note(f"built with {runtime} (--runtime names another one).")
    found = _find(order, runtime, reporter)
    every: list[tuple[Size, ...] | None] = [*shapes] or [None]
    wishes = [_wish(found, runtime, sizes, order) for sizes in every]
    library, gpu, targets = _where(order, runtime)
    library.check_targets(targets)
    return [_placed(one, gpu, chip) for one in wishes for chip in targets or ("",)]


def _find(order: Order, runtime: RuntimeName, reporter: Reporter) -> FoundNetwork:
    """The network's file, as a run with the same options would find it."""
    from livematte.models.load import find_network

    settings = ModelSettings.model_validate(
        {"model": order.model, "precision": order.precision, "runtime": runtime, "device": order.device}
    )
    return find_network(settings, reporter=reporter)


def build_one(order: PlanOrder, *, store: PlanStore, rebuild: bool, console: Console) -> dict[str, Any]:
    """Build a plan, or find it in the cache; what the summary says of it."""
    from livematte.runtimes.tensorrt.opening import obtain

    with watching(console, order.name) as progress:
        got = obtain(order.wish, store=store, reporter=console, progress=progress, rebuild=rebuild)
    path = store.path_of(got.key)
    return {
        "id": got.key.id,
        "model": order.wish.name,
        "runtime": got.key.runtime,
        "runtime_version": got.key.runtime_version,
        "precision": got.key.precision,
        "shape": order.shape,
        "targets": list(got.key.targets),
        "gpu": got.key.gpu,
        "bytes": len(got.plan),
        "path": str(path),
        "kept": path.is_file(),
        "from_cache": got.from_cache,
        "seconds": round(got.seconds, 3),
        "notes": {name: value for name, value in got.facts.items() if name != "islands"},
    }


def parse_shape(word: str) -> tuple[Size, ...]:
    """One size from `256x448`, or three (least, best, most) with colons. UsageError says the form."""
    try:
        sides = [parse_size(part) for part in word.split(":")]
    except UsageError:
        sides = []
    if len(sides) not in (1, 3):
        raise UsageError(
            f"--shape cannot be '{word}'. It is HEIGHTxWIDTH of the network's input in px, such as 256x448, or three "
            "of them for a range, least:best:most, such as 256x448:512x896:1024x1792."
        )
    sizes = tuple((width, height) for height, width in sides)
    for side in (0, 1):
        if sorted(size[side] for size in sizes) != [size[side] for size in sizes]:
            raise UsageError(f"--shape '{word}' must grow from its first to its last size, in height and in width.")
    return sizes


def parse_bytes(word: str) -> int:
    """Bytes from `2GB`, `500 MB`, `1.5GiB`. UsageError says the form."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([kmgt]?)(i?)b?\s*", word.lower())
    size = float(found[1]) * (1024 if found[3] else 1000) ** " kmgt".index(found[2] or " ") if found else math.inf
    if not math.isfinite(size):
        raise UsageError(f"--max-size cannot be '{word}'. It is a size with its unit: 2GB, 500MB.")
    return int(size)


def choose_runtime(runtime: str, targets: tuple[str, ...]) -> RuntimeName:
    """What `auto` means here. DeviceError (5) where neither library is installed, with both commands."""
    if runtime == "tensorrt":
        return "tensorrt"
    if runtime == "tensorrt-rtx" or targets:
        return "tensorrt-rtx"
    from livematte.runtimes.tensorrt.library import DIALECTS, INSTALL

    for dialect in DIALECTS:
        if importlib.util.find_spec(dialect.module) is not None:
            return dialect.runtime
    raise DeviceError(
        "no library that compiles networks for NVIDIA GPUs is installed. For GeForce and RTX GPUs: "
        f"{INSTALL['tensorrt-rtx']}. For data-centre GPUs: {INSTALL['tensorrt']}"
    )


def _check_targets(order: Order) -> None:
    """What no library needs to be asked for. UsageError."""
    if order.targets and order.runtime == "tensorrt":
        raise UsageError(
            f"--target names {', '.join(order.targets)}, and --runtime tensorrt builds for the GPU of this machine "
            "alone, because it measures its kernels there. Leave --target out, or take --runtime tensorrt-rtx, which "
            "builds for GeForce and RTX GPUs without having them."
        )
    odd = next((chip for chip in order.targets if re.fullmatch(r"sm_\d{2,3}", chip) is None), None)
    if odd is not None:
        raise UsageError(
            f"--target cannot be '{odd}'. It is a chip's compute capability, such as sm_89 (GeForce RTX 40) or sm_120 "
            "(RTX 50); several with commas."
        )


def _wish(
    found: FoundNetwork, runtime: RuntimeName, sizes: tuple[Size, ...] | None, order: Order
) -> tuple[PlanWish, str]:
    """What is wanted of one shape, still without a place; and the shape's words."""
    from livematte.runtimes.graphs import facts_of
    from livematte.runtimes.tensorrt.opening import PlanWish
    from livematte.runtimes.tensorrt.profile import Profile

    contract = found.contract
    spec = contract.graph.input
    assert spec is not None  # tie() made sure
    if sizes is None:
        chosen = [network_size(spec.size, *_USUAL_PICTURE, quality=order.quality)]
    else:
        chosen = [_fitting(spec.size, size) for size in sizes]
    every = [contract.shapes(size) for size in chosen]
    best = len(chosen) // 2
    facts, shapes = facts_of(contract, chosen[best])
    dynamic = None
    if len(chosen) == 3:
        _refuse_range(contract)
        dynamic = Profile.dynamic(*every)
    wish = PlanWish(
        onnx=found.path,
        runtime=runtime,
        precision=found.computes_in or found.precision,
        shapes=shapes,
        facts=facts,
        dynamic=dynamic,
        label=found.manifest.name,
    )
    return wish, ":".join(f"{size.height}x{size.width}" for size in chosen)


def _fitting(policy: SizePolicy, size: Size) -> NetworkSize:
    """The input of a size that was asked for. UsageError where the network cannot take it."""
    try:
        return network_size(policy, *size, override=size)
    except UsageError as error:
        raise UsageError(f"--shape {size[1]}x{size[0]} (height x width) does not fit: {error}") from error


def _refuse_range(contract: Contract) -> None:
    """UsageError for networks whose graph must be made for one size."""
    spec = contract.graph.input
    is_single = spec is not None and isinstance(spec.size, FixedSize | NativeRatioSize)
    if is_single or contract.states or contract.fixed_size() is not None:
        raise UsageError(
            "--shape names a range, and this network is built for one size at a time: it has a fixed size, scales "
            "inside, or keeps states of its picture's size. Give --shape HEIGHTxWIDTH; it may repeat."
        )


def _where(order: Order, runtime: RuntimeName) -> tuple[Library, DeviceFacts | None, tuple[str, ...]]:
    """The library, the GPU that a plan is tuned on (tensorrt), and the chips that plans are for (tensorrt-rtx)."""
    from livematte.runtimes.tensorrt.library import load

    library = load(runtime)
    if order.targets:
        return library, None, order.targets
    try:
        facts = _gpu(order.device)
    except DeviceError as error:
        if not library.dialect.has_targets:
            raise
        raise UsageError(
            f"--target is missing. Name the chips to build for, such as --target sm_89; {library.name} knows "
            f"{', '.join(library.targets())}. Without it the chip of this machine's GPU is taken, and {_lower(error)}"
        ) from error
    if library.dialect.has_targets:
        return library, None, (f"sm_{facts.capability[0]}{facts.capability[1]}",)
    return library, facts, ()


def _lower(error: Exception) -> str:
    """An error's words, as they follow a comma."""
    text = str(error)
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def _gpu(device: str) -> DeviceFacts:
    """The facts of `cuda` or `cuda:1`. UsageError for other words, DeviceError (5) where it is not there."""
    from livematte.runtimes.cuda.choice import open_driver

    found = re.fullmatch(r"cuda(?::(\d{1,3}))?", device)
    if found is None:
        raise UsageError(
            f"--device cannot be '{device}'. Plans are for NVIDIA GPUs: cuda, or cuda:1 for the second one."
        )
    driver = open_driver("auto", int(found[1] or 0))
    try:
        return driver.device
    finally:
        driver.close()


def _placed(made: tuple[PlanWish, str], gpu: DeviceFacts | None, chip: str) -> PlanOrder:
    wish, shape = made
    return PlanOrder(replace(wish, gpu=gpu, targets=(chip,) if chip else ()), shape)
