"""The convolutionalised VGG-16: from public weights to the encoder SavedModel that training starts from, with proof."""

from helpers.process.lazy_imports import lazy_names

__getattr__, __dir__ = lazy_names(__name__, {'write_encoder': 'fcn8s.vgg16.write:write_encoder'})
