"""Turns a user's arrays into what the graph is fed: checked, and uint8 wherever possible."""

import itertools
from typing import Any, Callable, Iterator, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

from helpers.counted import counted
from helpers.flags import check_flags, unmasked
from helpers.label_spaces import LabelSpace, checked_label_space, is_nameless
from helpers.user_warnings import warn_user

# How many images one run of the session predicts, so that a long list does not need memory for all at once.
PREDICTION_CHUNK = 8


def as_image_batch(images: Union[np.ndarray, Sequence[np.ndarray]], channels: int = 3) -> np.ndarray:
    """Returns a batch [N, H, W, channels] from an array or a list of images of one size: uint8, or float32 from 0 to
    255.

    Raises ValueError for another rank, other channels, images of different sizes, or values out of range.
    """
    if isinstance(images, tuple) and [getattr(part, 'ndim', 0) for part in images] in ([4, 3], [4, 4]):
        raise ValueError('images are (images, labels). Pass the images alone: predict(images).')
    if not isinstance(images, np.ndarray):
        images = _as_list(images)
        shapes = sorted({np.shape(image) for image in images})
        if len(shapes) > 1:
            raise ValueError(
                'the images have different shapes: {}. Predict them one by one, or bring them to one size.'.format(
                    ', '.join(str(shape) for shape in shapes[:4])
                )
            )
        images = [unmasked('image', image, 0) for image in images]
        images = np.stack(images) if images else np.zeros([0, 1, 1, channels], np.uint8)
    images = unmasked('images', images, 0)
    if images.dtype.kind not in 'iuf':
        read = ' Read files with helpers.images.read_image.' if images.dtype.kind in 'OSU' else ''
        raise ValueError(
            'images have the dtype {}; expected uint8, or numbers from 0 to 255.{}'.format(images.dtype, read)
        )
    if images.ndim != 4 or images.shape[-1] != channels:
        raise ValueError(
            'images have the shape {}; expected [N, H, W, {}]{}. {}'.format(
                images.shape, channels, ', RGB' * (channels == 3), _shape_hint(images, channels)
            )
        )
    if 0 in images.shape[1:]:
        raise ValueError('images have the shape {}; height and width have to be at least 1.'.format(images.shape))
    if images.dtype == np.uint8:
        return images
    return _as_float_images(images)


def as_evaluation_batch(
    images: Any, labels: Any, channels: int, label_space: LabelSpace
) -> Tuple[np.ndarray, np.ndarray]:
    """Returns the images and the labels of a batch, as `as_image_batch` and `as_label_batch` do.

    Raises ValueError where they do, and for a batch without an image.
    """
    images = as_image_batch(images, channels)
    if not len(images):
        raise ValueError('a batch holds no image; leave empty batches out.')
    return images, as_label_batch(labels, label_space, len(images))


def _as_list(images: Any) -> Sequence[Any]:
    try:
        iterator = iter(images)
    except TypeError:
        raise ValueError(
            'images are of the type {}; expected an array [N, H, W, channels] or a list of arrays. Pass a single '
            'image as [image], and read files with helpers.images.read_image.'.format(type(images).__name__)
        ) from None
    first = list(itertools.islice(iterator, 1)) if hasattr(images, '__next__') else []
    if first and (isinstance(first[0], tuple) or np.ndim(first[0]) == 4):  # it may never end
        raise ValueError(
            'images are a {}, which gives batches. Pass the images of one: images, labels = next(batches).'.format(
                type(images).__name__
            )
        )
    return first + list(iterator)


def _shape_hint(images: np.ndarray, channels: int) -> str:
    if images.ndim == 3 and images.shape[-1] == channels:
        return 'Pass a single image as [image].'
    if images.ndim == 4 and images.shape[1] == channels:
        return 'Put the channels last: images.transpose(0, 2, 3, 1).'
    if channels != 3:
        return 'Read images with helpers.images.read_image and the rules of the network (settings.image_rules).'
    if images.shape and images.shape[-1] in (1, 4):
        return 'Turn grey or RGBA images into RGB first (helpers.images.read_image does with convert=True).'
    return 'Read images with helpers.images.read_image.'


