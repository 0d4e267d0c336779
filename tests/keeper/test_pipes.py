"""The named pipes of the runs: what a start is told where there can be none."""

import asyncio
import errno
import os

import pytest

from supervisor_core.errors import CannotStart
from supervisor_core.keeper import pipes
from tests.children.rigs import KeptRig, rig_of


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EPERM, "put the state folder on another file system"), (errno.ENOSPC, "mend that")],
)
def test_a_file_system_without_named_pipes_is_named_with_the_remedy(tmp_path, monkeypatch, number, remedy):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkfifo", refuse)
    with pytest.raises(CannotStart) as told:
        pipes.Folder(str(tmp_path)).make("web", 1, "out")
    assert str(tmp_path / "web.1.out") in str(told.value)
    assert os.strerror(number) in str(told.value)
    assert remedy in str(told.value)
    assert not told.value.permanent


@pytest.mark.asyncio
async def test_a_start_whose_pipe_cannot_be_made_is_refused_with_that_and_not_with_a_word_about_its_program():
    async with rig_of(KeptRig) as rig:
        os.makedirs(os.path.join(rig.state, "keeper", "pipes", "w.1.err"))
        with pytest.raises(CannotStart, match=r"w: the named pipe .*w\.1\.err for its output cannot be made"):
            await asyncio.wait_for(rig.spawn("pause"), 20)
        assert await rig.up()
