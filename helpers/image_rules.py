"""How an image of any kind becomes the input of a network: uint8 [H, W, C].

Training, evaluation and prediction read images by the same `ImageRules`, which a run keeps in its config.json. So a
network always gets the same numbers for the same file.
"""

import warnings
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from helpers.counted import counted
from helpers.flags import check_choice, checked_whole, is_whole

#: The backgrounds on which transparent pixels may be laid; 'refuse' refuses images with alpha.
ALPHAS = ('black', 'white', 'refuse')

MAX_CHANNELS = 64

#: The window that is each file's own range.
FILE_RANGE = 'file'

# If the brightest pixel of a file is below this share of the range, the range may be the wrong one.
_DARK_SHARE = 1 / 8.0

# Up to this many bands share one range, since they are colours.
_MOST_BANDS_ALIKE = 4

Window = Tuple[float, float]


class ImageConversionWarning(UserWarning):
    """An image was converted to the channels and the 8 bits of the network; each kind of conversion warns once."""


class ImageRules(NamedTuple):
    """How images are read. All fields are plain values, for JSON.

    channels: The channels of the network. 3 are red, green and blue; a grey image is repeated in them.
    bands: Which bands of a file become the channels, counted from 1, such as (4, 3, 2). They are used as the file holds
        them: printing inks stay inks. None for all bands in order.
    window: Which values become 0 and 255 in files of more than 8 bits: None for the whole range of an unsigned type,
        'file' for the range of each file (of its finite numbers), or ((low, high),), or one such pair for each channel.
        8-bit values are unchanged. For an alpha band that is no channel: the whole range of its type, or 0 to 1 if it
        holds fractions.
    alpha: One of `ALPHAS`. If the bands of a file including alpha are as many as the channels, and more than three,
        alpha is a channel.
    """

    channels: int = 3
    bands: Optional[Tuple[int, ...]] = None
    window: Optional[Union[str, Tuple[Window, ...]]] = None
    alpha: str = 'black'

    @property
    def are_colours(self) -> bool:
        """Whether the channels are treated as red, green and blue."""
        return self.channels == 3

    def to_json(self) -> Dict[str, Any]:
        """Returns the fields in the form that `image_rules_from_json` takes."""
        window = [list(pair) for pair in self.window] if isinstance(self.window, tuple) else self.window
        return dict(self._asdict(), bands=None if self.bands is None else list(self.bands), window=window)


#: The rules of networks for RGB, and of all models and runs that were written before rules existed.
RGB_RULES = ImageRules()


class Pixels(NamedTuple):
    """An image as its file holds it.

    values: [H, W, B] of an integer or floating type, upright; palette indices if there is a palette.
    bits: Significant bits of a sample of an integer type.
    alpha: 'straight' or 'premultiplied' if the last band is alpha, else None.
    palette: uint8 [n, 3] or, with alpha, [n, 4].
    is_inverted: Whether 0 is white. is_cmyk: Whether the four bands are inks. is_lossy: Whether compression changed
        values.
    """

    values: np.ndarray
    bits: int
    alpha: Optional[str] = None
    palette: Optional[np.ndarray] = None
    is_inverted: bool = False
    is_cmyk: bool = False
    is_lossy: bool = False


def checked_rules(rules: ImageRules) -> ImageRules:
    """Returns the rules, with tuples for lists.

    Raises:
        ValueError: A field is out of its range, or two cannot be combined.
    """
    if not isinstance(rules, ImageRules):
        raise ValueError(
            'image_rules is {!r}; it has to be an ImageRules, such as ImageRules(channels=3).'.format(rules)
        )
    channels, alpha = checked_whole('channels', rules.channels, 1, MAX_CHANNELS), rules.alpha
    check_choice('alpha', alpha, ALPHAS)
    return ImageRules(channels, _checked_bands(rules.bands, channels), _checked_window(rules.window, channels), alpha)


def image_rules_from_json(values: Any) -> ImageRules:
    """Returns the rules of a config.json; `RGB_RULES` for None, which stands for a file without rules.

    Raises:
        ValueError: `values` is no set of rules.
    """
    if values is None:
        return RGB_RULES
    unknown = sorted(set(values) - set(ImageRules._fields)) if isinstance(values, dict) else [repr(values)]
    if unknown:
        raise ValueError('image_rules hold {}; they have {}.'.format(', '.join(unknown), ', '.join(ImageRules._fields)))
    return checked_rules(ImageRules(**values))


