"""`fcn8s export`: a trained network for another runtime, run again there and certified."""

import argparse
from typing import Any, Dict, List

from fcn8s.cli.options.flags import said_of
from fcn8s.cli.options.prediction import add_model_argument, add_trust_argument
from fcn8s.export.formats import CALIBRATION_IMAGES, EXPORT_PRECISIONS, FORMATS
from helpers.counted import counted
from helpers.files import check_new_directory

DESCRIPTION = """Writes a trained network for other runtimes, runs it there, compares it with TensorFlow, and records
the comparison in certificate.json. An export that misses its tolerance is not kept. Exports take uint8 images of
the network's channels, RGB as a rule, and of any size (tflite: of one). The graph subtracts the mean; other programs
have to resize images to the --size of fcn8s train, if it had one."""

# The number of generated scenes for running an export, and their size.
_SCENES, _SCENE_SIZE = 4, (128, 256)


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser('export', help='write a network for other runtimes', description=DESCRIPTION)
    add_model_argument(parser, exports=False)
    parser.add_argument('out', metavar='OUT', help='directory to write; must not exist, or be empty')
    parser.add_argument(
        '--format',
        default='saved_model',
        metavar='FORMAT',
        help='{} (default: saved_model, for serving)'.format(', '.join(FORMATS)),
    )
    parser.add_argument(
        '--precision', default='float32', metavar='P', help='{} (default: float32)'.format(', '.join(EXPORT_PRECISIONS))
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='for tflite: size of the images that the export takes',
    )
    _add_calibration_arguments(parser.add_argument_group('int8'))
    _add_check_arguments(parser.add_argument_group('check'))
    add_trust_argument(parser)
    parser.set_defaults(run=run)


def _add_calibration_arguments(group: Any) -> None:
    group.add_argument(
        '--calibration',
        metavar='DIR',
        help='typical images, on which the ranges of all layers are measured',
    )
    group.add_argument(
        '--calibration-images',
        type=int,
        default=CALIBRATION_IMAGES,
        metavar='N',
        help='how many of them are drawn (default: {})'.format(CALIBRATION_IMAGES),
    )
    group.add_argument('--seed', type=int, default=0, help='another seed draws others (default: 0)')


def _add_check_arguments(group: Any) -> None:
    group.add_argument(
        '--verify', metavar='DIR', help='images to run the export on, the first 100 (default: generated street scenes)'
    )
    group.add_argument(
        '--labels',
        metavar='DIR',
        help='with --verify: labels (class IDs) named like their images; int8 is then judged by its mean IoU',
    )
    group.add_argument('--allow-loss', action='store_true', help='keep an export that misses its tolerance')


def run(args: argparse.Namespace) -> int:
    _check_calibration(args)
    check_new_directory(args.out)  # before TensorFlow is loaded
    from fcn8s.export.exporting import export_model

    certificate = export_model(
        args.model,
        args.out,
        args.format,
        args.precision,
        size=None if args.size is None else tuple(args.size),
        calibration=args.calibration,
        calibration_images=args.calibration_images,
        seed=args.seed,
        verify=args.verify,
        labels=args.labels,
        allow_loss=args.allow_loss,
        trust=args.trust,
        scenes=None if args.verify else _scenes(),
        progress=lambda message: print(message + ' ...', flush=True),
    )
    print('\n'.join(describe(args.out, certificate)))
    if args.verify is None:
        print('These images are generated street scenes; --verify DIR takes yours.')
    return 0


def _check_calibration(args: argparse.Namespace) -> None:
    """Raises ValueError where options say how to draw images for int8, but not from where."""
    drawn = (('--calibration-images', args.calibration_images, CALIBRATION_IMAGES), ('--seed', args.seed, 0))
    strays = [flag for flag, value, untyped in drawn if value != untyped]
    if strays and args.calibration is None:
        text = '{is_} about images for int8, and none came. Add --calibration DIR, or leave {it} out.'
        raise ValueError(said_of(strays, text))


def _scenes() -> List[Any]:
    """Generated street scenes."""
    import numpy as np

    from data_generator.street_scenes import make_scene

    return [make_scene(np.random.default_rng(seed), _SCENE_SIZE)[0] for seed in range(_SCENES)]


def describe(out_dir: str, certificate: Dict[str, Any]) -> List[str]:
    """Returns the lines that `fcn8s export` prints about a finished export."""
    export, comparison = certificate['export'], certificate['comparison']
    seconds = certificate['seconds_per_image']
    lines = [
        'export: {} ({}, {}; certificate.json tells all)'.format(out_dir, export['format'], export['precision']),
        '{} of {}: logits differ by up to {:.2g} ({:.1e} of the largest), equal pixels {:.3%}'.format(
            counted(comparison['images'], 'image'),
            ', '.join('{} x {}'.format(*size) for size in comparison['sizes'][:3]),
            comparison['largest_logit_difference'],
            comparison['relative_logit_difference'],
            comparison['equal_pixels'],
        ),
    ]
    if 'mean_iou' in comparison:
        lines.append('mean IoU: {export:.4f}, TensorFlow {tensorflow:.4f}'.format(**comparison['mean_iou']))
    lines.append(
        'seconds an image of {} x {}: {:.4f}, TensorFlow {:.4f}, in turns'.format(
            *seconds['size'], seconds['export'], seconds['tensorflow']
        )
    )
    lines += ['beyond the tolerance, and kept as asked: ' + miss for miss in certificate['misses']]
    return lines
