"""The encoder: a convolutionalised VGG-16 read from a SavedModel and put into the current graph.

The interface is that of the published convolutionalised VGG-16 SavedModels: tag `vgg16`, an RGB image 0 to 255 at
`image_input:0`, the keep probability of dropout at `keep_prob:0`, and pool3, pool4 and fc7 (strides 8, 16, 32) at
`layer3_out:0`, `layer4_out:0` and `layer7_out:0`. A saved FCN-8s has the same tensors, so its encoder is read by the
same functions.
"""

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from fcn8s import saved_models
from fcn8s.backend import VariableDef, tf
from fcn8s.bfloat16 import convert_convolutions, node_name

ENCODER_TAGS = ('vgg16',)
INPUT_TENSORS = ('image_input:0', 'keep_prob:0')
OUTPUT_TENSORS = ('layer3_out:0', 'layer4_out:0', 'layer7_out:0')
DROPOUT_SEED_TENSOR = 'dropout_seed:0'
VARIABLE_OPS = ('Variable', 'VariableV2', 'VarHandleOp')
# pool3, pool4 and fc7 come at these strides of the image.
STRIDES = (8, 16, 32)


class EncoderSource(NamedTuple):
    """An encoder on disk: its graph, rewired for this library, and where its variables are."""

    meta_graph: Any
    variables_prefix: str
    directory: str


class Encoder(NamedTuple):
    """The encoder's tensors in a graph.

    images_uint8: uint8 [N, H, W, 3], RGB; what this library feeds (a quarter of the bytes of float32).
    image_input: float32 [N, H, W, 3], 0 to 255; follows images_uint8 unless it is fed itself.
    keep_prob: float32 scalar; 1.0 (no dropout) unless fed.
    dropout_seed: int32 [2], or None in an encoder whose dropout cannot be seeded from outside.
    pool3, pool4, fc7: float32, at strides 8, 16 and 32.
    variables: every variable that the three outputs depend on.
    """

    images_uint8: Any
    image_input: Any
    keep_prob: Any
    dropout_seed: Optional[Any]
    pool3: Any
    pool4: Any
    fc7: Any
    variables: Tuple[Any, ...]


def read_encoder(directory: str, tags: Sequence[str] = ENCODER_TAGS, what: str = 'encoder') -> EncoderSource:
    """Reads and checks the encoder part of a SavedModel; everything that the outputs do not need is left out.

    Raises FileNotFoundError or ValueError where the directory is no SavedModel, lacks the tag, a tensor or a variable.
    """
    meta_graph = saved_models.read_meta_graph(directory, tags, what)
    _check_interface(meta_graph.graph_def, directory, what)
    pruned = _prune(meta_graph)
    _check_listed_variables(pruned, directory, what)
    _rewire_inputs(pruned.graph_def)
    prefix = saved_models.variables_prefix(directory)
    _check_stored_variables(pruned, prefix)
    return EncoderSource(pruned, prefix, directory)


def _check_interface(graph_def: Any, directory: str, what: str) -> None:
    nodes = {node.name: node for node in graph_def.node}
    missing = [name for name in INPUT_TENSORS + OUTPUT_TENSORS if node_name(name) not in nodes]
    if missing:
        raise ValueError(
            '{} SavedModel {!r} lacks the tensor {}; an encoder needs {}. Write one with: '
            'fcn8s vgg16 OUT --weights SOURCE'.format(
                what, directory, ', '.join(missing), ', '.join(INPUT_TENSORS + OUTPUT_TENSORS)
            )
        )
    image = nodes['image_input']
    if image.op.startswith('Placeholder') and image.attr['dtype'].type != tf.float32.as_datatype_enum:
        raise ValueError(
            '{} SavedModel {!r} takes {} at image_input:0; the interface is float32, RGB, 0 to 255.'.format(
                what, directory, tf.as_dtype(image.attr['dtype'].type).name
            )
        )


def _parse_variables(meta_graph: Any, collection: str) -> List[Any]:
    if collection not in meta_graph.collection_def:
        return []
    return [VariableDef.FromString(serialized) for serialized in meta_graph.collection_def[collection].bytes_list.value]


