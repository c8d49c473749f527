"""Labels that are called like their images but for words that all names have: 7 and 7_mask, image_7 and label_7; and
labels that lie in one folder with their images.
"""

import os
import re
from collections import Counter
from typing import Collection, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from helpers.image_search import LOSSY_EXTENSIONS

# What labels are called that lie beside images in a format without loss.
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
# An image has no more kinds of labels.
_MOST_KINDS = 50
#: What is called so beside photographs is none.
WORDS_BESIDE = ('depth', 'disparity', 'nir', 'ir', 'thermal', 'normal', 'normals', 'flow', 'edges')
# Of the words that many names in a folder have, so many are compared.
_NUM_WORDS = 4
# By so many images, spread over all, it is told what the names have in common.
_NUM_COMPARED = 500


class Renaming(NamedTuple):
    """What stands before and behind the part that an image and its label share, in names without extension."""

    image_prefix: str
    image_suffix: str
    label_prefix: str
    label_suffix: str

    def label_stem(self, stem: str) -> str:
        """Returns the name of the label of an image that has the words of images."""
        return self.label_prefix + stem[len(self.image_prefix) : len(stem) - len(self.image_suffix)] + self.label_suffix


def find_renaming(images: Collection[str], labels: Collection[str]) -> Optional[Renaming]:
    """Finds the words by which the names of labels differ from those of their images.

    Args:
        images, labels: Names without extension.

    Returns:
        The words that give labels to the most images; None where that is half of them or fewer.
    """
    if not images or not labels:
        return None
    known = set(labels)
    compared = sorted(images)[:: max(1, len(images) // _NUM_COMPARED)]
    best, most = None, len(compared) // 2
    for of_labels in _words_around(sorted(known)):
        for of_images in _words_around(sorted(images)):
            renaming = Renaming(*of_images, *of_labels)
            count = sum(renaming.label_stem(stem) in known for stem in compared)
            if count > most:
                best, most = renaming, count
    return best


class Kinds(NamedTuple):
    """What stands behind the name that images and labels share: a word for images, and one for each kind of label."""

    image_suffix: str
    label_suffixes: List[str]


def find_kinds(images: Collection[str], labels: Collection[str]) -> Optional[Kinds]:
    """Finds the words by which several labels of each image differ: 7_rgb, and 7_ids beside 7_colors.

    Args:
        images, labels: Names without extension.

    Returns:
        None where no word gives labels to more than half of the images.
    """
    if not images or not labels:
        return None
    known = set(labels)
    compared = sorted(images)[:: max(1, len(images) // _NUM_COMPARED)]
    common = os.path.commonprefix([stem[::-1] for stem in images])[::-1]
    starts = [index for index, letter in enumerate(common) if not letter.isalnum()]
    for image_suffix in [common[start:] for start in starts] + ['']:
        rests = [stem[: len(stem) - len(image_suffix)] for stem in compared]
        first = min(rests)
        words = [stem[len(first) :] for stem in known if stem.startswith(first)]
        counts = {
            word: sum(rest + word in known for rest in rests)
            for word in sorted(words)[:_MOST_KINDS]
            if word and not word[0].isalnum()
        }
        found = [word for word, count in counts.items() if 2 * count > len(compared)]
        if all(rests) and found:
            return Kinds(image_suffix, found)
    return None


def companions(paths: Sequence[str], are_labels_told: bool = False) -> Set[str]:
    """Finds the files that were made of photographs and lie beside them: 7_superpixels.png beside 7.jpg.

    Args:
        are_labels_told: Whether the caller said by which word labels are called, so that files of others are none.

    Returns:
        All files that are no photographs, if each is called like one of these with a word behind; none where there are
        others, or such a word stands for labels that were not told.
    """
    photographs = {os.path.splitext(path)[0] for path in paths if path.lower().endswith(LOSSY_EXTENSIONS)}
    others = [path for path in paths if not path.lower().endswith(LOSSY_EXTENSIONS)] if photographs else []
    words = set()
    for place in (os.path.splitext(path)[0] for path in others):
        found = [place[len(stem) :] for stem in _shorter(place) if stem in photographs]
        if not found:
            return set()
        words.add(found[-1].lower())
    are_labels = any(part in _WORDS_OF_LABELS for word in words for part in re.split('[^a-z]+', word))
    return set() if are_labels and not are_labels_told else set(others)


def labels_among(paths: Sequence[str]) -> Dict[str, str]:
    """Tells labels from images that lie beside them: 7.png beside 7.jpg, 7_mask.png beside 7.png or 7_sat.jpg.

    Args:
        paths: Images and labels.

    Returns:
        The label of each image that has one; empty where fewer than half of the files are such pairs.
    """
    places = {os.path.splitext(path)[0]: path for path in paths if not path.lower().endswith(LOSSY_EXTENSIONS)}
    pairs = {path: places[os.path.splitext(path)[0]] for path in paths if os.path.splitext(path)[0] in places}
    pairs = {image: label for image, label in pairs.items() if image != label}
    if not pairs:
        stems = {os.path.splitext(path)[0]: path for path in paths}
        words = Counter(place[len(stem) :] for place in places for stem in _shorter(place) if stem in stems)
        if words:
            ((word, _),) = words.most_common(1)
            pairs = {stems[stem]: places[stem + word] for stem in stems if stem + word in places}
    pairs = pairs or max((_by_words(paths, at_end) for at_end in (True, False)), key=len)
    return pairs if 4 * len(pairs) > len(paths) else {}


def _by_words(paths: Sequence[str], at_end: bool) -> Dict[str, str]:
    """Pairs of which both have a word, at the end (7_sat.jpg, 7_mask.png) or in front (image_7.png, label_7.png)."""
    by_word: Dict[str, Dict[str, str]] = {}
    for path in paths:
        folder, name = os.path.split(os.path.splitext(path)[0])
        parts = re.split(r'[_\-. ]', name)
        if len(parts) > 1:
            word, rest = (parts[-1], name[: -len(parts[-1])]) if at_end else (parts[0], name[len(parts[0]) :])
            by_word.setdefault(word, {})[os.path.join(folder, rest)] = path
    frequent = sorted(by_word, key=lambda word: -len(by_word[word]))[:_NUM_WORDS]
    photographs = [word for word in frequent if word.lower() not in _WORDS_OF_LABELS + WORDS_BESIDE]
    best: Dict[str, str] = {}
    for labels in (by_word[word] for word in frequent if word.lower() in _WORDS_OF_LABELS):
        if any(path.lower().endswith(LOSSY_EXTENSIONS) for path in labels.values()):
            continue
        for images in (by_word[word] for word in photographs):
            pairs = {path: labels[rest] for rest, path in images.items() if rest in labels}
            best = max(best, pairs, key=len)
    return best


def _shorter(place: str) -> Iterator[str]:
    """What stands before each separator in a file name."""
    folder, name = os.path.split(place)
    for index, letter in enumerate(name):
        if index and not letter.isalnum():
            yield os.path.join(folder, name[:index])


def _words_around(stems: Sequence[str]) -> Iterator[Tuple[str, str]]:
    """What may stand before and behind the changing part of all names, which is never empty; nothing first."""
    shortest = min(map(len, stems))
    for prefix in _ends(os.path.commonprefix(list(stems))):
        for suffix in _ends(os.path.commonprefix([stem[::-1] for stem in stems])):
            if len(prefix) + len(suffix) < shortest:
                yield prefix, suffix[::-1]


def _ends(common: str) -> List[str]:
    """Nothing, and what names have in common up to a separator or a number, which belongs to the changing part."""
    last = max((place + 1 for place, letter in enumerate(common) if not letter.isalnum()), default=0)
    return list(dict.fromkeys(['', common[:last], common.rstrip('0123456789')]))
