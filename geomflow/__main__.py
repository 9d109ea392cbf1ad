"""`python -m geomflow`, which launchers of several processes want: `torchrun -m geomflow train ...`."""

import sys

from geomflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
