"""Clients that give orders without end, each for one worker, and what they may rely on by the answers that they got.

Orders of one worker come one after the other, so what was answered last holds, but for the order that is under way. No
check is here. Known wart: what is under way when somebody looks may have been answered already, and not been read yet.
"""

import contextlib
import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import httpx

from tests.faults.service import Service, until

PAUSE = 0.5
"""Seconds between two orders of one client, at most: there are moments at which none is under way."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the answers said of one worker.

    `run` is the last one that an answer named. `under_way` is an order without an answer. `ended` is a run whose end
    was shown, and `shown` when: it is on the disk once an order that was given later has been answered.
    """

    wanted: bool
    run: int = 0
    under_way: str = ""
    ended: int = 0
    shown: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """All of it at one moment: so many orders are answered, and who was given up to `sure` is among them."""

    workers: Mapping[str, Told]
    answered: int
    sure: int


class Clients:
    """`up` and `ending` are workers and whether they start by themselves; those of `ending` end of their own accord."""

    def __init__(self, service: Service, up: Mapping[str, bool], ending: Mapping[str, bool], seed: int) -> None:
        self._service = service
        self._changed = threading.Condition()
        self._told = {name: Told(wanted) for name, wanted in {**up, **ending}.items()}
        self._answered = self._moment = self._sure = 0
        self._go, self._over = threading.Event(), threading.Event()
        self._wrong: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._live, args=(name, random.Random(f"{seed} {name}"), name in ending))
            for name in self._told
        ]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._go.set()
        for thread in self._threads:
            thread.join()

    def seen(self) -> Seen:
        with self._changed:
            return Seen(dict(self._told), self._answered, self._sure)

    @contextlib.contextmanager
    def giving(self) -> Iterator[None]:
        """Lets them give orders inside the block; those under way are finished after it. Raises what went wrong."""
        self._go.set()
        try:
            yield
        finally:
            self._go.clear()

    def until_answered(self, more: int) -> None:
        """Returns when so many more orders are answered; raises what went wrong meanwhile."""
        with self._changed:
            goal = self._answered + more
            assert self._changed.wait_for(lambda: self._answered >= goal or self._wrong, 30), "no answers"
            if self._wrong:
                raise self._wrong[0]

    # ------------------------------------------------------------ one client

    def _live(self, name: str, chance: random.Random, ends: bool) -> None:
        try:
            with self._service.client() as client:
                while not self._over.wait(chance.uniform(0, PAUSE)):
                    self._go.wait()
                    if self._over.is_set():
                        break
                    if ends:
                        self._let_end(client, name)
                    else:
                        self._give_any(client, name, chance)
        except BaseException as error:
            with self._changed:
                self._wrong.append(error)
                self._changed.notify_all()

    def _give_any(self, client: httpx.Client, name: str, chance: random.Random) -> None:
        there = self._told[name].wanted
        action = chance.choice(("stop", "stop", "restart", "kill") if there else ("start", "start", "restart"))
        self._give(client, name, action, **({"wait": "0"} if chance.random() < 0.3 else {}))

    def _let_end(self, client: httpx.Client, name: str) -> None:
        """Starts it, and reads how it ended."""
        run = self._give(client, name, "start")["run"]

        def ended() -> bool:
            last = client.get(f"/workers/{name}").json()["last_exit"]
            return last is not None and last["run"] == run

        until(ended)
        with self._changed:
            self._moment += 1
            self._told[name] = replace(self._told[name], ended=run, shown=self._moment)

    def _give(self, client: httpx.Client, name: str, action: str, **query: str) -> dict:
        """Gives an order, and notes the answer; gives the operation. Of one that is answered early no run is known."""
        with self._changed:
            self._moment += 1
            given = self._moment
            self._told[name] = replace(self._told[name], under_way=action)
        answer = client.post(f"/workers/{name}/{action}", params=query)
        told = answer.json()
        assert answer.is_success or told["code"] == "gave_up", (action, name, told)  # it ended before it was looked at
        operation = told["operation"]
        with self._changed:
            before = self._told[name]
            run = before.run if operation["state"] == "pending" else operation["run"]
            self._told[name] = replace(before, wanted=action in ("start", "restart"), run=run, under_way="")
            self._answered += 1
            self._sure = max(self._sure, given)
            self._changed.notify_all()
        return operation
