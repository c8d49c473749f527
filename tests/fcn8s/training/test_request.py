import numpy as np

from fcn8s.training.request import check_metrics


def test_metrics_come_as_one_name_as_none_or_as_any_names_in_a_row():
    assert check_metrics(None) == check_metrics([]) == ()
    assert check_metrics('loss') == ('loss',)
    several = ['loss', 'mean_iou']
    for names in (several, tuple(several), np.array(several), iter(several)):
        assert check_metrics(names) == ('loss', 'mean_iou')