def _as_float_images(images: np.ndarray) -> np.ndarray:
    if images.size and not (images.min() >= 0 and images.max() <= 255):
        remedy = 'Pass the image as it was read.'
        if images.dtype.kind == 'u':
            remedy = 'Bring images of more than 8 bits to 8 (helpers.images.read_image does).'
        raise ValueError(
            'image values go from {} to {}; the network expects RGB from 0 to 255 and subtracts the mean '
            'itself. {}'.format(images.min(), images.max(), remedy)
        )
    if images.dtype.kind == 'f' and images.size and 0 < images.max() <= 1:
        raise ValueError(
            'image values go from {:g} to {:g}; the network expects RGB from 0 to 255. Multiply by 255.'.format(
                float(images.min()), float(images.max())
            )
        )
    return images.astype(np.float32)


def as_iterator(batches: Any) -> Iterator[Any]:
    """Returns an iterator over batches. One that has `__next__` and no `__iter__` serves as well."""
    if hasattr(batches, '__next__'):
        return batches
    try:
        return iter(batches)
    except TypeError:
        raise ValueError(
            'the batches are {!r}; they have to be an iterator of (images, labels), such as BatchGenerator(...).'
            'generate(batch_size=4).{}'.format(type(batches).__name__, how_to_iterate(batches, 'batches'))
        ) from None


def how_to_iterate(batches: Any, name: str) -> str:
    """Returns a sentence that says how to make an iterator of `batches`, or ''. name: the argument's name."""
    if hasattr(batches, '__iter__') or hasattr(batches, '__getitem__'):
        return (
            ' Pass iter({0}) of one that never ends; one that ends is repeated by a generator of your own: '
            'def forever(): while True: yield from {0}.'.format(name)
        )
    return ' It is a function: call it.' if callable(batches) else ''


def warn_of_repeated_images(batches: Any, num_batches: int) -> None:
    """Warns when one pass over shuffled data is evaluated: images that fill up its last batch are counted twice."""
    known: List[Any] = [getattr(batches, name, None) for name in ('num_batches', 'batch_size', 'num_images')]
    if not getattr(batches, 'shuffles', False) or None in known or num_batches != known[0]:
        return
    _, size, num_images = known
    repeated = num_batches * size - num_images
    if repeated > 0:
        warn_user(
            'the evaluation of {} of {} takes {} into account twice, because the data are shuffled and so every batch '
            'is full. Evaluate generate(..., shuffle=False), whose last batch of a pass is short.'.format(
                counted(num_batches, 'batch'), counted(size, 'image'), counted(repeated, 'image')
            )
        )


