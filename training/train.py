"""The training loop: the same on a CPU and on a GPU."""

from __future__ import annotations

import copy
import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from training import checkpoints, losses, validation
from training.checkpoints import Progress
from training.composer import Batch, Composer
from training.network import Network
from training.pictures import Loaded, open_cache
from training.plan import Plan
from training.planner import Planner
from training.validation import HeldOut

WARM_UP_STEPS = 200
MAX_GRADIENT_NORM = 2.0
WEIGHT_DECAY = 0.01
LOG_STEPS = 50
CALIBRATION_BATCHES = 16
CALIBRATION = 999
"""In place of a restart's number, so that calibration sees other scenes than training."""
CPU_FRAMES_AT_ONCE = 2


@dataclass(frozen=True)
class Settings:
    """One run."""

    size: tuple[int, int] = (224, 384)
    """Height and width in pixels, multiples of 32; every eighth batch is upright."""
    batch: int = 16
    """Frames a step, the second frames of pairs included."""
    paired: int = 4
    """Scenes of a batch that are painted twice."""
    samples: int = 500_000
    """Frames after which the rate has fallen to its end."""
    minutes: float | None = None
    """... or the time after which it has, whichever comes first."""
    rate: float = 1e-3
    end_rate: float = 0.02
    """Of `rate`."""
    encoder_rate: float = 0.25
    """Of the decoder's rate: the encoder comes trained."""
    freeze: int = 2
    """Encoder stages that learn nothing; each saves its backward pass."""
    semantic: float = 0.4
    """See losses.Weights.semantic."""
    averaging: float = 0.998
    """Share of the averaged weights that a step leaves."""
    bf16: bool = False
    """Autocast to bfloat16."""
    workers: int = 1
    """Processes that plan scenes, and on a CPU paint them; a GPU wants eight."""
    seed: int = 0
    validate_samples: int = 8_000
    validate_size: tuple[int, int] = (224, 384)
    """The network's size in validation, so that stages of different sizes compare."""
    checkpoint_seconds: float = 120.0


class Plans(IterableDataset[Plan]):
    """Endless plans of batches; each worker draws its own."""

    def __init__(self, planner: Planner, settings: Settings, restart: int) -> None:
        self._planner, self._settings, self._restart = planner, settings, restart

    def __iter__(self) -> Iterator[Plan]:
        s = self._settings
        worker = get_worker_info()
        rng = np.random.default_rng([s.seed, self._restart, worker.id if worker else 0])
        while True:
            size = s.size[::-1] if rng.random() < 1 / 8 else s.size
            scenes = s.batch - s.paired
            yield self._planner.batch(rng, size, self._planner.kinds(rng, scenes), s.paired)


class Painted(IterableDataset[Batch]):
    """The same scenes, painted by the worker that planned them: on a CPU, beside the training process's threads."""

    def __init__(self, plans: Plans, cache: Path, seed: int) -> None:
        """cache: a folder for pictures.open_cache; each worker maps it itself, since it cannot be sent."""
        self._plans, self._cache, self._seed = plans, cache, seed

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        atlas = open_cache(self._cache, torch.device("cpu"), resident=True).atlas
        composer = Composer(atlas, self._seed + (worker.id if worker else 0), CPU_FRAMES_AT_ONCE)
        for plan in self._plans:
            yield composer.paint(plan)


