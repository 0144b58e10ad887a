"""Proves the GPU path on a machine that has one: the embedded network on the GPU against the same on the processor.

    pip install 'livematte[gpu]' && python benchmarks/gpu/prove.py [--device cuda] [--model NAME|FILE]

Prints JSON: which provider ran each node, how far alpha is from the processor's (mean and largest), and milliseconds a
frame on both. Ends with 1 where a node of the network ran elsewhere than asked (shape arithmetic on the processor
apart) or alpha is off by a mean over 0.001, and with 5 where there is no such device.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import numpy as np

from livematte.config import InputSettings, ModelSettings
from livematte.errors import LivematteError
from livematte.frames import Frame
from livematte.models.load import LoadedModel, load_model
from livematte.models.session import Session
from livematte.reporting import ListReporter
from livematte.sources import open_source

WARM_UP = 10


def run(loaded: LoadedModel, frames: list[Frame]) -> tuple[list[np.ndarray], float]:
    """Alpha of each frame, and the median milliseconds a frame after the warm-up."""
    session = Session(loaded, is_file=False)
    alphas, times = [], []
    for frame in frames:
        begin = time.perf_counter()
        alphas.append(session.estimate(frame).alpha.copy())
        times.append(1000 * (time.perf_counter() - begin))
    session.close()
    return alphas, statistics.median(times[WARM_UP:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--frames", type=int, default=60)
    arguments = parser.parse_args()
    source = open_source(f"synthetic:1280x720@30:{arguments.frames}", InputSettings(), reporter=ListReporter())
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    results = {}
    try:
        for device in ("cpu", arguments.device):
            loaded = load_model(ModelSettings(model=arguments.model, device=device), reporter=ListReporter())
            results[device] = (*run(loaded, frames), loaded.count_providers(), loaded.describe())
            loaded.close()
    except LivematteError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    exact, given = results["cpu"][0], results[arguments.device][0]
    differences = [np.abs(a - b) for a, b in zip(exact, given, strict=True)]
    mean, largest = float(np.mean(differences)), float(np.max(differences))
    nodes = results[arguments.device][2]
    report = {
        "device": results[arguments.device][3],
        "nodes": nodes,
        "mean_difference": mean,
        "largest_difference": largest,
        "ms_a_frame": {device: round(result[1], 3) for device, result in results.items()},
    }
    print(json.dumps(report, indent=2))
    elsewhere = sum(count for name, count in nodes.items() if name == "CPUExecutionProvider")
    return int(mean > 0.001 or (arguments.device != "cpu" and elsewhere > sum(nodes.values()) // 10))


if __name__ == "__main__":
    sys.exit(main())
