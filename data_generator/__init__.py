"""Reading segmentation datasets: finding and pairing files, transforms, batches, and checks. Needs no TensorFlow."""

from data_generator.batch_generator import BatchGenerator
from data_generator.errors import DataError
from helpers.process.lazy_imports import keep_moved_modules

__all__ = ['BatchGenerator', 'DataError']

# A module of version 1.0 that its documentation named.
keep_moved_modules({'data_generator.layouts': 'data_generator.files.layouts'})
