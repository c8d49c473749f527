"""What `fcn8s train` says beforehand of the memory and the time of a training."""

import argparse
from typing import Any, Optional, Tuple

from fcn8s.cli.options.network import DEFAULTS, optimizer_of
from fcn8s.cli.terminal import program
from fcn8s.optimizers import DEFAULT_OPTIMIZER
from fcn8s.vgg16.weights.layers import VGG16_HEAD


def describe_plan(options: argparse.Namespace, model: Any, train: Any, base_memory: float) -> str:
    """Returns what `fcn8s plan` expects of a training's memory, and the command that measures its time."""
    from fcn8s.planning.memory import GB, PlanRequest, estimate_memory
    from fcn8s.precision import chosen_precision
    from helpers.images import read_image
    from helpers.process.memory import total_memory

    size = options.crop or options.size or read_image(train.pairs[0].image, rules=train.image_rules).shape[:2]
    widths = _encoder_widths(model.model.encoder.variables)
    if widths is None:
        return 'memory: not estimated, because this encoder has widths of its own'
    width_divisor, head = widths
    request = PlanRequest(
        num_classes=model.num_classes,
        size=tuple(size),
        batch=options.batch,
        width_divisor=width_divisor,
        variant=model.settings.variant,
        upsampling=model.settings.upsampling,
        precision=chosen_precision(options.precision),
        optimizer=optimizer_of(options),
        head=head,
        head_warmup=options.head_warmup > 0,
    )
    needed, there = estimate_memory(request, base_memory), total_memory()
    line = _padding(options, train) + 'images of {} x {}, {} a batch: about {:.1f} GB of memory'.format(
        size[0], size[1], options.batch, needed / GB
    )
    if there is not None:
        line += ', of {:.1f} GB'.format(there / GB)
    if there is not None and needed > there:
        line += '. This will not fit: take a smaller --batch (and --accumulate) or --crop.'
    return (
        line
        + '\ntime of an epoch, measured before it:\n  {} '.format(program())
        + _plan_command(options, request, train)
    )


def print_faster_precision(options: argparse.Namespace) -> None:
    """Prints the precision option that makes a new training faster on this CPU, if there is one."""
    from fcn8s.precision import fastest_on_cpu

    fastest = fastest_on_cpu()
    if options.precision == 'float32' and fastest != 'float32' and options.resume is None:
        print('faster on this CPU, for the same scores: --precision {}'.format(fastest))


def _padding(options: argparse.Namespace, train: Any) -> str:
    """A line on how much of a crop is padding, if crops are larger than the first image; else ''."""
    if options.crop is None:
        return ''
    from helpers.images import read_image

    size = read_image(train.pairs[0].image, rules=train.image_rules).shape[:2]
    scale = 1.0 if options.random_scale is None else options.random_scale[1]
    shares = [min(1.0, scale * extent / crop) for extent, crop in zip(size, options.crop)]
    padding = 1 - shares[0] * shares[1]
    if padding <= 0:
        return ''
    return (
        'crops of {} x {} are larger than the images, {} x {}{}: {:.0%} of a crop is padding{}, which is computed and '
        'counts for nothing. A smaller --crop is faster.\n'.format(
            options.crop[0],
            options.crop[1],
            size[0],
            size[1],
            '' if options.random_scale is None else ' times {:g} at most'.format(scale),
            padding,
            '' if options.random_scale is None else ' or more',
        )
    )


def _encoder_widths(variables: Any) -> Optional[Tuple[int, Any]]:
    """The width divisor and the head of an encoder; None if it is not a VGG-16 with widths divided by a number."""
    from fcn8s.vgg16.weights import layers

    kernels = {variable.op.name: variable.shape.as_list() for variable in variables}
    first, fc6 = (kernels.get(layers.kernel_variable(name)) for name in ('conv1_1', 'fc6'))
    if first is None or fc6 is None:
        return None
    width_divisor = layers.BLOCKS[0][0] // first[-1]
    head = layers.Head(fc6[0], fc6[-1] * width_divisor)
    try:
        layers.check_width_divisor(width_divisor)
        expected = layers.kernel_shapes(width_divisor, head)
    except ValueError:
        return None
    found = (kernels.get(layers.kernel_variable(name)) for name in ('conv5_3', 'fc6', 'fc7'))
    same = all(shape == list(expected[name]) for name, shape in zip(('conv5_3', 'fc6', 'fc7'), found))
    return (width_divisor, head) if same else None


def _plan_command(options: argparse.Namespace, request: Any, train: Any) -> str:
    command = 'plan --size {} {} --classes {} --batch {} --images {}'.format(
        request.size[0], request.size[1], request.num_classes, request.batch, train.get_num_files()
    )
    changed = [
        ('--width-divisor', request.width_divisor, 1),
        ('--head', str(request.head), str(VGG16_HEAD)),
        ('--accumulate', options.accumulate, 1),
        ('--variant', request.variant, DEFAULTS['variant']),
        ('--upsampling', request.upsampling, DEFAULTS['upsampling']),
        ('--optimizer', options.optimizer, DEFAULT_OPTIMIZER),
        ('--ema', options.ema, None),
        ('--swa', options.swa, None),
        ('--head-warmup', options.head_warmup, 0),
        ('--precision', request.precision, 'float32'),
    ]
    return ' '.join([command] + ['{} {}'.format(name, value) for name, value, default in changed if value != default])
