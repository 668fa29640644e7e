"""``python -m mediafs.sandbox``."""

import sys

from mediafs.sandbox.command import main

if __name__ == "__main__":
    sys.exit(main())
