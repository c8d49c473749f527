"""Checking a dataset before training."""

from helpers.process.lazy_imports import lazy_names

__getattr__, __dir__ = lazy_names(__name__, {'check_dataset': 'data_generator.checking.check:check_dataset'})
