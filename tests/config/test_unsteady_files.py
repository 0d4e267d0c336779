"""Config files that are replaced, written to, endless, a loop, or anybody's: read whole or refused, in bounded time."""

import os
import threading
from pathlib import Path

import pytest

from supervisor_core.config import ConfigError, load
from supervisor_core.config.sources import LARGEST
from tests.faults.service import Service, stays

pytestmark = pytest.mark.row(59)


def text(kind: str, count: int) -> str:
    return "".join(f'[worker.{kind}{number}]\ncommand = ["true"]\n' for number in range(count))


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    path.chmod(0o600)
    return path


def why(path: Path) -> str:
    with pytest.raises(ConfigError) as told:
        load(path)
    return str(told.value)


def test_a_file_that_is_replaced_again_and_again_is_read_whole_as_one_or_the_other(tmp_path: Path) -> None:
    config, over = written(tmp_path / "quarterdeck.toml", text("a", 40)), threading.Event()

    def replace() -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            os.replace(written(tmp_path / "new", text("ab"[turn % 2], 40)), config)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        kinds = set()
        for _ in range(60):
            names = [spec.name for spec in load(config).workers]
            assert len(names) == 40
            assert len({name[0] for name in names}) == 1
            kinds.add(names[0][0])
    finally:
        over.set()
        thread.join()
    assert kinds == {"a", "b"}


def test_a_file_that_is_written_to_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = written(tmp_path / "quarterdeck.toml", text("a", 3))
    looking, looks = os.fstat, 0

    def fstat(fd: int) -> os.stat_result:
        nonlocal looks
        looks += 1
        if looks == 1:
            found = looking(fd)
            os.truncate(config, 31)  # an editor that writes in place has come this far: one worker of three
            return found
        return looking(fd)

    monkeypatch.setattr(os, "fstat", fstat)
    assert "was changed while it was read; try again" in why(config)


@pytest.mark.parametrize("size", [LARGEST + 1, 10 * 2**40])
def test_a_huge_file_is_refused_without_being_read(tmp_path: Path, size: int) -> None:
    config = written(tmp_path / "quarterdeck.toml", "")
    os.truncate(config, size)
    assert "larger than 1 MiB" in why(config)


def test_what_is_no_file_holds_nobody_up(tmp_path: Path) -> None:
    fifo = tmp_path / "quarterdeck.toml"
    os.mkfifo(fifo, 0o600)
    assert "no regular file" in why(fifo)
    assert "no regular file" in why(Path("/dev/zero"))


def test_a_loop_of_links_and_a_file_of_everybody(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.symlink_to(two)
    two.symlink_to(one)
    assert "loop of symbolic links" in why(one)
    config = written(tmp_path / "quarterdeck.toml", f'include = ["{one}"]\n' + text("a", 1))
    assert "loop of symbolic links" in why(config)
    config = written(tmp_path / "quarterdeck.toml", text("a", 1))
    config.chmod(0o602)
    assert "may be written by everyone" in why(config)


@pytest.mark.parametrize("harm", ["loop", "huge", "anybody's"])
def test_the_service_does_not_start_with_one_and_says_so(tmp_path: Path, harm: str) -> None:
    config = written(tmp_path / "quarterdeck.toml", stays("web"))
    if harm == "loop":
        config.unlink()
        config.symlink_to(config)
    elif harm == "huge":
        os.truncate(config, 2**40)
    else:
        config.chmod(0o606)
    with Service(tmp_path, "", "in-process") as service:
        assert service.end() == 2
    assert len(service.text.splitlines()) == 1
    assert not (tmp_path / "state").exists()
