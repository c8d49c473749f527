"""Reads the variables of an existing convolutionalised VGG-16 SavedModel. Its graph itself is copied unchanged."""

import shlex

from fcn8s.saving.encoder_files import check_strides, read_encoder, variable_names
from fcn8s.saving.saved_models import checkpoint_reader
from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.assemble import Layout, assemble, check_layers
from fcn8s.vgg16.weights.source import CAFFE_BGR, Source

VARIABLES = {layer: (layers.kernel_variable(layer), layer + '/biases') for layer in layers.ALL if layer != 'fc8'}


def read_saved_model(directory: str, trust: bool = False) -> Source:
    """Checks the interface of an encoder SavedModel and reads its variables.

    The preprocessing is inside its graph; the returned source states that of the published encoders.

    Raises FileNotFoundError or ValueError where it is no encoder, or its variables are not those of VGG-16.
    """
    encoder = read_encoder(directory, trust=trust)
    check_strides(encoder)
    with checkpoint_reader(encoder.variables_prefix) as reader:
        stored = reader.get_variable_to_shape_map()
        # Anything else that is stored, such as the classifier of the published encoders, is not part of the encoder.
        variables = variable_names(encoder.meta_graph)
        names = [name for name in variables if name.endswith(('/filter', '/weights', '/biases'))] or variables
        shapes = {name: tuple(stored[name]) for name in names}
        layout = Layout(VARIABLES, CAFFE_BGR, convolutional=layers.ENCODER_DENSE)
        try:
            check_layers(directory, layout, shapes)
        except ValueError as error:
            raise ValueError('{} {}'.format(error, opens_as_it_is(directory))) from error
        return assemble('saved_model', directory, layout, shapes, reader.get_tensor)


def opens_as_it_is(directory: str) -> str:
    """Returns what to do with a sound encoder that is no VGG-16; only a VGG-16 can be proven and written."""
    return (
        'Its tag, tensors and strides are those of an encoder, which opens as it is: train --encoder {}, '
        'FCN8s(vgg16_dir={!r}).'.format(shlex.quote(directory), directory)
    )
