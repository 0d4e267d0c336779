"""`quarterdeck logs --path`: where a worker's logs are, with or without a service."""

import os
from pathlib import Path

import pytest

from app.cli import main
from supervisor_core.children.segments import SegmentStore

NAMES = ["web", "a/b", "..", "lock", "ü ñ", "[x]*", "x" * 300]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("QUARTERDECK_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "state")
    return tmp_path / "state"


def write(state: Path) -> None:
    store = SegmentStore(state / "logs", now=lambda: 1e9)
    for name in NAMES:
        store.note(name, 1, f"of {name}")
    store.close()


def path_of(state: Path, name: str, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["logs", "--path", "--state", str(state), "--", name]) == 0
    return Path(capsys.readouterr().out.removesuffix("\n"))


@pytest.mark.parametrize("name", NAMES)
def test_the_readable_folder_is_printed_whatever_the_name(
    state: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = path_of(state, name, capsys)
    assert folder.parent == state / "logs"
    assert (folder / "log" / f"{0:016x}.log").read_text() == f"of {name}\n"
    moved = state.rename(state.parent / "elsewhere")
    assert (path_of(moved, name, capsys) / "name").read_text() == name


def test_without_its_link_the_folder_itself_is_printed_and_the_next_start_makes_the_link(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = path_of(state, "web", capsys)
    target = os.readlink(link)
    link.unlink()
    assert path_of(state, "web", capsys) == state / "logs" / target
    link.symlink_to("nowhere")
    assert path_of(state, "web", capsys) == state / "logs" / target
    write(state)
    assert path_of(state, "web", capsys) == link


def test_several_names_and_an_unknown_one(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "--path", "web", "lock", "--state", str(state)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["logs", "--path", "web", "none", "--state", str(state)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"quarterdeck: 'none' has no logs in {state}/logs; quarterdeck status lists the workers\n"
    assert main(["logs", "--path", "--state", str(state)]) == 2
    assert "needs the name of a worker" in capsys.readouterr().err
