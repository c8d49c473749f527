"""`fcn8s import SOURCE OUT`: a dataset in folders from the polygons and masks of annotation tools."""

import argparse
import shlex
from typing import Any

from fcn8s.cli.options.labels import tolerance
from fcn8s.cli.options.lists import ExtendList
from fcn8s.cli.terminal import complain, pretrained_encoder, program
from helpers.process.cores import num_cores

DESCRIPTION = """Makes a dataset that fcn8s check, train and evaluate take (images/SPLIT, labels/SPLIT, classes.json)
from annotations of labelme, COCO (polygons, RLE; crowds are void), CVAT for images, YOLO segmentation, Supervisely,
PASCAL VOC (masks, or polygons in the XML), Cityscapes (polygons) or Kaggle (CSV with runs of pixels), or from masks:
one for each class and image (masks/CLASS/NAME.png or masks/NAME_CLASS.png), for each object, or for each part of a
face. The tool is recognised by the content of the files. What was left out, and why, is printed and written to
OUT/import.json."""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        'import', help='make a dataset from annotations of labelme, COCO, CVAT, YOLO, ...', description=DESCRIPTION
    )
    parser.add_argument('source', metavar='SOURCE', help='folder or file of annotations')
    parser.add_argument('out', metavar='OUT', help='directory to write; must not exist, or be empty')
    parser.add_argument('--images', metavar='DIR', help='where the images are, if not in SOURCE')
    parser.add_argument(
        '--format',
        metavar='NAME',
        help='labelme, coco, cvat, yolo, supervisely, voc, cityscapes, via, kaggle or masks (default: recognised)',
    )
    parser.add_argument('--copy', action='store_true', help='copy images (default: symbolic links to them)')
    _add_label_arguments(parser.add_argument_group('labels'))
    _add_split_arguments(parser.add_argument_group('splits'))
    parser.set_defaults(run=run)


def _add_label_arguments(group: Any) -> None:
    group.add_argument(
        '--rest',
        metavar='WHAT',
        help='what pixels without a shape are: background (class 0, the default) or void, which is ignored (the '
        'default for Cityscapes)',
    )
    group.add_argument(
        '--order',
        metavar='BY',
        help='which of two overlapping shapes lies on top: file, the later one (default), or area, the smaller one '
        '(default for COCO and YOLO, which have no order); layers of CVAT take precedence over both',
    )
    group.add_argument(
        '--classes',
        action=ExtendList,
        nargs='+',
        metavar='NAME',
        help='take only these classes, in this order, also those that no image has (default: all)',
    )
    group.add_argument(
        '--color-tolerance',
        type=tolerance,
        default=0,
        metavar='N',
        help='in masks of single classes: read values up to N away from black or white as black or white, for smoothed '
        'borders and JPEG (default: such masks are left out)',
    )
    group.add_argument(
        '--void',
        action=ExtendList,
        nargs='+',
        default=[],
        metavar='NAME',
        help='classes whose pixels are ignored, such as unclear ones',
    )


def _add_split_arguments(group: Any) -> None:
    group.add_argument(
        '--val-share',
        type=float,
        metavar='S',
        help='share of the images that become val, at random (default: the splits of the source, or 0.2)',
    )
    group.add_argument('--seed', type=int, default=0, help='another seed chooses other images (default: 0)')
    for split in ('train', 'val', 'test'):
        group.add_argument(
            '--{}-list'.format(split),
            metavar='FILE',
            help='text file of image names, one per line, that become ' + split,
        )


def run(args: argparse.Namespace) -> int:
    from data_generator.annotations.dataset import Options, import_annotations
    from data_generator.annotations.summary import describe
    from data_generator.checking.check import check_dataset
    from fcn8s.cli.check import train_command

    lists = {split: getattr(args, split + '_list') for split in ('train', 'val', 'test')}
    options = Options(
        image_dir=args.images,
        kind=args.format,
        order=args.order,
        rest=args.rest,
        classes=args.classes,
        void=args.void,
        val_share=args.val_share,
        seed=args.seed,
        lists={split: path for split, path in lists.items() if path is not None},
        copy_images=args.copy,
        color_tolerance=args.color_tolerance,
    )
    imported = import_annotations(args.source, args.out, options, progress=True)
    print(describe(imported))
    space = imported.label_space
    where = shlex.quote(args.out)
    try:
        report = check_dataset([args.out], None, space.num_classes, space.ignore_id, num_cores())
    except KeyboardInterrupt:
        complain('The dataset is in {0}, whole. To check it: {1} check {0}'.format(where, program()))
        raise
    command = train_command(report)
    if not report.can_train or command is None:
        print('\n' + report.to_text())
        print('\nThe dataset is in {}, but cannot be trained on yet: see the errors.'.format(where))
        return 1
    print('\nThe dataset is in {}.\nlook at it:\n  {} check {} --preview preview.png'.format(where, program(), where))
    print('make an encoder, once:\n' + pretrained_encoder())
    print('train:\n  {}'.format(command.replace('fcn8s', program(), 1)))
    return 0
