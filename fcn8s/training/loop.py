"""The training loop: steps, epochs, and when to evaluate, to record and to save.

The loop touches no TensorFlow. It takes `run(fetches, feed)`, a session's `run` or anything that behaves like it.
"""

import contextlib
import dataclasses
import math
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from fcn8s.batches import as_pair
from fcn8s.evaluation.scores import CLASS_IOU, METRICS, metric_of
from fcn8s.stopping import EvaluationAbandoned, StopRequest, TrainingInterrupted
from fcn8s.training.diagnosis import cause_of_not_finite
from fcn8s.training.schedules import checked_rate
from helpers.counted import counted
from helpers.json_files import is_count, is_number
from helpers.process.termination import Interrupted
from helpers.progress import bar_options
from helpers.user_warnings import warn_user

Scores = Dict[str, Any]

# A narrow terminal cuts off the end: what people look for comes first, the bar last.
PROGRESS = '{desc}: {n_fmt}/{total_fmt} <{remaining}{postfix} {bar}'


class LoopOptions(NamedTuple):
    """The checked arguments of `FCN8s.train`. Frequencies are in epochs, except summaries_frequency, in steps.

    average_epochs: the weights at the ends of the last `average_epochs` epochs are averaged; 0 for none.
    warmup_epochs: the first `warmup_epochs` epochs train the head alone.
    """

    epochs: int
    steps_per_epoch: int
    learning_rate_schedule: Callable[[int], float]
    keep_prob: float
    l2_regularization: float
    accumulate_batches: int
    eval_frequency: int
    save_frequency: int
    save_best_only: bool
    monitor: str
    patience: Optional[int]
    summaries_frequency: int
    loss_averaging: int
    seed: int
    average_epochs: int = 0
    warmup_epochs: int = 0


class Fetches(NamedTuple):
    """The graph side of a step: what to fetch, and how a batch becomes a feed.

    loss: 'value' and 'penalty', and 'weight' where the values of accumulated batches are averaged; `step_loss`
        combines them.
    feed(images, labels, keep_prob, dropout_seed, learning_rate, l2_rate) -> feed dict
    accumulate_op: adds one batch's gradients to the sum; None without accumulation.
    count(images): how many images a batch has, including those of other workers.
    averaging_op: adds the weights at the end of an epoch to their average (`average_epochs`); None without one.
    warmup_op, warmup_accumulate_op: as step_op and accumulate_op, but for the head alone; None without a warm-up.
    """

    loss: Dict[str, Any]
    step_op: Any
    accumulate_op: Optional[Any]
    feed: Callable[..., Dict[Any, Any]]
    count: Callable[[Any], int] = len
    averaging_op: Optional[Any] = None
    warmup_op: Optional[Any] = None
    warmup_accumulate_op: Optional[Any] = None


class Actions(NamedTuple):
    """What the loop leaves to others. Each function may be None, for a loop that does not do it.

    evaluate(stop) -> scores, or raises EvaluationAbandoned once the StopRequest was made; save(state, is_best);
    summarize(step, values by name, batch); record(epoch record); tell(kind, step, scores), see
    `fcn8s.training.request.TrainingEvent`.
    needs_evaluation: whether the monitored score comes from evaluate() rather than from the training loss.
    save_when_improved: whether an epoch with a new best score is saved, even if no save is due.
    stop_request: makes the object that hears signals.
    how_to_go_on: what a person does to continue from what save() wrote; None where that is only a model.
    save_at_failure(state): saves when something fails between two steps, in the data or in an evaluation; None: as
        save(state, False).
    """

    evaluate: Optional[Callable[[StopRequest], Scores]] = None
    save: Optional[Callable[['TrainingState', bool], None]] = None
    summarize: Optional[Callable[[int, Dict[str, float], Optional[Tuple[Any, Any]]], None]] = None
    record: Optional[Callable[[Dict[str, Any]], None]] = None
    tell: Optional[Callable[[str, int, Scores], None]] = None
    needs_evaluation: bool = False
    save_when_improved: bool = True
    how_to_go_on: Optional[str] = None
    save_at_failure: Optional[Callable[['TrainingState'], None]] = None
    stop_request: Callable[[], StopRequest] = StopRequest


