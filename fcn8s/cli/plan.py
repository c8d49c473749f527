"""`fcn8s plan`: memory and time of a training before it is started."""

import argparse
import math
from typing import Any, Optional

from fcn8s.cli.options.counts import batch_size, count
from fcn8s.cli.options.flags import flag, refuse_without
from fcn8s.cli.options.network import (
    add_architecture_arguments,
    add_average_arguments,
    add_head_warmup_argument,
    add_optimizer_argument,
    add_precision_argument,
    optimizer_of,
)
from fcn8s.planning.workers import check_workers, epoch_steps, estimate_gain, format_gain
from fcn8s.settings import check_head_warmup, check_num_classes, refuse_warmup_of_several
from fcn8s.vgg16.weights.layers import VGG16_HEAD, parse_head
from helpers.flags import is_positive

DESCRIPTION = """Estimates how much memory a training takes, how long a step and an epoch take on this machine, and the
largest batch and crop that fit. Memory is computed; time is measured by running the network for some seconds. Needs
neither an encoder nor data."""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser('plan', help='estimate memory and time of a training', description=DESCRIPTION)
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        required=True,
        metavar=('H', 'W'),
        help='what the network sees: images after resizing and cropping',
    )
    parser.add_argument('--classes', '--num-classes', type=int, required=True, metavar='N')
    parser.add_argument('--batch', type=batch_size, default=4, metavar='N', help='images per batch (default: 4)')
    parser.add_argument('--accumulate', type=count, default=1, metavar='K', help='batches per step (default: 1)')
    parser.add_argument(
        '--width-divisor', type=int, default=1, metavar='N', help='of the encoder (default: 1, VGG-16 itself)'
    )
    parser.add_argument(
        '--head', default=str(VGG16_HEAD), metavar='KxKxC', help='of the encoder: fc6 and fc7 (default: %(default)s)'
    )
    add_architecture_arguments(parser)
    add_optimizer_argument(parser)
    add_average_arguments(parser)
    add_head_warmup_argument(parser)
    add_precision_argument(parser)
    parser.add_argument('--images', type=int, metavar='N', help='images per epoch, to estimate the time of an epoch')
    parser.add_argument(
        '--memory',
        type=float,
        metavar='GB',
        help='memory to fit into (default: all that this machine or its container has)',
    )
    parser.add_argument(
        '--seconds', type=float, default=20.0, metavar='S', help='how long to measure; 0 measures nothing (default: 20)'
    )
    parser.add_argument(
        '--workers', type=int, metavar='N', help='also estimate N machines like this one, each with this batch'
    )
    parser.add_argument(
        '--bandwidth', type=float, metavar='GBIT', help='with --workers: bandwidth of their links, in Gbit/s'
    )
    parser.add_argument(
        '--gpu-tflops',
        type=float,
        metavar='X',
        help='also compute the least time on a GPU with so many TFLOPS in this precision; with --gpu-gbs',
    )
    parser.add_argument('--gpu-gbs', type=float, metavar='Y', help='with --gpu-tflops: its memory bandwidth in GB/s')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    _check(args)
    from fcn8s.planning import cost, plan
    from fcn8s.planning.memory import GB, PlanRequest, parameter_bytes
    from fcn8s.precision import check_precision, chosen_precision

    precision = chosen_precision(args.precision)
    check_precision(precision, spell=flag)

    request = PlanRequest(
        num_classes=args.classes,
        size=tuple(args.size),
        batch=args.batch,
        width_divisor=args.width_divisor,
        variant=args.variant,
        upsampling=args.upsampling,
        precision=precision,
        optimizer=optimizer_of(args),
        head=parse_head(args.head, args.width_divisor),
        head_warmup=args.head_warmup > 0,
    )
    made = plan.make_plan(request, None if args.memory is None else args.memory * GB, args.seconds)
    print(plan.format_plan(made, request, args.images))
    operations = cost.cost_of(request)
    print(cost.format_cost(operations))
    if args.workers is not None and made.seconds_per_step is None:
        print('workers        not estimated: the training of one does not fit')
    if args.workers is not None and made.seconds_per_step is not None:
        gain = estimate_gain(args.workers, made.seconds_per_step, parameter_bytes(request), args.bandwidth)
        epoch = None
        if args.images is not None:
            epoch = args.images, epoch_steps(args.images, args.batch, args.accumulate, args.workers)
        print(format_gain(gain, args.workers, args.bandwidth, args.batch * args.accumulate, epoch))
    if args.gpu_tflops is not None:
        print(cost.format_gpu(operations, request, args.gpu_tflops, args.gpu_gbs, args.images))
    return 0 if made.memory <= made.memory_limit else 1


def _check(args: argparse.Namespace) -> None:
    _check_gpu(args.gpu_tflops, args.gpu_gbs)
    for name in ('memory', 'images', 'gpu_tflops', 'gpu_gbs'):
        value = getattr(args, name)
        if value is not None and not is_positive(value):
            raise ValueError('{} is {}; it has to be a number above 0.'.format(flag(name), value))
    if args.bandwidth is not None and args.workers is None:
        refuse_without('--workers N', ['--bandwidth'])
    check_num_classes(args.classes, '--classes')
    check_head_warmup(args.head_warmup, '--head-warmup')
    if args.workers is not None:
        if args.head_warmup:
            refuse_warmup_of_several(args.head_warmup, flag)
        check_workers(args.workers, args.bandwidth)
        if args.seconds == 0:
            raise ValueError(
                '--workers needs the seconds of a step, and --seconds 0 measures nothing. Leave --seconds out.'
            )
    if args.images is not None and args.seconds == 0 and args.gpu_tflops is None:
        raise ValueError(
            '--images is for the time of an epoch, and --seconds 0 measures none. Leave one of them out, or give '
            '--gpu-tflops and --gpu-gbs.'
        )
    if not 0 <= args.seconds < math.inf:
        raise ValueError('--seconds is {}; it has to be a number of at least 0.'.format(args.seconds))


def _check_gpu(tflops: Optional[float], gbs: Optional[float]) -> None:
    """Raises ValueError unless both rates came, or neither."""
    if (tflops is None) != (gbs is None):
        raise ValueError(
            '--gpu-tflops is {}, and --gpu-gbs is {}; they belong together. The data sheet of a GPU has both.'.format(
                tflops, gbs
            )
        )
