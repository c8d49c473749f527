"""Prediction: the frozen network, images of any size, tiles and scales, overlays, videos, result files."""

from helpers.process.lazy_imports import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        'Predictor': 'fcn8s.prediction.predictor:Predictor',
        'predict_and_save': 'fcn8s.prediction.predictor:predict_and_save',
    },
)
