"""Checks of single arguments of a training, which need neither data nor TensorFlow: the command line makes them first.

`name` and `spell` say how messages call the arguments: in Python by their names, on the command line by their flags.
"""

from typing import Any, Callable, Optional, Sequence

from fcn8s.evaluation.scores import CLASS_IOU, METRICS
from helpers.counted import counted
from helpers.flags import is_real

# The most pictures of one evaluation; they are kept in memory.
MAX_WORST = 100


def check_keep_prob(keep_prob: Any, name: str = 'keep_prob') -> None:
    """Raises ValueError unless it is a number above 0 and at most 1."""
    if not (is_real(keep_prob) and 0 < keep_prob <= 1):
        raise ValueError(
            '{} is {!r}; it has to be a number above 0 and at most 1 (1 is no dropout).'.format(name, keep_prob)
        )


def check_l2_regularization(rate: Any, name: str = 'l2_regularization') -> None:
    """Raises ValueError unless the rate is finite and at least 0."""
    if not (is_real(rate) and 0 <= rate < float('inf')):
        raise ValueError('{} is {!r}; it has to be a finite number of at least 0.'.format(name, rate))


def check_monitor_name(monitor: Any, name: str = 'monitor', class_names: Optional[Sequence[str]] = None) -> None:
    """Raises ValueError unless it is a score, or the IoU of a class. class_names: None if they are not known yet."""
    if isinstance(monitor, str) and monitor.startswith(CLASS_IOU):
        if class_names is not None and monitor[len(CLASS_IOU) :] not in class_names:
            raise ValueError(
                '{} is {!r}, but there is no such class; the classes are {}.'.format(
                    name, monitor, ', '.join(class_names)
                )
            )
    elif monitor not in list(METRICS):
        raise ValueError("{} is {!r}; choose from {} or 'iou:CLASS NAME'.".format(name, monitor, list(METRICS)))


def check_last_epochs(
    epochs: float,
    swa: Optional[int],
    head_warmup: int,
    patience: Optional[int],
    spell: Callable[[str], str] = str,
) -> None:
    """Raises ValueError if the head's warm-up takes all epochs, or the last `swa` epochs cannot be averaged.

    epochs: infinity if they are not known yet.
    """
    if head_warmup >= epochs:
        raise ValueError(
            '{} is {} and {} is {}; the warm-up has to leave epochs to train everything. To train the head alone, '
            'freeze the five blocks: freeze=5 (--freeze 5).'.format(
                spell('head_warmup'), head_warmup, spell('epochs'), epochs
            )
        )
    if swa is None:
        return
    if swa > epochs - head_warmup:
        left = counted(int(epochs - head_warmup), 'epoch')
        raise ValueError('{} is {}; it has to be at most the {} of the training.'.format(spell('swa'), swa, left))
    if patience is not None:
        raise ValueError(
            '{} is {} and {} is {}; the last epochs are not known where patience may end the training. Leave one of '
            'them out, or take {} instead of {}.'.format(
                spell('swa'), swa, spell('early_stopping_patience'), patience, spell('ema'), spell('swa')
            )
        )
