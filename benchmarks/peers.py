"""livematte beside its peers: one clip, one machine, one run, each tool as its users run it.

    python benchmarks/peers.py CLIP --folder DIR [--truth ALPHA.mkv] [--isnet FILE.onnx] [--rvm FILE.onnx] ...
    python benchmarks/peers.py CLIP --folder DIR --prepare      # only make the environments

Each peer gets an environment of its own under DIR. The clip is encoded anew, with an uneven frame rate and a sound
track, so that it can be seen what each tool loses; the same file goes into all of them. Speed is measured by two runs,
of 2 and of all frames: their difference is without the start-up, which is given as well. CPU seconds and peak memory
are the operating system's for the whole process tree (POSIX only). What is not at hand is a row that says so.
Writes `benchmarks/results/peers.json`. benchmarks/README.md has the protocol.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from losses import as_json, ffmpeg_is_here, measure, reference_alphas

from livematte import resources
from livematte.bench import machine

RESULTS = Path(__file__).parent / "results" / "peers.json"
SCRIPTS = Path(__file__).parent / "peer_scripts"
OURS = "engines/livematte-s.onnx"
START_FRAMES = 2
LIMIT_SECONDS = 600.0
"""A peer that has not ended by then is ended (backgroundremover waits for ever where its frames do not add up)."""


@dataclass
class Peer:
    """One tool with one network."""

    name: str
    network: str
    packages: tuple[str, ...]
    """What its environment gets; empty: this one."""
    command: Callable[[Path, Path, Path], list[str]]
    """(its python, clip, output) -> the command."""
    output: str
    """Name of what it writes; with a slash at the end a folder of pictures."""
    why_not: str = ""
    """Set: it is not run, because of this."""
    is_slow: bool = False
    """Seconds a frame: it gets the short clip."""
    environment: dict[str, str] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    """What to know about its figures."""

    @property
    def folder(self) -> str:
        """Its environment's name: rows of one tool share one."""
        return self.packages[0].split("[")[0].split("=")[0] if self.packages else ""


def peers(options: argparse.Namespace) -> list[Peer]:
    """Every row, in the order of the table."""
    ours = str(resources.root() / OURS)
    onnx = ("onnxruntime", "opencv-python-headless", "numpy")
    rembg = ("rembg[cpu]", "opencv-python-headless")
    home = options.folder / "u2net"
    rows = [
        Peer("livematte", "livematte-s", (), lambda p, c, o: _livematte(p, c, o), "out.mov"),
        Peer("livematte", "livematte-s", (), lambda p, c, o: _livematte(p, c, o), "out.webm"),
        Peer("livematte", "RVM MobileNetV3", (), lambda p, c, o: [*_livematte(p, c, o), "--model", str(options.rvm)],
             "rvm.mov", "" if options.rvm else "weights"),
        Peer("plain loop (ONNX Runtime, OpenCV)", "livematte-s", onnx,
             lambda p, c, o: [str(p), str(SCRIPTS / "plain_loop.py"), ours, str(c), str(o)], "loop.mp4"),
        Peer("plain loop (ONNX Runtime, OpenCV)", "RVM MobileNetV3", onnx,
             lambda p, c, o: [str(p), str(SCRIPTS / "plain_loop.py"), str(options.rvm), str(c), str(o)], "loop.mp4",
             "" if options.rvm else "weights"),
        Peer("rembg", "IS-Net", rembg,
             lambda p, c, o: [str(p), str(SCRIPTS / "rembg_frames.py"), "isnet-general-use", "-", str(c), str(o)],
             "isnet/", "" if options.isnet else "weights", is_slow=True,
             environment={"U2NET_HOME": str(home), "MODEL_CHECKSUM_DISABLED": "1"}),
        Peer("rembg", "livematte-s", rembg,
             lambda p, c, o: [str(p), str(SCRIPTS / "rembg_frames.py"), "u2net_custom", str(home / "livematte-s.onnx"),
                              str(c), str(o)],
             "custom/", environment={"U2NET_HOME": str(home)},
             marks=("its custom session stretches to 320x320 and normalises as U2-Net wants it, not as this network "
                    "does: the speed is meant, not the matte",)),
        _backgroundremover(options),
        Peer("MediaPipe tasks", "selfie segmenter", ("mediapipe", "opencv-python-headless"),
             lambda p, c, o: [str(p), str(SCRIPTS / "mediapipe_frames.py"), str(options.folder / "selfie.tflite"),
                              str(c), str(o)], "selfie.mp4", "" if options.mediapipe else "weights"),
        Peer("RVM's own script", "RVM MobileNetV3", ("torch", "torchvision", "av<15", "tqdm", "pims"),
             lambda p, c, o: [str(p), str(options.rvm_script), "--variant", "mobilenetv3", "--checkpoint",
                              str(options.rvm_weights), "--device", "cpu", "--input-source", str(c), "--output-type",
                              "video", "--output-composition", str(o), "--num-workers", "0"], "rvm.mp4",
             "" if options.rvm_script and options.rvm_weights else "weights", is_slow=True),
    ]  # fmt: skip
    return [row for row in rows if not options.only or row.name.split()[0] in options.only]


