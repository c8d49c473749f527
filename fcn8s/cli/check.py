"""`fcn8s check`: reads a whole dataset and says what it is, what is wrong with it, and how to train on it."""

import argparse
import json
import shlex
import sys
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from fcn8s.cli.options import labels
from fcn8s.cli.options.evaluation import check_can_write
from fcn8s.cli.options.flags import flag, refuse_without
from fcn8s.cli.options.folders import Folders, add_folder_arguments, check_counts
from fcn8s.cli.options.images import add_image_arguments, image_rules, image_words
from fcn8s.cli.options.layouts import LayoutHelp
from fcn8s.cli.options.prediction import add_palette_argument
from fcn8s.cli.terminal import pretrained_encoder, program, short_path
from fcn8s.settings import check_ignore_id
from helpers.label_spaces import MAX_CLASSES
from helpers.process.cores import MAX_THREADS, num_cores

if TYPE_CHECKING:
    from data_generator.checking.report import DatasetReport

DESCRIPTION = """Reads every file of a dataset and reports what was recognised, all faults with the files they are in,
the classes with their shares and weights, and the fcn8s train command to go on with. Exit status: 0 if training can
start, 1 if not, 2 if there is nothing to check."""

_FOLDERS = ('images', 'labels', 'val_images', 'val_labels')
_PARTNERS = ('labels', 'images', 'val_labels', 'val_images')

# Images of several sizes are trained on in crops. All but this share of the images are at least as high as the crop,
# and all but this share as wide; the limit below also holds. Smaller images are padded, and padding does not count.
PADDED_SHARE = 0.1
LARGEST_CROP = (512, 1024)


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser('check', help='check a dataset before training on it', description=DESCRIPTION)
    parser.add_argument(
        'dirs', nargs='*', metavar='DIR', help='root directory of a dataset; several are checked as one'
    )
    add_folder_arguments(parser, 'DIR')
    parser.add_argument(
        '--layout',
        metavar='NAME',
        help=LayoutHelp('%(layouts)s (default: recognised)'),
    )
    parser.add_argument(
        '--classes',
        '--num-classes',
        type=int,
        metavar='N',
        help='without --layout: class IDs are 0 to N - 1',
    )
    labels.add_label_arguments(parser, 'without --layout: label of pixels to ignore (default: 255)')
    parser.add_argument(
        '--channels',
        type=int,
        default=3,
        metavar='N',
        help='how many the images have (default: 3)',
    )
    add_image_arguments(parser)
    parser.add_argument(
        '--threads',
        '--workers',
        type=int,
        default=min(num_cores(), MAX_THREADS),
        metavar='N',
        help='threads that read (default: one per core)',
    )
    parser.add_argument(
        '--preview', metavar='FILE.png', help='write a picture of augmented pairs with their labels laid over them'
    )
    add_palette_argument(parser)
    parser.add_argument('--json', action='store_true', help='print everything as JSON')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from data_generator.checking.check import check_dataset
    from data_generator.files.discovery import NameRule
    from helpers.image_rules import ImageRules

    _check_arguments(args)
    rules = image_rules(args, ImageRules(args.channels))
    report = check_dataset(
        args.dirs,
        args.layout,
        args.classes,
        args.ignore_id,
        args.threads,
        image_rules=rules,
        id_map=None if args.id_map is None else labels.parse_id_map(args.id_map),
        legend=labels.legend_of(args),
        color_tolerance=args.color_tolerance or 0,
        label_transparency=args.label_transparency,
        folders=_folders(args),
        rule=NameRule(args.image_suffix, args.label_suffix),
    )
    command = train_command(report, args.colors, args.class_names, image_words(args))
    if args.json:
        print(json.dumps(dict(report.to_dict(), train_command=command), indent=2))
    else:
        print(report.to_text())
        print('\n' + _verdict(report, command, rules) + _left_out(report, command))
    if args.preview is not None:
        _write_preview(args.preview, report, rules, args.palette)
    return 0 if report.can_train else 1


