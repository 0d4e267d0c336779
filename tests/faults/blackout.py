"""Cuts the power of the disk on which a whole service keeps its state: a program of its own, process 1 of a namespace.

    python blackout.py FOLDER CUTS SEED SECONDS

Clients give orders to a service with its keeper, workers write numbered lines, some end of their own accord. At random
moments the disk is copied (`tests/support/disks.py`). A copy is what the machine finds when it is switched on again:
the service is started on it at the same place, in namespaces in which nobody of before is to be found, though the same
numbers of processes are given out again, and which have another boot id. What it says is held against the answers.

A line of a log is on the disk when the system has put it there, some 30 s later; so of logs only this is asked: each
whole line that the disk has is shown, once and in order, and where one is missing a reader is told so, or sees what the
system left there instead (half a line, zeros). Known wart: a machine has a clock and a kernel of its own at each boot,
and here both go on.
"""

import contextlib
import gzip
import os
import random
import re
import shutil
import signal
import sys
import uuid
from collections.abc import Generator, Iterator
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from supervisor_core.children.segments import SegmentStore
from supervisor_core.clock import Clock
from supervisor_core.errors import SupervisorError
from supervisor_core.keeper.book import Book
from supervisor_core.notes import recall
from tests.faults.clients import Clients, Seen, Told
from tests.faults.service import Service, until, zoo
from tests.support.disks import Disk, end_after, mounted
from tests.support.needs import FIRST
from tests.support.sequences import Heard, of_store

SIZE = 48
"""MiB of the disk."""

UP = {f"w{n}": n % 2 == 0 for n in range(6)}
"""Workers that write until they are stopped, and whether they start by themselves."""

ENDING = {f"e{code}": False for code in (3, 7, 11)}
"""Workers that end with this code."""

NUMBERED = re.compile(r"(\d{10}) x{88}\Z")
WHOLE = ("keeper/records", "token", "instance-id")
"""Files that are either whole or not there yet."""

DAMAGE = re.compile("damaged|cannot be read|Traceback")


def config() -> str:
    text = '[logs]\nmax_worker = "2MiB"\nsegment = "64KiB"\n'
    for name, autostart in UP.items():
        words = ("write", "forever", "size=100", "rate=200")
        text += f'[worker.{name}]\ncommand = {zoo(*words)}\nbackoff = {{ initial = "50ms" }}\n'
        text += f"start_seconds = 0\nautostart = {str(autostart).lower()}\n"
    for name in ENDING:
        text += f"[worker.{name}]\ncommand = {zoo('say', 'up', 'exit', name[1:])}\n"
        text += 'start_seconds = 0\nautostart = false\nrestart = "never"\n'
    return text


class Boot(Service):
    """A service on a machine that has just been switched on, whose disk is seen at `disk` from here."""

    def __init__(self, folder: Path, disk: Path, text: str = "") -> None:
        number, place = folder / "boot", folder / "inner"
        number.write_text(f"{uuid.uuid4()}\n")
        script = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && mount --bind "$2" "$3" && shift 3 && exec "$@"'
        wrap = (*FIRST, "sh", "-c", script, "sh", str(number), str(disk), str(place))
        super().__init__(folder, text, "kept", wrap=wrap, state=place / "state")
        self.there = disk / "state"

    def signal(self, number: int) -> None:
        """To the keeper, which is process 1."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        if children:
            os.kill(int(children[0]), number)

    def client(self, **options):
        return super().client(**{"socket": self.there / "socket", **options})

    def __exit__(self, *_: object) -> None:
        """As when the power goes: all end, and at once."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.end()


class Findings:
    """What is wrong, in sentences."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.unreadable: list[str] = []

    def judge_book(self, disk: Path, aside: Path, seen: Seen) -> None:
        """By the keeper's own reading of a copy of its records, before anybody writes on that disk."""
        self.unreadable += [f"{name} is empty" for name in WHOLE if (disk / "state" / name).exists()
                            and not (disk / "state" / name).stat().st_size]  # fmt: skip
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        if not (disk / "state" / "keeper" / "records").exists():
            assert not seen.answered, "orders were answered, and there are no records"
            return
        shutil.copy(disk / "state" / "keeper" / "records", aside)
        book = Book(str(aside))
        book.close()
        if book.damaged:
            self.unreadable.append(book.damaged)
        for name, told in seen.workers.items():
            if name not in UP or told.under_way or name not in book.notes:
                if told.run and name not in book.notes:
                    self.lost.append(f"{name}: {told}, and no note")
                continue
            try:
                status = recall(book.notes[name]).status
            except SupervisorError as error:
                self.unreadable.append(f"{name}: {error}")
            else:
                if status.wanted != told.wanted or status.run < told.run:
                    self.lost.append(f"{name}: {told}, and the note says {status}")

    def judge_service(self, service: Boot, seen: Seen) -> None:
        """By what a service says that has been started on the disk."""
        if service.process.poll() is not None:
            self.unreadable.append(f"it did not come up: {service.text}")
            return
        with service.client() as client:
            told = client.get("http://localhost/readyz").json()
            if told != {"status": "ready"}:
                self.unreadable.append(f"{told}: {client.get('/conditions').text}")
            until(lambda: all(row["state"] != "backoff" for row in service.workers().values()))
            for name, row in service.workers().items():
                if wrong := (of_up if name in UP else of_ending)(name, row, seen.workers[name], seen):
                    self.lost.append(f"{name}: {seen.workers[name]}, and {wrong}: {row}")
            for name in (*UP, *ENDING):
                texts = [line["text"] for line in service.lines(name, stream="log")]
                self.unreadable += [f"{name}: {text}" for text in texts if DAMAGE.search(text)]
            assert client.post("/workers/w0/restart").is_success

    def judge_rest(self, service: Boot) -> None:
        """When it has left in order."""
        if service.process.returncode or DAMAGE.search(service.text):
            self.unreadable.append(f"it ended with {service.process.returncode} and said {service.text}")
        self.unreadable += [str(path) for path in service.there.rglob("*.damaged-*")]
        logs = service.there / "logs"
        store = SegmentStore(logs, now=Clock().now, maintain=False)
        for name in UP:
            self.unreadable += [
                f"{name}: {wrong}" for wrong in of_lines(list(of_store(store, name)), logs / name / "out")
            ]
        store.close()


