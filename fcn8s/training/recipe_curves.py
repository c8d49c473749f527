"""Compares the scores of a run with the curve of the measured recipe that it was started with, while it trains.

A curve holds a score for each evaluation of the recipe. It is laid over the epochs of a run by the share of the
training that is done: epoch for epoch if the run has as many epochs as the recipe. Between two scores it is a straight
line.
"""

from fractions import Fraction
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.training.recipes import Recipe

SCORE = 'mean IoU'
# Options that do not explain another score: where data and encoder are, what is kept, what reads and computes.
_NO_REASONS = frozenset(
    ('recipe', 'resume', 'run_dir', 'list_recipes', 'overfit_one_batch', 'of_cluster', 'wire', 'timeout')
    + ('data', 'images', 'labels', 'val_images', 'val_labels', 'image_suffix', 'label_suffix')
    + ('encoder', 'cache', 'threads', 'seed')
    + ('classes', 'ignore_id', 'id_map', 'colors', 'color_tolerance', 'label_transparency', 'class_names')
    + ('report', 'save_every', 'keep_checkpoints', 'summary_worst', 'monitor', 'patience', 'eval_batch')
    + ('trust', 'xla')
)


class RecipeCurve(NamedTuple):
    """A curve over the epochs of a run.

    recipe: its name. epochs, recipe_epochs: how many the run and the recipe have. scores: epoch of the run -> the
    recipe's score there, in per cent. tolerance: in points. reason: a sentence that says why the run may fall behind.
    """

    recipe: str
    epochs: int
    recipe_epochs: int
    scores: Dict[int, float]
    tolerance: float
    reason: str


def lay_over(recipe: Recipe, settings: Dict[str, Any], defaults: Dict[str, Any]) -> RecipeCurve:
    """Lays the curve of a measured recipe over the epochs of a run.

    Args:
        recipe: A measured recipe.
        settings: The options of the run, by name.
        defaults: The values of options that the recipe does not name.

    Raises:
        ValueError: The curve does not say what to expect at the evaluations of this run; the message says why.
    """
    wanted = dict(defaults, **recipe.arguments)
    if recipe.target['score'] != SCORE:
        raise ValueError('it is of {}, and runs are compared by {}.'.format(recipe.target['score'], SCORE))
    if settings.get('hold_out') != wanted.get('hold_out'):
        raise ValueError('with another --hold-out, other images are scored.')
    evaluations = evaluated_epochs(wanted['epochs'], wanted['eval_every'])
    curve = recipe.curve or []
    if len(curve) != len(evaluations):
        raise ValueError(
            'it has {} scores, and the recipe {} evaluations in {} epochs.'.format(
                len(curve), len(evaluations), wanted['epochs']
            )
        )
    shares = [Fraction(epoch, wanted['epochs']) for epoch in evaluations]
    epochs = settings['epochs']
    mine = [epoch for epoch in evaluated_epochs(epochs, settings['eval_every']) if Fraction(epoch, epochs) >= shares[0]]
    # Scores rise ever more slowly, so a straight line between two of them is not above the recipe's score there.
    expected = np.interp([epoch / epochs for epoch in mine], [float(share) for share in shares], curve)
    scores = dict(zip(mine, map(float, expected)))
    tolerance = recipe.target['tolerance']
    return RecipeCurve(recipe.name, epochs, wanted['epochs'], scores, tolerance, _reason(settings, wanted))


def evaluated_epochs(epochs: int, every: int) -> List[int]:
    """Returns the epochs, from 1, after which a training is evaluated: each `every`-th, and the last."""
    return sorted(set(range(every, epochs + 1, every)) | {epochs})


def remark(curve: RecipeCurve, scores: Sequence[Tuple[int, Optional[float]]]) -> Optional[str]:
    """Says that the last evaluation fell behind the curve; None if it did not, or if the one before already had.

    Args:
        scores: (epoch from 1, mean IoU from 0 to 1) of all evaluations of the run so far; None where it is unknown.
    """
    compared = [(epoch, 100 * score) for epoch, score in scores if epoch in curve.scores and score is not None]
    if not compared or compared[-1][0] != scores[-1][0]:
        return None
    # A score that is below only through rounding is not behind.
    behind = [score < curve.scores[epoch] - curve.tolerance - 1e-6 for epoch, score in compared[-2:]]
    if not behind[-1] or behind[:-1] == [True]:
        return None
    epoch, score = compared[-1]
    there = ''
    if curve.epochs != curve.recipe_epochs:
        there = 'after epoch {} of {}, '.format(round(epoch * curve.recipe_epochs / curve.epochs), curve.recipe_epochs)
    return (
        'behind the recipe {!r}: {} {:.1f} % after epoch {} of {}, where its curve has {:.1f} % ({}tolerance {:g} '
        'points). {}'.format(
            curve.recipe, SCORE, score, epoch, curve.epochs, curve.scores[epoch], there, curve.tolerance, curve.reason
        )
    )


def _reason(settings: Dict[str, Any], wanted: Dict[str, Any]) -> str:
    differences = [
        '--{} is {} (recipe: {})'.format(name.replace('_', '-'), _as_typed(value), _as_typed(wanted.get(name)))
        for name, value in sorted(settings.items())
        if name not in _NO_REASONS and not _is_same(name, value, wanted.get(name))
    ]
    if differences:
        return 'Likely reason: {}.'.format(', '.join(differences))
    return "The settings are the recipe's: look at the data (fcn8s check) and at the encoder."


def _is_same(name: str, value: Any, wanted: Any) -> bool:
    if name == 'class_weights' and isinstance(value, list) and isinstance(wanted, str):
        return True  # a resumed run has the weights themselves, the recipe how they are computed
    return bool(value == wanted)


def _as_typed(value: Any) -> str:
    if value is None or value is False:
        return 'not given'
    if value is True:
        return 'given'
    if isinstance(value, (list, tuple)):
        return ' '.join(map(str, value))
    return repr(value) if value == '' else str(value)
