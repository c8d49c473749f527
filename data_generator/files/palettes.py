"""What the palettes of a dataset's label files mean, if files may hold the same colours in different orders."""

import threading
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from data_generator.errors import DataError
from data_generator.files.sampling import NUM_SAMPLED, spread
from helpers.aliases import Color
from helpers.ground_truth import convert_colors_to_ids
from helpers.image_files.headers import is_palette_png
from helpers.image_files.palettes import (
    ColorTable,
    LabelFile,
    as_color,
    in_colors,
    is_grey,
    png_palette,
    used_colors,
    used_values,
)
from helpers.image_files.tiff import tiff_palette
from helpers.images import TransparentLabelError, read_color_labels, read_label_file
from helpers.label_spaces import LabelSpace, is_of_a_table
from helpers.user_warnings import warn_user

#: This many bytes are usually enough to read a PNG up to its palette.
_HEAD_SIZE = 4096


class ReadIds(NamedTuple):
    """IDs [H, W] of a label file, whether they come from a palette, and whether its order differs from the others'."""

    ids: np.ndarray
    has_palette: bool = False
    is_reordered: bool = False


class PaletteRule:
    """Class IDs of label files with palettes of colours: one colour is one ID in all files of a dataset.

    The colours of the dataset's classes decide if the files use them (PASCAL VOC does). Otherwise the first palette
    among the files decides, and the others have to agree with it. A file with the same colours in another order is read
    by its colours, with a warning. If other palettes hold colours, the entries of an all-grey palette are colours, too,
    and with a table of colours so are the values of a grey file.

    Args:
        labels: All label files, in their order.
        space: The classes of a built-in dataset or of a table of colours; None for others.
        id_map: From the IDs in the files to class IDs, a mapping or an array; None if the files hold class IDs.
        table: From colours to class IDs, if a table gives the colours.
    """

    def __init__(
        self,
        labels: Sequence[str],
        space: Optional[LabelSpace] = None,
        id_map: Any = None,
        table: Optional[Mapping[Color, int]] = None,
    ) -> None:
        self._labels = labels
        self._of_space = ColorTable({}) if space is None else _colors_of(space, id_map)
        self._ignore_id = 255 if space is None else space.ignore_id
        self._table = table
        self._is_own = id_map is None and (space is None or table is not None or is_of_a_table(space))
        self._of_first: Optional[ColorTable] = None
        self._of_all: Optional[ColorTable] = None
        self._greys_may_be_colors: Optional[bool] = None
        self._lock = threading.RLock()
        #: Files that were read by their colours because their palettes have another order.
        self.reordered: List[str] = []

    def read(self, path: str) -> ReadIds:
        """Reads a label file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It cannot be read, or is no label map.
            DataError: Its palette and that of the other files contradict each other; or it is grey, and may hold IDs
                or colours.
        """
        try:
            label = read_label_file(path)
        except ValueError as error:
            if self._table is None:
                raise
            return ReadIds(self._ids_of_colors(path, self._table, error))
        return self.ids(label, path)

    def ids(self, label: LabelFile, path: str) -> ReadIds:
        """Looks up the IDs of a label file that has been read. Raises DataError as `read`."""
        if label.palette is not None:
            return self._ids_of_palette(label, self._ids_by_color(label), path)
        if label.indices is not None:
            return self._ids_of_grey_palette(label, label.indices, path)
        if label.grey_step and self._is_own and self._are_greys_colors():
            return ReadIds(self._ids_of_greys(label, path))
        return ReadIds(label.values)

    def _ids_by_color(self, label: LabelFile) -> Optional[np.ndarray]:
        """The IDs of the colours in a file: `label.values` itself if all indices are IDs already. None if not known.

        Each table is used only if those before it do not suffice: the last one reads the palettes of all files.
        """
        for expected in (lambda: self._of_space, self._first_palette, self._all_palettes):
            ids = expected().ids(label)
            if ids is not None:
                return ids
        return None

    def _ids_of_palette(self, label: LabelFile, ids: Optional[np.ndarray], path: str) -> ReadIds:
        if ids is None:
            raise DataError(self._contradiction(label, path))
        is_reordered = ids is not label.values
        if is_reordered:
            self._note_reordered(path)
        return ReadIds(ids, True, is_reordered)

    def _ids_of_grey_palette(self, label: LabelFile, colors: LabelFile, path: str) -> ReadIds:
        """The IDs of a file with an all-grey palette. Optimisers make such files from grey ones and from files with few
        colours: the other files decide.
        """
        if self._of_space.colors and not self._may_be_ids(label):
            ids = self._of_space.ids(colors)
            if ids is not None:
                return self._ids_of_palette(colors, ids, path)
        if not self._first_palette().colors:
            return ReadIds(label.values)
        ids = self._ids_by_color(colors)
        if ids is None and self._are_numbers(label):
            return ReadIds(label.values)
        return self._ids_of_palette(colors, ids, path)

    def _ids_of_greys(self, label: LabelFile, path: str) -> np.ndarray:
        """The IDs of a grey file beside files with palettes of colours. Raises DataError if there are two readings."""
        colors = in_colors(label)
        by_color = None
        if colors is not None:
            by_color = self._of_space.ids(colors) if self._table else self._ids_by_color(colors)
        if by_color is None:
            if self._table and not self._are_numbers(label):
                raise DataError(self._unknown_grey(label, path))
            return label.values
        if by_color is label.values or self._table or not self._may_be_ids(label):
            return by_color
        if (by_color != label.values).any():
            raise DataError(
                '{} is grey, and other labels of this dataset have palettes of colours: its values {} may be class '
                'IDs, or colours. For colours give a table of them (label_space, --colors FILE); for IDs a map '
                '(id_map, --id-map 0:0,1:1,...).'.format(path, ', '.join(map(str, used_values(label.values))))
            )
        return label.values

    def _ids_of_colors(self, path: str, table: Mapping[Color, int], error: ValueError) -> np.ndarray:
        """The IDs of a colour file among files with palettes or IDs, by a table of colours."""
        try:
            colors = read_color_labels(path)
        except TransparentLabelError:
            raise
        except ValueError:
            raise error from None
        try:
            return convert_colors_to_ids(colors, table)
        except ValueError as unknown:
            raise DataError('{}: {}'.format(path, unknown)) from unknown

    def _may_be_ids(self, label: LabelFile) -> bool:
        known = self._of_space.colors or self._all_palettes().colors
        return all(value in known or value == self._ignore_id for value in used_values(label.values))

    def _are_numbers(self, label: LabelFile) -> bool:
        """Whether grey values can only be IDs: some are neither black nor white, and all are valid IDs."""
        return self._may_be_ids(label) and not set(used_values(label.values)) <= {0, 255}

    def _are_greys_colors(self) -> bool:
        """Whether a grey file may hold colours: the dataset is no built-in one, and has palettes of colours."""
        with self._lock:
            if self._greys_may_be_colors is None:
                looked_at = spread(self._labels)[:NUM_SAMPLED] if self._table else self._labels[:1]
                self._greys_may_be_colors = any(color_palette(path) is not None for path in looked_at)
            return self._greys_may_be_colors

    def described(self) -> str:
        """Describes what the IDs of a file depend on besides the file itself; '' if no file has a palette of colours.

        Reads the beginning of every file that may have a palette.
        """
        has_greys = self._is_own and self._are_greys_colors()
        if not self._labels or (file_palette(self._labels[0]) is None and not has_greys):
            return ''
        return repr((sorted(self._of_space.colors.items()), sorted(self.colors().items()), bool(self._table)))

    def _note_reordered(self, path: str) -> None:
        with self._lock:
            self.reordered.append(path)
            if len(self.reordered) == 1:
                warn_user(
                    '{}: its palette has its colours in another order than other labels of this dataset, so it is read '
                    'by colour.'.format(path)
                )

    def _first_palette(self) -> ColorTable:
        with self._lock:
            if self._of_first is None:
                found = (palette for palette in map(color_palette, self._labels) if palette is not None)
                self._of_first = ColorTable(_entries(next(found, np.zeros((0, 3), np.uint8))))
            return self._of_first

    def _all_palettes(self) -> ColorTable:
        with self._lock:
            if self._of_all is None:
                known = dict(self._first_palette().colors)
                for palette in map(file_palette, self._labels if known else ()):
                    for index, color in _entries(palette).items() if palette is not None else ():
                        if color not in known.values():
                            known.setdefault(index, color)
                self._of_all = ColorTable(known)
            return self._of_all

    def colors(self) -> Mapping[int, Color]:
        """Returns the colour of each index in the files: from the first palette, with additions from later ones.

        Files may leave out entries that they do not use. All files are read once. Empty if no palette holds colours.
        """
        return self._all_palettes().colors

    def _contradiction(self, label: LabelFile, path: str) -> str:
        known, used = self.colors(), used_colors(label)
        ids_of = {index: [other for other, color in known.items() if color == used[index]] for index in used}
        index = min(used, key=lambda index: (min(len(ids_of[index]), 1), -len(ids_of[index])))
        ids = ids_of[index] or [index]
        return (
            '{}: index {} of its palette is the colour {}, and in other labels of this dataset {}. Give a table of '
            'colours (convert_colors_to_ids, --colors FILE), or write all labels with one palette.'.format(
                path,
                index,
                used[index],
                'that is the colour of the indices {}'.format(', '.join(map(str, ids[:5])))
                if ids_of[index]
                else 'it is {}'.format(known.get(index, 'none')),
            )
        )

    def _unknown_grey(self, label: LabelFile, path: str) -> str:
        return (
            '{} is grey and holds {}, and as greys these are not all in the table of colours, by which other labels of '
            'this dataset are read. Add the colours to the table, or write the label in the colours of the others.'
        ).format(path, ', '.join(map(str, used_values(label.values)[:10])))


