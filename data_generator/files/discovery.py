"""Finding the images and labels of a dataset, and which label belongs to which image."""

import csv
import os
import unicodedata
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from data_generator.errors import DataError, Problem
from data_generator.files.renaming import Renaming, companions, find_renaming, labels_among
from data_generator.files.texts import decoded
from helpers.counted import counted
from helpers.files import path_of
from helpers.image_search import IMAGE_EXTENSIONS, LOSSY_EXTENSIONS, about_unread, composed, find_images, folded

#: Extensions of label maps: lossless formats only, since JPEG changes the IDs.
LABEL_EXTENSIONS = ('.png', '.tif', '.tiff', '.bmp', '.gif')

#: Common names of folders of labels, in any letter case.
LABEL_FOLDERS = (
    *('labels', 'label', 'masks', 'mask', 'annotations', 'annotation', 'gt', 'ground_truth', 'groundtruth'),
    *('segmentations', 'segmentation'),
)

LIST_COLUMN_NAMES = ('image', 'images', 'image_path', 'label', 'labels', 'label_path', 'ground_truth', 'mask')

Paths = Union[str, os.PathLike, Sequence[Union[str, os.PathLike]]]


class Pair(NamedTuple):
    """One image of a dataset and its label map; `label` is None in a dataset without labels."""

    image: str
    label: Optional[str]


class NameRule(NamedTuple):
    """How the name of a label follows from the name of its image, both without extension.

    With a separator, only files whose name contains it are images. The name is split there, and the label's name is the
    first part + suffix; '{rest}' in the suffix stands for the part behind the separator. Without a separator, the
    label's name is that of the image, plus the suffix if there is one.
    """

    separator: Optional[str] = None
    suffix: Optional[str] = None

    def is_image(self, stem: str) -> bool:
        """Tells whether a file of this name is an image: without a separator every file is."""
        return not self.separator or self.separator in stem

    def label_stem(self, stem: str) -> str:
        """Returns the name of the label of an image of this name, without extension."""
        first, _, rest = stem.partition(self.separator) if self.separator else (stem, '', '')
        suffix = self.suffix or ''
        root, extension = os.path.splitext(suffix)
        suffix = root if extension.lower() in LABEL_EXTENSIONS else suffix
        return first + suffix.replace('{rest}', rest)


def as_path_list(paths: Optional[Paths], name: str = 'paths') -> List[str]:
    """Returns one path, several or None as a list of strings. Raises ValueError, with `name`, for anything else."""
    listed = [] if paths is None else [paths] if isinstance(paths, (str, os.PathLike)) else paths
    try:
        return [path_of(path) for path in listed]
    except (TypeError, ValueError):
        raise ValueError('{} is {!r}; it has to be a path, or a list of paths.'.format(name, paths)) from None


def read_once(paths: Optional[Paths]) -> Optional[Paths]:
    """Returns the paths of an iterator, which the first look would use up, as a list; others as they are."""
    return list(paths) if isinstance(paths, Iterator) else paths


def find_pairs(
    image_dirs: Sequence[str],
    ground_truth_dirs: Sequence[str],
    extensions: Optional[Paths],
    rule: NameRule,
    check_existence: bool = True,
) -> List[Pair]:
    """Finds the images below `image_dirs` in natural order, each with its label from the corresponding directory.

    A label has the same relative path below its directory as the image below its own. Otherwise the only label of that
    name anywhere below the directory is used, unless another image has that label's path. The extension may differ, and
    so may words that all names have, see `pair_with_labels`. Labels without an image are ignored.

    Args:
        ground_truth_dirs: One for each of `image_dirs`; empty for a dataset without labels.
        extensions: Extensions of the images in any letter case; None for all formats that can be read.
        check_existence: If False, images without a label are left out instead of refused.

    Raises:
        ValueError: The two lists of directories differ in length.
        FileNotFoundError: A directory does not exist.
        DataError: No images, or images without a label, with several labels, or with the label of another image.
    """
    if ground_truth_dirs and len(ground_truth_dirs) != len(image_dirs):
        raise ValueError(
            '{} image_dirs but {} ground_truth_dirs: each directory of images needs the directory of its '
            'labels at the same place in the list. Repeat a directory if two share it.'.format(
                len(image_dirs), len(ground_truth_dirs)
            )
        )
    pairs: List[Pair] = []
    for number, image_dir in enumerate(image_dirs):
        images = find_images_of(image_dir, extensions, rule)
        if ground_truth_dirs:
            label_dir = ground_truth_dirs[number]
            found = pair_with_labels(images, image_dir, label_dir, rule)
            pairs += labelled_pairs(found, image_dir, label_dir, rule, check_existence)
        else:
            pairs += [Pair(image, None) for image in images]
    return pairs


