"""An existing convolutionalised VGG-16 SavedModel: its variables. The graph itself is copied as it is."""

from fcn8s.saving.encoder_files import read_encoder, variable_names
from fcn8s.saving.saved_models import checkpoint_reader
from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.assemble import Layout, assemble
from fcn8s.vgg16.weights.source import CAFFE_BGR, Source

VARIABLES = {layer: (layers.kernel_variable(layer), layer + '/biases') for layer in layers.ALL if layer != 'fc8'}


def read_saved_model(directory: str, trust: bool = False) -> Source:
    """Checks the interface of an encoder SavedModel and reads its variables.

    The preprocessing is inside its graph; that of the returned source is the one of the published encoders.

    Raises FileNotFoundError or ValueError where it is no encoder, or its variables are not those of VGG-16.
    """
    encoder = read_encoder(directory, trust=trust)
    with checkpoint_reader(encoder.variables_prefix) as reader:
        stored = reader.get_variable_to_shape_map()
        # What else is stored, such as the classifier of the published encoders, is none of the encoder's.
        names = [
            name for name in variable_names(encoder.meta_graph) if name.endswith(('/filter', '/weights', '/biases'))
        ]
        shapes = {name: tuple(stored[name]) for name in names}
        layout = Layout(VARIABLES, CAFFE_BGR, convolutional=layers.ENCODER_DENSE)
        return assemble('saved_model', directory, layout, shapes, reader.get_tensor)
