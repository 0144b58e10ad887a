"""The whole device path: alpha against the shipped path, memory over many frames, and frames a second."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proofs import NotRun, Result, is_rehearsal, keep, open_gpu
from proofs.clips import clip
from proofs.decode import bare_fps, open_surfaces
from proofs.engines import best_network

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "2160p": (3840, 2160)}
SHIPPED_MEAN = 4e-3
"""Mean difference of alpha from the shipped path's, whose libswscale pass rounds its own way."""
SOMEBODY = 0.05
"""Mean alpha of a clip with a person in it."""
LEAK_FRAMES = 5000
LEAK_BYTES = 16 << 20
DEVICE_SHARE = 0.9
FOUR_AT_ONCE = 2.5
PACED_SECONDS = 4.0
NO_DEVICE = 5
"""Exit code of a command whose accelerator is not there."""


@dataclass
class Run:
    """An open device path over one clip."""

    matting: Any
    source: Any
    driver: Any
    runtime: str
    loaded: Any

    def frames(self) -> Iterator[Any]:
        """The clip's frames, without sound."""
        from livematte.frames import Frame

        return (item for item in self.source if isinstance(item, Frame))

    def matted(self, frames: Iterable[Any]) -> Iterator[Any]:
        """Each frame's matte, in order."""
        for frame in frames:
            yield from self.matting.push([frame])
        yield from self.matting.flush()


@contextmanager
def device_path(
    path: Path, *, precision: str, surfaces: bool, foreground: bool = True, slots: int = 3
) -> Iterator[Run]:
    """The device path with the fastest network of this precision, over NVDEC's surfaces or uploaded pictures."""
    from livematte.config import InputSettings, MattingSettings
    from livematte.matting.device.matting import DeviceMatting
    from livematte.reporting import ListReporter
    from livematte.sources import open_source

    with ExitStack() as stack:
        driver, kernels = open_gpu()
        stack.callback(driver.close)
        stack.callback(kernels.close)
        runtime, loaded = stack.enter_context(best_network("fp32" if is_rehearsal() else precision))
        if surfaces:
            source = open_surfaces(path, driver)
        else:
            source = open_source(str(path), InputSettings(), reporter=ListReporter())
        stack.callback(source.close)
        matting = DeviceMatting(
            loaded, driver, kernels, MattingSettings(subject="all"), info=source.info, wide_alpha=False,
            wants_foreground=foreground, slots=slots,
        )  # fmt: skip
        stack.callback(matting.close)
        yield Run(matting, source, driver, runtime, loaded)


def alpha() -> Result:
    """Alpha of the device path, fp16 and surfaces where they are, against the processor's path on the same clip."""
    with clip(1280, 720, 120) as path:
        wanted = _shipped(path)
        found: dict[str, Any] = {}
        for name, surfaces in (("uploaded", False), ("surfaces", True)):
            try:
                with device_path(path, precision="fp16", surfaces=surfaces) as device:
                    alphas = [one.matte.alpha.copy() for one in device.matted(device.frames())]
                    runtime = device.runtime
            except NotRun as reason:
                found[name] = f"not run: {reason}"
                continue
            found[name] = {"runtime": runtime, **_compared(alphas, wanted)}
            keep(f"alpha-{name}", alpha=np.stack(alphas[:2]), wanted=np.stack(wanted[:2]))
    rows = [row for row in found.values() if isinstance(row, dict)]
    if not rows:
        raise NotRun("; ".join(f"{name}: {why}" for name, why in found.items()))
    met = (
        None
        if is_rehearsal()
        else all(row["mean"] <= SHIPPED_MEAN and row["same_count"] and row["mean_alpha"] > SOMEBODY for row in rows)
    )
    return {"met": met, "goal": SHIPPED_MEAN, **found}


