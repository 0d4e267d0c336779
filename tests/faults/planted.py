"""Bugs that the checks of some rows must find, and the host with one of them in it; QD_PLANTED names it.

Each takes `put`, which is `setattr` or a test's `monkeypatch.setattr`: a bug is planted in the host and in the test,
since one side writes and the other one reads. No test lives here.
"""

import asyncio
import os

import orjson

from app.web import wire
from supervisor_core import children
from supervisor_core.children import ends, reader
from supervisor_core.children.local import LocalChild
from supervisor_core.children.outlets import Outlet
from supervisor_core.children.pump import Channel
from supervisor_core.children.runstream import RunStream
from supervisor_core.children.writer import StreamLog
from supervisor_core.config import _Loader
from supervisor_core.config.problems import Problems
from supervisor_core.lines import Cutter
from tests.faults.host import main

PLANTED = "QD_PLANTED"


def a_death_by_signal_is_status_0(put):
    right = ends.look
    put(ends, "look", lambda pid: children.Ended(code=right(pid).code or 0))


def a_status_has_seven_bits(put):
    right = ends.look

    def look(pid):
        ended = right(pid)
        return ended if ended.code is None else children.Ended(code=ended.code & 127)

    put(ends, "look", look)


def a_signal_is_told_by_its_number(put):
    put(children, "signal_name", str)


def the_end_of_the_output_ends_the_run(put):
    right = LocalChild.silenced

    def silenced(self):
        right(self)
        if self.output_ended.done():
            self.kill_tree()

    put(LocalChild, "silenced", silenced)


def a_pipe_that_has_ended_is_asked_for_ever(put):
    put(Channel, "_finish", lambda self: None)
    put(Outlet, "_move", lambda self: self._source.move())


def an_open_last_line_is_dropped(put):
    put(Cutter, "close", lambda self: self.jump(self.at))


def an_open_last_line_goes_on_in_the_next_run(put):
    put(reader.StreamReader, "_close", lambda self, cutter, record, cuts: None)


def the_end_of_a_run_is_not_marked(put):
    put(StreamLog, "finish", lambda self: None)


def bytes_are_decoded_before_they_are_kept(put):
    right = RunStream.append

    def move(self, fd, limit=0):
        data = os.read(fd, 65536)
        if data:
            self.append(data)
        return len(data)

    put(RunStream, "move", move)
    put(RunStream, "append", lambda self, data: right(self, data.decode("utf-8", "replace").encode()))


def what_follows_a_byte_that_is_no_text_is_lost(put):
    def move(self, fd, limit=0):
        data = os.read(fd, 65536)
        if good := data.decode("utf-8", "ignore").encode():
            self.append(good if good == data else data[: data.index(b"\xff")])
        return len(data)

    put(RunStream, "move", move)


def lone_surrogates_are_shown(put):
    put(reader, "text_of", lambda line: (line.decode("utf-8", "surrogateescape"), True, None))


def a_carriage_return_ends_a_line(put):
    right = Cutter.feed
    put(Cutter, "feed", lambda self, data: right(self, data.replace(b"\r", b"\n")))


def what_a_carriage_return_wrote_over_is_shown(put):
    put(reader, "text_of", lambda line: (line.decode(), False, None))


def a_carriage_return_stands_in_the_frame(put):
    what_a_carriage_return_wrote_over_is_shown(put)
    put(wire, "dump", lambda value: orjson.dumps(value).replace(rb"\r", b"\r"))


def a_partial_line_is_another_line(put):
    right = wire.line
    put(wire, "line", lambda line, text=None: right(line, text) | ({"at": -1} if line.key is None else {}))


def names_that_differ_in_case_are_two(put):
    put(_Loader, "_claim", lambda self, claimed, read: None)
    put(_Loader, "_once", lambda self, table, places, name, found, what: places.setdefault(name, found))


def the_other_place_is_not_named(put):
    right = Problems.add
    put(Problems, "add", lambda self, found, text: right(self, found, text.partition(" in ")[0]))


if __name__ == "__main__":
    globals()[os.environ[PLANTED]](setattr)
    asyncio.run(main())
