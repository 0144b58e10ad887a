"""The device's path with ONNX Runtime's own slots, over the null driver: made for one stream, and warmed first."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import difference, run
from host_reference import HostReference
from rigging import Clip, load, make

from livematte.config import MattingSettings
from livematte.runtimes.options import EngineOptions
from livematte.runtimes.ort_slots import OrtSlots, open_slots


class OrtEngine:
    """ONNX Runtime's slots as a `DeviceEngine`."""

    name = "onnxruntime"

    def __init__(self, path: Path, options: EngineOptions) -> None:
        self.path, self.options = path, options

    def open_slots(self, shapes, slots, driver, *, extra=None) -> OrtSlots:
        return open_slots(self.path, self.options, shapes, slots, driver, extra=extra)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("recurrent", [False, True])
def test_it_equals_the_reference_through_every_change(recurrent: bool, slots: int, machine, tmp_path: Path) -> None:
    """Other settings, another size and other colours renew the buffers, and the network keeps its stream."""
    pytest.importorskip("onnxscript")
    loaded = load(tmp_path, recurrent=recurrent, warm_runs=2)
    first, second = Clip(41, 64, 48, count=5, cuts=(3,)), Clip(42, 80, 34, count=4, cuts=())
    reference = HostReference(loaded, MattingSettings(), first.info(), wide=False, foreground=True)
    right = reference.run(first.frames())
    reference.settings = kept = MattingSettings(keep_background=True)
    right += reference.run(first.frames())
    right += HostReference(loaded, kept, second.info(), wide=False, foreground=True).run(second.frames())
    states = tuple((state.input, state.output) for state in loaded.contract.states)
    loaded.engine = OrtEngine(loaded.path, EngineOptions(states=states, outputs=("matte",)))
    matting = make(loaded, *machine(slots), first, slots=slots)
    matted = run(matting, first)
    matting.change(kept)
    matted += run(matting, first)
    matted += run(matting, second)
    matting.close()
    assert difference(matted, right) <= 1
