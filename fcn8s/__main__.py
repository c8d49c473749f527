"""`python -m fcn8s` is the same as the console script `fcn8s`."""

import sys

from fcn8s.cli import main

if __name__ == '__main__':
    sys.exit(main())
