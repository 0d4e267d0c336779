"""What a service listens on when a predecessor did: what is still wanted is taken, and nothing else is left open."""

import grp
import json
import os
import socket
from pathlib import Path

import pytest

from app.entries import Entries
from app.listeners import Address, CannotListen


def entries(*wanted: str, group: str = "") -> Entries:
    return Entries([(Address.parse(text), group) for text in wanted])


def left(predecessor: Entries) -> list[tuple[object, int]]:
    """What a killed one leaves: what it said, and sockets that somebody else still has."""
    told = [(json.loads(json.dumps(about)), os.dup(listener.fileno())) for about, listener in predecessor.told()]
    predecessor.close()
    return told


def inodes(one: Entries) -> list[int]:
    return [os.fstat(listener.fileno()).st_ino for listener in one.listeners]


def answers(where: object) -> bool:
    with socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET) as way:
        return way.connect_ex(where) == 0


@pytest.fixture
def pair():
    """A predecessor and its successor, which are closed."""
    made: list[Entries] = []

    def make(*wanted: str, group: str = "", inherited=()) -> Entries:
        made.append(entries(*wanted, group=group))
        made[-1].open(inherited)
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.row(32)
def test_what_is_still_wanted_goes_on_with_who_waits_there(tmp_path: Path, pair) -> None:
    place = str(tmp_path / "s")
    wanted = ("127.0.0.1:0", "127.0.0.1:0", f"unix:{place}")
    first = pair(*wanted)
    before, names = inodes(first), [listener.getsockname() for listener in first.listeners]
    with socket.socket(socket.AF_UNIX) as early:
        inherited = left(first)
        early.connect(place)
        second = pair(*wanted, inherited=inherited)
        assert inodes(second) == before
        assert [listener.getsockname() for listener in second.listeners] == names
        second.listeners[2].accept()[0].close()
        with pytest.raises(BlockingIOError):
            second.listeners[0].accept()


@pytest.mark.row(32)
def test_what_is_not_wanted_any_more_is_refused_whoever_else_has_it(pair) -> None:
    first = pair("127.0.0.1:0", "localhost:0")
    gone, kept = first.listeners[0].getsockname(), inodes(first)[1]
    copies = [listener.dup() for listener in first.listeners]  # the keeper's
    second = pair("localhost:0", f"127.0.0.1:{gone[1]}", inherited=left(first))
    assert inodes(second)[0] == kept
    assert second.listeners[1].getsockname() == gone, "the address is free at once"
    second.listeners[1].close()
    assert not answers(gone)
    for copy in copies:
        copy.close()


@pytest.mark.row(61)
def test_under_a_name_that_was_lost_it_is_bound_anew(tmp_path: Path, pair) -> None:
    place = tmp_path / "s"
    first = pair(f"unix:{place}")
    before, inherited = inodes(first), left(first)
    place.unlink()
    second = pair(f"unix:{place}", inherited=inherited)
    assert inodes(second) != before
    assert answers(str(place))


@pytest.mark.row(61)
def test_under_a_name_that_is_somebody_elses_nobody_is_driven_away(tmp_path: Path, pair) -> None:
    place = tmp_path / "s"
    inherited = left(pair(f"unix:{place}"))
    place.unlink()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(place))
        stranger.listen()
        with pytest.raises(CannotListen, match="another program listens"):
            pair("127.0.0.1:0", f"unix:{place}", inherited=inherited)
        assert answers(str(place))


def test_for_another_group_it_is_bound_anew(tmp_path: Path, pair) -> None:
    place = f"unix:{tmp_path / 's'}"
    first = pair(place)
    before = inodes(first)
    second = pair(place, group=grp.getgrgid(os.getgid()).gr_name, inherited=left(first))
    assert inodes(second) != before
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o660


@pytest.mark.row(61)
def test_one_that_was_made_again_takes_the_place_of_the_first(tmp_path: Path, pair) -> None:
    place = tmp_path / "s"
    first = pair("127.0.0.1:0", f"unix:{place}")
    old = first.listeners[1]
    place.unlink()
    first.replace(new := first.doors[0].reopen())
    old.close()
    assert first.listeners[1] is new
    before = inodes(first)
    second = pair("127.0.0.1:0", f"unix:{place}", inherited=left(first))
    assert inodes(second) == before
    assert answers(str(place))
