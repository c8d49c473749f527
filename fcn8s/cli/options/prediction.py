"""The flags that say how a network predicts and how results are drawn, shared by several commands."""

import argparse
from typing import Any, Optional, Sequence

from fcn8s.cli.options.flags import flag, said_of
from fcn8s.cli.options.lists import ExtendList
from helpers.label_spaces import PALETTES


def add_model_argument(parser: argparse.ArgumentParser, metavar: str = 'MODEL', exports: bool = True) -> None:
    """Adds the argument for the trained network. exports: whether it may be an export."""
    kinds = 'run directory (its best checkpoint), saved FCN-8s, {}or zip of fcn8s pack'
    parser.add_argument('model', metavar=metavar, help=kinds.format('export, ' if exports else ''))


def add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say how the network predicts."""
    group = parser.add_argument_group(
        'prediction',
        'A run that was evaluated on resized images (--size of fcn8s train) is predicted at that size, as fcn8s '
        'evaluate does: images are resized for the network, and results have the size of the image. A line says so. '
        '--size or --scales choose another size.',
    )
    group.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='resize images to this size for the network; tiles and scales are then those of the resized image '
        "(default: the --size of the run's fcn8s train, if any, unless there are --scales)",
    )
    add_averaging_arguments(
        group,
        '; without --size they are of the image as it is, so that 1 predicts at its own size (default: 1)',
    )
    add_engine_arguments(group)
    add_trust_argument(group)


def add_averaging_arguments(group: Any, of_scales: str = '') -> None:
    """Adds the flags that say how an image is cut into tiles, and over what its predictions are averaged.

    of_scales: further help text for --scales.
    """
    group.add_argument(
        '--tile',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='cut larger images into tiles of this size, for images that do not fit into memory',
    )
    group.add_argument(
        '--overlap',
        type=int,
        metavar='N',
        help='overlap of tiles in pixels, in which they are blended (default: 128); of a GeoTIFF that fcn8s predict '
        'cuts, the margin of each tile that is discarded (default: 288, more with --scales)',
    )
    group.add_argument(
        '--scales',
        type=float,
        action=ExtendList,
        nargs='+',
        metavar='S',
        help='average over the image resized by these factors, for example 0.75 1 1.25' + of_scales,
    )
    group.add_argument('--mirror', action='store_true', help='average over the image and its mirror image')


def add_engine_arguments(group: Any) -> None:
    """Adds the flags for the engine that computes, and for its precision."""
    group.add_argument(
        '--engine',
        metavar='E',
        help='tensorflow (default) or openvino, which opens a run or a saved FCN-8s too; an export has its own',
    )
    group.add_argument(
        '--precision',
        metavar='P',
        help='float32 (default), bfloat16, about twice as fast on CPUs that have it, auto for the faster of the two, '
        'or with --engine openvino float16; an export has its own',
    )


def add_also_argument(parser: argparse.ArgumentParser) -> None:
    """Adds --also, for commands where further models cannot follow MODEL."""
    parser.add_argument(
        '--also',
        action='append',
        default=[],
        metavar='MODEL',
        help='average the soft-max with that of this model, which needs the same classes; may be repeated',
    )


def add_trust_argument(group: Any) -> None:
    """Adds `--trust`."""
    group.add_argument(
        '--trust',
        action='store_true',
        help='open a graph with ops that a network does not need; such a file can then read and write your files',
    )


def trust_words(trust: bool) -> str:
    """Returns what a printed command ends with if the training needed `--trust`."""
    return ' --trust' if trust else ''


def add_drawing_arguments(parser: argparse.ArgumentParser) -> Any:
    """Adds the flags that say how an overlay looks; returns the group, so that more can be added."""
    group = parser.add_argument_group('drawing')
    group.add_argument(
        '--alpha',
        type=float,
        default=0.5,
        metavar='A',
        help='opacity of the colours over the image, 0 to 1 (default: 0.5)',
    )
    group.add_argument('--contours', action='store_true', help='draw the borders of segments in full colour')
    group.add_argument('--legend', action='store_true', help='add the names of the classes below the picture')
    group.add_argument(
        '--zoom', type=int, default=1, metavar='N', help='draw N times larger, for small images (default: 1)'
    )
    group.add_argument(
        '--show',
        type=int,
        nargs=3,
        metavar=('R', 'G', 'B'),
        help='which channels of the network are seen as red, green and blue (default: 1 2 3)',
    )
    add_palette_argument(group)
    return group


def check_drawing(args: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Raises ValueError where an option of drawings was typed that would not affect any drawing.

    names: of the options. why: what `said_of` says of them.
    """
    from fcn8s.prediction.drawing import DEFAULT_STYLE

    strays = [flag(name) for name in names if getattr(args, name) != getattr(DEFAULT_STYLE, name)]
    if strays:
        raise ValueError(said_of(strays, why))


