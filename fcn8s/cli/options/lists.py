"""Options that take several values and may be repeated."""

import argparse
from typing import Any


class ExtendList(argparse.Action):
    """Adds the values to those that came before; argparse itself would silently drop these. For nargs='+'.

    Python 3.7 has no action='extend'.
    """

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Adds the values, or replaces the default by them."""
        before = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, values if before in (None, self.default) else before + values)
