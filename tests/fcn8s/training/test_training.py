"""The loop without TensorFlow: `run` is a function."""

import errno
import itertools
import math
import os
import signal

import numpy as np
import pytest
from run_records import timeless

from fcn8s.stopping import EvaluationAbandoned, StopRequest, TrainingInterrupted, until_stopped
from fcn8s.training.loop import (
    Actions,
    Fetches,
    LoopOptions,
    TrainingLoop,
    TrainingState,
    is_better,
    monitored_score,
    step_loss,
)
from fcn8s.training.recipe_curves import evaluated_epochs
from helpers.process.termination import exit_status

OPTIONS = LoopOptions(
    epochs=4,
    steps_per_epoch=3,
    learning_rate_schedule=lambda step: 0.1 * (step + 1),
    keep_prob=0.5,
    l2_regularization=0.0,
    accumulate_batches=1,
    eval_frequency=1,
    save_frequency=1,
    save_best_only=False,
    monitor='loss',
    patience=None,
    summaries_frequency=2,
    loss_averaging=3,
    seed=7,
)


def batches():
    for number in itertools.count():
        yield np.full([2, 1, 1, 3], number, np.uint8), np.zeros([2, 1, 1], np.uint8)


class Recorder:
    """Stands for session and files: remembers what the loop asked for."""

    def __init__(self, losses=None, scores=None):
        self.feeds, self.fetched, self.saved, self.records, self.evaluated = [], [], [], [], []
        self.losses = iter(losses) if losses is not None else itertools.repeat(1.0)
        self.scores = iter(scores) if scores is not None else None

    def run(self, fetches, feed):
        self.feeds.append(feed)
        self.fetched.append(fetches)
        return {'value': next(self.losses), 'penalty': 0.0, 'weight': 1.0}, None

    def feed(self, images, labels, keep_prob, dropout_seed, rate, l2_rate):
        return dict(
            first=int(images.flat[0]), keep_prob=keep_prob, dropout_seed=dropout_seed, rate=rate, l2_rate=l2_rate
        )

    def evaluate(self, stop):
        self.evaluated.append(len(self.feeds))
        return {'mean_iou': next(self.scores), 'loss': 1.0, 'per_class_iou': [0.25, 0.75]}

    def save(self, state, is_best):
        self.saved.append((state.step, is_best))

    def loop(self, options=OPTIONS, state=None, data=None, **actions):
        fetches = Fetches('loss', 'train_op', 'accumulate', self.feed)
        chosen = dict(save=self.save, record=self.records.append, how_to_go_on='Go on so.')
        chosen.update(actions)
        return TrainingLoop(self.run, fetches, data or batches(), options, Actions(**chosen), ('a', 'b'), state)


def test_feeds_rate_seed_and_batch_of_every_step():
    recorder = Recorder()
    recorder.loop().train()
    assert [feed['first'] for feed in recorder.feeds] == list(range(12))
    assert [feed['dropout_seed'] for feed in recorder.feeds] == [(7, step) for step in range(12)]
    np.testing.assert_allclose([feed['rate'] for feed in recorder.feeds], [0.1 * (step + 1) for step in range(12)])


def test_callbacks_hear_of_every_step_evaluation_and_epoch():
    told = []
    recorder = Recorder(scores=[0.5])
    recorder.loop(
        OPTIONS._replace(epochs=2, steps_per_epoch=2, eval_frequency=2, monitor='mean_iou'),
        evaluate=recorder.evaluate,
        needs_evaluation=True,
        tell=lambda kind, step, scores: told.append((kind, step, sorted(scores))),
    ).train()
    kinds = [(kind, step) for kind, step, _ in told]
    assert kinds == [('step', 1), ('step', 2), ('epoch', 2)] + [
        ('step', 3),
        ('step', 4),
        ('evaluation', 4),
        ('epoch', 4),
    ]
    assert told[0][2] == ['learning_rate', 'loss'] and 'mean_iou' in told[5][2] and 'training_loss' in told[6][2]


