"""The encoder: a convolutionalised VGG-16 in the current graph.

The interface is that of the published convolutionalised VGG-16 SavedModels: an RGB image 0 to 255 at `image_input:0`,
the keep probability of dropout at `keep_prob:0`, and pool3, pool4 and fc7 (strides 8, 16, 32) at `layer3_out:0`,
`layer4_out:0` and `layer7_out:0`. A saved FCN-8s has the same tensors.
"""

from typing import Any, NamedTuple, Optional, Tuple

from fcn8s.backend import MetaGraphDef, Tensor, Variable, tf
from fcn8s.graph.bfloat16 import convert_convolutions
from fcn8s.graph.graph_defs import node_name
from fcn8s.graph.products import with_products
from fcn8s.precision import converts_graph, has_gpus

INPUT_TENSORS = ('image_input:0', 'keep_prob:0')
OUTPUT_TENSORS = ('layer3_out:0', 'layer4_out:0', 'layer7_out:0')
DROPOUT_SEED_TENSOR = 'dropout_seed:0'
IMAGES_NODE = 'images_uint8'
# The names of nodes in an export, where dropout keeps everything.
SERVING_NAMES = {IMAGES_NODE: 'images', 'keep_prob': 'keep_everything'}


class Encoder(NamedTuple):
    """The encoder's tensors in a graph.

    images_uint8: uint8 [N, H, W, channels], RGB as a rule; what this library feeds (a quarter of the bytes of float32).
    image_input: float32 [N, H, W, channels], 0 to 255; follows images_uint8 unless it is fed itself.
    keep_prob: float32 scalar; 1.0 (no dropout) unless fed.
    dropout_seed: int32 [2], or None in an encoder whose dropout cannot be seeded from outside.
    pool3, pool4, fc7: float32, at strides 8, 16 and 32.
    variables: every variable that the three outputs depend on.
    """

    images_uint8: Tensor
    image_input: Tensor
    keep_prob: Tensor
    dropout_seed: Optional[Any]
    pool3: Tensor
    pool4: Tensor
    fc7: Tensor
    variables: Tuple[Variable, ...]


def in_bfloat16(meta_graph: MetaGraphDef) -> MetaGraphDef:
    """Returns a copy of an encoder's MetaGraphDef that convolves in bfloat16; variables, inputs and outputs stay
    float32.
    """
    converted = tf.MetaGraphDef()
    converted.CopyFrom(meta_graph)
    convert_convolutions(converted.graph_def, float32_outputs=[node_name(name) for name in OUTPUT_TENSORS])
    return converted


def as_trained(meta_graph: MetaGraphDef, precision: str, config: Optional[Any] = None) -> MetaGraphDef:
    """Returns an encoder's MetaGraphDef as this machine trains it: on CPUs its largest convolutions are products, on
    GPUs bfloat16 is written into the graph. Variables, inputs and outputs are those of the encoder.

    config: the tf.ConfigProto that the session is to have, or None.
    """
    if converts_graph(precision, config):
        return in_bfloat16(meta_graph)
    return meta_graph if has_gpus(config) else with_products(meta_graph)


def import_encoder(meta_graph: MetaGraphDef) -> Encoder:
    """Adds a read encoder's graph to the current graph. Nothing is initialised or restored.

    Changes `meta_graph`, too: attributes that a saved graph leaves out get their defaults.
    """
    # To a graph that names no Saver, TensorFlow would add the ops of one, which nobody uses.
    meta_graph.saver_def.CopyFrom(tf.train.SaverDef(save_tensor_name='unused:0', restore_op_name='unused'))
    tf.train.import_meta_graph(meta_graph, clear_devices=True)
    graph = tf.get_default_graph()
    names = {operation.name for operation in graph.get_operations()}

    def tensor(name):
        return graph.get_tensor_by_name(name)

    dropout_seed = tensor(DROPOUT_SEED_TENSOR) if node_name(DROPOUT_SEED_TENSOR) in names else None
    return Encoder(
        tensor(IMAGES_NODE + ':0'),
        tensor('image_input:0'),
        tensor('keep_prob:0'),
        dropout_seed,
        tensor('layer3_out:0'),
        tensor('layer4_out:0'),
        tensor('layer7_out:0'),
        tuple(tf.global_variables()),
    )
