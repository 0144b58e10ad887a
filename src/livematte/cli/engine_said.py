"""What `livematte engine` says about plans: the table, one plan's lines, and the same as JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from livematte.cli.console import Console
from livematte.progress import readable_bytes
from livematte.runtimes.plans import Entry, PlanKey, Removed
from livematte.runtimes.plans.key import PLAN

if TYPE_CHECKING:
    from livematte.runtimes.graphs.conversion import QuantizeResult

ID_SHOWN = 10
"""Digits of an id that are shown: 40 bits tell the plans of one machine apart, and the table fits 80 columns."""
_ISLANDS_SHOWN = 12
_COLUMNS = {
    "id": "id",
    "model": "network",
    "runtime": "runtime",
    "precision": "types",
    "shape": "input",
    "for": "for",
    "size": "size",
    "used": "last used",
}
"""Key of a row -> heading."""
_NEVER_FOLDED = ("id", "size", "used")


def size(number: int) -> str:
    """`5.9 MB`."""
    return readable_bytes(number)


def number_of(count: int, word: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {word}{'s' * (count != 1)}"


def model_of(entry: Entry) -> str:
    """The network's name as the builder noted it; `?` where it did not."""
    name = entry.header.notes.get("model") if entry.header is not None else None
    return safe(name) if isinstance(name, str) and name else "?"


