"""The arguments of `FCN8s.train`, and whether they can work: checked before any step, any file and any batch."""

import json
import os
from typing import Any, Callable, Dict, Iterable, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.batches import how_to_iterate, warn_of_repeated_images
from fcn8s.evaluation.scores import METRICS, metric_of
from fcn8s.network import check_save
from fcn8s.saving import runs
from fcn8s.saving.descriptions import check_tags
from fcn8s.training.schedules import checked_rate
from fcn8s.training.values import (
    MAX_WORST,
    check_keep_prob,
    check_l2_regularization,
    check_monitor_name,
)
from helpers.aliases import PathLike
from helpers.files import to_json
from helpers.flags import check_flags, checked_whole
from helpers.image_rules import ImageRules
from helpers.user_warnings import warn_user

# What a training writes into config.json ('workers' if there are several); users' entries need other names.
CONFIG_ENTRIES = (
    'versions',
    'workers',
    'seed',
    'model',
    'training',
    'dataset_fingerprint',
    'val_dataset_fingerprint',
    'data_options',
    'started',
    'train',
)
# Arguments that a resumed run has to repeat.
FIXED_IN_A_RUN = ('steps_per_epoch', 'keep_prob', 'l2_regularization', 'eval_dataset', 'monitor')
# Arguments that are on or off.
FLAGS = ('save_during_training', 'save_best_only', 'record_summaries', 'resume')
# Arguments that count from 1 on, and those of them that may be None.
COUNTS = (
    'epochs',
    'steps_per_epoch',
    'eval_frequency',
    'save_frequency',
    'summaries_frequency',
    'training_loss_display_averaging',
    'keep_checkpoints',
)
COUNTS_OR_NONE = ('val_steps', 'early_stopping_patience')


class TrainingEvent(NamedTuple):
    """The argument of a callback of `FCN8s.train`.

    kind: 'step' after every optimiser step, 'evaluation' after every evaluation, 'epoch' after every epoch, when it is
        recorded and saved.
    step: optimiser steps done in this run.
    scores: for a step its 'loss' and 'learning_rate'; for an evaluation what `FCN8s.evaluate` returns; for an epoch
        its record, as in the history. A copy: what a callback changes in it stays its own.
    model: the `FCN8s` that is trained.
    """

    kind: str
    step: int
    scores: Dict[str, Any]
    model: Any


Callback = Callable[[TrainingEvent], Any]


class TrainRequest(NamedTuple):
    """The arguments of `FCN8s.train`, under their names."""

    train_generator: Any
    epochs: int
    steps_per_epoch: int
    learning_rate_schedule: Callable[[int], float]
    keep_prob: float = 0.5
    l2_regularization: float = 0.0
    eval_dataset: Optional[str] = None
    eval_frequency: int = 5
    val_generator: Any = None
    val_steps: Optional[int] = None
    metrics: Iterable[str] = ()
    save_during_training: bool = False
    save_dir: Optional[PathLike] = None
    save_best_only: bool = True
    save_tags: Sequence[str] = ('default',)
    save_name: str = ''
    save_frequency: int = 5
    saver: str = 'saved_model'
    monitor: Optional[str] = None
    record_summaries: bool = True
    summaries_frequency: int = 10
    summaries_dir: Optional[PathLike] = None
    summaries_name: Optional[str] = None
    training_loss_display_averaging: int = 3
    run_dir: Optional[PathLike] = None
    resume: bool = False
    keep_checkpoints: int = 2
    early_stopping_patience: Optional[int] = None
    config: Optional[Dict[str, Any]] = None
    callbacks: Sequence[Callback] = ()
    summaries_worst: int = 0


def resolve_request(request: TrainRequest) -> TrainRequest:
    """Returns the request with its counts as Python integers, `metrics` and `callbacks` as tuples, and `eval_dataset`
    and `monitor` filled in where none was given. Raises ValueError for an invalid count, metric or callback.
    """
    eval_dataset = request.eval_dataset
    if eval_dataset is None:
        eval_dataset = 'train' if request.val_generator is None else 'val'
    given = COUNTS + tuple(name for name in COUNTS_OR_NONE if getattr(request, name) is not None)
    counts: Dict[str, Any] = {name: checked_whole(name, getattr(request, name), 1) for name in given}
    counts['summaries_worst'] = checked_whole('summaries_worst', request.summaries_worst, 0, MAX_WORST)
    request = request._replace(
        metrics=check_metrics(request.metrics),
        callbacks=_checked_callbacks(request.callbacks),
        eval_dataset=eval_dataset,
        **counts,
    )
    return request if request.monitor is not None else request._replace(monitor=_left_out_monitor(request))


