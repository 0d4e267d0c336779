"""Pools and disabling through the whole shell: what a program is given, and what whoever takes over knows."""

import asyncio
from dataclasses import replace

from supervisor_core import State
from supervisor_core.messages import Disable
from supervisor_core.model import Pool, Program
from tests.shell.test_takeover import DB, service
from tests.support.virtual import virtual

POOL = Pool("gpu", 2)
TRAIN = replace(
    DB,
    program=Program(
        ("/bin/train", "--gpu={slot}"), directory="/run/{slot}", environment={"CUDA": "{slot}", "A": "{{slot}}"}
    ),
)
TRAINS = [replace(TRAIN, name=f"train-{number}", pool=POOL) for number in range(4)]


def live(played):
    return {status.name: status.slot for status in played.supervisor._machine.statuses.values() if status.live}


@virtual
@service(*TRAINS)
async def test_a_program_is_given_the_number_of_its_slot(played):
    first, second = played.spawner.requests
    assert (first.argv, second.argv) == (("/bin/train", "--gpu=0"), ("/bin/train", "--gpu=1"))
    assert (second.directory, second.environment["CUDA"], second.environment["A"]) == ("/run/1", "1", "{slot}")
    played.spawner.children["train-0"].exit(0)
    await asyncio.sleep(1)
    assert played.spawner.requests[-1].argv == ("/bin/train", "--gpu=0")
    assert live(played) == {"train-1": 1, "train-2": 0}


@virtual
@service(*TRAINS)
async def test_who_takes_over_knows_the_slots_of_what_lives(played):
    played.spawner.children["train-0"].exit(0)
    await asyncio.sleep(1)
    await played.restart()
    assert live(played) == {"train-1": 1, "train-2": 0}
    played.spawner.children["train-1"].exit(0)
    await asyncio.sleep(1)
    assert live(played) == {"train-2": 0, "train-3": 1}
    assert played.spawner.requests[-1].argv == ("/bin/train", "--gpu=1")


@virtual
@service(DB)
async def test_what_is_disabled_stays_so_over_a_crash_and_a_start_of_the_service(played):
    played.supervisor.tell(Disable("db", by="ann"))
    await played.restart()
    assert played.state("db") == (State.RUNNING, 1)
    for how in ({"in_order": True}, {}):
        await played.restart(fresh=True, **how)
        status = played.supervisor.status("db")
        assert (status.enabled, status.live, status.run) == (False, False, 1)


@virtual
@service(*TRAINS[:1])
async def test_the_names_in_a_note_are_those_of_the_config_and_not_of_a_slot(played):
    await played.restart()
    assert not played.supervisor.status("train-0").outdated
