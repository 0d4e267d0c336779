"""What workers use, as JSON: rows of now, encoded once a sample for all who read, and series of points.

Percents have one decimal, everything else is whole; null is what nobody could know. A reader of the stream who has had
the sample before is given the rows that changed since, everybody else all rows.
"""

from collections.abc import Callable, Collection
from typing import Any
from weakref import WeakKeyDictionary

from ..watchers.metrics import FIELDS, Row, Sample
from ..watchers.metrics.history import Bar, Series
from ..watchers.metrics.watch import Metrics
from .wire import Json, frame

PERCENTS = frozenset({"cpu", "gpu"})

_encoded: WeakKeyDictionary[Metrics, dict[bool, tuple[int, bytes]]] = WeakKeyDictionary()
"""The last frames of each host: with the changed rows, and with all."""


def row(worker: str, used: Row) -> Json:
    """What one worker uses now."""
    numbers = {name: _number(name, value) for name, value in zip(FIELDS, used.values, strict=True)}
    return {"worker": worker, "run": used.run, **numbers}


def rows(sample: Sample | None, workers: Collection[str]) -> list[Json]:
    """Those of `workers` that are in a sample, in its order."""
    return [] if sample is None else [row(name, used) for name, used in sample.rows.items() if name in workers]


def rows_since(metrics: Metrics, told: int) -> bytes:
    """The `metrics` event for a reader whose last sample was `told`."""
    whole = told != metrics.number - 1
    frames = _encoded.setdefault(metrics, {})
    number, data = frames.get(whole, (0, b""))
    if number != metrics.number:
        sample = metrics.latest
        names = metrics.changed if not whole or sample is None else sample.rows.keys()
        data = frame("metrics", list[Any](rows(sample, names)))
        frames[whole] = metrics.number, data
    return data


def series(found: Series) -> Json:
    """Columns by field."""
    return {name: _columns(name, bars) for name, bars in found.bars.items()}


def _columns(name: str, bars: list[Bar | None]) -> Json:
    parts: dict[str, Callable[[Bar], float | None]] = {
        "min": lambda bar: bar.low,
        "mean": lambda bar: bar.mean,
        "max": lambda bar: bar.high,
    }
    return {part: [None if bar is None else _number(name, of(bar)) for bar in bars] for part, of in parts.items()}


def _number(name: str, value: float | None) -> float | int | None:
    if value is None:
        return None
    return round(value, 1) if name in PERCENTS else round(value)
