"""What workers of one training share, beside the watch and the exchange: batches, counts, and when they stop."""

import contextlib
import itertools
import signal
import warnings
from types import SimpleNamespace
from unittest import mock

import cv2
import numpy as np
import pytest

from data_generator import BatchGenerator
from fcn8s.saving.runs import Run
from fcn8s.stopping import EvaluationAbandoned
from fcn8s.training import agreement, run, shared
from fcn8s.training.request import TrainRequest, num_eval_batches
from helpers.label_spaces import generic_label_space
from helpers.process.termination import Interrupted


def workers(number, size, watch=None):
    return SimpleNamespace(number=number, size=size, watch=watch)


@pytest.fixture
def generator(tmp_path):
    for number in range(5):
        for folder in ('images', 'labels'):
            (tmp_path / folder).mkdir(exist_ok=True)
            shape = (4, 4, 3) if folder == 'images' else (4, 4)
            cv2.imwrite(str(tmp_path / folder / '{}.png'.format(number)), np.full(shape, number % 2, np.uint8))
    places = [str(tmp_path / folder) for folder in ('images', 'labels')]
    return BatchGenerator(places[0], None, places[1], label_space=generic_label_space(2))


@pytest.mark.parametrize('batch, times, size', [(1, 1, 2), (3, 1, 2), (2, 2, 3), (2, 2, 2)])
def test_all_images_of_a_step_count_in_each_worker(generator, batch, times, size):
    """A run of one worker, say, that two go on with: the first may have fewer images than the second, or none."""
    for number in range(size):
        with generator.generate(batch, workers=0) as batches:
            dealt = shared.SharedBatches(batches, workers(number, size), times)
            steps = shared.SharedSteps(network_without_dropout(), workers(number, size), dealt)
            images, _ = next(dealt)
            assert steps.count(images) == batch * times, number


@pytest.mark.parametrize(
    'keep_prob, has_run, seed, operations, workers, said',
    [
        (0.5, True, 'seed', [], None, []),
        (0.5, True, None, [], None, ['a resumed run sees the same data but other dropout masks']),
        (0.5, False, None, [], None, []),
        (0.5, False, 'seed', [], 3, ['3 workers do not drop what one process would']),
        (0.5, False, 'seed', ['dropout_first_row'], 3, []),
        (1.0, True, None, [], 3, []),
    ],
)
def test_dropout_that_is_not_drawn_from_the_seed_is_told(keep_prob, has_run, seed, operations, workers, said):
    graph = SimpleNamespace(get_operations=lambda: [SimpleNamespace(name=name) for name in operations])
    network = SimpleNamespace(graph=graph, tensors=SimpleNamespace(encoder=SimpleNamespace(dropout_seed=seed)))
    training = object.__new__(run._Training)
    training.network, training.run = network, 'a run' if has_run else None
    training.request = SimpleNamespace(keep_prob=keep_prob)
    training.workers = workers and SimpleNamespace(size=workers)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        training._warn_about_dropout()
    assert len(caught) == len(said) and all(part in str(one.message) for part, one in zip(said, caught))


def network_without_dropout():
    return SimpleNamespace(graph=SimpleNamespace(get_operations=list))


@pytest.mark.parametrize('times, size', [(1, 2), (2, 4), (2, 1)])
def test_other_workers_do_not_take_larger_batches_where_a_generator_cannot_deal(times, size):
    with pytest.raises(
        ValueError, match=r'started by {} worker.* same batches for {}\. Take Batch'.format(times, size)
    ):
        shared.SharedBatches(itertools.repeat(None), workers(0, size), times)


def test_workers_compare_the_sizes_of_their_batches(generator):
    """With another size one would take images of the others, and some would be nobody's."""
    compared = []
    with generator.generate(2, workers=0) as train, generator.generate(3, shuffle=False, workers=0) as val:
        request = TrainRequest(train, 1, 1, lambda step: 1e-3, val_generator=val)
        agreement.check_workers_agree(workers(0, 2, SimpleNamespace(compare=compared.append)), request)
    sizes = {name: value for name, value in compared[0].items() if 'batch_size' in name}
    assert sizes == {'the batch_size of train_generator': 2, 'the batch_size of val_generator': 3}


