"""The scores of every single image, from the confusion matrices that the evaluation pass holds anyway; as rows of a
table, of a CSV file and of JSON.

Letters: C classes, P >= C columns of a confusion matrix.
"""

import math
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from fcn8s.evaluation.scores import count_classes, intersection_over_union, mean_iou, pixel_accuracy
from helpers.counted import counted
from helpers.files import atomic_write_csv
from helpers.label_spaces import LabelSpace
from helpers.tables import align_columns, columns_of, cut_end, cut_start, screen_columns, spreadsheet_text

NUM_WORST = 10

_ON_REQUEST = ('boundary_f1', 'confidence', 'entropy', 'mutual_information')
_CONFUSION_COLUMNS = ('confused_class', 'confused_with', 'confused_pixels', 'confusion_cost')


class Confusion(NamedTuple):
    """Pixels of the class `truth` that were predicted as `predicted`; both are class IDs.

    cost: by how much the image's mean IoU would rise if these pixels alone were right.
    """

    truth: int
    predicted: int
    pixels: int
    cost: float


class ImageScores(NamedTuple):
    """The scores of one image; NaN where there is nothing to divide by, or where a score was not asked for."""

    pixels: int  # of the ground truth, void ones among them
    void: float  # share of them that do not count
    accuracy: float
    mean_iou: float  # over the classes that ground truth or prediction hold
    per_class_iou: np.ndarray  # float64 [C]
    confusion: Optional[Confusion]  # the most costly; None where every pixel is right
    boundary_f1: float = math.nan  # mean over its classes
    confidence: float = math.nan  # mean soft-max probability of the predicted class over the pixels that count
    entropy: float = math.nan  # of the mean of samples, mean over the pixels of the image, in nats
    mutual_information: float = math.nan  # between samples and class, likewise


def score_image(confusion_matrix: np.ndarray, num_pixels: int, label_space: LabelSpace) -> ImageScores:
    """Returns the scores of one image from its confusion matrix, integers [C, P], rows are ground truth.

    Args:
        num_pixels: Height times width of the ground truth.
    """
    counts = count_classes(confusion_matrix, label_space.void_class_ids)
    valid = int(counts.true_positives.sum() + counts.false_negatives.sum())
    return ImageScores(
        num_pixels,
        1.0 - valid / num_pixels if num_pixels else math.nan,
        float(pixel_accuracy(counts)),
        float(mean_iou(counts)),
        intersection_over_union(counts),
        most_costly_confusion(confusion_matrix, label_space.void_class_ids),
    )


def most_costly_confusion(confusion_matrix: np.ndarray, void_class_ids: Sequence[int] = ()) -> Optional[Confusion]:
    """Returns the pair (true class, predicted class) whose correction would raise the mean IoU most; None without a
    mistake.

    Correcting n pixels of class i that were predicted as j adds n / U_i to IoU_i, where U is the union of ground truth
    and prediction. It changes IoU_j from TP_j / U_j to TP_j / (U_j - n). A class j that was predicted only by mistake
    is then absent and leaves the mean.
    """
    matrix = np.array(confusion_matrix, dtype=np.int64)
    counts = count_classes(matrix, void_class_ids)
    matrix[list(void_class_ids)] = 0
    np.fill_diagonal(matrix, 0)
    if not matrix.any():
        return None
    true_positives = counts.true_positives.astype(np.float64)
    unions = true_positives + counts.false_positives + counts.false_negatives
    iou = np.divide(true_positives, unions, out=np.zeros_like(unions), where=unions > 0)
    truths, predicted = np.nonzero(matrix)
    pixels = matrix[truths, predicted]
    # Columns beyond C and void classes have no IoU of their own that could rise.
    is_scored = (predicted < len(unions)) & ~np.isin(predicted, list(void_class_ids))
    columns = np.where(is_scored, predicted, 0)
    rests = unions[columns] - pixels
    raised = np.divide(true_positives[columns], rests, out=np.zeros_like(rests), where=rests > 0) - iou[columns]
    present = int((unions > 0).sum())
    sums = iou.sum() + pixels / unions[truths] + np.where(is_scored, raised, 0.0)
    costs = sums / (present - (is_scored & (rests == 0))) - iou.sum() / present
    worst = int(np.argmax(costs))
    return Confusion(int(truths[worst]), int(predicted[worst]), int(pixels[worst]), float(costs[worst]))


def worst_first(rows: Sequence[ImageScores]) -> List[int]:
    """Returns the numbers of the images, the lowest mean IoU first; those without one last."""
    return sorted(range(len(rows)), key=lambda row: (math.isnan(rows[row].mean_iou), rows[row].mean_iou))


