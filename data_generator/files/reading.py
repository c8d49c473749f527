"""Reads the two files of a pair, and refuses labels that belong to no class."""

import contextlib
from typing import Any, Iterator, Mapping, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from data_generator.errors import DataError
from data_generator.files.discovery import Pair
from data_generator.files.palettes import PaletteRule
from helpers.aliases import Color
from helpers.counted import counted, join_and_dots
from helpers.ground_truth import LARGEST_ID, IdMap, nearest_colors
from helpers.image_files.windows import open_windowed
from helpers.image_rules import RGB_RULES, ImageRules
from helpers.images import read_color_labels, read_image

#: From this many pixels on, only the crop is read from the file, if possible: 16 million take a tenth of a second.
LARGE_IMAGE = 1 << 24

NUM_IDS = LARGEST_ID + 1


class LegalIds:
    """Which IDs label files may hold.

    Args:
        num_classes: Class IDs are 0 to num_classes - 1; None if any ID is allowed.
        ignore_id: The ID of pixels that never count.
        id_map: From the IDs in the files to class IDs, a dict or an array; None if the files hold class IDs. IDs that
            it lacks, or maps to no class, are illegal.
        color_map: From the colours in the files to the IDs that `id_map` maps, or to class IDs.

    Attributes:
        complete_map: `id_map` as an array over all 8-bit IDs if that is enough, which is the fastest to apply.

    Raises:
        ValueError: A colour maps to no class.
    """

    def __init__(
        self,
        num_classes: Optional[int],
        ignore_id: int,
        id_map: Optional[IdMap] = None,
        color_map: Optional[Mapping[Tuple[int, int, int], int]] = None,
    ) -> None:
        self._num_classes = num_classes
        self._ignore_id = ignore_id
        self._entries = None if id_map is None else _entries(id_map)
        self._is_legal = self._legal_ids()
        #: Whether 8 bits are enough, even for labels in 16-bit files.
        self.fit_8_bits = not self._is_legal[256:].any()
        illegal = np.flatnonzero(~self._is_legal)
        self._first_illegal = int(illegal[0]) if illegal.size else NUM_IDS
        self._illegal_bytes = (~self._is_legal[:256]).astype(np.uint8)
        self.complete_map = id_map
        if self._entries is not None and color_map is None and self.fit_8_bits:
            # IDs that keep this value are illegal, so they never occur.
            self.complete_map = np.full(256, int(ignore_id))
            for file_id, class_id in self._entries.items():
                self.complete_map[file_id : file_id + 1] = class_id
        self._check_colors(color_map or {})

    def _legal_ids(self) -> np.ndarray:
        is_class = np.ones(NUM_IDS, bool)
        if self._num_classes is not None:
            is_class[self._num_classes :] = False
            is_class[self._ignore_id] = True
        if self._entries is None:
            return is_class
        is_legal = np.zeros(NUM_IDS, bool)
        for file_id, class_id in self._entries.items():
            is_legal[file_id] = is_class[class_id]
        return is_legal

    def _check_colors(self, color_map: Mapping[Tuple[int, int, int], int]) -> None:
        for color, class_id in color_map.items():
            if not self._is_legal[class_id]:
                raise ValueError(
                    'The colour {} becomes ID {}, which belongs to no class: with num_classes={} class '
                    'IDs are 0 to {}, and {} is ignored. Map it to one of these.'.format(
                        tuple(color), class_id, self._num_classes, (self._num_classes or 0) - 1, self._ignore_id
                    )
                )

    def check(self, label: np.ndarray, path: str) -> None:
        """Raises DataError with the file and the IDs if `label` [H, W] holds an illegal one.

        Takes far less than a millisecond for the labels of Cityscapes, since their maximum decides.
        """
        if cv2.minMaxLoc(label)[1] < self._first_illegal:
            return
        illegal = cv2.LUT(label, self._illegal_bytes) if label.dtype == np.uint8 else ~self._is_legal[label]
        if illegal.any():
            raise DataError(self._message(label[illegal.astype(bool)], path))

    def _message(self, values: np.ndarray, path: str) -> str:
        ids = np.unique(values).tolist()
        shown = join_and_dots([str(i) for i in ids], 10)
        if self._entries is not None:
            return (
                '{}: label IDs {} ({}) are not in the ID map, or it maps them to no class. Add them to the '
                'map, with ignore_id={} for what is to be left out; files that hold class IDs already need no '
                'map.'.format(path, shown, counted(values.size, 'pixel'), self._ignore_id)
            )
        return (
            '{}: label IDs {} ({}) belong to no class: with num_classes={} class IDs are 0 to {}, and {} is '
            'ignored. Set num_classes or ignore_id as the files have them, or map the IDs with '
            "convert_ids_to_ids; for raw Cityscapes labelIds take layout='cityscapes', --id-map cityscapes, or "
            'convert_ids_to_ids=helpers.label_spaces.cityscapes_ids_to_train_ids() with num_classes=19 (with 20, where '
            'void is class 0: cityscapes_ids_to_cityscapes20()).'.format(
                path,
                shown,
                counted(values.size, 'pixel'),
                self._num_classes,
                (self._num_classes or 0) - 1,
                self._ignore_id,
            )
        )


