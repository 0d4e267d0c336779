"""A config that was read once can be had again, whatever has become of its files; and what has is told."""

import contextlib
import json
import os

import pytest

from supervisor_core.config import ConfigError, Sources, load

MAIN = """
include = ["more.d/*.toml", "also.toml"]
[worker.a]
command = ["prog", "${TOKEN}"]
env_file = "a.env"
environment = { TOKEN = { file = "secret" } }
"""


@pytest.fixture
def files(tmp_path):
    """A config of several files; gives the main one."""
    (tmp_path / "more.d").mkdir()
    (tmp_path / "more.d" / "b.toml").write_text('[worker.b]\ncommand = "b"\n')
    (tmp_path / "also.toml").write_text('[worker.c]\ncommand = "c"\n')
    (tmp_path / "a.env").write_text("A=1\n")
    (tmp_path / "secret").write_text("s3cret\n")
    main = tmp_path / "quarterdeck.toml"
    main.write_text(MAIN)
    return main


def remembered(main):
    """What was read, and the same as another process is told it."""
    config = load(main)
    return config, Sources.of(json.loads(json.dumps(config.sources.told())))


def link_to_itself(main):
    main.unlink()
    main.symlink_to(main)


SPOILERS = {
    "edited": lambda main: main.write_text('[worker.other]\ncommand = "x"\n'),
    "broken": lambda main: main.write_text("[worker.a\n"),
    "cut": lambda main: main.write_bytes(main.read_bytes()[:40]),
    "removed": os.unlink,
    "for everybody": lambda main: main.chmod(0o666),
    "a loop": link_to_itself,
    "include broken": lambda main: (main.parent / "more.d" / "b.toml").write_text("="),
    "include removed": lambda main: (main.parent / "more.d" / "b.toml").unlink(),
    "include added": lambda main: (main.parent / "more.d" / "d.toml").write_text('[worker.d]\ncommand = "d"\n'),
    "named include removed": lambda main: (main.parent / "also.toml").unlink(),
    "an include is another's": lambda main: os.replace(main.parent / "also.toml", main.parent / "more.d" / "b.toml"),
    "variables edited": lambda main: (main.parent / "a.env").write_text("A=2\n"),
    "variables removed": lambda main: (main.parent / "a.env").unlink(),
    "secret edited": lambda main: (main.parent / "secret").write_text("other\n"),
    "secret removed": lambda main: (main.parent / "secret").unlink(),
}


@pytest.mark.row(32, 59)
@pytest.mark.parametrize("how", SPOILERS)
def test_what_ruled_is_had_again(files, how):
    before, sources = remembered(files)
    marks = before.sources.marks()
    SPOILERS[how](files)
    assert load(files, sources=sources) == before
    if how.startswith("secret"):
        assert sources.changed() == {}, "it is read at each start"
    else:
        assert sources.changed()
        assert sources.marks() != marks
    with contextlib.suppress(ConfigError):
        assert load(files) != before


def test_what_has_changed_is_told_by_file(files):
    _, sources = remembered(files)
    assert sources.changed() == {}
    files.write_text("")
    (files.parent / "a.env").unlink()
    (files.parent / "also.toml").chmod(0o666)
    (files.parent / "more.d" / "z.toml").write_text("")
    words = {path.removeprefix(f"{files.parent}/"): word for path, word in sources.changed().items()}
    assert words == {
        "quarterdeck.toml": "changed",
        "a.env": "gone",
        "also.toml": "unusable",
        "more.d/z.toml": "new",
    }


def test_who_replays_reads_nothing_else(files):
    _, sources = remembered(files)
    (files.parent / "other.toml").write_text("")
    with pytest.raises(ConfigError, match="was not read when this config was"):
        load(files.parent / "other.toml", sources=sources)
