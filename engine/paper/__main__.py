"""`python -m engine.paper`: see process.py."""

import sys

from engine.paper.process import main

if __name__ == "__main__":
    sys.exit(main())
