"""The slots of a plan over fakecuda: run in a child process by test_tensorrt_fakecuda.py."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "models")]

import fake_tensorrt as fake  # noqa: E402
import make_models  # noqa: E402
import numpy as np  # noqa: E402
from runtime_helpers import RVM_STATES, rvm_shapes  # noqa: E402
from trt_runs import pictures, run_slots, rvm_reference  # noqa: E402

from fakecuda.control import Control  # noqa: E402
from livematte.runtimes.cuda.choice import open_driver  # noqa: E402
from livematte.runtimes.graphs import GraphFacts, prepare  # noqa: E402
from livematte.runtimes.tensorrt import compiler  # noqa: E402
from livematte.runtimes.tensorrt.library import describe  # noqa: E402
from livematte.runtimes.tensorrt.plan import load_plan  # noqa: E402
from livematte.runtimes.tensorrt.profile import Profile  # noqa: E402
from livematte.runtimes.tensorrt.request import BuildRequest  # noqa: E402
from livematte.runtimes.tensorrt.slots import TensorRTSlots  # noqa: E402

SHAPES = rvm_shapes(32, 48)


def followed(driver: Any) -> Any:
    """A driver whose streams the fake library finds by their handles."""
    make = driver.stream

    def stream(**options: Any) -> Any:
        made = make(**options)
        fake.STREAMS[made.handle] = made
        return made

    driver.stream = stream
    return driver


def through_slots(seeds: int, slots: int, graphs_too: bool) -> list[str]:
    """What went wrong in this many seeds: [] when every alpha is the reference's and no memory was misused."""
    control = Control()
    folder = Path(tempfile.mkdtemp())
    source = make_models.recurrent(folder / "rvm.onnx")
    facts = GraphFacts(states=RVM_STATES, outputs=("pha",), constants={"downsample_ratio": 0.5})
    prepared = prepare(source, precision="fp32", shapes=SHAPES, for_="tensorrt", facts=facts)
    library = describe("tensorrt-rtx", fake.namespace("tensorrt_rtx", "1.7.1"))
    request = BuildRequest(prepared.path, "tensorrt-rtx", Profile.static(prepared.shapes), "fp32")
    plan, _ = compiler.compile_plan(library, request, lambda _stage, _fraction: None)
    frames = pictures(7, (1, 3, 32, 48))
    wanted = rvm_reference(source, frames)
    wrong: list[str] = []
    for seed in range(seeds):
        control.reset(seed=seed)
        driver = followed(open_driver("cuda-core"))
        loaded = load_plan(library, plan, driver, what="the plan", precision="fp32")
        network = TensorRTSlots(loaded, driver, slots, states=RVM_STATES, outputs=("pha",))
        found = run_slots(network, driver, frames, slots, graphs_too=graphs_too)
        off = max(float(np.abs(got - want).max()) for got, want in zip(found, wanted, strict=True))
        if not off <= 1e-5:
            wrong.append(f"seed {seed}: alpha is off by {off}")
        network.close()
        loaded.close()
        driver.close()
        wrong += [f"seed {seed}: {line}" for line in (*control.damage(), *fake.COMPLAINTS)]
        left = {name: number for name, number in control.live().items() if number and name in ("blocks", "streams")}
        if left:
            wrong.append(f"seed {seed}: left open: {left}")
        fake.COMPLAINTS.clear()
        fake.STREAMS.clear()
    return wrong
