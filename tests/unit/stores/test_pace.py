"""When commits wait for company: `engineroom.stores.pace`."""

from __future__ import annotations

from engineroom.stores.pace import COMMIT_EVERY_SECONDS, ENOUGH, TRY_EVERY, Pace


def delays(pace: Pace, *, every: float, records: int, commits: int) -> list[float]:
    """How long each of `commits` waits that come `every` so many seconds."""
    seen = []
    for number in range(commits):
        now = 1000 + number * every
        seen.append(pace.delay(records, now))
        pace.begin(records, now)
    return seen


def test_the_first_commit_and_late_ones_do_not_wait() -> None:
    """What comes after a pause is committed at once."""
    assert delays(Pace(), every=COMMIT_EVERY_SECONDS, records=3, commits=50) == [0.0] * 50


def test_commits_with_company_wait_until_the_last_one_is_old_enough() -> None:
    """In a stream, a commit waits for the rest of the time that commits are apart."""
    every = COMMIT_EVERY_SECONDS / 4
    late = delays(Pace(), every=every, records=3, commits=50)[-1]
    assert 0 < late <= COMMIT_EVERY_SECONDS - every + 1e-6


def test_commits_without_company_wait_only_now_and_then() -> None:
    """Who writes one record after the other is kept waiting once in a while, to see whether others come."""
    seen = delays(Pace(), every=COMMIT_EVERY_SECONDS / 4, records=1, commits=10 * TRY_EVERY + 1)
    assert sum(delay > 0 for delay in seen) == 10


def test_a_large_commit_does_not_wait() -> None:
    """What already serves many records is not made to wait for more."""
    assert delays(Pace(), every=0.001, records=ENOUGH, commits=20) == [0.0] * 20
