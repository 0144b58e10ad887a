"""What changed between two reports beyond the noise, and which pairs must not be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from livematte.bench.figures import CONFIDENCE, mean, median, ratio_interval
from livematte.bench.runner import SCHEMA
from livematte.errors import SourceError, UsageError

Report = Mapping[str, Any]
Verdict = Literal["faster", "slower", "same"]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one run in both reports."""

    name: str
    figure: Literal["fps", "latency p50", "dropped"]
    before: float
    after: float
    percent: float
    """What the figure changed by; for `dropped`, the share of frames in percent points."""
    low_percent: float
    high_percent: float
    """Ends of the bootstrap interval (`figures.CONFIDENCE`)."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that two reports have in common, and what they have not."""

    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    remarks: tuple[str, ...]
    """What differs between the machines and is allowed to."""

    @property
    def slower(self) -> tuple[Change, ...]:
        """Changes for the worse."""
        return tuple(change for change in self.changes if change.verdict == "slower")

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "changes": [asdict(change) for change in self.changes],
            "only_before": list(self.only_before),
            "only_after": list(self.only_after),
            "remarks": list(self.remarks),
            "confidence": CONFIDENCE,
            "slower": len(self.slower),
        }


def read(path: Path) -> Report:
    """A report. SourceError where it cannot be read, UsageError where it is no report of this version."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SourceError(f"the report {path} cannot be read: {error}.") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise UsageError(f"{path} is no report that this version can compare (schema {schema!r}, wanted {SCHEMA!r}).")
    return found  # type: ignore[no-any-return]


def differences(before: Report, after: Report) -> tuple[list[str], list[str]]:
    """(what forbids the comparison, what is only said): power limit, power source, driver model; and the rest."""
    first, second = before["machine"], after["machine"]
    fatal, said = [], []
    if first["power_source"] != second["power_source"]:
        fatal.append(f"power source: {first['power_source']} and {second['power_source']}")
    for number in range(max(len(first["gpus"]), len(second["gpus"]))):
        one = first["gpus"][number] if number < len(first["gpus"]) else {}
        other = second["gpus"][number] if number < len(second["gpus"]) else {}
        for field, words in (("power_limit_watts", "power limit"), ("driver_model", "driver model")):
            if one.get(field) != other.get(field):
                fatal.append(f"GPU {number}'s {words}: {one.get(field, 'no GPU')} and {other.get(field, 'no GPU')}")
        for field in ("name", "driver"):
            if one.get(field) != other.get(field):
                said.append(f"GPU {number}'s {field}: {one.get(field, 'no GPU')} and {other.get(field, 'no GPU')}")
    for field in ("cpu", "cores", "system", "python", "livematte"):
        if first[field] != second[field]:
            said.append(f"{field}: {first[field]} and {second[field]}")
    for package in sorted({*first["packages"], *second["packages"]}):
        one, other = first["packages"].get(package, "none"), second["packages"].get(package, "none")
        if one != other:
            said.append(f"{package}: {one} and {other}")
    return fatal, said


def compare(before: Report, after: Report, *, force: bool, noise_percent: float) -> Comparison:
    """Match the runs of two reports by their settings and judge each.

    A change counts where its whole bootstrap interval lies beyond `noise_percent`: smaller ones are noise whatever the
    interval says, because two runs of one program on one machine differ by that. UsageError where the power limit,
    the power source or the driver model differ, unless `force`.
    """
    fatal, said = differences(before, after)
    if fatal and not force:
        raise UsageError(
            f"the two reports are of machines in different states: {'; '.join(fatal)}. Their speeds say nothing about "
            "the program. Measure both in one state, or compare all the same with --force."
        )
    old, new = _by_key(before), _by_key(after)
    changes = [change for key in old if key in new for change in _judge(old[key], new[key], noise_percent)]
    return Comparison(
        tuple(changes),
        tuple(run["name"] for key, run in old.items() if key not in new),
        tuple(run["name"] for key, run in new.items() if key not in old),
        (*fatal, *said),
    )


def _by_key(report: Report) -> dict[str, Mapping[str, Any]]:
    return {json.dumps(run["case"], sort_keys=True): run for run in report["runs"]}


def _judge(old: Mapping[str, Any], new: Mapping[str, Any], noise_percent: float) -> list[Change]:
    """Saturated runs by their speed; paced ones, whose speed is given, by latency and by the frames that were lost."""
    if not old["case"]["pace"]:
        a, b = old["samples"]["interval_ms"], new["samples"]["interval_ms"]
        low, value, high = ratio_interval(a, b, mean)
        # A frame that takes r times as long is a speed of 1 / r.
        return [_change(old["name"], "fps", (old["fps"], new["fps"]), (1 / high, 1 / value, 1 / low), noise_percent)]
    a, b = old["samples"]["latency_ms"], new["samples"]["latency_ms"]
    interval = ratio_interval(a, b, median)
    medians = (old["latency_ms"]["p50"], new["latency_ms"]["p50"])
    latency = _change(old["name"], "latency p50", medians, interval, noise_percent, more_is_better=False)
    return [latency, _dropped(old, new, noise_percent)]


def _change(
    name: str,
    figure: Literal["fps", "latency p50"],
    values: tuple[float, float],
    interval: tuple[float, float, float],
    noise_percent: float,
    *,
    more_is_better: bool = True,
) -> Change:
    low, value, high = (100 * (one - 1) for one in interval)
    grew, shrank = low > noise_percent, high < -noise_percent
    better, worse = (grew, shrank) if more_is_better else (shrank, grew)
    verdict: Verdict = "faster" if better else "slower" if worse else "same"
    return Change(name, figure, *values, round(value, 2), round(low, 2), round(high, 2), verdict)


def _dropped(old: Mapping[str, Any], new: Mapping[str, Any], noise_percent: float) -> Change:
    """Frames lost, in percent of those that came; no interval: a lost frame is a fact, and one more counts as none."""
    shares = [100 * run["dropped"] / max(1, run["dropped"] + run["frames"]) for run in (old, new)]
    points = round(shares[1] - shares[0], 2)
    verdict: Verdict = "slower" if points > noise_percent else "faster" if points < -noise_percent else "same"
    return Change(old["name"], "dropped", old["dropped"], new["dropped"], points, points, points, verdict)


def sentence(change: Change) -> str:
    """One line for persons."""
    if change.figure == "dropped":
        return f"{change.name}: {change.before:.0f} frames lost before, {change.after:.0f} after: {change.verdict}"
    unit = "fps" if change.figure == "fps" else "ms at the median"
    return (
        f"{change.name}: {change.before:.1f} -> {change.after:.1f} {unit}, {change.percent:+.1f} % "
        f"(between {change.low_percent:+.1f} and {change.high_percent:+.1f}): {change.verdict}"
    )
