"""Names of the reference implementation of 2017 that are gone: whoever uses one is told what replaces it."""

import importlib.abc
from typing import Any, Callable, Dict, Mapping, Type, TypeVar

Class = TypeVar('Class')

MODULES = {
    'fcn8s_tensorflow': 'write: from fcn8s import FCN8s',
    'data_generator.batch_generator_KITTI': "use BatchGenerator.from_layout('kitti_road', ...)",
    'helpers.ground_truth_conversion_utils': 'its functions, under new names, are in helpers.ground_truth',
    'helpers.tf_variable_summaries': 'FCN8s.train writes the summaries of all variables itself',
}

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


class _Refusing(importlib.abc.MetaPathFinder):
    """Finds none of these modules, and says why."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname in MODULES:
            raise ImportError(_explained('no module named {!r}'.format(fullname), MODULES[fullname]), name=fullname)


def refusing_modules() -> importlib.abc.MetaPathFinder:
    """Returns what, at the end of `sys.meta_path`, raises ImportError with the replacement of a module of 2017."""
    return _Refusing()


def with_replacements(replacements: Mapping[str, str]) -> Callable[[Type[Class]], Type[Class]]:
    """Makes a decorator of a class: who reads an attribute of 2017 that it lacks is told what replaces it.

    replacements: name of the attribute -> what the AttributeError says.
    """

    def decorate(decorated: Any) -> Any:
        def missing(self: Any, name: str) -> Any:
            if name in replacements:
                what = '{!r} object has no attribute {!r}'.format(type(self).__name__, name)
                raise AttributeError(_explained(what, replacements[name]))
            return object.__getattribute__(self, name)  # raises again what was raised, by a property perhaps

        decorated.__getattr__ = missing
        return decorated

    return decorate


def _explained(what: str, replacement: str) -> str:
    return '{}, which is of 2017: {} (docs/migrating.md).'.format(what, replacement)
