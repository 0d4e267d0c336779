"""The checker of numbered lines sees each kind of fault and says where; what the zoo writes passes."""

import subprocess

import pytest

from supervisor_core.lines import Gap
from tests.children.rigs import zoo
from tests.support.sequences import Sequence


def written(*words: str) -> list[str]:
    """What the zoo prints, as a reader shows it."""
    done = subprocess.run(zoo(*words), capture_output=True, check=True)
    return [line.rpartition(b"\r")[2].decode(errors="replace") for line in done.stdout.split(b"\n")[:-1]]


GOOD = written("write", "5", "size=20", "write", "3", "size=20", "batch=2", "seal")
GAP = Gap("", "w", "out", 40, 60, "dropped")

FAULTS = {
    "lost": (GOOD[:2] + GOOD[3:], "after 2 good lines: line 3 came where 2 was due"),
    "doubled": (GOOD[:3] + GOOD[2:], "after 3 good lines: line 2 came again"),
    "swapped": ([GOOD[1], GOOD[0], *GOOD[2:]], "after 0 good lines: line 1 came where 0 was due"),
    "torn": ([*GOOD[:2], GOOD[2][:7], GOOD[2][7:], *GOOD[3:]], "after 2 good lines: a torn line"),
    "joined": ([*GOOD[:2], GOOD[2] + GOOD[3], *GOOD[4:]], "after 2 good lines: a torn line"),
    "short": ([GOOD[0][:-2], *GOOD[1:]], "after 0 good lines: line 0 has 18 bytes"),
    "the last one lost": (GOOD[:-2] + GOOD[-1:], "the seal says 8 lines, and the last one that came is 6"),
    "too many": ([*GOOD[:-1], "0000000008 xxxxxxxx", GOOD[-1]], "the seal says 8 lines with the sum"),
    "no seal": (GOOD[:-1], "0 seals for 1 runs"),
    "a gap of nothing": ([*GOOD, GAP], "a gap of 20 bytes to which no lines belong"),
    "a gap too small": ([*GOOD[:2], GAP, *GOOD[4:]], "line 4 came where 2 was due"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_said_with_its_place(fault):
    items, sentence = FAULTS[fault]
    assert sentence in Sequence(20).all(items).end()


def test_what_is_whole_passes():
    assert Sequence(20).all(GOOD).end() == ""
    assert Sequence(20).all(GOOD * 2).end(runs=2) == ""
    told = Sequence(20).all([*GOOD[:2], GAP, *GOOD[3:]])
    assert (told.end(), told.seen, told.missing) == ("", 7, 1)


def test_noise_and_bars_are_told_apart():
    checked = Sequence(40).all(written("write", "50", "size=40", "noise=30", "bar=9", "batch=7", "seal"))
    assert (checked.end(), checked.seen) == ("", 50)
    assert checked.noise >= 50


def test_a_write_without_end_ends_at_its_signal():
    process = subprocess.Popen(
        zoo("until", "TERM", "write", "forever", "rate=500", "seal", "exit", "4"), stdout=subprocess.PIPE, text=True
    )
    first = process.stdout.readline()
    process.terminate()
    rest = process.communicate()[0]
    assert process.returncode == 4
    assert Sequence().all((first + rest).splitlines()).end() == ""


def test_a_mass_without_newline_has_its_blocks_numbered():
    data = subprocess.run(zoo("unbroken", "200000"), capture_output=True, check=True).stdout
    assert len(data) == 200_000
    assert b"\n" not in data
    assert [data[at : at + 16] for at in range(0, 200_000, 65536)] == [b"<%014d>" % n for n in range(4)]
