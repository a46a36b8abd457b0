"""`python -m cio_etl.cli` is `cio-etl`."""

import sys

from cio_etl.cli import main

if __name__ == "__main__":
    sys.exit(main())
