"""Label facts, ground-truth conversion, image and video files, and pictures of segmentations. No TensorFlow."""
