"""Types that many modules use."""

import os
from typing import Tuple, Union

PathLike = Union[str, 'os.PathLike[str]']
#: Red, green and blue, each from 0 to 255.
Color = Tuple[int, int, int]
#: Height and width in pixels.
Size = Tuple[int, int]