def window_of_numbers(numbers: Sequence[str]) -> Optional[Union[str, Tuple[Window, ...]]]:
    """Parses the values of `--window`: 'file', or low and high, or low and high for each channel in turn.

    Raises:
        ValueError: The values are none of these.
    """
    if list(numbers) == [FILE_RANGE]:
        return FILE_RANGE
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        values = []
    if not values or len(values) % 2:
        raise ValueError(
            "window is {}; it has to be 'file', or LOW HIGH, or LOW HIGH for each channel.".format(' '.join(numbers))
        )
    return tuple(zip(values[::2], values[1::2]))


def apply_rules(pixels: Pixels, rules: ImageRules, name: Any) -> np.ndarray:
    """Converts an image to uint8 [H, W, rules.channels]; warns once of each kind of conversion.

    Args:
        pixels: See `Pixels`.
        rules: Rules that were checked.
        name: The name of the file, for messages.

    Raises:
        ValueError: The image has bands that the rules cannot use, or alpha that they refuse, or a type for which they
            give no range.
    """
    values, bits, alpha = _without_palette(pixels)
    values, alpha = chosen_bands(values, alpha, rules, name)
    opacity = _opacity(values[..., -1:], bits) if alpha else None
    values = _to_8_bits(values[..., :-1] if alpha else values, bits, rules, name)
    if pixels.is_inverted:
        values = 255 - values
    if pixels.is_cmyk and rules.bands is None:
        tell('Images in printing inks (CMYK) become RGB: (255 - ink) x (255 - black) / 255.')
        values = _cmyk_to_rgb(values)
    if opacity is not None:
        values = _over_background(values, opacity, alpha == 'straight', rules, name)
    if values.shape[2] == 1 and rules.channels == 3:
        tell('Grey images become three equal channels.')
        values = np.repeat(values, 3, axis=2)
    if values.shape[2] != rules.channels:
        raise ValueError(_wrong_bands(values.shape[2], rules, name))
    return np.ascontiguousarray(values)


def shown_channels(image: np.ndarray, show: Optional[Sequence[int]] = None) -> np.ndarray:
    """Picks three channels of uint8 [H, W, C] for display: those in `show`, counted from 1; by default the first three.

    A single channel is shown as grey; the second of two is shown as green and blue. Raises ValueError for other shapes.
    """
    if image.ndim != 3:
        raise ValueError('the image has the shape {}; it has to be [H, W, C].'.format(image.shape))
    if show is None and image.shape[2] == 3:
        return image
    if show is None:
        show = [min(number, image.shape[2]) for number in (1, 2, 3)]
    return np.ascontiguousarray(image[..., [number - 1 for number in show]])


def check_show(show: Sequence[int], channels: int) -> Tuple[int, ...]:
    """Returns the three channels to show; raises ValueError unless they are three of the network's, from 1."""
    if len(show) != 3 or not all(is_whole(number) and 1 <= number <= channels for number in show):
        raise ValueError(
            'show is {}; it has to be three numbers of channels from 1 to {}, for red, green and blue.'.format(
                _listed(show), channels
            )
        )
    return tuple(show)


def check_frames(source: str, rules: ImageRules) -> None:
    """Raises ValueError if a network takes other channels than the three that frames of a video have."""
    if rules.channels != 3:
        raise ValueError(
            '{} is a video or a camera, whose frames are RGB, and the network takes {}. Give a folder of images (TIFF '
            'or NumPy files).'.format(source, counted(rules.channels, 'channel'))
        )


def _without_palette(pixels: Pixels) -> Tuple[np.ndarray, int, Optional[str]]:
    if pixels.palette is None:
        return pixels.values, pixels.bits, pixels.alpha
    palette = np.zeros((1 << max(8, 8 * pixels.values.dtype.itemsize), pixels.palette.shape[1]), np.uint8)
    palette[: len(pixels.palette)] = pixels.palette
    return palette[pixels.values[..., 0]], 8, 'straight' if palette.shape[1] == 4 else None


