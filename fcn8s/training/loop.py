"""The training loop: steps, epochs, and when to evaluate, to record and to save.

The loop touches no TensorFlow. It takes `run(fetches, feed)`, a session's `run` or anything that behaves like it.
"""

import math
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from fcn8s.batches import as_pair
from fcn8s.stopping import EvaluationAbandoned, StopRequest, TrainingInterrupted
from fcn8s.training.diagnosis import cause_of_not_finite

Scores = Dict[str, Any]

# A narrow terminal cuts the end off: first what people look for, the bar last.
PROGRESS = '{desc}: {n_fmt}/{total_fmt} <{remaining}{postfix} {bar}'


class LoopOptions(NamedTuple):
    """What `FCN8s.train` was asked for, checked. Frequencies are in epochs but for summaries_frequency, in steps."""

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


class Fetches(NamedTuple):
    """The graph side of a step: what to fetch, and how a batch becomes a feed.

    loss: 'value' and 'penalty', and 'weight' where the values of accumulated batches are averaged: what
        `step_loss` combines.
    feed(images, labels, keep_prob, dropout_seed, learning_rate, l2_rate) -> feed dict
    accumulate: adds one batch's gradients to the sum; None without accumulation.
    """

    loss: Dict[str, Any]
    train_op: Any
    accumulate: Optional[Any]
    feed: Callable[..., Dict[Any, Any]]