def test_callbacks_hear_of_an_evaluation_when_its_epoch_is_saved():
    told, recorder = [], Recorder(scores=[0.5])
    recorder.loop(
        OPTIONS._replace(epochs=1, monitor='mean_iou'),
        evaluate=recorder.evaluate,
        needs_evaluation=True,
        tell=lambda kind, step, scores: told.append((kind, list(recorder.saved))),
    ).train()
    assert told[-2:] == [('evaluation', [(3, True)]), ('epoch', [(3, True)])]


@pytest.mark.parametrize('kind, step, saved', [('step', 2, [2]), ('epoch', 3, [3]), ('step', 4, [3, 4])])
def test_what_a_callback_raises_stops_the_run_and_its_state_is_saved(kind, step, saved):
    def tell(what, when, scores):
        if (what, when) == (kind, step):
            raise RuntimeError('the disk of MLflow is full')

    recorder = Recorder()
    loop = recorder.loop(tell=tell)
    with pytest.raises(RuntimeError, match='the disk of MLflow is full'):
        loop.train()
    assert [at for at, _ in recorder.saved] == saved and loop.state.step == step


def test_a_resumed_epoch_is_saved_where_a_callback_fails():
    """Its steps were saved, but not that it is over."""

    def tell(kind, step, scores):
        raise RuntimeError('no connection')

    recorder = Recorder()
    state = TrainingState(step=3, losses=[1.0] * 3, best=0.5, best_step=3)
    with pytest.raises(RuntimeError, match='no connection'):
        recorder.loop(OPTIONS._replace(save_frequency=9), state=state, tell=tell).train()
    assert recorder.saved == [(3, False)] and state.losses == []


def test_an_interruption_says_which_signal_it_was():
    recorder = Recorder()
    loop = recorder.loop(tell=lambda kind, step, scores: os.kill(os.getpid(), signal.SIGTERM) if step == 2 else None)
    with pytest.raises(TrainingInterrupted, match='SIGTERM after step 2') as interruption:
        loop.train()
    assert interruption.value.signal_name == 'SIGTERM' and recorder.saved == [(2, False)]


def test_the_pace_of_a_resumed_epoch_counts_its_steps_before_the_interruption():
    state = TrainingState(step=2, losses=[1.0, 1.0], seconds=100.0, waited=50.0, images=4)
    (record,) = Recorder().loop(OPTIONS._replace(epochs=1), state=state).train()
    assert record['seconds'] >= 100 and record['images_per_second'] == pytest.approx(6 / 100, abs=0.01)
    assert record['waiting_share'] == pytest.approx(0.5, abs=0.01)
    state = TrainingState(step=3, losses=[1.0] * 3)  # as version 1.0 saved it: nothing is known
    (record,) = Recorder().loop(OPTIONS._replace(epochs=1), state=state).train()
    assert record['images_per_second'] == 0


def test_the_progress_shows_the_mean_loss_of_the_last_steps_and_where_a_resumed_epoch_is(capsys, monkeypatch):
    shown = []
    state = TrainingState(step=2, losses=[9.0, 4.0])
    loop = Recorder([2.0, 1.0]).loop(OPTIONS._replace(epochs=1, steps_per_epoch=4, loss_averaging=2), state=state)
    progress = loop._progress
    monkeypatch.setattr(loop, '_progress', lambda rate: shown.append(progress(rate)) or shown[-1])
    loop.train()
    assert [text.split(',')[0] for text in shown] == ['loss 3.000', 'loss 1.500']
    assert '4/4' in capsys.readouterr().err


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(step=None), 'step is None; it has to be a whole number'),
        (dict(step=-1), 'step is -1'),
        (dict(step=10**400), 'step is 1000'),
        (dict(waited=10**400), 'waited is 1000.*; it has to be a number'),
        (dict(losses='abc'), "losses is 'abc'; it has to be a list of numbers"),
        (dict(losses=[1.0, float('nan')]), 'losses is .*nan'),
        (dict(best=[]), r'best is \[\]; it has to be a number or null'),
        (dict(best_step=9), 'best_step is 9, after step 4'),
        (dict(evaluations_since_best=1.5), 'evaluations_since_best is 1.5'),
        (dict(seconds=-2.0), 'seconds is -2.0'),
        (dict(colour=1), 'has colour'),
    ],
)
def test_a_damaged_state_is_refused(change, message):
    fields = dict(TrainingState(step=4, losses=[1.0]).to_dict(), **change)
    with pytest.raises(ValueError, match=message):
        TrainingState.from_dict(fields)
    for damaged in ({}, [], None):
        with pytest.raises(ValueError, match='the state of the loop'):
            TrainingState.from_dict(damaged)


