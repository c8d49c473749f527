"""`fcn8s train --minutes`: how many epochs fit into a time, by steps and evaluations that are measured before."""

import argparse
import contextlib
import itertools
import time
from typing import Any, List, NamedTuple

from fcn8s.cli.inputs.training import network_settings, open_datasets, train_arguments, train_batches, val_batches
from helpers.counted import counted

# The first steps compile and fill queues; then for so many seconds, but for no more steps than are worth it.
_NOT_COUNTED, _SECONDS, _FEWEST, _MOST = 2, 10.0, 3, 100
# Batches of an evaluation that are timed, after one that is not.
_EVALUATED = 4
# How many evaluations a report is worth: it looks at one image at a time.
_REPORT = 2


class _MeasuredError(Exception):
    """Enough steps were measured."""


class Pace(NamedTuple):
    """Seconds on this machine of a step and of an evaluation; 0 where nothing is evaluated."""

    step: float
    evaluation: float


def epochs_that_fit(options: argparse.Namespace) -> int:
    """Measures the training that the options describe, and returns the epochs that fit into their `minutes`.

    What measuring takes is part of the time. The weights of the steps measured are thrown away, so that the training is
    the one that --epochs with the result gives.

    Raises:
        ValueError: Not even one fits.
    """
    start = time.monotonic()
    print('Measuring how fast this machine is, for --minutes; what these first steps learn is thrown away.', flush=True)
    train_data, val_data = open_datasets(options)
    with train_batches(options, train_data) as batches, val_batches(options, val_data) as val:
        arguments = train_arguments(options, batches, val)
        # With a warm-up of the head its epochs are cheaper than the others: those count.
        settings = dict(network_settings(options, train_data), head_warmup=0)
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
    """The most epochs whose steps, evaluations, and report, which evaluates again, take no more than `seconds`."""
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
    # So many fit for certain, and at most a few more.
    certain = (seconds - (1 + report) * pace.evaluation) / (
        steps_per_epoch * pace.step + pace.evaluation / options.eval_every
    )
    return next(epochs for epochs in itertools.count(max(1, int(certain))) if needed(epochs + 1) > seconds)
