"""Asks real TensorRT bindings for names. `python probe.py MODULE < wanted.json`; answers in one line of JSON.

wanted: class -> attribute -> [fewest, most arguments] or []. The bindings' docstrings state their overloads as
`name(self: ..., a: int, b: str = 'x') -> bool`, which is where the numbers of arguments come from.
"""

from __future__ import annotations

import importlib
import json
import re
import sys


def overloads(function: object) -> list[tuple[int, int]]:
    """(fewest, most) arguments of each overload, without self."""
    found = []
    name = getattr(function, "__name__", "")
    for line in (getattr(function, "__doc__", "") or "").splitlines():
        head = re.match(rf"\s*(?:\d+\. )?{name}\((.*)\)\s*(?:->.*)?$", line)
        if head is None or head[1].startswith("*args"):
            continue
        parts = split(head[1])
        parts = parts[1:] if parts and parts[0].startswith("self") else parts
        found.append((sum("=" not in part for part in parts), len(parts)))
    return found


def split(text: str) -> list[str]:
    """At commas outside of brackets."""
    parts, depth, part = [], 0, ""
    for sign in text:
        depth += sign in "[(<{"
        depth -= sign in "])>}"
        if sign == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += sign
    return [*parts, part.strip()] if part.strip() else parts


def main() -> None:
    module = importlib.import_module(sys.argv[1])
    wanted = json.load(sys.stdin)
    missing = []
    for owner, attributes in wanted.items():
        real = getattr(module, owner, None)
        if real is None:
            missing.append(owner)
            continue
        for name, counts in attributes.items():
            if not hasattr(real, name):
                missing.append(f"{owner}.{name}")
                continue
            known = overloads(getattr(real, name)) if counts else []
            if known and not any(low <= counts[1] and counts[0] <= high for low, high in known):
                missing.append(f"{owner}.{name} with {counts} arguments; it takes {known}")
    classes = sum(isinstance(value, type) for value in vars(module).values())
    sys.stdout.write(
        json.dumps({"missing": missing, "classes": classes, "version": str(getattr(module, "__version__", ""))}) + "\n"
    )


main()