def _shipped(path: Path) -> list[np.ndarray]:
    from livematte.config import InputSettings, MattingSettings, ModelSettings
    from livematte.frames import Frame
    from livematte.matting.host import HostMatting
    from livematte.models.load import load_model
    from livematte.models.session import Session
    from livematte.reporting import ListReporter
    from livematte.sources import open_source

    reporter = ListReporter()
    source = open_source(str(path), InputSettings(), reporter=reporter)
    loaded = load_model(ModelSettings(device="cpu"), reporter=reporter)
    matting = HostMatting(
        Session(loaded), MattingSettings(subject="all"), info=source.info, wide_alpha=False, wants_foreground=False,
        reporter=reporter,
    )  # fmt: skip
    frames = [item for item in source if isinstance(item, Frame)]
    matted = [one for frame in frames for one in matting.push([frame])] + matting.flush()
    alphas = [one.matte.alpha.copy() for one in matted]
    matting.close()
    loaded.close()
    source.close()
    return alphas


def _compared(alphas: list[np.ndarray], wanted: list[np.ndarray]) -> dict[str, Any]:
    apart = [np.abs(a.astype(np.float32) - b) / 255 for a, b in zip(alphas, wanted, strict=False)]
    changes = [
        (np.diff(np.stack(pair).astype(np.float32), axis=0) ** 2).mean() ** 0.5
        for series in (alphas, wanted)
        for pair in itertools.pairwise(series)
    ]
    half = len(changes) // 2
    return {
        "mean": float(np.mean(apart)), "largest": float(np.max(apart)),
        "share_over_0.05": float(np.mean([np.mean(one > 0.05) for one in apart])),
        "flicker_ratio": float(np.mean(changes[:half]) / max(1e-9, np.mean(changes[half:]))),
        "mean_alpha": float(np.mean(wanted)) / 255, "frames": len(alphas), "same_count": len(alphas) == len(wanted),
    }  # fmt: skip


