"""The process that builds one plan; see `builder.py`, Note [A process of its own].

    python -m livematte.runtimes.tensorrt.child PLAN_FILE < request.json

Answers in lines of JSON on stdout: {"stage", "fraction"} while it works, {"facts"} when the plan is written, {"layers"}
when it could be read back; or {"error", "kind"}. Whatever the libraries themselves print goes to stderr.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import IO, Any

from livematte.errors import DeviceError, LivematteError, ModelError, UsageError
from livematte.runtimes.tensorrt.compiler import built_layers, compile_plan
from livematte.runtimes.tensorrt.library import load
from livematte.runtimes.tensorrt.request import BuildRequest


def main() -> int:
    """Read a request, build, answer. Ends 0 with an answer given, whatever it says."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and kills
    channel = _private_stdout()
    request = BuildRequest.from_dict(json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, name="life line", daemon=True).start()
    lock = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        with lock:
            channel.write(json.dumps(message) + "\n")
            channel.flush()

    try:
        library = load(request.runtime)
        library.check_targets(request.targets)
        plan, facts = compile_plan(library, request, lambda stage, done: say({"stage": stage, "fraction": done}))
        Path(sys.argv[1]).write_bytes(plan)
        say({"facts": facts | {"peak_bytes": _peak_bytes()}})
        say({"layers": built_layers(library, plan, request)})  # from here on a crash costs nothing
    except LivematteError as error:
        say({"error": str(error), "kind": _kind(error)})
    except MemoryError:
        say({"error": f"memory ran out while the plan for {request.onnx.name} was built; use a smaller "
             "--network-size.", "kind": "device"})  # fmt: skip
    return 0


def _kind(error: LivematteError) -> str:
    if isinstance(error, UsageError):
        return "usage"
    return "device" if isinstance(error, DeviceError) or not isinstance(error, ModelError) else "model"


def _private_stdout() -> IO[str]:
    """The pipe to the parent, out of the reach of libraries that print: from here on file 1 is stderr."""
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8")


def _end_with_parent() -> None:
    """Wait for stdin to close, which it does when the parent ends, however it ends."""
    try:
        while os.read(0, 4096):
            pass
    except OSError:  # as good as closed
        pass
    os._exit(1)


def _peak_bytes() -> int:
    """Most memory that this process ever held; 0 where the system does not tell."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:  # not Linux
        return 0
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # the library's own threads and destructors have nothing left to say
