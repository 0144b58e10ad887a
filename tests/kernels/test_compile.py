"""NVRTC, the cubin cache, the table of kernels, and nvcc's word on registers."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from livematte.errors import DeviceError
from livematte.reporting import ListReporter
from livematte.runtimes.kernels import FOLDER, KERNELS, SOURCES, KernelLibrary
from livematte.runtimes.kernels import compile as compiling
from livematte.runtimes.kernels.cubins import CubinCache

CHIPS = ("sm_75", "sm_89", "sm_90", "sm_120")


@pytest.fixture
def nvrtc() -> Any:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")
    try:
        return compiling._nvrtc()
    except DeviceError as error:
        pytest.skip(str(error))


def test_the_table_names_every_kernel_of_every_source() -> None:
    for source in SOURCES:
        text = (FOLDER / f"{source}.cu").read_text()
        exported = re.findall(r"^LM_EXPORT(?:_SYNC)?\((\w+)\)", text, re.MULTILINE)
        assert set(exported) == set(KERNELS[source]), source
        assert len(exported) == len(set(exported)), source
    assert {path.stem for path in FOLDER.glob("*.cu")} == set(SOURCES)


@pytest.mark.parametrize("source", SOURCES)
def test_nvrtc_makes_a_cubin_and_keeps_it(source: str, nvrtc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reporter = ListReporter()
    made = compiling.image(source, (9, 0), reporter=reporter)
    assert reporter.notes == ["Compiling the GPU's kernels for sm_90; they are kept, so that this happens once."]
    assert reporter.warnings == []
    assert made.startswith(b"\x7fELF")
    assert all(name.encode() in made for name in KERNELS[source])
    monkeypatch.setattr(compiling, "_compile", lambda *_a, **_k: pytest.fail("compiled a second time"))
    assert compiling.image(source, (9, 0)) == made


def test_ptx_for_a_chip_that_nvrtc_does_not_know(nvrtc: Any) -> None:
    made = compiling.image("picture", (99, 0))
    assert b".version" in made
    assert b"lm_preprocess_semi_u8" in made


def test_which_architecture() -> None:
    known = (75, 80, 90, 120)
    assert compiling.choose((9, 0), known, (13, 0)) == ("sm_90", True)
    assert compiling.choose((8, 9), known, (13, 0)) == ("compute_80", False)
    assert compiling.choose((13, 0), known, (13, 0)) == ("compute_120", False)
    with pytest.raises(DeviceError, match=r"compute capability 6\.1.*from 7\.5 on.*gpu-cu12"):
        compiling.choose((6, 1), known, (13, 0))


def test_the_key_holds_everything_that_goes_in() -> None:
    sources = {"a.cu": b"one", "b.cuh": b"two"}
    names = {
        compiling.file_name("a", "sm_90", sources, (13, 0)),
        compiling.file_name("a", "sm_89", sources, (13, 0)),
        compiling.file_name("a", "sm_90", {**sources, "b.cuh": b"tw0"}, (13, 0)),
        compiling.file_name("a", "sm_90", {"a.cu": b"onetwo", "b.cuh": b""}, (13, 0)),
        compiling.file_name("a", "sm_90", sources, (13, 1)),
    }
    assert len(names) == 5


def test_a_source_that_does_not_compile_says_where(nvrtc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "read_sources", lambda _name: {"broken.cu": b"__global__ void k() { oops(); }"})
    with pytest.raises(DeviceError, match=r"broken\.cu do not compile for sm_90 .*identifier \"oops\" is undefined"):
        compiling.image("picture", (9, 0))


class _WithoutLibrary:
    """cuda-bindings where NVRTC's own wheel is missing: the first call fails."""

    def nvrtcVersion(self) -> None:  # noqa: N802
        raise RuntimeError("no libnvrtc.so\nsearched in many places")


def test_missing_packages_are_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    compiling._nvrtc.cache_clear()
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", None)
    try:
        with pytest.raises(DeviceError, match=r"needs cuda-bindings.*pip install 'livematte\[gpu\]'"):
            compiling.image("picture", (9, 0))
        monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", _WithoutLibrary())  # type: ignore[arg-type]
        with pytest.raises(DeviceError, match=r"library was not found \(no libnvrtc\.so\).*nvidia-cuda-nvrtc"):
            compiling.image("picture", (9, 0))
    finally:
        compiling._nvrtc.cache_clear()


