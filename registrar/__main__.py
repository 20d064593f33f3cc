"""`python -m registrar` and the `registrar` command."""

import sys

from registrar.cli import main

if __name__ == "__main__":
    sys.exit(main())
