"""Our CUDA kernels: their sources, the classes that launch them, and the NumPy references they are held against.

`*.cu` are plain CUDA without any header of NVIDIA's. `compile.py` makes cubins of them on the user's machine; the tests
compile the same sources for the CPU. `ops_*.py` know how each kernel is launched. Importing this package imports no
backend.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from livematte.runtimes.cuda.base import Driver, Kernel, Module

FOLDER: Final = Path(__file__).resolve().parent
"""Where the sources lie."""

_SAMPLES: Final = ("u8", "u16")
_SAMPLES_ALPHA: Final = ("8_8", "8_16", "16_8", "16_16")
"""Bits of the types of a picture's samples and of alpha's (`lm_alpha_plane`: of alpha's and of the plane's)."""

KERNELS: Final[dict[str, tuple[str, ...]]] = {
    "picture": (
        *(f"lm_preprocess_{layout}_{sample}{how}" for how in ("", "_direct") for layout in ("semi", "planar")
          for sample in _SAMPLES),
        "lm_copy_plane", "lm_turn_u8", "lm_turn_u16", "lm_turn_u32",
    ),
    "alpha": (
        *(f"lm_upsample_{sample}{how}" for how in ("", "_direct") for sample in _SAMPLES),
        *(f"lm_guide_{sample}{how}" for how in ("", "_direct") for sample in _SAMPLES), "lm_coefficients",
        *(f"lm_guided_{alpha}_{luma}" for luma in _SAMPLES for alpha in _SAMPLES),
    ),
    "edges": tuple(
        f"lm_{part}_{sample}" for sample in _SAMPLES
        for part in ("levels", "move", "move_part", "soften", "box_rows", "box_columns", "keep")
    ),
    "smooth": (
        "lm_keep", "lm_ema", "lm_one_euro", "lm_ofd", "lm_quiet_luma_8", "lm_quiet_luma_16", "lm_cut_luma_8",
        "lm_cut_luma_16", "lm_adaptive",
    ),
    "means": (*(f"lm_survey_{types}" for types in _SAMPLES_ALPHA), "lm_means", "lm_screen"),
    "foreground": tuple(f"lm_{part}_{types}" for part in ("clean", "despill") for types in _SAMPLES_ALPHA),
    "blur": (*(f"lm_blur_cells_{types}" for types in _SAMPLES_ALPHA), "lm_blur_across", "lm_blur_down"),
    "composite": (
        *(f"lm_{way}_{behind}_{types}" for types in _SAMPLES_ALPHA for way in ("over", "rgba")
          for behind in ("colour", "image", "blur")),
        *(f"lm_alpha_plane_{types}" for types in _SAMPLES_ALPHA),
    ),
}  # fmt: skip
"""Source (without `.cu`) -> its kernels, in the order of the file."""

SOURCES: Final = tuple(KERNELS)

_COMPILERS: Final = 4


class KernelLibrary:
    """Kernels of an open driver; each source is loaded at its first use. May be used by several threads."""

    def __init__(self, driver: Driver, images: Callable[[str], bytes]) -> None:
        """images: a source's name (`picture`) -> what `Driver.module` takes; it may compile, which takes a while."""
        self._driver = driver
        self._images = images
        self._lock = threading.Lock()
        self._modules: dict[str, Module] = {}
        self._kernels: dict[tuple[str, str], Kernel] = {}

    def kernel(self, source: str, name: str) -> Kernel:
        """The kernel `name` of `source`. DeviceError where it cannot be compiled or loaded."""
        with self._lock:
            found = self._kernels.get((source, name))
            if found is None:
                if source not in self._modules:
                    self._modules[source] = self._driver.module(self._images(source))
                found = self._kernels[source, name] = self._modules[source].function(name)
            return found

    def load(self, *sources: str) -> None:
        """Load these sources (none named: all) now, so that nothing is compiled or loaded in the middle of a clip.

        What must be compiled is compiled side by side: all of it is some ten seconds of one core, once.
        """
        with self._lock:
            missing = [source for source in sources or SOURCES if source not in self._modules]
            with ThreadPoolExecutor(_COMPILERS, "livematte-kernels") as pool:
                for source, image in zip(missing, pool.map(self._images, missing), strict=True):
                    self._modules[source] = self._driver.module(image)
        for source in sources or SOURCES:
            for name in KERNELS[source]:
                self.kernel(source, name)

    def close(self) -> None:
        """Unload everything; graphs made with these kernels are then unusable. Twice is harmless."""
        with self._lock:
            self._kernels.clear()
            for module in self._modules.values():
                module.close()
            self._modules.clear()