def _livematte(python: Path, clip: Path, out: Path) -> list[str]:
    return [str(python), "-m", "livematte", "convert", str(clip), "-o", str(out), "--quiet", "--overwrite"]


def _backgroundremover(options: argparse.Namespace) -> Peer:
    """With the user's weights, else with random ones, marked: they are timed, and never a row of the README."""
    weights = options.backgroundremover or options.folder / "u2net_random.pth"
    return Peer(
        "backgroundremover", "U2-Net human", ("backgroundremover", "setuptools<80"),
        lambda p, c, o: [str(p.with_name("backgroundremover")), "-i", str(c), "-m", "u2net_human_seg", "-tv",
                         "-o", str(o)], "out.mov",
        "" if ffmpeg_is_here() else "ffmpeg and ffprobe are not on PATH", is_slow=True,
        environment={"U2NET_PATH": str(weights), "U2NET_HUMAN_SEG_PATH": str(weights)},
        marks=() if options.backgroundremover else ("random weights",),
    )  # fmt: skip


def prepare(rows: list[Peer], options: argparse.Namespace) -> None:
    """Environments, and the weights that must lie where a tool looks for them."""
    options.folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        if row.packages and not row.why_not and not python_of(row, options.folder).exists():
            place = options.folder / f"venv-{row.folder}"
            print(f"making {place}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            install = [str(python_of(row, options.folder)), "-m", "pip", "install", "-q", *row.packages]
            subprocess.run(install, check=True)
    (options.folder / "u2net").mkdir(exist_ok=True)
    shutil.copyfile(
        resources.root() / OURS, options.folder / "u2net" / "livematte-s.onnx"
    )  # rembg reads no other folder
    if options.isnet:
        shutil.copyfile(options.isnet, options.folder / "u2net" / "isnet-general-use.onnx")
    for row in rows:
        if row.name == "MediaPipe tasks" and options.mediapipe:
            script = str(SCRIPTS / "mediapipe_metadata.py")
            target = str(options.folder / "selfie.tflite")
            subprocess.run(
                [str(python_of(row, options.folder)), script, str(options.mediapipe), target],
                check=True, capture_output=True,
            )  # fmt: skip
        if "random weights" in row.marks and not row.why_not:
            target = options.folder / "u2net_random.pth"
            if not target.exists():
                script = str(SCRIPTS / "backgroundremover_random.py")
                subprocess.run([str(python_of(row, options.folder)), script, str(target)], check=True)


def python_of(row: Peer, folder: Path) -> Path:
    """The interpreter of a peer's environment."""
    if not row.packages:
        return Path(sys.executable)
    inside = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    return folder / f"venv-{row.folder}" / inside


def make_clip(source: Path, target: Path, frames: int) -> None:
    """The clip's first frames, with every eighth gap doubled, its colour tags, and a tone as sound."""
    with av.open(str(source)) as read, av.open(str(target), "w") as out:
        given = read.streams.video[0]
        video = out.add_stream("libx264", rate=Fraction(given.average_rate or 30), options={"crf": "10"})
        video.width, video.height, video.pix_fmt = given.width, given.height, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 600)
        for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(video.codec_context, name, getattr(given.codec_context, name))
        sound = out.add_stream("aac", rate=48000)
        moment, step = 0, round(600 / Fraction(given.average_rate or 30))
        for index, picture in enumerate(read.decode(given)):
            if index == frames:
                break
            picture.pts, picture.time_base = moment, Fraction(1, 600)
            picture.pict_type = 0
            out.mux(video.encode(picture))
            moment += step * (2 if index % 8 == 7 else 1)
        out.mux(video.encode())
        for block in range(int(48000 * moment / 600) // 1024):
            wave = 0.1 * np.sin(2 * np.pi * 440 * (np.arange(1024) + 1024 * block) / 48000)
            tone = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], "fltp", "mono")
            tone.sample_rate, tone.pts, tone.time_base = 48000, 1024 * block, Fraction(1, 48000)
            out.mux(sound.encode(tone))
        out.mux(sound.encode())


