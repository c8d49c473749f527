"""`python -m fcn8s`, and the console script `fcn8s`, which is the same."""

import atexit
import gc
import sys

from helpers.process.termination import interruption_kept


def main() -> int:
    """Runs the command that was typed; returns the exit status. Ctrl-C ends it in one line, from here on."""
    try:
        with interruption_kept():
            from fcn8s import cli  # which takes long enough for Ctrl-C to come meanwhile
        # A process that ends looks through all of TensorFlow's objects for cycles first, which takes 0.6 s.
        atexit.register(gc.freeze)
        return cli.main()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write('fcn8s: interrupted\n')
        return 130


if __name__ == '__main__':
    sys.exit(main())
