"""Which folders of a tree hold images and which hold their labels, whatever their names and places.

For datasets without a known arrangement. File names show which files belong together; reading some of them shows which
are images and which are labels.
"""

import contextlib
import itertools
import os
import posixpath
import re
import shlex
from collections import Counter
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from data_generator.files.discovery import LABEL_EXTENSIONS, NameRule
from data_generator.files.renaming import WORDS_BESIDE, companions, find_kinds, find_renaming
from data_generator.files.splits import SPLIT_NAMES
from helpers.color_codes import color_codes
from helpers.image_search import IMAGE_EXTENSIONS, find_images, folded, is_lossy, natural_sort_key
from helpers.images import read_color_labels, read_image, read_label_file

# Trees with more folders of files than this are not searched: most of them have a folder for each image.
_MOST_FOLDERS = 1000
# Nor are trees with more places than this. Folders that differ only in the name of a split are one place.
_MOST_PLACES = 60
# How many files of each place are read.
_NUM_LOOKED_INTO = 6
# The most values or colours of a label; natural pictures have more, even grey ones.
_MOST_VALUES = 100
_MANY = 1 << 30
# How many pixels of a file are used.
_NUM_PIXELS = 100000
# Words for renderings of classes and for other pictures beside labels and photographs: used only if there is nothing
# else.
_WORD = r'(^|[^a-z])({})($|[^a-z])'
_BESIDE_LABELS = re.compile(
    _WORD.format(
        'colou?rs?|colou?rmaps?|colou?red|rgb|human|vis|viz|visuali[sz]ations?|overlays?|instances?|inst|panoptic|'
        'depths?|disparity|edges?|boundar(y|ies)'
    )
)
_BESIDE_IMAGES = re.compile(_WORD.format('|'.join([*WORDS_BESIDE, 'depths|edge|infrared|ndvi|evi2?'])))
_SPLIT = '{split}'

# The stems of the files of a place, by its name of a split; None if it names none.
_Stems = Dict[Optional[str], List[str]]


class FolderPair(NamedTuple):
    """Folders of images and of their labels.

    images, labels: Paths below the root, with slashes; '{split}' stands for the split.
    splits: The dataset's names for 'train' and 'val'; None if it has no splits.
    num_pairs: How many images have a label.
    rule: How labels are called, if the labels of one image differ by their names.
    """

    images: str
    labels: str
    splits: Optional[Mapping[str, str]]
    num_pairs: int
    rule: NameRule = NameRule()

    def label_dir(self, root: str) -> str:
        """Returns the folder of the labels to train on."""
        return os.path.join(root, _of_split(self.labels, (self.splits or {}).get('train')))

    def templates(self) -> Tuple[str, str]:
        """Returns both places as templates of a layout, in which braces have a meaning."""
        return _as_template(self.images), _as_template(self.labels)

    def options(self, root: str) -> str:
        """Returns the options of `fcn8s check` and `fcn8s train` that name these folders."""
        words = []
        for split, prefix in (('train', '--'), ('val', '--val-')):
            if split == 'train' or split in (self.splits or {}):
                for kind, place in (('images', self.images), ('labels', self.labels)):
                    folder = _of_split(place, (self.splits or {}).get(split))
                    words += [prefix + kind, shlex.quote(os.path.join(root, folder))]
        return ' '.join(words)


def _of_split(place: str, word: Optional[str]) -> str:
    return place if word is None else place.replace(_SPLIT, word)


def _as_template(place: str) -> str:
    return _SPLIT.join(part.replace('{', '{{').replace('}', '}}') for part in place.split(_SPLIT))


def options_of(pairs: Sequence[FolderPair], root: str) -> str:
    """Returns the options that name the folders of several pairs with the same naming rule for labels."""
    return ' '.join(
        [pair.options(root) for pair in pairs] + [shlex.quote(word) for word in suffix_words(pairs[0].rule)]
    )


