"""The wheel and the source archive hold what they must, and the wheel works beside a project that has its own `app`.

Built by hatchling from the development environment, so no network is used. Known wart: the wheel is unpacked into an
environment by hand, which is what an installer does with a pure one; the container image installs it for real.
"""

import email
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


def names_in(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def tracked(folder: str) -> set[str]:
    """Files of the checkout, as they are, without what Python and editors leave."""
    found = (p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {p.relative_to(ROOT / folder).as_posix() for p in found if not p.name.startswith(".")}


def test_the_wheel_holds_both_packages_and_the_pages(wheel: Path) -> None:
    names = names_in(wheel)
    assert {f"quarterdeck/{name}" for name in tracked("app")} <= names
    assert {f"supervisor_core/{name}" for name in tracked("supervisor_core")} <= names
    assert {f"quarterdeck/_web/templates/{name}" for name in tracked("templates")} <= names
    assert {f"quarterdeck/_web/static/{name}" for name in tracked("static")} <= names


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in names_in(wheel)}
    assert tops == {"quarterdeck", "supervisor_core", f"quarterdeck-{PROJECT['version']}.dist-info"}
    assert not [name for name in names_in(wheel) if "__pycache__" in name or "test" in name.rpartition("/")[2]]


def test_the_wheel_says_who_it_is(wheel: Path) -> None:
    info = f"quarterdeck-{PROJECT['version']}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        told = email.message_from_bytes(archive.read(f"{info}/METADATA"))
        entries = archive.read(f"{info}/entry_points.txt").decode()
    assert (told["Name"], told["Version"], told["Requires-Python"]) == ("quarterdeck", PROJECT["version"], ">=3.11")
    required = [Requirement(text) for text in told.get_all("Requires-Dist", [])]
    always = {Requirement(text).name for text in PROJECT["dependencies"]}
    assert {one.name for one in required if one.marker is None or one.marker.evaluate({"extra": ""})} == always
    assert {one.name for one in required} - always == {"nvidia-ml-py"}, "only for who asks for the extra"
    assert re.findall(r"^(\w+) = (\S+)$", entries, re.M) == [
        ("qd", "quarterdeck.cli:main"),
        ("quarterdeck", "quarterdeck.cli:main"),
    ]


def test_the_source_archive_builds_the_same_wheel(built: Path, wheel: Path, tmp_path: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    subprocess.run(["tar", "xzf", archive, "-C", tmp_path], check=True)
    (source,) = tmp_path.iterdir()
    for needed in ("run", "README.md", "CHANGELOG.md", "requirements/run.txt", "tests/conftest.py"):
        assert (source / needed).is_file(), needed
    assert not [p for p in source.rglob("*") if p.name in (".venv", ".tools", "__pycache__")]
    again = tmp_path / "again"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", again]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    assert names_in(next(again.iterdir())) == names_in(wheel)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of an environment that has the wheel and what it requires, and nothing of this checkout."""
    place = tmp_path_factory.mktemp("elsewhere") / "env"
    venv.create(place, symlinks=True, with_pip=False)
    site = next((place / "lib").glob("python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")  # its own .pth files are not read
    command = place / "bin" / "quarterdeck"
    command.write_text(f"#!{place}/bin/python\nimport sys\nfrom quarterdeck.cli import main\nsys.exit(main())\n")
    command.chmod(0o755)
    return command


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project, whose package is named `app` like ours in the checkout, and fails when it is taken for it."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit('the app of the project was imported')\n")
    (tmp_path / "quarterdeck.toml").write_text('[worker.mine]\ncommand = ["python3", "-m", "app"]\n')
    return tmp_path


def call(command: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "TMPDIR": os.environ["TMPDIR"]}
    return subprocess.run([command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_installed_command_says_its_version(installed: Path, project: Path) -> None:
    said = call(installed, "--version", cwd=project)
    assert (said.returncode, said.stderr) == (0, "")
    assert PROJECT["version"] in said.stdout


def test_the_installed_command_checks_a_config(installed: Path, project: Path) -> None:
    said = call(installed, "check", cwd=project)
    assert said.returncode == 0, said.stderr
    (project / "quarterdeck.toml").write_text("[worker.mine]\ncomand = 1\n")
    said = call(installed, "check", cwd=project)
    assert (said.returncode, "quarterdeck.toml:2" in said.stdout + said.stderr) == (1, True), said


def test_the_installed_pages_are_found(installed: Path, project: Path) -> None:
    script = "from quarterdeck.assets import STATIC, TEMPLATES; print(STATIC, TEMPLATES)"
    said = call(installed.with_name("python"), "-c", script, cwd=project)
    assert said.returncode == 0, said.stderr
    assert all("/elsewhere" in place and Path(place).is_dir() for place in said.stdout.split())


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", text, re.M))


@pytest.mark.parametrize("name", ["run", "dev", "build", "uv"])
def test_every_pin_has_its_hashes(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert lines
    assert not [line[:60] for line in lines if "--hash=sha256:" not in line or "==" not in line]


def test_the_locks_meet_the_project() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {
        "run": PROJECT["dependencies"],
        "dev": PROJECT["dependencies"] + groups["dependency-groups"]["dev"],
        "build": groups["build-system"]["requires"],
    }
    for name, requirements in wanted.items():
        locked = pins(name)
        for requirement in map(Requirement, requirements):
            assert requirement.specifier.contains(locked[requirement.name]), (name, str(requirement))


def test_the_locks_agree() -> None:
    dev = pins("dev")
    different = {n: (v, dev[n]) for lock in ("run", "build") for n, v in pins(lock).items() if dev[n] != v}
    assert not different
