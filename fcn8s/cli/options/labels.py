"""The options that say what the user's own label files hold."""

import argparse
import os
from typing import Any, Dict, List, Optional

from helpers.counted import counted

#: The largest difference that colours can have in a channel.
MAX_TOLERANCE = 255


def add_label_arguments(group: Any, ignore_id: str) -> None:
    """Adds the options that say what labels mean: the ignore ID, names, how they are read.

    ignore_id: the help of --ignore-id, because its default depends on the command.
    """
    group.add_argument('--ignore-id', type=int, metavar='ID', help=ignore_id)
    group.add_argument(
        '--class-names',
        metavar='FILE|A,B,...',
        help='names of the classes, or cityscapes for its 19 by train ID (default: classes.json or the like beside the '
        'data)',
    )
    add_reading_arguments(group)


def add_reading_arguments(group: Any) -> None:
    """Adds the options about label files that are needed even if a network determines the classes."""
    group.add_argument(
        '--colors',
        metavar='FILE',
        help='file of class names and their colours in labels: JSON, CSV, or a line NAME RED GREEN BLUE per class; or '
        'cityscapes, for its colours',
    )
    group.add_argument(
        '--id-map',
        metavar='V:ID,...',
        help='from values in labels to class IDs, for example 0:0,255:1; or cityscapes, from its label IDs to '
        'its 19 classes',
    )
    group.add_argument(
        '--color-tolerance',
        type=tolerance,
        metavar='N',
        help='in colour labels: read a colour up to N per channel away from that of a class as this class, for '
        'smoothed borders and JPEG',
    )
    group.add_argument(
        '--label-transparency',
        metavar='void|CLASS',
        help='in colour labels: what transparent pixels are (default: they are refused)',
    )


def tolerance(text: str) -> int:
    """Parses the argument of --color-tolerance: a whole number from 0 to 255."""
    if not text.isdecimal() or int(text) > MAX_TOLERANCE:
        raise argparse.ArgumentTypeError('{!r} came; it has to be a whole number from 0 to 255'.format(text))
    return int(text)


def parse_id_map(text: str) -> Dict[int, int]:
    """Parses the map that --id-map spells out or names. Raises ValueError."""
    from data_generator.files.masks import NAMED_MAPS

    if text in NAMED_MAPS:
        return NAMED_MAPS[text]
    pairs = [part.split(':') for part in text.replace(' ', '').split(',') if part]
    is_legal = all(len(pair) == 2 and all(n.isdecimal() and int(n) <= 65535 for n in pair) for pair in pairs)
    if not pairs or not is_legal or len({int(pair[0]) for pair in pairs}) < len(pairs):
        raise ValueError(
            '--id-map is {!r}; it has to be VALUE:ID for each value in the labels, with commas between and numbers '
            'from 0 to 65535. Write 0:0,255:1. Known by name: {}.'.format(text, ', '.join(NAMED_MAPS))
        )
    return {int(value): int(class_id) for value, class_id in pairs}


def legend_of(options: Any) -> Optional[Any]:
    """Returns the `Legend` that --colors or --class-names give; None without them.

    Raises ValueError and FileNotFoundError.
    """
    if options.colors is None and options.class_names is None:
        return None
    from data_generator.files.legends import NAMED_LEGENDS, Legend, read_legend

    if options.colors is not None and options.class_names is not None:
        raise ValueError('--colors names the classes too. Leave --class-names out.')
    if options.class_names is not None and ',' in options.class_names and not os.path.exists(options.class_names):
        return Legend(tuple(_names(options.class_names)), None, ())
    named = options.class_names or options.colors
    legend = NAMED_LEGENDS[named] if is_name(named) else read_legend(named)
    if options.colors is not None and legend.colors is None:
        raise ValueError('--colors {} names no colours. Give it as --class-names.'.format(options.colors))
    return legend


def is_name(text: str) -> bool:
    """Tells whether an argument of --colors or --class-names is the name of a dataset; a file of that name wins."""
    from data_generator.files.legends import NAMED_LEGENDS

    return text in NAMED_LEGENDS and not os.path.isfile(text)


def _names(text: str) -> List[str]:
    names = [name.strip() for name in text.split(',')]
    if not all(names) or len(set(names)) < len(names):
        raise ValueError('--class-names is {!r}; it has to be different names with commas between.'.format(text))
    return names


