"""What works on this machine, and for each missing thing the command that adds it. Looks only; changes nothing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import livematte
from livematte import resources
from livematte.doctor.conflicts import find_conflicts
from livematte.doctor.devices import nvidia
from livematte.errors import LivematteError

State = Literal["ok", "missing", "problem", "info"]
"""ok: works; missing: not here, and not needed for everything; problem: needs repair; info: a fact."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    name: str
    state: State
    detail: str
    fix: str = ""
    """The command or step that adds or repairs it; empty where there is nothing to do."""


@dataclass(slots=True)
class Section:
    """One part of the report."""

    title: str
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class Diagnosis:
    """The whole report."""

    sections: list[Section]

    @property
    def problems(self) -> list[Finding]:
        """What needs repair, as against what is merely not installed."""
        return [one for section in self.sections for one in section.findings if one.state == "problem"]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {
            "sections": {section.title: [asdict(one) for one in section.findings] for section in self.sections},
            "problems": len(self.problems),
        }


def examine() -> Diagnosis:
    """Look at everything. Takes a few seconds, because each codec is tried by encoding and decoding with it."""
    parts: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("Versions", _versions),
        ("Environment", _environment),
        ("Inference", _inference),
        ("NVIDIA GPU", _gpu),
        ("Files with alpha", _alpha_codecs),
        ("FFmpeg", _ffmpeg),
        ("Pictures", _pictures),
        ("Cameras", _cameras),
        ("Networks", _networks),
        ("Folders", _folders),
    ]
    return Diagnosis([Section(title, _looked(look)) for title, look in parts])