class ColorRule(NamedTuple):
    """How colours in labels are read.

    tolerance: how far a colour may be from the nearest one of the table, in each channel. transparent: the colour of
    the table that transparent pixels get; None to refuse them.
    """

    tolerance: int = 0
    transparent: Optional[Color] = None


#: Only the colours of the table are accepted.
EXACT_COLORS = ColorRule()


def read_colors(path: str, table: Mapping[Color, int], rule: ColorRule) -> Tuple[np.ndarray, int]:
    """Reads colour labels, uint8 [H, W, 3], and counts the pixels whose colour was replaced by one of the table.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It cannot be read, holds no colours, or has transparent pixels without a rule for them.
    """
    colors = read_color_labels(path, rule.tolerance > 0, rule.transparent is not None, table)
    is_transparent = colors[..., 3] == 0 if colors.shape[2] == 4 else None
    colors, moved = np.ascontiguousarray(colors[..., :3]), 0
    if is_transparent is not None:
        colors[is_transparent] = rule.transparent
    if rule.tolerance:
        colors, moved = nearest_colors(colors, table, rule.tolerance)
    return colors, moved


class LabelReader:
    """Reads label files as the numbers or colours that a pipeline converts, and refuses values that are no class.

    Args:
        legal_ids: Which IDs the files may hold.
        palettes: The meaning of their palettes.
        color_map: From colours to IDs if files hold colours; None if they hold IDs.
        color_rule: Which other colours are accepted.
    """

    def __init__(
        self,
        legal_ids: LegalIds,
        palettes: PaletteRule,
        color_map: Optional[Mapping[Color, int]] = None,
        color_rule: ColorRule = EXACT_COLORS,
    ) -> None:
        self._legal_ids = legal_ids
        self._palettes = palettes
        self._color_map = color_map
        self._color_rule = color_rule

    def read(self, path: str) -> np.ndarray:
        """Reads the IDs of the file, uint8 or uint16 [H, W], or colours, uint8 [H, W, 3].

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: It cannot be read, or is no label map.
            DataError: It holds illegal IDs.
        """
        if self._color_map is not None:
            return read_colors(path, self._color_map, self._color_rule)[0]
        label = self._palettes.read(path).ids
        self._legal_ids.check(label, path)
        return label.astype(np.uint8, copy=False) if self._legal_ids.fit_8_bits else label


def read_pair(
    pair: Pair, labels: LabelReader, image_rules: ImageRules = RGB_RULES, in_windows: bool = False
) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """Reads an image, uint8 [H, W, C] (RGB by default), and its label by `labels`, or None without labels.

    Args:
        in_windows: Whether to return a large image as a `helpers.image_files.windows.WindowedImage`, which reads only
            the parts that are cut out.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: A file cannot be read, the rules cannot be applied to the image, or the label is no label map.
        DataError: The label holds illegal IDs.
    """
    image: Any = open_windowed(pair.image, image_rules, LARGE_IMAGE) if in_windows else None
    if image is None:
        image = read_image(pair.image, rules=image_rules)
    return image, None if pair.label is None else labels.read(pair.label)


def _entries(id_map: IdMap) -> Mapping[int, int]:
    if not isinstance(id_map, Mapping):
        return dict(enumerate(np.asarray(id_map).tolist()))
    return {int(old): int(new) for old, new in id_map.items()}  # np.uint8(255) + 1 is 0


@contextlib.contextmanager
def naming_the_file(pair: Pair) -> Iterator[None]:
    """Turns errors about a pair into a DataError that names its files. OSErrors name their own file."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        text = str(error) if isinstance(error, ValueError) else '{}: {}'.format(type(error).__name__, error)
        if pair.image in text or (pair.label is not None and pair.label in text):
            raise error if isinstance(error, DataError) else DataError(text) from error
        label = '' if pair.label is None else ' with label {}'.format(pair.label)
        raise DataError('{}{}: {}'.format(pair.image, label, text)) from error
