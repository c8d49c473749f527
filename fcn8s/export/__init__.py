"""Export: networks for other runtimes, each run again there and certified, and engines that predict from them."""

from helpers.process.lazy_imports import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        'export_model': 'fcn8s.export.exporting:export_model',
        'open_model': 'fcn8s.export.engines:open_model',
    },
)
