"""What is remembered of samples: points with least, mean and most, gaps where nobody sampled, and a bound in bytes."""

import pytest

from app.watchers.metrics import FIELDS, Row, Sample
from app.watchers.metrics.history import COARSE, FINE, SPAN, WIDTH, Bar, History

START = 1_000_000.0


def sample(at: float, since: float | None = None, **cpus: float | None) -> Sample:
    """Workers by name with what they use of a core; everything else is unknown."""
    rows = {name: Row(1, (cpu, *[None] * (WIDTH - 1))) for name, cpu in cpus.items()}
    return Sample(at, at if since is None else since, rows)


def run(history: History, seconds: int, of: float = 10.0, begin: float = START) -> float:
    """Samples once a second; the number grows by one each time. Gives the time of the last."""
    for i in range(seconds + 1):
        history.add(sample(begin + i, None if i == 0 else begin + i - 1, a=of + i))
    return begin + seconds


def cpu(history: History, start: float, end: float, points: int, worker: str = "a") -> list[Bar | None]:
    return history.series(worker, start, end, points).bars["cpu"]


def shown(bars: list[Bar | None]) -> list[tuple[float, float, float] | None]:
    return [None if bar is None else (bar.low, round(bar.mean or 0.0, 3), bar.high) for bar in bars]


def test_a_point_says_least_mean_and_most() -> None:
    history = History()
    run(history, 10)
    assert shown(cpu(history, START, START + 10, 10)) == [
        (10, 10.999, 11), *[(11.0 + i, 11.0 + i, 11.0 + i) for i in range(1, 10)]
    ]  # fmt: skip
    assert shown(cpu(history, START + 1, START + 9, 2)) == [(12, 13.5, 15), (16, 17.5, 19)]


def test_the_mean_is_by_time_and_not_by_samples() -> None:
    history = History()
    history.add(sample(START, a=0.0))
    history.add(sample(START + 3, START, a=10.0))
    history.add(sample(START + 4, START + 3, a=50.0))
    (bar,) = cpu(history, START + 1, START + 5, 1)
    assert bar is not None
    assert bar.mean == pytest.approx((2 * 10 + 1 * 50) / 3)


def test_nobody_sampled_is_a_gap_and_no_zero() -> None:
    history = History()
    run(history, 4)
    run(history, 4, begin=START + 8)
    bars = cpu(history, START - 2, START + 14, 16)
    assert [bar is None for bar in bars] == [True] * 2 + [False] * 4 + [True] * 4 + [False] * 4 + [True] * 2
    assert cpu(history, START, START + 12, 4, "stranger") == [None] * 4
    assert history.series("a", START, START + 4, 1).bars["memory"] == [None], "nobody could know it"


def test_single_samples_become_means_and_then_go() -> None:
    history = History()
    end = run(history, int(COARSE + FINE))
    oldest = history.oldest
    assert oldest is not None
    assert end - COARSE - SPAN <= oldest <= end - COARSE + SPAN
    early = cpu(history, oldest, oldest + 100, 10)
    assert None not in early
    for bar in early[:-1]:
        assert bar is not None
        assert bar.high - bar.low >= 9
        assert bar.low < (bar.mean or 0) < bar.high
    lately = cpu(history, end - 100, end, 100)
    assert all(bar is not None and bar.high - bar.low <= 1 for bar in lately)
    whole = [bar for bar in cpu(history, end - COARSE + SPAN, end, 1000) if bar is None]
    assert not whole, "no seam between both kinds"


def test_it_has_an_upper_bound_in_bytes() -> None:
    history = History(most=100_000)
    names = [f"w{i}" for i in range(50)]
    for second in range(3000):
        history.add(sample(START + second, START + second - 1, **dict.fromkeys(names, 1.0)))
        assert history.size <= 100_000
    assert history.oldest is not None
    kept = [*history._fine, *history._coarse]
    assert history.size == sum(one.size for one in kept)
    assert cpu(history, START + 2990, START + 2999, 1, "w7")[0] is not None, "the newest stay"


def test_workers_come_and_go_between_samples() -> None:
    history = History()
    for second in range(21):
        cpus = {name: float(second) for name in ("a", "b") if (name == "a") == (second % 2 == 0) or second > 15}
        history.add(sample(START + second, START + second - 1, **cpus))
    history.add(sample(START + 40, a=0.0))
    joined = history._coarse[0]
    assert set(joined.index) == {"a", "b"}
    assert len(joined.mean) == 2 * WIDTH
    at = joined.index["b"] + FIELDS.index("cpu")
    assert (joined.low[at], joined.mean[at], joined.high[at]) == (1, 5, 9)
