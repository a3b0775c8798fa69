"""`python -m fcnn`."""

import sys

from fcnn.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