def add_palette_argument(group: Any) -> None:
    """Adds `--palette`."""
    group.add_argument(
        '--palette',
        choices=PALETTES,
        default='dataset',
        help="colours of the classes: the dataset's (default), or some that the colour-blind can tell apart",
    )


def add_sampling_arguments(group: Any) -> None:
    """Adds the flags for samples with dropout."""
    group.add_argument(
        '--samples',
        type=int,
        metavar='N',
        help='average N predictions with dropout switched on after fc6 and fc7, at the rate of its training, to show '
        'where the network is uncertain; for example 8',
    )
    group.add_argument('--sample-seed', type=int, metavar='SEED', help='of the samples (default: 0)')


def add_temperature_argument(group: Any, what: str) -> None:
    """Adds --temperature. what: what it changes, in the words of the help."""
    group.add_argument(
        '--temperature',
        type=float,
        metavar='T',
        help='divide logits by T for {}: above 1 less confident, below 1 more; predicted classes do not change. fcn8s '
        'evaluate --calibration prints the T that fits (default: 1)'.format(what),
    )


def check_temperature_argument(
    args: argparse.Namespace, has_effect: bool = True, remedy: str = '', second: Optional[str] = None
) -> None:
    """Raises ValueError where the temperature is out of its range, has no effect on what is asked for, or could belong
    to either of two networks.

    Args:
        has_effect: Whether the temperature affects what is asked for.
        remedy: What to add if it does not, in the words of the message.
        second: The option that names a second network besides those that are averaged.
    """
    if args.temperature is None:
        return
    from fcn8s.confidence import check_temperature

    check_temperature(args.temperature, '--temperature')
    if not has_effect:
        raise ValueError(
            '--temperature is {:g}: it changes how sure the soft-max is and no class, and nothing of that is asked '
            'for. {}, or leave it out.'.format(args.temperature, remedy)
        )
    if second is not None and getattr(args, second) is not None:
        raise ValueError(
            '--temperature is of one network, and --{} brings another. Leave one of them out.'.format(second)
        )


def temperature_of(args: argparse.Namespace) -> float:
    """Returns the temperature that the flags ask for, 1 without one."""
    temperature = getattr(args, 'temperature', None)
    return 1.0 if temperature is None else temperature


def check_predictor_arguments(args: argparse.Namespace) -> None:
    """Raises ValueError where size, tiles, overlap or scales are out of their ranges, before a model is opened."""
    from fcn8s.prediction.predictor import DEFAULT_OVERLAP, check_predictor_options

    if args.overlap is not None and args.tile is None:
        raise ValueError('--overlap is {}, but there are no tiles; give --tile H W too.'.format(args.overlap))
    overlap = DEFAULT_OVERLAP if args.overlap is None else args.overlap
    scales = (1.0,) if args.scales is None else args.scales
    tile, size = (None if pair is None else tuple(pair) for pair in (args.tile, args.size))
    # 2 are the fewest classes: their number is known only once the model is open.
    check_predictor_options(2, tile, overlap, scales, size)