def ways_to_take(pairs: Sequence[FolderPair], root: str) -> List[str]:
    """Lists the options of each choice: a single pair, and pairs of different images together.

    If labels also differ by their names, only the latter: otherwise there would be too many choices.
    """
    lines = []
    rules = list(dict.fromkeys(pair.rule for pair in pairs))
    for rule in rules:
        alike = [pair for pair in pairs if pair.rule == rule]
        are_apart = len({pair.images for pair in alike}) == len({pair.labels for pair in alike}) == len(alike)
        if not are_apart or len(rules) == 1 or len(alike) == 1:
            lines += [options_of([pair], root) for pair in alike]
        if are_apart and len(alike) > 1:
            lines.append(options_of(alike, root))
    return lines


def suffix_words(rule: NameRule) -> List[str]:
    """Returns the options for the suffixes that images and labels have after their common name."""
    given = (('--image-suffix', rule.separator), ('--label-suffix', rule.suffix))
    return [word for flag, text in given if text is not None for word in option_words(flag, text)]


def option_words(flag: str, text: str) -> List[str]:
    """Returns the words of a command for an option and its value."""
    # '=', since a value that begins with a dash would be read as an option.
    return ['{}={}'.format(flag, text)] if text.startswith('-') else [flag, text]


def find_folder_pairs(
    root: str, extensions: Optional[Sequence[str]] = None
) -> Tuple[List[FolderPair], List[FolderPair]]:
    """Finds pairs of folders whose files belong together by their names, one with images and the other with labels.

    Args:
        extensions: Extensions of the images; None for the usual ones.

    Returns:
        The likely ones, most pairs first; and if there are any of these, those whose labels are renderings, instances,
        depth and the like.
    """
    folders = _files_by_folder(root, [*(extensions or IMAGE_EXTENSIONS), *LABEL_EXTENSIONS])
    places = _places(folders) if len(folders) <= _MOST_FOLDERS else {}
    if len(places) > _MOST_PLACES:
        return [], []
    roles = {place: _role([os.path.join(root, path) for path in _some_files(folders, place)]) for place in places}
    found = _fitting(places, roles)
    found.sort(key=lambda pair: (pair.splits is None, -pair.num_pairs, -_depth(pair), pair.images, pair.labels))
    chosen: List[FolderPair] = []
    for pair in found:
        if not any(_are_alike(pair, one) for one in chosen):
            chosen.append(pair)
    masks = [pair for pair in chosen if roles[pair.labels] == 'masks']
    return _first_choices([pair for pair in chosen if not _is_of_class(pair, masks) and not _is_farther(pair, chosen)])


def _fitting(places: Mapping[str, _Stems], roles: Mapping[str, str]) -> List[FolderPair]:
    """All pairs of a place of images and a place of labels whose names fit, once for each rule that fits."""
    found = []
    for images in [place for place in places if roles[place] == 'images']:
        for labels in [place for place in places if roles[place] in ('labels', 'masks')]:
            if not _are_nested(images, labels):
                for rule in _rules(places[images], places[labels]):
                    count, splits = _count(places[images], places[labels], rule)
                    if count:
                        found.append(FolderPair(images, labels, splits, count, rule))
    return found


def _are_alike(pair: FolderPair, other: FolderPair) -> bool:
    """Whether both lead to the same files, or one leads to some files of the other."""
    are_nested = _are_nested(pair.images, other.images) and _are_nested(pair.labels, other.labels)
    return are_nested and pair.rule == other.rule


def _rules(images: _Stems, labels: _Stems) -> List[NameRule]:
    """The possible rules for names of labels: the same as their images, else one rule for each kind of label."""
    word = next(iter(images))
    stems, others = images[word], labels.get(word, labels.get(None, []))
    if _num_matches(stems, others, NameRule()):
        return [NameRule()]
    return rules_of_kinds(stems, others)


def rules_of_kinds(images: Sequence[str], labels: Sequence[str]) -> List[NameRule]:
    """Returns the rule for each kind of label if images have labels of several kinds; names are without extension."""
    kinds = find_kinds(images, labels)
    if kinds is None:
        return []
    return [NameRule(kinds.image_suffix or None, suffix) for suffix in kinds.label_suffixes]


