"""`livematte model`: which networks there are, under which licence, and where their weights come from."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from livematte.cli.console import Console
from livematte.cli.options import MessageArgument, MessageOptions
from livematte.models import catalogue
from livematte.models import weights as storage
from livematte.models.manifest import Manifest

app = App(name="model")

_EVIDENCE = (
    "Evidence: P publisher, T a widely used tool pins it, C several projects pin it, H somebody else's page, "
    "M read from a copy, u unverified."
)


def _console(messages: MessageOptions) -> Console:
    return Console.for_run(quiet=False, as_json=messages.json, stdout_taken=False)


@app.command(name="list")
def list_(*, messages: MessageArgument = MessageOptions()) -> int:  # noqa: B008  frozen, never changed
    """Every network: what it cuts out, its licence, its size, and whether it is on this machine."""
    console = _console(messages)
    rows = [_row(one) for one in catalogue.shipped().values()]
    console.event("summary", {"models": rows})
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        size = _megabytes(row["bytes"])
        here = "here" if row["here"] else "not here"
        default = " (default)" if row["name"] == catalogue.DEFAULT else ""
        licence = f"{row['licence']}, commercial use: {row['commercial']}"
        console.say(f"{row['name']:<{width}}  {here:<8}  {size:>12}  {', '.join(row['subjects'])}{default}; {licence}")
    console.say("'livematte model show NAME' tells more; 'livematte model fetch NAME' brings one that is not here.")
    return 0


@app.command
def show(name: str, /, *, messages: MessageArgument = MessageOptions()) -> int:  # noqa: B008
    """One network: what it is for, its licence in the publisher's words, its files, and what was measured.

    Parameters
    ----------
    name
        A network's name, as 'livematte model list' gives it.
    """
    console = _console(messages)
    one = catalogue.by_name(name)
    console.event("summary", one.model_dump(mode="json"))
    console.say(f"{one.name}: {one.title}")
    console.say(one.about)
    if one.homepage:
        console.say(f"Home: {one.homepage}")
    console.say(f"Licence: {one.licence.spdx}, commercial use: {one.licence.commercial}. {one.licence.text}")
    console.say(f"Sees earlier frames: {'yes' if one.is_recurrent else 'no'}")
    for file in (file for graph in one.graphs for file in graph.weights):
        where = f"at {storage.place_of(file)}" if storage.is_here(file) else "not on this machine"
        console.say(f"File: {file.file}, {file.precision}, {_megabytes(file.size_bytes)}, {where}")
        if file.url:
            console.say(f"  from {file.url}")
        digest = f"{file.sha256} (evidence {file.sha256_evidence})" if file.sha256 else "published nowhere"
        console.say(f"  sha256 {digest}")
        if file.export:
            console.say("  nobody publishes this file; how to make it:")
            for line in file.export.splitlines():
                console.say(f"    {line}")
    for note in one.notes:
        console.say(f"Note: {note}")
    if one.defaults.measured:
        console.say(f"Measured: {one.defaults.measured}")
    console.say(_EVIDENCE)
    return 0


@app.command
def fetch(
    name: str,
    /,
    *,
    precision: str = "auto",
    accept_licence: Annotated[bool, Parameter(name=["--accept-licence", "--accept-license"])] = False,
    trust_first_use: bool = False,
    messages: MessageArgument = MessageOptions(),  # noqa: B008
) -> int:
    """Bring a network's weights onto this machine, checked by their hash. The only command that downloads.

    Files that rembg has fetched before (`U2NET_HOME`, `~/.u2net`) are taken from there. Proxies: HTTPS_PROXY.

    Parameters
    ----------
    name
        A network's name, as 'livematte model list' gives it.
    precision
        Which of its files: auto (the first), fp32, fp16.
    accept_licence
        Accept a licence that forbids commercial use.
    trust_first_use
        Take a file whose hash nobody publishes, and hold every later one against it.
    """
    console = _console(messages)
    options = storage.FetchOptions(precision, accept_licence, trust_first_use)
    one = catalogue.by_name(name)
    path = _fetch(one, options, console)
    console.event("summary", {"name": one.name, "path": str(path), "bytes": path.stat().st_size})
    console.say(f"{one.name} is at {path}. Use it with: --model {one.name}")
    return 0


def _fetch(one: Manifest, options: storage.FetchOptions, console: Console) -> Any:
    if not console.is_terminal:
        return storage.fetch(one, options, reporter=console)
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console.rich, transient=True) as bar:
        task = bar.add_task(one.name, total=None)
        return storage.fetch(
            one,
            options,
            reporter=console,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


@app.command
def verify(*names: str, messages: MessageArgument = MessageOptions()) -> int:  # noqa: B008
    """Hash the weights on this machine anew and compare them with what their publishers state.

    Ends with 4 where a file is not what it should be.

    Parameters
    ----------
    names
        Networks to verify; none: all.
    """
    console = _console(messages)
    wanted = [catalogue.by_name(name) for name in names] or list(catalogue.shipped().values())
    found = storage.verify(wanted)
    rows = [
        {"name": one.name, "precision": one.precision, "path": str(one.path), "sha256": one.sha256, "good": one.is_good}
        for one in found
    ]
    console.event("summary", {"files": rows})
    for one in found:
        if one.is_good:
            against = "no hash is known to hold it against" if one.expected is None else "as it should be"
            console.say(f"ok   {one.name} ({one.precision}): {against}: {one.path}")
        else:
            console.say(f"BAD  {one.name} ({one.precision}): {one.path}")
            console.say(f"     its sha256 is {one.sha256}, it must be {one.expected}")
            console.say(f"     delete it and fetch it again: livematte model fetch {one.name}")
    if not found:
        console.say(f"None of these networks is on this machine: {', '.join(one.name for one in wanted)}.")
    return 0 if all(one.is_good for one in found) else 4


def _row(one: Manifest) -> dict[str, Any]:
    files = [file for graph in one.graphs for file in graph.weights]
    return {
        "name": one.name,
        "title": one.title,
        "subjects": list(one.subjects),
        "licence": one.licence.spdx,
        "commercial": one.licence.commercial,
        "bytes": files[0].size_bytes,
        "here": any(storage.is_here(file) for file in files),
    }


def _megabytes(size: int | None) -> str:
    return "size unknown" if size is None else f"{size / 1e6:.1f} MB"
