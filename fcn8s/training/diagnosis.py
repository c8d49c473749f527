"""Says in words what is wrong with a training run, from its losses and its confusion matrix.

Each rule looks for one known pattern and stays silent where the evidence is thin. The messages name the numbers that
they rest on, the likely causes in the order in which to check them, and what to try.
"""

import math
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from helpers.label_spaces import LabelSpace

# A mean loss that is relatively this close to ln(C) means that the network gives every class the same probability.
UNIFORM_TOLERANCE = 0.03
MIN_STEPS_TO_BE_STUCK = 50
# One class with this share of the predictions counts as "all".
ONE_CLASS_SHARE = 0.995
# A validation loss this many times its minimum counts as risen.
RISE = 1.15
MIN_EVALUATIONS_TO_DIVERGE = 3
BLOW_UP = 3.0


def diagnose(
    losses: Sequence[float],
    num_classes: int,
    validation_losses: Sequence[float] = (),
    confusion_matrix: Optional[np.ndarray] = None,
    class_names: Optional[Sequence[str]] = None,
    learning_rate: Optional[float] = None,
    mean_cross_entropy: bool = True,
    num_steps: Optional[int] = None,
) -> List[str]:
    """Says what looks wrong, as sentences for a person; returns an empty list where nothing does.

    Args:
        losses: training losses in order, one per step, or means over equal numbers of steps; NaN and inf may occur.
        num_classes: C.
        validation_losses: one per evaluation, in order.
        confusion_matrix: integers [C, C], rows are ground truth, of the last evaluation.
        class_names: for the messages.
        learning_rate: the last one, for the messages.
        mean_cross_entropy: whether the training loss is the mean cross-entropy, which ln(C) can be compared with. If
            not, the validation losses are compared, which always are.
        num_steps: how many steps the losses cover; None: one each.
    """
    values = np.asarray(losses, np.float64)
    not_finite = diagnose_not_finite(values, learning_rate)
    if not_finite:
        return [not_finite]
    findings = [
        diagnose_stuck(values if mean_cross_entropy else np.asarray(validation_losses), num_classes, num_steps),
        diagnose_rising(values, learning_rate),
        diagnose_one_class(confusion_matrix, class_names) if confusion_matrix is not None else None,
        diagnose_validation(values, validation_losses),
    ]
    return [finding for finding in findings if finding]


def diagnose_history(
    history: Sequence[Dict[str, Any]],
    label_space: LabelSpace,
    validation_data: bool = True,
    mean_cross_entropy: bool = True,
) -> List[str]:
    """Diagnoses the records that `FCN8s.train` returns and `metrics.jsonl` holds; one training loss per epoch.

    validation_data: whether the evaluations used data that were not trained on.
    """
    evaluations = [record['evaluation'] for record in history if record.get('evaluation')]
    matrices = [scores['confusion_matrix'] for scores in evaluations if scores.get('confusion_matrix') is not None]
    return diagnose(
        [_number(record.get('training_loss')) for record in history],
        label_space.num_classes,
        [_number(scores['loss']) for scores in evaluations if 'loss' in scores] if validation_data else (),
        np.asarray(matrices[-1]) if matrices else None,
        label_space.class_names,
        history[-1].get('learning_rate') if history else None,
        mean_cross_entropy,
        history[-1].get('step') if history else None,
    )


def _number(value: Optional[float]) -> float:
    """A loss from `metrics.jsonl`, where null stands for NaN, which JSON does not have."""
    return math.nan if value is None else value


def _rate(learning_rate: Optional[float]) -> str:
    return '' if learning_rate is None else ' (it is {:g})'.format(learning_rate)


def _blew_up(last: float, least: float) -> bool:
    """Whether a loss ends far above its least. No factor can say so for a loss below zero, such as a custom one."""
    return least > 0 and last > BLOW_UP * least


def diagnose_not_finite(losses: np.ndarray, learning_rate: Optional[float] = None) -> Optional[str]:
    """Finds NaN or infinity: after a rise the cause is the rate, without one the data."""
    bad = np.flatnonzero(~np.isfinite(losses))
    if not len(bad):
        return None
    what = 'The loss is {} at entry {} of {}. '.format(losses[bad[0]], bad[0] + 1, len(losses))
    return what + cause_of_not_finite(losses[: bad[0]], learning_rate)


def cause_of_not_finite(before: np.ndarray, learning_rate: Optional[float] = None) -> str:
    """Says where a NaN or infinity comes from, judging by the losses before it; if empty, nothing was trained."""
    if not len(before):
        return (
            'Nothing had been trained yet, so the rate is not the cause: look for label IDs outside of the '
            'classes (fcn8s check), images that are not 0 to 255, encoder weights that are NaN, or a loss function '
            'of your own that divides by zero.'
        )
    if _blew_up(before[-1], before.min()):
        return (
            'It had risen from {:.3g} to {:.3g} before that: the learning rate is too high{}. Take a '
            'tenth, or clip the gradient.'.format(before.min(), before[-1], _rate(learning_rate))
        )
    return (
        'It had been {:.3g} just before, without rising: check the labels of that batch first (IDs '
        'outside of the classes; fcn8s check), then the learning rate{} (take a tenth), then a loss function of '
        'your own.'.format(before[-1], _rate(learning_rate))
    )