def _is_of_class(pair: FolderPair, masks: Sequence[FolderPair]) -> bool:
    """Whether labels are masks of one class, in a folder that also holds those of other classes but not the images."""
    parent = posixpath.dirname(pair.labels)
    beside = [one for one in masks if one.images == pair.images and posixpath.dirname(one.labels) == parent]
    return pair in masks and len(beside) > 1 and bool(parent) and not _are_nested(pair.images, parent)


def _is_farther(pair: FolderPair, pairs: Sequence[FolderPair]) -> bool:
    """Whether other labels of that name lie closer to the images: seq1/labels is far from seq2/images."""
    name, common = posixpath.basename(pair.labels), _common(pair)
    return any(
        one.images == pair.images and posixpath.basename(one.labels) == name and _common(one) > common for one in pairs
    )


def _common(pair: FolderPair) -> int:
    """How many folders the paths of images and labels have in common."""
    parts = zip(pair.images.split('/'), pair.labels.split('/'))
    return sum(1 for _ in itertools.takewhile(lambda names: names[0] == names[1], parts))


def _first_choices(pairs: List[FolderPair]) -> Tuple[List[FolderPair], List[FolderPair]]:
    """Pairs whose names mention only images and labels, or all pairs if there are none; and the others."""
    first = [pair for pair in pairs if not _BESIDE_IMAGES.search(pair.images.lower())] or pairs
    first = [pair for pair in first if not _BESIDE_LABELS.search(pair.labels.lower())] or first
    return first, [pair for pair in pairs if pair not in first]


def _depth(pair: FolderPair) -> int:
    return pair.images.count('/') + pair.labels.count('/')


def _are_nested(one: str, other: str) -> bool:
    return (one + '/').startswith(other + '/') or (other + '/').startswith(one + '/')


def _places(folders: Mapping[str, Sequence[str]]) -> Dict[str, _Stems]:
    """The stems of all files below each folder, with '{split}' for names of splits, without folders for tests.

    A folder that has no more files than one of its subfolders is left out.
    """
    places: Dict[str, _Stems] = {}
    for folder, names in folders.items():
        stems = [os.path.splitext(name)[0] for name in names]
        parts = folder.split('/')
        if _is_for_tests(_with_split(parts)[1]):
            continue
        for end in range(1, len(parts) + 1):
            place, word = _with_split(parts[:end])
            places.setdefault(place, {}).setdefault(word, []).extend(stems)
    sizes = {place: sum(map(len, stems.values())) for place, stems in places.items()}
    largest_in = dict.fromkeys(places, 0)
    for place, size in sizes.items():
        outer = place.rpartition('/')[0]
        largest_in[outer] = max(largest_in.get(outer, 0), size)
    return {place: stems for place, stems in places.items() if sizes[place] > largest_in[place]}


def _files_by_folder(root: str, extensions: Sequence[str]) -> Dict[str, List[str]]:
    """Names of the files that may be images or labels, by folder: paths below the root, with slashes."""
    folders: Dict[str, List[str]] = {}
    try:
        paths = find_images(root, extensions)
    except FileNotFoundError:
        return {}
    for path in paths:
        folder = os.path.relpath(os.path.dirname(path), root).replace(os.sep, '/')
        if folder != '.':
            folders.setdefault(folder, []).append(os.path.basename(path))
    beside = {folder: companions(names) for folder, names in folders.items()}
    return {folder: [name for name in names if name not in beside[folder]] for folder, names in folders.items()}


def _with_split(parts: Sequence[str]) -> Tuple[str, Optional[str]]:
    """A path in which '{split}' replaces all occurrences of the first name of a split, and that name as written."""
    for part in parts:
        for word in re.split(r'[_\-. ]', part):
            split = _split_word(word)
            if split is not None and (SPLIT_NAMES[split] != 'test' or part.startswith(word)):
                whole = re.compile(r'(?<![^/_\-. ])' + re.escape(word) + r'(?![^/_\-. ])')
                return whole.sub(_SPLIT, '/'.join(parts)), word
    return '/'.join(parts), None