def chosen_bands(
    values: np.ndarray, alpha: Optional[str], rules: ImageRules, name: Any
) -> Tuple[np.ndarray, Optional[str]]:
    """Picks the bands that the rules name. Returns them, and which kind of alpha the last of them is, if any.

    Args:
        values: [H, W, B].
        alpha: As in `Pixels`, for all bands.
        name: The name of the file, for messages.

    Raises:
        ValueError: The rules name a band that does not exist.
    """
    num_bands = values.shape[2]
    if rules.bands is not None and (num_bands > 1 or rules.channels == 1):
        if max(rules.bands) > num_bands:
            raise ValueError(
                '{} has {}, and bands {} are asked for. Choose from 1 to {}.'.format(
                    name, counted(num_bands, 'band'), _listed(rules.bands), num_bands
                )
            )
        return values[..., [band - 1 for band in rules.bands]], None
    if alpha and num_bands == rules.channels and rules.channels > 3:
        tell('The alpha channel of images is taken as channel {} of the network.'.format(num_bands))
        return values, None
    return values, alpha


def _to_8_bits(values: np.ndarray, bits: int, rules: ImageRules, name: Any) -> np.ndarray:
    if values.dtype == np.uint8:
        return _stretched(values, bits)
    windows = _windows(values, bits, rules, name)
    _tell_of_window(values, windows, rules)
    return _scaled(values, windows)


def _opacity(values: np.ndarray, bits: int) -> np.ndarray:
    """An alpha band as uint8: the whole range of its type becomes 0 to 255, or for fractions the range 0 to 1."""
    if values.dtype == np.uint8:
        return _stretched(values, bits)
    largest = {'u': 2**bits - 1, 'i': 2 ** (bits - 1) - 1}.get(values.dtype.kind, 1)
    return _scaled(values, ((0, largest),))


