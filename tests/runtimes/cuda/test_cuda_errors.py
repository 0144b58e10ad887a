"""The table of CUDA's errors: every line says what happened and what to do, and it agrees with CUDA's own."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import pytest

from livematte.errors import DeviceError, UsageError
from livematte.runtimes.cuda import errors, libcuda
from livematte.runtimes.cuda.choice import AUTO, DRIVERS, open_driver
from livematte.runtimes.cuda.errors import LIBRARIES, MEANINGS, PACKAGES, CudaError, check, describe, missing_library

OF_THE_RUNTIME = {35: "cudaErrorInsufficientDriver", 36: "cudaErrorCallRequiresNewerDriver"}


@pytest.mark.parametrize("code", MEANINGS)
def test_every_line_says_what_happened_and_what_to_do(code: int) -> None:
    text = describe(code, 12_040)
    assert f"(CUDA error {code}, {MEANINGS[code].name})" in text
    assert text.endswith(".")
    assert ". " in text.split(")", 1)[1], "a remedy follows"
    assert "  " not in text
    assert not text.endswith("..")
    if MEANINGS[code].names_driver:
        assert "12.4" in text
        assert "needed is CUDA 13.0 (driver 580 or newer)" in text
    with pytest.raises(CudaError, match="loading a kernel image failed: ") as caught:
        check(code, "loading a kernel image", 12_040)
    assert caught.value.code == code
    assert caught.value.exit_code == 5
    assert caught.value.is_fatal == MEANINGS[code].is_fatal


@pytest.mark.parametrize("code", [35, 100, 209, 222, 803, 804, 2, 700, 719, 999])
def test_the_codes_that_people_meet_are_in_the_table(code: int) -> None:
    assert code in MEANINGS


@pytest.mark.parametrize("code", [35, 209, 222, 803, 804])
def test_a_driver_that_does_not_fit_is_named_with_the_one_that_does(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "installed_driver", lambda: "550.54.14")
    assert "your driver is 550.54.14 and runs CUDA up to 12.4, needed is CUDA 13.0" in describe(
        code, 12_040
    ).lower().replace("cuda", "CUDA")
    assert "550.54.14" in describe(code)
    monkeypatch.setattr(errors, "installed_driver", lambda: "")
    assert "does not say its version" in describe(code, 0)


def test_what_the_table_does_not_know_is_said_with_the_drivers_words() -> None:
    assert 12345 not in MEANINGS
    text = describe(12345, words="gremlins")
    assert "12345" in text
    assert "gremlins" in text
    check(0, "nothing")
    assert not errors.is_fatal(12345)


def test_the_table_agrees_with_cudas_own_names() -> None:
    bindings = importlib.import_module("cuda.bindings.driver") if importlib.util.find_spec("cuda") else None
    if bindings is None:
        pytest.skip("cuda-bindings is not installed")
    own = {int(member): member.name for member in bindings.CUresult}
    for code, meaning in MEANINGS.items():
        if code in OF_THE_RUNTIME:
            continue
        assert own[code] == f"CUDA_ERROR_{meaning.name}"


def test_the_runtimes_own_codes_agree_too() -> None:
    if not importlib.util.find_spec("cuda"):
        pytest.skip("cuda-bindings is not installed")
    runtime = importlib.import_module("cuda.bindings.runtime")
    own = {int(member): member.name for member in runtime.cudaError_t}
    for code, name in OF_THE_RUNTIME.items():
        assert own[code] == name


@pytest.mark.parametrize("stem", LIBRARIES)
def test_a_missing_library_is_said_with_the_way_to_get_it(stem: str) -> None:
    text = missing_library(OSError(f"{stem}.so.9: cannot open shared object file: No such file or directory"))
    assert text is not None
    assert text == LIBRARIES[stem]
    assert "pip install" in text or "driver" in text


def test_other_libraries_are_none_of_its_business() -> None:
    assert missing_library(OSError("libGL.so.1: cannot open shared object file")) is None
    # The longer name wins: PTX's compiler is not the management library.
    assert missing_library("libnvidia-ptxjitcompiler.so.1") == LIBRARIES["libnvidia-ptxjitcompiler"]


def test_the_kernel_modules_version_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors.sys, "platform", "linux")
    version = tmp_path / "version"
    version.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (user@host)\n"
        "GCC version: 12\n"
    )
    assert errors.installed_driver(version) == "580.65.06"
    assert errors.installed_driver(tmp_path / "absent") == ""


def test_without_a_driver_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcuda, "LIBRARY", "libcuda-that-is-not-here.so.1")
    for name in ("auto", "cuda-core"):
        if not importlib.util.find_spec("cuda"):
            break
        with pytest.raises(DeviceError, match="no NVIDIA driver here") as caught:
            open_driver(name)
        assert caught.value.exit_code == 5
        assert "580" in str(caught.value)


def test_an_old_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcuda, "LIBRARY", None)  # the process itself, which has no CUDA in it
    with pytest.raises(DeviceError, match=r"has no cuInit.*older than CUDA 11.4"):
        libcuda.load_library()


@pytest.mark.parametrize("name", ["cuda-core", "pycuda"])
def test_a_missing_package_is_said_with_its_pip_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match="pip install") as caught:
        open_driver(name)
    assert PACKAGES[name] in str(caught.value)
    if name == AUTO:
        with pytest.raises(DeviceError, match=r"cuda:0 cannot be used\. .*pip install"):
            open_driver("auto")


def test_names() -> None:
    assert set(DRIVERS) == {"cuda-core", "pycuda", "null"}
    assert AUTO in DRIVERS
    with pytest.raises(UsageError, match="cuda-core, null, pycuda"):
        open_driver("cupy")
    with pytest.raises(DeviceError, match="INVALID_DEVICE"):
        open_driver("null", 1)
    null = open_driver("null")
    assert null.name == "null"
    null.close()
