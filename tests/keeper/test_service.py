"""The service as the keeper sees it: its last words, and what becomes of one that has no channel any more."""

import os
import socket

import pytest

from supervisor_core.children import Ended
from supervisor_core.keeper import service as seen
from supervisor_core.keeper.loop import Loop
from supervisor_core.keeper.service import Service
from supervisor_core.keeper.wire import Wire


class Watched:
    """A service whose process is `sleep`, and its end of the wire in our hands."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.said: list[object] = []
        ours, theirs = socket.socketpair()
        self.wire = Wire(theirs)
        self.service = Service(self.loop, ("-",), lambda message, _: self.said.append(message), self._died)
        self.pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
        self.service.follow(self.pid, ours)
        self.service.up = True

    def hang_up(self) -> None:
        """Says nothing more and hears nothing, whoever else may hold this end."""
        self.wire._channel.shutdown(socket.SHUT_RDWR)
        self.wire.close()

    def _died(self, ended: object) -> None:
        self.said.append(ended)
        self.loop.stop()

    def run(self) -> list[str]:
        """All that was heard of it until it had ended."""
        self.loop.call_later(5, self.loop.stop)
        self.loop.run()
        self.loop.close()
        return [str(word) for word in self.said]


@pytest.mark.row(35)
def test_the_last_words_of_a_service_are_heard_by_a_keeper_that_was_about_to_speak():
    watched = Watched()
    watched.wire.send({"t": "note", "worker": "w", "data": "x"})
    watched.wire.send({"t": "over", "status": 7})
    watched.hang_up()
    assert not watched.service.tell({"t": "moved", "worker": "w"})
    assert not watched.service.tell({"t": "moved", "worker": "w"})
    os.kill(watched.pid, 9)
    first, second, _ = watched.run()
    assert "note" in first
    assert "'status': 7" in second


@pytest.mark.row(35)
def test_a_service_that_has_lost_its_channel_and_lives_on_is_replaced(monkeypatch):
    monkeypatch.setattr(seen, "FAREWELL", 0.05)
    watched = Watched()
    watched.hang_up()
    assert watched.run() == [str(Ended(signal=9))]
