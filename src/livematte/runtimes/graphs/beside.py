"""The manifest that is written beside a converted network, so that `--model FILE.onnx` knows what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from livematte.models import catalogue
from livematte.models.manifest import Manifest, Weights
from livematte.models.weights import hash_file


def manifest_of(
    original: Manifest, path: Path, *, precision: Literal["fp16", "int8"], source: str, notes: tuple[str, ...]
) -> Manifest:
    """The original's manifest with this file as its only weights.

    source: what it was made of, for the manifest's notes. The measured scores are the original's and are left out.
    """
    graph = original.graph
    weights = Weights(
        source="bring",
        precision=precision,
        file=path.name,
        size_bytes=path.stat().st_size,
        sha256=hash_file(path),
        sha256_evidence="M",
        export=f"livematte engine quantize {source} CLIP --precision {precision}",
    )
    changed = graph.model_copy(update={"weights": (weights,), "recognise": ()})
    defaults = original.defaults.model_copy(update={"scores": None, "measured": ""})
    return original.model_copy(
        update={
            "name": f"{original.name}-{precision}",
            "title": f"{original.title}, {precision}",
            "graphs": (changed,),
            "defaults": defaults,
            "notes": (*original.notes, *notes),
        }
    )


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write it as TOML, and read it back: what is written must mean the same."""
    text = toml_of(manifest.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {"format": 1})
    assert catalogue.parse(text, str(path)) == manifest, "a manifest changed on its way through TOML"
    path.write_text(text, encoding="utf-8")


def toml_of(table: Mapping[str, Any]) -> str:
    """TOML of plain values: text, numbers, true and false, lists and tables of them."""
    plain = {key: value for key, value in table.items() if not _is_table(value)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if not _is_table(value):
            continue
        tables, mark = ([value], "[{}]") if isinstance(value, Mapping) else (value, "[[{}]]")
        for one in tables:
            # One level of tables of its own; what lies deeper is written inline.
            lines += ["", mark.format(_key(key)), *(f"{_key(name)} = {_value(part)}" for name, part in one.items())]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(one, Mapping) for one in value)
    )


def _key(key: str) -> str:
    return key if key and all(c.isascii() and (c.isalnum() or c in "_-") for c in key) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # JSON's escapes are all TOML's too
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    return repr(value)
