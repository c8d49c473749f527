"""Damaged images of every format end in a ValueError that names the file, never in a traceback of a decoder."""

import io
import random

import numpy as np
import pytest
import tifffile
from PIL import Image
from thorough import THOROUGH

from helpers.image_rules import ImageRules
from helpers.images import read_color_labels, read_image, read_labels

READERS = (
    read_image,
    lambda path: read_image(path, rules=ImageRules(window='file')),
    lambda path: read_image(path, rules=ImageRules(channels=5, window='file')),
    read_labels,
    read_color_labels,
)


def whole_files():
    """(name, bytes) of a small file of each kind."""
    rng = np.random.RandomState(0)
    rgb = Image.fromarray(rng.randint(0, 256, (11, 13, 3)).astype(np.uint8))
    palette = rgb.quantize(8)
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = [
        ('a.png', rgb, {}),
        ('palette.png', palette, {}),
        ('alpha.png', rgb.convert('RGBA'), {}),
        ('a.jpg', rgb, {'exif': exif.tobytes()}),
        ('progressive.jpg', rgb, {'progressive': True}),
        ('cmyk.jpg', rgb.convert('CMYK'), {}),
        ('a.webp', rgb, {}),
        ('lossless.webp', rgb, {'lossless': True}),
        ('a.bmp', rgb, {}),
        ('palette.bmp', palette, {}),
        ('a.gif', palette, {}),
        ('lzw.tif', rgb, {'compression': 'tiff_lzw'}),
        ('palette.tif', palette, {'compression': 'packbits'}),
        ('fax.tif', rgb.convert('1'), {'compression': 'group4'}),
        ('jpeg.tif', rgb, {'compression': 'jpeg'}),
    ]
    for name, picture, options in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, {'jpg': 'jpeg', 'tif': 'tiff'}.get(name[-3:], name.split('.')[1]), **options)
        yield name, buffer.getvalue()
    for name, kind in (('stack.tif', np.uint8), ('float.tif', np.float32)):
        buffer = io.BytesIO()
        stack = rng.randint(0, 256, (5, 11, 13)).astype(kind)
        tifffile.imwrite(buffer, stack, photometric='minisblack', planarconfig='separate', compression='zlib')
        yield name, buffer.getvalue()
    buffer = io.BytesIO()
    np.save(buffer, rng.randint(0, 256, (11, 13, 5)).astype(np.uint8))
    yield 'stack.npy', buffer.getvalue()


def damaged(data, rng):
    """The bytes with one to four bits turned, most of them in the header; cut off; or with a piece written over."""
    way = rng.randrange(5)
    made = bytearray(data)
    if way == 0:
        return bytes(made[: rng.randrange(len(made))])
    if way == 1:
        start = rng.randrange(len(made))
        piece = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
        made[start : start + len(piece)] = piece
        return bytes(made)
    reach = len(made) if way == 2 else min(len(made), 200)
    for _ in range(rng.randrange(1, 5)):
        # The directory of a TIFF may lie at the end.
        position = rng.randrange(reach)
        made[position if rng.random() < 0.5 or way == 2 else len(made) - 1 - position] ^= 1 << rng.randrange(8)
    return bytes(made)


def check_damage(tmp_path, num_files, seed):
    rng = random.Random(seed)
    for name, data in whole_files():
        path = tmp_path / name
        for _ in range(num_files):
            path.write_bytes(damaged(data, rng))
            for reader in READERS:
                try:
                    found = reader(path)
                except ValueError as error:
                    assert name in str(error)
                else:
                    assert found.dtype in (np.uint8, np.uint16) and found.size


@pytest.mark.filterwarnings('ignore::helpers.image_rules.ImageConversionWarning')
def test_damaged_files(tmp_path):
    check_damage(tmp_path, 12, seed=1)


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore::helpers.image_rules.ImageConversionWarning')
def test_many_damaged_files(tmp_path):
    check_damage(tmp_path, 400 if THOROUGH else 50, seed=2)


def test_whole_files_are_read(tmp_path):
    for name, data in whole_files():
        (tmp_path / name).write_bytes(data)
        channels = 5 if name.startswith(('stack', 'float')) else 3
        assert read_image(tmp_path / name, rules=ImageRules(channels, window='file')).shape[2] == channels
