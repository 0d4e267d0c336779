"""Pure questions about who requires whom: circles, live dependents, closures, the order of requirement, what is met.

Edges are the `requires` of the specs. An edge is *held* by its dependent while that runs when its condition is one of
`HOLDING` (ready, started, healthy, log): a target is not let go under it. The completed kinds hold nothing. What is
not met is told in words by `why.py`.
"""

from collections.abc import Callable, Iterable, Mapping

from .model import LIVE, Condition, Health, Requirement, State, Status, WorkerSpec

Requires = Mapping[str, tuple[Requirement, ...]]

HOLDING = frozenset({Condition.READY, Condition.STARTED, Condition.HEALTHY, Condition.LOG})
UP = frozenset({State.STARTING, State.RUNNING})


SHOWN_TO_DEPENDENTS = (
    "spec", "state", "wanted", "ready", "health", "run", "pid", "cycling", "removing", "stuck", "blocked_on", "matched",
    "enabled", "stopped_by",
)  # fmt: skip
"""A change of one of these can change what a dependent may do or what it says about its wait."""


class Graph:
    """The edges as they are now, both ways, and the level of each worker: above all that it requires.

    `levels` orders the work of settle: what is required comes first. A name that nobody has is no node.
    """

    def __init__(self) -> None:
        self.requires: dict[str, tuple[Requirement, ...]] = {}
        self.dependents: dict[str, tuple[Requirement, ...]] = {}
        self.levels: dict[str, int] = {}

    def copy(self) -> "Graph":
        other = Graph()
        other.requires, other.dependents = self.requires.copy(), self.dependents.copy()
        other.levels = self.levels.copy()
        return other

    def put(self, name: str, requires: tuple[Requirement, ...]) -> None:
        """Sets what a worker requires. The caller has checked that no circle comes of it."""
        self._unlink(name)
        self.requires[name] = requires
        for edge in requires:
            back = Requirement(name, edge.condition, edge.follow, edge.pattern)
            self.dependents[edge.name] = (*self.dependents.get(edge.name, ()), back)
        self._raise_levels(name)

    def drop(self, name: str) -> None:
        """Forgets a worker; the edges to it stay, since its dependents still name it."""
        self._unlink(name)
        self.requires.pop(name, None)
        self.levels.pop(name, None)

    def patterns(self, name: str) -> frozenset[str]:
        """What its dependents wait for in its output."""
        backs = self.dependents.get(name, ())
        return frozenset(back.pattern for back in backs if back.condition is Condition.LOG)

    def _unlink(self, name: str) -> None:
        for edge in self.requires.get(name, ()):
            left = tuple(back for back in self.dependents.get(edge.name, ()) if back.name != name)
            if left:
                self.dependents[edge.name] = left
            else:
                self.dependents.pop(edge.name, None)

    def _raise_levels(self, name: str) -> None:
        todo = [name]
        while todo:
            name = todo.pop()
            level = max((self.levels.get(edge.name, 0) + 1 for edge in self.requires[name]), default=0)
            if self.levels.get(name) != level:
                self.levels[name] = level
                todo += [back.name for back in self.dependents.get(name, ())]


def requires_of(specs: Iterable[WorkerSpec]) -> dict[str, tuple[Requirement, ...]]:
    return {spec.name: spec.requires for spec in specs}


def circle(requires: Requires, start: str | None = None) -> tuple[str, ...]:
    """A circle of requirements as a path that begins and ends with the same name; empty when there is none.

    With `start` only circles that can be reached from there are looked for.
    """
    done: set[str] = set()
    for root in [start] if start is not None else list(requires):
        path: dict[str, Iterable[str]] = {root: iter([edge.name for edge in requires.get(root, ())])}
        while path:
            name, rest = next(reversed(path.items()))
            found = next((target for target in rest if target in requires and target not in done), None)
            if found is None:
                done.add(name)
                path.popitem()
            elif found in path:
                names = list(path)
                return (*names[names.index(found) :], found)
            else:
                path[found] = iter([edge.name for edge in requires[found]])
    return ()


def path_in_words(path: Iterable[str]) -> str:
    """A circle for a person: "a requires b requires a"."""
    return " requires ".join(path)


def closure(start: str, edges: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    """All that can be reached from `start` over `edges`, without it, nearest first."""
    found: dict[str, None] = {start: None}
    todo = [start]
    for name in todo:
        for other in edges(name):
            if other not in found:
                found[other] = None
                todo.append(other)
    del found[start]
    return tuple(found)


def order(requires: Requires) -> tuple[str, ...]:
    """Every worker after all that it requires, else in the order given. There must be no circle."""
    graph = Graph()
    for name, edges in requires.items():
        graph.put(name, edges)
    return tuple(sorted(requires, key=graph.levels.__getitem__))


def live_dependents(name: str, graph: Graph, statuses: Mapping[str, Status]) -> tuple[str, ...]:
    """Those that hold `name`: live, not stuck, with a holding edge to it."""
    edges = (back for back in graph.dependents.get(name, ()) if back.condition in HOLDING)
    found = (statuses[back.name] for back in edges)
    return tuple(status.spec.name for status in found if status.state in LIVE and not status.stuck)


# ---------------------------------------------------------------- met or not


def wanted(status: Status) -> bool:
    return status.wanted and not status.removing


def met(edge: Requirement, target: Status | None) -> bool:
    """Whether a requirement is satisfied. What is not wanted, cycling or being removed satisfies no holding edge."""
    if target is None:
        return False
    if edge.condition not in HOLDING:
        both = edge.condition is Condition.COMPLETED
        return target.state is State.DONE or (both and target.state is State.FAILED)
    if not wanted(target) or target.cycling or target.state not in UP:
        return False
    match edge.condition:
        case Condition.STARTED:
            return target.pid is not None or target.spec.program is None
        case Condition.HEALTHY:
            return target.health is Health.HEALTHY
        case Condition.LOG:
            return edge.pattern in target.matched
    return target.ready
