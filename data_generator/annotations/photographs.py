"""Facts about a photograph, read without decoding it."""

from typing import NamedTuple, Optional, Tuple

from data_generator.errors import DataError
from helpers.image_files.headers import read_header
from helpers.images import read_image
from helpers.process.memory import require_memory


class Frame(NamedTuple):
    """size: (height, width) as the image is stored. orientation: its Exif orientation, from 1."""

    size: Tuple[int, int]
    orientation: int

    @property
    def upright(self) -> Tuple[int, int]:
        """(height, width) of the upright image, as it is read."""
        height, width = self.size
        return (width, height) if self.orientation >= 5 else self.size


def frame_of(path: Optional[str], content: Optional[bytes]) -> Frame:
    """Returns the frame of an image.

    Args:
        path: The path of the image; None if the annotations hold it.
        content: The encoded image, if the annotations hold it.

    Raises:
        ValueError: It is no image, or too large for the memory.
    """
    if path is not None:
        with open(path, 'rb') as file:
            content = file.read()
    assert content is not None
    try:
        header = read_header(content)
    except ValueError as error:  # the message of the error begins with a verb
        raise DataError('its image {}'.format(error)) from error
    if header.size is None and path is not None:
        height, width = read_image(path, convert=True).shape[:2]
        return Frame((height, width), 1)
    if header.size is None or (path is None and header.format not in ('png', 'jpeg')):
        raise DataError('its image is no PNG or JPEG')
    require_memory(path or 'The image', header.size[0] * header.size[1], 'a label of this size')
    return Frame(header.size, header.orientation)
