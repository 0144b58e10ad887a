"""The whole contract suite once more in a child process, for each real back end over fakecuda and several seeds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from fakecuda.plugin import FakeCuda, fakecuda  # noqa: F401

HERE = Path(__file__).resolve().parent
NEEDS = {"cuda-core": "cuda", "pycuda": "pycuda", "ctypes": None}
SCENES = "runtimes.cuda.driver_scenes"
SUITE = ("test_cuda_contract.py", "test_cuda_lifetime.py", "test_cuda_graphs.py")


def _need(backend: str) -> None:
    package = NEEDS[backend]
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "seed"), [("cuda-core", 0), ("cuda-core", 1), ("pycuda", 2), ("ctypes", 3)])
def test_the_contract_holds_over_fakecuda(fakecuda: FakeCuda, backend: str, seed: int) -> None:  # noqa: F811
    _need(backend)
    argv = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *(str(HERE / name) for name in SUITE)]
    env = {"LIVEMATTE_TEST_CUDA": backend, "FAKE_TOTAL_MB": "64"}
    done = fakecuda.run(argv, env=env, seed=seed, timeout_seconds=280)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    assert " passed" in done.stdout


@pytest.mark.parametrize("backend", NEEDS)
def test_the_primary_context_gets_our_flags_and_goes_back(fakecuda: FakeCuda, backend: str) -> None:  # noqa: F811
    _need(backend)
    seen = fakecuda.call(f"{SCENES}:context", backend=backend, env={"FAKE_CAPABILITY": "8.9"})
    blocking = 4
    assert seen["before"][1] == 0
    # FFmpeg's decoder refuses a primary context with any other flags.
    assert seen["during"] == [blocking, 1]
    assert seen["after"][1] == 0
    assert seen["capability"] == [8, 9]
    non_blocking = 1
    (flags, ordinary), (flags_of_high, high) = seen["streams"]
    assert flags == flags_of_high == non_blocking
    # A lower number is a higher priority.
    assert high < ordinary
    assert seen["name"]


@pytest.mark.parametrize("backend", NEEDS)
def test_a_context_that_another_library_made_is_shared(fakecuda: FakeCuda, backend: str) -> None:  # noqa: F811
    _need(backend)
    seen = fakecuda.call(f"{SCENES}:context", backend=backend, env={"FAKE_PRIMARY_ACTIVE": "1"})
    assert seen["before"][1] == 1
    assert seen["during"] == seen["before"]
    assert seen["after"] == seen["before"]


def test_other_libraries_take_our_streams_and_arrays(fakecuda: FakeCuda) -> None:  # noqa: F811
    pytest.importorskip("cuda.core", reason="cuda-core is not installed")
    assert fakecuda.call(f"{SCENES}:interchange") == [True] * 4


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"FAKE_FAIL": "cuInit:*:100"}, "shows no GPU"),
        ({"FAKE_DEVICES": "0"}, "shows no GPU"),
        ({"FAKE_FAIL": "cuInit:*:803"}, "different versions"),
        ({"FAKE_FAIL": "cuInit:*:804", "FAKE_DRIVER_VERSION": "12040"}, "runs CUDA up to 12.4, needed is CUDA 13.0"),
        ({"FAKE_FAIL": "cuInit:*:999"}, "does not say why"),
        ({"FAKE_FAIL": "cuDevicePrimaryCtxRetain:*:2"}, "not enough free memory"),
        ({"FAKE_FAIL": "cuDevicePrimaryCtxRetain:*:46"}, "busy"),
    ],
)
@pytest.mark.parametrize("backend", NEEDS)
def test_what_fails_at_the_start_ends_with_5_and_the_reason(
    fakecuda: FakeCuda,  # noqa: F811
    backend: str,
    env: dict[str, str],
    words: str,
) -> None:
    _need(backend)
    said = fakecuda.call(f"{SCENES}:opening", backend=backend, env=env)
    assert said.startswith("5: ")
    assert words in said


@pytest.mark.parametrize("code", [2, 700, 999])
@pytest.mark.parametrize("backend", NEEDS)
def test_any_call_may_fail_and_the_driver_still_closes(
    fakecuda: FakeCuda,  # noqa: F811
    backend: str,
    code: int,
    host_image: bytes,
) -> None:
    _need(backend)
    # pycuda asks and frees with calls of other names, or swallows what its clean-up meets.
    skipped = ["cuMemFree"] if backend == "pycuda" else []
    if code == 2:
        # Refused without an effect, which no driver does: the stream would stay captured for good.
        skipped.append("cuStreamEndCapture")
    said = fakecuda.call(
        f"{SCENES}:failures", backend=backend, code=code, image=host_image.decode("latin-1"), skipped=skipped
    )
    # Memory that did not fit is asked for once more after everything closed came in; a dead context frees in silence.
    silent = {"cuMemAlloc"} if code == 2 else {"cuGraphExecDestroy", "cuMemFree"}
    for call, outcome in said.items():
        allowed = {f"CudaError {code} fine"} | ({"fine fine"} if call in silent else set())
        assert outcome in allowed, f"{call}: {outcome}"
