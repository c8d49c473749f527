"""Several trained networks that predict as one: the mean of their soft-max.

Networks whose trainings differ in seed or data (cross-validation) are wrong at different pixels, so their mean is right
more often than each of them.
"""

import os
from typing import Any, List, NamedTuple, Sequence

import numpy as np

from fcn8s.batches import as_image_batch
from fcn8s.saving.packed import name_of
from helpers.image_rules import ImageRules
from helpers.label_spaces import LabelSpace, is_nameless


class Member(NamedTuple):
    """What has to agree between averaged networks. name: what messages call the network."""

    name: str
    label_space: LabelSpace
    image_rules: ImageRules


def check_members(members: Sequence[Member]) -> None:
    """Raises ValueError, naming what differs, unless all members have the classes and image rules of the first."""
    first = members[0]
    for other in members[1:]:
        difference = _difference(first, other)
        if difference:
            raise ValueError(
                'networks that are averaged need the same classes and input, but {}. Leave one of the two out.'.format(
                    difference
                )
            )


def _difference(first: Member, other: Member) -> str:
    """What differs, or ''."""
    ours, theirs = first.label_space, other.label_space
    said = '{} has {{}}, and {} {{}}'.format(first.name, other.name)
    if ours.num_classes != theirs.num_classes:
        return said.format('{} classes'.format(ours.num_classes), theirs.num_classes)
    if ours.ignore_id != theirs.ignore_id:
        return said.format('the ignore ID {}'.format(ours.ignore_id), theirs.ignore_id)
    if not is_nameless(ours) and not is_nameless(theirs):
        for number, names in enumerate(zip(ours.class_names, theirs.class_names)):
            if names[0] != names[1]:
                return said.format('{!r} as class {}'.format(names[0], number), repr(names[1]))
    if ours.void_class_ids != theirs.void_class_ids:
        return said.format('the void classes {}'.format(ours.void_class_ids), theirs.void_class_ids)
    for field in ImageRules._fields:
        mine, others = getattr(first.image_rules, field), getattr(other.image_rules, field)
        if mine != others:
            return said.format('{} {!r} as a rule for images'.format(field, mine), repr(others))
    return ''


def _checked_list(models: Any) -> List[Any]:
    if not hasattr(models, '__iter__') or isinstance(models, str):
        raise ValueError(
            'models is {}; it has to be a list of open networks, [fcn8s.open_model(...), ...].'.format(
                _described(models)
            )
        )
    listed = list(models)
    if not listed:
        raise ValueError('models is empty; it has to hold one or more open networks.')
    return listed


def _described(value: Any) -> str:
    return repr(value) if isinstance(value, (str, os.PathLike)) else type(value).__name__


def common_label_space(spaces: Sequence[LabelSpace]) -> LabelSpace:
    """Returns the label space of networks that are averaged: the first that has names for the classes."""
    return next((space for space in spaces if not is_nameless(space)), spaces[0])


class Ensemble:
    """Networks, as `open_model` returns them, whose soft-max is averaged; a context manager that closes them.

    `Predictor(ensemble.predict, ensemble.num_classes, averages=True)` predicts images of any size with it.

    Attributes:
        models: The networks.
        label_space: The classes of the first network that has names for them; num_classes = C.
        image_rules: How image files become what the networks take.
        precision, engine, model_dir: Those of the networks, joined by ' + ' if they differ.
    """

    def __init__(self, models: Sequence[Any]) -> None:
        """
        Args:
            models: One or more networks, as `open_model` returns them. From here on they belong to the ensemble, and
                are closed if it cannot be made. Anything else among them stays open.

        Raises:
            ValueError: There are none, or their classes or image rules differ; the message names what does.
        """
        given = _checked_list(models)
        self.models: List[Any] = [model for model in given if hasattr(model, 'model_dir')]
        try:
            others = [_described(model) for model in given if not hasattr(model, 'model_dir')]
            if others:
                raise ValueError('models holds {}; open each network with fcn8s.open_model.'.format(', '.join(others)))
            check_members(
                [Member(name_of(model.model_dir), model.label_space, model.image_rules) for model in self.models]
            )
        except BaseException:
            self.close()
            raise
        self.label_space: LabelSpace = common_label_space([model.label_space for model in self.models])
        self.num_classes: int = self.label_space.num_classes
        self.image_rules: ImageRules = self.models[0].image_rules
        self.precision, self.engine, self.model_dir = (
            ' + '.join(dict.fromkeys(parts))
            for parts in (
                [model.precision for model in self.models],
                [model.engine for model in self.models],
                [name_of(model.model_dir) for model in self.models],
            )
        )

    def predict(self, images: Any, argmax: bool = True) -> np.ndarray:
        """Predicts images of one size.

        Args:
            images: [N, H, W, channels], RGB as a rule, or a list of images; uint8, or numbers from 0 to 255.

        Returns:
            Class IDs, uint8 [N, H, W], or with `argmax=False` the mean soft-max, float32 [N, H, W, C].

        Raises:
            ValueError: As `predict` of each network.
        """
        images = as_image_batch(images, self.image_rules.channels)
        total = self.models[0].predict(images, argmax=False)
        for model in self.models[1:]:
            total = total + model.predict(images, argmax=False)
        total = total / np.float32(len(self.models))
        return np.argmax(total, axis=-1).astype(np.uint8) if argmax else total

    def close(self) -> None:
        """Frees the networks; may be called again."""
        for model in self.models:
            model.close()

    def __enter__(self) -> 'Ensemble':
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()