def _split_word(word: str) -> Optional[str]:
    """The split that a word names, such as train for Train and train2017; None for other words."""
    name = re.sub(r'\d{4}$', '', word.lower())
    return name if name in SPLIT_NAMES else None


def _is_for_tests(word: Optional[str]) -> bool:
    return word is not None and SPLIT_NAMES[_split_word(word) or ''] == 'test'


def _count(images: _Stems, labels: _Stems, rule: NameRule) -> Tuple[int, Optional[Mapping[str, str]]]:
    """How many images have a label (0 if fewer than half of them have), and the names of train and val."""
    if None in images:
        return _num_matches(images[None], labels.get(None, []), rule), None
    splits: Dict[str, str] = {}
    count = 0
    for word, stems in images.items():
        assert word is not None
        split = SPLIT_NAMES[_split_word(word) or '']
        matches = _num_matches(stems, labels[None] if None in labels else labels.get(word, []), rule)
        if matches and split not in splits:
            splits[split] = word
            count += matches
    return (count, splits) if 'train' in splits else (0, None)


def _num_matches(images: Sequence[str], labels: Sequence[str], rule: NameRule) -> int:
    known = Counter(folded(stem) for stem in labels)
    count = _num_common((rule.label_stem(stem) for stem in images), known)
    if not count and known and rule == NameRule():
        renaming = find_renaming(images, labels)
        if renaming is not None:
            count = _num_common(map(renaming.label_stem, images), known)
    return count if 2 * count > len(images) else 0


def _num_common(wanted: Iterable[str], known: 'Counter[str]') -> int:
    """How many images find a label, where each label serves one image."""
    return sum((Counter(map(folded, wanted)) & known).values())


def _some_files(folders: Mapping[str, Sequence[str]], place: str) -> List[str]:
    """A few files of a place, from different folders and with different names."""
    within = []
    for folder in sorted(folders):
        path, word = _with_split(folder.split('/'))
        if (path + '/').startswith(place + '/') and not _is_for_tests(word):
            within.append(folder)
    chosen: List[str] = []
    for folder in within[:: -(-len(within) // _NUM_LOOKED_INTO)]:
        ordered = sorted(folders[folder], key=natural_sort_key)
        chosen += [folder + '/' + name for name in dict.fromkeys([*ordered[:2], ordered[-1]])]
    return chosen[:: -(-len(chosen) // _NUM_LOOKED_INTO)]


def _role(paths: Sequence[str]) -> str:
    """The kind of these files: 'images', 'labels', or 'masks', which are labels of two values; '' for a mixture.

    Damaged files are skipped: the check reports them.
    """
    counts = [count for count in map(_num_values, paths) if count is not None]
    if all(count > _MOST_VALUES for count in counts):
        return 'images'
    if any(count > _MOST_VALUES for count in counts):
        return ''
    return 'masks' if all(count <= 2 for count in counts) else 'labels'


def _num_values(path: str) -> Optional[int]:
    """How many values or colours a file holds; `_MANY` for files that cannot be labels; None for a damaged file."""
    if is_lossy(path):
        return _MANY
    with contextlib.suppress(ValueError, OSError):
        return len(np.unique(_sampled(read_label_file(path).values)))
    with contextlib.suppress(ValueError, OSError):
        return len(np.unique(color_codes(_sampled(read_color_labels(path, lossy=True, keep_alpha=True)))))
    with contextlib.suppress(ValueError, OSError):
        read_image(path, convert=True)
        return _MANY  # other channels or bits
    return None


def _sampled(pixels: np.ndarray) -> np.ndarray:
    """Some of the pixels, spread over the file: [N], or [N, C] for colours."""
    flat = pixels.reshape(-1, *pixels.shape[2:])
    return flat[:: max(1, len(flat) // _NUM_PIXELS)]
