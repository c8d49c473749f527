"""`fcn8s find-rate`: the loss over a rising learning rate, and a rate to begin with."""

import argparse
import functools
import math
from typing import Any

from fcn8s.cli.options import resolving, training
from fcn8s.cli.options.evaluation import check_can_write
from fcn8s.cli.options.flags import flag
from fcn8s.cli.terminal import Parser, program
from fcn8s.training.probes import HIGH, LOW, STEPS, check_sweep, sweep_rates
from helpers.files import numbered, write_numbered

DESCRIPTION = """Trains for a few steps with a learning rate that rises from step to step until the loss explodes, draws
the loss over the rate, and suggests a rate: the one at which the loss falls fastest. Takes the options of fcn8s train,
which say what is trained on what; writes no run."""


_MEANINGLESS = resolving.NOT_OF_STEPS + ('rate',)


def add_parser(subparsers: Any) -> None:
    parser: Parser = subparsers.add_parser('find-rate', help='suggest a learning rate', description=DESCRIPTION)
    group = parser.add_argument_group('sweep')
    group.add_argument(
        '--low', type=float, default=LOW, metavar='RATE', help='the first rate (default: {:g})'.format(LOW)
    )
    group.add_argument(
        '--high', type=float, default=HIGH, metavar='RATE', help='the last rate (default: {:g})'.format(HIGH)
    )
    group.add_argument(
        '--steps', type=int, default=STEPS, metavar='N', help='steps from one to the other (default: {})'.format(STEPS)
    )
    group.add_argument(
        '--out',
        default='rate.svg',
        metavar='FILE',
        help='SVG picture of the curve (default: rate.svg, numbered where that is there)',
    )
    parser.add_argument('--recipe', metavar='NAME|FILE', help='take the defaults of all options from a recipe')
    parser.add_argument('--seed', type=int, default=0, help='seed of shuffling, augmentation and dropout (default: 0)')
    training.add_data_arguments(parser.add_argument_group('data'))
    training.add_augmentation_arguments(parser.add_argument_group('augmentation'))
    training.add_network_arguments(parser.add_argument_group('network'))
    training.add_training_arguments(parser.add_argument_group('training'))
    for option in parser.options:
        if option.dest in _MEANINGLESS:
            option.help = argparse.SUPPRESS  # not in the help, but known, so that its message appears
    parser.set_defaults(run=run, defaults=dict(training.take_defaults(parser), run_dir=None, resume=None))


def run(args: argparse.Namespace) -> int:
    from fcn8s.cli.inputs.training import check_can_begin, network_settings, open_datasets, train_batches

    typed = {name: value for name, value in vars(args).items() if name not in training.NO_OPTIONS}
    resolving.refuse(
        typed, _MEANINGLESS, '{means} nothing to a sweep of rates, which neither evaluates nor saves. Leave {it} out.'
    )
    options = resolving.without_validation(resolving.resolve_steps(typed, args.defaults))
    resolving.refuse_size_of_evaluations(typed, options)
    check_sweep(options.low, options.high, options.steps, flag)
    check_can_write('--out', options.out if 'out' in typed else numbered(options.out), 'rate.svg', ('.svg',))
    check_can_begin(options)
    data, _ = open_datasets(options)
    with train_batches(options, data) as batches:
        settings = network_settings(options, data)
        from fcn8s import FCN8s

        with FCN8s(distributed=False, **settings) as model:
            sweep = sweep_rates(
                model.train,
                batches,
                options.low,
                options.high,
                options.steps,
                keep_prob=options.keep_prob,
                l2_regularization=options.l2,
            )
    draw = functools.partial(_draw, sweep)
    if 'out' in typed:
        draw(options.out)
    else:
        options.out = write_numbered(options.out, draw)
    return _tell(sweep, options.out, options.steps)


def _tell(sweep: Any, out: str, steps: int) -> int:
    if len(sweep.rates) < steps:
        print('The loss exploded after {} of {} steps, and the sweep ended.'.format(len(sweep.rates), steps))
    print('curve: {}'.format(out))
    if sweep.suggestion is None:
        print(
            'The loss did not fall at any rate: check the data ({} check), or sweep further with --low and '
            '--high.'.format(program())
        )
        return 1
    print('suggestion: --rate poly:{:.1g}'.format(sweep.suggestion))
    return 0


def _draw(sweep: Any, path: str) -> None:
    """Writes the curve of a sweep, which has at least one point."""
    import numpy as np

    from fcn8s.report.charts import BLUE, PURPLE, VERMILION, Curve, line_chart
    from fcn8s.report.run_report import write_chart

    places = [math.log10(rate) for rate in sweep.rates]
    # An exploding loss would flatten the rest of the curve.
    highest = float(max(sweep.smoothed[: max(1, len(sweep.smoothed) // 2)]))
    limit = highest + 0.5 * abs(highest)
    curves = [
        Curve('loss', PURPLE, [(x, min(float(y), limit)) for x, y in zip(places, sweep.losses)]),
        Curve('smoothed', BLUE, [(x, min(float(y), limit)) for x, y in zip(places, sweep.smoothed)]),
    ]
    if sweep.suggestion is not None:
        x = math.log10(sweep.suggestion)
        name = 'suggestion {:.1g}'.format(sweep.suggestion)
        curves.append(Curve(name, VERMILION, [(x, 0.0), (x, limit)], has_dots=False))
    is_cut = (np.append(sweep.losses, sweep.smoothed) > limit).any()
    chart = line_chart(
        'Loss over a rising rate',
        curves,
        'rate, as a power of ten',
        'loss, cut at {:.3g}'.format(limit) if is_cut else 'loss',
        x_limits=(places[0], places[-1] + 1e-9),
    )
    assert chart is not None
    write_chart(path, chart)