def _folders(args: argparse.Namespace) -> Optional[Dict[str, Tuple[Folders, Folders]]]:
    """The directories that were named one by one; raises ValueError if some are missing, or unless either they or DIR
    are given."""
    typed = [name for name in _FOLDERS if getattr(args, name) is not None]
    if bool(typed) == bool(args.dirs):
        raise ValueError(
            'Name a dataset in one of two ways: DIR, or --images DIR and --labels DIR, perhaps with --val-images DIR '
            'and --val-labels DIR.'
        )
    for name, other in (*zip(_FOLDERS, _PARTNERS), ('val_images', 'images')):
        if name in typed and other not in typed:
            refuse_without(flag(other), [flag(name)])
    if typed and args.layout is not None:
        raise ValueError('--layout says where the images are, and so does --images. Leave one of them out.')
    check_counts(vars(args))
    if not typed:
        if args.image_suffix is not None or args.label_suffix is not None:
            raise ValueError('--image-suffix and --label-suffix belong to --images. Add that, or leave them out.')
        return None
    train, val = (args.images, args.labels), (args.val_images, args.val_labels)
    return {'train': train} if args.val_images is None else {'train': train, 'val': val}


def _check_arguments(args: argparse.Namespace) -> None:
    if args.preview is None and args.palette != 'dataset':
        raise ValueError('--palette is about the preview, and there is none. Add --preview FILE.png, or leave it out.')
    if args.preview is not None:
        check_can_write('--preview', args.preview, 'preview.png', ('.png', '.jpg', '.jpeg'))
    check_ignore_id(args.ignore_id, '--ignore-id')
    for name, low, high in (('threads', 1, MAX_THREADS), ('classes', 1, MAX_CLASSES)):
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            raise ValueError('{} is {}; it has to be from {} to {}.'.format(flag(name), value, low, high))


def train_command(
    report: 'DatasetReport',
    colors: Optional[str] = None,
    class_names: Optional[str] = None,
    images: Sequence[str] = (),
) -> Optional[str]:
    """Returns the `fcn8s train` line for this dataset; None if it has no labels to train on.

    Args:
        colors, class_names: The options of these names, as typed.
        images: The options that say how images are read, as words.
    """
    from data_generator.checking.folder_pairs import option_words, suffix_words

    train = [split for split in report.splits if split.is_for_training and split.good_pairs]
    val = [split for split in report.splits if not split.is_for_training and split.good_pairs]
    if not train or not report.are_classes_known:
        return None
    if not _names_folders(report):
        root = train[0].root
        words = ['--data', root, '--layout', report.layout.name]
        words += [] if any(split.root == root for split in val) else ['--val-split=']
    else:
        words = []
        for prefix, splits in (('', train), ('val-', val)):
            for split in splits:
                words += option_words('--{}images'.format(prefix), split.image_dir)
                words += option_words('--{}labels'.format(prefix), split.label_dir)
        named = report.layout.name if report.is_known_layout else class_names
        words += suffix_words(report.layout.name_rule) + _label_words(report, colors, named)
    words += images
    words += _crop_words([size for split in report.splits for size, count in split.sizes for _ in range(count)])
    return ' '.join(['fcn8s train'] + [shlex.quote(word) for word in words] + ['--encoder ENCODER'])


def _roots_to_train_on(report: 'DatasetReport') -> List[str]:
    return list(dict.fromkeys(split.root for split in report.splits if split.is_for_training and split.good_pairs))


def _names_folders(report: 'DatasetReport') -> bool:
    """Whether the training command names folders: if no layout is known, and for several roots if that is enough."""
    from data_generator.files.discovery import stem_of
    from data_generator.files.legends import NAMED_LEGENDS

    if not report.is_known_layout:
        return True
    if len(_roots_to_train_on(report)) < 2:
        return False
    firsts = [split.good_pairs[0] for split in report.splits if split.good_pairs]
    rule = report.layout.name_rule  # that of the first root; other roots may have labels of the other kind
    are_alike = all(stem_of(pair.label or '') == rule.label_stem(stem_of(pair.image)) for pair in firsts)
    return report.layout.name in NAMED_LEGENDS and are_alike