def _left_out_monitor(request: TrainRequest) -> str:
    """What a training goes by that names no score: that of the run it resumes, else `_default_monitor`."""
    if request.resume and request.run_dir is not None and runs.is_run(request.run_dir):
        arguments = runs.config_of(request.run_dir).get('train')
        of_run = arguments.get('monitor') if isinstance(arguments, dict) else None
        if of_run is not None:
            return of_run
    return _default_monitor(request)


def _default_monitor(request: TrainRequest) -> str:
    """The first of METRICS that is evaluated on validation data, else the loss."""
    of_validation = request.metrics if request.eval_dataset == 'val' else ()
    return next((name for name in METRICS if name in of_validation), 'loss')


def _checked_callbacks(callbacks: Any) -> Tuple[Callback, ...]:
    """The callbacks as a tuple: a generator gives them only once. Raises ValueError for anything but functions."""
    functions = tuple(callbacks) if hasattr(callbacks, '__iter__') and not isinstance(callbacks, str) else (None,)
    _require(
        all(map(callable, functions)),
        'callbacks is {!r}; it has to be a list of functions of one event.',
        callbacks,
    )
    return functions


def check_request(request: TrainRequest, class_names: Sequence[str]) -> None:
    """Raises ValueError for the first thing that cannot work."""
    _check_environment()
    check_flags(**{name: getattr(request, name) for name in FLAGS})
    _check_schedule(request.learning_rate_schedule)
    check_keep_prob(request.keep_prob)
    check_l2_regularization(request.l2_regularization)
    _check_generators(request)
    _check_monitor(request, class_names)
    _check_saving(request)
    _check_worst(request)


def check_is_written(request: TrainRequest) -> None:
    """Raises ValueError for arguments about files that are not written, and warns of those about saving if nothing is
    saved.

    Only for the process that writes: others may be called without a place to write to.
    """
    _require(
        not request.config or request.run_dir is not None,
        'config has {}, and is for the config.json of a run, but run_dir is not given. Give run_dir, or leave config '
        'out.',
        sorted(request.config or {}),
    )
    _require(
        request.keep_checkpoints == TrainRequest._field_defaults['keep_checkpoints'] or request.run_dir is not None,
        'keep_checkpoints is {}, and is about the checkpoints of a run, but run_dir is not given. Give run_dir, or '
        'leave keep_checkpoints out.',
        request.keep_checkpoints,
    )
    has_place = (request.summaries_dir, request.run_dir) != (None, None)
    _require(
        not request.summaries_worst or has_place,
        'summaries_worst is {}, but neither summaries_dir nor run_dir says where they go. Give one of the two, or '
        'leave summaries_worst out.',
        request.summaries_worst,
    )
    _require(
        request.summaries_frequency == TrainRequest._field_defaults['summaries_frequency']
        or not request.record_summaries
        or has_place,
        'summaries_frequency is {}, but neither summaries_dir nor run_dir says where summaries go. Give one of the '
        'two, or leave summaries_frequency out.',
        request.summaries_frequency,
    )
    _require(
        request.summaries_name is None or not request.record_summaries or request.summaries_dir is not None,
        'summaries_name is {!r}, but summaries_dir does not say where{}. Give summaries_dir, or leave summaries_name '
        'out.',
        request.summaries_name,
        ', so nothing would be recorded' if request.run_dir is None else ': a run keeps its events in run_dir',
    )
    if not request.save_during_training:
        _warn_of_saving(request)
    _warn_of_monitor(request)


def _warn_of_saving(request: TrainRequest) -> None:
    """Warns of the first argument that says how models are saved, although none are."""
    names = ['save_dir', 'save_name', 'save_tags', 'saver']
    names += ['save_frequency', 'save_best_only'] if request.run_dir is None else []
    for name in names:
        value, default = getattr(request, name), TrainRequest._field_defaults[name]
        if value != default and not (name == 'save_tags' and tuple(value) == default):
            warn_user(
                '{} is {!r}, but save_during_training is off, so it changes nothing. {}.'.format(
                    name,
                    value,
                    'Give save_during_training=True, or leave {} out'.format(name)
                    if request.run_dir is None
                    else 'Leave {} out: the checkpoints go to run_dir'.format(name),
                )
            )
            return


