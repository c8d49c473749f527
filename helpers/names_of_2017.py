"""Attributes of the reference implementation of 2017 that are gone. Reading one is an error that says what to do."""

from typing import Any, Callable, Dict, Mapping, Type, TypeVar

Class = TypeVar('Class')

OF_BATCH_GENERATOR = {
    'image_paths': 'use [pair.image for pair in data.pairs]',
    'ground_truth_paths': 'use [pair.label for pair in data.pairs]',
    'ground_truth_dirs': 'use {os.path.dirname(pair.label) for pair in data.pairs}',
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
    **dict.fromkeys(
        ['model_load_dir', 'tags', 'vgg16_dir', 'variables_load_dir'],
        'a network does not keep the arguments that it was opened with; keep them in your script',
    ),
    'vgg16_tag': "encoders have the tag 'vgg16'",
    'eval_dataset': 'evaluate takes dataset, and train takes eval_dataset',
    'g_step': 'use model.sess.run(model.global_step)',
    'loss': 'use model.total_loss',
    'variables_updated': 'save knows whether there is something new; force_save=True saves in any case',
}


def with_replacements(replacements: Mapping[str, str]) -> Callable[[Type[Class]], Type[Class]]:
    """Makes a class decorator: reading a missing attribute of 2017 raises an AttributeError that says what to use.

    replacements: name of the attribute -> text of the AttributeError.
    """

    def decorate(decorated: Any) -> Any:
        def missing(self: Any, name: str) -> Any:
            if name in replacements:
                raise AttributeError(
                    '{!r} object has no attribute {!r}, which is of 2017: {} (docs/migrating.md).'.format(
                        type(self).__name__, name, replacements[name]
                    )
                )
            return object.__getattribute__(self, name)  # raises the original error again, perhaps from a property

        decorated.__getattr__ = missing
        return decorated

    return decorate
