"""Peak memory does not grow with the clip's length.

    python benchmarks/memory.py               # 300 and 3,000 frames of 1080p, default network, null sink

Each run is a process of its own; the peak is what the operating system counted (ru_maxrss). Runs of one length differ
by up to 5 % on a busy machine, by how often stages happened to wait for each other: the short length runs three times,
and its largest peak counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

SHORT_RUNS = 3
CHILD = """
import resource, sys
from livematte import convert
from livematte.config import OutputSettings, Settings
frames = int(sys.argv[1])
summary = convert(f"synthetic:{sys.argv[2]}@30:{frames}", sys.argv[4:] or None,
                  settings=Settings(output=OutputSettings(format=sys.argv[3], overwrite=True)))
assert summary.frames == frames, summary
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 * (1 / 1024 if sys.platform == "darwin" else 1))
"""


def peak_mb(frames: int, size: str, format_: str, target: list[str]) -> float:
    """Peak resident memory in MiB of a conversion of `frames` frames."""
    child = [sys.executable, "-c", CHILD, str(frames), size, format_, *target]
    return float(subprocess.run(child, capture_output=True, text=True, check=True).stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--short", type=int, default=300)
    parser.add_argument("--long", type=int, default=3000)
    parser.add_argument("--format", default="null")
    parser.add_argument("--target", nargs="*", default=[])
    arguments = parser.parse_args()
    kind = (arguments.size, arguments.format, arguments.target)
    shorts = [peak_mb(arguments.short, *kind) for _ in range(SHORT_RUNS)]
    short, long = max(shorts), peak_mb(arguments.long, *kind)
    peaks = {arguments.short: [round(one) for one in shorts], arguments.long: round(long)}
    growth = round(long / short - 1, 4)
    print(json.dumps({"size": arguments.size, "format": arguments.format, "peak_mib": peaks, "growth": growth}))
    return 0 if long <= 1.05 * short and long < 700 else 1


if __name__ == "__main__":
    sys.exit(main())