def _warn_of_monitor(request: TrainRequest) -> None:
    saves_best = request.run_dir is not None or request.save_during_training and request.save_best_only
    goes_by_it = saves_best or request.early_stopping_patience is not None
    if request.monitor not in ('loss', _default_monitor(request)) and not goes_by_it:
        warn_user(
            'monitor is {!r}, but no best score is saved and no patience ends the training, so it changes nothing. '
            'Give run_dir, save_during_training with save_best_only or early_stopping_patience, or leave monitor '
            'out.'.format(request.monitor)
        )


def _check_worst(request: TrainRequest) -> None:
    _require(
        not request.summaries_worst or bool(request.record_summaries and request.metrics),
        'summaries_worst is {}, and {}, so there would be no worst images. Leave it out, or give {}.',
        request.summaries_worst,
        'metrics is empty' if request.record_summaries else 'record_summaries is off',
        'metrics' if request.record_summaries else 'record_summaries=True',
    )


def _require(holds: bool, message: str, *values: Any) -> None:
    if not holds:
        raise ValueError(message.format(*values))


def _check_environment() -> None:
    frozen = os.environ.get('TF_ONEDNN_ASSUME_FROZEN_WEIGHTS', '')
    _require(
        frozen.lower() not in ('1', 'true'),
        'TF_ONEDNN_ASSUME_FROZEN_WEIGHTS is {!r}: oneDNN would compute every step with the weights of the first one. '
        'Unset it to train.',
        frozen,
    )


def _check_schedule(schedule: Any) -> None:
    _require(
        callable(schedule),
        'learning_rate_schedule is {!r}; it has to be a function step -> rate, such as '
        'fcn8s.training.schedules.constant(1e-4) or lambda step: 1e-4.',
        schedule,
    )
    checked_rate(schedule(0), 0)


def check_evaluation(batches: Any, num_batches: int, l2_regularization: float, image_rules: ImageRules) -> None:
    """Raises ValueError for a wrong rate; warns of images that count twice, or are read by other rules.

    image_rules: the network's.
    """
    check_l2_regularization(l2_regularization)
    warn_of_repeated_images(batches, num_batches)
    rules = getattr(batches, 'image_rules', None)
    if rules not in (None, image_rules):
        warn_user(
            'the data are read by {}, and the network takes images that are read by {}. Unless that is meant, give '
            'the BatchGenerator image_rules=model.settings.image_rules.'.format(rules, image_rules)
        )


def check_metrics(metrics: Any) -> Tuple[str, ...]:
    """Returns the metrics asked for, or raises ValueError where one is unknown."""
    if metrics is None:
        return ()
    wanted = tuple(metrics) if hasattr(metrics, '__iter__') and not isinstance(metrics, str) else (metrics,)
    unknown = sorted((metric for metric in wanted if metric not in list(METRICS)), key=str)
    _require(not unknown, 'metrics has {}; choose from {}.', unknown, list(METRICS))
    return wanted


def _check_generators(request: TrainRequest) -> None:
    _require(
        hasattr(request.train_generator, '__next__'),
        'train_generator is {!r}; it has to be an iterator of (images, '
        'labels), such as BatchGenerator(...).generate(batch_size=4).{}',
        type(request.train_generator).__name__,
        how_to_iterate(request.train_generator, 'train_generator'),
    )
    _require(
        request.eval_dataset in ('train', 'val'),
        "eval_dataset is {!r}; it has to be 'train' or 'val'.",
        request.eval_dataset,
    )
    _require(
        request.eval_dataset == 'val' or request.val_generator is None,
        "val_generator is given, but eval_dataset is 'train', so it would not be used. Leave eval_dataset out, or "
        'val_generator.',
    )
    _require(
        request.val_generator is None
        or request.val_generator is not request.train_generator
        or not hasattr(request.val_generator, 'seek'),
        'train_generator and val_generator are the same iterator: each evaluation would set the training data back to '
        'their first batch. Call generate() once for each, or leave val_generator out.',
    )
    given = [name for name in ('val_generator', 'val_steps') if getattr(request, name) is not None]
    given = given or ['eval_dataset'] * (request.eval_dataset == 'val')
    frequency = TrainRequest._field_defaults['eval_frequency']
    given = given or ['eval_frequency'] * (request.eval_frequency != frequency)
    if given and not request.metrics:
        warn_user(
            "{0} is given, but metrics is empty, so nothing is evaluated. Give metrics=['loss', 'mean_iou', "
            "'accuracy'], or leave {0} out.".format(given[0])
        )
    if request.metrics and request.eval_dataset == 'val':
        _require(
            hasattr(request.val_generator, '__next__'),
            "eval_dataset is 'val', so val_generator has to be an iterator of (images, labels); it is {!r}.{}",
            type(request.val_generator).__name__,
            how_to_iterate(request.val_generator, 'val_generator'),
        )
        _require(
            num_eval_batches(request) is not None,
            "eval_dataset is 'val', so val_steps has to say how many batches of val_generator to evaluate.",
        )
        warn_of_repeated_images(request.val_generator, num_eval_batches(request))


