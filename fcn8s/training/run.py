"""`FCN8s.train`: checks what was asked for, wires the loop to session, evaluation, summaries and files, and runs it."""

import contextlib
import datetime
import functools
import os
import shlex
import warnings
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from fcn8s.batches import check_same_classes
from fcn8s.saving import runs
from fcn8s.saving.checkpoints import Checkpoints, read_state
from fcn8s.saving.descriptions import check_tags
from fcn8s.saving.model_files import library_versions
from fcn8s.stopping import EvaluationAbandoned, StopRequest, until_stopped
from fcn8s.training import diagnosis, tensorboard
from fcn8s.training.loop import Actions, Fetches, LoopOptions, TrainingLoop, TrainingState
from helpers.files import to_json

METRICS = ('loss', 'mean_iou', 'accuracy')
SAVERS = ('saved_model', 'train_saver')
# Arguments that a resumed run has to repeat; see `_check_continues`.
# What config.json holds in any case.
CONFIG_ENTRIES = ('versions', 'seed', 'model', 'training', 'dataset_fingerprint', 'started', 'train')
FIXED_IN_A_RUN = ('steps_per_epoch', 'keep_prob', 'l2_regularization', 'eval_dataset', 'monitor')


class TrainRequest(NamedTuple):
    """The arguments of `FCN8s.train`, under their names."""

    train_generator: Any
    epochs: int
    steps_per_epoch: int
    learning_rate_schedule: Callable[[int], float]
    keep_prob: float = 0.5
    l2_regularization: float = 0.0
    eval_dataset: str = 'train'
    eval_frequency: int = 5
    val_generator: Any = None
    val_steps: Optional[int] = None
    metrics: Iterable[str] = ()
    save_during_training: bool = False
    save_dir: Optional[str] = None
    save_best_only: bool = True
    save_tags: Sequence[str] = ('default',)
    save_name: str = ''
    save_frequency: int = 5
    saver: str = 'saved_model'
    monitor: str = 'loss'
    record_summaries: bool = True
    summaries_frequency: int = 10
    summaries_dir: Optional[str] = None
    summaries_name: Optional[str] = None
    training_loss_display_averaging: int = 3
    run_dir: Optional[str] = None
    resume: bool = False
    keep_checkpoints: int = 2
    early_stopping_patience: Optional[int] = None
    config: Optional[Dict[str, Any]] = None


def check_request(request: TrainRequest, class_names: Sequence[str]) -> None:
    """Raises ValueError for the first thing that cannot work; before any step, any file and any batch."""
    _check_counts(request)
    _check_schedule(request.learning_rate_schedule)
    _check_rates(request)
    _check_generators(request)
    _check_monitor(request, class_names)
    _check_saving(request)


def _require(holds: Union[bool, np.bool_], message: str, *values: Any) -> None:
    if not holds:
        raise ValueError(message.format(*values))


def _check_counts(request: TrainRequest) -> None:
    names = [
        'epochs',
        'steps_per_epoch',
        'eval_frequency',
        'save_frequency',
        'summaries_frequency',
        'training_loss_display_averaging',
        'keep_checkpoints',
    ]
    names += [name for name in ('val_steps', 'early_stopping_patience') if getattr(request, name) is not None]
    for name in names:
        value = getattr(request, name)
        _require(
            isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 1,
            '{} is {!r}; it has to be a whole number of at least 1.',
            name,
            value,
        )


def _check_schedule(schedule: Any) -> None:
    _require(
        callable(schedule),
        'learning_rate_schedule is {!r}; it has to be a function step -> rate, such as '
        'fcn8s.training.schedules.constant(1e-4) or lambda step: 1e-4.',
        schedule,
    )
    rate = schedule(0)
    _require(
        isinstance(rate, (int, float, np.number)) and np.isfinite(rate) and rate >= 0,
        'learning_rate_schedule(0) is {!r}; the rate has to be a finite number of at least 0.',
        rate,
    )


