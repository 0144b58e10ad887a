"""Broken clips and sudden deaths: nothing may hang, show a traceback, or leave a broken file under its final name.

    python benchmarks/fuzz.py                 # 200 mutations of a dozen containers, then 30 kills
    python benchmarks/fuzz.py --seed 7 --mutations 20 --kills 5

Each case runs the real command in a process of its own. A case fails when the process outlives its time limit, prints
a traceback, ends with an exit code outside the documented ones, or leaves a file under the final name that does not
decode to its end (or, after an error, any file at all).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np

from livematte.demo.clip import clip_pictures
from livematte.sinks.video import part_path

WIDTH, HEIGHT = 128, 128
TIME_LIMIT_SECONDS = 180
EXIT_CODES = {0, 1, 2, 3, 4, 5, 130}
CONTAINERS = {
    "mov": ("prores_ks", "yuv422p10le"), "mp4": ("libx264", "yuv420p"), "mkv": ("libx264", "yuv420p"),
    "webm": ("libvpx-vp9", "yuv420p"), "avi": ("mpeg4", "yuv420p"), "ts": ("mpeg2video", "yuv420p"),
    "nut": ("ffv1", "yuv420p"), "flv": ("flv", "yuv420p"), "gif": ("gif", "rgb8"), "apng": ("apng", "rgba"),
    "mpg": ("mpeg1video", "yuv420p"), "y4m": ("wrapped_avframe", "yuv420p"), "264": ("libx264", "yuv420p"),
}  # fmt: skip
"""Suffix -> (encoder, pixel format) of the whole clips that are then damaged."""


@dataclass(frozen=True)
class Case:
    """One damaged input, and what became of it."""

    name: str
    path: Path
    output: Path


def make_clip(path: Path, encoder: str, pix_fmt: str, frames: int = 24) -> None:
    """A small clip of a person and a moving camera."""
    container = {"y4m": "yuv4mpegpipe", "264": "h264", "ts": "mpegts", "mpg": "mpeg"}.get(path.suffix[1:])
    pictures = _pictures()
    with av.open(str(path), "w", format=container) as out:
        video = out.add_stream(encoder, rate=25)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, pix_fmt
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(pictures[index % len(pictures)], "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode())


@cache
def _pictures() -> list[np.ndarray]:
    """The demo's moving portrait, small: with nobody in them, the mattes would be empty and prove little."""
    return [cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for picture in clip_pictures()[::2]]


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Damage as disks, networks and crashes do it: flipped bytes, cut tails, zeroed, doubled or swapped blocks."""
    broken = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        kind = dice.choice(("flip", "cut", "zero", "repeat", "swap", "insert", "header"))
        at = dice.randrange(max(1, len(broken)))
        length = dice.randint(1, max(1, len(broken) // 8))
        if kind == "flip":
            for _ in range(dice.randint(1, 64)):
                broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        elif kind == "cut":
            del broken[max(1, at) :]
        elif kind == "zero":
            broken[at : at + length] = bytes(len(broken[at : at + length]))
        elif kind == "repeat":
            broken[at:at] = broken[at : at + length]
        elif kind == "swap":
            other = dice.randrange(len(broken))
            broken[at : at + length], broken[other : other + length] = (
                broken[other : other + length], broken[at : at + length],
            )  # fmt: skip
        elif kind == "insert":
            broken[at:at] = dice.randbytes(length)
        else:
            for position in range(min(len(broken), 64)):
                if dice.random() < 0.3:
                    broken[position] = dice.randrange(256)
    return bytes(broken)


def command(case: Case) -> list[str]:
    """The program as a person calls it."""
    return [sys.executable, "-m", "livematte", "convert", str(case.path), "-o", str(case.output), "--quality", "fast",
            "--overwrite", "--quiet"]  # fmt: skip


def decodes(path: Path) -> bool:
    """True where the file opens, and every frame comes out that it lists, or any where its format lists none."""
    try:
        with av.open(str(path)) as container:
            decoded = sum(1 for _ in container.decode(video=0))
            return decoded > 0 and decoded >= container.streams.video[0].frames
    except (av.error.FFmpegError, OSError, IndexError):
        return False


def complaints(case: Case, code: int | None, text: str) -> list[str]:
    """What is wrong with how a case ended; empty: nothing."""
    found = []
    if code is None:
        found.append(f"still running after {TIME_LIMIT_SECONDS} s")
    elif code not in EXIT_CODES:
        found.append(f"exit code {code}")
    if "Traceback (most recent call last)" in text:
        found.append("traceback")
    if case.output.exists() and not decodes(case.output):
        found.append("broken file under the final name")
    if case.output.exists() and code != 0:
        found.append(f"a file under the final name after exit code {code}")
    if code == 0 and not case.output.exists():
        found.append("exit code 0 without a file")
    return found


def run_case(case: Case) -> tuple[str, int | None, list[str], str]:
    try:
        done = subprocess.run(command(case), capture_output=True, timeout=TIME_LIMIT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        text = (error.stderr or b"").decode(errors="replace")
        return case.name, None, complaints(case, None, text), text
    text = (done.stdout + done.stderr).decode(errors="replace")
    found = complaints(case, done.returncode, text)
    if not found:
        case.output.unlink(missing_ok=True)
    return case.name, done.returncode, found, text


def kill_case(case: Case, after_seconds: float, how: signal.Signals) -> tuple[str, int | None, list[str], str]:
    process = subprocess.Popen(command(case), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(after_seconds)
    process.send_signal(how)
    name = f"{case.name} {how.name} after {after_seconds:.2f} s"
    try:
        text = process.communicate(timeout=TIME_LIMIT_SECONDS)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return name, None, [f"did not end after {how.name}"], ""
    code = process.returncode
    found = []
    if "Traceback (most recent call last)" in text and not _died_before_main(code, text):
        found.append("traceback")
    if case.output.exists() and (code not in (0, -signal.SIGKILL) or not decodes(case.output)):
        found.append(f"a file under the final name after exit code {code}")
    if how != signal.SIGKILL:
        if code not in (0, 130, -how):  # -how: it came before Python had set up its handlers
            found.append(f"exit code {code}")
        part = part_path(case.output)
        if part.exists() and not decodes(part):
            found.append(f"{part.name} was kept, and does not play")
    return name, code, found, text


def _died_before_main(code: int | None, text: str) -> bool:
    """Ctrl-C in the tenths of a second in which Python itself starts: nothing of the program runs that could answer."""
    return code == -signal.SIGINT and "cli" + os.sep not in text


def main() -> int:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children would ignore it too
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutations", type=int, default=200)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--show", action="store_true", help="print what every case said, to be read as a user")
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    codes: dict[str, int] = {}
    bad: list[tuple[str, int | None, list[str], str]] = []
    with tempfile.TemporaryDirectory(prefix="livematte-fuzz-") as folder:
        whole = {}
        for suffix, (encoder, pix_fmt) in CONTAINERS.items():
            clip = Path(folder, f"whole.{suffix}")
            make_clip(clip, encoder, pix_fmt)
            whole[suffix] = clip.read_bytes()
        cases = []
        for number in range(arguments.mutations):
            suffix = list(whole)[number % len(whole)]
            path = Path(folder, f"case{number:03}.{suffix}")
            path.write_bytes(mutate(whole[suffix], dice))
            cases.append(Case(path.name, path, Path(folder, f"out{number:03}.{dice.choice(('mov', 'webm', 'mkv'))}")))
        with ThreadPoolExecutor(arguments.jobs) as pool:
            results = list(pool.map(run_case, cases))
        long_clip = Path(folder, "long.mp4")
        make_clip(long_clip, "libx264", "yuv420p", frames=400)
        for number in range(arguments.kills):
            case = Case(f"kill{number:02}", long_clip, Path(folder, f"killed{number:02}.mov"))
            how = dice.choice((signal.SIGKILL, signal.SIGINT, signal.SIGTERM))
            results.append(kill_case(case, dice.uniform(0.1, 6.0), how))
    for result in results:
        codes[str(result[1])] = codes.get(str(result[1]), 0) + 1
        if result[2]:
            bad.append(result)
        if arguments.show:
            print(f"{result[0]}: exit {result[1]}: {result[3].strip()}")
    for name, code, found, text in bad:
        print(f"{name}: exit {code}: {'; '.join(found)}\n    {text.strip()[-600:]}")
    print(json.dumps({"cases": len(results), "exit_codes": codes, "failed": len(bad)}))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
