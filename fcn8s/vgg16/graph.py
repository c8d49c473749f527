"""The graph of the encoder, a convolutionalised VGG-16: building, saving and running it.

The two dense layers fc6 and fc7 of VGG-16 become a 7x7 and a 1x1 convolution (Shelhamer, Long, Darrell, TPAMI 2017,
section 3.1), so that the network takes images of any size.
"""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from fcn8s.backend import Session, tf
from fcn8s.graph.encoder import DROPOUT_SEED_TENSOR, import_encoder
from fcn8s.graph.graph_defs import node_name
from fcn8s.saving import saved_models
from fcn8s.saving.encoder_files import ENCODER_TAGS, read_encoder
from fcn8s.saving.paths import plain_directory
from fcn8s.saving.restoring import feed_initializer, restore
from fcn8s.vgg16.further_channels import NO_FURTHER_CHANNELS, FurtherChannels
from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.source import Preprocessing, Source, Weights

# The position in the 7x7 map of a 224x224 image where the convolutions see what the dense network sees.
CENTRE = layers.FC6_SIZE // 2
# Makes the dropout masks of fc6 and fc7 different streams of one seed; any two different constants do.
DROPOUT_STREAMS = {'fc6': 0, 'fc7': 0x5BD1E995}


def prepare(image: Any, preprocessing: Preprocessing, further: FurtherChannels = NO_FURTHER_CHANNELS) -> Any:
    """Turns RGB, 0 to 255, into what the weights were trained on, and further channels into values of that spread."""
    if not further.number:
        return _prepare_colours(image, preprocessing)
    with tf.name_scope('further_channels'):
        mean, factor = (tf.constant(values, tf.float32) for values in further.shift_and_scale(preprocessing))
        others = (image[..., 3:] - mean) * factor
    return tf.concat([_prepare_colours(image[..., :3], preprocessing), others], axis=-1)


def _prepare_colours(image: Any, preprocessing: Preprocessing) -> Any:
    with tf.name_scope('preprocessing'):
        if preprocessing.channel_order == 'BGR':
            image = tf.reverse(image, axis=[-1], name='rgb_to_bgr')
        image = image - tf.constant(preprocessing.mean, tf.float32, name='mean')
        if any(std != 1.0 for std in preprocessing.std):
            image = image / tf.constant(preprocessing.std, tf.float32, name='std')
    return image


def _convolution(
    inputs: Any,
    name: str,
    shape: Tuple[int, ...],
    padding: str,
    dilation: int = 1,
    norm: Optional[str] = None,
) -> Any:
    """Convolution, biases, normalisation, ReLU; the variables have the names of the published encoders."""
    with tf.variable_scope(name):
        zeros = tf.zeros_initializer()  # values are fed through the initialiser, see `_initialise`
        kernel_name = layers.kernel_variable(name).split('/')[1]
        kernel = tf.get_variable(kernel_name, shape, tf.float32, zeros, use_resource=True)
        biases = tf.get_variable('biases', shape[-1:], tf.float32, zeros, use_resource=True)
        if dilation > 1:
            # Shifted copies and a 1x1 convolution: TensorFlow 1.15 has no gradient of dilated convolutions on CPUs.
            inputs, kernel = _shifted(inputs, shape[0], dilation), tf.reshape(kernel, [1, 1, -1, shape[-1]])
        outputs = tf.nn.conv2d(inputs, kernel, strides=[1, 1, 1, 1], padding=padding, name='Conv2D')
        outputs = tf.nn.bias_add(outputs, biases, name='BiasAdd')
        if norm is not None:
            gamma = tf.get_variable('gamma', shape[-1:], tf.float32, zeros, use_resource=True)
            beta = tf.get_variable('beta', shape[-1:], tf.float32, zeros, use_resource=True)
            outputs = layer_norm(outputs, gamma, beta, layers.NORM_EPSILON)
        return tf.nn.relu(outputs, name='Relu')


