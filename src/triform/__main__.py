"""`python -m triform` is the command `triform`."""

import sys

from triform.cli import main

if __name__ == "__main__":
    sys.exit(main())