class Trainer:
    """A run in a folder: `last.pt` (to resume), `best.pt` (weights chosen on validation), `log.jsonl`."""

    def __init__(
        self, data: Loaded, held_out: HeldOut, folder: Path, settings: Settings, report: Callable[[str], None]
    ) -> None:
        """`report` gets each line for a person to read."""
        self._settings, self._held_out, self._folder, self._report = settings, held_out, folder, report
        self._device = data.atlas.texels.device
        self._planner, self._data = Planner(data.catalogue), data
        torch.manual_seed(settings.seed)
        self._network = Network().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = self._network
        self._progress = Progress()
        self._stop = False

    def start(self, weights: Path | None, imagenet: Path | None) -> None:
        """Resume `last.pt` where the folder has one; else begin from `weights`, or `imagenet`'s encoder, or nothing."""
        self._folder.mkdir(parents=True, exist_ok=True)
        last = self._folder / "last.pt"
        if not last.exists() and imagenet is not None:
            self._network.encoder.load_imagenet(imagenet)
        if not last.exists() and weights is not None:
            checkpoints.load_weights(self._network, weights, self._typical_pictures())
        self._average = copy.deepcopy(self._network).eval().requires_grad_(False)
        self._network.encoder.freeze(self._settings.freeze)
        self._optimiser = _optimiser(self._network, self._settings)
        if last.exists():
            self._progress = checkpoints.load(last, self._network, self._average, self._optimiser)
            self._progress.restarts += 1
        self._network.train()

    def _typical_pictures(self) -> Iterator[Tensor]:
        batches = self._batches(CALIBRATION, workers=0)
        for _ in range(CALIBRATION_BATCHES):
            yield next(batches).rgb

    def _batches(self, restart: int, workers: int) -> Iterator[Batch]:
        """Painted batches on the device. A GPU paints them itself, from plans that CPU processes draw."""
        plans = Plans(self._planner, self._settings, restart)
        seed = self._settings.seed + 1000 * restart
        context = "spawn" if workers else None  # a fork of a process that has run OpenMP threads hangs
        if self._device.type == "cpu":
            painted = Painted(plans, self._data.folder, seed)
            yield from DataLoader(painted, batch_size=None, num_workers=workers, multiprocessing_context=context)
        else:
            composer = Composer(self._data.atlas, seed)
            for plan in DataLoader(plans, batch_size=None, num_workers=workers, multiprocessing_context=context):
                yield composer.paint(plan)

    def run(self) -> None:
        """Train to the end of the schedule, or until SIGTERM or Ctrl-C, after which it saves and returns."""
        s, p = self._settings, self._progress
        batches = self._batches(p.restarts, s.workers)
        averages = checkpoints.averaged_pairs(self._average, self._network)
        old = [signal.signal(sig, self._on_signal) for sig in (signal.SIGTERM, signal.SIGINT)]
        begun, saved, before = time.monotonic(), time.monotonic(), p.seconds
        sums: dict[str, Tensor] = {}
        while not self._stop and self._share() < 1:
            parts = self._step(next(batches))
            torch._foreach_lerp_(*averages, 1 - s.averaging)
            p.samples, p.steps = p.samples + s.batch, p.steps + 1
            p.seconds = before + time.monotonic() - begun
            sums = {k: sums[k] + v if k in sums else v.clone() for k, v in parts.items()}
            if p.steps % LOG_STEPS == 0:
                self._log({k: round(v.item() / LOG_STEPS, 5) for k, v in sums.items()})
                sums = {}
            if p.samples // s.validate_samples > (p.samples - s.batch) // s.validate_samples:
                self._validate()
            if time.monotonic() - saved > s.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
        if not self._stop:
            self._validate()
        self._save()
        for sig, handler in zip((signal.SIGTERM, signal.SIGINT), old, strict=True):
            signal.signal(sig, handler)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop = True

    def _share(self) -> float:
        """How much of the schedule is done, 0..1."""
        s, p = self._settings, self._progress
        return max(p.samples / s.samples, p.seconds / (s.minutes * 60) if s.minutes else 0.0)

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        s = self._settings
        rate = s.rate * (s.end_rate + (1 - s.end_rate) * 0.5 * (1 + math.cos(math.pi * self._share())))
        rate *= min(1.0, (self._progress.steps + 1) / WARM_UP_STEPS)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=s.bf16):
            logit, coarse = self._network(batch.rgb)
        weights = losses.Weights.semantic(s.semantic)
        pairs = (batch.first, batch.second)
        loss, parts = losses.total(logit.float(), [c.float() for c in coarse], batch.alpha, pairs, weights)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), MAX_GRADIENT_NORM)
        self._optimiser.step()
        return parts | {"loss": loss.detach()}

    def _validate(self) -> None:
        """Score the averaged weights; keep them when they are the best."""
        predict = validation.torch_predictor(self._average, self._device)
        figures = validation.score(predict, self._held_out, self._settings.validate_size)
        self._log({"validation": figures})
        if figures["MAD"] < self._progress.best:
            self._progress.best = figures["MAD"]
            checkpoints.save_weights(self._folder / "best.pt", self._average)
            facts = asdict(self._progress) | {"size": self._settings.validate_size} | figures
            (self._folder / "best.json").write_text(json.dumps(facts, indent=1), "utf-8")

    def _save(self) -> None:
        path = self._folder / "last.pt"
        checkpoints.save(path, self._network, self._average, self._optimiser, self._progress)

    def _log(self, facts: Mapping[str, object]) -> None:
        p = self._progress
        row = {"samples": p.samples, "seconds": round(p.seconds, 1)} | dict(facts)
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        self._report(" ".join(f"{key} {value}" for key, value in row.items()))


def _optimiser(network: Network, settings: Settings) -> torch.optim.Optimizer:
    """AdamW; no decay on biases and norms, the encoder at its own rate."""
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        groups.setdefault((name.startswith("encoder."), parameter.ndim > 1), []).append(parameter)
    rows = [
        {
            "params": parameters,
            "weight_decay": WEIGHT_DECAY if heavy else 0.0,
            "scale": settings.encoder_rate if encoder else 1.0,
        }
        for (encoder, heavy), parameters in groups.items()
    ]
    return torch.optim.AdamW(rows, lr=settings.rate, fused=True)