def test_validation_data_are_evaluated_once_at_most(generator):
    """Images of a second pass would not be those that one process takes."""
    with generator.generate(2, workers=0) as train, generator.generate(2, shuffle=False, workers=0) as val:
        request = TrainRequest(train, 1, 1, lambda step: 1e-3, val_generator=val)
        watched = workers(0, 2, SimpleNamespace(compare=lambda _: None))
        agreement.check_workers_agree(watched, request._replace(val_steps=3))
        with pytest.raises(ValueError, match='val_steps is 4, and a pass over the validation data has 3 batches'):
            agreement.check_workers_agree(watched, request._replace(val_steps=4))


def test_validation_data_are_whole_after_a_training(generator, monkeypatch):
    monkeypatch.setattr(run, 'check_request', lambda *_: None)
    monkeypatch.setattr(run, 'check_last_epochs', lambda *_: None)
    monkeypatch.setattr(run, 'check_is_written', lambda *_: None)
    watch = SimpleNamespace(compare=lambda _: None, working=contextlib.nullcontext)
    network = mock.MagicMock(workers=SimpleNamespace(number=0, size=2, is_first=True, watch=watch))
    network.label_space = generator.label_space
    with generator.generate(2, workers=0) as train, generator.generate(2, shuffle=False, workers=0) as val:
        request = TrainRequest(train, 1, 1, lambda step: 1e-3, val_generator=val, metrics=('loss',))

        class Training:
            def __init__(self, *_):
                next(shared.SharedBatches(val, network.workers))

            def train(self):
                return [val.num_batches]

        monkeypatch.setattr(run, '_Training', Training)
        assert run.train(network, request) == [2]
        assert num_eval_batches(run.resolve_request(request)) == 3
        assert [len(next(val)[0]) for _ in range(3)] == [2, 2, 1]


def test_all_workers_say_how_to_go_on_with_the_run_of_the_first():
    request = TrainRequest(None, 1, 1, lambda step: 1e-3, run_dir='runs/x', config={'command': {}})
    training = run._Training(SimpleNamespace(workers=SimpleNamespace(is_first=False)), request, None)
    training.run_of_first = Run('/data/runs/x')
    assert training._actions(shared.SharedStopRequest).how_to_go_on.endswith('fcn8s train --resume /data/runs/x')


def test_a_second_signal_interrupts_a_worker_that_waits_for_the_others_to_agree():
    stop = shared.SharedStopRequest()
    stop._handle(signal.SIGINT, None)
    assert stop.requested is None and stop.own == 'SIGINT'
    with pytest.raises(Interrupted, match='at once by a second signal, SIGINT'):
        stop._handle(signal.SIGINT, None)


@pytest.mark.parametrize('asked', [True, False])
def test_an_evaluation_is_given_up_by_all_once_one_is_asked_to_stop(generator, asked):
    """The state after the last step is saved then: the time until the end may not be given."""
    ran = []

    class Watch:
        def gather(self, mine):
            other = shared.Found([[0, 0], [0, 0]], [], 0, [], is_whole=asked)
            return [list(mine), list(other)]

        begin_batches_of = finished = lambda *_: None

    class Session:
        def run(self, *_):
            ran.append(1)
            return {'totals': (np.zeros([2, 2], int), 0.0, 0)}

    totals = SimpleNamespace(confusion_matrix=None, loss_sum=None, num_valid=None)
    network = SimpleNamespace(
        place_average=lambda: None,
        evaluation_feed=lambda *_: {},
        session=Session(),
        settings=SimpleNamespace(num_classes=2),
        tensors=SimpleNamespace(training=SimpleNamespace(scoring=SimpleNamespace(totals=totals))),
    )
    stop, mine = shared.SharedStopRequest(), workers(0, 2, Watch())
    if asked:
        stop._handle(signal.SIGTERM, None)
    assert stop.requested is None
    with generator.generate(1, shuffle=False, workers=0) as batches:
        dealt = shared.SharedBatches(batches, mine)
        with pytest.raises(EvaluationAbandoned):
            shared.evaluate_shared(network, mine, dealt, 5, 0.0, stop)
    assert stop.requested == 'SIGTERM' and len(ran) == (0 if asked else 3)
