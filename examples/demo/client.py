"""Asks the API once a second and says what it heard."""

import os
import time
import urllib.request

url = f"http://127.0.0.1:{os.environ['PORT']}/"
while True:
    began = time.monotonic()
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode().strip()
    print(f"{text!r} in {(time.monotonic() - began) * 1000:.1f} ms")
    time.sleep(1)
