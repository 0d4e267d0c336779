"""How many looks make it count, as a table of looks and of what they changed."""

import pytest

from supervisor_core.probes.judge import Judge


@pytest.mark.parametrize(
    ("success", "failure", "standing", "looks", "changes"),
    [
        (1, 3, None, "+", "+"),
        (1, 3, None, "---", "..-"),
        (1, 3, None, "+--+---", "+.....-"),
        (1, 3, None, "+---+", "+..-+"),
        (2, 1, None, "+-++-", ".-.+-"),
        (3, 2, None, "++-++++", ".....+."),
        (1, 3, True, "--+---", ".....-"),
        (1, 3, True, "+++", "..."),
        (1, 3, False, "---+", "...+"),
        (1, 1, None, "+-+-", "+-+-"),
    ],
)
def test_changes(success, failure, standing, looks, changes):
    judge = Judge(success, failure, standing)
    told = [judge.take(look == "+") for look in looks]
    assert "".join({None: ".", True: "+", False: "-"}[change] for change in told) == changes


def test_whether_it_has_ever_passed():
    judge = Judge(2, 1)
    assert not judge.passed
    judge.take(True)
    assert not judge.passed
    judge.take(True)
    judge.take(False)
    assert judge.passed
    assert Judge(1, 1, standing=False).passed, "it has been ready before, else it would be starting"


def test_how_many_in_a_row():
    judge = Judge(1, 3)
    assert [(judge.take(good), judge.in_a_row)[1] for good in (True, True, False, False, True)] == [1, 2, 1, 2, 1]
