"""Profiles: one shape or a range, from a manifest's size policy; progress of nested phases."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livematte.errors import UsageError
from livematte.models import catalogue
from livematte.models.contract import Contract, tie
from livematte.models.sizes import network_size
from livematte.reporting import ListReporter
from livematte.runtimes.base import TensorSpec
from livematte.runtimes.onnx_header import Header
from livematte.runtimes.tensorrt.profile import Profile, Range, dynamic_profile, static_profile
from livematte.runtimes.tensorrt.progress import Milestones, PhaseTree


def contract_of(name: str, sides: tuple = (1, 3, "height", "width"), states: int = 0) -> Contract:
    graph = catalogue.by_name(name).graph
    assert graph.input is not None
    assert graph.alpha is not None
    inputs = [TensorSpec(graph.input.name or "input", "float32", sides)]
    inputs += [TensorSpec(state.input, "float32", ("n", "c", "h", "w")) for state in graph.states]
    inputs += [TensorSpec(extra.name, "float32", (1,)) for extra in graph.extra]
    outputs = [TensorSpec(graph.alpha.name or "output", "float32", (1, 1, "height", "width"))]
    outputs += [TensorSpec(state.output, "float32", ("n", "c", "h", "w")) for state in graph.states]
    return tie(graph, Header(tuple(inputs), tuple(outputs), 17), name)


def test_one_size_for_one_picture() -> None:
    profile = static_profile(contract_of("livematte-s"), 1920, 1080, quality="fast")
    assert profile.is_static
    assert profile.as_dict() == {"rgb": [[1, 3, 224, 384]]}
    assert profile.takes({"rgb": (1, 3, 224, 384)})
    assert not profile.takes({"rgb": (1, 3, 256, 448)})
    assert not profile.takes({"other": (1, 3, 224, 384)})


@pytest.mark.parametrize("picture", [(1920, 1080), (1080, 1920), (640, 480), (2390, 1000), (1000, 1000), (3000, 1000)])
def test_a_range_takes_every_usual_picture(picture: tuple[int, int]) -> None:
    contract = contract_of("livematte-s")
    profile = dynamic_profile(contract, *picture)
    assert not profile.is_static
    best = profile.of("rgb")
    assert best is not None
    assert best.best == static_profile(contract, *picture).of("rgb").best  # type: ignore[union-attr]
    spec = contract.graph.input
    assert spec is not None
    for other in ((1920, 1080), (1080, 1920), (640, 480), (480, 640), (2048, 858), (999, 1001), picture):
        size = network_size(spec.size, *other)
        assert profile.takes(contract.shapes(size)), other
    assert not profile.takes({"rgb": (1, 3, 32, 3200)})


def test_what_takes_no_range() -> None:
    for name, why in (("u2net", "one picture size at a time"), ("rvm-mobilenetv3", "one picture size at a time")):
        with pytest.raises(UsageError, match=why):
            dynamic_profile(contract_of(name), 1920, 1080)
    with pytest.raises(UsageError, match="one picture size at a time"):
        dynamic_profile(contract_of("livematte-s", (1, 3, 256, 448)), 1920, 1080)


def test_a_profile_survives_json_and_is_canonical() -> None:
    shapes = {"b": (1, 2), "a": (1, 3, 4, 5)}
    profile = Profile.static(shapes)
    assert Profile.from_dict(json.loads(profile.as_json())) == profile
    assert Profile.static(dict(reversed(shapes.items()))).as_json() == profile.as_json()
    ranged = Profile.dynamic({"a": (1, 2)}, {"a": (1, 4)}, {"a": (1, 8)})
    assert Profile.from_dict(json.loads(ranged.as_json())) == ranged
    assert ranged.as_json() != Profile.static({"a": (1, 4)}).as_json()


@pytest.mark.parametrize(
    ("least", "best", "most"),
    [((1, 4), (1, 2), (1, 8)), ((1, 4), (1, 4), (1, 3)), ((0, 4), (1, 4), (1, 4)), ((1,), (1, 4), (1, 4))],
)
def test_impossible_ranges_are_refused(least: tuple, best: tuple, most: tuple) -> None:
    with pytest.raises(UsageError):
        Profile.dynamic({"a": least}, {"a": best}, {"a": most})
    with pytest.raises(UsageError, match="three times alike"):
        Profile.dynamic({"a": (1,)}, {"b": (1,)}, {"a": (1,)})


def test_ranges_hold_their_ends() -> None:
    of = Range((1, 2), (1, 4), (1, 8))
    assert of.holds((1, 2))
    assert of.holds((1, 8))
    assert not of.holds((1, 9))
    assert not of.holds((1, 1))
    assert not of.holds((1, 4, 4))


def test_nested_phases_rise_to_the_end() -> None:
    said: list[float] = []
    tree = PhaseTree(lambda _name, fraction: said.append(fraction), start=0.1, end=0.9)
    tree.start("build", None, 4)
    for step in range(4):
        tree.start("part", "build", 10)
        for at in range(10):
            tree.step("part", at)
        tree.finish("part")
        tree.step("build", step)
    before = tree.fraction()
    tree.finish("build")
    assert before == pytest.approx(0.1 + 0.8 * 0.9)  # one of an unknown number of outermost phases
    assert said == sorted(said)
    assert len(said) > 20
    assert tree.fraction() <= 0.9


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["start", "step", "finish"]), st.integers(0, 4), st.integers(-1, 4), st.integers(0, 9)
        ),
        max_size=60,
    )
)
def test_no_order_of_calls_makes_progress_fall_or_leave_its_range(calls: list[tuple[str, int, int, int]]) -> None:
    said: list[float] = []
    tree = PhaseTree(lambda _name, fraction: said.append(fraction), start=0.05, end=0.99)
    for what, name, parent, number in calls:
        if what == "start":
            tree.start(f"p{name}", None if parent < 0 else f"p{parent}", number)
        elif what == "step":
            tree.step(f"p{name}", number)
        else:
            tree.finish(f"p{name}")
    assert said == sorted(said)
    assert all(0.05 <= fraction <= 0.99 for fraction in said)


def test_long_builds_say_now_and_then_how_far_they_are() -> None:
    now = [0.0]
    reporter = ListReporter()
    follow = Milestones("the plan of x", reporter, clock=lambda: now[0])
    for second in range(60):
        now[0] = float(second)
        follow("Optimizing graph", second / 60)
    follow("done", 1.0)
    assert reporter.notes == [
        "building the plan of x: 25 % (Optimizing graph)",
        "building the plan of x: 50 % (Optimizing graph)",
        "building the plan of x: 75 % (Optimizing graph)",
    ]
