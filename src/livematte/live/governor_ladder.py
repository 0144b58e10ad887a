"""The ladder that a governor goes: made from the networks that are ready, for the pictures of this source.

Note [Order of the ladder]
    Half of the rate comes before the smallest size, by measurement. livematte-s on five composites at 1280x720, MAD
    x1e3 of each matte against its own frame's true alpha, and flicker (dtSSD x1e2 between the frames shown):

        384x224 every frame 12.5 / 6.7    320x192 every frame 14.3 / 7.2    288x160 every frame 16.8 / 7.6
        384x224 every 2nd   12.4 / 7.8    320x192 every 2nd   14.1 / 8.4    384x224 every 3rd   12.2 / 8.3

    384x224 on every 2nd frame is less work than 288x160 on every one (the rest of matting is halved too), and its matte
    is as good as ever; 288x160 errs a third more than 384x224 (a scarf: 19.6 against 10.0) for a quarter of 320x192's
    work. So it is the last resort, below every 3rd frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from livematte.config import Quality
from livematte.live.governor import Rung
from livematte.models.load import LoadedModel
from livematte.models.manifest import AreaSize, NativeRatioSize, PerQuality, ShortSideSize, SizePolicy
from livematte.models.sizes import NetworkSize, network_size

_SMALLER = 0.7
_SMALLEST = 0.5
"""Pixels below `fast`, as shares of its own: at half, a face at arm's length is still 60 px of a 288x160 input."""
_WORTH_A_STEP = 0.85
"""A step of the rate leaves at most this share of the network's work: small ones only keep a slow machine waiting."""
_RATES = (1, 2, 3)
"""Every frame, every 2nd, every 3rd: 10 pictures a second of a 30-fps camera are the least that look alive."""
_REFINER_SHARE = 0.1
"""Work a pixel of the whole picture against one of the inner picture, for networks that scale inside (RVM)."""
_QUALITIES: tuple[Quality, ...] = ("best", "good", "fast")


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A network that could take over at once."""

    loaded: LoadedModel
    unit_ms: float
    """Milliseconds that `work` of 1 takes here, measured while it was warmed."""


def work(size: NetworkSize) -> float:
    """Work of a network at this size, in pixels."""
    if size.ratio >= 1.0:
        return float(size.width * size.height)
    return size.width * size.height * (size.ratio**2 + _REFINER_SHARE)


def make_ladder(models: Sequence[ReadyModel], width: int, height: int, *, quality: Quality) -> tuple[Rung, ...]:
    """Best rung first, each with less work a source frame than the one before.

    The first model begins at `quality`, or has its one size where `network_size` was given; the others come below it
    with `fast` and less. Then the rate: every 2nd and every 3rd frame of the lightest network, at the sizes that are
    clearly less work than what came before; its smallest size comes last (Note [Order of the ladder]). `width` and
    `height` are the picture's.
    """
    sizes: list[Rung] = []
    for number, model in enumerate(models):
        for rung in _sizes(model, width, height, quality if number == 0 else "fast"):
            if not sizes or rung.cost < sizes[-1].cost:
                sizes.append(rung)
    lightest = [rung for rung in sizes if rung.model == sizes[-1].model]
    rungs = list(sizes)
    for every in _RATES[1:]:
        for rung in lightest:
            if rung.cost / every < _WORTH_A_STEP * rungs[-1].cost / rungs[-1].every:
                rungs.append(replace(rung, every=every))
    model = next(one for one in models if one.loaded.manifest.name == rungs[-1].model)
    smallest = [rung for rung in _smaller_rungs(model, width, height, _SMALLEST) if rung.cost < lightest[-1].cost]
    return (*rungs, *(replace(rung, every=_RATES[-1]) for rung in smallest))


def _sizes(model: ReadyModel, width: int, height: int, quality: Quality) -> Iterator[Rung]:
    """Every size that the manifest, and the file, permit; largest first."""
    contract = model.loaded.contract
    spec = contract.graph.input
    assert spec is not None  # tie() made sure
    pinned = model.loaded.settings.network_size
    if pinned is not None or contract.fixed_size() is not None or spec.size.policy == "fixed":
        from livematte.models.sizes import parse_size

        override = parse_size(pinned) if pinned else None
        size = network_size(spec.size, width, height, quality=quality, override=override)
        yield _rung(model, size, quality, pinned)
        return
    for level in _QUALITIES[_QUALITIES.index(quality) :]:
        yield _rung(model, network_size(spec.size, width, height, quality=level), level, None)
    yield from _smaller_rungs(model, width, height, _SMALLER)


def _smaller_rungs(model: ReadyModel, width: int, height: int, share: float) -> Iterator[Rung]:
    """The size with this share of the pixels of `fast`, where the network may have another size than its own."""
    contract = model.loaded.contract
    spec = contract.graph.input
    assert spec is not None  # tie() made sure
    if model.loaded.settings.network_size is not None or contract.fixed_size() is not None:
        return
    policy = _smaller(spec.size, share)
    if policy is not None:
        size = network_size(policy, width, height, quality="fast")
        yield _rung(model, size, "fast", f"{size.width}x{size.height}")


def _smaller(policy: SizePolicy, share: float) -> SizePolicy | None:
    """The same policy with less pixels than `fast`. Networks that take the whole picture have nothing smaller."""
    if isinstance(policy, AreaSize):
        return policy.model_copy(update={"pixels": _all(policy.pixels.fast * share)})
    if isinstance(policy, ShortSideSize):
        return policy.model_copy(update={"short_side": _all(policy.short_side.fast * share**0.5)})
    assert isinstance(policy, NativeRatioSize) or policy.policy == "fixed"
    return None


def _all(value: float) -> PerQuality:
    return PerQuality(fast=value, good=value, best=value)


def _rung(model: ReadyModel, size: NetworkSize, quality: Quality, override: str | None) -> Rung:
    inner = (round(size.width * size.ratio), round(size.height * size.ratio))
    return Rung(
        model=model.loaded.manifest.name,
        size=f"{inner[0]}x{inner[1]}",
        every=1,
        cost=max(work(size) * model.unit_ms, 1e-9),
        quality=quality,
        network_size=override,
    )
