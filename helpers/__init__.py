"""Label facts, ground-truth conversion, image and video files, and pictures of segmentations. No TensorFlow."""

from helpers.names_of_2017 import tell_of_modules

tell_of_modules()
