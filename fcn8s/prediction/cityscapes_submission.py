"""Predictions in the form that the Cityscapes evaluation server takes (https://www.cityscapes-dataset.com/submit/): a
zip of one 8-bit PNG of labelIds per image, 1024x2048, with a name that begins with `<city>_<sequence>_<frame>`."""

import os
import re
import zipfile
from typing import Iterable, List, Sequence, Set, Tuple

import numpy as np

from helpers.counted import counted, join_and_count
from helpers.files import NO_ZIP_TIME, atomic_path
from helpers.images import read_labels, read_size, write_labels
from helpers.label_spaces import LabelSpace, class_ids_to_file_ids

HEIGHT, WIDTH = 1024, 2048
_IMAGE_NAME = re.compile(r'^([^_]+_\d{6}_\d{6})_leftImg8bit\.[a-zA-Z]+$')
_SUFFIX = '_pred_labelIds.png'


def prediction_name(image_path: str) -> str:
    """Turns '.../berlin_000000_000019_leftImg8bit.png' into 'berlin_000000_000019_pred_labelIds.png'.

    Raises:
        ValueError: The image has no Cityscapes name.
    """
    match = _IMAGE_NAME.match(os.path.basename(image_path))
    if not match:
        raise ValueError(
            '{} is not named like a Cityscapes image. The evaluation server finds predictions by name: '
            '<city>_<6 digits>_<6 digits>_leftImg8bit.png.'.format(image_path)
        )
    return match.group(1) + _SUFFIX


def check_images(image_paths: Sequence[str]) -> None:
    """Checks that the server would take the predictions of images, without decoding the images.

    Args:
        image_paths: All images to predict. Unreadable files are not reported here: reading them will fail later.

    Raises:
        ValueError: There are none, one has no Cityscapes name, two have the same name, or one has another size than the
            server wants.
    """
    _expected_names(image_paths)
    wrong = []
    for path in image_paths:
        size = read_size(path)
        if size is not None and size != (HEIGHT, WIDTH):
            wrong.append('{} ({} x {})'.format(path, *size))
    if wrong:
        raise ValueError(
            'the evaluation server takes predictions of {} x {} pixels only, and {} of {} images have another size: '
            '{}. Give the images as they were downloaded.'.format(
                HEIGHT, WIDTH, len(wrong), len(image_paths), join_and_count(wrong, 3)
            )
        )


def label_ids_of(label_space: LabelSpace) -> Tuple[int, ...]:
    """Returns the labelId of each class; raises ValueError for classes that have none."""
    if label_space.file_ids is None or not label_space.name.startswith('cityscapes'):
        raise ValueError(
            'The model predicts the classes of {!r}, which have no Cityscapes labelIds. A submission '
            'needs a model of the label space cityscapes or cityscapes20.'.format(label_space.name)
        )
    return label_space.file_ids


def write_prediction(out_dir: str, image_path: str, class_ids: np.ndarray, label_space: LabelSpace) -> str:
    """Writes one prediction as a PNG of labelIds into an existing folder.

    Args:
        out_dir: Folder of the predictions.
        image_path: The image that was predicted; only its name matters.
        class_ids: Integers [1024, 2048] in the classes of `label_space`.

    Returns:
        The path of the PNG.

    Raises:
        ValueError: The server would not take the name, the size, an ID or the label space.
    """
    label_ids_of(label_space)
    path = os.path.join(out_dir, prediction_name(image_path))
    class_ids = np.asarray(class_ids)
    if class_ids.shape != (HEIGHT, WIDTH):
        raise ValueError(
            'The prediction for {} has shape {}; the server takes {} x {} only. Predict at the size of '
            'the image.'.format(image_path, class_ids.shape, HEIGHT, WIDTH)
        )
    if class_ids.min() < 0 or class_ids.max() >= label_space.num_classes:
        raise ValueError(
            'The prediction for {} holds IDs from {} to {}, but the classes of {!r} go from 0 to {}. Give '
            'class IDs; they are converted to labelIds here.'.format(
                image_path, class_ids.min(), class_ids.max(), label_space.name, label_space.num_classes - 1
            )
        )
    write_labels(path, class_ids_to_file_ids(label_space)[class_ids])
    return path


