"""Messages and descriptors between keeper and service, also from somebody who speaks no or a newer language."""

import json
import os
import resource
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_core.keeper.wire import LARGEST, Broken, Wire


@pytest.fixture
def ends():
    pair = tuple(Wire(end) for end in socket.socketpair())
    yield pair
    for wire in pair:
        wire.close()


def pump(sender, receiver, count):
    found = []
    while len(found) < count:
        sender.flush()
        found += receiver.receive()
    return found


def test_messages_come_as_they_were_sent(ends):
    ours, theirs = ends
    texts = ["", "ä\udcff\0", "x" * 3_000_000, '"']
    for text in texts:
        ours.send({"t": "note", "text": text})
    assert [message["text"] for message, _ in pump(ours, theirs, len(texts))] == texts
    assert theirs.receive() == []


def test_descriptors_come_with_their_own_message(ends):
    """Among many others, also when the messages are sent before anybody reads."""
    ours, theirs = ends
    pipes = [os.pipe() for _ in range(40)]
    for n, (reading, writing) in enumerate(pipes):
        ours.send({"t": "plain", "n": n, "filler": "y" * 20_000})
        ours.send({"t": "run", "n": n}, (reading, writing))
        os.close(reading)
        os.close(writing)
    for message, fds in pump(ours, theirs, 2 * len(pipes)):
        assert len(fds) == (2 if message["t"] == "run" else 0)
        if fds:
            os.write(fds[1], str(message["n"]).encode())
            assert os.read(fds[0], 9) == str(message["n"]).encode()
            assert not os.get_inheritable(fds[0])
            for fd in fds:
                os.close(fd)


def test_the_last_words_come_before_the_end(ends):
    ours, theirs = ends
    ours.send({"t": "last"})
    ours.close()
    assert theirs.receive() == [({"t": "last"}, ())]
    with pytest.raises(Broken):
        theirs.receive()


def test_who_is_gone_cannot_be_told(ends):
    ours, theirs = ends
    theirs.close()
    with pytest.raises(Broken):
        for _ in range(3):
            ours.send({"t": "hello"})


def test_what_nobody_takes_is_kept_and_comes_later(ends):
    ours, theirs = ends
    for n in range(5000):
        ours.send({"n": n, "filler": "z" * 200})
    assert ours.waiting > 0
    assert [message["n"] for message, _ in pump(ours, theirs, 5000)] == list(range(5000))
    assert ours.waiting == 0


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("=II", LARGEST + 1, 0),
        struct.pack("=II", 2, 65) + b"{}",
        struct.pack("=II", 2, 1) + b"{}",
        struct.pack("=II", 2, 0) + b"[]",
        struct.pack("=II", 2, 0) + b"{x",
        struct.pack("=II", 400_000, 0) + b"[" * 400_000,
    ],
)
def test_what_is_no_message_breaks_the_line(data):
    raw, end = socket.socketpair()
    wire = Wire(end)
    raw.setblocking(False)
    with pytest.raises(Broken):
        view = memoryview(data)
        while True:
            if view:
                view = view[raw.send(view) :]
            wire.receive()
    wire.close()
    raw.close()


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_break_the_line(data):
    raw, end = socket.socketpair()
    wire = Wire(end)
    raw.sendall(data)
    raw.close()
    try:
        while True:
            for message, _ in wire.receive():
                json.dumps(message)
    except Broken:
        pass
    finally:
        wire.close()


@pytest.mark.row(54)
def test_a_message_whose_descriptors_cannot_be_opened_comes_without_them():
    ours, theirs = (Wire(end) for end in socket.socketpair())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    ours.send({"t": "one"}, (0, 1, 2))
    ours.send({"t": "two"}, (0,))
    ours.send({"t": "three"})
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
    try:
        told = theirs.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [message["t"] for message, _ in told] == ["one", "two", "three"]
    assert [len(fds) for _, fds in told] == [0, 1, 0]
    for _, fds in told:
        for fd in fds:
            os.close(fd)
    ours.close()
    theirs.close()