def safe(text: str) -> str:
    """Text from a file, without what a terminal would take for an order."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def row(entry: Entry) -> dict[str, Any]:
    """One plan for the table and for JSON."""
    if entry.header is None:
        return {"id": entry.id, "path": str(entry.path), "bytes": entry.bytes, "used": _iso(entry.used),
                "problem": entry.problem}  # fmt: skip
    key = entry.header.key
    return {
        "id": entry.id,
        "model": model_of(entry),
        "part": key.part,
        "runtime": key.runtime,
        "runtime_version": key.runtime_version,
        "precision": key.precision,
        "shape": shape_of(key),
        "targets": list(key.targets),
        "gpu": key.gpu,
        "os": key.os,
        "bytes": entry.bytes,
        "path": str(entry.path),
        "built": _iso(entry.header.built),
        "used": _iso(entry.used),
        "problem": "",
    }


def say_table(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """The plans as a table; on a terminal its columns fold, elsewhere each plan is one line."""
    cells = [_cells(one) for one in rows]
    if console.is_terminal:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for name, heading in _COLUMNS.items():
            table.add_column(heading, no_wrap=name in _NEVER_FOLDED, overflow="fold")
        for one, values in zip(rows, cells, strict=True):
            table.add_row(*(Text(value) for value in values), style="yellow" if one["problem"] else None)
        console.rich.print(table)
        return
    lines = [list(_COLUMNS.values()), *cells]
    widths = [max(len(line[at]) for line in lines) for at in range(len(_COLUMNS))]
    for line in lines:
        console.say("  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip())


def _cells(one: Mapping[str, Any]) -> list[str]:
    """A row's texts in the table's order."""
    if one["problem"]:
        words = {"id": one["id"], "model": f"!! {one['problem']}", "size": size(one["bytes"]), "used": one["used"]}
    else:
        words = {**one, "for": ", ".join(one["targets"]) or one["gpu"] or "any", "size": size(one["bytes"])}
        words["runtime"] = f"{one['runtime']} {one['runtime_version']}"
        least, *_, most = [*one["shape"].split(":")] * 2
        words["shape"] = least if least == most else f"{least} to {most}"
        words["model"] = one["model"] if one["part"] == PLAN else f"{one['model']} ({one['part']})"
    words["id"] = words["id"][:ID_SHOWN]
    words["used"] = words["used"][:10]
    return [safe(str(words.get(name, ""))) for name in _COLUMNS]


def shape_of(key: PlanKey) -> str:
    """The picture's input as HEIGHTxWIDTH, a range with colons; all inputs' sides where none looks like a picture."""
    shapes = key.shapes()
    for ranges in shapes.values():
        sides = [_picture_sides(shape) for shape in ranges]
        if all(sides):
            return ":".join(sides)
    return ", ".join(
        f"{safe(name)} {':'.join('x'.join(map(str, one)) for one in ranges)}" for name, ranges in shapes.items()
    )


def _picture_sides(shape: Sequence[int]) -> str:
    """`256x448` of (1, 3, 256, 448) or (1, 256, 448, 3); empty for what is no picture."""
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        return ""
    height, width = shape[2:4] if shape[1] == 3 else shape[1:3]
    return f"{height}x{width}"


def details(entry: Entry, problem: str) -> dict[str, Any]:
    """One plan, everything, for JSON."""
    if entry.header is None:
        return row(entry)
    header = entry.header
    return {
        **row(entry),
        "problem": problem,
        "key": header.key.as_dict(),
        "plan_bytes": header.length,
        "sha256": header.sha256,
        "notes": dict(header.notes),
    }


def detail_lines(entry: Entry, problem: str) -> list[str]:
    """One plan, for a person."""
    lines = [f"{entry.path}", f"size: {size(entry.bytes)}; last used {_when(entry.used)}"]
    if entry.header is None:
        return [*lines, f"This file {safe(problem)}. It is not used, and built anew when it is needed."]
    header, key = entry.header, entry.header.key
    lines += [
        f"network: {model_of(entry)}, in {key.precision}, input {shape_of(key)} (height x width)",
        f"what: {key.part}, by {key.runtime} {key.runtime_version}, on {key.os}",
        f"for: {', '.join(key.targets) or key.gpu or 'any GPU that the library takes by itself'}",
        f"built: {_when(header.built)}{_took(header.notes)}",
    ]
    lines += [f"option {name}: {value}" for name, value in key.options.items() if name != "part"]
    lines += _layers(header.notes) + _islands(header.notes)
    warnings = header.notes.get("warnings")
    lines += [f"the builder warned: {one}" for one in warnings[:5]] if isinstance(warnings, list) else []
    lines += [f"graph's sha256: {key.weights_sha256}", f"plan's sha256: {header.sha256}", f"id: {key.id}"]
    lines.append(f"DAMAGED: the file {problem}." if problem else "checked: every byte is as it was written")
    return [safe(line) for line in lines]


def _took(notes: Mapping[str, Any]) -> str:
    seconds = notes.get("seconds")
    return f" in {seconds:.1f} s" if isinstance(seconds, int | float) else ""


def _layers(notes: Mapping[str, Any]) -> list[str]:
    """The precisions of the built layers where the builder could read them, and those of the graph."""
    lines = []
    built, graph = _counts(notes.get("layers")), _counts(notes.get("types"))
    if built:
        lines.append(f"layers, read back from the plan: {built}")
    else:
        lines.append("layers: not read back; that takes a machine that can load the plan")
    if graph:
        lines.append(f"heavy operations in the graph it was built from: {graph}")
    return lines


def _counts(values: object) -> str:
    if not isinstance(values, dict):
        return ""
    return ", ".join(f"{number} {name}" for name, number in values.items())


def _islands(notes: Mapping[str, Any]) -> list[str]:
    """What stays in fp32, each with its reason."""
    islands = notes.get("islands")
    pairs = [one for one in islands if isinstance(one, list) and len(one) == 2] if isinstance(islands, list) else []
    return island_lines([(str(node), str(reason)) for node, reason in pairs])


def island_lines(islands: Sequence[tuple[str, str]]) -> list[str]:
    """Nodes that stay in a higher precision, with the reason; the first ones, and how many more."""
    if not islands:
        return []
    lines = [f"stays in higher precision: {number_of(len(islands), 'operation')}"]
    lines += [f"  {node}: {reason}" for node, reason in islands[:_ISLANDS_SHOWN]]
    if len(islands) > _ISLANDS_SHOWN:
        lines.append(f"  and {len(islands) - _ISLANDS_SHOWN} more (--json lists all)")
    return lines


def built(one: Mapping[str, Any]) -> str:
    """What `engine build` says of a plan."""
    where = ", ".join(one["targets"]) or one["gpu"] or "any GPU"
    how = "was here already" if one["from_cache"] else f"built in {one['seconds']:.1f} s"
    line = f"{one['model']} in {one['precision']}, input {one['shape']}, for {where}: {how}, {size(one['bytes'])}"
    return f"{line}, {one['id'][:ID_SHOWN]}" if one["kept"] else f"{line}; it could not be kept"


def removed_row(one: Removed) -> dict[str, Any]:
    """A file that `engine prune` removed, for JSON."""
    return {"path": str(one.path), "bytes": one.bytes, "reason": one.reason, "kept": one.kept}


def quantized_lines(result: QuantizeResult) -> list[str]:
    """The figures, and where the network was written."""
    lines = [*island_lines(result.islands), *result.notes, *result.report.lines()]
    if result.path is not None:
        lines.append(
            f"Written: {result.path}, with its manifest {result.manifest_path}. Use it with: --model {result.path}"
        )
    return lines


def quantized(result: QuantizeResult) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "output": None if result.path is None else str(result.path),
        "manifest": None if result.manifest_path is None else str(result.manifest_path),
        "refused": result.refused,
        "islands": [list(pair) for pair in result.islands],
        "notes": list(result.notes),
        "report": result.report.as_dict(),
    }


def _iso(seconds: float) -> str:
    """UTC, as ISO 8601; a time that no calendar has becomes the first one."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):
        return "1970-01-01T00:00:00Z"


def _when(seconds: float) -> str:
    """Local time for a person."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return "at an unknown time"
