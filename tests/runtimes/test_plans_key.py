"""A plan's key: equal where everything that goes into a plan is equal, and only there."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans_helpers import key

from livematte.runtimes.plans import PlanKey

CHANGES: list[dict[str, Any]] = [
    {"weights_sha256": "0" * 64},
    {"profile": '{"rgb":[[1,3,224,384]]}'},
    {"precision": "fp32"},
    {"runtime": "tensorrt"},
    {"runtime_version": "1.7.2"},
    {"options": {"optimization_level": 4}},
    {"options": {"optimization_level": True}},
    {"options": {}},
    {"os": "windows-amd64"},
    {"gpu": "NVIDIA H100 80GB HBM3 sm_90"},
    {"targets": ("sm_120",)},
    {"targets": ()},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_whatever_goes_into_a_plan_makes_another_key(change: dict[str, Any]) -> None:
    assert key(**change) != key()
    assert key(**change).id != key().id


def test_no_field_is_left_out_of_the_changes_above() -> None:
    assert {name for change in CHANGES for name in change} == set(PlanKey.__dataclass_fields__)


def test_order_says_nothing() -> None:
    one = key(options={"a": 1, "b": 2}, targets=("sm_89", "sm_120"))
    other = key(options={"b": 2, "a": 1}, targets=("sm_120", "sm_89"))
    assert one == other
    assert hash(one) == hash(other)
    assert one.canonical() == other.canonical()


def test_a_key_does_not_change_with_what_it_was_made_from() -> None:
    options: dict[str, Any] = {"a": 1}
    made = key(options=options)
    before = made.id
    options["a"] = 2
    assert made.options["a"] == 1
    assert made.id == before
    with pytest.raises(TypeError):
        made.options["a"] = 3  # type: ignore[index]


def test_the_id_stays_the_same_from_release_to_release() -> None:
    """A change here makes every plan of every user be built again: is that meant?"""
    assert key().id == GOLDEN


GOLDEN = "e86d17db59292e8c8f54a6613d6267c7951d6d24"


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(), st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
    ),
    st.lists(st.text()),
    st.text(),
)
def test_through_json_and_back(options: dict[str, Any], targets: list[str], gpu: str) -> None:
    one = key(options=options, targets=tuple(targets), gpu=gpu)
    assert PlanKey.from_dict(json.loads(json.dumps(one.as_dict()))) == one


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(PlanKey.__dataclass_fields__)), JSON)
def test_a_value_of_any_kind_is_taken_or_refused(field: str, value: Any) -> None:
    values = key().as_dict() | {field: value}
    try:
        found = PlanKey.from_dict(values)
    except ValueError:
        return
    assert found.as_dict().keys() == values.keys()
    found.shapes()
    found.differences(key())


@pytest.mark.parametrize("values", [None, [], "key", {}, {"weights_sha256": "0" * 64}, key().as_dict() | {"more": 1}])
def test_what_is_no_key(values: Any) -> None:
    with pytest.raises(ValueError, match="key"):
        PlanKey.from_dict(values)


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "xyz"},
        {"weights_sha256": "A" * 64},
        {"options": {"a": [1]}},
        {"options": {"a": float("nan")}},
        {"options": {1: "a"}},
        {"targets": (1,)},
        {"precision": 16},
    ],
    ids=str,
)
def test_wrong_values(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is not|is no|an option"):
        key(**change)


def test_the_differences_are_sentences() -> None:
    wanted = key(runtime_version="1.8", os="windows-amd64")
    assert wanted.is_akin(key())
    assert wanted.differences(key()) == [
        "built by tensorrt-rtx 1.7.1.116, and 1.8 is installed",
        "for linux-x86_64, and this is windows-amd64",
    ]
    tuned = key(runtime="tensorrt", targets=(), gpu="NVIDIA A100 sm_80")
    assert key(runtime="tensorrt", targets=(), gpu="NVIDIA H100 sm_90").differences(tuned) == [
        "for NVIDIA A100 sm_80, and this is NVIDIA H100 sm_90"
    ]
    assert key(options={}).differences(key()) == ["built with another optimization_level"]
    assert key(targets=("sm_120",)).differences(key()) == ["for sm_89, and sm_120 is asked for"]
    assert key().differences(key()) == []


def test_kernels_that_belong_to_a_plan_are_not_akin_to_it() -> None:
    kernels = key(options={**key().options, "part": "runtime-cache"})
    assert kernels.part == "runtime-cache"
    assert not kernels.is_akin(key())


@pytest.mark.parametrize(
    "profile", ["", "[", "[1]", '{"rgb":3}', '{"rgb":[[1],[2]]}', '{"rgb":[["a"]]}', "[" * 100_000]
)
def test_a_profile_that_cannot_be_read_has_no_shapes(profile: str) -> None:
    assert key(profile=profile).shapes() == {}


def test_a_key_can_be_copied() -> None:
    assert copy.copy(key()) == key()
