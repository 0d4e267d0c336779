"""Where the rivals come from: their own registries, pinned, into folders that git ignores. And our C programs.

A tool that cannot be had is a sentence, not an error: its rows are left out and the sentence stands in the table.
Known wart: Debian's packages are unpacked without being installed, so their libraries are named in LD_LIBRARY_PATH.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PLACE = ROOT / ".tools" / "bench"


class Missing(Exception):
    """A tool that cannot be had here; the message says why."""


def say(text: str) -> None:
    """Prints what is being done, beside the table."""
    print(text, file=sys.stderr, flush=True)


def _once(function: Callable[[], Path]) -> Callable[[], Path]:
    """Asks once; the same answer, or the same `Missing`, ever after."""

    @cache
    def answer() -> Path | Missing:
        try:
            return function()
        except Missing as missing:
            return missing
        except subprocess.CalledProcessError as error:
            said = str(error.stderr or error.stdout or "").strip().splitlines()
            return Missing(f"{Path(error.cmd[0]).name} failed: {said[-1] if said else error.returncode}")

    def call() -> Path:
        found = answer()
        if isinstance(found, Missing):
            raise found
        return found

    return call


def _run(*command: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)


def _environment(name: str) -> Path:
    """Has `./run` make one of its environments; gives its folder of programs."""
    loader = SourceFileLoader("quarterdeck_run", str(ROOT / "run"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    run: ModuleType = module_from_spec(spec)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(run)
        return Path(run.environment(name)).parent
    except SystemExit as left:
        raise Missing(str(left)) from None
    finally:
        sys.dont_write_bytecode = written


@_once
def product() -> Path:
    """The python that a user's `./run` would start the service with."""
    return _environment("run") / "python"


@_once
def pypi() -> Path:
    """The folder with supervisord and circusd."""
    return _environment("bench")


@_once
def npm() -> Path:
    """The script of PM2."""
    if not shutil.which("npm") or not shutil.which("node"):
        raise Missing("node and npm are not here")
    place, lock = PLACE / "npm", HERE / "npm" / "package-lock.json"
    stamp = place / "stamp"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        say("installing PM2 (once) …")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(HERE / "npm", place)
        _run("npm", "ci", "--ignore-scripts", "--loglevel=error", cwd=place)
        shutil.copy(lock, stamp)
    return place / "node_modules" / "pm2" / "bin" / "pm2"


@_once
def debian() -> Path:
    """The folder into which runit is unpacked. Needs no root: nothing is installed."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise Missing("this is no Debian")
    place, lock = PLACE / "debian", HERE / "debian.txt"
    stamp = place / "stamp"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        say("unpacking runit (once) …")
        shutil.rmtree(place, ignore_errors=True)
        (place / "archives").mkdir(parents=True)
        for wanted, digest in (line.split() for line in lock.read_text().splitlines() if line.startswith("runit=")):
            _run("apt-get", "-q", "download", wanted, cwd=place / "archives")
            (archive,) = (place / "archives").glob(f"{wanted.partition('=')[0]}_*.deb")
            if hashlib.sha256(archive.read_bytes()).hexdigest() != digest:
                raise Missing(f"{wanted} is not the file that debian.txt names")
            _run("dpkg", "-x", archive, place / "root")
        shutil.copy(lock, stamp)
    return place / "root"


def debian_environment() -> dict[str, str]:
    """PATH and LD_LIBRARY_PATH with what was unpacked."""
    root = debian()
    programs = [str(root / name) for name in ("usr/bin", "bin", "usr/sbin", "sbin")]
    libraries = sorted({str(path.parent) for path in root.rglob("*.so.*")})
    return {"PATH": ":".join([*programs, os.environ.get("PATH", os.defpath)]), "LD_LIBRARY_PATH": ":".join(libraries)}


@_once
def s6() -> Path:
    """The program s6-svscan. It has to be installed: Debian's looks for s6-supervise in /usr/bin and nowhere else."""
    pinned = next(line.split()[0] for line in (HERE / "debian.txt").read_text().splitlines() if line.startswith("s6="))
    if not shutil.which("s6-svscan") and os.geteuid() == 0 and shutil.which("apt-get"):
        say("installing s6 (once) …")
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", pinned)
    if found := shutil.which("s6-svscan"):
        return Path(found)
    raise Missing("it is not installed; on Debian: sudo apt-get install s6")


def _compiled(name: str) -> Path:
    compiler = next((found for cc in ("cc", "gcc", "clang") if (found := shutil.which(cc))), None)
    if compiler is None:
        raise Missing("no C compiler is here")
    source, made = HERE / "c" / f"{name}.c", PLACE / "c" / name
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        made.parent.mkdir(parents=True, exist_ok=True)
        _run(compiler, "-O2", "-o", made.with_suffix(f".{os.getpid()}"), source)
        made.with_suffix(f".{os.getpid()}").rename(made)
    return made


@_once
def floor() -> Path:
    """The smallest supervisor."""
    return _compiled("floor")


@_once
def _tiny_worker() -> Path:
    return _compiled("worker")


def worker() -> list[str]:
    """The command of a worker, without arguments: the C program, else the Python one."""
    with contextlib.suppress(Missing):
        return [str(_tiny_worker())]
    return [sys.executable, "-I", "-S", str(HERE / "worker.py")]
