"""`fcn8s train --minutes`: how many epochs fit into a time, from steps and evaluations that are measured first."""

import argparse
import contextlib
import itertools
import time
from typing import Any, List, NamedTuple

from fcn8s.cli.inputs.training import (
    check_can_begin,
    network_settings,
    open_datasets,
    train_arguments,
    train_batches,
    val_batches,
)
from fcn8s.cli.options.counts import LARGEST_COUNT
from helpers.counted import counted

# The first steps compile and fill queues, and do not count. Then steps are timed for this many seconds, at least the
# fewest and at most the most.
_NOT_COUNTED, _SECONDS, _FEWEST, _MOST = 2, 10.0, 3, 100
# Batches of an evaluation that are timed, after one that does not count.
_EVALUATED = 4
# A report takes the time of this many evaluations: it looks at one image at a time.
_REPORT = 2


class _MeasuredError(Exception):
    """Enough steps were measured."""


class Pace(NamedTuple):
    """Seconds on this machine of a step and of an evaluation; 0 where nothing is evaluated."""

    step: float
    evaluation: float


def epochs_that_fit(options: argparse.Namespace) -> int:
    """Measures the training that the options describe, and returns the epochs that fit into their `minutes`.

    Measuring is part of that time. The weights of the measured steps are thrown away, so the training is the same as
    with --epochs and the result.

    Raises:
        ValueError: Not even one epoch fits.
    """
    start = time.monotonic()
    check_can_begin(options)
    print('Measuring how fast this machine is, for --minutes; what these first steps learn is thrown away.', flush=True)
    train_data, val_data = open_datasets(options)
    with train_batches(options, train_data) as batches, val_batches(options, val_data) as val:
        options.epochs = LARGEST_COUNT  # until it is known
        arguments = train_arguments(options, batches, val)
        # Epochs of a head warm-up are cheaper than the others: the others are measured.
        settings = dict(network_settings(options, train_data), head_warmup=0)
        options.class_weights = settings['class_weights']  # counted once, within the time that is measured
        settings['optimizer'] = settings['optimizer']._replace(swa=None)  # these steps have no last epochs
        from fcn8s import FCN8s

        with FCN8s(distributed=False, **settings) as model:
            of_evaluation = 0.0 if val is None else _seconds_of_evaluation(model, val, options)
            pace = Pace(_seconds_of_step(model, batches, options, arguments), of_evaluation)
    left = 60 * options.minutes - (time.monotonic() - start)
    epochs = _epochs_within(left, pace, arguments['steps_per_epoch'], options)
    print(
        'a step takes {:.3g} s on this machine, {}: {} of {} fit into {}'.format(
            pace.step,
            'an evaluation {:.3g} s'.format(pace.evaluation) if val_data else 'nothing is evaluated',
            counted(epochs, 'epoch'),
            counted(arguments['steps_per_epoch'], 'step'),
            counted('{:g}'.format(options.minutes), 'minute'),
        )
    )
    return epochs


def _seconds_of_step(model: Any, batches: Any, options: argparse.Namespace, arguments: Any) -> float:
    ends: List[float] = []

    def watch(event: Any) -> None:
        if event.kind == 'step':
            ends.append(time.monotonic())
            timed = ends[_NOT_COUNTED:]
            if len(timed) > _FEWEST and (timed[-1] - timed[0] > _SECONDS or len(timed) > _MOST):
                raise _MeasuredError

    with contextlib.suppress(_MeasuredError):
        model.train(
            batches,
            1,
            _NOT_COUNTED + _MOST + 2,
            arguments['learning_rate_schedule'],
            options.keep_prob,
            options.l2,
            callbacks=[watch],
        )
    timed = ends[_NOT_COUNTED:]
    return (timed[-1] - timed[0]) / (len(timed) - 1)


def _seconds_of_evaluation(model: Any, val: Any, options: argparse.Namespace) -> float:
    num_batches = -(-val.num_images // options.eval_batch)
    model.run_evaluation(val, 1)
    start, timed = time.monotonic(), min(_EVALUATED, num_batches)
    model.run_evaluation(val, timed)
    return (time.monotonic() - start) / timed * num_batches


def _epochs_within(seconds: float, pace: Pace, steps_per_epoch: int, options: argparse.Namespace) -> int:
    """The most epochs that take at most `seconds`: steps, evaluations, and the report, which evaluates again."""
    report = _REPORT if options.report else 0

    def needed(epochs: int) -> float:
        evaluations = -(-epochs // options.eval_every) + report
        return epochs * steps_per_epoch * pace.step + evaluations * pace.evaluation

    if needed(1) > seconds:
        raise ValueError(
            '--minutes is {:g}, and {:.0f} s of that are left after measuring; an epoch of {} and what is '
            'evaluated take {:.0f} s on this machine. Give more minutes, or fewer --steps-per-epoch.'.format(
                options.minutes, max(0.0, seconds), counted(steps_per_epoch, 'step'), needed(1)
            )
        )
    # This many fit for certain, and at most a few more.
    certain = (seconds - (1 + report) * pace.evaluation) / (
        steps_per_epoch * pace.step + pace.evaluation / options.eval_every
    )
    return next(epochs for epochs in itertools.count(max(1, int(certain))) if needed(epochs + 1) > seconds)
