"""`python -m fcn8s`, and the console script `fcn8s`, which is the same."""

import atexit
import gc
import sys

from helpers.process.termination import interruption_kept


def main() -> int:
    """Runs the typed command and returns its exit status. From here on, Ctrl-C ends it with one line."""
    try:
        with interruption_kept():
            from fcn8s import cli  # slow enough that Ctrl-C may come during the import
        # At exit, Python searches all of TensorFlow's objects for reference cycles, which takes 0.6 s.
        atexit.register(gc.freeze)
        return cli.main()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write('fcn8s: interrupted\n')
        return 130


if __name__ == '__main__':
    sys.exit(main())
