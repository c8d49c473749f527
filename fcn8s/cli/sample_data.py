"""`fcn8s sample-data OUT`: writes generated street scenes in the Cityscapes layout."""

import argparse
from typing import Any

from helpers.counted import counted

DESCRIPTION = """Writes generated street scenes with labels that are exact to the pixel, in the Cityscapes layout: a
train and a val split from different cities, and a drive, the consecutive frames of a moving camera."""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        'sample-data', help='generate street scenes to try things on', description=DESCRIPTION
    )
    parser.add_argument('out', metavar='OUT', help='directory to write; must not exist, or be empty')
    parser.add_argument('--train', type=int, default=300, metavar='N', help='scenes to train on (default: 300)')
    parser.add_argument('--val', type=int, default=60, metavar='N', help='scenes to validate on (default: 60)')
    parser.add_argument(
        '--drive', type=int, default=120, metavar='N', help='frames of the drive, 0 for none (default: 120)'
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(128, 256),
        metavar=('HEIGHT', 'WIDTH'),
        help='in pixels (default: 128 256)',
    )
    parser.add_argument('--seed', type=int, default=0, help='another seed gives other scenes (default: 0)')
    parser.add_argument(
        '--depth',
        action='store_true',
        help='write depth/..._depth.png too: 16 bits, metres * 256, 0 in the sky (default: images and labels only)',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from data_generator.street_scenes import write_dataset

    size = tuple(args.size)
    write_dataset(args.out, args.train, args.val, args.drive, size, args.seed, progress=True, with_depth=args.depth)
    print(
        '{}: {} to train on and {} to validate on, {} x {} pixels, in the Cityscapes layout'.format(
            args.out, counted(args.train, 'scene'), args.val, *args.size
        )
    )
    if args.depth:
        print('{}/depth: their depth, in 1/256 metres'.format(args.out))
    if args.drive:
        print('{}/drive/leftImg8bit: {} of a drive'.format(args.out, counted(args.drive, 'frame')))
    return 0
