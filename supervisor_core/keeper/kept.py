"""One run in the keeper, from the order to start it until nothing of it is left.

What a crash could split is written down first: the intent before the fork, the process before it may run, the end
before it is collected. Each change is told to the service as a whole (`tell`), so it may be told again, and to another
one. No policy here.
"""

import contextlib
import errno
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..children import Ended, LaunchRequest, become, openings, procfs
from ..children.living import Living
from ..children.loops import watch
from ..children.outlets import Outlet
from ..children.pump import Channel
from ..errors import CannotStart
from ..failing import point
from .book import RunRecord, Stopping
from .foreign import LOST, how_it_ended, open_same
from .requests import read_steps, tell_end
from .starting import begin

if TYPE_CHECKING:
    from .runs import Runs

Key = tuple[str, int]

CUT_OFF = "WARNING: its terminal or pipe went with keeper and service, so what it writes is lost until it is restarted"

GRACE = 1.0
"""Seconds between two looks whether the service, which kills at the end of a stop, is still there to do so."""


class KeptRun:
    """`leader` is the end of its main process, `ended` the same once nothing of it is left."""

    def __init__(self, runs: "Runs", worker: str, run: int) -> None:
        self.worker, self.run = worker, run
        self.pid = 0
        self.leader: Ended | None = None
        self.ended: Ended | None = None
        self.stop_steps: tuple[tuple[int, float], ...] = ()
        self.streams: tuple[str, ...] = ()
        self._runs = runs
        self._living: Living | None = None
        self._sources: dict[str, Channel] = {}
        self._pidfd: int | None = None
        self._report: bytes | None = None
        """What the child said on its way into the program; None while it is on it."""
        self._silent = False
        self._struck = ""

    # ------------------------------------------------------------ beginning

    def start(self, request: LaunchRequest) -> None:
        """Starts its program; whether that is possible is told later."""
        runs = self._runs
        self.stop_steps, self.streams = request.stop, openings.streams(request)
        try:
            begun = begin(runs, request)
        except CannotStart as refusal:
            self._refuse(errno=errno.EMFILE, sentence=str(refusal))
            return
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._refuse(errno=(isinstance(error, OSError) and error.errno) or 0, about=str(error))
            return
        self.pid, self._pidfd = begun.pid, os.dup(begun.pidfd)
        self._sources = begun.sources
        outlets = [Outlet(runs.gate, source) for source in begun.sources.values()]
        self._living = Living(runs.gate, runs.forest, self.pid, begun.tag, outlets, self, group=begun.group)
        proc = procfs.read(self.pid)
        with runs.carrying_on():
            runs.book.started(*self._key, self.pid, proc.start if proc else 0)
        point("run written down")
        self._living.begin(begun.pidfd)
        runs.gate.release()
        if begun.report is None:
            self._reported(become.READY)
        else:
            self._hear(begun.report)
        for sentence in begun.said:
            with contextlib.suppress(OSError):  # no room on the disk: it runs all the same
                runs.pump.store.note(*self._key, sentence)

    def _hear(self, report: int) -> None:
        said = b""

        def more() -> None:
            nonlocal said
            data = os.read(report, 4096)
            said += data
            if not data:
                undo()
                self._reported(said)

        undo = watch(self._runs.loop, report, more)

    def _reported(self, said: bytes) -> None:
        """It runs its program, or has said why it cannot."""
        self._report = said
        if said != become.READY and self.ended is None:
            assert self._living is not None
            self._living.kill_tree()
        elif said != become.READY:
            self._broke_down()
        else:
            self.tell(handing=True)

    def _broke_down(self) -> None:
        assert self.ended is not None
        assert self._report is not None
        self._refuse(said=self._report.decode("utf-8", "surrogateescape"), ended=tell_end(self.ended))

    def _refuse(self, **why: Any) -> None:
        """Nothing of it is left, and its program never ran."""
        self._let_go()
        self._runs.drop(self)
        self._runs.tell({"t": "refused", **self._name, **why})

    # ------------------------------------------------------------ found again

    def take_over(self, record: RunRecord, handed: Mapping[str, int], gone: str) -> None:
        """Goes on with a run that an earlier keeper began. `handed` are its descriptors, as far as somebody has them:
        "pidfd" and by the names of the streams; they are taken over. `gone` says why it cannot be there any more.
        """
        about = record.about
        self._report = become.READY
        self.pid, self.leader = record.pid or 0, record.leader
        self.ended = record.ended
        self.stop_steps = read_steps(about.get("stop", ()))
        self.streams = tuple(map(str, about.get("streams", ())))
        if self.ended is None and gone:
            self._pass_away(self.leader or Ended(reason=gone))
        elif self.ended is None:
            self._find(record, handed)
        self._silent |= not self._sources

    def _find(self, record: RunRecord, handed: Mapping[str, int]) -> None:
        runs, about = self._runs, record.about
        for stream in self.streams:
            reading = handed.get(stream) or runs.pipes.reopen(*self._key, stream)
            if reading is not None:
                self._sources[stream] = runs.pump.open(self.worker, stream, self.run, reading)
            elif self.leader is None:
                with contextlib.suppress(OSError):
                    runs.pump.store.note(*self._key, CUT_OFF)
        pidfd = handed.get("pidfd") or (open_same(self.pid, record.start) if self.leader is None else None)
        self._pidfd = None if pidfd is None else os.dup(pidfd)
        self._living = Living(
            runs.gate,
            runs.forest,
            self.pid,
            about.get("tag", ""),
            [Outlet(runs.gate, source) for source in self._sources.values()],
            self,
            group=runs.groups.adopt(about["group"]) if about.get("group") else None,
            look=lambda pid: how_it_ended(pid, record.start, pidfd),
        )
        self._living.begin(pidfd)
        if pidfd is None:
            self._living.found_headless(self.leader or Ended(reason=LOST))
        if record.stopping is not None and self.ended is None:
            left = remaining(record.stopping, runs.now(), runs.loop.time())
            self._living.stop(left, self._out_of_time, self._asked)

    def _pass_away(self, ended: Ended) -> None:
        self.leader = self.ended = ended
        with self._runs.carrying_on():
            self._runs.book.exited(*self._key, ended)

    # ------------------------------------------------------------ orders

    def stop(self, steps: Sequence[tuple[int, float]]) -> None:
        """Ends it step by step, also when the service is gone meanwhile; then what is left is killed at the end."""
        if self._living is not None and self.ended is None and not self._living.stopping:
            self._living.stop(steps, self._out_of_time, self._asked)

    def _asked(self, steps: Sequence[tuple[int, float]]) -> None:
        """The first of these was sent, the others are to come.

        Written down afterwards: a later keeper does not send that again, and the service repeats what it ordered, so a
        signal may come twice after a crash but never not at all.
        """
        point("asked to end")
        with self._runs.carrying_on():
            self._runs.book.stopping(*self._key, steps, self._runs.now(), self._runs.loop.time())
        point("stop written down")

    def _out_of_time(self) -> None:
        """The service says when it is killed; where there is none, nobody else would."""
        if self.ended is None:
            if self._runs.alone():
                self.kill()
            self._runs.loop.call_later(GRACE, self._out_of_time)

    def kill(self) -> None:
        if self._living is not None:
            self._living.kill_tree()

    def signal(self, number: int, *, tree: bool) -> None:
        if self._living is not None:
            self._living.signal(number, tree=tree)

    # ------------------------------------------------------------ facts

    def main_ended(self, ended: Ended) -> None:
        if self.leader is None:
            self.leader = ended if ended.at is not None else replace(ended, at=self._runs.now())
            point("leader ended")
            with self._runs.carrying_on():
                self._runs.book.leader(*self._key, self.leader)
            point("leader's end written down")
        self._runs.loop.call_soon(self._tell_leader)

    def _tell_leader(self) -> None:
        if self.ended is None:
            self.tell()

    def silenced(self) -> None:
        self._silent = True
        self.tell()

    def emptied(self) -> None:
        assert self._living is not None
        assert self.leader is not None
        self.ended = self.leader
        self._struck = self._living.struck()
        if self._living.group is not None:
            self._runs.groups.give_back(self._living.group)
        self._let_go()
        with self._runs.carrying_on():
            self._runs.book.exited(*self._key, self.ended)
        point("end written down")
        if self._report is not None and self._report != become.READY:
            self._broke_down()
        else:
            self.tell()

    # ------------------------------------------------------------ told

    def tell(self, *, handing: bool = False) -> None:
        """All that is known of it; `handing` its descriptors too, so that a later keeper can be given them."""
        if self.is_up:
            told, fds = {"t": "run", **self.summary()}, self.descriptors() if handing and self.ended is None else {}
            try:
                self._runs.tell({**told, "fds": list(fds)}, tuple(fds.values()))
            except OSError:  # no more may be open just now: a later keeper finds the pipes by their names
                self._runs.tell({**told, "fds": []})

    def summary(self) -> dict[str, Any]:
        about: dict[str, Any] = {**self._name, "pid": self.pid, "silent": self._silent}
        if self.leader is not None:
            about["leader"] = tell_end(self.leader)
            about["left"] = list(self._living.left()) if self.ended is None and self._living is not None else []
        if self.ended is not None:
            about |= {"ended": tell_end(self.ended), "struck": self._struck}
        return about

    @property
    def is_up(self) -> bool:
        """Whether its program runs, or ran."""
        return self._report == become.READY

    def descriptors(self) -> dict[str, int]:
        fds = {stream: source.fd for stream, source in self._sources.items() if source.fd >= 0}
        return fds if self._pidfd is None else {"pidfd": self._pidfd, **fds}

    # ------------------------------------------------------------ inside

    @property
    def _key(self) -> Key:
        return self.worker, self.run

    @property
    def _name(self) -> dict[str, Any]:
        return {"worker": self.worker, "run": self.run}

    def _let_go(self) -> None:
        """Its pipes need no name any more."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        for stream in self.streams:
            self._runs.pipes.remove(*self._key, stream)


def remaining(stopping: Stopping, now: float, clock: float) -> list[tuple[int, float]]:
    """What is left of a stop; signal 0, which sends nothing, stands for the one that was sent."""
    passed = max(0.0, now - stopping.at if stopping.clock is None else clock - stopping.clock)
    first = [(0, seconds - passed) for _, seconds in stopping.steps[:1] if passed < seconds]
    return [*first, *stopping.steps[1:]]