def find_images_of(directory: str, extensions: Optional[Paths], rule: NameRule) -> List[str]:
    """Lists the images below a directory, in natural order.

    Raises:
        FileNotFoundError: There is no such directory.
        DataError: It holds no image, or none with a name that fits the rule.
    """
    _check_directory(directory, 'images')
    wanted = IMAGE_EXTENSIONS if extensions is None else as_path_list(extensions, 'image_file_extension')
    found = list_files(directory, wanted)
    if not found:
        raise DataError(
            'No images ending in {} below {}: give the directory that holds them, or the '
            'image_file_extension that the files have.{}'.format(
                ' or '.join('.' + extension.lstrip('.') for extension in wanted), directory, about_unread(directory)
            )
        )
    images = [path for path in found if rule.is_image(stem_of(path))]
    if not images:
        raise DataError(
            'Of {} below {} none has {!r} in its name (the first is {}): set '
            'image_name_split_separator to what the names have, or to None where image and label are '
            'called alike.'.format(counted(len(found), 'image'), directory, rule.separator, os.path.basename(found[0]))
        )
    return images


def _check_directory(directory: str, content: str) -> None:
    if not os.path.isdir(directory):
        raise FileNotFoundError(
            'No such directory of {}: {}. Give the path of an existing one; fcn8s check ROOT says which layout a '
            'dataset has.'.format(content, directory)
        )


def list_files(directory: str, extensions: Sequence[str]) -> List[str]:
    """Lists the files below a directory that have one of these extensions; none if there is no such directory."""
    try:
        return find_images(directory, extensions) if os.path.isdir(directory) else []
    except FileNotFoundError:
        return []


def stem_of(path: str) -> str:
    """Returns the name of a file without its directories and its extension."""
    return os.path.splitext(os.path.basename(path))[0]


class LabelIndex:
    """The label files below one directory, by relative path and by name, both without extension.

    It remembers which image got which label, so one index serves the images of one directory.
    """

    def __init__(self, directory: str) -> None:
        _check_directory(directory, 'labels')
        self.directory = directory
        self._by_place: Dict[str, List[str]] = {}
        self._by_name: Dict[str, List[str]] = {}
        self._by_folded_place: Dict[str, List[str]] = {}
        # NumPy and lossy files count only if there are no others: NumPy files may hold anything, and lossy ones are
        # found so that an error can say why they are refused.
        kinds = (list_files(directory, extensions) for extensions in (LABEL_EXTENSIONS, ('.npy',), LOSSY_EXTENSIONS))
        for path in next(filter(None, kinds), []):
            place = os.path.splitext(os.path.relpath(path, directory))[0]
            self._by_place.setdefault(place, []).append(path)
            self._by_name.setdefault(os.path.basename(place), []).append(path)
            self._by_folded_place.setdefault(folded(place), []).append(path)
        self._image_of: Dict[str, str] = {}

    def holds(self, name: str) -> bool:
        """Tells whether there is a label of this name, without extension."""
        return name in self._by_name

    def renaming(self, stems: Sequence[str]) -> Optional[Renaming]:
        """Finds how the names of labels follow from the names of images, if no label has the name of its image."""
        known = {folded(name) for name in self._by_name}
        return None if any(folded(stem) in known for stem in stems) else find_renaming(stems, self._by_name)

    def find(self, place: str, image: str) -> Optional[str]:
        """Finds the label at `place` (relative path without extension) for this image, or else the one of that name.

        Returns None if there is none. Raises DataError if there are several, or if another image has it.
        """
        found = [path for path in self._by_place.get(place, ()) if path != image] or self._namesakes(place, image)
        if not found:  # IMG_1 and img_1 are the same to Windows and macOS, and so to their users
            found = [path for path in self._by_folded_place.get(folded(place), ()) if path != image]
        if len(found) > 1:
            raise DataError(
                'Which label belongs to {}? Found {}. Keep one of them, or tell them apart with '
                'ground_truth_suffix or a list of pairs.'.format(image, ' and '.join(found[:3]))
            )
        if not found:
            return None
        other = self._image_of.setdefault(found[0], image)
        if other != image:
            raise DataError(
                'Which image does {} belong to? Both {} and {} would get it. Give each image a label of its own, at '
                'the same place below {} as the image below its directory, or pass a list of pairs.'.format(
                    found[0], other, image, self.directory
                )
            )
        return found[0]

    def _namesakes(self, place: str, image: str) -> List[str]:
        """Labels elsewhere with the name at the end of `place`, except those that another image has at its own path."""
        folder, name = os.path.split(place)
        found = []
        for path in self._by_name.get(name, ()):
            way = os.path.relpath(os.path.dirname(path), os.path.join(self.directory, folder))
            other = os.path.normpath(os.path.join(os.path.dirname(image), way, os.path.basename(image)))
            if path != image and not os.path.isfile(other):
                found.append(path)
        return found


