import math

import numpy as np
import pytest

from fcn8s.training.diagnosis import diagnose, diagnose_history
from helpers.label_spaces import generic_label_space

CLASSES = 5
FALLING = list(np.linspace(1.6, 0.4, 60))


def only(messages):
    assert len(messages) == 1, messages
    return messages[0]


def test_a_healthy_run_says_nothing():
    healthy_matrix = np.diag([50, 30, 10, 5, 5])
    assert diagnose(FALLING, CLASSES, [1.2, 0.9, 0.8, 0.82, 0.79], healthy_matrix) == []
    assert diagnose([], CLASSES) == []


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_not_finite_at_once_is_the_data(bad):
    message = only(diagnose([bad], CLASSES))
    assert 'at entry 1 of 1' in message
    assert 'label IDs outside of the classes' in message and 'rate is not the cause' in message


def test_not_finite_after_a_rise_is_the_rate():
    message = only(diagnose([1.6, 1.2, 4.0, 70.0, float('nan'), float('nan')], CLASSES, learning_rate=0.5))
    assert 'is nan at entry 5 of 6' in message
    assert 'risen from 1.2 to 70' in message and 'learning rate is too high (it is 0.5)' in message


def test_not_finite_out_of_the_blue_is_the_labels_first():
    message = only(diagnose(FALLING + [float('nan')], CLASSES))
    assert message.index('labels of that batch') < message.index('learning rate')


def test_stuck_at_ln_c():
    rng = np.random.RandomState(0)
    stuck = math.log(CLASSES) + rng.normal(scale=0.01, size=80)
    message = only(diagnose(stuck, CLASSES))
    assert 'ln(5) = 1.609' in message and 'same probability' in message
    assert diagnose(stuck, CLASSES, mean_cross_entropy=False) == []
    assert diagnose(stuck[:20], CLASSES) == []  # too early to say
    unknown = [math.nan] * 3  # where no pixel of the evaluation counts
    assert diagnose(FALLING, CLASSES, unknown, mean_cross_entropy=False, num_steps=80) == []
    assert diagnose(np.concatenate([stuck, np.linspace(1.5, 0.9, 60)]), CLASSES) == []  # it has left


def test_passing_ln_c_on_the_way_down_is_not_stuck():
    assert diagnose(np.linspace(3.0, 0.3, 200), CLASSES) == []


def test_a_training_loss_that_blows_up_without_nan():
    message = only(diagnose([1.5, 1.2, 1.0, 1.0, 1.1, 3.0, 9.0, 20.0, 40.0, 60.0], CLASSES, learning_rate=0.1))
    assert 'training loss has risen from' in message and '(it is 0.1)' in message


def test_a_loss_below_zero_blows_up_by_no_factor():
    for losses in (np.full(40, -1.0), np.linspace(-3.0, -0.5, 40), np.linspace(0.5, -1.0, 40)):
        assert diagnose(losses, CLASSES, mean_cross_entropy=False) == []
    assert 'without rising' in only(diagnose([-3.0, -2.0, -0.5, math.nan], CLASSES, mean_cross_entropy=False))


def test_all_one_class_the_most_frequent():
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    matrix[:, 2] = [10, 10, 60, 10, 10]
    message = only(diagnose(FALLING, CLASSES, confusion_matrix=matrix, class_names=['a', 'b', 'road', 'd', 'e']))
    assert "All predictions are the class 'road', which is 60% of the ground truth" in message
    assert 'median_frequency' in message


def test_all_one_class_that_is_rare():
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    matrix[:, 4] = [60, 10, 10, 15, 5]
    message = only(diagnose(FALLING, CLASSES, confusion_matrix=matrix))
    assert 'the class 4, which is 5%' in message and 'same class IDs' in message


def test_one_class_is_right_where_there_is_only_one():
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    matrix[1, 1] = 100
    assert diagnose(FALLING, CLASSES, confusion_matrix=matrix) == []
    assert diagnose(FALLING, CLASSES, confusion_matrix=np.zeros_like(matrix)) == []


def test_a_rising_validation_loss_is_overfitting():
    message = only(diagnose(FALLING, CLASSES, [1.0, 0.7, 0.9, 1.0, 1.2]))
    assert 'risen from 0.7 (evaluation 2) to 1.2' in message and 'overfits' in message


def test_both_losses_rise():
    losses = list(np.linspace(1.6, 0.8, 20)) + [1.2] * 40
    message = only(diagnose(losses, CLASSES, [1.0, 0.9, 1.3, 1.4, 1.5]))
    assert 'does not fall either' in message and 'decaying schedule' in message


def test_a_bump_in_the_validation_loss_is_no_divergence():
    assert diagnose(FALLING, CLASSES, [1.0, 0.7, 0.9, 0.72, 1.0]) == []
    assert diagnose(FALLING, CLASSES, [1.0, 0.7, 1.2, 1.3]) == []  # two evaluations are too few


def test_the_history_of_a_training():
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    matrix[:, 0] = [60, 10, 10, 10, 10]
    label_space = generic_label_space(CLASSES)
    history = [{'epoch': epoch, 'training_loss': 1.5 / epoch, 'learning_rate': 1e-3} for epoch in range(1, 6)]
    for record, loss in zip(history, [1.0, 0.5, 0.9, 1.0, 1.1]):
        record['evaluation'] = {'loss': loss, 'confusion_matrix': matrix.tolist()}
    history.insert(0, dict(history[0], evaluation=None))
    messages = diagnose_history(history, label_space)
    assert len(messages) == 2 and "the class 'class 0'" in messages[0] and 'overfits' in messages[1]
    assert len(diagnose_history(history, label_space, validation_data=False)) == 1
    assert diagnose_history([], label_space) == []


def stuck_history(num_epochs, steps_per_epoch, **evaluation):
    uniform = math.log(CLASSES)
    return [
        {'epoch': e, 'step': e * steps_per_epoch, 'training_loss': uniform + 0.01 * (-1) ** e, 'evaluation': evaluation}
        for e in range(1, num_epochs + 1)
    ]


def test_stuck_epochs_count_by_their_steps():
    label_space = generic_label_space(CLASSES)
    assert 'ln(5) = 1.609' in only(diagnose_history(stuck_history(5, 20), label_space))
    assert diagnose_history(stuck_history(5, 5), label_space) == []  # too early to say
    assert diagnose_history(stuck_history(1, 500), label_space) == []  # a mean may pass ln(C) on its way


def test_a_summed_loss_is_judged_by_that_of_the_evaluation():
    label_space = generic_label_space(CLASSES)
    history = stuck_history(5, 20, loss=1.61)
    for record in history:
        record['training_loss'] = 30000.0
    assert 'Nothing is being learned' in only(diagnose_history(history, label_space, mean_cross_entropy=False))


def test_losses_that_a_file_holds_as_null_are_not_finite():
    record = {'training_loss': None, 'step': 10, 'evaluation': {'loss': None, 'confusion_matrix': None}}
    (finding,) = diagnose_history([record], generic_label_space(3))
    assert 'The loss is nan at entry 1 of 1' in finding