class Actions(NamedTuple):
    """What the loop has others do. Each may be None, for a loop that does not do it.

    evaluate(stop) -> scores, or raises EvaluationAbandoned once the StopRequest was made; save(state, is_best);
    summarize(step, values by name, batch); record(epoch record).
    needs_evaluation: whether the monitored score comes from evaluate() rather than from the training loss.
    save_when_improved: whether an epoch with a new best score is saved in any case, also between two savings.
    how_to_go_on: what a person does to continue from what save() wrote; None where it is no more than a model.
    """

    evaluate: Optional[Callable[[StopRequest], Scores]] = None
    save: Optional[Callable[['TrainingState', bool], None]] = None
    summarize: Optional[Callable[[int, Dict[str, float], Optional[Tuple[Any, Any]]], None]] = None
    record: Optional[Callable[[Dict[str, Any]], None]] = None
    needs_evaluation: bool = False
    save_when_improved: bool = True
    how_to_go_on: Optional[str] = None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_score(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_STATE_RULES: Dict[str, Callable[[Any], bool]] = {
    'step': _is_count,
    'losses': lambda value: isinstance(value, list) and all(entry is None or _is_score(entry) for entry in value),
    'best': lambda value: value is None or _is_score(value),
    'best_step': lambda value: value is None or _is_count(value),
    'evaluations_since_best': _is_count,
}


class TrainingState:
    """Where a training run is; everything that resuming needs besides variables and data position."""

    def __init__(
        self,
        step: int = 0,
        losses: Tuple[float, ...] = (),
        best: Optional[float] = None,
        best_step: Optional[int] = None,
        evaluations_since_best: int = 0,
    ) -> None:
        self.step = step  # optimiser steps done in this run
        self.losses = list(losses)  # the losses of the current epoch's steps
        self.best = best
        self.best_step = best_step
        self.evaluations_since_best = evaluations_since_best

    def to_dict(self) -> Dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_dict(cls, fields: Dict[str, Any]) -> 'TrainingState':
        """The inverse of `to_dict`. Raises ValueError for what no run has written."""
        state = cls()
        if not isinstance(fields, dict) or set(fields) != set(state.to_dict()):
            raise ValueError(
                'the state of the loop is {!r:.60}; it has {}.'.format(str(fields), ', '.join(sorted(state.to_dict())))
            )
        for name, value in fields.items():
            if not _STATE_RULES[name](value):
                raise ValueError('{} of the loop is {!r:.60}, which no run has written.'.format(name, str(value)))
        return cls(**fields)


def is_better(monitor: str, score: float, best: Optional[float]) -> bool:
    """Whether `score` beats `best`: lower for a loss, higher for everything else; NaN never does."""
    if math.isnan(score):
        return False
    if best is None:
        return True
    return score < best if monitor == 'loss' else score > best


def monitored_score(monitor: str, scores: Scores, class_names: Tuple[str, ...]) -> float:
    """The score that `monitor` names: a key of the scores, or 'iou:NAME' for one class."""
    if monitor.startswith('iou:'):
        return float(scores['per_class_iou'][class_names.index(monitor[4:])])
    return float(scores[monitor])


def step_loss(batches: Sequence[Dict[str, float]]) -> float:
    """The loss of a step over accumulated batches: that of one batch which holds them all.

    batches: of each batch the 'value' of its loss without the L2 penalty, the 'penalty', and the 'weight' of the value
        in a mean over batches (see `fcn8s.graph.losses.Loss`). Without weights the values add up.
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
        self._waited = 0.0
        self._images = 0
        self._unsaved = False

    def train(self) -> List[Dict[str, Any]]:
        """Runs the remaining epochs and returns one record per epoch.

        Raises FloatingPointError at a loss that is not finite, and TrainingInterrupted after a signal.
        """
        with StopRequest() as stop:
            while self._epoch() < self.options.epochs and not self._out_of_patience():
                self._train_epoch(stop)
                if stop.requested:
                    self._interrupt(stop.requested)
        if self._epoch() < self.options.epochs:
            best = 'no score so far'
            if self.state.best is not None:
                best = 'best {:.4f} at step {}'.format(self.state.best, self.state.best_step)
            print(
                'Stopped early: {} has not improved in {} evaluations ({}).'.format(
                    self.options.monitor, self.options.patience, best
                )
            )
        return self.history

    def _out_of_patience(self) -> bool:
        patience = self.options.patience
        return patience is not None and self.state.evaluations_since_best >= patience

    def _epoch(self) -> int:
        """The current epoch, from 0. An epoch is over when its losses were summed up, not with its last step."""
        return (self.state.step - len(self.state.losses)) // self.options.steps_per_epoch

    def _train_epoch(self, stop: StopRequest) -> None:
        """The steps to the end of the current epoch, from the middle of it where a run was resumed there."""
        options, state = self.options, self.state
        epoch, done = self._epoch(), len(self.state.losses)
        self._waited, self._images, start = 0.0, 0, time.perf_counter()
        with tqdm(
            total=options.steps_per_epoch,
            initial=done,
            unit='step',
            desc='epoch {}/{}'.format(epoch + 1, options.epochs),
            bar_format=PROGRESS,
            dynamic_ncols=True,
            mininterval=0.5,
        ) as bar:
            for _ in range(done, options.steps_per_epoch):
                rate = _checked_rate(options.learning_rate_schedule(state.step), state.step)
                self._train_step(rate)
                elapsed = time.perf_counter() - start
                recent = state.losses[-options.loss_averaging :]
                bar.set_postfix_str(
                    'loss {:.4f}, waiting for data {:.0%}, {:.1f} images/s, rate {:.2g}'.format(
                        sum(recent) / len(recent), self._waited / elapsed, self._images / elapsed, rate
                    ),
                    refresh=False,
                )
                bar.update()
                if stop.requested:
                    return
        seconds = time.perf_counter() - start
        try:
            scores = self._evaluate(epoch, stop)
        except EvaluationAbandoned:
            return  # the epoch's losses are still in the state: a resumed run begins with this evaluation
        self._finish_epoch(epoch, options.learning_rate_schedule(state.step - 1), seconds, scores)

    def _next_batch(self) -> Any:
        start = time.perf_counter()
        try:
            batch = next(self.batches)
        except StopIteration:
            raise ValueError(
                'train_generator ended at step {}; it has to go on for ever. Use BatchGenerator.generate, or '
                'wrap yours in a loop.'.format(self.state.step)
            ) from None
        self._waited += time.perf_counter() - start
        return batch

    def _train_step(self, rate: float) -> None:
        """One optimiser step: `accumulate_batches` batches, the last of which applies the update."""
        options, state = self.options, self.state
        losses = []
        for number in range(options.accumulate_batches):
            images, labels = as_pair(self._next_batch())
            self._images += len(images)
            # The dropout mask is a function of this pair alone, so that a resumed run draws what the first would have.
            dropout_seed = (options.seed, state.step * options.accumulate_batches + number)
            feed = self.fetches.feed(images, labels, options.keep_prob, dropout_seed, rate, options.l2_regularization)
            last = number == options.accumulate_batches - 1
            loss, _ = self.run((self.fetches.loss, self.fetches.train_op if last else self.fetches.accumulate), feed)
            losses.append(loss)
        loss = step_loss(losses)
        if not math.isfinite(loss):
            raise FloatingPointError(self._not_finite_message(loss, rate))
        state.step += 1
        state.losses.append(loss)
        self._unsaved = True
        if self.actions.summarize and state.step % options.summaries_frequency == 0:
            self.actions.summarize(state.step, {'loss': loss, 'learning_rate': rate}, (images, labels))

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

    def _evaluate(self, epoch: int, stop: StopRequest) -> Optional[Scores]:
        """At every eval_frequency-th epoch, at the last, and where 'save the best only' needs a score to decide."""
        if self.actions.evaluate is None:
            return None
        options = self.options
        decides = self._save_due(epoch) and options.save_best_only and self.actions.needs_evaluation
        if (epoch + 1) % options.eval_frequency == 0 or epoch + 1 == options.epochs or decides:
            return self.actions.evaluate(stop)
        return None

    def _save_due(self, epoch: int) -> bool:
        if self.actions.save is None:
            return False
        return (
            (epoch + 1) % self.options.save_frequency == 0
            or epoch + 1 == self.options.epochs
            or self._out_of_patience()
        )

    def _finish_epoch(self, epoch: int, rate: float, seconds: float, scores: Optional[Scores]) -> None:
        options, state, actions = self.options, self.state, self.actions
        training_loss = sum(state.losses) / len(state.losses)
        score = self._monitored(training_loss, scores)
        improved = score is not None and self._compare(score)
        record = {
            'epoch': epoch + 1,
            'step': state.step,
            'learning_rate': rate,
            'training_loss': training_loss,
            'seconds': round(seconds, 3),
            'images_per_second': round(self._images / seconds, 3),
            'waiting_share': round(self._waited / seconds, 4),
            'evaluation': scores,
        }
        self.history.append(record)
        state.losses, self._unsaved = [], True
        # Recorded before it is saved: what a checkpoint claims to have trained is on record.
        if actions.record:
            actions.record(record)
        if improved and actions.save_when_improved or self._save_due(epoch) and not options.save_best_only:
            self._save(improved)

    def _save(self, is_best: bool) -> None:
        if self.actions.save is not None:
            self.actions.save(self.state, is_best)
            self._unsaved = False

    def _monitored(self, training_loss: float, scores: Optional[Scores]) -> Optional[float]:
        """The monitored score of an epoch; None where only an evaluation knows it and there was none."""
        if not self.actions.needs_evaluation:
            return training_loss
        return None if scores is None else monitored_score(self.options.monitor, scores, self.class_names)

    def _compare(self, score: float) -> bool:
        """Updates the best score; returns whether this epoch is the best so far."""
        state = self.state
        improved = is_better(self.options.monitor, score, state.best)
        if improved:
            state.best, state.best_step, state.evaluations_since_best = score, state.step, 0
        else:
            state.evaluations_since_best += 1
        return improved

    def _interrupt(self, signal_name: str) -> None:
        how = 'Nothing was saved: training with run_dir keeps what can be continued.'
        if self.actions.save and self.options.save_best_only and self.state.best is not None:
            how = 'Saved are the best models until then; training with run_dir keeps what can be continued.'
        elif self.actions.save and not self.options.save_best_only:
            if self._unsaved:
                self._save(False)
            how = 'The model was saved as it is now.'
            if self.actions.how_to_go_on is not None:
                how = 'The state after this step was saved. ' + self.actions.how_to_go_on
        raise TrainingInterrupted('{} after step {}. {}'.format(signal_name, self.state.step, how), signal_name)


def _checked_rate(rate: Any, step: int) -> float:
    if not (math.isfinite(rate) and rate >= 0):
        raise ValueError(
            'learning_rate_schedule({}) is {!r}; the rate has to be a finite number of at least 0.'.format(step, rate)
        )
    return rate
