"""Label facts, ground-truth conversion, image and video files, and pictures of segmentations. No TensorFlow."""

import sys

from helpers.names_of_2017 import refusing_modules

sys.meta_path.append(refusing_modules())