def _stretched(values: np.ndarray, bits: int) -> np.ndarray:
    return values if bits == 8 else values * np.uint8(255 // (2**bits - 1))


def _scaled(values: np.ndarray, windows: Tuple[Window, ...]) -> np.ndarray:
    if windows == ((0, 65535),) and values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    low, high = (np.array(ends, np.float64) for ends in zip(*windows))
    scaled = np.empty(values.shape, np.uint8)
    for row, target in zip(values, scaled):  # row by row: doubles of the whole image would be eight times its size
        known = np.where(np.isnan(row), low, np.nan_to_num(row)) if row.dtype.kind == 'f' else row  # NaN becomes black
        target[:] = np.clip(np.rint((known - low) * (255 / (high - low))), 0, 255)
    return scaled


def _windows(values: np.ndarray, bits: int, rules: ImageRules, name: Any) -> Tuple[Window, ...]:
    """One pair for all bands, or one for each."""
    if rules.window == FILE_RANGE:
        return file_windows(*band_ranges(values))
    if rules.window is not None:
        if len(rules.window) not in (1, values.shape[2]):
            raise ValueError(
                '{} has {}, and the window has {} of low and high. Give one pair, or one for each band.'.format(
                    name, counted(values.shape[2], 'band'), counted(len(rules.window), 'pair')
                )
            )
        return rules.window  # type: ignore[return-value]
    if not np.issubdtype(values.dtype, np.unsignedinteger) or bits > 16:
        raise ValueError(
            '{} holds pixels of dtype {}, whose range is not known. State what becomes 0 and 255: --window LOW HIGH '
            '(ImageRules(window=((low, high),))), or --window file for the range of each file.'.format(
                name, values.dtype
            )
        )
    return ((0, 2**bits - 1),)


def band_ranges(values: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Returns the smallest and the largest finite number of each band of [H, W, B]; inf and -inf if there is none.

    NaN and infinity are left out: they stand for pixels without data.
    """
    if np.issubdtype(values.dtype, np.integer):
        return values.min(axis=(0, 1)), values.max(axis=(0, 1))
    is_finite = np.isfinite(values)
    lows = values.min(axis=(0, 1), where=is_finite, initial=np.inf)
    return lows, values.max(axis=(0, 1), where=is_finite, initial=-np.inf)


def file_windows(lows: np.ndarray, highs: np.ndarray) -> Tuple[Window, ...]:
    """Returns the windows for a file's own range: one for all bands, or for more than four bands one for each.

    Args:
        lows, highs: The ranges of the bands, as `band_ranges` returns them.
    """
    if len(lows) <= _MOST_BANDS_ALIKE:
        lows, highs = lows.min(keepdims=True), highs.max(keepdims=True)
    return tuple(_widened(float(low), float(high)) for low, high in zip(lows, highs))


def _widened(low: float, high: float) -> Window:
    """The window from low to high; a very narrow one if there is only one number, or none."""
    if low > high:
        low = high = 0.0
    return low, max(high, low + max(1e-6, float(np.spacing(abs(low)))))


def _tell_of_window(values: np.ndarray, windows: Tuple[Window, ...], rules: ImageRules) -> None:
    if rules.window == FILE_RANGE:
        tell('Images of more than 8 bits are brought to 8 bits by the range of each file.')
        return
    shown = ', '.join('{:g} to {:g}'.format(*window) for window in windows)
    tell(
        'Images of more than 8 bits are brought to 8 bits: {} become{} 0 to 255.'.format(
            shown, 's' * (len(windows) == 1)
        )
    )
    brightest = float(np.max(values)) if rules.window is None else 0
    if 0 < brightest < _DARK_SHARE * windows[0][1]:
        tell(
            'Some of these images are nearly black, with no value above an eighth of that range. State the window that '
            'they use: --window LOW HIGH, or --window file for the range of each file.'
        )


def _cmyk_to_rgb(inks: np.ndarray) -> np.ndarray:
    left = 255 - inks.astype(np.uint16)
    return ((left[..., :3] * left[..., 3:].astype(np.uint32) + 127) // 255).astype(np.uint8)


def _over_background(
    values: np.ndarray, opacity: np.ndarray, is_straight: bool, rules: ImageRules, name: Any
) -> np.ndarray:
    if rules.alpha == 'refuse':
        raise ValueError(
            "{} has an alpha channel, which alpha='refuse' reads no image with. Take alpha='black' or 'white' "
            '(--transparency), or write the file without it.'.format(name)
        )
    tell('Images with an alpha channel are laid over {}.'.format(rules.alpha))
    colours, opacity = values.astype(np.uint32), opacity.astype(np.uint32)
    colours = colours * opacity if is_straight else 255 * np.minimum(colours, opacity)
    background = 255 if rules.alpha == 'white' else 0
    return ((colours + background * (255 - opacity) + 127) // 255).astype(np.uint8)


def _wrong_bands(num_bands: int, rules: ImageRules, name: Any) -> str:
    what = '{} has {}, and the network takes {}. '.format(
        name, counted(num_bands, 'band'), counted(rules.channels, 'channel')
    )
    if num_bands < rules.channels:
        return what + 'Give images of {} bands (TIFF or NumPy files), or take a network of 3 channels.'.format(
            rules.channels
        )
    bands = _listed(range(1, rules.channels + 1))
    return what + (
        'Name the bands that they are, such as --bands {} (ImageRules(bands=...)), or take a network of {} '
        '(fcn8s vgg16 OUT --channels {}).'.format(bands, counted(num_bands, 'channel'), num_bands)
    )


def tell(text: str) -> None:
    """Warns of a kind of conversion. `text` must not name a file: Python shows a warning once per text and place."""
    warnings.warn(text, ImageConversionWarning, stacklevel=2)


def _listed(numbers: Sequence[int]) -> str:
    return ' '.join(str(number) for number in numbers)


def _checked_bands(bands: Any, channels: int) -> Optional[Tuple[int, ...]]:
    if bands is None:
        return None
    are_numbers = isinstance(bands, (list, tuple)) and all(is_whole(band) and 1 <= band <= 65535 for band in bands)
    if not are_numbers or len(bands) != channels:
        raise ValueError(
            'bands is {!r}; it has to be {} from 1, one for each channel of the network.'.format(
                bands, counted(channels, 'number')
            )
        )
    return tuple(map(int, bands))


def _checked_window(window: Any, channels: int) -> Optional[Union[str, Tuple[Window, ...]]]:
    if window is None or window == FILE_RANGE:
        return window
    try:
        pairs = tuple((float(low), float(high)) for low, high in window)
    except (TypeError, ValueError):
        pairs = ()
    if len(pairs) not in (1, channels) or not all(-np.inf < low < high < np.inf for low, high in pairs):
        raise ValueError(
            "window is {!r}; it has to be 'file', or (low, high) with low below high, once or for each of the {} "
            'channels.'.format(window, channels)
        )
    return pairs
