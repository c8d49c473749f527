"""Labels that are called like their images but for words that all names have: 7 and 7_mask, image_7 and label_7."""

import os
from typing import Collection, Iterator, List, NamedTuple, Optional, Sequence, Tuple

# By so many images, spread over all, it is told what the names have in common.
_NUM_COMPARED = 500


class Renaming(NamedTuple):
    """What stands before and behind the part that an image and its label share, in names without extension."""

    image_prefix: str
    image_suffix: str
    label_prefix: str
    label_suffix: str

    def label_stem(self, stem: str) -> str:
        """The name of the label of an image that has the words of images."""
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
