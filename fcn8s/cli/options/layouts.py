"""The names of the dataset layouts in help texts."""

from typing import Any


class LayoutHelp(str):
    """A help text in which `%(layouts)s` stands for the names of the layouts.

    They are looked up only when argparse writes the text, by `text % values`: importing them loads OpenCV, and every
    other help page would have to wait for that.
    """

    def __mod__(self, values: Any) -> str:
        from data_generator.files.layouts import LAYOUTS

        names = list(LAYOUTS)
        return str(self) % dict(values, layouts='{} or {}'.format(', '.join(names[:-1]), names[-1]))