def color_palette(path: str) -> Optional[np.ndarray]:
    """Reads the palette of a label file as `file_palette`, but returns None for one that holds only greys."""
    palette = file_palette(path)
    return None if palette is None or is_grey(palette) else palette


def file_palette(path: str) -> Optional[np.ndarray]:
    """Reads the palette of a label file, uint8 [K, 3]; None if it has none or cannot be read."""
    try:
        with open(path, 'rb') as file:
            head = file.read(_HEAD_SIZE)
            palette = png_palette(head)
            if palette is None and is_palette_png(head):  # after a long text chunk
                palette = png_palette(head + file.read())
        if head[:2] in (b'II', b'MM'):
            palette = tiff_palette(path)
        elif head[:2] in (b'BM', b'GI'):
            palette = _palette_by_pillow(path)
    except Exception:  # damaged files may raise anything; reading the whole file reports it
        return None
    return palette


def _palette_by_pillow(path: str) -> Optional[np.ndarray]:
    from PIL import Image

    with Image.open(path) as image:
        entries = image.getpalette() if image.mode == 'P' else None
    return None if entries is None else np.array(entries, np.uint8).reshape(-1, 3)


def _entries(palette: np.ndarray) -> Dict[int, Color]:
    return {index: as_color(color) for index, color in enumerate(palette)}


def _colors_of(space: LabelSpace, id_map: Any) -> ColorTable:
    """The table from each ID in the files to the colour of its class."""
    colors = dict(enumerate(space.colors))
    if space.ignore_colors:
        colors.setdefault(space.ignore_id, space.ignore_colors[0])
    if id_map is None:
        return ColorTable(colors)
    pairs = dict(id_map.items() if isinstance(id_map, Mapping) else enumerate(np.asarray(id_map).tolist()))
    return ColorTable({file_id: colors[class_id] for file_id, class_id in pairs.items() if class_id in colors}, pairs)