def as_record(
    name: str, row: ImageScores, label_space: LabelSpace, against: Optional[ImageScores] = None
) -> Dict[str, Any]:
    """Returns one image as a dict by column name; unknown scores are NaN, and the confused classes of an image without
    mistakes are None.

    Args:
        against: Scores of the same image by another model; adds their mean IoU and the difference.
    """
    confusion = row.confusion
    record: Dict[str, Any] = {'image': name, 'pixels': row.pixels, 'void': row.void}
    record.update(accuracy=row.accuracy, mean_iou=row.mean_iou)
    record.update({field: getattr(row, field) for field in _ON_REQUEST})
    values = (
        (None, None, 0, 0.0)
        if confusion is None
        else (
            _class_name(confusion.truth, label_space),
            _class_name(confusion.predicted, label_space),
            confusion.pixels,
            confusion.cost,
        )
    )
    record.update(zip(_CONFUSION_COLUMNS, values))
    if against is not None:
        record.update(against_mean_iou=against.mean_iou, mean_iou_difference=row.mean_iou - against.mean_iou)
    record['per_class_iou'] = row.per_class_iou
    return record


def as_records(
    names: Sequence[str],
    rows: Sequence[ImageScores],
    label_space: LabelSpace,
    against: Optional[Sequence[ImageScores]] = None,
) -> List[Dict[str, Any]]:
    """Returns `as_record` of each image."""
    others: Sequence[Optional[ImageScores]] = [None] * len(rows) if against is None else against
    return [as_record(name, row, label_space, other) for name, row, other in zip(names, rows, others)]


def write_csv(
    path: str,
    names: Sequence[str],
    rows: Sequence[ImageScores],
    label_space: LabelSpace,
    against: Optional[Sequence[ImageScores]] = None,
) -> None:
    """Writes one line per image, in the order of the dataset: shares from 0 to 1, an empty cell for a missing score, an
    apostrophe before names that a spreadsheet would take for formulas.

    Args:
        names: Names of the images.
        against: As in `as_records`.
    """
    records = as_records(names, rows, label_space, against)
    left_out = [field for field in _ON_REQUEST if all(math.isnan(r[field]) for r in records)]
    scored = [class_id for class_id in range(label_space.num_classes) if class_id not in label_space.void_class_ids]
    columns = as_record('', _NOTHING, label_space, None if against is None else _NOTHING)
    fields = [field for field in columns if field not in left_out and field != 'per_class_iou']
    lines: List[List[Any]] = [fields + ['iou:' + label_space.class_names[class_id] for class_id in scored]]
    for row, record in zip(rows, records):
        cells = [record[field] for field in fields]
        lines.append([_cell(value) for value in cells + row.per_class_iou[scored].tolist()])
    atomic_write_csv(path, lines)


_NOTHING = ImageScores(0, math.nan, math.nan, math.nan, np.zeros(0), None)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return spreadsheet_text(value)
    return '' if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _class_name(class_id: int, label_space: LabelSpace) -> str:
    return label_space.class_names[class_id] if class_id < label_space.num_classes else 'ignored'


def format_worst(
    names: Sequence[str],
    rows: Sequence[ImageScores],
    label_space: LabelSpace,
    count: int = NUM_WORST,
) -> str:
    """Returns the images with the lowest mean IoU as lines of at most 80 columns or those of the terminal, the worst
    first.

    Names are shown without what all of them share, and long ones without their beginning.
    """
    names = short_names(names)
    worst = worst_first(rows)[:count]
    cells = [(_percent(rows[i].mean_iou), _percent(rows[i].accuracy), _percent(rows[i].void)) for i in worst]
    confusions = [_confusion_text(rows[i].confusion, label_space) for i in worst]
    longest_name = max([columns_of(printable(names[i])) for i in worst] + [8])
    longest_confusion = max([columns_of(text) for text in confusions] + [21])
    columns = screen_columns()
    confusion_width = min(longest_confusion, max(columns // 3 + 1, columns - 25 - longest_name))
    name_width = max(8, columns - confusion_width - 25)
    table = [('image', 'mIoU', 'acc.', 'void', 'most costly confusion')]
    for i, numbers, confusion in zip(worst, cells, confusions):
        table.append((cut_start(printable(names[i]), name_width), *numbers, cut_end(confusion, confusion_width)))
    heading = 'The {} with the lowest mean IoU, of {}; in per cent'.format(counted(len(worst), 'image'), len(rows))
    return '\n'.join([heading] + align_columns(table, left=(0, 4)))


def short_names(names: Sequence[str]) -> List[str]:
    """Returns the names without the folders that all of them begin with and the ending that all of them have.

    Both are cut between words: after a separator, and before a `.` or `_`.
    """
    if len(set(names)) < 2:
        return list(names)
    start = os.path.commonprefix(list(names)).rfind('/') + 1
    ending = os.path.commonprefix([name[start:][::-1] for name in names])[::-1]
    places = [place for place, character in enumerate(ending) if character in '._']
    cut = len(ending) - places[0] if places else 0
    shortened = [name[start : len(name) - cut] for name in names]
    return shortened if all(shortened) else list(names)


def printable(text: str) -> str:
    """Returns the text with a question mark for each character that a terminal could obey, or cannot show."""
    return ''.join(character if character.isprintable() else '?' for character in text)


def _confusion_text(confusion: Optional[Confusion], label_space: LabelSpace) -> str:
    if confusion is None:
        return 'none'
    return '{:.1f}: {} as {}'.format(
        100 * confusion.cost,
        printable(_class_name(confusion.truth, label_space)),
        printable(_class_name(confusion.predicted, label_space)),
    )


def _percent(share: float) -> str:
    return '-' if math.isnan(share) else '{:.1f}'.format(100.0 * share)