def _looked(look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings of one part. A part that fails is a finding itself: doctor must run on the sickest machine."""
    try:
        return list(look())
    except Exception as error:
        return [Finding("this check", "problem", f"failed: {type(error).__name__}: {error}", "report it, please")]


_DISTRIBUTIONS = ("av", "numpy", "opencv-python-headless", "Pillow", "pydantic", "cyclopts", "rich", "pooch")


def _versions() -> Iterable[Finding]:
    yield Finding("livematte", "ok", livematte.__version__)
    yield Finding("Python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", "info", f"{platform.platform()}, {os.cpu_count()} logical cores")
    for name in _DISTRIBUTIONS:
        found = _version(name)
        if found is None:
            yield Finding(name, "missing", "not installed", f"pip install '{name}'")
        else:
            yield Finding(name, "ok", found)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _environment() -> Iterable[Finding]:
    conflicts = find_conflicts()
    for one in conflicts:
        repair = one.repair.removeprefix("Repair: ")
        yield Finding(f"module {one.module}", "problem", one.problem, repair)
    if not conflicts:
        yield Finding("one owner a module", "ok", "onnxruntime and cv2 are each installed by at most one package")


def _inference() -> Iterable[Finding]:
    from livematte.runtimes.ort_library import INSTALL, PROVIDERS, load_library, present_devices

    try:
        library = load_library()
    except LivematteError as error:
        yield Finding("ONNX Runtime", "problem", str(error), INSTALL["cpu"])
        return
    yield Finding("ONNX Runtime", "ok", str(library.__version__))
    present = present_devices(library)
    for device, provider in PROVIDERS.items():
        if device == "cpu":
            yield Finding("--device cpu", "ok", provider)
        elif device in present:
            yield Finding(
                f"--device {device}", "info", f"{provider} is built in; whether it runs shows when it is used"
            )
        elif _could_have(device):
            yield Finding(f"--device {device}", "missing", f"{provider} is not in this build", INSTALL[device])


def _could_have(device: str) -> bool:
    homes = {"coreml": ("darwin",), "directml": ("win32",), "cuda": ("linux", "win32"), "tensorrt": ("linux", "win32")}
    return sys.platform in homes.get(device, (sys.platform,))


CUDA13_DRIVER = 580
"""First branch of NVIDIA's driver that runs CUDA 13 (NVIDIA, CUDA 13.0 release notes, table of driver versions)."""
CUDA13_CAPABILITY = 7.5
"""CUDA 13 dropped everything before Turing (the same notes)."""


def _gpu() -> Iterable[Finding]:
    gpus = nvidia()
    need = (
        f"the extra 'gpu' (ONNX Runtime with CUDA 13) needs driver {CUDA13_DRIVER} or newer and compute capability "
        f"{CUDA13_CAPABILITY} (GeForce 16 and RTX 20) or newer; its download is about 1.6 GB"
    )
    if not gpus:
        yield Finding("NVIDIA GPU", "missing", f"no NVIDIA driver answers here. With one: {need}")
        return
    for gpu in gpus:
        old = [
            text
            for is_old, text in (
                (gpu.driver_major < CUDA13_DRIVER, f"update the driver to {CUDA13_DRIVER} or newer"),
                (gpu.capability < CUDA13_CAPABILITY, "this GPU is too old for CUDA 13; use --device cpu"),
            )
            if is_old
        ]
        detail = f"driver {gpu.driver}, compute capability {gpu.capability}, {gpu.memory_mib} MiB"
        yield Finding(gpu.name, "problem" if old else "ok", detail, "; ".join(old))
    yield Finding("what it takes", "info", need)


def _alpha_codecs() -> Iterable[Finding]:
    from livematte.sinks.formats import FORMATS
    from livematte.sinks.h26x import hardware_encoders
    from livematte.sinks.selftest import codecs_that_carry_alpha

    optional = {FORMATS[name].title for name in ("hevc-alpha", "exr")}  # not every machine and install has them
    opaque = {one.title for one in FORMATS.values() if not one.carries_alpha}
    for name, lost in codecs_that_carry_alpha().items():
        if name in opaque or (lost and name in optional):
            yield Finding(name, "info", lost)
        elif "livematte[" in lost:
            yield Finding(name, "missing", lost)
        elif lost:
            yield Finding(name, "problem", lost, "pip install --force-reinstall av")
        else:
            yield Finding(name, "ok", "written and read back here with its alpha")
    for name, reason in hardware_encoders().items():
        yield Finding(f"{name} (--hardware-encoder)", "info", reason or "works here")


_ENCODERS = ("prores_ks", "libvpx-vp9", "ffv1", "png", "libx264", "aac", "libopus", "flac")
_DECODERS = ("h264", "hevc", "av1", "libdav1d", "vp9", "libvpx-vp9", "prores", "mpeg4", "mjpeg")


def _ffmpeg() -> Iterable[Finding]:
    import av
    from av.codec.codec import Codec

    yield Finding("FFmpeg in PyAV", "ok", str(getattr(av, "ffmpeg_version_info", "unknown version")))
    for kind, mode, names in (("encoders", "w", _ENCODERS), ("decoders", "r", _DECODERS)):
        there, absent = [], []
        for name in names:
            try:
                Codec(name, mode)  # type: ignore[arg-type]
                there.append(name)
            except (ValueError, LookupError):
                absent.append(name)
        yield Finding(kind, "ok", ", ".join(there))
        if absent:
            yield Finding(f"{kind} not built in", "missing", ", ".join(absent), "pip install --force-reinstall av")
    program = shutil.which("ffmpeg")
    if program:
        yield Finding("ffmpeg program", "info", f"{program} (livematte does not need it)")
    else:
        yield Finding("ffmpeg program", "info", "not found, and not needed: PyAV brings its own libraries")


def _pictures() -> Iterable[Finding]:
    from PIL import features

    for name, title in (("webp", "WebP"), ("avif", "AVIF")):
        if features.check(name):
            yield Finding(title, "ok", "read and written by Pillow")
        else:
            yield Finding(title, "missing", "this Pillow lacks it", "pip install --upgrade 'Pillow>=11.3'")
    if importlib.util.find_spec("pillow_heif") is not None:
        yield Finding("HEIC", "ok", "read by pillow-heif")
    else:
        yield Finding("HEIC", "missing", "photos of iPhones are not read", "pip install 'livematte[heic]'")


def _cameras() -> Iterable[Finding]:
    from livematte.doctor.camera import brief
    from livematte.doctor.camera_facts import read_facts

    yield from brief(read_facts())


def _networks() -> Iterable[Finding]:
    from livematte.models.catalogue import shipped
    from livematte.models.weights import is_here

    for name, manifest in shipped().items():
        here = [file for graph in manifest.graphs for file in graph.weights if is_here(file)]
        if here:
            yield Finding(name, "ok", f"on this machine in {', '.join(file.precision for file in here)}")
            continue
        brings = manifest.graphs[0].weights[0].source == "bring"
        yield Finding(
            name,
            "missing",
            manifest.about,
            f"livematte model fetch {name}" + (" (says how to make the file)" if brings else ""),
        )


def _folders() -> Iterable[Finding]:
    cache = resources.cache_dir()
    nearest = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(nearest).free / 1e9
    writable = os.access(nearest, os.W_OK)
    yield Finding(
        "cache",
        "ok" if writable else "problem",
        f"{cache} ({free:.0f} GB free)" if writable else f"{cache} cannot be written",
        "" if writable else "set LIVEMATTE_CACHE to a folder that can be written",
    )
    yield Finding("your presets", "info", str(Path(resources.config_dir()) / "presets"))
    yield Finding("shipped presets", "info", f"{resources.root() / 'configs'} (reference.toml lists every setting)")
