"""What forks and ends all the time, and what leaves many behind, must not take the loop: nobody looks without end."""

import itertools
import os
import subprocess

import pytest

from supervisor_core.children import procfs
from supervisor_core.children.forest import VEILED, Forest
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


@pytest.mark.row(11)
def test_one_in_the_middle_of_its_end_may_have_children_who_are_no_orphans_yet(monkeypatch):
    """Its environment has gone, so nobody can say whose it is; that is awaited, but not for ever."""
    proc, now = procfs.Proc(10, 1, 5, 5, 100, alive=True), [50.0]
    monkeypatch.setattr(Forest, "_candidates", lambda self: [10])
    monkeypatch.setattr(procfs, "read", lambda pid: proc)
    monkeypatch.setattr(procfs, "setting", lambda pid, name: "")
    monkeypatch.setattr(procfs, "veiled", lambda pid: True)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    forest = Forest(None, None, lambda call: None)
    assert forest.orphans(("session", 5)) == {10: 100}
    assert not forest.complete
    now[0] += VEILED
    forest.forget()
    forest.orphans()
    assert forest.complete, "it hangs there"
    monkeypatch.setattr(procfs, "setting", lambda pid, name: "i:1:w")
    forest.forget()
    assert forest.orphans(("tag", "i:1:w")) == {10: 100}, "after all it went on"


def test_who_has_no_environment_just_now(monkeypatch):
    stat = "10 (x) {} 1 5 5 0 -1 {} " + "0 " * 41 + "{} 0"
    contents = {}
    monkeypatch.setattr(procfs, "_content", contents.get)

    def veiled(state, flags, end, environ=b""):
        contents.clear()
        contents["/proc/10/environ"] = environ
        contents["/proc/10/stat"] = stat.format(state, flags, end).encode()
        return procfs.veiled(10)

    assert veiled("R", 4, 0), "ends"
    assert veiled("R", 0, 0), "is in the middle of exec"
    assert not veiled("R", 0, 0, b"A=1")
    assert not veiled("R", 0, 4711), "has an empty one"
    assert not veiled("R", 0, 0, None), "is another user's"
    assert not veiled("Z", 4, 0), "has ended, though others of its threads have not"
    contents.clear()
    assert not procfs.veiled(10)


def test_an_empty_environment_is_one():
    child = subprocess.Popen(["/bin/sleep", "1000"], env={})
    try:
        while b"sleep" not in procfs._content(f"/proc/{child.pid}/cmdline"):
            pass
        assert procfs.environment(child.pid) == b""
        assert not procfs.veiled(child.pid)
    finally:
        child.kill()
        child.wait()


@pytest.mark.row(11)
def test_who_is_found_only_after_the_kill_is_killed_next(monkeypatch):
    """It would be waited for otherwise, until somebody orders the kill again."""
    first, second = (procfs.Proc(pid, 1, 5, 5, 100, alive=True) for pid in (10, 11))
    sent, rounds = [], []
    there = iter([[first], [first], [first, second], [second], [second], []])
    monkeypatch.setattr(Tree, "_gather", lambda self, settled=(): (next(there), set()))
    monkeypatch.setattr(Tree, "_watch", lambda self, left: None)
    monkeypatch.setattr("supervisor_core.children.tree._send", lambda proc, number: sent.append((proc.pid, number)))
    forest = Forest(None, None, rounds.append)
    tree = Tree(forest, os.getpid(), "", lambda: sent.append("empty"))
    tree._leader_gone = True
    tree.kill()
    while rounds:
        rounds.pop()()
    assert sent == [(10, 19), (10, 9), (11, 19), (11, 9), "empty"]


@pytest.mark.row(11)
def test_stopping_a_tree_is_linear_in_its_size(monkeypatch):
    found = [procfs.Proc(5_000_000 + i, 1, 1, 1, 1, alive=True) for i in range(200)]
    compared = []
    monkeypatch.setattr(Tree, "_gather", lambda *_: (found, set()))
    monkeypatch.setattr(procfs.Proc, "__eq__", lambda one, other: bool(compared.append(1)))
    tree = Tree(Forest(None, None, lambda call: None), os.getpid(), "", None)
    assert not tree.hold()
    assert not compared
