"""What an end means, row by row, and when the next try comes."""

from dataclasses import replace

import pytest

from supervisor_core.model import Exit, Hooks, RestartPolicy, RestartWhen, WorkerSpec
from supervisor_core.policy import Facts, classify, delay, failed, may_try, start_deadline, words_of
from supervisor_core.table import Cause

NEVER = RestartPolicy()
RETRY = RestartPolicy(restart=RestartWhen.ON_FAILURE, max_restarts=3, window=60)
ALWAYS = RestartPolicy(restart=RestartWhen.ALWAYS)


@pytest.mark.parametrize(
    ("facts", "policy", "cause"),
    [
        # 1: an own failure of a never-retry worker counts even when it is on its way out
        (Facts(True, wanted=False), NEVER, Cause.EXHAUSTED),
        (Facts(True, leaving=True), NEVER, Cause.EXHAUSTED),
        (Facts(True, leaving=True, interrupted=Cause.RELEASE), NEVER, Cause.EXHAUSTED),
        # 2: otherwise what is not wanted, or leaves, is gone
        (Facts(True, wanted=False), RETRY, Cause.GONE),
        (Facts(True, leaving=True), RETRY, Cause.GONE),
        (Facts(True, ours=True, wanted=False), NEVER, Cause.GONE),
        (Facts(False, wanted=False), ALWAYS, Cause.GONE),
        (Facts(False, wanted=False, ordered=True, cycling=True, blame=True), RETRY, Cause.GONE),
        # 3: interrupted to go on, or ordered to
        (Facts(True, interrupted=Cause.RESTART), RETRY, Cause.AGAIN),
        (Facts(True, interrupted=Cause.FOLLOW), NEVER, Cause.AGAIN),
        (Facts(False, interrupted=Cause.RELEASE), NEVER, Cause.AGAIN),
        (Facts(True, cycling=True), NEVER, Cause.AGAIN),
        (Facts(True, ordered=True, blame=True), NEVER, Cause.AGAIN),
        (Facts(True, interrupted=Cause.HEADLESS, ordered=True), NEVER, Cause.AGAIN),
        # 4: blame, or its own failure
        (Facts(True), NEVER, Cause.EXHAUSTED),
        (Facts(True), RETRY, Cause.CRASHED),
        (Facts(True), ALWAYS, Cause.CRASHED),
        (Facts(False, blame=True), RETRY, Cause.CRASHED),
        (Facts(False, blame=True), NEVER, Cause.EXHAUSTED),
        (Facts(True, ours=True, blame=True, interrupted=Cause.TIMEOUT), RETRY, Cause.CRASHED),
        (Facts(True, permanent=True), ALWAYS, Cause.EXHAUSTED),
        (Facts(True, interrupted=Cause.HEADLESS), RETRY, Cause.CRASHED),
        # 5: a normal end
        (Facts(False), NEVER, Cause.FINISHED),
        (Facts(False), RETRY, Cause.FINISHED),
        (Facts(False), ALWAYS, Cause.CRASHED),
    ],
)
def test_an_exit_is_classified(facts: Facts, policy: RestartPolicy, cause: Cause):
    assert classify(facts, policy, (), 0.0) is cause


def test_the_limit_ends_it():
    assert classify(Facts(True), RETRY, (1, 2), 3) is Cause.CRASHED
    assert classify(Facts(True), RETRY, (1, 2, 3), 4) is Cause.EXHAUSTED


@pytest.mark.parametrize(
    ("tries", "now", "allowed"),
    [((), 0, True), ((1, 2), 3, True), ((1, 2, 3), 4, False), ((1, 2, 3), 61, True), ((1, 2, 3), 60.9, False)],
)
def test_only_tries_within_the_window_count(tries: tuple[float, ...], now: float, allowed: bool):
    assert may_try(RETRY, tries, now) is allowed


def test_no_limit_and_no_retry():
    assert may_try(ALWAYS, range(1000), 1000)
    assert not may_try(NEVER, (), 0)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0.1), (1, 0.1), (2, 0.2), (3, 0.4), (5, 1.6), (6, 3.0), (7, 3.0), (10_000, 3.0)]
)
def test_the_delay_doubles_up_to_its_largest(failures: int, seconds: float):
    assert delay(RETRY, failures) == pytest.approx(seconds)


def test_jitter_spreads_the_delay():
    policy = RestartPolicy(backoff_initial=10, backoff_max=10, jitter=0.1)
    assert [delay(policy, 1, jitter) for jitter in (-1, 0, 1)] == pytest.approx([9, 10, 11])
    assert delay(RestartPolicy(jitter=2), 1, -1) == 0


@pytest.mark.parametrize(
    ("exit", "failure"),
    [
        (Exit(1, code=0), False),
        (Exit(1, code=2), False),
        (Exit(1, code=1), True),
        (Exit(1, signal=15), True),
        (Exit(1), True),
    ],
)
def test_what_a_failure_is(exit: Exit, failure: bool):
    assert failed(exit, RestartPolicy(success_exit_codes=frozenset({0, 2}))) is failure


def test_an_end_in_words():
    exits = (None, Exit(1, code=3), Exit(1, signal=9), Exit(1), Exit(1, code=1, reason="boom"))
    assert [words_of(exit) for exit in exits] == ["unknown end", "exit 3", "signal 9", "unknown end", "boom"]


def test_until_when_a_run_has_to_be_ready():
    spec = WorkerSpec("web")
    assert start_deadline(spec, 100.0) == 110.0
    assert start_deadline(replace(spec, ready_probe=True), 100.0) is None
    assert start_deadline(replace(spec, hooks=Hooks(before_start=("x",))), 100.0) is None, "its program may not run yet"
    assert start_deadline(replace(spec, ready_probe=True, start_timeout=5.0), 100.0) == 105.0