def diagnose_stuck(losses: np.ndarray, num_classes: int, num_steps: Optional[int] = None) -> Optional[str]:
    """Finds a loss that stays at ln(C), the loss of equal probabilities for all C classes, from first step to last.

    num_steps: how many steps the losses are means or samples of; None: one each. A single loss is no evidence.
    """
    uniform = math.log(num_classes)
    num_steps = len(losses) if num_steps is None else num_steps
    if len(losses) < 2 or num_steps < MIN_STEPS_TO_BE_STUCK:
        return None
    recent = losses[-max(1, len(losses) // 4) :].mean()
    distances = np.median(np.abs(losses - uniform)), abs(recent - uniform)
    if not all(distance <= UNIFORM_TOLERANCE * uniform for distance in distances):  # NaN is no evidence
        return None
    return (
        'The loss stays at {:.3f}, which is ln({}) = {:.3f}: the network gives every class the same probability. '
        'Nothing is being learned. Check that the labels belong to the images (fcn8s check, preview), that the '
        "rate is not much too low (with normalize='sum' rates like 1e-10 are meant, with the mean 1e-4), that not "
        "everything is frozen, and that Adam does not run with the paper's skip scales.".format(
            recent, num_classes, uniform
        )
    )


def diagnose_rising(losses: np.ndarray, learning_rate: Optional[float] = None) -> Optional[str]:
    """Finds a finite loss that ends far above where it has been."""
    if len(losses) < 8:
        return None
    window = max(len(losses) // 8, 2)
    means = np.array([part.mean() for part in np.array_split(losses, len(losses) // window)])
    if not _blew_up(means[-1], means.min()):
        return None
    return (
        'The training loss has risen from {:.3g} to {:.3g}. The learning rate is too high{}: take a third or a '
        'tenth, start with a warm-up, or clip the gradient.'.format(means.min(), means[-1], _rate(learning_rate))
    )


def diagnose_one_class(confusion_matrix: np.ndarray, class_names: Optional[Sequence[str]] = None) -> Optional[str]:
    """Finds that nearly all predictions are one class although the ground truth has several."""
    matrix = np.asarray(confusion_matrix, np.float64)
    predicted, truth = matrix.sum(axis=0), matrix.sum(axis=1)
    if not matrix.sum() or np.count_nonzero(truth) < 2 or predicted.max() < ONE_CLASS_SHARE * predicted.sum():
        return None
    winner = int(predicted.argmax())
    share = truth[winner] / truth.sum()
    if share >= ONE_CLASS_SHARE:
        return None  # nearly all of the ground truth is that class: the predictions may simply be right
    name = repr(class_names[winner]) if class_names else str(winner)
    what = 'All predictions are the class {}, which is {:.0%} of the ground truth.'.format(name, share)
    if winner == int(truth.argmax()):
        return (
            what + ' The network has only learned which class is the most frequent. Early in training that passes; '
            'else try class weights (--class-weights median_frequency; in Python the numbers of '
            'helpers.class_weights.median_frequency_weights), a higher rate, or skip scales of 1 under Adam.'
        )
    return (
        what + ' It is not even the most frequent class: check that training and evaluation use the same class IDs '
        '(fcn8s check), that images are RGB from 0 to 255, and that the rate is not so high that all ReLUs have '
        'died.'
    )


def diagnose_validation(losses: np.ndarray, validation_losses: Sequence[float]) -> Optional[str]:
    """Finds a validation loss that has stayed above its minimum in the last evaluations."""
    validation = np.asarray(validation_losses, np.float64)
    if not len(validation) or not np.all(np.isfinite(validation)):
        return None
    best = int(validation.argmin())
    after = validation[best + 1 :]
    if len(after) < MIN_EVALUATIONS_TO_DIVERGE or after[-MIN_EVALUATIONS_TO_DIVERGE:].min() < RISE * validation[best]:
        return None
    what = 'The validation loss has risen from {:.3g} (evaluation {}) to {:.3g}'.format(
        validation[best], best + 1, validation[-1]
    )
    at_best = losses[: max(1, int(round(len(losses) * (best + 1) / len(validation))))][-5:]
    if len(losses) and losses[-5:].mean() < at_best.mean():
        return (
            what + ' while the training loss still falls: the network overfits. Use the best checkpoint (it is '
            'kept), stop early, or train with more augmentation, more L2, a lower keep_prob or frozen encoder '
            'blocks.'
        )
    return (
        what + ', and the training loss does not fall either: the learning rate is too high for this late in '
        'training. Use a decaying schedule such as poly or cosine.'
    )
