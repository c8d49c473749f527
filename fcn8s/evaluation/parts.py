"""An evaluation that several processes share: the part of each process, and the whole that the parts make.

The whole equals the evaluation by one process to the bit: integers add up in any order, and floating-point numbers are
added batch by batch in the order in which one process would have added them. Batch j goes to process j mod n.
"""

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from fcn8s.evaluation.boundaries import BoundaryTotals
from fcn8s.evaluation.calibration import TemperatureSums, no_sums, summarize_calibration, summarize_temperature
from fcn8s.evaluation.one_pass import Evaluation, ImageBoundaryScores
from fcn8s.evaluation.per_image import Confusion, ImageScores
from fcn8s.evaluation.scores import ClassCounts, summarize
from helpers.label_spaces import LabelSpace


class BatchSums:
    """Keeps the loss and the calibration sums of each batch; an observer of `evaluate_model`."""

    def __init__(self, with_calibration: bool = False) -> None:
        self.fetches = ('loss_sum', 'calibration') if with_calibration else ('loss_sum',)
        self.losses: List[float] = []
        self.calibrations: List[List[List[float]]] = []

    def add(self, images: Any, labels: Any, values: Dict[str, Any]) -> None:
        """Keeps the sums of one more batch; images and labels are not used."""
        self.losses.append(float(values['loss_sum']))
        if 'calibration' in values:
            self.calibrations.append([sums.tolist() for sums in values['calibration']])


class Part(NamedTuple):
    """What one process found.

    losses: the loss sum of each batch. calibrations: for each batch, counts, correct pixels and confidence sums of the
    bins; empty where calibration was not asked for.
    """

    evaluation: Evaluation
    losses: List[float]
    calibrations: List[Any]


def part_to_json(evaluation: Evaluation, sums: BatchSums) -> Dict[str, Any]:
    """Returns a part as numbers, lists and dicts. Python writes floats so that they are read back to the bit."""
    boundaries = evaluation.boundaries
    return {
        'confusion_matrix': evaluation.scores['confusion_matrix'].tolist(),
        'counts': [counts.tolist() for counts in evaluation.image_counts],
        'rows': [dict(row._asdict(), per_class_iou=row.per_class_iou.tolist()) for row in evaluation.rows],
        'trimaps': None if boundaries is None else boundaries.trimaps.tolist(),
        'f1': None if boundaries is None else [f1.tolist() for f1 in boundaries.f1],
        'losses': sums.losses,
        'calibrations': sums.calibrations,
        'temperatures': [
            [half.losses] + [field.tolist() for field in half[1:]] for half in evaluation.temperature_sums
        ],
    }


def part_from_json(content: Dict[str, Any]) -> Part:
    """Returns the part that `part_to_json` was given."""
    boundaries = None
    if content['f1'] is not None:
        f1 = [np.array(values, np.float64) for values in content['f1']]
        boundaries = ImageBoundaryScores(np.array(content['trimaps'], np.int64), f1)
    evaluation = Evaluation(
        {'confusion_matrix': np.array(content['confusion_matrix'], np.int64)},
        ClassCounts(*[np.array(counts, np.int64) for counts in content['counts']]),
        [_row(fields) for fields in content['rows']],
        boundaries,
        [
            TemperatureSums(losses, *[np.array(field, np.int64) for field in fields])
            for losses, *fields in content['temperatures']
        ],
    )
    return Part(evaluation, content['losses'], content['calibrations'])


def _row(fields: Dict[str, Any]) -> ImageScores:
    confusion = fields['confusion']
    return ImageScores(
        **dict(
            fields,
            per_class_iou=np.array(fields['per_class_iou'], np.float64),
            confusion=None if confusion is None else Confusion(*confusion),
        )
    )


def join(parts: Sequence[Part], label_space: LabelSpace, batch_size: int) -> Evaluation:
    """Returns the evaluation that one process would have made.

    Args:
        parts: In the order of the processes.
        batch_size: Images a batch; the last batch of all may hold fewer.
    """
    order = list(_order([len(part.evaluation.rows) for part in parts], batch_size))
    confusion_matrix = np.sum([part.evaluation.scores['confusion_matrix'] for part in parts], axis=0)
    # Every valid pixel is in the matrix: otherwise its process would have raised an error.
    loss_sum = _sum_in_turn([np.float64(loss) for loss in _dealt_back([part.losses for part in parts])])
    scores = summarize(confusion_matrix, loss_sum, int(confusion_matrix.sum()), label_space)
    boundaries = _join_boundaries(parts, order)
    if boundaries is not None:
        totals = BoundaryTotals(label_space)
        totals.add_trimaps(boundaries.trimaps)
        for f1 in boundaries.f1:
            totals.add_f1(f1)
        scores.update(totals.summarize())
    if parts[0].calibrations:
        scores.update(_join_calibrations([part.calibrations for part in parts]))
        halves = zip(*[part.evaluation.temperature_sums for part in parts])
        scores.update(summarize_temperature([sum(of_half, no_sums()) for of_half in halves]))
    counts = [np.concatenate(fields) for fields in zip(*[part.evaluation.image_counts for part in parts])]
    rows = [row for part in parts for row in part.evaluation.rows]
    return Evaluation(scores, ClassCounts(*[of_all[order] for of_all in counts]), [rows[i] for i in order], boundaries)


def _order(num_images: Sequence[int], batch_size: int) -> Iterator[int]:
    """For each image of the whole, its index in the concatenated parts."""
    starts = np.cumsum([0] + list(num_images)[:-1]).tolist()
    left = list(num_images)
    process = 0
    while any(left):
        taken = min(batch_size, left[process])
        yield from range(starts[process], starts[process] + taken)
        starts[process] += taken
        left[process] -= taken
        process = (process + 1) % len(left)


def _dealt_back(dealt: Sequence[Sequence[Any]]) -> List[Any]:
    """The values in the order that they had before they were dealt out one by one."""
    longest = max(len(own) for own in dealt)
    return [own[place] for place in range(longest) for own in dealt if place < len(own)]


def _sum_in_turn(values: Sequence[Any]) -> Any:
    """The sum as a running total; numpy's own sum adds pairwise."""
    total = np.zeros_like(values[0])
    for value in values:
        total = total + value
    return total


def _join_boundaries(parts: Sequence[Part], order: Sequence[int]) -> Optional[ImageBoundaryScores]:
    found = [part.evaluation.boundaries for part in parts if part.evaluation.boundaries is not None]
    if not found:
        return None
    f1 = [values for part in found for values in part.f1]
    return ImageBoundaryScores(np.sum([part.trimaps for part in found], axis=0), [f1[i] for i in order])


def _join_calibrations(calibrations: Sequence[Sequence[Any]]) -> Dict[str, Any]:
    batches = _dealt_back(calibrations)
    counts, correct = (np.array([batch[i] for batch in batches], np.int64).sum(axis=0) for i in (0, 1))
    confidence_sums = _sum_in_turn([np.array(batch[2], np.float64) for batch in batches])
    return summarize_calibration(counts, correct, confidence_sums)