def test_history_has_one_record_per_epoch_with_mean_loss_and_last_rate():
    recorder = Recorder(losses=np.arange(12.0))
    history = recorder.loop().train()
    assert [record['training_loss'] for record in history] == [1.0, 4.0, 7.0, 10.0]
    assert [record['step'] for record in history] == [3, 6, 9, 12]
    np.testing.assert_allclose([record['learning_rate'] for record in history], [0.3, 0.6, 0.9, 1.2])
    assert history == recorder.records


def test_accumulation_runs_the_update_with_the_last_batch_and_never_repeats_a_dropout_mask():
    recorder = Recorder()
    recorder.loop(OPTIONS._replace(epochs=1, accumulate_batches=3)).train()
    assert [fetches[1] for fetches in recorder.fetched] == ['accumulate', 'accumulate', 'train_op'] * 3
    assert [feed['dropout_seed'][1] for feed in recorder.feeds] == list(range(9))


@pytest.mark.parametrize('eval_frequency, expected', [(1, [3, 6, 9, 12]), (2, [6, 12]), (3, [9, 12]), (10, [12])])
def test_evaluates_at_its_frequency_and_after_the_last_epoch(eval_frequency, expected):
    recorder = Recorder(scores=[0.1] * 4)
    recorder.loop(OPTIONS._replace(eval_frequency=eval_frequency), evaluate=recorder.evaluate).train()
    assert recorder.evaluated == expected
    assert [3 * epoch for epoch in evaluated_epochs(4, eval_frequency)] == expected  # what curves of recipes count on


def test_best_only_saves_improvements_and_evaluates_where_saving_needs_a_score():
    recorder = Recorder(scores=[0.5, 0.4, 0.6])
    options = OPTIONS._replace(eval_frequency=3, save_frequency=2, save_best_only=True, monitor='mean_iou')
    recorder.loop(options, evaluate=recorder.evaluate, needs_evaluation=True).train()
    assert recorder.evaluated == [6, 9, 12]
    assert recorder.saved == [(6, True), (12, True)]


def test_saves_at_its_frequency_and_at_every_best_score():
    recorder = Recorder(scores=[0.5, 0.6, 0.4, 0.3])
    recorder.loop(
        OPTIONS._replace(save_frequency=4, monitor='mean_iou'), evaluate=recorder.evaluate, needs_evaluation=True
    ).train()
    assert recorder.saved == [(3, True), (6, True), (12, False)]


def test_monitors_the_training_loss_without_an_evaluation():
    recorder = Recorder(losses=[3, 3, 3, 2, 2, 2, 4, 4, 4, 1, 1, 1])
    recorder.loop(OPTIONS._replace(save_best_only=True)).train()
    assert recorder.saved == [(3, True), (6, True), (12, True)]


def test_the_training_loss_is_monitored_without_more_evaluations_than_were_asked_for():
    recorder = Recorder(losses=[3] * 12, scores=[0.5] * 4)
    recorder.loop(OPTIONS._replace(save_best_only=True, eval_frequency=4), evaluate=recorder.evaluate).train()
    assert recorder.evaluated == [12]


