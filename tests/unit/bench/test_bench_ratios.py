import pytest
from benched import BOTH, COLD, result, sample

from bench.ratios import BARS, Spread, Verdict, apart, beyond_session, ratio, session, verdicts, walls
from bench.result import FAILED, TIMEOUT
from bench.scenarios import Case

AMD64, ARM64 = Case("cold", "sample_app", BOTH[:1]), Case("cold", "sample_app", BOTH[1:])
SAME, LINE = Case("same", "sample_app", BOTH), Case("line", "sample_app", BOTH)


def bar(name: str) -> object:
    (found,) = (each for each in BARS if each.name == name)
    return found


def test_a_spread_has_median_minimum_and_maximum() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)
    assert str(Spread.of([3.0, 1.0, 2.0])) == "2.00 (1.00..3.00, n=3)"
    assert str(Spread.of([4.0], bound=True)) == "> 4.00"


def test_ratios_are_computed_within_a_round() -> None:
    # Medians over all rounds would give 30 / 20; a slower machine in round 1 must not matter.
    run = result(
        sample("harder", 20, 0), sample("ours", 10, 0),
        sample("harder", 60, 1), sample("ours", 30, 1),
        sample("harder", 30, 2), sample("ours", 20, 2),
    )  # fmt: skip
    assert ratio(run, COLD, "harder", "ours") == Spread(2.0, 1.5, 2.0, 3)


def test_a_round_without_both_peers_gives_no_ratio() -> None:
    run = result(sample("harder", 20, 0), sample("ours", 10, 1))
    assert ratio(run, COLD, "harder", "ours") is None
    failed = result(sample("harder", 20, 0, outcome=FAILED), sample("ours", 10, 0))
    assert ratio(failed, COLD, "harder", "ours") is None


def test_a_cut_off_sample_is_a_lower_limit_as_numerator_only() -> None:
    cut = result(sample("easy", 300, outcome=TIMEOUT), sample("ours", 100))
    assert ratio(cut, COLD, "easy", "ours") == Spread(3.0, 3.0, 3.0, 1, bound=True)
    assert ratio(cut, COLD, "ours", "easy") is None
    assert str(walls(cut, COLD, "easy")) == "> 300.00"


def test_failed_samples_have_no_time() -> None:
    assert walls(result(sample("ours", 1, outcome=FAILED)), COLD, "ours") is None


def test_the_session_is_subtracted() -> None:
    run = result(
        sample("session", 2, case=SAME), sample("ours", 5, case=SAME),
        sample("ours", 12, case=LINE), sample("cargo", 8, case=LINE),
    )  # fmt: skip
    assert session(run, "sample_app") == 2
    assert beyond_session(run, "sample_app", "ours") == Spread(3, 3, 3, 1)
    measured = bar("one line, ours less an empty session over plain cargo").measure(run, "sample_app", "ours")  # type: ignore[attr-defined]
    assert measured == Spread(1.25, 1.25, 1.25, 1)


def test_an_unmeasured_session_is_not_subtracted() -> None:
    run = result(
        sample("ours", 5, case=SAME), sample("ours", 12, case=LINE), sample("cargo", 8, case=LINE)
    )  # fmt: skip
    line = bar("one line, ours less an empty session over plain cargo")
    assert line.measure(run, "sample_app", "ours") is None  # type: ignore[attr-defined]
    assert session(run, "sample_app") == 0
    assert beyond_session(run, "sample_app", "ours") is None


def test_platforms_separately_and_together() -> None:
    run = result(sample("ours", 150), sample("ours", 100, case=AMD64), sample("ours", 110, case=ARM64))
    assert apart(run, "sample_app") == Spread(1.4, 1.4, 1.4, 1)
    assert bar("two platforms over one").measure(run, "sample_app", "ours") == Spread(1.5, 1.5, 1.5, 1)  # type: ignore[attr-defined]
    assert apart(result(sample("ours", 150)), "sample_app") is None


def test_verdicts_include_plain_cargo() -> None:
    verdict = verdict_of(
        "both platforms cold, hand-written Dockerfile over ours", harder=120, ours=110, cargo=100
    )
    assert verdict.word == "missed"
    assert verdict.floor == Spread(1.2, 1.2, 1.2, 1)
    assert verdict_of("cold, ours over plain cargo", ours=110, cargo=100).floor is None


@pytest.mark.parametrize(
    ("harder", "ours", "word", "margin"),
    [(200, 100, "met", 1.6), (125, 100, "met", 1.0), (100, 100, "missed", 0.8), (90, 100, "missed", 0.72)],
)
def test_a_minimum_can_be_missed(harder: float, ours: float, word: str, margin: float) -> None:
    verdict = verdict_of("both platforms cold, hand-written Dockerfile over ours", harder=harder, ours=ours)
    assert verdict.word == word
    assert verdict.margin == pytest.approx(margin)


@pytest.mark.parametrize(("ours", "word"), [(100, "met"), (108, "met"), (109, "missed")])
def test_a_maximum_can_be_missed(ours: float, word: str) -> None:
    assert verdict_of("cold, ours over plain cargo", ours=ours, cargo=100).word == word


def verdict_of(name: str, **seconds: float) -> Verdict:
    run = result(*(sample(peer, wall) for peer, wall in seconds.items()))
    (found,) = (each for each in verdicts(run) if each.bar.name == name)
    return found


def test_a_lower_limit_below_the_goal_leaves_it_open() -> None:
    name = "both platforms cold, emulated Dockerfile over ours"
    for wall, word in ((300, "open"), (900, "met")):
        run = result(sample("easy", wall, outcome=TIMEOUT), sample("ours", 100))
        assert next(each for each in verdicts(run) if each.bar.name == name).word == word


def test_goals_are_open_without_samples() -> None:
    found = verdicts(result())
    assert {verdict.word for verdict in found} == {"open"}
    assert all(verdict.margin is None for verdict in found)
    assert len(found) == len(BARS)


def test_goals_apply_to_every_subject_of_the_run() -> None:
    cases = [Case("cold", subject, BOTH) for subject in ("hello", "sample_app", "service")]
    run = result(*(sample(peer, 100, case=case) for case in cases for peer in ("ours", "cargo")))
    asked = [each for each in verdicts(run) if each.bar.name == "cold, ours over plain cargo"]
    assert [(each.subject, each.word) for each in asked] == [("sample_app", "met"), ("service", "met")]


@pytest.mark.parametrize(("sent", "word"), [(0, "met"), (512, "missed")])
def test_a_single_uploaded_byte_misses_the_goal(sent: int, word: str) -> None:
    run = result(sample("publish", 3, case=Case("same", "hello", BOTH), uploaded=sent))
    (found,) = (each for each in verdicts(run) if each.bar.limit == 0)
    assert (found.word, found.margin) == (word, None)
