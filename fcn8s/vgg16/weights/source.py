"""What every reader of this package returns: the weights of a VGG-16 and how its images are prepared."""

from typing import Dict, NamedTuple, Tuple

import numpy as np

from fcn8s.vgg16.weights.layers import VGG16_HEAD, Head

Weights = Tuple[np.ndarray, np.ndarray]
CHANNEL_ORDERS = ('BGR', 'RGB')


class Preprocessing(NamedTuple):
    """(image - mean) / std per channel, once the channels of an RGB image (0 to 255) are in channel_order.

    channel_order: 'RGB' or 'BGR'. mean, std: in channel_order, on the 0 to 255 scale.
    """

    channel_order: str
    mean: Tuple[float, float, float]
    std: Tuple[float, float, float]


# The mean pixel of ImageNet as Simonyan and Zisserman give it with their Caffe models:
# https://gist.github.com/ksimonyan/211839e770f7b538e2d8 (BGR).
CAFFE_BGR = Preprocessing('BGR', (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
CAFFE_RGB = Preprocessing('RGB', (123.68, 116.779, 103.939), (1.0, 1.0, 1.0))
# https://pytorch.org/vision/stable/models.html: mean and standard deviation on 0 to 1, here times 255.
TORCHVISION_RGB = Preprocessing('RGB', (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255))
# He initialisation keeps the variance of its input, so an untrained network starts from images of variance 1.
UNIT_VARIANCE_BGR = Preprocessing('BGR', TORCHVISION_RGB.mean[::-1], TORCHVISION_RGB.std[::-1])
# What a user can say about the images that a file's weights were trained on.
PREPROCESSINGS = {'caffe-bgr': CAFFE_BGR, 'caffe-rgb': CAFFE_RGB, 'torchvision': TORCHVISION_RGB}


class Source(NamedTuple):
    """The weights of a VGG-16, checked, in the layout of their source.

    kind: 'random', 'keras', 'hed', 'slim', 'npy', 'npz', 'caffe', 'torchvision' or 'saved_model'.
    path: where it was read; empty for random weights.
    convolutions: layer name -> (kernel float32 [3, 3, in, out], biases float32 [out]).
    dense: 'fc6', 'fc7' (both or neither) and 'fc8' (only with these) -> (weights float32, biases float32 [out]).
    dense_layout: 'HWC': weights [inputs, outputs] on pool5 flattened as height, width, channel (TensorFlow, Keras);
        'CHW': weights [outputs, inputs] on pool5 flattened as channel, height, width (PyTorch).
    head: the shape of fc6 and fc7. All files have VGG-16's; a smaller fc6 sees the centre of pool5.
    """

    kind: str
    path: str
    width_divisor: int
    preprocessing: Preprocessing
    convolutions: Dict[str, Weights]
    dense: Dict[str, Weights]
    dense_layout: str = 'HWC'
    head: Head = VGG16_HEAD