def pair_with_labels(
    images: Sequence[str], image_dir: str, label_dir: str, rule: NameRule, problems: Optional[List[Problem]] = None
) -> List[Pair]:
    """Gives each image its label below `label_dir`; None if there is none.

    If neither a separator nor a suffix is given and no label has the name of its image, words that all names have in
    common are ignored, see `data_generator.files.renaming`. If all files lie in one folder, labels of other files are
    no images, and neither are files without a label that were made from photographs and lie beside them.

    Args:
        problems: A list that collects images with several labels, which then get none; None to refuse them.

    Raises:
        FileNotFoundError: There is no such directory of labels.
        DataError: An image has several labels or that of another one, and `problems` is None.
    """
    index = LabelIndex(label_dir)
    if rule == NameRule() and os.path.samefile(image_dir, label_dir):
        labels = labels_among(images)
        if labels:
            are_labels = set(labels.values())
            return [Pair(image, labels.get(image)) for image in images if image not in are_labels]
    else:
        images = _without_companions(images, image_dir, index, rule, problems)
    renaming = index.renaming([stem_of(image) for image in images]) if rule == NameRule() else None
    label_stem = rule.label_stem if renaming is None else renaming.label_stem
    pairs = []
    for image in images:
        place = os.path.join(os.path.dirname(os.path.relpath(image, image_dir)), label_stem(stem_of(image)))
        try:
            label = index.find(place, image)
        except DataError as error:
            if problems is None:
                raise
            problems.append(Problem('ambiguous_label', image, str(error)))
            label = None
        pairs.append(Pair(image, label))
    return pairs


def _without_companions(
    images: Sequence[str], image_dir: str, index: LabelIndex, rule: NameRule, problems: Optional[List[Problem]]
) -> Sequence[str]:
    beside = companions(images, are_labels_told=rule.suffix is not None)
    if not beside or any(index.holds(rule.label_stem(stem_of(path))) for path in beside):
        return images
    if problems is not None:
        problems.append(Problem('beside_images', image_dir, os.path.basename(min(beside))))
    return [image for image in images if image not in beside]


def labelled_pairs(
    pairs: Sequence[Pair], image_dir: str, label_dir: str, rule: NameRule, check_existence: bool = True
) -> List[Pair]:
    """Leaves out images without a label, or refuses them.

    Raises:
        DataError: No image has a label; or one has none, with `check_existence`.
    """
    labelled = [pair for pair in pairs if pair.label is not None]
    missing = [pair.image for pair in pairs if pair.label is None]
    if missing and (check_existence or not labelled):
        raise DataError(
            '{} of {} images below {} have no label, the first of them {}: expected {}.png (or another '
            'lossless format) below {}. Add the labels, set image_name_split_separator and '
            'ground_truth_suffix to what the names have{}.'.format(
                len(missing),
                len(pairs),
                image_dir,
                missing[0],
                rule.label_stem(stem_of(missing[0])),
                label_dir,
                ', or pass check_existence=False to leave these images out' if labelled else '',
            )
        )
    return labelled


