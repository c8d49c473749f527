"""When a run is said to have fallen behind the curve of its recipe, and why."""

import pytest

from fcn8s.training.recipe_curves import evaluated_epochs, lay_over, remark
from fcn8s.training.recipes import Recipe

DEFAULTS = {'epochs': 20, 'eval_every': 1, 'batch': 1, 'rate': 'poly:1e-4', 'flip': 0.5, 'encoder': None, 'seed': 0}
DEFAULTS.update(class_weights=None, at_input_size=False, size=None)
MEASURED = Recipe(
    name='mine',
    description='',
    command='',
    arguments={'epochs': 8, 'eval_every': 3, 'batch': 4, 'size': [32, 64], 'class_weights': 'median_frequency'},
    target={'score': 'mean IoU', 'value': 60.0, 'tolerance': 2.0, 'on': 'val'},
    measured=True,
    curve=[30.0, 50.0, 60.0],  # after the epochs 3, 6 and 8
)


def settings(**typed):
    return dict(DEFAULTS, **dict(MEASURED.arguments, encoder='E', seed=7, **typed))


def curve_of(recipe=MEASURED, **typed):
    return lay_over(recipe, dict(settings(), **typed), DEFAULTS)


@pytest.mark.parametrize(
    'epochs, every, expected', [(8, 3, [3, 6, 8]), (16, 4, [4, 8, 12, 16]), (2, 5, [2]), (3, 1, [1, 2, 3])]
)
def test_evaluations_come_every_so_many_epochs_and_after_the_last(epochs, every, expected):
    assert evaluated_epochs(epochs, every) == expected


def test_one_line_a_fall_and_again_only_after_it_caught_up():
    curve = curve_of()
    scores, lines = [], []
    for epoch, score in ((1, 0.0), (3, 0.28), (5, 0.0), (6, 0.479), (8, 0.479)):
        scores.append((epoch, score))
        lines.append(remark(curve, scores))
    assert [line is not None for line in lines] == [False, False, False, True, False]
    assert remark(curve, [(3, 0.1), (6, 0.1)]) is None and remark(curve, [(3, 0.1), (6, 0.48)]) is None
    assert remark(curve, [(3, 0.1), (6, 0.48), (8, 0.1)]) is not None
    assert remark(curve, []) is None and remark(curve, [(3, None)]) is None
    assert lines[3] == (
        "behind the recipe 'mine': mean IoU 47.9 % after epoch 6 of 8, where its curve has 50.0 % (tolerance 2 points)."
        " The settings are the recipe's: look at the data (fcn8s check) and at the encoder."
    )


def test_options_that_differ_are_named_with_both_values():
    line = remark(curve_of(batch=2, size=None, rate='poly:1e-2', at_input_size=True, encoder='other'), [(3, 0.1)])
    assert line.endswith(
        ' Likely reason: --at-input-size is given (recipe: not given), --batch is 2 (recipe: 4), --rate is poly:1e-2 '
        '(recipe: poly:1e-4), --size is not given (recipe: 32 64).'
    )


def test_where_data_lie_and_how_they_are_called_is_no_reason():
    reason = curve_of(data=None, images='I', labels='L', image_suffix='_rgb', label_suffix='_ids').reason
    assert reason.startswith("The settings are the recipe's")


def test_weights_of_a_resumed_run_are_no_difference():
    assert "The settings are the recipe's" in curve_of(class_weights=[1.0, 2.0]).reason
    assert '--class-weights is not given (recipe: median_frequency)' in curve_of(class_weights=None).reason


@pytest.mark.parametrize(
    'epochs, every, expected',
    [
        (8, 3, {3: 30.0, 6: 50.0, 8: 60.0}),
        (8, 1, {3: 30.0, 4: 110 / 3, 5: 130 / 3, 6: 50.0, 7: 55.0, 8: 60.0}),  # more often
        (8, 6, {6: 50.0, 8: 60.0}),  # less often
        (8, 4, {4: 110 / 3, 8: 60.0}),  # at other epochs
        (16, 6, {6: 30.0, 12: 50.0, 16: 60.0}),  # twice as long
        (5, 1, {2: 30 + 4 / 3, 3: 30 + 20 * 1.8 / 3, 4: 52.0, 5: 60.0}),
        (1, 3, {1: 60.0}),  # as short as can be
    ],
)
def test_a_curve_is_laid_over_by_the_share_of_the_training(epochs, every, expected):
    assert curve_of(epochs=epochs, eval_every=every).scores == pytest.approx(expected)


def test_another_number_of_epochs_says_where_the_recipe_was():
    line = remark(curve_of(epochs=16, eval_every=6), [(12, 0.1)])
    assert 'after epoch 12 of 16, where its curve has 50.0 % (after epoch 6 of 8, tolerance 2 points)' in line
    assert line.endswith('Likely reason: --epochs is 16 (recipe: 8), --eval-every is 6 (recipe: 3).')
    line = remark(curve_of(epochs=5), [(3, 0.1)])
    assert 'after epoch 3 of 5, where its curve has 42.0 % (after epoch 5 of 8, tolerance 2 points)' in line


@pytest.mark.parametrize(
    'recipe, typed, message',
    [
        (MEASURED._replace(curve=[1.0]), {}, 'it has 1 scores, and the recipe 3 evaluations in 8 epochs'),
        (MEASURED._replace(target=dict(MEASURED.target, score='accuracy')), {}, 'it is of accuracy, and runs are comp'),
        (MEASURED, {'hold_out': ['0006R0']}, 'with another --hold-out, other images are scored'),
    ],
)
def test_curves_that_say_nothing_to_expect_are_refused(recipe, typed, message):
    with pytest.raises(ValueError, match=message):
        curve_of(recipe, **typed)
