"""A one-shot job: some steps, then exit 0."""

import time

for step in ("schema", "users", "orders", "indexes"):
    print(f"migrating {step} …")
    time.sleep(1.2)
print("all migrations applied")
