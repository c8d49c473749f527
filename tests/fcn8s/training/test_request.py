import numpy as np
import pytest

from fcn8s.training.request import TrainRequest, check_metrics, check_request


def test_metrics_come_as_one_name_as_none_or_as_any_names_in_a_row():
    assert check_metrics(None) == check_metrics([]) == ()
    assert check_metrics('loss') == ('loss',)
    several = ['loss', 'mean_iou']
    for names in (several, tuple(several), np.array(several), iter(several)):
        assert check_metrics(names) == ('loss', 'mean_iou')


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
