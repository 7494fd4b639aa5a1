from collections import Counter

import pytest

from bench.scenarios import (
    BOTH,
    BY_NAME,
    PLANS,
    Case,
    Row,
    Turn,
    chosen,
    rotated,
    seconds_left,
    turns,
)
from bench.subjects import BY_NAME as SUBJECTS

COLD, LINE = Case("cold", "a", BOTH), Case("line", "b", BOTH)


def test_another_peer_starts_each_round() -> None:
    order = list(turns([Row(COLD, ("x", "y", "z"), 2), Row(LINE, ("x", "y"), 1)]))
    assert order == [
        Turn(COLD, "x", 0),
        Turn(COLD, "y", 0),
        Turn(COLD, "z", 0),
        Turn(LINE, "x", 0),
        Turn(LINE, "y", 0),
        Turn(COLD, "y", 1),
        Turn(COLD, "z", 1),
        Turn(COLD, "x", 1),
    ]


def test_no_rows_have_no_turns() -> None:
    assert list(turns([])) == []


def test_every_peer_starts_one_of_as_many_rounds() -> None:
    firsts = Counter(rotated(("x", "y", "z"), number)[0] for number in range(3))
    assert firsts == {"x": 1, "y": 1, "z": 1}


@pytest.mark.parametrize("plan", PLANS)
def test_plans_name_scenarios_and_subjects_that_exist(plan: str) -> None:
    for row in PLANS[plan]:
        assert row.case.scenario in BY_NAME
        assert row.case.subject in SUBJECTS
        assert row.rounds > 0
        assert len(set(row.peers)) == len(row.peers)


def test_the_full_plan_has_every_scenario_and_every_real_subject() -> None:
    assert {row.case.scenario for row in PLANS["full"]} == set(BY_NAME)
    assert {row.case.subject for row in PLANS["full"]} >= set(SUBJECTS) - {"hello"}


def test_bump_scenarios_use_subjects_with_a_bump() -> None:
    bumped = {row.case.subject for plan in PLANS.values() for row in plan if row.case.scenario == "bump"}
    assert bumped
    assert all(SUBJECTS[name].bump for name in bumped)


def test_plans_can_be_filtered() -> None:
    rows = [Row(COLD, ("x", "y"), 3), Row(LINE, ("y",), 3)]
    assert chosen(rows) == rows
    assert chosen(rows, subjects=["a"]) == rows[:1]
    assert chosen(rows, scenarios=["line"]) == rows[1:]
    assert chosen(rows, peers=["x"]) == [Row(COLD, ("x",), 3)]
    assert chosen(rows, most=2) == rows
    assert chosen(rows, most=1) == []
    assert chosen(rows, rounds=1) == [Row(COLD, ("x", "y"), 1), Row(LINE, ("y",), 1)]


def test_case_names_include_platforms() -> None:
    assert COLD.name == "a cold amd64+arm64"
    assert Case("cold", "a", ("linux/arm/v7",)).name == "a cold arm/v7"


@pytest.mark.parametrize(
    ("budget", "elapsed", "expected", "left"),
    [
        (0, 10_000, 500, 60),  # no budget: only the limit of a sample applies
        (100, 10, 50, 60),
        (100, 50, 50, 50),  # just fits, and must not take longer
        (100, 51, 50, 0),
        (100, 200, 0, 0),
    ],
)
def test_samples_that_exceed_the_budget_are_not_started(
    budget: float, elapsed: float, expected: float, left: float
) -> None:
    assert seconds_left(budget, elapsed, expected, limit=60) == max(left, 0)
