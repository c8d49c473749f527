import inspect
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from fcn8s.model import FCN8s
from fcn8s.training import run
from fcn8s.training.request import TrainRequest, check_is_written, check_metrics, check_request, resolve_request


def test_a_request_holds_the_arguments_of_train_with_their_defaults():
    arguments = list(inspect.signature(FCN8s.train).parameters.values())[1:]
    assert tuple(argument.name for argument in arguments) == TrainRequest._fields
    defaults = {a.name: a.default for a in arguments if a.default is not inspect.Parameter.empty}
    assert defaults == TrainRequest._field_defaults


def test_metrics_come_as_one_name_as_none_or_as_any_names_in_a_row():
    assert check_metrics(None) == check_metrics([]) == ()
    assert check_metrics('loss') == ('loss',)
    several = ['loss', 'mean_iou']
    for names in (several, tuple(several), np.array(several), iter(several)):
        assert check_metrics(names) == ('loss', 'mean_iou')


def test_callbacks_of_a_generator_are_kept():
    request = TrainRequest(Seekable(), 1, 1, lambda step: 1e-3, callbacks=(made for made in (len, print)))
    request = resolve_request(request)
    check_request(request, ('a', 'b'))
    assert request.callbacks == (len, print)
    with pytest.raises(ValueError, match="callbacks is 'len'; it has to be a list of functions"):
        resolve_request(request._replace(callbacks='len'))


def test_each_callback_has_scores_of_its_own():
    scores = {'training_loss': 1.0, 'evaluation': {'mean_iou': 0.5}}
    heard = []

    def clear(event):
        event.scores.pop('evaluation').clear()

    request = TrainRequest(None, 1, 1, lambda step: 1e-3, callbacks=(clear, heard.append))
    run._Training(SimpleNamespace(workers=None), request, None)._tell('epoch', 1, scores)
    assert heard[0].scores == scores == {'training_loss': 1.0, 'evaluation': {'mean_iou': 0.5}}


class Seekable:
    def __next__(self):
        raise StopIteration

    def seek(self, position):
        pass


def test_one_iterator_for_training_and_validation_is_refused():
    """Each evaluation begins at its first batch, and the training would go on behind that."""
    train, val = Seekable(), Seekable()
    options = dict(eval_dataset='val', val_steps=1, metrics=('mean_iou',), monitor='mean_iou')
    check_request(TrainRequest(train, 1, 1, lambda step: 1e-3, val_generator=val, **options), ('a', 'b'))
    with pytest.raises(ValueError, match='are the same iterator.* Call generate'):
        check_request(TrainRequest(train, 1, 1, lambda step: 1e-3, val_generator=train, **options), ('a', 'b'))


def request_with(**options):
    return resolve_request(TrainRequest(Seekable(), 1, 1, lambda step: 1e-3, **options))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(config={'note': 1}), r"config has \['note'\], .* run_dir is not given"),
        (dict(keep_checkpoints=5), 'keep_checkpoints is 5, .* run_dir is not given'),
        (dict(keep_checkpoints=5, save_during_training=True, save_dir='x'), 'keep_checkpoints is 5'),
        (dict(summaries_worst=3, metrics=('loss',)), 'summaries_worst is 3, but neither summaries_dir nor run_dir'),
        (dict(summaries_frequency=2), 'summaries_frequency is 2, but neither summaries_dir nor run_dir'),
    ],
)
def test_what_would_be_written_nowhere_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check_is_written(request_with(**options))
    check_is_written(request_with(keep_checkpoints=2, config={}))
    check_is_written(request_with(run_dir='run', **dict(options, save_dir=None)))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(save_dir='x'), "save_dir is 'x', but save_during_training is off, .* Give save_during_training=True"),
        (dict(save_dir='x', run_dir='y'), 'it changes nothing. Leave save_dir out: the checkpoints go to run_dir'),
        (dict(save_name='x'), "save_name is 'x', but save_during_training is off, so it changes nothing"),
        (dict(save_tags=['x'], run_dir='y'), r"save_tags is \['x'\], but .* Leave save_tags out: the checkpoints go"),
        (dict(saver='train_saver', run_dir='y'), "saver is 'train_saver', but save_during_training is off"),
        (dict(save_frequency=1), 'save_frequency is 1, but save_during_training is off'),
        (dict(save_best_only=False), 'save_best_only is False, but save_during_training is off'),
        (dict(monitor='mean_iou'), "monitor is 'mean_iou', but no best score is saved .* leave monitor out"),
    ],
)
def test_how_to_save_where_nothing_is_saved_is_told(options, message):
    with pytest.warns(UserWarning, match=message):
        check_is_written(request_with(**options))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_is_written(request_with(run_dir='y', save_tags=['default'], save_frequency=1, save_best_only=False))
        check_is_written(request_with(save_during_training=True, **dict(options, run_dir=None)))


def test_a_score_that_is_monitored_for_nothing_is_told():
    all_are_saved = dict(save_during_training=True, save_dir='x', save_best_only=False, monitor='mean_iou')
    with pytest.warns(UserWarning, match="monitor is 'mean_iou', but no best score is saved"):
        check_is_written(request_with(**all_are_saved))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_is_written(request_with(early_stopping_patience=3, **all_are_saved))


@pytest.mark.parametrize(
    'options, expected',
    [
        (dict(), 'loss'),
        (dict(metrics=['mean_iou']), 'loss'),  # of a few training batches
        (dict(metrics=['accuracy', 'mean_iou'], val_generator=Seekable()), 'mean_iou'),
        (dict(metrics=['mean_iou', 'loss'], val_generator=Seekable()), 'loss'),
        (dict(metrics=['accuracy'], val_generator=Seekable()), 'accuracy'),
        (dict(metrics=['mean_iou'], val_generator=Seekable(), monitor='loss'), 'loss'),
    ],
)
def test_a_training_goes_by_a_score_of_validation_data_where_monitor_is_left_out(options, expected):
    assert request_with(**options).monitor == expected


def test_a_resumed_run_goes_by_the_score_that_it_was_started_with(tmp_path):
    options = dict(metrics=['mean_iou'], val_generator=Seekable(), run_dir=str(tmp_path), resume=True)
    assert request_with(**options).monitor == 'mean_iou'
    (tmp_path / 'config.json').write_text('{"train": {"monitor": "loss"}}')  # as version 1.0 wrote it
    assert request_with(**options).monitor == 'loss'
    assert request_with(monitor='accuracy', **options).monitor == 'accuracy'  # which is refused later


def test_a_name_of_summaries_belongs_to_their_folder():
    with pytest.raises(ValueError, match="summaries_name is 'x', but .* say where, so nothing would be recorded"):
        check_is_written(request_with(summaries_name='x'))
    with pytest.raises(ValueError, match="summaries_name is 'x', but .* where: a run keeps its events in run_dir"):
        check_is_written(request_with(summaries_name='x', run_dir='run'))
    check_is_written(request_with(summaries_name='x', record_summaries=False, summaries_frequency=2))
    check_is_written(request_with(summaries_name='x', summaries_dir='events', run_dir='run'))


@pytest.mark.parametrize(
    'options',
    [
        dict(val_steps=3, eval_dataset='train'),
        dict(eval_dataset='val'),
        dict(eval_frequency=1, eval_dataset='train'),
    ],
)
def test_evaluations_that_nobody_asked_for_are_told(options):
    with pytest.warns(UserWarning, match='{} is given, but metrics is empty'.format(next(iter(options)))):
        check_request(request_with(**options), ('a', 'b'))
