"""A process that writes logs as the keeper does: on messages, by splice, without a thread. JSON lines in and out.

Byte `o` of every stream is byte `o` of the same text, so that a reader can tell from a line and its offset whether
something was lost, doubled, or put elsewhere; also over the death of a writer and the next one.
"""

import json
import os
import random
import select
import sys
import time
from typing import Any

LINE = 16
BLOCK = 64 * 1024


def text(start: int, end: int) -> bytes:
    """The bytes [start, end) of every stream: numbered lines."""
    first = start // LINE
    data = b"".join(b"%015d\n" % n for n in range(first, end // LINE + 1))
    return data[start - first * LINE : end - first * LINE]


class Writer:
    def __init__(self, told: dict[str, Any]) -> None:
        from supervisor_core.children.segments import SegmentStore
        from supervisor_core.declared import LogPolicy
        from supervisor_core.keeper.watches import Watches

        self.random = random.Random(told["seed"])
        policy = LogPolicy(segment=told["segment"], max_worker=told["max_worker"])
        self.store = SegmentStore(told["root"], now=time.time, maintain=False, policy=policy)
        self.watches = Watches(lambda worker: self.tell(t="moved", worker=worker))
        self.store.on_moved = self.watches.moved
        self.streams = [(worker, stream) for worker in told["workers"] for stream in told["streams"]]
        self.run = told["run"]
        self.pipes = {key: os.pipe() for key in self.streams}
        self.writers = {key: self.store.open_stream(*key, self.run) for key in self.streams}
        self.ends = {key: self.store._logs[key].end for key in self.streams}
        self.left = 0

    def tell(self, **message: Any) -> None:
        os.write(1, json.dumps(message).encode() + b"\n")

    def take(self, message: dict[str, Any]) -> None:
        match message["t"]:
            case "write":
                self.left = message["rounds"]
            case "watch":
                self.watches.watch(message["worker"], newer=self.store.news(message["worker"]) > message["seen"])
            case "unwatch":
                self.watches.unwatch(message["worker"])
            case "log":
                self.store.note(message["worker"], message["run"], message["text"])
            case "swap":
                done = self.store.swap(message["worker"], message["stream"], message["base"], message["new"])
                self.tell(t="swapped", done=done)

    def round(self) -> None:
        """A few bytes to each stream, cut anywhere."""
        for key in self.streams:
            reading, writing = self.pipes[key]
            left = os.write(writing, text(self.ends[key], self.ends[key] + self.random.randrange(1, 500)))
            self.ends[key] += left
            while left:
                left -= self.writers[key].move(reading, self.random.randrange(1, 400))
        self.left -= 1
        if not self.left:
            for key in self.streams:
                self.writers[key].end()
            self.tell(t="wrote", ends=[[*key, end] for key, end in self.ends.items()])

    def go(self) -> None:
        self.tell(t="ready")
        told = b""
        while True:
            if select.select([0], [], [], None if not self.left else 0.0)[0]:
                data = os.read(0, BLOCK)
                if not data:
                    break
                told += data
                *lines, told = told.split(b"\n")
                for line in lines:
                    self.take(json.loads(line))
            if self.left:
                self.round()
        self.store.close()


if __name__ == "__main__":
    Writer(json.loads(sys.argv[1])).go()
