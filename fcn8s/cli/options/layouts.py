"""The names of the dataset layouts in help texts."""

from typing import Any


class LayoutHelp(str):
    """A help text in which `%(layouts)s` stands for the names of the layouts.

    They are looked up when argparse writes the text out, which it does by `text % values`: to import them loads OpenCV,
    and every other page of `fcn8s --help` would wait for that.
    """

    def __mod__(self, values: Any) -> str:
        from data_generator.files.layouts import LAYOUTS

        names = list(LAYOUTS)
        return str(self) % dict(values, layouts='{} or {}'.format(', '.join(names[:-1]), names[-1]))
