"""Every name that we use exists in the real libraries: TensorRT 10.16, TensorRT 11, TensorRT-RTX.

Our code runs over `fake_tensorrt.py`, which raises AttributeError for whatever it does not have; here every class,
method, enum member and number of arguments of the fake is looked up in the real bindings. The bindings of TensorRT are
wheels on the public index whose shared libraries are not; stubs of those, compiled from `trt_stubs/`, let them be
imported. The wheels are taken from the folder LIVEMATTE_TRT_WHEELS:

    pip download --no-deps --dest FOLDER 'tensorrt-cu13-bindings==10.16.*'
    pip download --no-deps --dest FOLDER 'tensorrt-cu13-bindings==11.*'
"""

from __future__ import annotations

import enum
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import fake_tensorrt as fake
import pytest

HERE = Path(__file__).parent

PROBE = HERE / "trt_stubs" / "probe.py"
"""Imports real bindings in a process of its own and prints, as JSON, what of a list of names they have."""


def names_of_the_fake(module: str, version: str) -> dict[str, dict[str, list[int]]]:
    """Class -> public attribute -> [fewest, most arguments]; [] for what is no method."""
    found: dict[str, dict[str, list[int]]] = {}
    for name, value in fake.make(module, version).items():
        if not isinstance(value, type):
            continue
        if issubclass(value, enum.Enum):
            found[name] = {member: [] for member in value.__members__ if member != "SM00"}
            continue
        own = {key: each for key, each in vars(value).items() if not key.startswith("_")}
        found[name] = {key: arguments(each) if inspect.isfunction(each) else [] for key, each in own.items()}
        for attribute in attributes_set_by(value):
            found[name].setdefault(attribute, [])
    return found


def arguments(function: Any) -> list[int]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [sum(one.default is one.empty for one in parameters), len(parameters)]


def attributes_set_by(value: type) -> set[str]:
    """Public attributes that its __init__ gives to itself."""
    start = vars(value).get("__init__")
    if not inspect.isfunction(start):
        return set()
    return {name for name in re.findall(r"self\.(\w+)", inspect.getsource(start)) if not name.startswith("_")}


def missing_in(python_path: list[str], libraries: Path | None, module: str, wanted: dict) -> list[str]:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(python_path))
    if libraries is not None:
        environment["LD_LIBRARY_PATH"] = str(libraries)
    done = subprocess.run(
        [sys.executable, str(PROBE), module], input=json.dumps(wanted), env=environment, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert answer["classes"] > 50
    return list(answer["missing"])


def bindings(major: str, folder: Path) -> Path:
    """The unpacked bindings wheel for this Python; skips with the command where it is not at hand."""
    place = os.environ.get("LIVEMATTE_TRT_WHEELS", "")
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    wheels = sorted(Path(place).glob(f"tensorrt_cu13_bindings-{major}.*{tag}*.whl")) if place else []
    if not wheels:
        pytest.skip(
            f"no tensorrt-cu13-bindings {major} wheel for {tag}: pip download --no-deps --dest FOLDER "
            f"'tensorrt-cu13-bindings=={major}.*', and LIVEMATTE_TRT_WHEELS=FOLDER"
        )
    with zipfile.ZipFile(wheels[-1]) as wheel:
        wheel.extractall(folder)
    return folder


def stub_libraries(major: str, folder: Path) -> Path:
    """The shared libraries that the bindings link, without anything in them."""
    folder.mkdir()
    for stem in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        name = f"lib{stem}.so.{major}"
        source = HERE / "trt_stubs" / f"{stem}.c"
        command = ["cc", "-shared", "-fPIC", "-O1", f"-DMAJOR={major}", f"-Wl,-soname,{name}", "-o", str(folder / name)]
        try:
            subprocess.run([*command, str(source)], check=True, capture_output=True, text=True, timeout=120)
        except FileNotFoundError:
            pytest.skip("no C compiler for the stub libraries")
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="the stub libraries are made for Linux")
@pytest.mark.parametrize(("major", "version"), [("10", "10.16.0"), ("11", "11.4.0")])
def test_tensorrt_has_every_name_that_is_used(tmp_path: Path, major: str, version: str) -> None:
    unpacked = bindings(major, tmp_path / "wheel")
    libraries = stub_libraries(major, tmp_path / "libraries")
    wanted = names_of_the_fake("tensorrt", version)
    assert missing_in([str(unpacked)], libraries, "tensorrt_bindings", wanted) == []
    # The probe itself can fail: names that no version has are reported.
    wrong = {"Builder": {"build_cuda_engine_at_once": [1, 1]}, "IExecutionContext": {"execute_async_v3": [5, 5]},
             "BuilderFlag": {"FASTER": []}}  # fmt: skip
    assert len(missing_in([str(unpacked)], libraries, "tensorrt_bindings", wrong)) == 3


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None,
    reason="TensorRT-RTX is not installed: pip install 'livematte[rtx]'",
)
def test_tensorrt_rtx_has_every_name_that_is_used() -> None:
    wanted = names_of_the_fake("tensorrt_rtx", "1.7.1")
    assert {"is_stream_capturable", "execute_async_v3"} <= wanted["IExecutionContext"].keys()
    assert missing_in([], None, "tensorrt_rtx", wanted) == []


def test_the_fake_keeps_what_is_rtxs_alone_from_tensorrt() -> None:
    tuned, rtx = names_of_the_fake("tensorrt", "11.4.0"), names_of_the_fake("tensorrt_rtx", "1.7.1")
    assert "ComputeCapability" not in tuned
    assert "IRuntimeCache" not in tuned
    assert "REQUIRE_USER_ALLOCATION" in rtx["BuilderFlag"]
    assert "REQUIRE_USER_ALLOCATION" not in tuned["BuilderFlag"]
    assert "is_stream_capturable" not in tuned["IExecutionContext"]
    assert "create_timing_cache" not in rtx["IBuilderConfig"]
