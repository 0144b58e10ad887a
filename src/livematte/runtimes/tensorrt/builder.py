"""Building plans in a child process, which may crash or be interrupted without harm to anything.

Note [A process of its own]
    A builder takes seconds to minutes, holds the memory of the network several times over, cannot be interrupted from
    Python, and now and then dies. So it runs as `python -m livematte.runtimes.tensorrt.child`: the request goes in
    as one line of JSON on stdin, progress comes out as lines of JSON, the plan comes in a file inside a private
    temporary folder. Our end of stdin stays open as a life line: when it closes, because we died, the child ends.
    Ctrl-C ends the child at once; what it had is thrown away, and the timing cache is only ever replaced whole.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from livematte.errors import DeviceError, LivematteError, ModelError, UsageError
from livematte.runtimes.tensorrt.request import BuildOptions, BuildRequest, Built, Progress, nothing

_ERRORS: dict[str, type[LivematteError]] = {"usage": UsageError, "model": ModelError, "device": DeviceError}
"""What the child calls an error -> ours."""


def build(request: BuildRequest, *, progress: Progress = nothing) -> bytes:
    """The plan of a network; see `build_plan`."""
    return build_plan(request, progress=progress).plan


def build_plan(request: BuildRequest, *, progress: Progress = nothing) -> Built:
    """Build a plan in a child process, and say how far it is.

    UsageError (2): targets or options that the library does not have. ModelError (4): the file is no network, uses
    operators that the library lacks (named, with their nodes), is not in the precision that it is said to be, or made
    the builder crash. DeviceError (5): library, driver or memory are missing. KeyboardInterrupt passes through.
    """
    request.check()
    if not request.onnx.is_file():
        raise ModelError(f"there is no file {request.onnx}. Give the path of an .onnx file, or a network's name.")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="livematte-build-") as folder:
        outcome = _run(request, Path(folder), progress)
        plan = Path(folder, "plan").read_bytes()
    progress("done", 1.0)
    facts = outcome["facts"] | ({"layers": outcome["layers"]} if outcome.get("layers") else {})
    return Built(plan, time.monotonic() - started, facts)


def _run(request: BuildRequest, folder: Path, progress: Progress) -> dict[str, Any]:
    """What the child said last. Raises what went wrong there; the child is ended, whatever happens here."""
    command = [sys.executable, "-P", "-m", "livematte.runtimes.tensorrt.child", str(folder / "plan")]
    with (folder / "stderr").open("w+", encoding="utf-8", errors="replace") as said:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, encoding="utf-8"
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            outcome = _converse(child.stdin, child.stdout, request, progress)
            code = child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            child.stdout.close()
            _close(child.stdin)
        said.seek(0)
        tail = said.read()[-2000:]
    if "error" in outcome:
        raise _ERRORS[outcome["kind"]](outcome["error"])
    if "facts" not in outcome or not (folder / "plan").is_file():
        raise _crashed(request, code, tail)
    return outcome


def _converse(to_child: IO[str], from_child: IO[str], request: BuildRequest, progress: Progress) -> dict[str, Any]:
    """Send the request, pass progress on; everything else that the child said before it ended."""
    outcome: dict[str, Any] = {}
    try:
        to_child.write(json.dumps(request.as_dict()) + "\n")
        to_child.flush()
    except OSError:  # it has ended already; what it said is still in the pipe
        pass
    for line in from_child:
        try:
            message = json.loads(line)
        except ValueError:
            break  # cut off in the middle of a line
        if "stage" in message:
            progress(message["stage"], message["fraction"])
        else:
            outcome |= message
    return outcome


def _close(pipe: IO[str]) -> None:
    try:
        pipe.close()
    except OSError:  # what was still to be written has no reader any more
        return


def _crashed(request: BuildRequest, code: int, said: str) -> LivematteError:
    """What it means that the child ended without an answer."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = f" Its last words: {lines[-1][:300]}" if lines else ""
    if code == -getattr(signal, "SIGKILL", 9):
        return DeviceError(
            f"building the plan for {request.onnx.name} was killed from outside, most often because the machine ran "
            f"out of memory. Close other programs, or use a smaller --network-size.{last}"
        )
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    with contextlib.suppress(ValueError):  # a number without a name
        how = signal.Signals(-code).name if code < 0 else how
    return ModelError(
        f"{request.runtime} crashed ({how}) while it built a plan for {request.onnx.name}. Nothing was changed. Try "
        f"another version of the library, or run the network with --runtime onnxruntime.{last}"
    )


__all__ = ["BuildOptions", "BuildRequest", "Built", "Progress", "build", "build_plan"]
