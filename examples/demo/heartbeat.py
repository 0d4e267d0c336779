"""Ten beats, two seconds apart, then a normal end."""

import time

for beat in range(10):
    print(f"beat {beat + 1} of 10")
    time.sleep(2)
