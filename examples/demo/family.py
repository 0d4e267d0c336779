"""Starts children in three awkward ways: a plain one, one in a session of its own, one that ignores TERM."""

import subprocess
import sys
import time

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"

children = [
    subprocess.Popen(["sleep", "3600"]),
    subprocess.Popen(["sleep", "3600"], start_new_session=True),
    subprocess.Popen([sys.executable, "-c", STUBBORN], start_new_session=True),
]
print("children:", ", ".join(str(child.pid) for child in children))
while True:
    time.sleep(10)
    print("all", sum(child.poll() is None for child in children), "children are well")
