"""Reading segmentation datasets: finding and pairing files, transforms, batches, and checks. Needs no TensorFlow."""

from data_generator.batch_generator import BatchGenerator
from data_generator.errors import DataError
from helpers.process.lazy_imports import keep_moved_modules

__all__ = ['BatchGenerator', 'DataError']

# The documentation of version 1.0 named this module.
keep_moved_modules({'data_generator.layouts': 'data_generator.files.layouts'})
