"""The kinds of results of a prediction, in one table: names of files, flags of `fcn8s predict`, and what writes them.

The command line reads the table before it knows what is asked for, so modules that open images are imported only where
they are needed.
"""

import functools
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional

import numpy as np

from helpers.files import atomic_path
from helpers.label_spaces import LabelSpace


class Result(NamedTuple):
    """What is known about an image when its results are written.

    image: uint8 [H, W, C]. prediction: see `fcn8s.prediction.result_files.ResultFiles.predict`. draw: (image, class
    IDs) -> overlay. painted: the classes with the colours of drawings. id_map: from class IDs to those that are
    written, uint8 [256].
    """

    image: np.ndarray
    prediction: Dict[str, Any]
    draw: Callable[[np.ndarray, np.ndarray], np.ndarray]
    painted: LabelSpace
    id_map: np.ndarray


class ResultKind(NamedTuple):
    """A kind of results.

    suffix: of its files. write: (path, result) writes one. title: what it is, the help of the flag. flag: the option
    that asks for it; None where it comes with --samples. flag_options: keywords of the flag, for argparse.
    """

    suffix: str
    write: Callable[[str, Result], None]
    title: str
    flag: Optional[str] = None
    flag_options: Mapping[str, Any] = {'action': 'store_true'}


def _write_overlay(path: str, result: Result) -> None:
    from helpers.images import write_image

    write_image(path, result.draw(result.image, result.prediction['class_ids']))


def _write_color(path: str, result: Result) -> None:
    from helpers.images import write_image
    from helpers.visualization_utils import colorize

    write_image(path, colorize(result.prediction['class_ids'], result.painted))


def _write_ids(path: str, result: Result) -> None:
    from helpers.images import write_labels

    write_labels(path, result.id_map[result.prediction['class_ids']])


def _write_softmax(path: str, result: Result) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, softmax=result.prediction['softmax'])


def _write_doubt(path: str, result: Result) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **result.prediction['doubt']._asdict())


def _write_share(field: str, path: str, result: Result) -> None:
    """Writes a field of the doubt as grey values: 0 for no doubt, 255 for ln C, with C classes."""
    from helpers.images import write_labels

    share = getattr(result.prediction['doubt'], field) / np.log(result.painted.num_classes)
    write_labels(path, np.clip(np.rint(255 * share), 0, 255).astype(np.uint8))


# In the order in which they are written.
RESULT_KINDS: Dict[str, ResultKind] = {
    'overlay': ResultKind(
        '_overlay.png', _write_overlay, 'the colours over the image (default, if nothing is asked for)', '--overlay'
    ),
    'color': ResultKind('_color.png', _write_color, 'the colours alone; void is black', '--color'),
    'ids': ResultKind(
        '_ids.png',
        _write_ids,
        "IDs as an 8-bit PNG: class (the network's, default: *_ids.png), dataset (those of the dataset's "
        "own files, labelIds for Cityscapes: *_dataset_ids.png) or train (Cityscapes' train IDs, void is 255: "
        '*_train_ids.png)',
        '--ids',
        {'nargs': '?', 'const': 'class', 'metavar': 'WHICH'},
    ),
    'softmax': ResultKind(
        '_softmax.npz', _write_softmax, 'the soft-max, float32 [H, W, C], as compressed NumPy file', '--softmax'
    ),
    'doubt': ResultKind('_doubt.npz', _write_doubt, 'entropy and mutual information in nats'),
    'entropy': ResultKind('_entropy.png', functools.partial(_write_share, 'entropy'), 'the entropy as grey values'),
    'mutual_information': ResultKind(
        '_mutual_information.png',
        functools.partial(_write_share, 'mutual_information'),
        'the mutual information as grey values',
    ),
}
KINDS = tuple(RESULT_KINDS)
FLAGGED_KINDS = tuple(kind for kind, result in RESULT_KINDS.items() if result.flag is not None)
DOUBT_KINDS = tuple(kind for kind in KINDS if kind not in FLAGGED_KINDS)
