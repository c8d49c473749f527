"""VGG-16 as a TF-slim checkpoint: `vgg_16.ckpt`, with fc6 to fc8 as convolutions.

slim takes RGB images minus the mean (`vgg_preprocessing.py` of the TF-slim image models).
"""

from fcn8s.saving.saved_models import checkpoint_reader
from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.assemble import Layout, assemble, paired_names
from fcn8s.vgg16.weights.source import CAFFE_RGB, Source

DENSE = ('fc6', 'fc7', 'fc8')
INDEX_SUFFIX = '.index'


def _scope(layer: str) -> str:
    return layer if layer in DENSE else '{}/{}'.format(layer[: len('conv1')], layer)


# A key that is in checkpoints of Keras and tf.train.Checkpoint, which name variables by their place in objects.
OBJECT_GRAPH = '_CHECKPOINTABLE_OBJECT_GRAPH'
SLIM_NAMES = paired_names('vgg_16/{}/weights', 'vgg_16/{}/biases', {layer: _scope(layer) for layer in layers.ALL})


def read_slim_checkpoint(prefix: str) -> Source:
    """Reads a checkpoint of either format.

    prefix: the file of format 1, or `vgg_16.ckpt` for `vgg_16.ckpt.index` and `vgg_16.ckpt.data-00000-of-00001`.

    Raises ValueError where it is truncated or holds another network.
    """
    with checkpoint_reader(prefix) as reader:
        stored = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
        if OBJECT_GRAPH in stored:
            raise ValueError(
                '{} is a checkpoint of Keras or of tf.train.Checkpoint, which are not read. Of a VGG-16 in Keras save '
                "the weights: model.save_weights('vgg16.weights.h5')".format(prefix)
            )
        # Optimiser slots, the step and the mean are in it, too; their names end otherwise.
        shapes = {name: shape for name, shape in stored.items() if name.endswith(('/weights', '/biases'))} or stored
        layout = Layout(SLIM_NAMES, CAFFE_RGB, convolutional=DENSE)
        return assemble('slim', prefix, layout, shapes, reader.get_tensor)