def zip_and_check(
    predictions_dir: str, image_paths: Iterable[str], zip_path: str, label_space: LabelSpace
) -> List[str]:
    """Checks the predictions as the server would and zips them.

    Args:
        predictions_dir: Folder with the PNGs of `write_prediction` and nothing else, but for hidden files.
        image_paths: All images that need a prediction.
        zip_path: Where the zip goes; an existing file is replaced once the new one is complete.

    Returns:
        The names in the zip, sorted.

    Raises:
        ValueError: A prediction is missing, there is one too many, two images have the same name, or a file is not an
            8-bit 1024x2048 map of labelIds.
    """
    label_ids = label_ids_of(label_space)
    names = _expected_names(image_paths)
    _check_names(predictions_dir, names)
    for name in names:
        _check_prediction(os.path.join(predictions_dir, name), label_ids)
    with atomic_path(zip_path) as temporary:
        _write_zip(str(temporary), predictions_dir, names)
    return names


def _expected_names(image_paths: Iterable[str]) -> List[str]:
    names = sorted(prediction_name(str(path)) for path in image_paths)
    if not names:
        raise ValueError(
            'No images to submit predictions for came; give the images of the split, for Cityscapes those '
            'of leftImg8bit/test.'
        )
    twice = [name for name, following in zip(names, names[1:]) if name == following]
    if twice:
        raise ValueError('Several images would be submitted as {}; give each image once.'.format(twice[0]))
    return names


def check_folder_of_predictions(predictions_dir: str, image_paths: Iterable[str]) -> None:
    """Raises ValueError if an existing folder holds files that are no predictions of these images.

    Hidden files are none: what file managers or killed processes leave does not get into the zip.
    """
    _check_no_other_files(predictions_dir, _found_names(predictions_dir) - set(_expected_names(image_paths)))


def _found_names(predictions_dir: str) -> Set[str]:
    return {name for name in os.listdir(predictions_dir) if not name.startswith('.')}


def _check_names(predictions_dir: str, names: Sequence[str]) -> None:
    found = _found_names(predictions_dir)
    missing = sorted(set(names) - found)
    if missing:
        raise ValueError(
            '{} of {} predictions are missing in {}, the first is {}. Predict all images of the split.'.format(
                len(missing), len(names), predictions_dir, missing[0]
            )
        )
    _check_no_other_files(predictions_dir, found - set(names))


def _check_no_other_files(predictions_dir: str, extra: Set[str]) -> None:
    if extra:
        raise ValueError(
            '{} holds {} of no image, the first is {}. The server refuses or misreads them. Move them away, or predict '
            'into an empty folder.'.format(predictions_dir, counted(len(extra), 'file'), min(extra))
        )


def _check_prediction(path: str, label_ids: Sequence[int]) -> None:
    labels = read_labels(path)
    if labels.dtype != np.uint8 or labels.shape != (HEIGHT, WIDTH):
        raise ValueError(
            '{} holds {} of shape {}; the server takes 8-bit maps of {} x {}. Predict it again.'.format(
                path, labels.dtype, labels.shape, HEIGHT, WIDTH
            )
        )
    wrong = np.setdiff1d(np.unique(labels), label_ids)
    if wrong.size:
        raise ValueError(
            '{} holds the IDs {}, which are not labelIds of the classes ({}). Write labelIds, not train '
            'IDs: with write_prediction.'.format(path, wrong.tolist(), sorted(label_ids))
        )


def _write_zip(zip_path: str, predictions_dir: str, names: Sequence[str]) -> None:
    # PNGs are compressed already: storing them is as small and much faster.
    with zipfile.ZipFile(zip_path, 'w', zipfile.ZIP_STORED) as archive:
        for name in names:
            with open(os.path.join(predictions_dir, name), 'rb') as file:
                archive.writestr(zipfile.ZipInfo(name, NO_ZIP_TIME), file.read())