def layer_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Computes gamma (x - mean) / sqrt(variance + epsilon) + beta, over the last axis (Ba, Kiros, Hinton, "Layer
    normalization", 2016, equation 4)."""
    centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
    return centred * tf.rsqrt(variance + epsilon) * gamma + beta


def _shifted(inputs: Any, size: int, dilation: int) -> Any:
    """[N, H, W, C] -> [N, H, W, size x size x C]: what a dilated kernel sees at each position, zeros outside."""
    margin = [dilation * (size // 2)] * 2
    padded = tf.pad(inputs, [[0, 0], margin, margin, [0, 0]])
    height, width = tf.shape(inputs)[1], tf.shape(inputs)[2]
    starts = [dilation * index for index in range(size)]
    parts = [padded[:, row : row + height, column : column + width] for row in starts for column in starts]
    return tf.concat(parts, axis=-1)


def _dropout_seed() -> Any:
    """int32 [2]: a fresh draw in each run, unless fed."""
    fresh = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32, name='fresh_dropout_seed')
    return tf.placeholder_with_default(fresh, [2], name=node_name(DROPOUT_SEED_TENSOR))


def _dropout(inputs: Any, keep_prob: Any, seed: Any, layer: str) -> Any:
    """Inverted dropout (Srivastava et al., JMLR 2014) whose mask is a pure function of seed, layer and shape."""
    with tf.name_scope(layer + '_dropout'):
        stream = tf.bitwise.bitwise_xor(seed, tf.constant([DROPOUT_STREAMS[layer], 0], tf.int32))
        uniform = tf.raw_ops.StatelessRandomUniform(shape=tf.shape(inputs), seed=stream, dtype=tf.float32)
        return inputs * tf.cast(uniform < keep_prob, tf.float32) / keep_prob


def build_encoder(
    width_divisor: int,
    preprocessing: Preprocessing,
    further: FurtherChannels = NO_FURTHER_CHANNELS,
    image_padding: int = 0,
    head: layers.Head = layers.VGG16_HEAD,
) -> None:
    """Adds the encoder to the current graph.

    Tensors: `image_input:0` (float32 [N, H, W, 3 + further], RGB first, 0 to 255), `keep_prob:0`, `dropout_seed:0`
    (int32 [2]; feeding it makes dropout a pure function of the seed), and `layer3_out:0`, `layer4_out:0`,
    `layer7_out:0` (pool3, pool4, fc7; SAME padding, so sizes are ceil(H / 8), ceil(H / 16), ceil(H / 32)).

    image_padding: width of the zeros around the prepared image; conv1_1 and fc6 are then not padded, as in the Caffe
        nets of the paper's authors, which pad conv1_1 by 100 pixels.
    head: the shape of fc6 and fc7.
    """
    image_input = tf.placeholder(tf.float32, [None, None, None, 3 + further.number], name='image_input')
    keep_prob = tf.placeholder(tf.float32, [], name='keep_prob')
    seed = _dropout_seed()
    shapes = layers.kernel_shapes(width_divisor, head)
    shapes['conv1_1'] = (3, 3, 3 + further.number, shapes['conv1_1'][3])
    outputs = prepare(image_input, preprocessing, further)
    if image_padding:
        margin = [image_padding] * 2
        outputs = tf.pad(outputs, [[0, 0], margin, margin, [0, 0]])
    # Layers without their own padding where the image has all of it. OpenVINO loses one of two successive paddings.
    unpadded = ('conv1_1', 'fc6') if image_padding else ()
    pools = {}
    for block, names in enumerate(layers.block_names(), start=1):
        for name in names:
            outputs = _convolution(outputs, name, shapes[name], 'VALID' if name in unpadded else 'SAME')
        outputs = tf.nn.max_pool(
            outputs, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding='SAME', name='pool{}'.format(block)
        )
        pools[block] = outputs
    for name in layers.ENCODER_DENSE:
        padding = 'VALID' if name in unpadded else 'SAME'
        dilation = head.dilation if name == 'fc6' else 1
        outputs = _convolution(outputs, name, shapes[name], padding, dilation, head.norm)
        outputs = _dropout(outputs, keep_prob, seed, name)
    tf.identity(pools[3], name='layer3_out')
    tf.identity(pools[4], name='layer4_out')
    tf.identity(outputs, name='layer7_out')


def convolutionalise(
    layer: str, weights: np.ndarray, dense_layout: str, head: layers.Head = layers.VGG16_HEAD
) -> np.ndarray:
    """Returns the weights of the dense layer fc6, fc7 or fc8 as a kernel: [head.size, head.size, in, out] for fc6, else
    [1, 1, in, out].

    weights: float32; [inputs, outputs] for dense_layout 'HWC', [outputs, inputs] for 'CHW' (see `Source`).
    """
    size = head.size if layer == 'fc6' else 1
    if dense_layout == 'HWC':
        return weights.reshape(size, size, -1, weights.shape[1])
    return weights.reshape(weights.shape[0], -1, size, size).transpose(2, 3, 1, 0)


def encoder_kernels(source: Source) -> Dict[str, Weights]:
    """Returns layer name -> (kernel, biases) of the 15 layers of the encoder. Views of the source's arrays."""
    kernels = dict(source.convolutions)
    for name in layers.ENCODER_DENSE:
        weights, biases = source.dense[name]
        kernels[name] = convolutionalise(name, weights, source.dense_layout, source.head), biases
    return kernels


def _initialise(session: Session, kernels: Dict[str, Weights]) -> None:
    """Sets every variable of the encoder in the current graph."""
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    for name, (kernel, biases) in kernels.items():
        for variable_name, value in ((layers.kernel_variable(name), kernel), (name + '/biases', biases)):
            feed_initializer(session, variables[variable_name], value)
    for variable_name, variable in variables.items():
        if variable_name.endswith('/gamma'):  # beta starts at zero, as its initialiser says
            feed_initializer(session, variable, np.ones(variable.shape.as_list(), np.float32))
        elif variable_name.endswith('/beta'):
            session.run(variable.initializer)


def cpu_session() -> Any:
    """Opens a session on the CPU: GPUs round float32 convolutions to TensorFloat-32, far above the proof's
    tolerance.
    """
    return tf.Session(config=tf.ConfigProto(device_count={'GPU': 0}))


def save_encoder(
    directory: str, source: Source, further: FurtherChannels = NO_FURTHER_CHANNELS, image_padding: int = 0
) -> None:
    """Writes the SavedModel of a source that has fc6 and fc7 into an existing empty directory.

    image_padding: as in `build_encoder`.

    Raises OSError where the files cannot be written.
    """
    with tf.Graph().as_default(), cpu_session() as session, plain_directory(directory) as plain:
        build_encoder(source.width_divisor, source.preprocessing, further, image_padding, source.head)
        kernels = encoder_kernels(source)
        kernels['conv1_1'] = further.widened(kernels['conv1_1'][0]), kernels['conv1_1'][1]
        _initialise(session, kernels)
        with saved_models.explain_write_errors(plain, directory):
            builder = tf.saved_model.Builder(plain)
            builder.add_meta_graph_and_variables(session, list(ENCODER_TAGS), strip_default_attrs=True)
            builder.save()
    # Reading removes what TensorFlow 1.15 refuses in graphs of later releases; default attributes are left out already.
    saved_models.write_graph(directory, saved_models.read_meta_graph(directory, ENCODER_TAGS, 'encoder'))


def load_encoder(session: Session, directory: str, trust: bool = False) -> None:
    """Adds an encoder SavedModel to the session's graph, which must be the current one, and restores its variables."""
    source = read_encoder(directory, ENCODER_TAGS, 'encoder', trust)
    encoder = import_encoder(source.meta_graph)
    restore(session, encoder.variables, source.variables_prefix)


def _fc8_logits(source: Source) -> Any:
    """fc8 as a 1x1 convolution on the loaded encoder, which itself ends with fc7; and the feed that it needs."""
    weights, biases = source.dense['fc8']
    kernel = convolutionalise('fc8', weights, source.dense_layout)
    fed_kernel, fed_biases = tf.placeholder(tf.float32, kernel.shape), tf.placeholder(tf.float32, biases.shape)
    layer7_out = tf.get_default_graph().get_tensor_by_name('layer7_out:0')
    logits = tf.nn.bias_add(tf.nn.conv2d(layer7_out, fed_kernel, strides=[1, 1, 1, 1], padding='SAME'), fed_biases)
    return logits, {fed_kernel: kernel, fed_biases: biases}


def run_encoder(
    directory: str,
    images: np.ndarray,
    source: Source,
    trust: bool,
    further: FurtherChannels,
) -> List[Dict[str, np.ndarray]]:
    """Runs a written encoder on each image, for `fcn8s.vgg16.proof.compare`.

    images: [N, 224, 224, 3] RGB 0 to 255. source: fc8 is taken from it, if it has one.
    further: the channels after the colours; they are fed their means.

    Returns for each image 'pool3' and 'pool4' [H, W, C], and 'fc7' and, if there are any, 'fc6' and 'fc8', [C] at the
    centre.
    """
    with tf.Graph().as_default() as graph, cpu_session() as session:
        load_encoder(session, directory, trust)
        maps = {'pool3': 'layer3_out:0', 'pool4': 'layer4_out:0', 'fc6': 'fc6/Relu:0', 'fc7': 'layer7_out:0'}
        names = {operation.name for operation in graph.get_operations()}
        fetches = {layer: graph.get_tensor_by_name(name) for layer, name in maps.items() if node_name(name) in names}
        fed = {}
        if 'fc8' in source.dense:
            fetches['fc8'], fed = _fc8_logits(source)
        results = []
        for image in images:
            fed_image = further.beside(image)[np.newaxis]
            values = session.run(fetches, dict(fed, **{'image_input:0': fed_image, 'keep_prob:0': 1.0}))
            results.append(
                {
                    name: value[0] if name.startswith('pool') else value[0, CENTRE, CENTRE]
                    for name, value in values.items()
                }
            )
    return results
