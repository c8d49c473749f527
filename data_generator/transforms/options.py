"""The options of the transforms, checked before any file is read: each on its own, then their combination."""

from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple

from data_generator.transforms import values
from data_generator.transforms.augmentations import AUGMENTATIONS, MOVES
from helpers.ground_truth import IdMap

#: Transforms without randomness: name -> function of (name, value) that checks the option.
_PREPARATIONS: Dict[str, Callable[[str, Any], Any]] = {
    'convert_colors_to_ids': values.color_map,
    'convert_ids_to_ids': values.id_map,
    'crop': values.margins,
    'resize': values.size,
    'resize_labels': values.boolean,
}

#: Their values if they are not given; all others are off.
_DEFAULTS = {'resize_labels': True}

#: The names of all options that change a pair.
TRANSFORM_NAMES = tuple(_PREPARATIONS) + tuple(AUGMENTATIONS) + ('void_class_id', 'pad_value')


class TransformOptions(NamedTuple):
    """Checked options; None means off. Units and ranges are those of `transforms.pipeline.build_pipeline`.

    `augmentations` has an entry for each name in `AUGMENTATIONS`.
    """

    convert_colors_to_ids: Optional[Mapping[Tuple[int, int, int], int]]
    convert_ids_to_ids: Optional[IdMap]
    crop: Optional[Tuple[int, int, int, int]]
    resize: Optional[Tuple[int, int]]
    resize_labels: bool
    augmentations: Dict[str, Any]
    ignore_id: int
    pad_id: int
    pad_value: Tuple[int, ...]

    @property
    def output_size(self) -> Optional[Tuple[int, int]]:
        """(height, width) of every output image; None if it depends on the size of the input."""
        random_crop = self.augmentations['random_crop']
        if self.resize is not None or random_crop is None:
            return self.resize
        top, bottom, left, right = self.crop or (0, 0, 0, 0)
        return random_crop[0] - top - bottom, random_crop[1] - left - right


def check_options(
    transforms: Mapping[str, Any],
    ignore_id: Any,
    num_classes: Optional[int],
    has_labels: bool,
    spell: Callable[[str], str] = str,
) -> TransformOptions:
    """Checks all options of `transforms.pipeline.build_pipeline`, each on its own, then their combination.

    spell: How messages call the options. Names that begin with -- get remedies as they are typed.

    Raises:
        ValueError: An option is wrong, or two cannot be combined.
    """
    ignore_id = values.label_id('ignore_id', ignore_id, 'ignore_id=255')

    def given(name: str) -> Any:
        return transforms.get(name, _DEFAULTS.get(name, False))

    prepared: Dict[str, Any] = {name: check(spell(name), given(name)) for name, check in _PREPARATIONS.items()}
    options = TransformOptions(
        augmentations={name: entry.check(spell(name), given(name)) for name, entry in AUGMENTATIONS.items()},
        ignore_id=ignore_id,
        pad_id=values.pad_id(transforms.get('void_class_id'), ignore_id, num_classes),
        pad_value=values.pad_value(transforms.get('pad_value')),
        **prepared,
    )
    _check_together(options, has_labels)
    if not has_labels and transforms.get('void_class_id') is not None:
        raise ValueError(
            'void_class_id is {}; it is what padding gets in labels, and this dataset has none. Leave it out, or name '
            'the directories of the labels.'.format(transforms['void_class_id'])
        )
    return options


def _check_together(options: TransformOptions, has_labels: bool) -> None:
    _check_sizes_together(options)
    augmentations = options.augmentations
    for name, entry in AUGMENTATIONS.items():
        if augmentations[name] is not None and entry.belongs_to and augmentations[entry.belongs_to] is None:
            raise ValueError(
                '{} is {!r}; it belongs to random crops, and {} is off. Add {}=(height, width).'.format(
                    name, augmentations[name], entry.belongs_to, entry.belongs_to
                )
            )
    if not options.resize_labels:
        _check_labels_may_keep_their_size(options)
    if not has_labels:
        _check_needs_no_labels(options)


def _check_sizes_together(options: TransformOptions) -> None:
    random_crop, translate = options.augmentations['random_crop'], options.augmentations['translate']
    if random_crop is not None and options.crop is not None:
        (height, width), (top, bottom, left, right) = random_crop, options.crop
        if top + bottom >= height or left + right >= width:
            raise ValueError(
                'crop is {}; it cuts away all of random_crop={}. Cut off less than {} rows and {} columns.'.format(
                    options.crop, random_crop, height, width
                )
            )
    if translate is not None and options.output_size is not None:
        height, width = options.output_size
        across, down = (max(abs(pixels) for pixels in shift) for shift in translate[:2])
        if across >= width or down >= height:
            raise ValueError(
                'translate is {}; it can shift the whole image of {}x{} (height x width) out of sight. Shift by '
                'less than {} pixels across and {} down.'.format(translate, height, width, width, height)
            )


def _check_labels_may_keep_their_size(options: TransformOptions) -> None:
    for name, entry in AUGMENTATIONS.items():
        if entry.labels == MOVES and options.augmentations[name] is not None:
            raise ValueError(
                '{} is {!r}; it moves pixels of the resized image, and with resize_labels=False the labels have '
                'another size. Write {}=False, or resize_labels=True.'.format(name, options.augmentations[name], name)
            )


def _check_needs_no_labels(options: TransformOptions) -> None:
    given = dict(options._asdict(), **options.augmentations)
    for name in ('convert_colors_to_ids', 'convert_ids_to_ids', 'max_class_share', 'crop_on_classes'):
        if given[name] is not None:
            raise ValueError(
                '{} is for labels, and this dataset has none. Write {}=False, or name the directories of '
                'the labels.'.format(name, name)
            )
