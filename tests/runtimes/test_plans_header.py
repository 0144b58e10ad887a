"""Files of any content cost a sentence, never a crash, and never give bytes that were not written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans_helpers import NOTES, PLAN, file_of, header_of, key, store

from livematte.runtimes.plans import Miss, PlanBytes, PlanHeader, PlanStore
from livematte.runtimes.plans.header import FORMAT, MAGIC

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def put_file(there: PlanStore, content: bytes) -> Path:
    """A file of any content where the plan of `key()` belongs."""
    there.prepare()
    path = there.path_of(key())
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def refused(there: PlanStore, content: bytes) -> str:
    """Why this content is no plan."""
    put_file(there, content)
    found = there.get(key())
    assert isinstance(found, Miss)
    assert found.kind == "damaged"
    (entry,) = there.entries()
    assert there.check(entry) or entry.problem
    return found.reason


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    path = there.put(key(), PLAN, NOTES)
    found = there.get(key())
    assert isinstance(found, PlanBytes)
    assert found.plan == PLAN
    assert found.path == path
    assert found.header.key == key()
    assert found.header.notes == NOTES
    assert PLAN in path.read_bytes()


def test_the_form_is_the_one_that_is_documented(tmp_path: Path) -> None:
    there, _ = store(tmp_path)
    put_file(there, file_of(header_of(key())))
    assert isinstance(there.get(key()), PlanBytes)


@QUICK
@given(st.binary(max_size=300))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    refused(store(tmp_path)[0], content)


@QUICK
@given(st.binary(max_size=300))
def test_any_bytes_behind_the_magic(tmp_path: Path, content: bytes) -> None:
    refused(store(tmp_path)[0], MAGIC + FORMAT.to_bytes(4, "little") + content)


@QUICK
@given(st.binary(max_size=300))
def test_any_bytes_as_header_with_the_right_checksum(tmp_path: Path, text: bytes) -> None:
    refused(store(tmp_path)[0], file_of(text))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@QUICK
@given(st.sampled_from(["key", "length", "sha256", "built", "notes"]), JSON)
def test_any_value_in_the_header_with_the_right_checksum(tmp_path: Path, field: str, value: Any) -> None:
    there, _ = store(tmp_path)
    put_file(there, file_of(header_of(key(), **{field: value})))
    found = there.get(key())
    if isinstance(found, PlanBytes):
        assert found.plan == PLAN  # another time or other notes, at most
        assert field in ("built", "notes")
    assert len(there.entries()) == 1


@QUICK
@given(st.data())
def test_every_change_of_a_byte_is_seen(tmp_path: Path, data: st.DataObject) -> None:
    there, _ = store(tmp_path)
    whole = bytearray(file_of(header_of(key())))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    refused(there, bytes(whole))


@QUICK
@given(st.data())
def test_every_cut_is_seen(tmp_path: Path, data: st.DataObject) -> None:
    there, _ = store(tmp_path)
    whole = file_of(header_of(key()))
    length = data.draw(st.integers(0, len(whole) - 1))
    assert "cut short" in refused(there, whole[:length]) or length == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\x08\x08onnx", "is not a plan of ours"),
        (b"LMPLAN\n" + bytes(60), "is not a plan of ours"),
        (MAGIC + (2).to_bytes(4, "little") + bytes(60), "another version of livematte"),
        (MAGIC + FORMAT.to_bytes(4, "little") + b"\xff\xff\xff\xff" + bytes(60), "damaged header"),
        (file_of(b"[" * 900_000), "damaged header"),
        (file_of(b'{"length":' + b"9" * 900_000 + b"}"), "damaged header"),
        (file_of(b'{"key": NaN}'), "damaged header"),
        (file_of({"other": 1}), "another version of livematte"),
        (file_of(header_of(key(), length=len(PLAN) + 1)), "cut short"),
        (file_of(header_of(key(), length=len(PLAN) - 1)), "longer than it was written"),
        (file_of(header_of(key(), length=1 << 60)), "its length is none"),
        (file_of(header_of(key(), length=True), b"x"), "its length is none"),
        (file_of(header_of(key(), length=8 << 30)), "cut short"),
        (file_of(header_of(key(), sha256="0" * 64)), "its sha256"),
        (file_of(header_of(key(), built=1e400)), "damaged header"),
        (file_of(header_of(key(), built=-1.0)), "its time is none"),
        (file_of(header_of(key(precision="fp32"))), "another key"),
        (file_of(header_of(key()) | {"key": key().as_dict() | {"cuda": 13}}), "a key that this version cannot read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_reason_is_said(tmp_path: Path, content: bytes, reason: str) -> None:
    assert reason in refused(store(tmp_path)[0], content)


def test_notes_that_cannot_be_written_are_left_out() -> None:
    for notes in ({"long": "x" * (2 << 20)}, {"bytes": b""}, {"nan": float("nan")}):
        text = PlanHeader.of(key(), PLAN, notes, now=1.7e9).encode()[48:]
        assert list(json.loads(text)["notes"]) == ["left_out"]
