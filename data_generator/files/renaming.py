"""Finds by names alone which label belongs to which image, if their names differ.

In separate folders, names differ by words that all have: 7 and 7_mask, image_7 and label_7 (`find_renaming`), or by
several words if images have several labels (`find_kinds`). In one folder, the words say which files are labels
(`labels_among`), and which were made from others and are neither images nor labels (`companions`).
"""

import os
import re
from collections import Counter
from typing import Collection, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from helpers.image_search import is_lossy

# Words in the names of labels that lie in one folder with their images.
_WORDS_OF_LABELS = (
    'mask',
    'masks',
    'label',
    'labels',
    'gt',
    'lab',
    'ids',
    'seg',
    'segmentation',
    'annotation',
    'target',
)
# The most kinds of labels that an image can have.
_MOST_KINDS = 50
#: Words in the names of pictures beside photographs that are neither photographs nor labels.
WORDS_BESIDE = ('depth', 'disparity', 'nir', 'ir', 'thermal', 'normal', 'normals', 'flow', 'edges')
# Words in the names of pictures of labels, which are labels only where no others are.
_WORDS_OF_PICTURES = ('color', 'colors', 'vis', 'instance', 'instances')
# How many of the most frequent words in the names of a folder are compared.
_NUM_WORDS = 4
# How many images, spread over all, are searched for under a new name.
_NUM_COMPARED = 500


class Renaming(NamedTuple):
    """The words before and behind the part that an image and its label share, in names without extension."""

    image_prefix: str
    image_suffix: str
    label_prefix: str
    label_suffix: str

    def label_stem(self, stem: str) -> str:
        """Returns the name of the label of an image whose name has the words of images."""
        return self.label_prefix + stem[len(self.image_prefix) : len(stem) - len(self.image_suffix)] + self.label_suffix


def find_renaming(images: Collection[str], labels: Collection[str]) -> Optional[Renaming]:
    """Finds the words by which the names of labels differ from those of their images.

    Args:
        images, labels: Names without extension.

    Returns:
        The words that give labels to the most images; None if that is at most half of them.
    """
    if not images or not labels:
        return None
    known = set(labels)
    compared = _spread(images)
    best, most = None, len(compared) // 2
    for of_labels in _words_around(sorted(known)):
        for of_images in _words_around(sorted(images)):
            renaming = Renaming(*of_images, *of_labels)
            count = sum(renaming.label_stem(stem) in known for stem in compared)
            if count > most:
                best, most = renaming, count
    return best


class Kinds(NamedTuple):
    """The words behind the name that images and labels share: one for images, and one for each kind of label."""

    image_suffix: str
    label_suffixes: List[str]


def find_kinds(images: Collection[str], labels: Collection[str]) -> Optional[Kinds]:
    """Finds the words by which several labels of each image differ: 7_rgb, and 7_ids beside 7_colors.

    Args:
        images, labels: Names without extension.

    Returns:
        None if no word gives labels to more than half of the images.
    """
    if not images or not labels:
        return None
    known = set(labels)
    compared = _spread(images)
    for image_suffix in _suffixes_in_common(images):
        shared = [stem[: len(stem) - len(image_suffix)] for stem in compared]
        found = _frequent_suffixes(shared, known)
        if all(shared) and found:
            return Kinds(image_suffix, found)
    return None


def _suffixes_in_common(stems: Collection[str]) -> List[str]:
    """The suffixes that all names share, each from a separator on, the longest first: _rgb_anon, _anon, and ''."""
    common = os.path.commonprefix([stem[::-1] for stem in stems])[::-1]
    return [common[index:] for index, letter in enumerate(common) if not letter.isalnum()] + ['']


def _frequent_suffixes(shared: Sequence[str], labels: Collection[str]) -> List[str]:
    """The words, with a separator in front, that turn most of the shared parts into names of labels."""
    first = min(shared)
    words = sorted(label[len(first) :] for label in labels if label.startswith(first))[:_MOST_KINDS]
    words = [word for word in words if word and not word[0].isalnum()]
    return [word for word in words if 2 * sum(part + word in labels for part in shared) > len(shared)]


