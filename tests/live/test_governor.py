"""The governor's decisions: which rungs it takes, how long it keeps them, and that it comes to rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livematte.live.governor import SPARE_SECONDS, Governor, Rung, Step, Window

LADDER = (
    Rung("net", "448x256", 1, 115.0),
    Rung("net", "384x224", 1, 86.0),
    Rung("net", "320x192", 1, 61.0),
    Rung("net", "288x160", 1, 46.0),
    Rung("net", "384x224", 2, 86.0),
    Rung("net", "288x160", 2, 46.0),
    Rung("net", "288x160", 3, 46.0),
)
RATE = 30.0
KEPT_SECONDS = 10.0
"""The promise: no rung is left again before that."""


@dataclass
class Machine:
    """A machine whose speed is scripted: `slowness(seconds)` times the cost is the network's time in ms."""

    slowness: Callable[[float], float]
    other_ms: float = 4.0
    cpu_extra: float = 0.1
    governor: Governor = field(default_factory=lambda: Governor(LADDER, cpu_budget=1.0, now=0.0))
    now: float = 0.0
    steps: list[tuple[float, Step]] = field(default_factory=list)

    def window(self) -> Window:
        rung = self.governor.rung
        network_ms = rung.cost * self.slowness(self.now)
        busy_ms = network_ms + self.other_ms
        given = RATE / rung.every
        matted = min(given, 1000.0 / busy_ms)
        missed = round((given - matted) * rung.every)
        return Window(
            1.0, max(round(matted), 1), missed, RATE, network_ms, busy_ms, 3.0, busy_ms * matted / 1000 + self.cpu_extra
        )

    def run(self, seconds: float) -> Machine:
        end = self.now + seconds
        while self.now < end:
            self.now += 1.0
            step = self.governor.observe(self.window(), self.now)
            if step is not None:
                self.steps.append((self.now, step))
                if step.rung != self.governor.rung:
                    self.governor.arrive(step.rung, self.now)
        return self

    @property
    def taken(self) -> list[Rung]:
        return [step.rung for _, step in self.steps]


def check_manners(machine: Machine) -> None:
    """One rung at a time, and none left within ten seconds."""
    place, since = 0, 0.0
    for moment, step in machine.steps:
        target = LADDER.index(step.rung)
        if target == place:  # the word that nothing is left
            continue
        assert abs(target - place) == 1
        assert moment - since >= KEPT_SECONDS
        place, since = target, moment


def test_a_machine_that_is_fast_enough_is_left_alone() -> None:
    machine = Machine(lambda now: 0.15).run(600)  # 17 + 4 ms of 33
    assert machine.steps == []


def test_it_goes_down_until_it_fits_and_rests_there() -> None:
    machine = Machine(lambda now: 0.4).run(3600)  # 46 ms, 34 ms, 24 ms + 4
    assert machine.taken == [LADDER[1], LADDER[2]]
    check_manners(machine)


def test_a_very_slow_machine_ends_at_every_third_frame_and_says_so_once() -> None:
    machine = Machine(lambda now: 4.0).run(600)
    assert machine.taken == [*LADDER[1:], LADDER[-1]]
    assert "--camera-size" in machine.steps[-1][1].sentence
    check_manners(machine)


def test_it_comes_back_when_the_load_goes() -> None:
    machine = Machine(lambda now: 0.4 if 30 < now < 60 else 0.1).run(600)
    assert machine.governor.rung == LADDER[0]
    assert LADDER[2] in machine.taken
    check_manners(machine)
    down = next(moment for moment, step in machine.steps if step.rung == LADDER[2])
    up = next(moment for moment, step in machine.steps if step.rung == LADDER[1] and moment > down)
    assert up - 60 >= SPARE_SECONDS - 1


def test_a_short_hiccup_moves_nothing() -> None:
    machine = Machine(lambda now: 3.0 if now % 20 == 0 else 0.15).run(300)
    assert machine.steps == []


def test_one_frame_that_hung_for_seconds_moves_nothing() -> None:
    machine = Machine(lambda now: 0.15).run(60)
    hung = Window(4.0, 5, 90, RATE, 800.0, 804.0, 3.0, 0.5)
    assert machine.governor.observe(hung, machine.now + 4) is None
    machine.now += 4
    assert machine.run(60).steps == []


