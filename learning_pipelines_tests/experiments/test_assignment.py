"""Who gets which variant: the hash that is fixed for ever, ranges that change hands as little as they can, groups that share the units."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections import Counter
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments import assignment
from learning_pipelines.experiments.assignment import Placed
from learning_pipelines.storage.experiment_rows import Arm, Epoch, Experiment

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
AGENT = UUID(int=7)


def arms(*weights: float) -> list[Arm]:
    names = ["control", "treatment", "other", "fourth"]
    return [Arm(name, at, weight) for at, (name, weight) in enumerate(zip(names, weights, strict=False))]


def experiment(*epochs: assignment.Ranges, salt: str = "salt", group: str | None = None, spans: object = None) -> Experiment:
    return Experiment(
        UUID(int=1), AGENT, "helper", "trial", "experiment", "prompt", "running", "user", salt, tuple(arms(0.5, 0.5)), group, "thumbs", (), 168, 1000,
        {} if spans is None else {"slice": spans}, (), 0, None, None, None, NOW, None, NOW,
        tuple(Epoch(number, ranges, NOW, NOW if number < len(epochs) else None) for number, ranges in enumerate(epochs, 1)),
    )  # fmt: skip


def require_apart(ranges: assignment.Ranges) -> None:
    """Every place belongs to one variant at most."""
    spans = sorted(span for each in ranges.values() for span in each)
    assert all(0 <= low < high <= 1 for low, high in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_places_are_the_same_for_ever() -> None:
    """Whoever changes the hash reshuffles every running experiment of every installation."""
    assert assignment.place("salt", "ann") == 0.20456900945874057
    assert assignment.place("", "") == 0.9049687102438427
    assert assignment.place("0c1f", "Zoë") == 0.3496747793809244
    assert 0 <= assignment.place("salt", "half a pair \ud800") < 1


def test_every_place_is_below_one_even_where_the_digest_is_all_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ones:
        def digest(self) -> bytes:
            return b"\xff" * 32

    monkeypatch.setattr(assignment.hashlib, "sha256", lambda _: Ones())
    assert assignment.place("salt", "ann") < 1


def test_shares_are_the_weights_within_what_chance_allows() -> None:
    n, weights = 20_000, (0.7, 0.2, 0.1)
    ranges = assignment.ranges_of_weights(arms(*weights))
    met = Counter(assignment.variant_at(ranges, assignment.place("shares", f"user-{at}")) for at in range(n))
    for arm, weight in zip(arms(*weights), weights, strict=True):
        assert abs(met[arm.variant] - n * weight) < 4 * math.sqrt(n * weight * (1 - weight))


def test_experiments_are_independent_of_each_other() -> None:
    """The treated of one are spread over the arms of another as if a coin were thrown."""
    n, ranges = 20_000, assignment.ranges_of_weights(arms(0.5, 0.5))
    both = Counter(tuple(assignment.variant_at(ranges, assignment.place(salt, f"user-{at}")) for salt in ("one", "another")) for at in range(n))
    assert len(both) == 4
    assert all(abs(count - n / 4) < 4 * math.sqrt(n * 3 / 16) for count in both.values())


@pytest.mark.parametrize("weights", [(0.8, 0.2), (0.2, 0.8), (0.99, 0.01)])
def test_changed_weights_move_no_more_places_than_they_must(weights: tuple[float, float]) -> None:
    before = assignment.ranges_of_weights(arms(0.5, 0.5))
    after = assignment.ranges_of_weights(arms(*weights), before)
    places = [at / 1000 for at in range(1000)]
    moved = sum(assignment.variant_at(before, at) != assignment.variant_at(after, at) for at in places)
    assert moved == pytest.approx(1000 * abs(weights[0] - 0.5), abs=1)
    assert all(assignment.variant_at(after, at) for at in places)


def test_of_three_arms_the_one_whose_weight_stays_keeps_every_place() -> None:
    before = assignment.ranges_of_weights(arms(1 / 3, 1 / 3, 1 / 3))
    after = assignment.ranges_of_weights(arms(0.5, 1 / 3, 1 / 6), before)
    assert after["treatment"] == before["treatment"]
    require_apart(after)
    assert math.fsum(high - low for spans in after.values() for low, high in spans) == pytest.approx(1)


def test_many_changes_of_weights_leave_no_gap_and_no_overlap() -> None:
    ranges: assignment.Ranges | None = None
    for weights in [(0.9, 0.05, 0.05), (0.1, 0.45, 0.45), (1 / 3, 1 / 3, 1 / 3), (0.6, 0.0, 0.4), (0.25, 0.5, 0.25)]:
        ranges = assignment.ranges_of_weights(arms(*weights), ranges)
        require_apart(ranges)
        assert all(assignment.variant_at(ranges, at / 997) for at in range(997))
        for arm in arms(*weights):
            assert math.fsum(high - low for low, high in ranges[arm.variant]) == pytest.approx(arm.weight)


@pytest.mark.parametrize(
    ("weights", "says"),
    [((0.5, 0.4), "sum to 0.9"), ((0.5, math.nan), "nan"), ((1.5, -0.5), "1.5"), ((0.0, 1.0), "control has the weight 0"), ((1.0,), "cannot be compared")],
)
def test_weights_that_are_none_are_refused(weights: tuple[float, ...], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        assignment.ranges_of_weights(arms(*weights))


def test_two_arms_of_one_name_are_refused() -> None:
    with pytest.raises(BadInput, match="each differently"):
        assignment.check_weights([Arm("control", 1, 0.5), Arm("control", 2, 0.5)])


def test_steps_of_a_rollout_grow_without_moving_anyone() -> None:
    steps = [assignment.ranges_of_step(percent) for percent in (1, 5, 25, 50)]
    for before, after in itertools.pairwise(steps):
        for at in (at / 1000 for at in range(1000)):
            assert assignment.variant_at(before, at) in (None, assignment.variant_at(after, at))
    assert assignment.variant_at(steps[0], 0.005) == "treatment"
    assert assignment.variant_at(steps[0], 0.3) is None
    assert assignment.variant_at(steps[0], 0.505) == "control"
    assert assignment.variant_at(steps[0], 0.7) is None
    assert assignment.ranges_of_step(100) == {"control": (), "treatment": ((0.0, 1.0),)}
    for ranges in steps:
        require_apart(ranges)


def test_every_step_opens_as_many_places_of_the_control_as_of_the_treatment() -> None:
    """Regular units are met when their place is opened: regulars of one arm must not meet newcomers of the other."""
    for percent in (1, 5, 25, 50):
        width = {variant: sum(high - low for low, high in spans) for variant, spans in assignment.ranges_of_step(percent).items()}
        assert width["control"] == pytest.approx(width["treatment"]) == pytest.approx(percent / 100)


@pytest.mark.parametrize("percent", [0, -1, 100.5, math.nan])
def test_a_step_outside_of_the_traffic_is_refused(percent: float) -> None:
    with pytest.raises(BadInput, match="cannot be taken"):
        assignment.ranges_of_step(percent)


def test_a_unit_of_a_place_that_never_changed_hands_needs_no_lookup() -> None:
    first = assignment.ranges_of_weights(arms(0.5, 0.5))
    second = assignment.ranges_of_weights(arms(0.8, 0.2), first)
    found = {assignment.placed(experiment(first, second), f"user-{at}") for at in range(200)}
    # The treatment gave up the end of its range: who lies there gets the control now, unless he was met before.
    assert found == {Placed("control", True), Placed("treatment", True), Placed("control", False)}
    for at in range(200):
        unit = f"user-{at}"
        kept = assignment.placed(experiment(first, second), unit)
        assert kept.certain is (assignment.placed(experiment(first), unit).variant == kept.variant)


def test_a_unit_gets_what_lies_at_its_place_by_the_experiment_s_salt_and_nothing_new_while_it_is_paused() -> None:
    ranges = assignment.ranges_of_weights(arms(0.5, 0.5))
    for salt in ("salt", "other"):
        now = experiment(ranges, salt=salt)
        paused = replace(now, epochs=(replace(now.epochs[0], ended_at=NOW),))
        for at in range(20):
            variant = "control" if assignment.place(salt, f"user-{at}") < 0.5 else "treatment"
            assert assignment.placed(now, f"user-{at}") == Placed(variant, True)
            assert assignment.placed(paused, f"user-{at}") == Placed(None, False)  # whoever was met keeps what it got


def test_a_place_where_one_part_ends_is_the_next_one_s() -> None:
    ranges = {"control": ((0.0, 0.5),), "treatment": ((0.5, 0.75),)}
    assert [assignment.variant_at(ranges, at) for at in (0.0, 0.5, 0.75)] == ["control", "treatment", None]


def test_a_group_s_units_are_shared_by_agent_and_name() -> None:
    for group in ("checkout", "search"):
        one = experiment(assignment.ranges_of_weights(arms(0.5, 0.5)), group=group, spans=[[0.0, 0.5]])
        for at in range(20):
            assert assignment.in_slice(one, f"user-{at}") is (assignment.place(f"{AGENT}/{group}", f"user-{at}") < 0.5)


def test_nobody_takes_part_before_the_start() -> None:
    assert assignment.placed(experiment(), "ann") == assignment.NOWHERE


def test_experiments_of_a_group_never_share_a_unit() -> None:
    slices: list[tuple[tuple[float, float], ...]] = []
    for share in (0.5, None, 0.25):
        slices.append(assignment.slice_for(slices, share))
    ranges = assignment.ranges_of_weights(arms(0.5, 0.5))
    running = [experiment(ranges, salt=str(at), group="checkout", spans=spans) for at, spans in enumerate(slices)]
    taking = Counter(sum(assignment.placed(one, f"user-{at}").variant is not None for one in running) for at in range(4000))
    assert taking == {1: 4000}
    shares = [sum(assignment.in_slice(one, f"user-{at}") for at in range(4000)) / 4000 for one in running]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.03)


def test_a_slice_that_is_given_back_goes_to_the_next_and_moves_nobody_else() -> None:
    one = assignment.slice_for([], 0.4)
    two = assignment.slice_for([one], 0.4)
    three = assignment.slice_for([two], 0.6)
    assert three == ((0.0, 0.4), (0.8, 1.0))
    with pytest.raises(BadInput, match="leave 0 of the units, any would be needed"):
        assignment.slice_for([two, three])
    assert assignment.slice_for([], 1.0) == ((0.0, 1.0),)


@pytest.mark.parametrize("share", [0.0, 1.5, math.nan])
def test_a_share_of_the_traffic_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(BadInput, match="cannot be taken"):
        assignment.slice_for([], share)


def test_more_traffic_than_a_group_has_left_is_refused() -> None:
    with pytest.raises(BadInput, match=r"leave 0\.4 of the units, 0\.5 would be needed"):
        assignment.slice_for([[(0.0, 0.6)]], 0.5)


def test_an_experiment_of_a_group_without_a_slice_takes_nobody() -> None:
    ranges = assignment.ranges_of_weights(arms(0.5, 0.5))
    assert {assignment.placed(experiment(ranges, group="checkout"), f"user-{at}") for at in range(50)} == {assignment.NOWHERE}


def test_the_group_s_hash_tells_nothing_of_the_arms() -> None:
    ranges = assignment.ranges_of_weights(arms(0.5, 0.5))
    one = experiment(ranges, salt=str(uuid4()), group="checkout", spans=[[0.0, 0.5]])
    met = Counter(assignment.placed(one, f"user-{at}").variant for at in range(10_000))
    inside = met["control"] + met["treatment"]
    assert abs(met["control"] - inside / 2) < 4 * math.sqrt(inside / 4)
    other = replace(one, agent_id=UUID(int=8))
    assert any(assignment.in_slice(one, f"user-{at}") != assignment.in_slice(other, f"user-{at}") for at in range(50))
