"""What forks and ends all the time, and what leaves many behind, must not take the loop: nobody looks without end."""

import itertools
import os
import subprocess

import pytest

from supervisor_core.children import procfs
from supervisor_core.children.forest import Forest
from supervisor_core.children.tree import Tree


class Racing(Forest):
    """A forest in which each look finds one more that has ended already; `calm` ends that."""

    def __init__(self, *args):
        super().__init__(*args)
        self.calm = False
        self.pids = itertools.count(5_000_000)

    def _candidates(self):
        return [] if self.calm else [next(self.pids)]


@pytest.mark.row(11)
def test_what_ends_faster_than_one_can_look_holds_nobody_up_and_proves_nothing():
    leader, later, emptied = subprocess.Popen(["true"]), [], []
    forest = Racing(None, lambda seconds, call: later.append(call) or list, lambda call: None)
    tree = Tree(forest, leader.pid, "i:1:w", lambda: emptied.append(1))
    leader.wait()
    tree.leader_ended()
    tree.leader_reaped()
    assert (tree.members(), emptied, len(later)) == ([], [], 1), "it comes back"
    later.pop()()
    assert (emptied, len(later)) == ([], 1)
    tree.kill()
    forest._round()
    assert (emptied, len(later)) == ([], 1)
    forest.calm = True
    later.pop()()
    assert (emptied, later) == ([1], [])


@pytest.mark.row(11)
def test_members_that_end_during_each_look_are_no_reason_to_look_for_ever(monkeypatch):
    found, ends = procfs.read(os.getpid()), itertools.count(5_000_000)
    monkeypatch.setattr(Tree, "_gather", lambda self: ([found], {next(ends)}))
    tree = Tree(Forest(None, None, lambda call: None), os.getpid(), "", None)
    assert tree.members() == [found]


@pytest.mark.row(13)
def test_collecting_one_that_ended_is_no_look_at_all_that_live(monkeypatch):
    """A worker that leaves hundreds of orphans behind would take the whole loop otherwise."""
    living = [subprocess.Popen(["sleep", "1000"], start_new_session=True) for _ in range(3)]
    first, second = (subprocess.Popen(["true"], start_new_session=True) for _ in range(2))
    for child in (first, second):
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    seen, read = [], procfs.read
    monkeypatch.setattr(procfs, "read", lambda pid: (seen.append(pid), read(pid))[1])
    try:
        forest = Forest(None, None, lambda call: None, subreaper=True)
        forest.leaders.add(first.pid)  # its end is told by its descriptor, and stands in the way
        forest.reap()
        assert read(second.pid) is None
        assert read(first.pid) is not None
        forest.leaders.clear()
        seen.clear()
        forest.reap()
        assert seen == [first.pid]
        assert read(first.pid) is None
        third, fourth = (subprocess.Popen(["true"], start_new_session=True) for _ in range(2))
        for child in (third, fourth):
            living.append(child)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        forest.reap(1)
        assert (read(third.pid), read(fourth.pid).alive) == (None, False), "no more than it may"
    finally:
        for child in living:
            child.kill()
        for child in (*living, first, second):
            child.wait()
