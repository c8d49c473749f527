"""Writes the images and labels of a dataset from annotations."""

import os
import shutil
from typing import Dict, Optional

import numpy as np

from data_generator.annotations.classes import Classes
from data_generator.annotations.painting import paint
from data_generator.annotations.planning import PlannedImage
from data_generator.annotations.shapes import LeftOut
from data_generator.files.counting import parts_to_count
from helpers.files import SPACE_REMEDIES
from helpers.images import write_labels


class DatasetWriter:
    """Writes images and labels below a root; counts images per split and pixels per class, void last."""

    def __init__(
        self, root: str, final_root: str, classes: Classes, order: str, copy_images: bool, left_out: LeftOut
    ) -> None:
        self._root = root
        self._final_root = final_root
        self._classes = classes
        self._order = order
        self._copy_images = copy_images
        self._left_out = left_out
        self.counts: Dict[str, int] = {}
        self.pixels = np.zeros(classes.label_space.num_classes + 1, np.int64)

    def write(self, item: PlannedImage, split: str, name: str) -> None:
        image = item.record.read()
        class_id_of = self._classes.finder(self._left_out, image.place)
        try:
            label = paint(
                image, item.frame, item.orientation, class_id_of, self._classes.rest, self._order, self._left_out
            )
        except ValueError as error:
            self._left_out.add('images that cannot be used: {}'.format(error), image.place)
            return
        if (label == self._classes.label_space.ignore_id).all():
            self._left_out.add('images in which everything is void', image.place)
            return
        write_labels(os.path.join(self._root, 'labels', split, os.path.splitext(name)[0] + '.png'), label)
        self._place_image(os.path.join('images', split, name), item.image, image.content)
        counts = np.sum([np.bincount(part.ravel(), minlength=256) for part in parts_to_count(label)], axis=0)
        num_classes = self._classes.label_space.num_classes
        self.pixels += np.append(counts[:num_classes], counts[num_classes:].sum())
        self.counts[split] = self.counts.get(split, 0) + 1

    def _place_image(self, name: str, source: Optional[str], content: Optional[bytes]) -> None:
        target = os.path.join(self._root, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if source is None:
            assert content is not None
            with open(target, 'wb') as file:
                file.write(content)
        elif self._copy_images:
            shutil.copyfile(source, target)
        else:
            # Relative to the final place of the link, so that source and dataset may be moved together.
            here = os.path.dirname(os.path.join(self._final_root, name))
            _link(os.path.relpath(os.path.realpath(source), here), target)


def _link(source: str, target: str) -> None:
    """Makes a symbolic link. Raises OSError, saying what to do, where none can be made."""
    try:
        os.symlink(source, target)
    except OSError as error:
        if error.errno in SPACE_REMEDIES:
            raise
        raise OSError(
            'links to images cannot be made there, as on FAT, exFAT and some network drives ({}). Add --copy '
            '(in Python copy_images=True), or choose another directory.'.format(error.strerror)
        ) from error