def as_pair(batch: Any) -> Tuple[Any, Any]:
    """Returns the (images, labels) that a generator yielded; raises ValueError if it yielded anything else."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        what = 'a {} of {}'.format(type(batch).__name__, len(batch)) if hasattr(batch, '__len__') else repr(batch)
        raise ValueError(
            'a batch is {}; it has to be (images, labels). A BatchGenerator gives both when it knows '
            'ground_truth_dirs.'.format(what)
        )
    return batch[0], batch[1]


def as_label_batch(labels: np.ndarray, label_space: LabelSpace, num_images: int) -> np.ndarray:
    """Returns uint8 labels, [N, H, W] class IDs or one-hot [N, H, W, C], from what a generator yielded.

    Raises ValueError naming the IDs that are neither a class nor the ignore ID.
    """
    labels = unmasked('labels', labels, label_space.ignore_id)
    classes = label_space.num_classes
    if labels.ndim not in (3, 4) or len(labels) != num_images or (labels.ndim == 4 and labels.shape[-1] != classes):
        raise ValueError(
            'labels have the shape {} for {}; expected class IDs [N, H, W] or one-hot [N, H, W, {}].'.format(
                labels.shape, counted(num_images, 'image'), classes
            )
        )
    if labels.ndim == 4:
        return _as_one_hot(labels)
    _check_ids(labels, label_space)
    return labels.astype(np.uint8, copy=False)


def _as_one_hot(labels: np.ndarray) -> np.ndarray:
    channels = labels.astype(np.uint8, copy=False)
    is_changed = channels is not labels and bool((channels != labels).any())
    if is_changed or channels.max(initial=0) > 1 or channels.sum(axis=-1, dtype=np.uint16).max(initial=0) > 1:
        raise ValueError(
            'labels [N, H, W, C] have to be one-hot: one 1 a pixel and else 0 (all 0 where a pixel is ignored). These '
            'go from {} to {}, with up to {:g} in a pixel. Pass class IDs [N, H, W], which take a tenth of the '
            'memory, too.'.format(labels.min(), labels.max(), float(labels.sum(axis=-1, dtype=np.float64).max()))
        )
    return channels


def class_ids_of(labels: np.ndarray, ignore_id: int) -> np.ndarray:
    """Returns the class IDs [...] of one-hot labels [..., C]; pixels that are 0 in every class get `ignore_id`."""
    return np.where(labels.any(axis=-1), labels.argmax(axis=-1), ignore_id)


def _check_ids(labels: np.ndarray, label_space: LabelSpace) -> None:
    if labels.dtype == np.uint8:
        present = np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256))
    else:
        present = np.unique(labels)
    # `in range` also rejects values between two IDs, as in labels that were resized like images.
    classes = range(label_space.num_classes)
    wrong = [value for value in present.tolist() if value not in classes and value != label_space.ignore_id]
    if wrong:
        raise ValueError(
            'labels hold the IDs {}, but the network has the classes 0 to {} and ignores {}. Convert the labels '
            'with convert_ids_to_ids (for raw Cityscapes labelIds: layout="cityscapes"), or build the network '
            'with another num_classes.'.format(wrong[:12], label_space.num_classes - 1, label_space.ignore_id)
        )


def check_same_classes(model: LabelSpace, data: Any) -> LabelSpace:
    """Returns the label space of a network on a dataset, with the names of the dataset where the network has none.

    data: the generator's `label_space`, or None if it has none. Raises ValueError where the two contradict each other,
    or one is no label space.
    """
    model = checked_label_space(model)
    if data is None:
        return model
    data = checked_label_space(data)
    if data.num_classes != model.num_classes or data.ignore_id != model.ignore_id:
        raise ValueError(
            'the data are labelled in {!r} ({} classes, ignoring {}), but the network was built for {!r} ({} '
            'classes, ignoring {}). Build the network with label_space=generator.label_space.'.format(
                data.name, data.num_classes, data.ignore_id, model.name, model.num_classes, model.ignore_id
            )
        )
    if is_nameless(model):
        return data
    if not is_nameless(data) and data.class_names != model.class_names:
        different = [i for i, names in enumerate(zip(model.class_names, data.class_names)) if names[0] != names[1]][0]
        raise ValueError(
            'the data are labelled in {!r} and the network in {!r}: class {} is {!r} in the data and {!r} in the '
            'network. Use the layout that the network was trained with, or fine_tune_from for new classes.'.format(
                data.name, model.name, different, data.class_names[different], model.class_names[different]
            )
        )
    return model


class PredictionTensors(NamedTuple):
    """What a prediction feeds and fetches.

    images_uint8: uint8 [N, H, W, channels]; image_input: the same in float32, 0 to 255. One of the two is fed.
    class_ids: uint8 [N, H, W]. probabilities: float32 [N, H, W, C].
    """

    images_uint8: Any
    image_input: Any
    class_ids: Any
    probabilities: Any


def predict_in_chunks(
    run: Callable[[Any, Any], np.ndarray],
    tensors: PredictionTensors,
    images: Union[np.ndarray, Sequence[np.ndarray]],
    num_classes: int,
    argmax: bool,
) -> np.ndarray:
    """Predicts images of one size, a few at a time; an empty list gives an empty result.

    Args:
        run: `session.run` of an open network.
        images: [N, H, W, channels], RGB as a rule, or a list of images; uint8, or numbers from 0 to 255.

    Returns:
        Class IDs, uint8 [N, H, W], or with argmax=False the soft-max, float32 [N, H, W, C].

    Raises:
        ValueError: as `as_image_batch`.
    """
    check_flags(argmax=argmax)
    images = as_image_batch(images, int(tensors.images_uint8.shape[-1]))
    if not len(images):
        shape = images.shape[:3] + (() if argmax else (num_classes,))
        return np.zeros(shape, np.uint8 if argmax else np.float32)
    # The uint8 placeholder would truncate other numbers: images from 0 to 1 would become black.
    placeholder = tensors.images_uint8 if images.dtype == np.uint8 else tensors.image_input
    fetch = tensors.class_ids if argmax else tensors.probabilities
    starts = range(0, len(images), PREDICTION_CHUNK)
    parts = [run(fetch, {placeholder: images[start : start + PREDICTION_CHUNK]}) for start in starts]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
