"""Reading segmentation datasets: finding and pairing files, transforms, batches, and checks. Needs no TensorFlow."""

from data_generator.batch_generator import BatchGenerator
from data_generator.errors import DataError

__all__ = ['BatchGenerator', 'DataError']
