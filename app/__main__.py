"""`python -m app` in a checkout, `python -m quarterdeck` where it is installed."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