def test_a_load_that_comes_and_goes_is_followed_less_and_less() -> None:
    machine = Machine(lambda now: 0.4 if now % 60 < 20 else 0.1).run(7200)
    check_manners(machine)
    early = sum(moment < 1800 for moment, _ in machine.steps)
    late = sum(moment > 5400 for moment, _ in machine.steps)
    assert late <= early / 2


def test_the_share_of_the_processor_counts_too() -> None:
    machine = Machine(lambda now: 0.05, cpu_extra=0.95, other_ms=1.0).run(14)
    assert machine.taken == [LADDER[1]]
    assert "processor" in machine.steps[0][1].sentence
    assert "384x224" in machine.steps[0][1].sentence


def test_frames_lost_for_another_reason_count_as_late() -> None:
    governor = Governor(LADDER, cpu_budget=4.0, now=0.0)
    window = Window(1.0, 27, 3, RATE, 5.0, 8.0, 3.0, 0.5)
    steps = [governor.observe(window, float(now)) for now in range(1, 15)]
    assert [step is not None for step in steps].index(True) == 9  # ten seconds after the start
    assert next(step for step in steps if step).sentence == (
        "10% of the camera's frames came too late: the network now sees the picture at 384x224, before at 448x256."
    )


def test_nothing_is_decided_while_a_step_is_under_way_and_a_failed_rung_is_gone() -> None:
    governor = Governor(LADDER, cpu_budget=4.0, now=0.0)
    late = Window(1.0, 15, 15, RATE, 60.0, 64.0, 3.0, 1.0)
    steps = [governor.observe(late, float(now)) for now in range(1, 60)]
    assert sum(step is not None for step in steps) == 1
    governor.withdraw(LADDER[1])
    assert governor.rung == LADDER[0]
    following = [governor.observe(late, float(now)) for now in range(60, 63)]
    assert [step.rung for step in following if step] == [LADDER[2]]


def test_the_start_is_the_first_rung_that_fits_what_was_measured() -> None:
    def start(network_ms: float, cpu_ms: float, budget: float = 4.0) -> Rung:
        return Governor(LADDER, cpu_budget=budget, now=0.0).start(network_ms, network_ms + 4, cpu_ms, RATE)

    assert start(15.0, 15.0) == LADDER[0]
    assert start(33.0, 33.0) == LADDER[1]  # 24.7 + 4 ms of 30
    assert start(15.0, 60.0, budget=1.0) == LADDER[4]  # 1.8 cores, 2.25 with the rest, of one
    assert start(500.0, 500.0) == LADDER[-1]


def test_a_new_ladder_keeps_the_present_rung() -> None:
    machine = Machine(lambda now: 0.4).run(30)
    here = machine.governor.rung
    lighter = Rung("light", "256x256", 1, 5.0)
    ladder = (*LADDER[:2], lighter)
    assert here == LADDER[2]
    machine.governor.offer(ladder)
    assert machine.governor.rung == here
    assert machine.governor.rungs == (*LADDER[:2], here, lighter)


def test_a_sentence_for_each_kind_of_step() -> None:
    machine = Machine(lambda now: 4.0).run(600)
    said = " ".join(step.sentence for _, step in machine.steps)
    assert "every 2nd frame is shown, before every frame" in said
    assert "every 3rd frame is shown, before every 2nd frame" in said
    back = Machine(lambda now: 0.4 if now < 30 else 0.1).run(90)
    assert back.steps[-1][1].sentence.startswith("There is time to spare: the network now sees the picture at")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.02, 3.0), min_size=5, max_size=40), st.integers(3, 40))
def test_whatever_the_load_does_the_manners_hold(levels: list[float], period: int) -> None:
    machine = Machine(lambda now: levels[int(now / period) % len(levels)]).run(900)
    check_manners(machine)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.02, 6.0), st.floats(0.0, 0.8))
def test_under_a_steady_load_it_comes_to_rest(slowness: float, cpu_extra: float) -> None:
    machine = Machine(lambda now: slowness, cpu_extra=cpu_extra).run(7200)
    check_manners(machine)
    places = [LADDER.index(rung) for rung in machine.taken]
    assert places == sorted(places), "it went up again although nothing had changed"


def test_a_ladder_needs_a_rung() -> None:
    with pytest.raises(ValueError, match="rung"):
        Governor((), cpu_budget=1.0, now=0.0)
