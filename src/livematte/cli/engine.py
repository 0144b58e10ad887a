"""`livematte engine`: compiled networks (plans) for NVIDIA GPUs: built, listed, removed; and smaller networks made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from livematte import resources
from livematte.cli import engine_said as said
from livematte.cli.console import Console
from livematte.cli.engine_build import Order, build_one, orders_of, parse_bytes
from livematte.cli.engine_progress import watching
from livematte.cli.options import GROUP_RUN, MessageArgument, MessageOptions
from livematte.config import Quality
from livematte.errors import DeviceError, UsageError
from livematte.runtimes.plans import Entry, PlanStore, Pruning, prune

app = App(name="engine")

Words = list[str] | None
Chips = Annotated[Words, Parameter(metavar="CHIPS")]
Shapes = Annotated[Words, Parameter(metavar="SHAPE")]


@Parameter(name="*", group=GROUP_RUN)
@dataclass(frozen=True)
class Said:
    """What a long command says."""

    quiet: bool = False
    """Say only what went wrong."""
    json: bool = False
    """JSON lines on stdout: progress, messages, and last the summary."""
    debug: bool = False
    """Show the traceback of an error (also with LIVEMATTE_DEBUG=1)."""

    def console(self) -> Console:
        """Where the words go."""
        return Console.for_run(quiet=self.quiet, as_json=self.json, stdout_taken=False)


@app.command
def build(
    model: str,
    /,
    *,
    precision: Literal["auto", "fp32", "tf32", "fp16", "int8"] = "auto",
    shape: Shapes = None,
    quality: Quality = "good",
    runtime: Literal["auto", "tensorrt", "tensorrt-rtx"] = "auto",
    target: Chips = None,
    device: Annotated[str, Parameter(metavar="DEVICE")] = "cuda",
    rebuild: bool = False,
    messages: Said = Said(),
) -> int:
    """Compile a network for NVIDIA GPUs now, so that the first run with it starts at once.

    A run builds what it needs by itself; this does it beforehand, or for GPUs of other machines of yours that share
    this cache. Plans are kept in the cache folder (LIVEMATTE_CACHE moves it). One for the same file, shapes, precision,
    library and chip that is there already is left as it is.

    Parameters
    ----------
    model
        A network's name (see 'livematte model list') or an .onnx file.
    precision
        auto: as the network's file is. fp32: exact. tf32: fp32 with shorter multiplications. fp16: the fast one. int8:
        for a file that 'livematte engine quantize' made.
    shape
        Size of the network's input, HEIGHTxWIDTH, or a range MIN:OPT:MAX of three such; may repeat, a plan each.
        Default: what --quality gives for 16:9 pictures (networks that scale inside: for 1920x1080).
    quality
        fast, good or best: which input size, where --shape is not given.
    runtime
        tensorrt builds for the GPU of this machine, tensorrt-rtx for GeForce and RTX GPUs, with or without having
        them. auto: tensorrt-rtx where --target is given; else the one that is installed, tensorrt first.
    target
        For tensorrt-rtx: the chips to build for (sm_89,sm_120), a plan each. Default: this machine's GPU.
    device
        The GPU to build on or for: cuda, cuda:1.
    rebuild
        Build again what is there already.
    """
    console = messages.console()
    order = Order(model, precision, tuple(shape or ()), quality, runtime, _comma_list(target), device)
    store = PlanStore(reporter=console)
    store.prepare()
    rows: list[dict[str, Any]] = []
    for one in orders_of(order, reporter=console):
        row = build_one(one, store=store, rebuild=rebuild, console=console)
        rows.append(row)
        console.say(said.built(row))
    console.event("summary", {"plans": rows, "folder": str(store.folder)})
    return 0 if all(row["kept"] for row in rows) else 1


@app.command(name="list")
def list_(*, messages: MessageArgument = MessageOptions()) -> int:  # noqa: B008
    """Every plan of this machine: of which network, for what, how large, when built and last used."""
    console = _console(messages)
    store = PlanStore(reporter=console)
    entries = store.entries()
    rows = [said.row(entry) for entry in entries]
    total = sum(entry.bytes for entry in entries)
    console.event("summary", {"plans": rows, "folder": str(store.folder), "bytes": total})
    if not entries:
        console.say(
            f"No plan has been built on this machine. 'livematte engine build MODEL' makes one in {store.folder}."
        )
        return 0
    said.say_table(rows, console)
    console.say(f"{said.number_of(len(rows), 'file')}, {said.size(total)}, in {store.folder}")
    if any(row["problem"] for row in rows):
        console.say("What is marked cannot be used and is built anew when needed; 'livematte engine prune' removes it.")
    return 0


@app.command
def inspect(plan: str, /, *, messages: MessageArgument = MessageOptions()) -> int:  # noqa: B008
    """One plan: what it was built from and for, by what, when, and the precisions that its layers really have.

    Every byte is checked; ends with 1 where the plan is damaged. Nothing is loaded onto a GPU.

    Parameters
    ----------
    plan
        The first letters of its id, as 'livematte engine list' gives it, or the name of a network with one plan.
    """
    console = _console(messages)
    store = PlanStore(reporter=console)
    entry = _find(plan, store.entries())
    problem = entry.problem or store.check(entry)
    console.event("summary", said.details(entry, problem))
    for line in said.detail_lines(entry, problem):
        console.say(line)
    return 1 if problem else 0


@app.command(name="prune")
def prune_(
    *,
    unused_days: float | None = None,
    max_size: str | None = None,
    all: Annotated[bool, Parameter(negative="")] = False,  # the option's name
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    messages: MessageArgument = MessageOptions(),  # noqa: B008
) -> int:
    """Remove plans that are of no more use: damaged ones, and those of another version of an installed library.

    What is removed by mistake is built again when it is needed. With --unused-days or --all the converted graphs that
    plans are built from go too.

    Parameters
    ----------
    unused_days
        Also those that were not used for so many days.
    max_size
        Also the longest unused, until the rest is not more than this: 2GB, 500MB.
    all
        All of them.
    dry_run
        Remove nothing; say what would go.
    """
    console = _console(messages)
    if unused_days is not None and not unused_days >= 0:
        raise UsageError(f"--unused-days cannot be '{unused_days:g}'. Allowed: 0 and more.")
    pruning = Pruning(
        versions=_installed_versions(),
        unused_days=unused_days,
        most_bytes=None if max_size is None else parse_bytes(max_size),
        everything=all,
        graphs=resources.cache_dir() / "graphs",
        dry_run=dry_run,
    )
    store = PlanStore(reporter=console)
    removed = prune(store, pruning)
    gone = [one for one in removed if not one.kept]
    freed = sum(one.bytes for one in gone)
    console.event(
        "summary", {"removed": [said.removed_row(one) for one in removed], "bytes": freed, "dry_run": dry_run}
    )
    for one in removed:
        console.say(f"{one.path.name} {one.reason}{f'; {one.kept}, so it stays' if one.kept else ''}")
    would = "would be removed" if dry_run else "removed"
    console.say(f"{said.number_of(len(gone), 'file')} {would}, {said.size(freed)}." if gone else "Nothing to remove.")
    return 0 if len(gone) == len(removed) or dry_run else 1


@app.command
def quantize(
    model: str,
    inputs: Annotated[tuple[str, ...], Parameter(metavar="IN", allow_leading_hyphen=False)],
    /,
    *,
    precision: Literal["fp16", "int8"] = "int8",
    for_: Annotated[Literal["cpu", "tensorrt"], Parameter(name="--for")] = "cpu",
    runtime: Literal["auto", "onnxruntime", "openvino"] = "auto",
    max_mad: float = 2.0,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], metavar="OUT")] = None,
    frames: int = 48,
    quality: Quality = "good",
    network_size: str | None = None,
    threads: int = 0,
    allow_slower: bool = False,
    overwrite: bool = False,
    messages: Said = Said(),
) -> int:
    """Make a network smaller or quicker (INT8, or fp16 with fp32 islands), measured on your own clips.

    The mattes and milliseconds of the result stand beside those of fp32 and fp16, on the same frames. Where the mattes
    are further from fp32's than --max-mad, or nothing became quicker, nothing is written, and it ends with 1. A clip
    with its true matte beside it (NAME.mp4, NAME.alpha.mkv) is measured against that too.

    Parameters
    ----------
    model
        A network's name (see 'livematte model list') or an .onnx file, in fp32.
    inputs
        Clips, pictures or folders of the kind that it will be used on.
    precision
        int8 or fp16.
    for_
        Who will run it: cpu (ONNX Runtime, OpenVINO) or tensorrt (with tensorrt-rtx). The two want different files.
    runtime
        Which of the processor's runtimes it is measured with. auto: all that are installed, and it must suit each.
    max_mad
        How far the mattes may be from fp32's: mean absolute difference x 1000.
    output
        The file to write; a manifest (.toml) is written beside it. Default: MODEL-PRECISION-FOR.onnx here.
    frames
        Frames of each input, at most.
    quality
        fast, good or best: the input size at which it is measured.
    network_size
        That size itself, WIDTHxHEIGHT.
    threads
        CPU threads for measuring; 0: chosen for this machine.
    allow_slower
        Write it even where it is no quicker.
    overwrite
        Replace an output that exists.
    """
    from livematte.runtimes.graphs.conversion import QuantizeRequest, quantize_model

    console = messages.console()
    request = QuantizeRequest(
        model=model,
        inputs=inputs,
        precision=precision,
        target=for_,
        runtime=runtime,
        max_mad=max_mad,
        output=output,
        frames=frames,
        quality=quality,
        network_size=network_size,
        threads=threads,
        overwrite=overwrite,
        allow_slower=allow_slower,
    )
    with watching(console, model) as progress:
        result = quantize_model(request, reporter=console, progress=progress)
    for line in said.quantized_lines(result):
        console.say(line)
    if result.refused is not None:
        console.warn(result.refused)
    console.event("summary", said.quantized(result))
    return 0 if result.refused is None else 1


def _console(messages: MessageOptions) -> Console:
    return Console.for_run(quiet=False, as_json=messages.json, stdout_taken=False)


def _comma_list(words: Words) -> tuple[str, ...]:
    """`--target a,b --target c` as one tuple, without doubles."""
    split = (part.strip() for word in words or () for part in word.split(","))
    return tuple(dict.fromkeys(part for part in split if part))


def _find(word: str, entries: list[Entry]) -> Entry:
    """The plan that a word names. UsageError where none or several fit."""
    if not entries:
        raise UsageError("no plan has been built on this machine. 'livematte engine build MODEL' makes one.")
    wanted = word.removesuffix(".plan")
    found = [entry for entry in entries if entry.id.startswith(wanted)] if wanted else []
    found = found or [entry for entry in entries if said.model_of(entry) == word]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(f"{entry.id[: said.ID_SHOWN]} ({said.model_of(entry)})" for entry in (found or entries)[:8])
    if found:
        raise UsageError(f"'{word}' is {len(found)} plans: {shown}. Give more letters of the id.")
    raise UsageError(f"there is no plan '{word}'. There are: {shown}. 'livematte engine list' shows all.")


def _installed_versions() -> dict[str, str]:
    """Of the libraries that are here; plans of one that is not may belong to another environment, and stay."""
    from livematte.runtimes.tensorrt import library

    found: dict[str, str] = {}
    for dialect in library.DIALECTS:
        try:
            found[dialect.runtime] = library.version(dialect.runtime)
        except DeviceError:
            continue
    return found