_COUNT = (is_count, 'a whole number of at least 0')
_SECONDS = (lambda value: is_number(value) and value >= 0, 'a number of at least 0')
# What a field of a `TrainingState` may be: a test, and the words of messages.
_STATE_RULES: Dict[str, Tuple[Callable[[Any], bool], str]] = {
    'step': _COUNT,
    'losses': (lambda value: isinstance(value, list) and all(map(is_number, value)), 'a list of numbers'),
    'best': (lambda value: value is None or is_number(value), 'a number or null'),
    'best_step': (lambda value: value is None or is_count(value), 'a whole number of at least 0, or null'),
    'evaluations_since_best': _COUNT,
    'seconds': _SECONDS,
    'waited': _SECONDS,
    'images': _COUNT,
}


@dataclasses.dataclass
class TrainingState:
    """How far a training run is; everything that resuming needs besides variables and data position.

    Attributes:
        step: optimiser steps done in this run.
        losses: of the steps of the current epoch.
        best, best_step: the best monitored score so far and its step; None before there is one.
        evaluations_since_best: how often since then the monitored score was known but no better.
        seconds, waited, images: for the steps of the current epoch: how long they took, including summaries and
            callbacks between them, how much of that was spent waiting for data, and how many images they took.
    """

    step: int = 0
    losses: List[float] = dataclasses.field(default_factory=list)
    best: Optional[float] = None
    best_step: Optional[int] = None
    evaluations_since_best: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    images: int = 0

    def end_epoch(self) -> None:
        """Forgets the losses, times and images of the epoch's steps."""
        self.losses, self.seconds, self.waited, self.images = [], 0.0, 0.0, 0

    def to_dict(self) -> Dict[str, Any]:
        """Returns the state as JSON can hold it."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, fields: Any) -> 'TrainingState':
        """Returns the state that `to_dict` gave.

        Raises:
            ValueError: for a field that is missing, unknown, or of a kind or value that it cannot have.
        """
        if not isinstance(fields, dict):
            raise ValueError('the state of the loop is {!r:.60}; it has to be a table.'.format(str(fields)))
        needed = ('step', 'losses', 'best', 'best_step', 'evaluations_since_best')
        missing = [name for name in needed if name not in fields]
        unknown = sorted(set(fields) - set(vars(cls())))
        if missing or unknown:
            raise ValueError(
                'the state of the loop {} {}.'.format('lacks' if missing else 'has', ', '.join(missing or unknown))
            )
        for name, value in fields.items():
            holds, rule = _STATE_RULES[name]
            if not holds(value):
                raise ValueError('{} is {:.60}; it has to be {}.'.format(name, repr(value), rule))
        if fields['best_step'] is not None and fields['best_step'] > fields['step']:
            raise ValueError('best_step is {}, after step {}.'.format(fields['best_step'], fields['step']))
        return cls(**fields)


def is_better(monitor: str, score: float, best: Optional[float]) -> bool:
    """Tells whether `score` beats `best` in the direction that METRICS gives; NaN never does."""
    if math.isnan(score):
        return False
    if best is None:
        return True
    return METRICS[metric_of(monitor)].is_better(score, best)


def monitored_score(monitor: str, scores: Scores, class_names: Tuple[str, ...]) -> float:
    """Returns the score that `monitor` names: a key of the scores, or 'iou:NAME' for one class."""
    if monitor.startswith(CLASS_IOU):
        return float(scores['per_class_iou'][class_names.index(monitor[len(CLASS_IOU) :])])
    return float(scores[monitor])


def step_loss(batches: Sequence[Dict[str, float]]) -> float:
    """Computes the loss of a step over accumulated batches: the loss of one batch that holds them all.

    batches: for each batch the 'value' of its loss without the L2 penalty, the 'penalty', and the 'weight' of the
        value in a mean over batches (see `fcn8s.graph.losses.Loss`). Without weights the values are added up.
    """
    values = [float(batch['value']) for batch in batches]
    if 'weight' in batches[0]:
        weights = [float(batch['weight']) for batch in batches]
        total = sum(weights)
        value = sum(w * v for w, v in zip(weights, values)) / total if total else 0.0 * sum(values)
    else:
        value = sum(values)
    return value + float(batches[-1]['penalty'])


class TrainingLoop:
    """One call of `FCN8s.train`."""

    def __init__(
        self,
        run: Callable[[Any, Dict[Any, Any]], Any],
        fetches: Fetches,
        batches: Iterator[Any],
        options: LoopOptions,
        actions: Actions,
        class_names: Tuple[str, ...],
        state: Optional[TrainingState] = None,
    ) -> None:
        self.run = run
        self.fetches = fetches
        self.batches = batches
        self.options = options
        self.actions = actions
        self.class_names = class_names
        self.state = state or TrainingState()
        self.history: List[Dict[str, Any]] = []
        self._is_unsaved = False

    def train(self) -> List[Dict[str, Any]]:
        """Runs the remaining epochs and returns one record per epoch.

        Raises:
            FloatingPointError: at a loss that is not finite.
            TrainingInterrupted: after a signal.
        """
        with self.actions.stop_request() as stop:
            while self._epoch() < self.options.epochs and not self._is_out_of_patience():
                self._train_epoch(stop)
                if stop.requested:
                    self._interrupt(stop.requested)
        if self._epoch() < self.options.epochs:
            self._say_that_patience_ended()
        return self.history

    def _train_epoch(self, stop: StopRequest) -> None:
        """Takes the steps to the end of the current epoch, evaluates, records and saves.

        A signal ends it early. The losses so far stay in the state, and a resumed run goes on from there: with the
        next step, or with the evaluation if only that is missing.
        """
        epoch = self._epoch()
        self._take_steps(epoch, stop)
        if stop.requested:
            return
        try:
            scores = self._evaluate_if_due(epoch, stop)
        except EvaluationAbandoned:
            return
        record = self._record(epoch, scores)
        self._save_if_due(epoch, self._is_improved(record))
        if scores is not None:
            self._tell('evaluation', scores)
        self._tell('epoch', record)

    # Steps

    def _take_steps(self, epoch: int, stop: StopRequest) -> None:
        """Takes the remaining steps of an epoch: all of them, unless the run was resumed in the middle of it."""
        done, total = len(self.state.losses), self.options.steps_per_epoch
        name = 'epoch {}/{}'.format(epoch + 1, self.options.epochs)
        start = time.perf_counter() - self.state.seconds
        look = dict(unit='step', desc=name, dynamic_ncols=True, mininterval=0.5, bar_format=PROGRESS, **bar_options())
        with tqdm(total=total, initial=done, **look) as bar:
            for _ in range(done, total):
                with self._saved_at_failure():
                    rate = checked_rate(self.options.learning_rate_schedule(self.state.step), self.state.step)
                self._take_step(rate)
                self.state.seconds = time.perf_counter() - start
                with self._saved_at_failure():  # printing fails where nobody reads it any more
                    bar.set_postfix_str(self._progress(rate), refresh=False)
                    bar.update()
                self._tell('step', {'loss': self.state.losses[-1], 'learning_rate': rate})
                if stop.requested:
                    return

    def _take_step(self, rate: float) -> None:
        """Takes one optimiser step: `accumulate_batches` batches, the last of which applies the update."""
        batches, losses, num_images = self.options.accumulate_batches, [], 0
        start = getattr(self.batches, 'position', None)
        for number in range(batches):
            with self._saved_at_failure(start):  # the whole step is taken again
                images, labels, feed = self._next_feed(rate, self.state.step * batches + number)
            num_images += self.fetches.count(images)
            op = self._step_op() if number == batches - 1 else self._accumulate_op()
            losses.append(self.run((self.fetches.loss, op), feed)[0])
        loss = step_loss(losses)
        if not math.isfinite(loss):
            raise FloatingPointError(self._not_finite_message(loss, rate))
        self.state.step += 1
        self.state.losses.append(loss)
        self.state.images += num_images
        self._is_unsaved = True
        if self.actions.summarize and self.state.step % self.options.summaries_frequency == 0:
            with self._saved_at_failure():
                self.actions.summarize(self.state.step, {'loss': loss, 'learning_rate': rate}, (images, labels))

    def _next_feed(self, rate: float, number: int) -> Tuple[Any, Any, Dict[Any, Any]]:
        """Returns images and labels of the next batch, and their feed. number: the batch's number in the whole run."""
        options = self.options
        images, labels = as_pair(self._next_batch())
        # The dropout mask depends on this pair alone, so a resumed run draws the same masks as one without a break.
        dropout_seed = (options.seed, number)
        feed = self.fetches.feed(images, labels, options.keep_prob, dropout_seed, rate, options.l2_regularization)
        return images, labels, feed

    def _accumulate_op(self) -> Any:
        return self.fetches.warmup_accumulate_op if self._is_warmup() else self.fetches.accumulate_op

    def _is_warmup(self) -> bool:
        return self._epoch() < self.options.warmup_epochs

    def _step_op(self) -> Any:
        """The op of this step. Averaging is part of a step, so that a saved state depends on its step alone."""
        options = self.options
        if self._is_warmup():
            return self.fetches.warmup_op
        ends_epoch = len(self.state.losses) + 1 == options.steps_per_epoch
        if ends_epoch and self._epoch() + options.average_epochs >= options.epochs:
            return self.fetches.averaging_op
        return self.fetches.step_op

    def _next_batch(self) -> Any:
        start = time.perf_counter()
        try:
            batch = next(self.batches)
        except StopIteration:
            raise ValueError(
                'train_generator ended at step {}; it has to go on for ever. Use BatchGenerator.generate, or '
                'wrap yours in a loop.'.format(self.state.step)
            ) from None
        self.state.waited += time.perf_counter() - start
        return batch

    def _progress(self, rate: float) -> str:
        recent = self.state.losses[-self.options.loss_averaging :]
        images_per_second, waiting_share = self._pace()
        # The last is what a narrow terminal cuts off.
        return 'loss {:.3f}, rate {:.1e}, data wait {:.0%}, {:.3g} images/s'.format(
            sum(recent) / len(recent), rate, waiting_share, images_per_second
        )

    def _pace(self) -> Tuple[float, float]:
        """Images per second in the steps of this epoch, and the share of the time that they waited for data."""
        seconds = max(self.state.seconds, 1e-9)  # 0 where a run of version 1.0 was resumed only for an evaluation
        return self.state.images / seconds, self.state.waited / seconds

    def _not_finite_message(self, loss: float, rate: float) -> str:
        before = [record['training_loss'] for record in self.history] + self.state.losses
        if not before and self.state.step:  # resumed at the start of an epoch
            cause = 'Check the labels of that batch (fcn8s check) and the learning rate (take a tenth).'
        else:
            cause = cause_of_not_finite(np.array(before))
        saved = 'what was saved before is kept as it was' if self.actions.save else 'nothing was saved'
        return 'the loss is {} at step {} (learning rate {:g}); training stopped, {}. {}'.format(
            loss, self.state.step, rate, saved, cause
        )

    # The end of an epoch

    def _epoch(self) -> int:
        """The current epoch, from 0. An epoch ends when its losses are summed up, not with its last step."""
        return (self.state.step - len(self.state.losses)) // self.options.steps_per_epoch

    def _evaluate_if_due(self, epoch: int, stop: StopRequest) -> Optional[Scores]:
        """Evaluates at every eval_frequency-th epoch, the last, and where 'save the best only' needs a score."""
        if self.actions.evaluate is None:
            return None
        options = self.options
        decides = self._is_save_due(epoch) and options.save_best_only and self.actions.needs_evaluation
        if (epoch + 1) % options.eval_frequency == 0 or epoch + 1 == options.epochs or decides:
            with self._saved_at_failure():
                return self.actions.evaluate(stop)
        return None

    def _record(self, epoch: int, scores: Optional[Scores]) -> Dict[str, Any]:
        """Ends the epoch and records it, before it is saved, so that every epoch in a checkpoint is on record."""
        images_per_second, waiting_share = self._pace()
        record = {
            'epoch': epoch + 1,
            'step': self.state.step,
            'learning_rate': float(self.options.learning_rate_schedule(self.state.step - 1)),
            'training_loss': sum(self.state.losses) / len(self.state.losses),
            'seconds': round(self.state.seconds, 3),
            'images_per_second': round(images_per_second, 3),
            'waiting_share': round(waiting_share, 4),
            'evaluation': scores,
        }
        self.history.append(record)
        self.state.end_epoch()
        self._is_unsaved = True
        if self.actions.record:
            self.actions.record(record)
        return record

    def _is_improved(self, record: Dict[str, Any]) -> bool:
        """Compares the monitored score of an epoch with the best so far; a better one becomes the best."""
        state, scores = self.state, record['evaluation']
        if not self.actions.needs_evaluation:
            score = record['training_loss']
        elif scores is None:
            return False  # without a score, this does not count as an evaluation without improvement
        else:
            score = monitored_score(self.options.monitor, scores, self.class_names)
        if is_better(self.options.monitor, score, state.best):
            state.best, state.best_step, state.evaluations_since_best = score, state.step, 0
            return True
        state.evaluations_since_best += 1
        return False

    def _save_if_due(self, epoch: int, is_improved: bool) -> None:
        is_in_turn = self._is_save_due(epoch) and not self.options.save_best_only
        if is_in_turn or is_improved and self.actions.save_when_improved:
            self._save(is_improved)

    def _is_save_due(self, epoch: int) -> bool:
        is_last = epoch + 1 == self.options.epochs or self._is_out_of_patience()
        return self.actions.save is not None and (is_last or (epoch + 1) % self.options.save_frequency == 0)

    def _save(self, is_best: bool) -> None:
        if self.actions.save is not None:
            self.actions.save(self.state, is_best)
            self._is_unsaved = False

    # Ends

    def _is_out_of_patience(self) -> bool:
        patience = self.options.patience
        return patience is not None and self.state.evaluations_since_best >= patience

    def _say_that_patience_ended(self) -> None:
        best, what = 'no score so far', 'evaluation' if self.actions.needs_evaluation else 'epoch'
        if self.state.best is not None:
            best = 'best {:.4f} at step {}'.format(self.state.best, self.state.best_step)
        print(
            'Stopped early: {} has not improved in {} ({}).'.format(
                self.options.monitor, counted(self.options.patience, what), best
            )
        )

    def _tell(self, kind: str, scores: Scores) -> None:
        """Calls the callbacks. An exception of theirs stops the run as Ctrl-C does: the state is saved."""
        if self.actions.tell is None:
            return
        try:
            self.actions.tell(kind, self.state.step, scores)
        except BaseException:
            with self._behind_another_failure():
                self._save_as_it_is()
            raise

    @contextlib.contextmanager
    def _saved_at_failure(self, position: Optional[int] = None) -> Iterator[None]:
        """Saves the run, as at a signal, if the code inside fails: a resumed run asks for the same batch again.

        A second signal interrupts at once, and nothing is saved.

        position: the batch to ask for again; None for the next one.
        """
        position = getattr(self.batches, 'position', None) if position is None else position
        try:
            yield
        except (EvaluationAbandoned, Interrupted):
            raise
        except BaseException:
            if self.actions.save is not None:
                with self._behind_another_failure():
                    if position is not None and hasattr(self.batches, 'seek'):
                        self.batches.seek(position)
                    self._save_as_it_is(self.actions.save_at_failure)
            raise

    @contextlib.contextmanager
    def _behind_another_failure(self) -> Iterator[None]:
        """Turns an exception inside into a warning, so that the first failure is the one that is raised."""
        try:
            yield
        except Exception as error:
            warn_user(
                'training fails, and its state after step {} could not be saved: {}'.format(self.state.step, error)
            )

    def _save_as_it_is(self, save: Optional[Callable[[TrainingState], None]] = None) -> None:
        """Saves a run in the middle of an epoch, unless only the best models are saved. save: None for `_save`."""
        if self.options.save_best_only or not self._is_unsaved:
            return
        if save is None:
            self._save(False)
        else:
            save(self.state)

    def _interrupt(self, signal_name: str) -> None:
        self._save_as_it_is()
        how = 'Nothing was saved: training with run_dir keeps what can be continued.'
        if self.actions.save and self.options.save_best_only and self.state.best is not None:
            how = 'Saved are the best models until then; training with run_dir keeps what can be continued.'
        elif self.actions.save and not self.options.save_best_only:
            how = 'The model was saved as it is now.'
            if self.actions.how_to_go_on is not None:
                how = 'The state after this step was saved. ' + self.actions.how_to_go_on
        raise TrainingInterrupted('{} after step {}. {}'.format(signal_name, self.state.step, how), signal_name)