def _spread(images: Collection[str]) -> List[str]:
    """Some of the images, in order."""
    return sorted(images)[:: max(1, len(images) // _NUM_COMPARED)]


def companions(paths: Sequence[str], are_labels_told: bool = False) -> Set[str]:
    """Finds the files that were made from photographs and lie beside them: 7_superpixels.png beside 7.jpg.

    Args:
        are_labels_told: Whether the caller said which word names of labels have, so that files with other words are
            no labels.

    Returns:
        All files that are no photographs, if each has the name of a photograph with a word behind it; none if there are
        other files, or if such a word may mean labels and `are_labels_told` is False.
    """
    photographs = {_without_extension(path) for path in paths if is_lossy(path)}
    others = [path for path in paths if not is_lossy(path)] if photographs else []
    words = set()
    for place in map(_without_extension, others):
        words_behind = [place[len(stem) :] for stem in _beginnings(place) if stem in photographs]
        if not words_behind:
            return set()
        words.add(words_behind[-1].lower())
    are_labels = any(_has_one_of(word, _WORDS_OF_LABELS) for word in words)
    return set() if are_labels and not are_labels_told else set(others)


def labels_among(paths: Sequence[str]) -> Dict[str, str]:
    """Tells labels from images in the same folder: 7.png beside 7.jpg, 7_mask.png beside 7.png or 7_sat.jpg.

    Args:
        paths: Images and labels.

    Returns:
        The label of each image that has one; empty if fewer than half of the files are in such pairs.
    """
    pairs = _called_alike(paths) or _with_a_word_behind(paths)
    if not pairs:
        pairs = max(_with_words_of_both(paths, at_end=True), _with_words_of_both(paths, at_end=False), key=len)
    num_paired = 2 * len(pairs)
    return pairs if 2 * num_paired > len(paths) else {}


def _called_alike(paths: Sequence[str]) -> Dict[str, str]:
    """Image -> label, with the same name, the label in a lossless format: 7.jpg and 7.png."""
    lossless = {_without_extension(path): path for path in paths if not is_lossy(path)}
    pairs = {path: lossless[_without_extension(path)] for path in paths if _without_extension(path) in lossless}
    return {image: label for image, label in pairs.items() if image != label}


def _with_a_word_behind(paths: Sequence[str]) -> Dict[str, str]:
    """Image -> label, with one more word at the end: 7.png and 7_mask.png.

    Words for labels are used before others, and words for pictures of labels last; of several, the most frequent one.
    """
    images = {_without_extension(path): path for path in paths}
    lossless = {_without_extension(path): path for path in paths if not is_lossy(path)}
    words = Counter(place[len(stem) :] for place in lossless for stem in _beginnings(place) if stem in images)
    telling = [word for word in sorted(words) if not _is_beside(word)]
    if not telling:
        return {}
    word = max(telling, key=lambda word: (_rank_of_word(word), words[word]))
    return {images[stem]: lossless[stem + word] for stem in images if stem + word in lossless}


def _is_beside(word: str) -> bool:
    """Whether a word says that a file is neither photograph nor label: _depth, but not _depth_mask."""
    return _has_one_of(word, WORDS_BESIDE) and not _has_one_of(word, _WORDS_OF_LABELS)


def _rank_of_word(word: str) -> int:
    is_of_picture = _has_one_of(word, _WORDS_OF_PICTURES)
    if _has_one_of(word, _WORDS_OF_LABELS):
        return 2 if is_of_picture else 3
    return 0 if is_of_picture else 1


def _has_one_of(words: str, known: Sequence[str]) -> bool:
    return any(part in known for part in re.split('[^a-z]+', words.lower()))


def _with_words_of_both(paths: Sequence[str], at_end: bool) -> Dict[str, str]:
    """Image -> label, both with a word, at the end (7_sat.jpg, 7_mask.png) or in front (image_7.png, label_7.png).

    The word of labels is one of `_WORDS_OF_LABELS`; of the frequent words, the two that give most pairs are used.
    """
    by_word = _by_word(paths, at_end)
    frequent = sorted(by_word, key=lambda word: -len(by_word[word]))[:_NUM_WORDS]
    words_of_images = [word for word in frequent if word.lower() not in _WORDS_OF_LABELS + WORDS_BESIDE]
    best: Dict[str, str] = {}
    for labels in (by_word[word] for word in frequent if word.lower() in _WORDS_OF_LABELS):
        if any(map(is_lossy, labels.values())):
            continue
        for images in (by_word[word] for word in words_of_images):
            pairs = {path: labels[rest] for rest, path in images.items() if rest in labels}
            best = max(best, pairs, key=len)
    return best


def _by_word(paths: Sequence[str], at_end: bool) -> Dict[str, Dict[str, str]]:
    """Maps the last or first word of each file name to {path without that word and extension: file}."""
    by_word: Dict[str, Dict[str, str]] = {}
    for path in paths:
        folder, name = os.path.split(_without_extension(path))
        parts = re.split(r'[_\-. ]', name)
        if len(parts) > 1:
            word, rest = (parts[-1], name[: -len(parts[-1])]) if at_end else (parts[0], name[len(parts[0]) :])
            by_word.setdefault(word, {})[os.path.join(folder, rest)] = path
    return by_word


def _without_extension(path: str) -> str:
    return os.path.splitext(path)[0]


def _beginnings(place: str) -> Iterator[str]:
    """Yields the parts of a file name before each separator, the shortest first: 7 and 7_a for 7_a_mask."""
    folder, name = os.path.split(place)
    for index, letter in enumerate(name):
        if index and not letter.isalnum():
            yield os.path.join(folder, name[:index])


def _words_around(stems: Sequence[str]) -> Iterator[Tuple[str, str]]:
    """Yields the (prefix, suffix) that all names have around a varying, non-empty part; ('', '') first."""
    shortest = min(map(len, stems))
    for prefix in _parts_in_common(os.path.commonprefix(list(stems))):
        for suffix in _parts_in_common(os.path.commonprefix([stem[::-1] for stem in stems])):
            if len(prefix) + len(suffix) < shortest:
                yield prefix, suffix[::-1]


def _parts_in_common(common: str) -> List[str]:
    """The parts of the names' common beginning that may be a word: '', up to the last separator, or up to a number.

    A number belongs to the varying part: img_10 and img_11 have img_1 in common, but the word is img_.
    """
    last = max((place + 1 for place, letter in enumerate(common) if not letter.isalnum()), default=0)
    return list(dict.fromkeys(['', common[:last], common.rstrip('0123456789')]))
