"""The command line, the order of the rounds (A B C A B C), and where the figures go.

    ./run bench                              everything, about an hour and a half
    ./run bench boot stop --sizes 10,100     some axes (boot, memory, idle, restart, kill-all, stop, storm, logs,
                                             survive, watched)
    ./run bench --peers quarterdeck,s6       some rows
    ./run bench --show FILE… --record        the tables of earlier runs, into RESULTS.md
    ./run bench boot --peers 'quarterdeck --in' --sizes 1000 --profile    where the time goes (cProfile)

Known wart: on two cores the harness is a neighbour of what it measures; it sleeps while something is timed.
"""

import argparse
import json
import os
import pstats
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from . import axes, machine, processes
from .axes import FLOODS, Amounts
from .life import Broken
from .notes import TooLate
from .peers import LOGS, STANDING, STORM, SURVIVE, WATCHED, Peer, all_peers
from .peers.quarterdeck import Quarterdeck
from .results import Results, Sample
from .survival import survive
from .tools import HERE, ROOT, Missing, say, worker
from .watching import watched

AXES = ("boot", "memory", "idle", "restart", "kill-all", "stop", "storm", "logs", "survive", "watched")
RESULTS = HERE / "RESULTS.md"
FIGURES = ROOT / ".run" / "bench"
PROFILE = "quarterdeck.profile"
STEADY = 1000
"""Lines a second of each writer in `survive`."""

Task = tuple[str, int, Callable[[Peer], axes.Figures]]
"""A kind of life, its size, and what measures it."""


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run bench", description="Measures Quarterdeck beside other supervisors.")
    amounts = Amounts()
    parser.add_argument("axes", nargs="*", metavar="AXIS", help=f"{', '.join(AXES)} (all)")
    parser.add_argument("--peers", metavar="NAMES", help="rows, by the first letters of their names (all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each life is lived (3)")
    parser.add_argument("--sizes", default="0,10,100,1000", help="numbers of workers (0,10,100,1000)")
    parser.add_argument("--idle", type=float, default=amounts.idle, metavar="S", help="seconds of rest (20)")
    parser.add_argument("--kills", type=int, default=amounts.kills, metavar="N", help="kills one by one in a life (60)")
    parser.add_argument("--deaths", type=int, default=20, metavar="N", help="kills of a supervisor in survive (20)")
    parser.add_argument("--survivors", type=int, default=20, metavar="N", help="writers in survive (20)")
    parser.add_argument("--turns", type=int, default=40, metavar="N", help="windows of each kind in watched (40)")
    parser.add_argument("--window", type=float, default=0.5, metavar="S", help="seconds of each window (0.5)")
    parser.add_argument("--lines", type=int, default=amounts.lines, metavar="N", help="lines of a flood (2000000)")
    parser.add_argument(
        "--profile", action="store_true", help="quarterdeck --in-process under cProfile; print where the time goes"
    )
    parser.add_argument("--python", type=Path, metavar="FILE", help="what starts quarterdeck (that of ./run)")
    parser.add_argument("--figures", type=Path, default=FIGURES, metavar="FOLDER", help="where figures go (.run/bench)")
    parser.add_argument("--record", action="store_true", help="write the tables into benchmarks/RESULTS.md")
    parser.add_argument("--show", nargs="+", type=Path, metavar="FILE", help="measure nothing; read these figures")
    return parser


def main(arguments: list[str]) -> int:
    """Measures, prints the tables, and gives 0; 2 for bad usage."""
    parser = options()
    told = parser.parse_args(arguments)
    if unknown := [axis for axis in told.axes if axis not in AXES]:
        parser.error(f"there is no axis {unknown[0]}; there are {', '.join(AXES)}")
    if sys.platform != "linux":
        parser.error("this reads /proc, so it needs Linux")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        report = merged(told.show) if told.show else measure(told)
    except KeyboardInterrupt:
        say(f"interrupted; what was measured is in {told.figures}")
        return 130
    text = document(report)
    print(text)
    if told.record:
        RESULTS.write_text(text)
    return 0


def measure(told: argparse.Namespace) -> dict[str, Any]:
    """Lives all lives, in rounds; writes what there is after each."""
    processes.adopt_orphans()
    peers, missing = present(chosen(told.peers), told)
    samples: list[Sample] = []
    report: dict[str, Any] = {
        "machine": machine.describe() | {"worker": Path(worker()[0]).name},
        "missing": missing,
        "samples": samples,
    }
    told.figures.mkdir(parents=True, exist_ok=True)
    place = told.figures / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.json"
    for doing, size, task in tasks(told):
        for number in range(told.rounds):
            for peer in peers:
                if doing.split()[0] in peer.does and size >= peer.least:
                    samples.append(sample(peer, doing, size, number, task))
                    place.write_text(json.dumps(report, indent=1))
    say(f"figures: {place}")
    if told.profile:
        pstats.Stats(str(told.figures / PROFILE)).sort_stats("tottime").print_stats(30).sort_stats(
            "cumulative"
        ).print_stats(40)
    return report


