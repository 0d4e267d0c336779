"""Whether a command ends with 0: run as the worker is, in its folder and with its environment."""

from ..declared import Probe
from ..errands import Errands, request_of
from ..errors import CannotStart
from ..model import WorkerSpec
from . import LATE, Answer, Look

KIND = "probes"
"""Hooks have their turns apart: slow ones hold up no probe."""


def look_of(probe: Probe, spec: WorkerSpec, run: int, errands: Errands, instance: str) -> Look:
    async def look() -> Answer:
        try:
            request = request_of(spec, run, probe.argv, instance, {})
        except CannotStart as error:
            return Answer(False, str(error))
        outcome = await errands.run(request, probe.timeout, kind=KIND)
        return Answer(outcome.good, str(outcome), late=outcome.void or outcome.late > LATE)

    return look
