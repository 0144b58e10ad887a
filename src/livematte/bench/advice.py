"""What to use here: of the settings that keep 30 frames a second the one with the smallest error, as a command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

LIVE_FPS: Final = 30.0


def recommend(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One recommendation a size, largest first: setting, speed, error, whether it keeps 30, and the command.

    A setting without a measured error is taken only where none has one. Where nothing keeps 30, the fastest.
    """
    sizes = dict.fromkeys((run["height"], run["width"]) for run in runs)
    found = []
    for height, width in sorted(sizes, reverse=True):
        here = [run for run in runs if (run["height"], run["width"]) == (height, width)]
        saturated = [run for run in here if not run["case"]["pace"]] or here
        found.append(_as_advice(_best(saturated)))
    return found


def keeps_30(run: Mapping[str, Any]) -> bool:
    """At least 30 frames a second as fast as it goes; paced at 30 or more: none of a hundred frames lost."""
    pace = run["case"]["pace"]
    if pace:
        return bool(pace >= LIVE_FPS and run["dropped"] <= 0.01 * max(1, run["frames"]))
    return bool(run["fps"] >= LIVE_FPS)


def _best(runs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    keeping = [run for run in runs if keeps_30(run)]
    if not keeping:
        return max(runs, key=lambda run: run["fps"])
    return min(keeping, key=lambda run: (_mad(run), -run["fps"]))


def _mad(run: Mapping[str, Any]) -> float:
    quality = run.get("quality")
    return float(quality["mad"]) if quality else float("inf")


def _as_advice(run: Mapping[str, Any]) -> dict[str, Any]:
    quality = run.get("quality")
    return {
        "width": run["width"],
        "height": run["height"],
        "name": run["name"],
        "fps": run["fps"],
        "mad": quality["mad"] if quality else None,
        "keeps_30": keeps_30(run),
        "command": command(run["case"]),
    }


def command(case: Mapping[str, Any]) -> str:
    """The `livematte convert` of a case, to copy; the clip's name is left to fill in."""
    words = ["livematte", "convert", "CLIP"]
    if case["source"] != "synthetic" and case["size"] != "source":
        words += ["--size", _size(case["size"])]
    for option in ("model", "quality", "runtime", "device", "precision"):
        if case[option] != "auto":
            words += [f"--{option}", str(case[option])]
    if case["threads"]:
        words += ["--threads", str(case["threads"])]
    if case["output"] not in ("null", "virtual"):
        words += ["--format", case["output"]]
    if case["encode"] != "good":
        words += ["--encode", case["encode"]]
    return shlex.join(words)


def _size(name: str) -> str:
    from livematte.bench.plan import SIZES

    width, height = SIZES[name] if name in SIZES else map(int, name.split("x"))
    return f"{width}x{height}"
