"""Two workers with one name, or with names that differ in case only: refused, with both places named."""

import pytest

from supervisor_core.config import ConfigError, load


@pytest.mark.row(23)
@pytest.mark.parametrize("second", ["web", "WEB"])
def test_one_name_in_two_files(tmp_path, second):
    (tmp_path / "conf.d").mkdir()
    main, other = tmp_path / "quarterdeck.toml", tmp_path / "conf.d" / "more.toml"
    main.write_text('include = ["conf.d/*.toml"]\n\n[worker.web]\ncommand = "true"\n')
    other.write_text(f'# ours\n[worker.{second}]\ncommand = "true"\n')
    for path in (main, other):
        path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        load(main)
    (sentence,) = str(caught.value).splitlines()
    assert f"{other}:2" in sentence
    assert f"{main}:3" in sentence