@dataclass
class Cost:
    """Of one command, its children with it."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    """Of the largest process of the tree."""


def run(command: list[str], environment: dict[str, str]) -> Cost:
    """Run a command to its end. RuntimeError with its last words where it fails, or takes too long."""
    with tempfile.TemporaryFile() as words:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=words, stderr=words, start_new_session=True
        )
        limit = threading.Timer(LIMIT_SECONDS, lambda: os.killpg(process.pid, signal.SIGKILL))
        limit.start()
        _, status, usage = os.wait4(process.pid, 0)
        limit.cancel()
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            words.seek(0)
            last = words.read().decode(errors="replace").strip()[-400:]
            raise RuntimeError(f"exit code {process.returncode}: {last}")
    unit = 2**20 if sys.platform == "darwin" else 1024
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def row_of(
    peer: Peer, clips: dict[int, Path], alphas: dict[int, list[np.ndarray]], options: argparse.Namespace
) -> dict:
    """One peer timed, and what its output lost."""
    row: dict[str, object] = {"tool": peer.name, "network": peer.network, "output": peer.output, "marks": peer.marks}
    if peer.why_not:
        return row | {"not_run": peer.why_not}
    frames = options.slow_frames if peer.is_slow else options.frames
    python = python_of(peer, options.folder)
    with tempfile.TemporaryDirectory(prefix="livematte-peers-") as scratch:
        first, second = Path(scratch, "start", peer.output), Path(scratch, "all", peer.output)
        for place in (first, second):
            (place if peer.output.endswith("/") else place.parent).mkdir(parents=True)
        try:
            start = run(peer.command(python, clips[START_FRAMES], first), peer.environment)
            whole = run(peer.command(python, clips[frames], second), peer.environment)
        except (RuntimeError, OSError) as error:
            return row | {"not_run": f"it failed: {error}"}
        lost = measure(clips[frames], second, alphas[frames], options.truth)
        size = sum(f.stat().st_size for f in (second.rglob("*") if second.is_dir() else [second]) if f.is_file())
    counted = frames - START_FRAMES
    return row | {
        "frames": frames,
        # None: the start-up varied by more than the frames took. More frames, or a quieter machine.
        "fps": round(counted / (whole.seconds - start.seconds), 2) if whole.seconds > start.seconds else None,
        "cpu_seconds_per_frame": round(max(0.0, whole.cpu_seconds - start.cpu_seconds) / counted, 4),
        "start_seconds": round(start.seconds, 2),
        "seconds": round(whole.seconds, 2),
        "cpu_seconds": round(whole.cpu_seconds, 2),
        "peak_mib": round(whole.peak_mib),
        "kib_per_frame": round(size / 1024 / frames, 1),
        "losses": as_json(lost),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="where the peers' environments are made")
    parser.add_argument("--truth", type=Path, help="the clip's true alpha (grey video), for MAD")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--slow-frames", type=int, default=10, help="of peers that take seconds a frame")
    parser.add_argument("--isnet", type=Path, help="IS-Net general use, .onnx")
    parser.add_argument("--rvm", type=Path, help="Robust Video Matting MobileNetV3, .onnx")
    parser.add_argument("--rvm-script", type=Path, help="inference.py of a checkout of Robust Video Matting")
    parser.add_argument("--rvm-weights", type=Path, help="its rvm_mobilenetv3.pth")
    parser.add_argument("--backgroundremover", type=Path, help="u2net_human_seg.pth; without: random, marked")
    parser.add_argument("--mediapipe", type=Path, help="selfie_segmentation.tflite of @mediapipe/selfie_segmentation")
    parser.add_argument("--only", nargs="+", help="first words of the tools to run")
    parser.add_argument("--prepare", action="store_true", help="make the environments and stop")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    # Commands run with other environments: a name must mean the same everywhere.
    for name in ("folder", "isnet", "rvm", "rvm_script", "rvm_weights", "backgroundremover", "mediapipe"):
        if (given := getattr(options, name)) is not None:
            setattr(options, name, given.absolute())
    return options


def main() -> int:
    options = parse()
    rows = peers(options)
    prepare(rows, options)
    if options.prepare:
        return 0
    facts = machine.facts()
    with tempfile.TemporaryDirectory(prefix="livematte-peers-") as scratch:
        clips = {count: Path(scratch, f"clip{count}.mp4") for count in
                 {START_FRAMES, options.slow_frames, options.frames}}  # fmt: skip
        for count, path in clips.items():
            make_clip(options.clip, path, count)
        alphas = {count: reference_alphas(path) for count, path in clips.items() if count != START_FRAMES}
        results = []
        for peer in rows:
            results.append(row_of(peer, clips, alphas, options))
            print(json.dumps(results[-1]), flush=True)
    report = {
        "protocol": f"{options.clip.name}, {options.frames} frames ({options.slow_frames} for tools that take seconds "
        "a frame), re-encoded with an uneven rate and a sound track; speed without the start-up",
        "machine": facts | {"load_after": machine.load()},
        "rows": results,
    }
    options.results.parent.mkdir(exist_ok=True)
    options.results.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