def _prune(meta_graph: Any) -> Any:
    """A MetaGraphDef with only what the outputs need, and with the variables among it as its one collection."""
    outputs = [node_name(name) for name in OUTPUT_TENSORS]
    needed = {node.name for node in saved_models.extract_sub_graph(meta_graph.graph_def, outputs).node}
    variables = [
        v for v in _parse_variables(meta_graph, tf.GraphKeys.GLOBAL_VARIABLES) if node_name(v.variable_name) in needed
    ]
    keep = outputs + [node_name(name) for name in INPUT_TENSORS]
    for variable in variables:
        keep += [
            node_name(name)
            for name in (
                variable.variable_name,
                variable.initializer_name,
                variable.snapshot_name,
                variable.initial_value_name,
            )
            if name
        ]
    if node_name(DROPOUT_SEED_TENSOR) in {node.name for node in meta_graph.graph_def.node}:
        keep.append(node_name(DROPOUT_SEED_TENSOR))
    pruned = tf.MetaGraphDef()
    pruned.meta_info_def.CopyFrom(meta_graph.meta_info_def)
    pruned.graph_def.CopyFrom(saved_models.extract_sub_graph(meta_graph.graph_def, keep))
    for variable in variables:
        variable.trainable = True
        for collection in (tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.TRAINABLE_VARIABLES):
            pruned.collection_def[collection].bytes_list.value.append(variable.SerializeToString())
    return pruned


def _input_nodes() -> Any:
    """The input side that every network of this library has, as GraphDef nodes."""
    graph = tf.Graph()
    with graph.as_default():
        images_uint8 = tf.placeholder(tf.uint8, [None, None, None, 3], name='images_uint8')
        tf.placeholder_with_default(
            tf.cast(images_uint8, tf.float32, name='images_float'), [None, None, None, 3], name='image_input'
        )
        tf.placeholder_with_default(1.0, [], name='keep_prob')
    return graph.as_graph_def().node


def _rewire_inputs(graph_def: Any) -> None:
    """Gives the plain placeholders of a published encoder defaults: uint8 images, and no dropout.

    `image_input:0` and `keep_prob:0` keep their names and can still be fed.
    """
    by_name = {node.name: node for node in graph_def.node}
    # A FCN-8s written by this library has been rewired before.
    if 'images_uint8' in by_name:
        return
    for node in _input_nodes():
        if node.name in by_name:
            by_name[node.name].CopyFrom(node)
        else:
            graph_def.node.add().CopyFrom(node)


def _check_listed_variables(meta_graph: Any, directory: str, what: str) -> None:
    listed = {node_name(v.variable_name) for v in _parse_variables(meta_graph, tf.GraphKeys.GLOBAL_VARIABLES)}
    unlisted = [node.name for node in meta_graph.graph_def.node if node.op in VARIABLE_OPS and node.name not in listed]
    if unlisted:
        raise ValueError(
            '{} SavedModel {!r} does not list {} in its collection {!r}, so they cannot be restored. Save it '
            'again with its variables in that collection.'.format(
                what, directory, ', '.join(unlisted), tf.GraphKeys.GLOBAL_VARIABLES
            )
        )


def _check_stored_variables(meta_graph: Any, prefix: str) -> None:
    stored = saved_models.checkpoint_shapes(prefix)
    missing = [
        node_name(v.variable_name)
        for v in _parse_variables(meta_graph, tf.GraphKeys.GLOBAL_VARIABLES)
        if node_name(v.variable_name) not in stored
    ]
    if missing:
        raise ValueError(
            'the variables {!r} lack {}, which the graph beside them needs. Copy the variables/ folder that '
            'belongs to it.'.format(prefix, ', '.join(missing))
        )


def in_bfloat16(meta_graph: Any) -> Any:
    """A copy of an encoder's MetaGraphDef that convolves in bfloat16; variables, inputs and outputs stay float32."""
    converted = tf.MetaGraphDef()
    converted.CopyFrom(meta_graph)
    convert_convolutions(converted.graph_def, float32_outputs=[node_name(name) for name in OUTPUT_TENSORS])
    return converted


def import_encoder(meta_graph: Any) -> Encoder:
    """Adds a read encoder's graph to the current graph. Nothing is initialised or restored."""
    tf.train.import_meta_graph(meta_graph, clear_devices=True)
    graph = tf.get_default_graph()
    names = {operation.name for operation in graph.get_operations()}

    def tensor(name):
        return graph.get_tensor_by_name(name)

    dropout_seed = tensor(DROPOUT_SEED_TENSOR) if node_name(DROPOUT_SEED_TENSOR) in names else None
    return Encoder(
        tensor('images_uint8:0'),
        tensor('image_input:0'),
        tensor('keep_prob:0'),
        dropout_seed,
        tensor('layer3_out:0'),
        tensor('layer4_out:0'),
        tensor('layer7_out:0'),
        tuple(tf.global_variables()),
    )
