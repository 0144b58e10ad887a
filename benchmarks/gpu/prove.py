"""Proves the GPU path on a machine that has one, in one call, and writes what it found as JSON.

    benchmarks/gpu/prove.sh [--wheels FOLDER] [--out FILE]      # on a bare machine: installs from FOLDER first
    python benchmarks/gpu/prove.py [--out FILE] [--only NAME,...] [--seconds 470]
    python benchmarks/gpu/prove.py --rehearse                   # over tests/fakecuda, no GPU: tries these scripts alone

Each proof runs in a process of its own under a time limit: one that crashes or hangs costs its own line. Those that do
not time run side by side, the others alone after them. What is absent is "not run: reason", as is what no time is
left for. With --keep, small tensors are left in that folder, as fixtures for machines without a GPU. Ends with 0 where
everything that ran is met, with 1 where something failed or is not met, with 5 where nothing could run without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests")]

from proofs import PROOFS, REPOSITORY, NotRun, Proof, Result, gpu_name  # noqa: E402

MARK = "PROOF-RESULT "
LEAST_SECONDS = 5
"""With less time left, a proof is not begun."""


def run_one(name: str) -> int:
    """In the child: run a proof and print its result behind a mark."""
    proof = next(proof for proof in PROOFS if proof.name == name)
    try:
        if proof.needs_gpu:
            gpu_name()
        found = {"state": "run", **proof.function()()}
    except NotRun as reason:
        found = {"state": f"not run: {reason}"}
    except Exception as error:
        traceback.print_exc()
        found = {"state": f"failed: {type(error).__name__}: {error}"}
    print(f"\n{MARK}{json.dumps(found)}", flush=True)
    return 0


def prove(proof: Proof, limit_seconds: float, environment: dict[str, str]) -> Result:
    """Run a proof in a child process; its result, or why there is none."""
    begin = time.monotonic()
    command = [sys.executable, str(HERE / "prove.py"), "--proof", proof.name]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment,
        cwd=REPOSITORY, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = child.communicate(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        end_group(child)
        output, _ = child.communicate()
        problem = f"not done after {limit_seconds:.0f} s"
    else:
        problem = f"ended with {child.returncode}"
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    found: Result = json.loads(lines[-1][len(MARK) :]) if lines else {"state": f"failed: {problem}"}
    if found["state"].startswith("failed"):
        found["tail"] = output[-1500:]
    return {"says": proof.says, **found, "seconds": round(time.monotonic() - begin, 1)}


def end_group(child: subprocess.Popen[str]) -> None:
    """End the child with what it has started."""
    try:
        os.killpg(child.pid, 9)
    except ProcessLookupError:
        child.kill()


def environment_of(rehearse: bool) -> dict[str, str]:
    """The children's: our sources and tests importable; for a rehearsal, fakecuda in the driver's place."""
    paths = [str(REPOSITORY / "src"), str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH", "")]
    base = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": "1"}
    if not rehearse:
        return base
    from fakecuda.build import build
    from fakecuda.plugin import FakeCuda

    over_fakecuda = FakeCuda(build()).environment()
    return {
        **over_fakecuda,
        "PYTHONPATH": base["PYTHONPATH"],
        "LIVEMATTE_REHEARSAL": "1",
        "LIVEMATTE_TEST_IMAGES": "shim",
    }


def is_good(found: Result) -> bool:
    """True where a proof did not run for a reason, or ran and is met."""
    return found["state"].startswith("not run") or (found["state"] == "run" and found.get("met") is not False)


def said(name: str, found: Result) -> str:
    """One line for the terminal."""
    met = {True: "met", False: "NOT MET", None: "done"}[found.get("met")]
    return f"{name:12} {found['seconds']:6.1f} s  {met if found['state'] == 'run' else found['state']}"


def prove_all(chosen: list[Proof], arguments: argparse.Namespace) -> dict[str, Result]:
    """Those that do not time side by side, then the others one by one; each result is printed and kept at once."""
    results: dict[str, Result] = {}
    end = time.monotonic() + arguments.seconds
    environment = environment_of(arguments.rehearse)
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        environment["LIVEMATTE_PROVE_KEEP"] = str(arguments.keep.resolve())
    lock = threading.Lock()

    def work(proof: Proof) -> None:
        left = end - time.monotonic()
        if left < LEAST_SECONDS:
            found: Result = {"says": proof.says, "state": "not run: the time for all proofs is over", "seconds": 0.0}
        else:
            found = prove(proof, min(proof.seconds, left), environment)
        with lock:
            results[proof.name] = found
            print(said(proof.name, found), flush=True)
            ordered = {one.name: results[one.name] for one in PROOFS if one.name in results}
            report = {"is_rehearsal": arguments.rehearse, "proofs": ordered}
            arguments.out.write_text(json.dumps(report, indent=2) + "\n")

    side_by_side = max(1, min(6, (os.cpu_count() or 1) // 2))
    with ThreadPoolExecutor(side_by_side) as pool:
        list(pool.map(work, [proof for proof in chosen if not proof.is_alone]))
    for proof in chosen:
        if proof.is_alone:
            work(proof)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proof", choices=[proof.name for proof in PROOFS], help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="names of proofs, with commas between them")
    parser.add_argument("--out", type=Path, default=Path("prove.json"))
    parser.add_argument("--seconds", type=float, default=470, help="for all proofs together")
    parser.add_argument("--keep", type=Path, help="a folder for small tensors")
    parser.add_argument("--rehearse", action="store_true")
    arguments = parser.parse_args()
    if arguments.proof:
        return run_one(arguments.proof)
    wanted = [name for name in arguments.only.split(",") if name]
    unknown = set(wanted) - {proof.name for proof in PROOFS}
    if unknown:
        parser.error(f"no such proof: {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in PROOFS)}")
    chosen = [proof for proof in PROOFS if not wanted or proof.name in wanted]
    results = prove_all(chosen, arguments)
    ran = [name for name, found in results.items() if found["state"] == "run" and name != "machine"]
    if not all(map(is_good, results.values())):
        return 1
    return 0 if ran else 5


if __name__ == "__main__":
    sys.exit(main())