def of_up(name: str, row: dict, told: Told, seen: Seen) -> str:
    """What is wrong with a worker that is stopped and started by orders alone; "" when nothing is."""
    if row["run"] < told.run:
        return "it has an earlier run"
    if told.under_way:
        return ""
    if not told.wanted:
        return "" if (row["state"], row["wanted"]) == ("stopped", False) else "it does not stay stopped"
    if row["state"] != "running":
        return "it does not run"
    return "" if row["run"] > told.run else "its run is of the boot before"


def of_ending(name: str, row: dict, told: Told, seen: Seen) -> str:
    """The same of one that ends with a code of its own: an end that was shown is known still, and as it was."""
    last = row["last_exit"]
    if row["run"] < told.run:
        return "it has an earlier run"
    if last is not None and last["code"] not in (None, int(name[1:])):
        return "it ended otherwise"
    if told.ended and told.shown < seen.sure:
        if last is None or last["run"] < told.ended:
            return "its end is forgotten"
        if last["code"] is None and (last["run"] == told.ended or not last["reason"].startswith("unknown: ")):
            return "nobody knows how it ended"
    return ""


def of_lines(shown: list[Heard], folder: Path) -> Iterator[str]:
    """The same of what a reader is shown of the numbered lines in a folder of segments."""
    whole = [match[0] for item in shown if isinstance(item, str) and (match := NUMBERED.search(item))]
    there = list(on_disk(folder))
    if whole != there:
        n = next((n for n, (one, two) in enumerate(zip(whole, there, strict=False)) if one != two), -1)
        yield f"of {len(there)} whole lines that are there {len(whole)} are shown; the {n}th is another one"
    for one, two in pairwise(shown):
        numbers = [int(match[1]) for item in (one, two) if isinstance(item, str) and (match := NUMBERED.match(item))]
        if len(numbers) == 2 and numbers[1] not in (numbers[0] + 1, 0):
            yield f"after {numbers[0]} comes {numbers[1]}, and nothing is said of what was between"


def on_disk(folder: Path) -> Iterator[str]:
    """The whole numbered lines of the segments, by their bytes alone."""
    carry, end = b"", 0
    for base in sorted({path.name[:16] for path in folder.glob("*.log*")}):
        plain, packed = folder / f"{base}.log", folder / f"{base}.log.gz"
        data = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
        *lines, carry = ((carry if int(base, 16) == end else b"") + data).split(b"\n")
        end = int(base, 16) + len(data)
        yield from (match[0] for line in lines if (match := NUMBERED.search(line.decode(errors="replace"))))


def look(found: Findings, folder: Path, seen: Seen) -> None:
    """Switches the machine on again, with the disk that is at `after`."""
    found.judge_book(folder / "after", folder / "aside", seen)
    with Boot(folder, folder / "after") as again:
        found.judge_service(again, seen)
        if again.process.poll() is None:
            again.signal(signal.SIGTERM)
            again.end()
    found.judge_rest(again)


def main(folder: Path, cuts: int, seed: int) -> None:
    found, done, answered = Findings(), 0, 0
    try:
        with contextlib.closing(cut_again_and_again(folder, cuts, random.Random(seed), seed)) as moments:
            for seen in moments:
                look(found, folder, seen)
                done, answered = done + 1, seen.answered
    finally:
        print(*found.lost, *found.unreadable, sep="\n")
        print(
            f"{done} power cuts: {answered} acknowledged orders, lost {len(found.lost)}; "
            f"unreadable state {len(found.unreadable)}"
        )
    sys.exit(bool(found.lost or found.unreadable))


def cut_again_and_again(folder: Path, cuts: int, chance: random.Random, seed: int) -> Generator[Seen, None, None]:
    """Gives what the clients had seen at each cut; then the disk as it was is at `after`."""
    with (
        Disk(folder, SIZE) as disk,
        Boot(folder, disk.place, config()) as service,
        Clients(service, UP, ENDING, seed) as clients,
    ):
        for n in range(cuts):
            copy = folder / f"copy-{n}.img"
            with clients.giving():
                clients.until_answered(chance.randint(1, 30))
                for _ in range(chance.randrange(40_000)):  # into the middle of something
                    pass
                seen = disk.cut(copy, clients.seen)
            with mounted(copy, folder / "after"):
                yield seen
            copy.unlink()


if __name__ == "__main__":
    end_after(float(sys.argv[4]))
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