def _check_rates(request: TrainRequest) -> None:
    _require(
        0 < request.keep_prob <= 1,
        'keep_prob is {!r}; it has to be above 0 and at most 1 (1 is no dropout).',
        request.keep_prob,
    )
    check_l2_regularization(request.l2_regularization)


def check_l2_regularization(rate: float) -> None:
    """Raises ValueError unless the rate is finite and at least 0."""
    _require(0 <= rate < float('inf'), 'l2_regularization is {!r}; it has to be at least 0.', rate)


def _check_generators(request: TrainRequest) -> None:
    _require(
        hasattr(request.train_generator, '__next__'),
        'train_generator is {!r}; it has to be an iterator of (images, '
        'labels), such as BatchGenerator(...).generate(batch_size=4).',
        type(request.train_generator).__name__,
    )
    unknown = sorted(set(request.metrics) - set(METRICS))
    _require(not unknown, 'metrics has {}; choose from {}.', unknown, list(METRICS))
    _require(
        request.eval_dataset in ('train', 'val'),
        "eval_dataset is {!r}; it has to be 'train' or 'val'.",
        request.eval_dataset,
    )
    if request.metrics and request.eval_dataset == 'val':
        _require(
            hasattr(request.val_generator, '__next__'),
            "eval_dataset is 'val', so val_generator has to be an iterator of (images, labels); it is {!r}.",
            type(request.val_generator).__name__,
        )
        _require(
            num_eval_batches(request) is not None,
            "eval_dataset is 'val', so val_steps has to say how many batches of val_generator to evaluate.",
        )


def num_eval_batches(request: TrainRequest) -> Optional[int]:
    """val_steps where given; else one pass over the validation data, or as many batches as an epoch trains on."""
    if request.val_steps is not None:
        return request.val_steps
    if request.eval_dataset == 'train':
        return request.steps_per_epoch
    return getattr(request.val_generator, 'num_batches', None)


def monitor_needs_evaluation(request: TrainRequest) -> bool:
    """'loss' is the training loss unless the evaluation is asked for 'loss'."""
    return request.monitor != 'loss' or 'loss' in request.metrics


def _check_monitor(request: TrainRequest, class_names: Sequence[str]) -> None:
    monitor = request.monitor
    if monitor.startswith('iou:'):
        _require(
            monitor[4:] in class_names,
            'monitor is {!r}, but there is no such class; the classes are {}.',
            monitor,
            ', '.join(class_names),
        )
    else:
        _require(monitor in METRICS, "monitor is {!r}; choose from {} or 'iou:CLASS NAME'.", monitor, list(METRICS))
    metric = 'mean_iou' if monitor.startswith('iou:') else monitor
    _require(
        monitor == 'loss' or metric in request.metrics,
        'monitor is {!r}, but metrics ({}) does not hold {!r}, so it would never be known. Add it to metrics.',
        monitor,
        sorted(request.metrics) or 'empty',
        metric,
    )


def _check_saving(request: TrainRequest) -> None:
    _require(request.saver in SAVERS, 'saver is {!r}; choose from {}.', request.saver, list(SAVERS))
    check_tags('save_tags', request.save_tags)
    _require(
        not request.save_during_training or request.save_dir is not None,
        'save_during_training is on, but save_dir is not given.',
    )
    _require(
        not (request.save_during_training and request.run_dir),
        'save_during_training and run_dir are both given; a run '
        'directory keeps its own checkpoints, so leave save_during_training out.',
    )
    reserved = sorted(set(request.config or {}) & set(CONFIG_ENTRIES))
    _require(
        not reserved,
        'config has {}, which config.json holds already. Give your entries other names.',
        reserved,
    )
    _require(
        not request.resume or request.run_dir is not None,
        'resume is on, but run_dir does not say which run to go on with.',
    )