def leak() -> Result:
    """Device and host memory after 5,000 frames against after the first 500."""
    count = 40 if is_rehearsal() else LEAK_FRAMES
    with clip(1280, 720, 60) as path, device_path(path, precision="fp16", surfaces=False) as device:
        frames = list(device.frames())
        marks: list[tuple[int, int]] = []
        done = 0
        for _ in device.matted(_again(frames, count)):
            done += 1
            if done in (count // 10, count - 8):
                marks.append((device.driver.free_bytes(), _resident_bytes()))
        runtime = device.runtime
    (free_first, held_first), (free_last, held_last) = marks
    lost, grown = free_first - free_last, held_last - held_first
    return {
        "met": None if is_rehearsal() else lost <= LEAK_BYTES and grown <= LEAK_BYTES, "frames": done,
        "device_bytes": lost, "host_bytes": grown, "runtime": runtime,
    }  # fmt: skip


def _again(frames: list[Any], count: int) -> Iterator[Any]:
    """Frames over and over, with times that rise."""
    from dataclasses import replace

    from livematte.frames import Timestamp

    step = frames[1].time.pts - frames[0].time.pts
    for index in range(count):
        frame = frames[index % len(frames)]
        yield replace(frame, index=index, time=Timestamp(index * step, frame.time.time_base))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def speed() -> Result:
    """Frames a second, saturated and paced, at three sizes, beside the network alone and bare decoding; copies."""
    rows: dict[str, Any] = {}
    for name, (width, height) in SIZES.items():
        if is_rehearsal() and name != "720p":
            continue
        with clip(width, height, 240 if height < 2000 else 90) as path:
            for source, surfaces in (("uploaded", False), ("surfaces", True)):
                try:
                    rows[f"{name} {source}"] = _speed(path, surfaces)
                except NotRun as reason:
                    rows[f"{name} {source}"] = f"not run: {reason}"
    ran = [row for row in rows.values() if isinstance(row, dict)]
    if not ran:
        raise NotRun("; ".join(f"{name}: {why}" for name, why in rows.items()))
    met = None if is_rehearsal() else all(row["share_of_network"] >= DEVICE_SHARE for row in ran if row["is_judged"])
    return {"met": met, "share_goal": DEVICE_SHARE, "rows": rows}


def _speed(path: Path, surfaces: bool) -> dict[str, Any]:
    with device_path(path, precision="fp16", surfaces=surfaces) as device:
        frames = device.frames() if surfaces else iter(list(device.frames()))
        first = list(itertools.islice(frames, 4))
        for frame in first:
            device.matting.push([frame])
        begin = time.perf_counter()
        count = sum(1 for _ in device.matted(frames))
        fps = count / (time.perf_counter() - begin)
        network = _network_fps(device)
        copies = vars_of(device.matting.copies)
        runtime, driver, info = device.runtime, device.driver, device.source.info
        decode = bare_fps(path, driver) if surfaces else None
    slower = min(one for one in (network, decode) if one is not None)
    return {
        "fps": round(fps, 1), "network_fps": round(network, 1), "decode_fps": decode,
        "share_of_network": round(fps / slower, 3), "is_judged": surfaces or info.height < 2000, "copies": copies,
        "frames": count, "runtime": runtime,
        "paced_ms": None if is_rehearsal() else _paced(path, surfaces),
    }  # fmt: skip


def vars_of(copies: Any) -> dict[str, Any]:
    """What the matting counted, as plain values."""
    return {name: getattr(copies, name) for name in getattr(copies, "__dataclass_fields__", {}) or vars(copies)}


def _network_fps(device: Run) -> float:
    from proofs.networks import alone

    return 1000 / max(1e-6, alone(device.loaded, device.driver)["ms"])


def _paced(path: Path, surfaces: bool) -> dict[str, float]:
    """Milliseconds from a frame's hand-over to its matte, at 30 a second with one slot: median and 99th per cent."""
    with device_path(path, precision="fp16", surfaces=surfaces, slots=1) as device:
        taken, due = [], time.perf_counter()
        for frame in itertools.islice(device.frames(), int(30 * PACED_SECONDS)):
            time.sleep(max(0.0, due - time.perf_counter()))
            begin = time.perf_counter()
            device.matting.push([frame])
            taken.append(1000 * (time.perf_counter() - begin))
            due += 1 / 30
    return {"median": round(float(np.median(taken[5:])), 3), "p99": round(float(np.percentile(taken[5:], 99)), 3)}


def convert() -> Result:
    """`livematte convert` to the null sink: one file, and four at once."""
    if is_rehearsal():
        raise NotRun("this is a rehearsal; the command runs on the real device alone")
    with clip(1920, 1080, 600) as path:
        one = _converted([path])
        four = _converted([path] * 4)
    failed = [run for run in (*one, *four) if "fps" not in run]
    if failed and failed[0]["code"] == NO_DEVICE:
        raise NotRun(failed[0]["said"])
    if failed:
        raise RuntimeError(f"convert --device cuda ended with {failed[0]['code']}: {failed[0]['said']}")
    together = sum(run["frames"] for run in four) / max(run["wall"] for run in four)
    alone = one[0]["frames"] / one[0]["wall"]
    return {
        "met": together >= FOUR_AT_ONCE * alone, "one_fps": round(one[0]["fps"], 1), "one_wall_fps": round(alone, 1),
        "four_wall_fps": round(together, 1), "goal": FOUR_AT_ONCE, "status": one[0].get("status"),
    }  # fmt: skip


def _converted(paths: list[Path], device: str = "cuda") -> list[dict[str, Any]]:
    begin = time.perf_counter()
    command = [sys.executable, "-m", "livematte", "convert", "--format", "null", "--device", device, "--json"]
    running = [
        subprocess.Popen([*command, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for path in paths
    ]
    results = []
    for child in running:
        output, errors = child.communicate()
        wall = time.perf_counter() - begin
        lines = [line for line in output.splitlines() if line.startswith("{")]
        last = json.loads(lines[-1]) if lines else {}
        said = {"code": child.returncode, "said": (errors.strip() or output.strip())[-300:]}
        results.append({**last, **said, "wall": wall} if child.returncode == 0 else said)
    return results
