"""The verb `doctor`: what this machine gives, what for, and what to do where it does not; needs no running service.

What is looked at stands in `examination.py`.
"""

import argparse
import contextlib
import os
from dataclasses import asdict

from supervisor_core.config import ConfigError, load

from ..examination import Finding, examine
from ..running import announced
from ..settings import Instance, NoConfig, find_config, home_of
from . import DONE, FAILED, show


def doctor(options: argparse.Namespace) -> int:
    """Prints a line for each; 0 when all that is needed is there."""
    instance, workers = _meant(options)
    findings = examine(instance.state, instance.logs, workers, announced(instance))
    missing = [finding for finding in findings if finding.needed and not finding.good]
    if options.output == "json":
        show.as_json({"state": str(instance.state), "good": not missing, "findings": [asdict(one) for one in findings]})
    else:
        for finding in findings:
            _print(finding)
        print(f"{len(missing)} needed things are missing" if missing else "all that is needed is there")
    return FAILED if missing else DONE


def _meant(options: argparse.Namespace) -> tuple[Instance, int]:
    """The instance, and how many workers its config has; a machine can be looked at before there is either."""
    try:
        config = find_config(options.config)
    except NoConfig:
        if options.config:
            raise
        nowhere = home_of(os.environ, "STATE")
        return Instance(nowhere / "quarterdeck.toml", nowhere), 0
    workers = 0
    with contextlib.suppress(ConfigError):
        workers = len(load(config).workers)
    return Instance.of_config(config, options.state), workers


def _print(finding: Finding) -> None:
    mark = "yes" if finding.good else "NO " if finding.needed else "no "
    print(show.clean(f"{mark}  {finding.name}: {finding.found} (for: {finding.purpose})"))
    if finding.remedy:
        print(show.clean(f"     -> {finding.remedy}"))
