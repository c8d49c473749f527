"""The flags that `predict` and `video` share."""

import argparse
import contextlib
from typing import Any, Iterator, Tuple


def add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
    """How the network predicts."""
    group = parser.add_argument_group('prediction')
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
        help='pixels that tiles overlap by; their answers are blended there (default: 128)',
    )
    group.add_argument(
        '--scales',
        type=float,
        nargs='+',
        default=[1.0],
        metavar='S',
        help='average over the image resized by these factors, for example 0.75 1 1.25 (default: 1)',
    )
    group.add_argument('--mirror', action='store_true', help='average over the image and its mirror image')
    group.add_argument(
        '--precision',
        default='float32',
        metavar='P',
        help='float32 (default) or bfloat16, about twice as fast on CPUs that compute with it',
    )


def add_drawing_arguments(parser: argparse.ArgumentParser) -> Any:
    """How an overlay looks; returns the group, to be added to."""
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
    return group


@contextlib.contextmanager
def open_predictor(args: argparse.Namespace) -> Iterator[Tuple[Any, Any]]:
    """The model and the `fcn8s.prediction.Predictor` that the flags ask for."""
    from fcn8s.inference import open_model
    from fcn8s.prediction import DEFAULT_OVERLAP, Predictor
    from fcn8s.runs import resolve_model, training_size

    size = training_size(args.model)
    if size is not None and args.scales == [1.0]:
        print(
            'note: this run was trained on images resized to {0} x {1}. Larger images are predicted best at that size: '
            '--scales F with F = {0} / height of the image.'.format(*size)
        )
    with open_model(resolve_model(args.model), precision=args.precision) as model:
        yield (
            model,
            Predictor(
                model.predict,
                model.num_classes,
                None if args.tile is None else tuple(args.tile),
                DEFAULT_OVERLAP if args.overlap is None else args.overlap,
                args.scales,
                args.mirror,
            ),
        )
