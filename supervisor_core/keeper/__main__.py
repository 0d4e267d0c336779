"""Starts the keeper by the path of this file, so that a list of processes says what it is: see `keeper.main`.

Without the user's site packages and variables (`python -I -S`), which is quicker and depends on less.
"""

import os
import sys

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from supervisor_core.keeper.keeper import main

    sys.exit(main(sys.argv))
