"""Needs four seconds to put its things away after TERM."""

import signal
import threading

leaving = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: leaving.set())

print("working; on TERM I take 4 s to finish")
while not leaving.wait(5):
    print("still working")
for left in range(4, 0, -1):
    print(f"finishing, {left} s left")
    threading.Event().wait(1)
print("finished")
