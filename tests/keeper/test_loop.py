"""The keeper's loop: what it calls, in which order, and that it loses no signal."""

import os
import signal

import pytest

from supervisor_core.keeper.loop import Loop


@pytest.fixture
def loop():
    made = Loop()
    yield made
    made.close()


def test_timers_come_in_the_order_of_their_times_then_of_the_calls(loop):
    seen = []
    loop.call_later(0.02, loop.stop)
    loop.call_later(0.01, lambda: seen.append("later"))
    loop.call_later(0.0, lambda: seen.append("first"))
    loop.call_later(0.0, lambda: seen.append("second"))
    loop.call_later(0.005, lambda: seen.append("never")).cancel()
    loop.run()
    assert seen == ["first", "second", "later"]


def test_soon_is_before_what_has_not_happened_yet(loop):
    reading, writing = os.pipe()
    seen = []

    def read():
        seen.append(os.read(reading, 1))
        loop.stop()

    def first():
        seen.append("soon")
        os.write(writing, b"x")

    loop.add_reader(reading, read)
    loop.call_soon(first)
    loop.run()
    loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)
    assert seen == ["soon", b"x"]


def test_a_reader_that_is_removed_in_the_same_turn_is_not_called(loop):
    one, two = os.pipe(), os.pipe()
    seen = []

    def call(mine, other):
        seen.append(mine)
        loop.remove_reader(other)
        loop.stop()

    loop.add_reader(one[0], lambda: call(one[0], two[0]))
    loop.add_reader(two[0], lambda: call(two[0], one[0]))
    os.write(one[1], b"x")
    os.write(two[1], b"x")
    loop.run()
    assert len(seen) == 1
    for fd in (*one, *two):
        os.close(fd)


def test_removing_after_closing_is_no_error_and_the_number_may_come_again(loop):
    reading, writing = os.pipe()
    loop.add_reader(reading, lambda: None)
    os.close(reading)
    assert loop.remove_reader(reading)
    assert not loop.remove_reader(reading)
    again = os.dup(writing)
    os.close(writing)
    loop.add_writer(again, loop.stop)
    os.close(again)
    loop.remove_writer(again)


def test_a_descriptor_is_read_and_written_each_for_itself(loop):
    import socket

    ours, theirs = socket.socketpair()
    seen = []

    def read():
        seen.append(ours.recv(9))
        loop.remove_reader(ours.fileno())

    def write():
        seen.append("room")
        loop.remove_writer(ours.fileno())

    loop.add_reader(ours.fileno(), read)
    loop.add_writer(ours.fileno(), write)
    theirs.send(b"hello")
    loop.call_later(0.01, loop.stop)
    loop.run()
    assert sorted(map(str, seen)) == ["b'hello'", "room"]
    ours.close()
    theirs.close()


def test_each_signal_that_was_noticed_is_told(loop):
    """They come while a callback runs, more of them than the pipe that wakes the loop has bytes."""
    told = []
    loop.on_signal(signal.SIGUSR1, lambda: told.append(1))
    loop.on_signal(signal.SIGUSR2, loop.stop)

    def storm():
        for _ in range(70_000):
            signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR2)

    loop.call_soon(storm)
    loop.run()
    assert len(told) == 70_000
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
