"""FCN-8s for semantic segmentation (Shelhamer, Long, Darrell, TPAMI 2017) as a graph-mode TensorFlow library.

This module is the table of contents. A name is imported when it is first used, so that the command line's help and the
version appear at once, and code that needs no TensorFlow does not load it.
"""

from fcn8s.foreign_folders import explained, refuse_foreign

try:
    from helpers.process.lazy_imports import keep_moved_modules, lazy_names
except ImportError as error:
    raise explained(error) from error
refuse_foreign('helpers')

__version__ = '1.1.0'

PUBLIC_NAMES = {
    'Ensemble': 'fcn8s.prediction.ensemble:Ensemble',
    'FCN8s': 'fcn8s.model:FCN8s',
    'OptimizerSettings': 'fcn8s.optimizers:OptimizerSettings',
    'Predictor': 'fcn8s.prediction.predictor:Predictor',
    'TrainingInterrupted': 'fcn8s.stopping:TrainingInterrupted',
    'architecture': 'fcn8s.planning.architecture',
    'at_temperature': 'fcn8s.confidence:at_temperature',
    'boundaries': 'fcn8s.evaluation.boundaries',
    'diagnosis': 'fcn8s.training.diagnosis',
    'evaluate_predictions': 'fcn8s.evaluation.evaluate:evaluate_predictions',
    'losses': 'fcn8s.graph.losses',
    'open_model': 'fcn8s.export.engines:open_model',
    'runs': 'fcn8s.saving.runs',
    'schedules': 'fcn8s.training.schedules',
    'scores': 'fcn8s.evaluation.scores',
    'write_encoder': 'fcn8s.vgg16.write:write_encoder',
}

# Modules of version 1.0 that its documentation named.
keep_moved_modules(
    {
        'fcn8s.architecture': 'fcn8s.planning.architecture',
        'fcn8s.boundaries': 'fcn8s.evaluation.boundaries',
        'fcn8s.decoder': 'fcn8s.graph.decoder',
        'fcn8s.diagnosis': 'fcn8s.training.diagnosis',
        'fcn8s.inference': 'fcn8s.prediction.frozen_network',
        'fcn8s.interruption': 'fcn8s.stopping',
        'fcn8s.losses': 'fcn8s.graph.losses',
        'fcn8s.runs': 'fcn8s.saving.runs',
        'fcn8s.schedules': 'fcn8s.training.schedules',
        'fcn8s.scores': 'fcn8s.evaluation.scores',
    }
)

__all__ = ['__version__']  # and PUBLIC_NAMES
__all__ += list(PUBLIC_NAMES)
__getattr__, __dir__ = lazy_names('fcn8s', PUBLIC_NAMES)
