"""Works for as many seconds as it is told and then fails with exit status 3."""

import sys
import time

seconds = float(sys.argv[1])
print(f"connecting to the queue, will last {seconds:g} s")
time.sleep(seconds)
print("fatal: the queue closed the connection", file=sys.stderr)
sys.exit(3)
