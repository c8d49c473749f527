"""Made-up records and evaluations for the tests of the report."""

import numpy as np

from fcn8s.evaluation.one_pass import Evaluation, ImageStatistics
from fcn8s.evaluation.scores import count_confusion, summarize
from fcn8s.report.observations import Observations
from fcn8s.report.page import Evaluated
from helpers.label_spaces import generic_label_space

HOSTILE = '</script><script>alert(1)</script>'
SPACE = generic_label_space(4, class_names=['road', '<sky>', HOSTILE, 'void'])._replace(void_class_ids=(3,))
CONFIG = {
    'model': {'variant': '8s', 'num_classes': 4, 'label_space': SPACE.to_dict()},
    'versions': {'tensorflow': '1.15.5'},
}


def record(step, loss, evaluation=None):
    return {'epoch': step // 10, 'step': step, 'training_loss': loss, 'learning_rate': 1e-3, 'evaluation': evaluation}


def scores(mean_iou, loss=0.5):
    nothing = [np.nan] * 3
    return {
        'loss': loss,
        'mean_iou': mean_iou,
        'accuracy': 0.75,
        'per_class_iou': np.array([mean_iou] + nothing),
        'per_class_accuracy': np.array([0.5] + nothing),
        'precision': np.array([0.25] + nothing),
    }


def pair(seed, size=(40, 60)):
    rng = np.random.RandomState(seed)
    labels = rng.choice([0, 1, 2, 3, 255], size=(4, 6)).repeat(10, axis=0).repeat(10, axis=1)[: size[0], : size[1]]
    wrong = rng.rand(4, 6).repeat(10, axis=0).repeat(10, axis=1)[: size[0], : size[1]] < 0.3
    predicted = np.where(wrong, (labels + 1) % 3, np.where(labels == 255, 0, labels))
    return labels.astype(np.uint8), predicted.astype(np.uint8)


def evaluated(count=5, seed=0, title='runs/<b>', space=SPACE):
    """An evaluation of made-up predictions, in the places where the session's would be."""
    rng, num_classes = np.random.RandomState(seed), space.num_classes
    seen, total = Observations(space), np.zeros((num_classes, num_classes), int)
    with ImageStatistics(space) as statistics:
        for number in range(count):
            labels, predicted = pair(seed + number)
            confusion = count_confusion(labels, predicted, num_classes)[:, :num_classes]
            values = {
                'image_confusions': confusion[np.newaxis],
                'class_ids': predicted[np.newaxis],
                'confidences': np.full((1,) + labels.shape, 0.75, np.float32),
                'surprises': np.where(labels == predicted, 0, 7).astype(np.float32)[np.newaxis],
            }
            image = rng.randint(256, size=(1,) + labels.shape + (3,)).astype(np.uint8)
            statistics.add(image, labels[np.newaxis], values)
            seen.add(image, labels[np.newaxis], values)
            total += confusion
        summary = summarize(total, np.nan, int(total.sum()), space)
        evaluation = Evaluation(summary, statistics.counts(), statistics.rows())
    names = ['val/{}_{}.png'.format(HOSTILE.replace('/', '') if n == 1 else 'image', n) for n in range(count)]
    return Evaluated(title, {'model': title}, space, names, evaluation, seen)