def test_stops_early_when_patience_ends(capsys):
    recorder = Recorder(scores=[0.5, 0.4, 0.4, 0.9])
    history = recorder.loop(
        OPTIONS._replace(patience=2, monitor='mean_iou'), evaluate=recorder.evaluate, needs_evaluation=True
    ).train()
    assert len(history) == 3
    assert 'mean_iou has not improved in 2 evaluations (best 0.5000 at step 3)' in capsys.readouterr().out


@pytest.mark.parametrize('patience', [None, 9])
def test_a_run_that_takes_all_epochs_did_not_stop_early(capsys, patience):
    assert len(Recorder().loop(OPTIONS._replace(patience=patience)).train()) == 4
    assert capsys.readouterr().out == ''


def test_patience_counts_from_the_last_improvement():
    recorder = Recorder(scores=[0.5, 0.4, 0.6, 0.5, 0.7])
    options = OPTIONS._replace(epochs=5, patience=2, monitor='mean_iou')
    assert len(recorder.loop(options, evaluate=recorder.evaluate, needs_evaluation=True).train()) == 5


def test_epochs_without_an_evaluation_cost_no_patience():
    recorder = Recorder(scores=[0.5, 0.6, 0.7])
    options = OPTIONS._replace(epochs=6, eval_frequency=2, patience=1, monitor='mean_iou')
    assert len(recorder.loop(options, evaluate=recorder.evaluate, needs_evaluation=True).train()) == 6


def test_patience_counts_epochs_where_nothing_is_evaluated(capsys):
    recorder = Recorder(losses=[3, 3, 3, 2, 2, 2, 4, 4, 4, 1, 1, 1])
    assert len(recorder.loop(OPTIONS._replace(patience=1)).train()) == 3
    assert 'loss has not improved in 1 epoch (best 2.0000 at step 6)' in capsys.readouterr().out


def test_early_stopping_saves_at_the_end_and_a_resumed_run_trains_no_further():
    recorder = Recorder(scores=[0.5, 0.4, 0.9])
    options = OPTIONS._replace(patience=1, monitor='mean_iou', save_frequency=3)
    loop = recorder.loop(options, evaluate=recorder.evaluate, needs_evaluation=True)
    loop.train()
    assert recorder.saved == [(3, True), (6, False)]
    again = Recorder()
    assert again.loop(options, state=loop.state, evaluate=again.evaluate, needs_evaluation=True).train() == []
    assert not again.feeds


def test_early_stopping_without_any_score(capsys):
    recorder = Recorder(scores=[math.nan] * 2)
    recorder.loop(
        OPTIONS._replace(patience=2, monitor='mean_iou'), evaluate=recorder.evaluate, needs_evaluation=True
    ).train()
    assert 'has not improved in 2 evaluations (no score so far)' in capsys.readouterr().out


def test_an_evaluation_is_abandoned_for_a_signal_and_repeated_by_the_resumed_run():
    def interrupted(stop):
        os.kill(os.getpid(), signal.SIGINT)
        return list(until_stopped(iter(range(100)), stop))

    recorder = Recorder(scores=[0.5])
    loop = recorder.loop(OPTIONS._replace(epochs=1), evaluate=interrupted)
    with pytest.raises(TrainingInterrupted, match='SIGINT after step 3'):
        loop.train()
    assert recorder.saved == [(3, False)] and recorder.records == []
    state = TrainingState.from_dict(loop.state.to_dict())
    resumed = Recorder(losses=[], scores=[0.5])
    history = resumed.loop(OPTIONS._replace(epochs=1), state=state, evaluate=resumed.evaluate).train()
    whole = Recorder(scores=[0.5])
    assert timeless(history) == timeless(whole.loop(OPTIONS._replace(epochs=1), evaluate=whole.evaluate).train())
    assert resumed.saved == [(3, True)]


def test_a_second_signal_ends_an_evaluation_at_once():
    def interrupted_twice(stop):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError('went on after the second signal')

    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt):
        recorder.loop(OPTIONS._replace(epochs=1), evaluate=interrupted_twice).train()
    assert recorder.saved == []