def test_importing_the_kernels_imports_no_backend() -> None:
    code = (
        "import sys, livematte.runtimes.kernels.compile, livematte.runtimes.kernels.ops_picture, "
        "livematte.runtimes.kernels.ops_alpha; "
        "assert not any(m == 'cuda' or m.startswith(('cuda.', 'pycuda')) for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_kernels() -> None:
    with pytest.raises(ValueError, match="no kernels called 'pictures'"):
        compiling.image("pictures", (9, 0))


# --- The cache ---


@pytest.fixture
def reporter() -> ListReporter:
    return ListReporter()


def test_what_is_kept_comes_back(tmp_path: Path, reporter: ListReporter) -> None:
    kept = CubinCache(tmp_path / "kernels", reporter=reporter)
    assert kept.get("a.cubin") is None
    kept.put("a.cubin", b"code")
    assert kept.get("a.cubin") == b"code"
    assert sorted(path.name for path in kept.folder.iterdir()) == ["a.cubin"], "nothing else is left"
    if os.name == "posix":
        assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    assert not reporter.warnings


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"\x7fELF" + data, lambda data: b"", lambda data: data[:-1] + b"!"]
)
def test_damaged_files_are_not_used(tmp_path: Path, reporter: ListReporter, damage: Any) -> None:
    kept = CubinCache(tmp_path / "kernels", reporter=reporter)
    kept.put("a.cubin", b"code")
    path = kept.folder / "a.cubin"
    path.write_bytes(damage(path.read_bytes()))
    assert kept.get("a.cubin") is None
    assert "is damaged" in reporter.warnings[0]
    kept.put("a.cubin", b"code")
    assert kept.get("a.cubin") == b"code"


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_folders_and_files_that_others_can_write_are_not_used(tmp_path: Path, reporter: ListReporter) -> None:
    kept = CubinCache(tmp_path / "kernels", reporter=reporter)
    kept.put("a.cubin", b"code")
    (kept.folder / "a.cubin").chmod(0o666)
    assert kept.get("a.cubin") is None
    assert "can be written by other users" in reporter.warnings[-1]
    kept.folder.chmod(0o755)
    assert kept.get("a.cubin") is None
    assert "open to other users" in reporter.warnings[-1]
    (tmp_path / "link").symlink_to(kept.folder)
    assert CubinCache(tmp_path / "link", reporter=reporter).get("a.cubin") is None
    assert "is not a folder" in reporter.warnings[-1]


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, reporter: ListReporter) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = CubinCache(tmp_path / "file" / "kernels", reporter=reporter)
    kept.put("a.cubin", b"code")
    assert kept.get("a.cubin") is None
    assert "compiled again at every start" in reporter.warnings[0]


# --- The library ---


class _Driver:
    """Counts what is loaded."""

    def __init__(self) -> None:
        self.loaded: list[bytes] = []
        self.closed = 0

    def module(self, image: bytes) -> Any:
        self.loaded.append(image)
        return self

    def function(self, name: str) -> str:
        return name

    def close(self) -> None:
        self.closed += 1


def test_sources_are_loaded_once_and_lazily() -> None:
    driver = _Driver()
    library = KernelLibrary(driver, str.encode)  # type: ignore[arg-type]
    assert driver.loaded == []
    assert library.kernel("picture", "lm_copy_plane") == library.kernel("picture", "lm_copy_plane") == "lm_copy_plane"  # type: ignore[comparison-overlap]
    library.kernel("picture", "lm_turn_u8")
    assert driver.loaded == [b"picture"]
    library.load()
    assert sorted(driver.loaded) == sorted(source.encode() for source in SOURCES)
    library.close()
    library.close()
    assert driver.closed == len(SOURCES)


# --- nvcc ---


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_no_kernel_spills_registers(source: str, tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc here; it comes with NVIDIA's CUDA toolkit")
    flags = [word for chip in CHIPS for word in ("-gencode", f"arch=compute_{chip[3:]},code={chip}")]
    command = [nvcc, "-std=c++17", "--fmad=false", "-Xptxas", "-v", "-Werror", "all-warnings", *flags, "-fatbin"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out"), str(FOLDER / f"{source}.cu")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    # "Function properties for NAME", then "N bytes stack frame, N bytes spill stores, N bytes spill loads"; a stack
    # frame is an array that is indexed by a variable, and lies in slow memory as well.
    found = re.findall(r"properties for (\w+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores", done.stderr)
    assert len(found) == len(CHIPS) * len(KERNELS[source])
    assert [entry for entry in found if entry[1:] != ("0", "0")] == []
