"""A picture of what training will see: original and augmented pairs, with labels laid over the images."""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from data_generator.batch_generator import BatchGenerator
from data_generator.batches.batching import Made, Sample
from helpers.color_vision import with_palette
from helpers.image_rules import shown_channels
from helpers.images import resize_image
from helpers.label_spaces import LabelSpace
from helpers.legend_drawing import add_legend
from helpers.split_views import create_split_view
from helpers.visualization_utils import print_segmentation_onto_image

#: Width of one picture of the grid, its largest height, and the space around it, in pixels.
PANEL_WIDTH = 360
MAX_PANEL_HEIGHT = 2 * PANEL_WIDTH
GAP = 6

#: Opacity of the labels.
ALPHA = 0.55


def typical_augmentation(image_size: Tuple[int, int]) -> Dict[str, Any]:
    """Returns typical transforms for training on images of (height, width), all with a high probability."""
    height, width = image_size
    return dict(
        flip=0.5,
        brightness=(0.6, 1.5, 0.7),
        color_jitter=(0.2, 0.3, 10, 0.5),
        rotate=(-8, 8, 0.5),
        translate=((0, width // 8), (0, height // 8), 0.5),
        scale=(0.7, 1.6, 0.7),
    )


def preview_grid(
    generator: BatchGenerator,
    transforms: Dict[str, Any],
    num_pairs: int = 6,
    num_augmented: int = 2,
    mean_picture: Optional[np.ndarray] = None,
    palette: str = 'dataset',
) -> np.ndarray:
    """Returns a picture with a row for each of `num_pairs` pairs, spread over the dataset, and a legend.

    A row shows the image, the image under its labels, and the pair augmented `num_augmented` times. Pixels that do not
    count show only the image.

    Args:
        generator: A dataset with labels and a label space.
        transforms: Options of `BatchGenerator.generate`.
        mean_picture: uint8 [h, w, 3]; shown in a row of its own, in the proportions of the first image, if given.
        palette: 'dataset' for the colours of the classes, or 'color-blind' for colours that everybody can tell apart.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        ValueError: The dataset has no labels or no label space; a transform is wrong; there is no such palette.
        DataError: A file cannot be used.
    """
    if not generator.has_labels or generator.label_space is None:
        raise ValueError(
            'A preview shows labels in the colours of their classes. Give a dataset with labels, and '
            'num_classes or a layout.'
        )
    label_space = with_palette(generator.label_space, palette)
    plain, augmented = generator.sample_maker({}), generator.sample_maker(transforms)
    indices = np.unique(np.linspace(0, len(generator.pairs) - 1, num_pairs).round().astype(int))
    rows, captions = [], []
    for index in indices:
        original = plain(Sample(index, index))
        drawn = [augmented(Sample(index + k * len(generator.pairs), index)) for k in range(num_augmented)]
        rows.append([shown_channels(original.image)] + [_overlay(made, label_space) for made in [original] + drawn])
        captions.append(
            [original.source.replace('\\', '/').split('/')[-1], 'labels']
            + ['augmented {}'.format(k + 1) for k in range(num_augmented)]
        )
    if mean_picture is not None:
        rows.append([resize_image(mean_picture, rows[0][0].shape[:2])])
        captions.append(['mean of all images'])
    return add_legend(_grid(rows, captions), label_space)


def _overlay(made: Made, label_space: LabelSpace) -> np.ndarray:
    assert made.label is not None  # `preview_grid` refuses datasets without labels
    return print_segmentation_onto_image(
        shown_channels(made.image), made.label, label_space, alpha=ALPHA, contours=True
    )


def _grid(rows: List[List[np.ndarray]], captions: List[List[str]]) -> np.ndarray:
    positions, sizes, top = [], [], GAP
    for row in rows:
        height, width = row[0].shape[:2]  # every row keeps the proportions of its image
        panel = (max(1, PANEL_WIDTH * height // width), PANEL_WIDTH)
        if panel[0] > MAX_PANEL_HEIGHT:
            panel = (MAX_PANEL_HEIGHT, max(1, MAX_PANEL_HEIGHT * width // height))
        positions += [(top, GAP + x * (PANEL_WIDTH + GAP)) for x in range(len(row))]
        sizes += [panel] * len(row)
        top += panel[0] + GAP
    target = (top, GAP + max(len(row) for row in rows) * (PANEL_WIDTH + GAP))
    return create_split_view(
        target,
        [image for row in rows for image in row],
        positions,
        sizes,
        [caption for row in captions for caption in row],
    )
