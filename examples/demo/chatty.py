"""Writes as real programs do: levels in colour, a progress bar, JSON, a stack trace, on both streams."""

import itertools
import json
import sys
import time
import traceback

COLOURS = {"DEBUG": 36, "INFO": 32, "WARNING": 33, "ERROR": 31}

for n in itertools.count(1):
    level = "ERROR" if n % 23 == 0 else "WARNING" if n % 11 == 0 else "DEBUG" if n % 3 == 0 else "INFO"
    loss = 1 / (n + 1)
    print(f"\x1b[{COLOURS[level]}m{level:<7}\x1b[0m \x1b[1mbatch {n}\x1b[0m loss \x1b[38;5;208m{loss:.4f}\x1b[0m")
    if n % 5 == 0:
        print(json.dumps({"level": "info", "event": "checkpoint", "step": n, "loss": round(loss, 4)}))
    if n % 10 == 0:
        for done in range(0, 101, 5):
            bar = "█" * (done // 5) + "·" * (20 - done // 5)
            print(f"\rsaving {bar} {done:3d} %", end="", flush=True)
            time.sleep(0.04)
        print()
    if n % 23 == 0:
        try:
            _ = {}["missing"]
        except KeyError:
            traceback.print_exc(file=sys.stderr)
    time.sleep(0.5)