def plain_arguments(request: TrainRequest) -> Dict[str, Any]:
    """Returns those arguments of a call that JSON can hold."""
    plain = (bool, int, float, str, list, tuple, set, frozenset, np.generic)
    return {
        name: sorted(value) if isinstance(value, (set, frozenset)) else value
        for name, value in request._asdict().items()
        if isinstance(value, plain) and name != 'callbacks'
    }


def batch_size(request: TrainRequest) -> Optional[int]:
    """Returns how many images the generator puts into a batch; None where it does not say."""
    size = getattr(request.train_generator, 'batch_size', None)
    return None if size is None else int(size)


def num_eval_batches(request: TrainRequest) -> Any:
    """Returns val_steps if given; else as many batches as an epoch has where the training data are evaluated, and those
    of one pass over the validation data otherwise.

    None if the validation data do not know their length.
    """
    if request.val_steps is not None:
        return request.val_steps
    if request.eval_dataset == 'train':
        return request.steps_per_epoch
    return getattr(request.val_generator, 'num_batches', None)


def monitor_needs_evaluation(request: TrainRequest) -> bool:
    """Tells whether evaluations give the monitored score; 'loss' is the training loss unless `metrics` holds it."""
    return request.monitor != 'loss' or 'loss' in request.metrics


def _check_monitor(request: TrainRequest, class_names: Sequence[str]) -> None:
    monitor: Any = request.monitor
    check_monitor_name(monitor, class_names=class_names)
    metric = metric_of(monitor)
    _require(
        monitor == 'loss' or metric in request.metrics,
        'monitor is {!r}{}, but metrics ({}) does not hold {!r}, so it would never be known. Add it to metrics.',
        monitor,
        ' (a run that is resumed keeps its own)' if request.resume else '',
        sorted(request.metrics) or 'empty',
        metric,
    )


def _check_config(config: Optional[Mapping[str, Any]]) -> None:
    config = {} if config is None else config
    _require(isinstance(config, Mapping), 'config is {!r}; it has to be a dict.', config)
    reserved = sorted(set(config) & set(CONFIG_ENTRIES))
    _require(
        not reserved,
        'config has {}, which config.json holds already. Give your entries other names.',
        reserved,
    )
    _require(
        isinstance(config.get('command', {}), Mapping),
        "config['command'] is {!r}; it is the name of the options of fcn8s train, a dict. Give yours another name.",
        config.get('command'),
    )
    for name, value in config.items():
        try:
            json.dumps(to_json({name: value}))
        except TypeError:
            raise ValueError(
                'config[{!r}] is {!r}, which JSON cannot hold. Give a number, a string, a list or a dict, under a '
                'name that is a string.'.format(name, value)
            ) from None


def _check_saving(request: TrainRequest) -> None:
    check_tags('save_tags', request.save_tags)
    check_save(request.saver, request.save_tags, request.save_name or None)
    _require(
        not request.save_during_training or request.save_dir is not None,
        'save_during_training is on, but save_dir is not given.',
    )
    _require(
        not (request.save_during_training and request.run_dir),
        'save_during_training and run_dir are both given; a run '
        'directory keeps its own checkpoints, so leave save_during_training out.',
    )
    _check_config(request.config)
    _require(
        not request.resume or request.run_dir is not None,
        'resume is on, but run_dir does not say which run to go on with.',
    )
