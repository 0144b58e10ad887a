"""NVDEC through PyAV: every surface against the processor's decoder, bit for bit, and how fast an empty loop is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import av
import numpy as np

from proofs import NotRun, Result, is_rehearsal, open_gpu
from proofs.clips import clip

FRAMES = 500
KINDS = (("libx264", "yuv420p", "nv12"), ("libx265", "yuv420p10le", "p010le"))


def nvdec() -> Result:
    """500 frames of H.264 in 8 bits and 100 of HEVC in 10: equal planes, times and count; bare decoding speed."""
    driver, kernels = open_gpu()
    results: dict[str, Any] = {}
    try:
        for codec, pix_fmt, sw_format in KINDS[: 1 if is_rehearsal() else None]:
            count = FRAMES if sw_format == "nv12" else FRAMES // 5
            with clip(1280, 720, count, codec=codec, pix_fmt=pix_fmt) as path:
                results[codec] = _compare(path, sw_format, driver, kernels)
    finally:
        kernels.close()
        driver.close()
    return {"met": all(not row["different"] for row in results.values()), "clips": results}


def open_surfaces(path: Path, driver: Any) -> Any:
    """A source of surfaces; NotRun with what was said where the processor had to decode."""
    from livematte.config import InputSettings
    from livematte.reporting import ListReporter
    from livematte.sources.nvdec import open_nvdec

    reporter = ListReporter()
    source = open_nvdec(str(path), InputSettings(), driver=driver, reporter=reporter)
    if "NVDEC" not in source.decoder:
        source.close()
        raise NotRun(" ".join(reporter.notes))
    return source


def _compare(path: Path, sw_format: str, driver: Any, kernels: Any) -> dict[str, Any]:
    wanted = _decoded(path, sw_format)
    source = open_surfaces(path, driver)
    different, count = [], 0
    try:
        for number, frame in enumerate(source):
            count += 1
            pixels = _download(frame.picture, driver, kernels)
            reference = next(wanted, None)
            if reference is None or any(not np.array_equal(a, b) for a, b in zip(pixels, reference, strict=True)):
                different.append(number)
    finally:
        source.close()
    if next(wanted, None) is not None:
        different.append(count)
    return {"frames": count, "different": different[:20], "fps": None if is_rehearsal() else bare_fps(path, driver)}


def _decoded(path: Path, sw_format: str) -> Any:
    dtype = np.uint8 if sw_format == "nv12" else np.uint16
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            host = picture.reformat(format=sw_format)
            yield [
                np.frombuffer(memoryview(p), dtype).reshape(p.height, -1)[:, : picture.width].copy()
                for p in host.planes
            ]


def _download(picture: Any, driver: Any, kernels: Any) -> list[np.ndarray]:
    """Planes of a surface, by the event rule: our stream waits, copies, and only then the picture is dropped."""
    from livematte.runtimes.kernels.ops_picture import PictureOps
    from livematte.runtimes.kernels.planes import Plane

    item = 1 if picture.sw_format == "nv12" else 2
    width, height = picture.stored_size
    dtype = np.uint8 if item == 1 else np.uint16
    stream = driver.stream()
    stream.wait(picture.ready)
    planes, arrays = [], []
    for number, (pointer, pitch) in enumerate(picture.planes):
        rows, across, element = (height, width, item) if number == 0 else (height // 2, width // 2, 2 * item)
        target = driver.array((rows, width), dtype)
        source = Plane(pointer, pitch, across, rows, element)
        PictureOps(kernels).transpose(source, Plane(target.pointer, width * item, across, rows, element), 0, stream)
        values = np.empty((rows, width), dtype)
        target.download(values, stream)
        planes.append(values)
        arrays.append(target)
    stream.synchronize()
    for thing in (*arrays, stream):
        thing.close()
    return planes


def bare_fps(path: Path, driver: Any) -> float:
    """Frames a second of an empty loop over the same PyAV call."""
    source = open_surfaces(path, driver)
    begin = time.perf_counter()
    count = sum(1 for _ in source)
    driver.synchronize()
    seconds = time.perf_counter() - begin
    source.close()
    return round(count / seconds, 1)
