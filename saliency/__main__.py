"""Run the command: ``python -m saliency``."""

import sys

from saliency.command import main

if __name__ == "__main__":
    sys.exit(main())