def dataset_options(options: Any, num_classes: Optional[int]) -> Dict[str, Any]:
    """Returns the keywords of `BatchGenerator` for these options. Raises ValueError and FileNotFoundError.

    num_classes: As the user gave it, or None.
    """
    made: Dict[str, Any] = dict(
        ignore_id=options.ignore_id,
        color_tolerance=options.color_tolerance or 0,
        label_transparency=options.label_transparency,
    )
    if options.id_map is not None:
        made['id_map'] = parse_id_map(options.id_map)
    legend = legend_of(options)
    if legend is None:
        return dict(made, num_classes=num_classes)
    if num_classes not in (None, len(legend.class_names)):
        raise ValueError(
            '--classes is {}, and {} names {}. Leave --classes out, or name them all.'.format(
                num_classes,
                '--colors' if options.class_names is None else '--class-names',
                counted(len(legend.class_names), 'class'),
            )
        )
    ignore_id = legend.ignore_id if options.ignore_id is None else options.ignore_id
    return dict(made, label_space=legend.label_space(ignore_id), ignore_id=ignore_id)


def check_typed_of_colors(options: Any, data: Any) -> None:
    """Raises ValueError where --color-tolerance or --label-transparency was typed for labels without colours.

    data: The `BatchGenerator` of the labels. They may be IDs even if the network was trained on colours.
    """
    if options.color_tolerance or options.label_transparency is not None:
        from data_generator.files.legends import check_said_of_colors

        have_colors = data.conversion.color_map is not None
        check_said_of_colors(options.color_tolerance, options.label_transparency, have_colors)


def as_trained(command: Dict[str, Any]) -> Dict[str, Any]:
    """Returns the options of a run; for a run of version 1.0, adds that it ignored 255, whatever else labels held."""
    if command.get('images') is None or 'id_map' in command or command.get('ignore_id') is not None:
        return command
    return dict(command, ignore_id=255)


def read_as_trained(args: Any, command: Dict[str, Any], space: Any) -> Dict[str, Any]:
    """Returns the keywords of `BatchGenerator` that read labels in the same way as in the training of a run.

    What was typed wins. A saved model does not say how labels were read, so the labels themselves have to show it.

    command: The options of the run, see `fcn8s.cli.options.resolving.options_of_run`. space: The network's classes.
    """
    made: Dict[str, Any] = {}
    if command:
        command = as_trained(command)
        made = dict(
            ignore_id=command.get('ignore_id'),
            color_tolerance=command.get('color_tolerance') or 0,
            label_transparency=command.get('label_transparency'),
        )
        if command.get('id_map') is not None and args.colors is None:  # labels that hold colours hold no numbers
            made['id_map'] = parse_id_map(command['id_map'])
    if args.id_map is not None:  # it maps numbers, so the run's settings about colours do not apply
        made.update(id_map=parse_id_map(args.id_map), color_tolerance=0, label_transparency=None)
    for name in ('color_tolerance', 'label_transparency'):
        if getattr(args, name) is not None:
            made[name] = getattr(args, name)
    return dict(made, label_space=space if args.colors is None else _with_colors(space, args.colors))


def _with_colors(space: Any, table: str) -> Any:
    """The classes of a network, with the colours that --colors gives; with its names, too, if they have none.

    Raises ValueError where the two have other classes.
    """
    from helpers.label_spaces import is_nameless

    legend = legend_of(argparse.Namespace(colors=table, class_names=None))
    assert legend is not None
    told = legend.label_space(space.ignore_id)
    if told.num_classes != space.num_classes:
        raise ValueError(
            '--colors {} names {}, and the network has {}. Give the colours of its classes, in their order.'.format(
                table, counted(told.num_classes, 'class'), space.num_classes
            )
        )
    if is_nameless(space):
        return told._replace(void_class_ids=tuple(sorted({*space.void_class_ids, *told.void_class_ids})))
    for class_id, (own, other) in enumerate(zip(space.class_names, told.class_names)):
        if own != other:
            raise ValueError(
                '--colors {}: class {} is {!r}, and {!r} in the network. Give the colours of its classes, in their '
                'order.'.format(table, class_id, other, own)
            )
    return space._replace(colors=told.colors, ignore_colors=told.ignore_colors)