def _label_words(report: 'DatasetReport', colors: Optional[str], class_names: Optional[str]) -> List[str]:
    """The options that say what the user's own labels hold."""
    from data_generator.files.masks import spell

    if colors is not None:
        words = ['--colors', colors]
    elif class_names is not None:
        words = ['--class-names', class_names]
    elif report.legend_path is not None:
        has_colors = report.layout.color_map is not None
        words = ['--colors' if has_colors else '--class-names', short_path(report.legend_path)]
    else:
        words = ['--classes', str(report.label_space.num_classes)]
    if report.layout.id_map is not None:
        words += ['--id-map', report.layout.name if report.is_known_layout else spell(report.layout.id_map)]
    if report.said_ignore_id or (report.layout.id_map is None and report.layout.color_map is None):
        words += ['--ignore-id', str(report.label_space.ignore_id)]
    words += ['--color-tolerance', str(report.color_tolerance)] if report.color_tolerance else []
    return words + (['--label-transparency', report.label_transparency] if report.label_transparency else [])


def _crop_words(sizes: List[Any]) -> List[str]:
    if len(set(sizes)) <= 1:
        return []
    place = int(PADDED_SHARE * len(sizes))
    return ['--crop'] + [
        str(min(largest, sorted(size[axis] for size in sizes)[place])) for axis, largest in enumerate(LARGEST_CROP)
    ]


def _encoder_words(report: 'DatasetReport', rules: Any) -> str:
    """The options of `fcn8s vgg16` for images of more than three channels: their means and deviations."""
    if rules.channels <= 3:
        return ''
    split = next(split for split in report.splits if split.is_for_training and split.good_pairs)
    assert split.mean_color is not None and split.deviation is not None  # at least one image was read
    means, deviations = (
        ' '.join('{:.4g}'.format(value) for value in values[3:]) for values in (split.mean_color, split.deviation)
    )
    return ' --channels {} --mean {} --deviation {}'.format(rules.channels, means, deviations)


def _verdict(report: 'DatasetReport', command: Optional[str], rules: Any) -> str:
    if command is not None:
        command = command.replace('fcn8s', program(), 1)
    if not report.can_train:
        return 'Training cannot start: repair the errors above and check again.' + (
            '' if command is None else '\nThen:\n  ' + command
        )
    return (
        'Training can start. Make an encoder, once:\n{}\nand train:\n  {}\n'
        'Add --class-weights median_frequency for the weights above.'.format(
            pretrained_encoder(_encoder_words(report, rules)), command
        )
    )


def _left_out(report: 'DatasetReport', command: Optional[str]) -> str:
    """A line about the directories on which the command does not train; '' without any."""
    roots = _roots_to_train_on(report)
    if command is None or len(roots) < 2 or _names_folders(report):
        return ''
    return (
        '\nThat command trains on {} alone, because fcn8s train takes one directory of a named layout. In Python, '
        'BatchGenerator takes lists of directories.'.format(roots[0])
    )


def _write_preview(path: str, report: 'DatasetReport', rules: Any, palette: str) -> None:
    from data_generator import BatchGenerator
    from data_generator.checking.preview import preview_grid, typical_augmentation
    from helpers.images import write_image

    split = next((split for split in report.splits if split.good_pairs), None)
    if split is None:
        print('fcn8s check: no preview, for there is no pair without an error', file=sys.stderr)
        return
    generator = BatchGenerator(
        pairs=split.good_pairs,
        layout=report.layout,
        color_tolerance=report.color_tolerance,
        label_transparency=report.label_transparency,
        image_rules=rules,
    )
    transforms = typical_augmentation(split.sizes[0][0])
    write_image(path, preview_grid(generator, transforms, mean_picture=split.mean_picture, palette=palette))
    print('Preview: {}'.format(path), file=sys.stderr)