def tasks(told: argparse.Namespace) -> Iterator[Task]:
    """The lives that the chosen axes need."""
    wanted = set(told.axes or AXES) | ({"stop"} if told.profile else set())  # killed, it would write no profile
    amounts = Amounts(idle=told.idle, kills=told.kills, lines=told.lines)
    if wanted - {"storm", "logs", "survive", "watched"}:
        for size in map(int, told.sizes.split(",")):
            yield STANDING, size, partial(axes.standing, count=size, axes=wanted, amounts=amounts)
    if "storm" in wanted:
        size = axes.STORM_WORKERS
        yield STORM, size, partial(axes.storm, count=size, amounts=amounts)
    if "logs" in wanted:
        for name, flood in FLOODS.items():
            size = amounts.writers if flood.many else 1
            yield f"{LOGS} {name}", size, partial(axes.flood, flood=flood, amounts=amounts)
    if "survive" in wanted:
        size = told.survivors
        yield SURVIVE, size, partial(survive, count=size, deaths=told.deaths, rate=STEADY)
    if "watched" in wanted:
        yield WATCHED, 1, partial(watched, turns=told.turns, seconds=told.window)


def sample(peer: Peer, doing: str, size: int, number: int, task: Callable[[Peer], axes.Figures]) -> Sample:
    """One life; what went wrong with the peer is its sample too."""
    name = peer.name if size <= peer.most else f"{peer.name} ({peer.most})"
    busy = machine.busy_cores()
    found: Sample = {"doing": doing, "size": size, "peer": name, "kind": peer.kind.value, "round": number, "busy": busy}
    try:
        found["figures"] = task(peer)
    except (Broken, TooLate) as broken:
        found["failed"] = str(broken)
    shown = found.get("failed") or ", ".join(
        f"{key} {value:.4g}" for key, value in found["figures"].items() if not isinstance(value, list)
    )
    say(f"{doing} {size}, round {number + 1}, {name} (others: {busy:.1f} cores): {shown}")
    return found


def chosen(names: str | None) -> list[Peer]:
    """The rows whose names begin so; all without names."""
    if names is None:
        return all_peers()
    starts = tuple(name.strip() for name in names.split(","))
    return [peer for peer in all_peers() if peer.name.startswith(starts)]


def present(peers: Iterable[Peer], told: argparse.Namespace) -> tuple[list[Peer], dict[str, str]]:
    """The peers that can be had, and why the others cannot."""
    found, missing = [], {}
    for peer in peers:
        try:
            if isinstance(peer, Quarterdeck):
                peer.python = told.python
                peer.profile = told.figures / PROFILE if told.profile else None
            peer.need()
            found.append(peer)
        except Missing as why:
            missing[peer.name] = str(why)
            say(f"{peer.name} is left out: {why}")
    return found, missing


def merged(files: Iterable[Path]) -> dict[str, Any]:
    """Several runs as one: the machine of the last, all samples."""
    reports = [json.loads(file.read_text()) for file in files]
    samples = [sample for report in reports for sample in report["samples"]]
    missing = {name: why for report in reports for name, why in report["missing"].items()}
    whole: dict[str, Any] = reports[-1] | {"samples": samples, "missing": missing}
    return whole


def document(report: dict[str, Any]) -> str:
    """RESULTS.md: where and when, the goals, the tables."""
    results = Results(report["samples"])
    where = report["machine"]
    busy = sorted(sample["busy"] for sample in report["samples"])
    lines = [
        "# What the last recorded run measured",
        "",
        f"{where['date']}; cores: {where['cores']}; {where['memory']}; {where['system']}; Python {where['python']}; ",
        f"others kept {busy[len(busy) // 2]:.1f} cores busy (median; at most {busy[-1]:.1f}) when a life began.",
        "",
        "Medians, [smallest-largest of a round] and × the best rival's figure. Compare rows of one table, not runs.",
        "README.md says how each is measured and what it is fair to.",
        "",
        *(f"- {name} could not be had: {why}" for name, why in report["missing"].items()),
    ]
    if where["worker"] != "worker":
        lines.append("- there was no C compiler: the workers were Python, whose own start is most of a boot")
    goals = [f"- {line}" for line in results.goals()]
    lines += ["", "## Goals", "", *goals] if goals else []
    return "\n".join([*lines, "", "## Tables", "", *results.tables()])