def test_batches_go_on_until_a_stop_is_requested():
    stop = StopRequest()
    source = until_stopped(itertools.count(), stop)
    assert [next(source) for _ in range(3)] == [0, 1, 2]
    stop.requested = 'SIGTERM'
    with pytest.raises(EvaluationAbandoned):
        next(source)


def test_what_was_saved_already_is_not_saved_again_for_a_signal():
    def evaluate(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        return {'loss': 1.0}

    recorder = Recorder()
    with pytest.raises(TrainingInterrupted):
        recorder.loop(evaluate=evaluate).train()
    assert recorder.saved == [(3, True)] and len(recorder.records) == 1


@pytest.mark.parametrize(
    'actions, options, message, saved',
    [
        (dict(save=None), {}, 'Nothing was saved: training with run_dir', []),
        (dict(how_to_go_on=None), {}, 'The model was saved as it is now.', [(1, False)]),
        ({}, dict(save_best_only=True), 'Nothing was saved', []),
    ],
)
def test_an_interruption_says_what_was_saved(actions, options, message, saved):
    recorder = Recorder()
    loop = recorder.loop(OPTIONS._replace(**options), **actions)
    run = loop.run
    loop.run = lambda fetches, feed: (os.kill(os.getpid(), signal.SIGTERM), run(fetches, feed))[1]
    with pytest.raises(TrainingInterrupted, match='SIGTERM after step 1. ' + message) as caught:
        loop.train()
    assert exit_status(caught.value) == 143 and recorder.saved == saved


@pytest.mark.parametrize('loss', [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_at_its_step_and_saves_nothing_more(loss):
    recorder = Recorder(losses=[1, 1, 1, 1, loss])
    with pytest.raises(
        FloatingPointError,
        match=r'at step 4 \(learning rate 0.5\); .*saved before is kept.*had been 1 just before.*labels of that batch',
    ):
        recorder.loop().train()
    assert recorder.saved == [(3, True)]


@pytest.mark.parametrize('rate', [None, '1e-3', np.array([1e-3])])
def test_a_rate_that_is_no_number_is_refused_with_its_step(rate):
    options = OPTIONS._replace(learning_rate_schedule=lambda step: rate if step == 2 else 0.1)
    with pytest.raises(ValueError, match=r'learning_rate_schedule\(2\) is .*; the rate has to be'):
        Recorder().loop(options).train()


def test_data_that_end_are_refused_with_the_step():
    data = itertools.islice(batches(), 5)
    with pytest.raises(ValueError, match='train_generator ended at step 5; it has to go on for ever'):
        Recorder().loop(data=data).train()


class BreakingStream:
    """Batches that count their position, as those of a BatchGenerator do; number 4 fails once."""

    def __init__(self, failing=4, error=OSError):
        self.position, self.failing, self.error = 0, failing, error

    def __iter__(self):
        return self

    def __next__(self):
        self.position += 1
        if self.position - 1 == self.failing:
            self.failing = None
            raise self.error('no such file')
        return np.full([2, 1, 1, 3], self.position - 1, np.uint8), np.zeros([2, 1, 1], np.uint8)

    def seek(self, position):
        self.position = position


@pytest.mark.parametrize('accumulate_batches, step', [(1, 4), (2, 2), (3, 1), (4, 1)])
def test_data_that_fail_cost_no_step_and_a_resumed_run_takes_the_whole_step_again(accumulate_batches, step):
    options = OPTIONS._replace(epochs=3, save_frequency=3, accumulate_batches=accumulate_batches)
    recorder, data = Recorder(losses=np.arange(50.0, 0, -1)), BreakingStream()
    loop = recorder.loop(options, data=data, save_when_improved=False)
    with pytest.raises(OSError, match='no such file'):
        loop.train()
    first = step * accumulate_batches
    assert (
        recorder.saved == [(step, False)]
        and data.position == first
        and loop.state.images == 2 * (step % 3) * accumulate_batches
    )
    again = Recorder()
    again.loop(options, TrainingState.from_dict(loop.state.to_dict()), data, save_when_improved=False).train()
    whole = [feed['first'] for feed in recorder.feeds[:first] + again.feeds]
    assert whole == list(range(9 * accumulate_batches))


@pytest.mark.parametrize('error', [KeyboardInterrupt, SystemExit])
def test_a_loader_that_asks_to_stop_costs_no_step(error):
    recorder = Recorder()
    with pytest.raises(error, match='no such file'):
        recorder.loop(data=BreakingStream(2, error)).train()
    assert recorder.saved == [(2, False)]


def test_nothing_is_saved_at_a_failure_but_by_what_the_loop_was_told_to_save_with():
    recorder, asked = Recorder(), []
    with pytest.raises(OSError, match='no such file'):
        recorder.loop(data=BreakingStream(2), save_at_failure=lambda state: asked.append(state.step)).train()
    assert recorder.saved == [] and asked == [2]


@pytest.mark.parametrize('part', ['evaluation', 'schedule'])
def test_a_run_is_saved_where_its_evaluation_or_its_schedule_fails(part):
    def broken(*_):
        raise ValueError('labels hold the IDs [7]')

    def schedule(step):
        return [1.0, 1.0, 1.0][step]

    recorder = Recorder()
    options = OPTIONS._replace(eval_frequency=2, save_frequency=4, epochs=4)
    if part == 'schedule':
        options = options._replace(learning_rate_schedule=schedule)
    loop = recorder.loop(
        options,
        evaluate=broken if part == 'evaluation' else None,
        save_when_improved=False,
    )
    with pytest.raises((ValueError, IndexError)):
        loop.train()
    assert recorder.saved == [(6 if part == 'evaluation' else 3, False)]


def test_a_run_is_saved_where_its_summaries_fail():
    def broken(*_):
        raise MemoryError('no picture')

    recorder = Recorder()
    with pytest.raises(MemoryError, match='no picture'):
        recorder.loop(OPTIONS._replace(save_frequency=4), summarize=broken, save_when_improved=False).train()
    assert recorder.saved == [(2, False)]


@pytest.mark.parametrize('part', ['data', 'callback', 'seek'])
def test_a_failure_is_not_hidden_by_that_of_the_save_behind_it(part):
    def fail(*_):
        raise OSError('no such file')

    def full(*_):
        raise OSError('the disk is full')

    data = BreakingStream(2 if part != 'callback' else None)
    if part == 'seek':
        data.seek = full
    loop = Recorder().loop(
        data=data,
        save=full,
        tell=fail if part == 'callback' else None,
        save_when_improved=False,
    )
    full_disk = pytest.warns(UserWarning, match='after step . could not be saved: the disk is full')
    with full_disk, pytest.raises(OSError, match='no such file'):
        loop.train()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('at_step', [4, 5])
def test_a_signal_finishes_the_step_saves_and_resuming_gives_the_same_history(number, at_step):
    losses = np.random.RandomState(0).rand(12)
    whole = Recorder(losses)
    whole.loop().train()

    first = Recorder(losses)
    run = first.run

    def run_and_signal(fetches, feed):
        if feed['first'] == at_step:
            os.kill(os.getpid(), number)
        return run(fetches, feed)

    loop = first.loop()
    loop.run = run_and_signal
    with pytest.raises(
        TrainingInterrupted, match='after step {}. The state after this step was saved. Go on so.'.format(at_step + 1)
    ):
        loop.train()
    assert first.saved[-1][0] == at_step + 1
    state = TrainingState.from_dict(loop.state.to_dict())

    second = Recorder(losses[at_step + 1 :])
    second.loop(state=state, data=itertools.islice(batches(), at_step + 1, None)).train()

    assert timeless(first.records + second.records) == timeless(whole.records)
    assert [feed['dropout_seed'] for feed in first.feeds + second.feeds] == [
        feed['dropout_seed'] for feed in whole.feeds
    ]


def test_a_second_signal_interrupts_at_once_and_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == 'SIGTERM'
        os.kill(os.getpid(), signal.SIGTERM)  # as timeout(1) does, which sends it twice
        os.kill(os.getpid(), signal.SIGINT)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.skipif(not hasattr(signal, 'SIGHUP'), reason='Windows')
def test_a_closed_terminal_asks_to_stop_and_nohup_takes_that_back():
    before = signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            stop._requested_at -= 60  # whatever comes when: shell and system both send it
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.requested == 'SIGHUP'
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.requested is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_is_saved_where_its_progress_cannot_be_printed(monkeypatch):
    def fail(bar, *_):
        raise BrokenPipeError(errno.EPIPE, 'Broken pipe')

    recorder = Recorder()
    loop = recorder.loop()
    monkeypatch.setattr('fcn8s.training.loop.tqdm.update', fail)
    with pytest.raises(BrokenPipeError):
        loop.train()
    assert recorder.saved == [(1, False)]


def test_is_better_knows_the_direction_and_never_prefers_nan():
    assert is_better('loss', 1.0, 2.0) and not is_better('loss', 2.0, 1.0)
    assert is_better('mean_iou', 0.6, 0.5) and not is_better('mean_iou', 0.5, 0.5)
    assert is_better('loss', 5.0, None)
    assert not is_better('mean_iou', math.nan, None)


def test_monitored_score_of_a_class():
    scores = {'mean_iou': 0.5, 'per_class_iou': [0.25, 0.75]}
    assert monitored_score('iou:b', scores, ('a', 'b')) == 0.75
    assert monitored_score('mean_iou', scores, ('a', 'b')) == 0.5


def test_the_loss_of_accumulated_batches_is_that_of_one_that_holds_them_all():
    unequal = [{'value': 1.0, 'weight': 30.0, 'penalty': 0.5}, {'value': 3.0, 'weight': 10.0, 'penalty': 0.5}]
    assert step_loss(unequal) == pytest.approx((30 * 1 + 10 * 3) / 40 + 0.5)
    assert step_loss([{'value': 1.0, 'penalty': 0.5}, {'value': 3.0, 'penalty': 0.5}]) == 4.5  # sums over pixels
    assert step_loss([{'value': 0.0, 'weight': 0.0, 'penalty': 0.5}]) == 0.5  # no valid pixel
    assert math.isnan(step_loss([{'value': math.nan, 'weight': 0.0, 'penalty': 0.5}]))


def test_a_loss_that_was_never_finite_is_not_the_rate_and_nothing_was_saved():
    with pytest.raises(FloatingPointError, match='nothing was saved. Nothing had been trained yet, so the rate is not'):
        Recorder(losses=[math.nan]).loop(save=None).train()
    resumed = TrainingState(step=3)
    with pytest.raises(FloatingPointError, match='at step 3 .*Check the labels of that batch'):
        Recorder(losses=[math.nan]).loop(state=resumed).train()


@pytest.mark.parametrize('bad', [-1.0, math.nan])
def test_every_rate_is_checked_before_it_is_used(bad):
    recorder = Recorder()
    options = OPTIONS._replace(learning_rate_schedule=lambda step: 0.1 if step < 2 else bad)
    with pytest.raises(ValueError, match=r'learning_rate_schedule\(2\) is {}; the rate has to be'.format(bad)):
        recorder.loop(options).train()
    assert len(recorder.feeds) == 2


def test_an_interruption_after_the_best_was_saved_does_not_deny_it():
    recorder = Recorder()
    loop = recorder.loop(OPTIONS._replace(save_best_only=True), save_when_improved=True)
    run = loop.run

    def run_and_signal(fetches, feed):
        if feed['first'] == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return run(fetches, feed)

    loop.run = run_and_signal
    with pytest.raises(TrainingInterrupted, match='Saved are the best models until then'):
        loop.train()


def test_data_without_labels_are_refused():
    with pytest.raises(ValueError, match=r'a batch is a tuple of 1; it has to be \(images, labels\)'):
        Recorder().loop(data=iter([(np.zeros([1, 1, 1, 3]),)])).train()