def train(model: Any, request: TrainRequest) -> List[Dict[str, Any]]:
    """Trains `model`, a `fcn8s.FCN8s`; see there. Returns one record per epoch of this call."""
    request = request._replace(metrics=tuple(request.metrics))
    label_space = model.label_space
    for generator in (request.train_generator, request.val_generator):
        label_space = check_same_classes(label_space, getattr(generator, 'label_space', None))
    check_request(request, label_space.class_names)
    model.set_label_space(label_space)
    return _Training(model, request).train()


def _differences(name: str, first: Any, second: Any) -> Iterable[Tuple[str, Any, Any]]:
    """(place, first value, second value) for every entry of two nested JSON values that differs."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(set(first) | set(second)):
            for difference in _differences('{} {}'.format(name, key), first.get(key), second.get(key)):
                yield difference
    elif first != second:
        yield name, first, second


class _Training:
    """One training call: the loop's actions, carried out on a model."""

    def __init__(self, model: Any, request: TrainRequest) -> None:
        self.model = model
        self.request = request
        self.run: Optional[runs.Run] = None
        self.checkpoints: Optional[Checkpoints] = None
        self.state = TrainingState()
        self.records: List[Dict[str, Any]] = []
        self.events: Optional[tensorboard.EventWriter] = None
        self.weight_statistics: Optional[tensorboard.WeightStatistics] = None

    def train(self) -> List[Dict[str, Any]]:
        with contextlib.ExitStack() as stack:
            if self.request.run_dir is not None:
                self.run = self._open_run(self.request.run_dir)
                stack.enter_context(runs.only_writer(self.run))
                if self.request.resume:
                    # The next --resume goes on to these epochs, also after a kill.
                    runs.update_config(self.run, dict(self.request.config or {}, train=self._arguments()))
                self.checkpoints = self._open_checkpoints(self.run)
            self._open_events()
            if self.events:
                stack.enter_context(self.events)
            self._warn_about_dropout()
            history = self._loop().train()
        self._print_diagnosis()
        return history

    def _print_diagnosis(self) -> None:
        """Of the whole run, also where this call only went on with it."""
        model, on_val = self.model, self.request.eval_dataset == 'val'
        for message in diagnosis.diagnose_history(
            self.records, model.label_space, on_val, model.trains_mean_cross_entropy
        ):
            print('note: ' + message)

    def _loop(self) -> TrainingLoop:
        request, training = self.request, self.model.model.training
        options = LoopOptions(
            request.epochs,
            request.steps_per_epoch,
            request.learning_rate_schedule,
            request.keep_prob,
            request.l2_regularization,
            self.model.accumulate_batches,
            request.eval_frequency,
            request.save_frequency,
            request.save_best_only and self.run is None,
            request.monitor,
            request.early_stopping_patience,
            request.summaries_frequency,
            request.training_loss_display_averaging,
            self.model.seed,
        )
        loss = {'value': training.loss.value, 'penalty': training.penalty}
        if training.loss.weight is not None:
            loss['weight'] = training.loss.weight
        fetches = Fetches(loss, training.ops.apply_op, training.ops.accumulate_op, self.model.training_feed)
        saves = self.run is not None or request.save_during_training
        actions = Actions(
            evaluate=self._evaluate if request.metrics else None,
            save=self._save if saves else None,
            record=self._record,
            summarize=functools.partial(self._summarize, self.events) if self.events else None,
            needs_evaluation=monitor_needs_evaluation(request),
            save_when_improved=self.run is not None or request.save_best_only,
            how_to_go_on=None if self.run is None else self._how_to_go_on(self.run),
        )
        return TrainingLoop(
            self.model.sess.run,
            fetches,
            request.train_generator,
            options,
            actions,
            self.model.label_space.class_names,
            self.state,
        )

    # The run directory

    def _open_run(self, directory: str) -> runs.Run:
        """Policy: 1. resume=True goes on from the last checkpoint; without a checkpoint it starts at step 0 again.
        2. Otherwise the directory must not hold a run. Nothing that a run wrote is overwritten by another."""
        if not self.request.resume:
            return runs.create_run(directory, self._config())
        run = runs.open_run(directory)
        self._check_continues(run, runs.read_config(run))
        return run

    def _open_checkpoints(self, run: runs.Run) -> Checkpoints:
        checkpoints = Checkpoints(run.checkpoints_dir, self.request.keep_checkpoints)
        last = checkpoints.last()
        if last is not None:
            self._resume(run, last)
        checkpoints.recover(self.state.best_step)
        return checkpoints

    def _how_to_go_on(self, run: runs.Run) -> str:
        if 'command' in (self.request.config or {}):
            return 'Go on with: fcn8s train --resume {}'.format(shlex.quote(run.directory))
        return 'To go on, train again with run_dir={!r} and resume=True.'.format(run.directory)

    def _config(self) -> Dict[str, Any]:
        generator = self.request.train_generator
        config = {
            'versions': library_versions(),
            'seed': self.model.seed,
            'model': self.model.settings.to_dict(),
            'training': self.model.describe_training(),
            'dataset_fingerprint': getattr(generator, 'fingerprint', None),
            'started': datetime.datetime.now().isoformat(timespec='seconds'),
        }
        config['train'] = self._arguments()
        config.update(self.request.config or {})
        return config

    def _arguments(self) -> Dict[str, Any]:
        """The arguments of this call that JSON can hold."""
        plain = (bool, int, float, str, list, tuple, set, frozenset, np.generic)
        return {
            name: sorted(value) if isinstance(value, (set, frozenset)) else value
            for name, value in self.request._asdict().items()
            if isinstance(value, plain)
        }

    def _check_continues(self, run: runs.Run, config: Dict[str, Any]) -> None:
        """A resumed run repeats the first one only where these agree."""
        now = self.model.describe_training()
        wanted = {
            'seed': (config['seed'], self.model.seed),
            'model': (config['model'], self.model.settings.to_dict()),
            'training': (dict(now, **config['training']), now),
        }
        wanted.update({name: (config['train'][name], getattr(self.request, name)) for name in FIXED_IN_A_RUN})
        for name, (before, now) in wanted.items():
            for place, then, today in _differences(name, to_json(before), to_json(now)):
                raise ValueError(
                    'the run {!r} was started with {} {!r} and cannot go on with {!r}. Use the same, or start a new '
                    'run.'.format(run.directory, place, then, today)
                )
        fingerprint = getattr(self.request.train_generator, 'fingerprint', None)
        if config.get('dataset_fingerprint') != fingerprint:
            warnings.warn(
                'The training data of the run {!r} have changed since it was started.'.format(run.directory),
                stacklevel=2,
            )

    def _resume(self, run: runs.Run, checkpoint: str) -> None:
        stored = read_state(checkpoint)
        self.model.restore_state(checkpoint)
        self.state = TrainingState.from_dict(stored['loop'])
        # Epochs that were finished after this checkpoint, or are finished by it only now, are recorded anew.
        finished = self.state.step - len(self.state.losses)
        self.records = [record for record in runs.read_metrics(run) if record['step'] <= finished]
        runs.write_metrics(run, self.records)
        generator = self.request.train_generator
        if hasattr(generator, 'seek') and stored['data_position'] is not None:
            generator.seek(stored['data_position'])
        else:
            warnings.warn(
                'train_generator cannot seek, so the resumed run sees the data from the start of the generator. '
                'BatchGenerator.generate gives an iterator that can.',
                stacklevel=2,
            )
        print('Resumed from {} at step {}.'.format(checkpoint, self.state.step))

    # Actions of the loop

    def _evaluate(self, stop: StopRequest) -> Dict[str, Any]:
        request = self.request
        generator = request.train_generator if request.eval_dataset == 'train' else request.val_generator
        position = getattr(generator, 'position', None)
        # Every evaluation sees the same images, where the generator allows it.
        if request.eval_dataset == 'val' and hasattr(generator, 'seek'):
            generator.seek(0)
        try:
            scores = self.model.run_evaluation(
                until_stopped(generator, stop), num_eval_batches(request), request.l2_regularization
            )
        except EvaluationAbandoned:
            if hasattr(generator, 'seek') and position is not None:
                generator.seek(position)  # the resumed run evaluates the same training batches
            raise
        self._report_scores(scores)
        return scores

    def _report_scores(self, scores: Dict[str, Any]) -> None:
        request = self.request
        self.model.remember_metrics({name: scores[name] for name in request.metrics})
        print(
            '  '.join(
                ['{} on {}:'.format('scores', request.eval_dataset)]
                + ['{} {:.4f}'.format(name, scores[name]) for name in METRICS if name in request.metrics]
            )
        )
        if self.events:
            step = self.state.step
            self.events.scalars(
                step, tensorboard.score_scalars(scores, request.eval_dataset, self.model.label_space.class_names)
            )
            self.events.scalars(step, self._weight_statistics())

    def _record(self, record: Dict[str, Any]) -> None:
        self.model.remember_training_loss(record['training_loss'])
        self.records.append(record)
        if self.run is not None:
            runs.write_metrics(self.run, self.records)

    def _save(self, state: TrainingState, is_best: bool) -> None:
        request = self.request
        if self.checkpoints is None:
            self.model.save(
                request.save_dir, request.saver, list(request.save_tags), request.save_name or None, force_save=True
            )
            return
        position = getattr(request.train_generator, 'position', None)
        content = to_json({'loop': state.to_dict(), 'data_position': position})
        self.checkpoints.save(state.step, self.model.write_checkpoint_files, content, is_best)

    # TensorBoard

    def _open_events(self) -> None:
        request = self.request
        directory = None
        if request.summaries_dir is not None:
            directory = os.path.join(request.summaries_dir, request.summaries_name or '')
        elif self.run is not None:
            directory = self.run.events_dir
        if request.record_summaries and directory is not None:
            self.events = tensorboard.EventWriter(directory, self.model.graph, self.state.step)

    def _weight_statistics(self) -> Dict[str, float]:
        if self.weight_statistics is None:
            with self.model.graph.as_default():
                self.weight_statistics = tensorboard.WeightStatistics(
                    [v for v in self.model.model.weights if v.shape.ndims > 1]
                )
        return self.weight_statistics.read(self.model.sess)

    def _summarize(self, events: tensorboard.EventWriter, step: int, values: Dict[str, float], batch: Any) -> None:
        events.scalars(step, {'train/' + name: value for name, value in values.items()})
        # A picture every tenth time: they are a hundred times as large as the numbers.
        if (
            step // self.request.summaries_frequency
        ) % 10 == 1 or self.request.summaries_frequency >= self.request.steps_per_epoch:
            self._picture(events, step, batch)

    def _picture(self, events: tensorboard.EventWriter, step: int, batch: Any) -> None:
        images, labels = batch
        labels = np.asarray(labels)
        if labels.ndim == 4:
            labels = labels.argmax(axis=-1)
        prediction = self.model.predict(images[:1])[0]
        strip = tensorboard.prediction_strip(np.asarray(images[0]), labels[0], prediction, self.model.label_space)
        events.image(step, 'train/image_truth_prediction', strip)

    def _warn_about_dropout(self) -> None:
        if self.run is not None and self.request.keep_prob < 1 and self.model.model.encoder.dropout_seed is None:
            print(
                "This encoder draws its dropout from TensorFlow's own random state, which no checkpoint holds: a "
                'resumed run sees the same data but other dropout masks. Encoders written by fcn8s vgg16 repeat theirs.'
            )
