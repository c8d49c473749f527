"""Attributes and modules of the reference implementation of 2017 that are gone: whoever asks for one is told what
replaces it.
"""

import importlib.abc
import sys
from typing import Any, Callable, Dict, Mapping, Type, TypeVar

Class = TypeVar('Class')

OF_BATCH_GENERATOR = {
    'image_paths': 'use [pair.image for pair in data.pairs]',
    'ground_truth_paths': 'use [pair.label for pair in data.pairs]',
    'dataset_size': 'use data.get_num_files()',
    'ground_truth': 'use data.has_labels',
}

_TENSORS_OF_METRICS = [
    '{}_{}'.format(metric, part) for metric in ('mean_loss', 'mean_iou', 'acc') for part in ('value', 'update_op')
]
_METRICS = ['metric_names', 'metric_values', 'best_metric_values', 'metric_value_tensors', 'metric_update_ops']
OF_FCN8S: Dict[str, str] = {
    **dict.fromkeys(
        _METRICS + _TENSORS_OF_METRICS + ['metrics_reset_op'],
        'evaluate returns the scores, and train a record with those of each epoch',
    ),
    **dict.fromkeys(
        ['summaries_training', 'summaries_evaluation'], 'train(summaries_dir=...) writes the summaries itself'
    ),
    'g_step': 'use model.sess.run(model.global_step)',
    'loss': 'use model.total_loss',
    'variables_updated': 'save knows whether there is something new; force_save=True saves in any case',
}


MODULES = {
    'fcn8s_tensorflow': 'write from fcn8s import FCN8s',
    'helpers.ground_truth_conversion_utils': 'its functions are in helpers.ground_truth, under other names',
    'helpers.tf_variable_summaries': 'FCN8s.train writes summaries itself',
    'data_generator.batch_generator_KITTI': "use BatchGenerator.from_layout('kitti_road', ...)",
}


class _ModulesOf2017(importlib.abc.MetaPathFinder):
    """Is asked last, for what Python finds nowhere."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in MODULES:
            message = 'No module named {!r}, which is of 2017: {} (docs/migrating.md).'.format(name, MODULES[name])
            raise ModuleNotFoundError(message, name=name)


def tell_of_modules() -> None:
    """Makes imports of the modules that are gone say what replaces them."""
    sys.meta_path.append(_ModulesOf2017())


def with_replacements(replacements: Mapping[str, str]) -> Callable[[Type[Class]], Type[Class]]:
    """Makes a decorator of a class: who reads an attribute of 2017 that it lacks is told what replaces it.

    replacements: name of the attribute -> what the AttributeError says.
    """

    def decorate(decorated: Any) -> Any:
        def missing(self: Any, name: str) -> Any:
            if name in replacements:
                raise AttributeError(
                    '{!r} object has no attribute {!r}, which is of 2017: {} (docs/migrating.md).'.format(
                        type(self).__name__, name, replacements[name]
                    )
                )
            return object.__getattribute__(self, name)  # raises again what was raised, by a property perhaps

        decorated.__getattr__ = missing
        return decorated

    return decorate
