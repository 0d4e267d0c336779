"""`./run bench`, and the same without it: `python3 benchmarks`. What it does is in commands.py."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # this folder is a package, wherever it was started from

from benchmarks.commands import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