def read_pair_list(path: str, root_dir: Optional[str] = None) -> List[Pair]:
    """Reads the pairs of a list file, with an image and its label on each line, or only an image.

    Columns are separated by tabs, semicolons, commas or, if there are none of these, by spaces. A first line of column
    names, empty lines and lines that begin with '#' are skipped. Relative paths start at `root_dir`, or if that is None
    at the directory of the list.

    Raises:
        FileNotFoundError: The list, or a file that it names, does not exist.
        DataError: A line with more than two columns, lines of both kinds, no lines at all, or not in UTF-8.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            'No such list of pairs: {}. Give a text or CSV file with an image and its label a line.'.format(path)
        )
    lines = list(enumerate(_read_lines(path), 1))
    try:
        rows = [(number, _split_line(line)) for number, line in lines if line and not line.startswith('#')]
    except csv.Error as error:
        raise DataError(
            '{} is no list of pairs: {}. Give an image and its label a line.'.format(path, error)
        ) from error
    if rows and rows[0][1][0].lower() in LIST_COLUMN_NAMES:
        rows = rows[1:]
    folder = os.path.dirname(os.path.abspath(path)) if root_dir is None else root_dir
    pairs = []
    for number, columns in rows:
        if len(columns) > 2:
            raise DataError(
                '{}, line {}: {} columns, expected an image and its label. Put paths that contain the '
                'separator in double quotes.'.format(path, number, len(columns))
            )
        pairs.append(tuple(_file_named(name, folder) for name in columns))
        for name, found in zip(columns, pairs[-1]):
            if name and not found:
                raise FileNotFoundError(
                    '{}, line {}: no such file: {}. Relative paths start at {}; pass root_dir=... '
                    'for another start.'.format(path, number, name, folder)
                )
    return check_pairs(pairs, path)


def _file_named(name: str, folder: str) -> str:
    """The file that a list names, which may have the slashes of Windows and either form of accents; '' for none."""
    name_with_slashes = name.replace('\\', '/')
    decomposed = unicodedata.normalize('NFD', name_with_slashes)
    names = (name, name_with_slashes, composed(name_with_slashes), decomposed)
    return next(filter(os.path.isfile, (os.path.join(folder, name) for name in names)), '')


def read_names(path: str) -> List[str]:
    """Reads the first word of every line of a text file, such as the names of the images of a split.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: It has no lines, or is not in an encoding of Unicode.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError('No such list of images: {}. Give a split that the dataset has.'.format(path))
    names = [line.split()[0] for line in _read_lines(path) if line]
    if not names:
        raise DataError('{}: names no images.'.format(path))
    return names


def _read_lines(path: str) -> List[str]:
    """The lines of a text file, stripped."""
    with open(path, 'rb') as file:
        data = file.read()
    try:
        return [line.strip() for line in decoded(data).splitlines()]
    except UnicodeDecodeError as error:
        raise DataError(
            '{} is not in UTF-8, which lists of files are read as ({}). Save it as UTF-8.'.format(path, error)
        ) from error


def _split_line(line: str) -> List[str]:
    for delimiter in '\t;,':
        if delimiter in line:
            return [column.strip() for column in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))]
    return line.split()


def check_pairs(
    pairs: Iterable[Union[str, Tuple[Optional[str], ...]]], source: str = 'pairs', root_dir: Optional[str] = None
) -> List[Pair]:
    """Returns images, or (image, label) tuples, as `Pair`s. Raises DataError if there are none or not all have labels.

    Relative paths start at `root_dir`, if given. `Pair`s are unchanged: this package made them, with complete paths.
    """
    made = [_as_pair(row, source, root_dir) for row in pairs]
    without = [pair.image for pair in made if pair.label is None]
    if not made:
        raise DataError('{}: names no images. Give an image and its label a line.'.format(source))
    if 0 < len(without) < len(made):
        raise DataError(
            '{}: {} of {} images have no label, the first of them {}. Give a label to all or to none.'.format(
                source, len(without), len(made), without[0]
            )
        )
    return made


def _as_pair(row: Union[str, Tuple[Optional[str], ...]], source: str, root_dir: Optional[str]) -> Pair:
    if isinstance(row, Pair):
        return row
    columns = (row,) if isinstance(row, (str, os.PathLike)) else tuple(row)
    if not 1 <= len(columns) <= 2:
        raise DataError(
            '{}: {!r} holds {} paths, but a pair is an image and its label. Leave out what is neither.'.format(
                source, row, len(columns)
            )
        )
    image, label = (os.path.join(root_dir or '', path_of(name)) if name else None for name in (columns + (None,))[:2])
    if image is None:
        raise DataError('{}: {!r} names no image. Give (image, label), or the image alone.'.format(source, row))
    return Pair(image, label)


def check_files_exist(pairs: Iterable[Pair], root_dir: Optional[str]) -> None:
    """Raises FileNotFoundError, naming the first file of `pairs` that does not exist."""
    for name in (name for pair in pairs for name in pair if name is not None):
        if not os.path.isfile(name):
            raise FileNotFoundError(
                'pairs: no such file: {}. Relative paths start at {}; pass root_dir=... for another start.'.format(
                    name, 'the working directory' if root_dir is None else root_dir
                )
            )
