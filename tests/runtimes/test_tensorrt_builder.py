"""Building in a child process, over the fake library: what comes back, and what happens when the child misbehaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fake_tensorrt as fake
import psutil
import pytest
import trt_graphs as graphs

from livematte.errors import DeviceError, ModelError, UsageError
from livematte.runtimes.tensorrt import compiler
from livematte.runtimes.tensorrt.builder import BuildOptions, BuildRequest, build, build_plan
from livematte.runtimes.tensorrt.library import describe
from livematte.runtimes.tensorrt.profile import Profile

FAKE = Path(__file__).parent / "trt_fake"


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    return graphs.convolutions(tmp_path / "net.onnx")


@pytest.fixture(autouse=True)
def over_the_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FAKE), prepend=os.pathsep)
    monkeypatch.delenv("FAKE_TRT", raising=False)


def request_for(onnx: Path, **changes: object) -> BuildRequest:
    given = {"onnx": onnx, "runtime": "tensorrt-rtx", "profile": Profile.static({"input": (1, 3, 32, 32)}),
             "precision": "fp32", "targets": ("sm_89",)} | changes  # fmt: skip
    return BuildRequest(**given)


def header_of(plan: bytes) -> dict:
    return json.loads(plan[12 : 12 + int.from_bytes(plan[8:12], "little")])


def test_a_plan_comes_back_with_its_facts(onnx: Path) -> None:
    said: list[tuple[str, float]] = []
    built = build_plan(request_for(onnx), progress=lambda stage, fraction: said.append((stage, fraction)))
    header = header_of(built.plan)
    assert header["library"] == "tensorrt_rtx 1.7.1"
    assert header["flags"] == ["REQUIRE_USER_ALLOCATION"]  # and TF32, which is on by default, is not there
    assert header["capabilities"] == ["SM89"]
    assert header["detailed"]
    assert built.facts["types"] == {"fp32": 2}
    assert built.facts["layers"] == {"fp32": 1}
    assert built.facts["inputs"] == {"input": "float (1, 3, 32, 32)"}
    assert built.facts["peak_bytes"] > 0
    assert [fraction for _, fraction in said] == sorted(fraction for _, fraction in said)
    assert said[-1] == ("done", 1.0)
    assert {"reading the network", "Building", "inner"} <= {stage for stage, _ in said}


def test_tf32_is_set_only_where_it_is_asked_for(onnx: Path) -> None:
    assert "TF32" in header_of(build(request_for(onnx, precision="tf32")))["flags"]


def test_free_sides_get_a_profile(tmp_path: Path) -> None:
    onnx = graphs.convolutions(tmp_path / "free.onnx", sides=("batch", 3, "height", "width"))
    ranged = Profile.dynamic({"input": (1, 3, 32, 32)}, {"input": (1, 3, 64, 64)}, {"input": (1, 3, 96, 128)})
    plan = build(request_for(onnx, profile=ranged))
    assert header_of(plan)["profile"] == {"input": [[1, 3, 32, 32], [1, 3, 64, 64], [1, 3, 96, 128]]}
    with pytest.raises(ModelError, match="was asked for"):
        build(request_for(graphs.convolutions(tmp_path / "fixed.onnx"), profile=ranged))


def test_a_profile_must_name_the_inputs_of_the_file(onnx: Path) -> None:
    with pytest.raises(ModelError, match="takes input, and the profile names picture"):
        build(request_for(onnx, profile=Profile.static({"picture": (1, 3, 32, 32)})))


def test_nodes_that_the_parser_refuses_are_named(tmp_path: Path) -> None:
    onnx = graphs.deformable(tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"node '/deformed' \(DeformConv\): no importer.*--runtime onnxruntime"):
        build(request_for(onnx, profile=Profile.static({"input": (1, 3, 16, 16)})))


def test_at_most_three_nodes_are_named(onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRT", "refuse")
    with pytest.raises(ModelError, match=r"; and 1 more\."):
        build(request_for(onnx))


def test_a_build_without_result_says_the_librarys_reason(onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRT", "fail")
    with pytest.raises(ModelError, match="could not find any implementation for node /conv"):
        build(request_for(onnx))


def test_a_crash_is_a_model_error_with_its_last_words(onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRT", "abort")
    with pytest.raises(ModelError, match=r"crashed \(SIGABRT\).*bad_alloc|crashed \(exit code"):
        build(request_for(onnx))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_being_killed_is_a_matter_of_memory(onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRT", "kill")
    with pytest.raises(DeviceError, match="ran out of memory"):
        build(request_for(onnx))


def test_what_libraries_print_is_no_answer(onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRT", "noisy")
    assert build_plan(request_for(onnx)).facts["types"] == {"fp32": 2}


def test_a_library_that_made_something_else_of_it_is_refused(onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRT", "int8")
    with pytest.raises(DeviceError, match="was built for fp32, and the library made 1 layers in int8"):
        build(request_for(onnx))


def test_an_exception_in_our_progress_ends_the_child(onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRT", "hang")
    before = set(psutil.Process().children(recursive=True))

    def interrupt(_stage: str, _fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(request_for(onnx), progress=interrupt)
    assert not [child for child in psutil.Process().children(recursive=True) if child not in before]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_the_child_and_leaves_nothing(onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRT", "hang")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    code = (
        "import sys; from pathlib import Path\n"
        "from livematte.runtimes.tensorrt.builder import BuildRequest, build\n"
        "from livematte.runtimes.tensorrt.profile import Profile\n"
        "profile = Profile.static({'input': (1, 3, 32, 32)})\n"
        f"request = BuildRequest(Path({str(onnx)!r}), 'tensorrt-rtx', profile, 'fp32')\n"
        "build(request, progress=lambda stage, done: print(stage, done, flush=True))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    while "0.05" not in parent.stdout.readline():
        assert parent.poll() is None
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) == 1
    parent.send_signal(signal.SIGINT)
    _, said = parent.communicate(timeout=60)
    assert "KeyboardInterrupt" in said
    assert not children[0].is_running()
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_child_ends_when_its_parent_dies(onnx: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKE_TRT", "hang")
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "livematte.runtimes.tensorrt.child", str(tmp_path / "plan")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(request_for(onnx).as_dict()) + "\n")
    child.stdin.flush()
    while '"fraction": 0.05' not in child.stdout.readline():
        assert child.poll() is None
    child.send_signal(signal.SIGINT)  # a terminal sends it to both: the child leaves it to the parent
    time.sleep(0.2)
    assert child.poll() is None
    child.stdin.close()
    assert child.wait(timeout=60) == 1
    child.stdout.close()


def test_a_missing_library_is_a_device_error(onnx: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tensorrt_rtx.py").write_text("raise ModuleNotFoundError(name='tensorrt_rtx')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(DeviceError, match=r"pip install 'livematte\[rtx\]'"):
        build(request_for(onnx))


def test_the_folder_one_stands_in_is_never_imported_from(
    onnx: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a foreign json.py')\n")
    monkeypatch.chdir(tmp_path)
    assert build(request_for(onnx)).startswith(fake.MAGIC)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"runtime": "openvino"}, "no runtime 'openvino' that builds plans"),
        ({"precision": "fp8"}, "no precision 'fp8'"),
        ({"options": BuildOptions(optimization_level=6)}, "0 to 5"),
        ({"targets": ("sm_89", "sm_89")}, "twice"),
        ({"targets": ("sm_90",)}, "'sm_90'"),
    ],
)
def test_impossible_requests_end_with_2(onnx: Path, changes: dict, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        build(request_for(onnx, **changes))


def test_a_missing_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no file"):
        build(request_for(tmp_path / "nothing.onnx"))


def test_two_builds_at_once(onnx: Path) -> None:
    plans: list[bytes] = []
    threads = [threading.Thread(target=lambda: plans.append(build(request_for(onnx)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(plans) == 2
    assert plans[0] == plans[1]


def test_requests_survive_json(onnx: Path) -> None:
    options = BuildOptions(optimization_level=2, workspace_bytes=5, timing_cache=Path("/x/y"))
    request = request_for(onnx, options=options, device=3)
    assert BuildRequest.from_dict(json.loads(json.dumps(request.as_dict()))) == request
    assert options.as_dict() == {"optimization_level": 2}


def test_a_timing_cache_is_kept_for_tensorrt_only(onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "_take_gpu", lambda _ordinal: None)
    cache = tmp_path / "plans" / "timing.cache"
    options = BuildOptions(timing_cache=cache, workspace_bytes=1 << 20)
    for version in ("10.16.2", "11.4.0"):
        library = describe("tensorrt", fake.namespace("tensorrt", version))
        request = request_for(onnx, runtime="tensorrt", targets=(), options=options)
        plan, facts = compiler.compile_plan(library, request, lambda _stage, _fraction: None)
        assert header_of(plan)["flags"] == []
        assert facts["library"] == f"TensorRT {version}"
    assert cache.read_bytes() == b"TIMES++"  # the second build read what the first one wrote
    cache.write_bytes(b"foreign")
    compiler.compile_plan(library, request, lambda _stage, _fraction: None)
    assert cache.read_bytes() == b"TIMES+"
    assert [path.name for path in cache.parent.iterdir()] == ["timing.cache"]
    rtx = describe("tensorrt-rtx", fake.namespace("tensorrt_rtx", "1.7.1"))
    cache.unlink()
    compiler.compile_plan(rtx, request_for(onnx, options=options), lambda _stage, _fraction: None)
    assert not cache.exists()
    assert os.stat(cache.parent).st_mode & 0o077 == 0


def test_a_plan_that_cannot_be_loaded_here_has_no_layers(onnx: Path) -> None:
    library = describe("tensorrt-rtx", fake.namespace("tensorrt_rtx", "1.7.1"))
    assert compiler.built_layers(library, b"FAKEPLAN" + bytes(8), request_for(onnx)) == {}
