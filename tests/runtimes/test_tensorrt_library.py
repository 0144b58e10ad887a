"""Finding TensorRT: what is missing, what is too new, what the dialects say; and the library's messages."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import fake_tensorrt as fake
import pytest

from livematte.errors import DeviceError, UsageError
from livematte.runtimes.tensorrt.library import DIALECTS, Messages, describe, implement, load, version


def put(monkeypatch: pytest.MonkeyPatch, name: str, module: object) -> None:
    monkeypatch.setitem(sys.modules, name, module)


def test_a_missing_library_names_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for runtime, name, extra in (("tensorrt", "tensorrt", "tensorrt"), ("tensorrt-rtx", "tensorrt_rtx", "rtx")):
        put(monkeypatch, name, None)  # what Python keeps for a module that must not be found
        with pytest.raises(DeviceError, match=rf"pip install 'livematte\[{extra}\]'") as caught:
            load(runtime)
        assert caught.value.exit_code == 5


def test_a_library_without_its_parts_says_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    (tmp_path / "tensorrt.py").write_text("import tensorrt_libs_that_are_not_there\n")
    with pytest.raises(DeviceError, match="without its part 'tensorrt_libs_that_are_not_there'"):
        load("tensorrt")
    (tmp_path / "tensorrt.py").write_text("raise OSError('libnvinfer.so.11: cannot open shared object file')\n")
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(DeviceError, match=r"cannot be loaded: libnvinfer\.so\.11"):
        load("tensorrt")


@pytest.mark.parametrize("said", ["8.6.1", "12.0.1", "", "unknown"])
def test_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    module = ModuleType("tensorrt")
    module.Builder = object  # type: ignore[attr-defined]
    module.__version__ = said  # type: ignore[attr-defined]
    put(monkeypatch, "tensorrt", module)
    with pytest.raises(DeviceError, match=r"can drive version 10 and 11"):
        load("tensorrt")


def test_an_empty_module_is_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("tensorrt_rtx")
    module.__version__ = "1.7.1"  # type: ignore[attr-defined]
    put(monkeypatch, "tensorrt_rtx", module)
    with pytest.raises(DeviceError):
        load("tensorrt-rtx")


def test_each_dialect_is_chosen_by_version(monkeypatch: pytest.MonkeyPatch) -> None:
    for dialect, number in zip(DIALECTS, ("10.16.2", "11.4.0", "1.7.1"), strict=True):
        module = fake.namespace(dialect.module, number)
        library = describe(dialect.runtime, module)
        assert library.dialect is dialect
        assert library.version == number
        assert library.network_flags() == (0 if dialect.major == 11 else 1 << 1)
    put(monkeypatch, "tensorrt_rtx", fake.namespace("tensorrt_rtx", "1.7.1"))
    assert version("tensorrt-rtx") == "1.7.1"


def test_targets_belong_to_rtx() -> None:
    rtx = describe("tensorrt-rtx", fake.namespace("tensorrt_rtx", "1.7.1"))
    assert rtx.targets() == ("sm_00", "sm_75", "sm_80", "sm_89")
    rtx.check_targets(("sm_75", "sm_89"))
    with pytest.raises(UsageError, match=r"'sm_90'.*sm_89.*--runtime tensorrt"):
        rtx.check_targets(("sm_90",))
    tuned = describe("tensorrt", fake.namespace("tensorrt", "11.4.0"))
    assert tuned.targets() == ()
    tuned.check_targets(())
    with pytest.raises(UsageError, match="for the GPU of this machine only") as caught:
        tuned.check_targets(("sm_89",))
    assert caught.value.exit_code == 2


def test_types_that_numpy_lacks_are_refused() -> None:
    library = describe("tensorrt", fake.namespace("tensorrt", "11.4.0"))
    assert library.numpy_type(SimpleNamespace(name="HALF"), "x") == "float16"
    with pytest.raises(DeviceError, match="'matte' is BF16"):
        library.numpy_type(SimpleNamespace(name="BF16"), "matte")


def test_messages_keep_errors_and_warnings_apart() -> None:
    messages = Messages(most=3)
    assert messages.sum_up() == "the library gave no reason"
    for at in range(5):
        messages.add("ERROR", f"error\n  {at}.")
    messages.add("WARNING", "careful")
    messages.add("INFO", "chatter")
    assert messages.errors() == ["error 2.", "error 3.", "error 4."]
    assert messages.warnings() == ["careful"]
    assert messages.sum_up() == "error 2; error 4"


def test_a_logger_of_ours_is_one_of_the_librarys() -> None:
    library = describe("tensorrt", fake.namespace("tensorrt", "11.4.0"))
    messages = Messages()
    logger = library.logger(messages)
    assert isinstance(logger, library.module.ILogger)
    threads = [
        threading.Thread(target=logger.log, args=(library.module.ILogger.Severity.ERROR, "no memory")) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert messages.errors() == ["no memory"] * 4


def test_implement_runs_the_interfaces_own_start() -> None:
    class Interface:
        def __init__(self) -> None:
            self.started = True

    made = implement(Interface, {"double": lambda _self, value: 2 * value})
    assert made.started
    assert made.double(4) == 8
