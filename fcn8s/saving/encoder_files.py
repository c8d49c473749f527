"""Encoder files: reading and checking the encoder of a SavedModel, and rewiring it for this library.

The tag of an encoder's own SavedModel is `vgg16`. A saved FCN-8s contains an encoder with the same tensors, and the
same functions read it.
"""

from typing import Any, List, NamedTuple, Sequence, Set

import numpy as np

from fcn8s.backend import GraphDef, MetaGraphDef, Variable, VariableDef, tf
from fcn8s.graph.encoder import (
    DROPOUT_SEED_TENSOR,
    IMAGES_NODE,
    INPUT_TENSORS,
    OUTPUT_TENSORS,
    SERVING_NAMES,
    import_encoder,
)
from fcn8s.graph.graph_defs import (
    RANDOM_OPS,
    VARIABLE_OPS,
    extract_sub_graph,
    needed_nodes,
    node_name,
    rename_nodes,
)
from fcn8s.graph.permitted_ops import check_constants, check_known_sizes, check_ops
from fcn8s.saving import saved_models
from fcn8s.saving.descriptions import SERVING_TAGS

ENCODER_TAGS = ('vgg16',)
PLACEHOLDER_OPS = ('Placeholder', 'PlaceholderV2')
# The decoder and the predictor are found by these names in a saved FCN-8s.
RESERVED_SCOPES = ('decoder/', 'predictor/')
_OUTPUT_NODES = [node_name(name) for name in OUTPUT_TENSORS]
# The strides of pool3, pool4 and fc7, and an image size (height, width) that none of them divides.
_STRIDES = (8, 16, 32)
_PROBE = (292, 324)
# The largest constant that an initialiser keeps; shapes and strides are far smaller.
MAX_INITIAL_BYTES = 1024


class EncoderSource(NamedTuple):
    """An encoder on disk: its graph, rewired for this library, and where its variables are."""

    meta_graph: MetaGraphDef
    variables_prefix: str
    directory: str

    @property
    def channels(self) -> int:
        """How many channels its images have."""
        return channels_of(self.meta_graph.graph_def)


def channels_of(graph_def: GraphDef) -> int:
    """Returns the channels of `image_input:0`; 3, for RGB, where the graph leaves them open."""
    shapes = [node.attr['shape'].shape for node in graph_def.node if node.name == 'image_input']
    dimensions = shapes[0].dim if shapes else []
    return int(dimensions[3].size) if len(dimensions) == 4 and dimensions[3].size > 0 else 3


def read_encoder(
    directory: str, tags: Sequence[str] = ENCODER_TAGS, what: str = 'encoder', trust: bool = False
) -> EncoderSource:
    """Reads and checks the encoder part of a SavedModel; everything that the outputs do not need is left out.

    Raises FileNotFoundError or ValueError where the directory is no SavedModel, lacks the tag, a tensor or a variable,
    needs inputs besides image and keep probability, is made for one image size, or uses names that this library
    reserves; without `trust`, also where it has ops that a network does not need.
    """
    with saved_models.explain_graph_damage(directory, what):
        return _read_encoder(directory, tags, what, trust)


def _read_encoder(directory: str, tags: Sequence[str], what: str, trust: bool) -> EncoderSource:
    is_export = tuple(tags) == SERVING_TAGS
    meta_graph = saved_models.read_meta_graph(directory, tags, what, trust, or_more=tuple(tags) == ENCODER_TAGS)
    if is_export:
        _undo_export(meta_graph.graph_def)
    _check_interface(meta_graph.graph_def, directory, what)
    _cut_inputs(meta_graph.graph_def)
    pruned = _prune(meta_graph)
    if not trust:  # ops of a Saver, and those that decode image files, are fine where nothing needs them
        check_ops(pruned.graph_def, '{} SavedModel {!r}'.format(what, directory))
        check_constants(pruned.graph_def, _OUTPUT_NODES, '{} SavedModel {!r}'.format(what, directory))
    _check_whole_variables(pruned, directory, what)
    _check_listed_variables(pruned, directory, what)
    _check_names(pruned.graph_def, directory, what)
    _rewire_inputs(pruned.graph_def)
    _check_placeholders(pruned.graph_def, directory, what)
    _check_sizes(pruned, directory, what, trust)
    prefix = saved_models.variables_prefix(directory)
    _check_stored_variables(pruned, prefix)
    return EncoderSource(pruned, prefix, directory)


def check_strides(source: EncoderSource) -> None:
    """Raises ValueError where an encoder's outputs are not at strides 8, 16 and 32, as far as TensorFlow infers the
    shapes; nothing is run.
    """
    sized = tf.MetaGraphDef()
    sized.CopyFrom(source.meta_graph)
    for node in sized.graph_def.node:
        if node.name in (IMAGES_NODE, 'image_input'):
            for dimension, side in zip(node.attr['shape'].shape.dim[1:3], _PROBE):
                dimension.size = side
    with saved_models.explain_graph_damage(source.directory, 'encoder'), tf.Graph().as_default():
        encoder = import_encoder(sized)
    for output, stride in zip((encoder.pool3, encoder.pool4, encoder.fc7), _STRIDES):
        sides = output.shape.as_list()[1:3]
        wanted = [-(-side // stride) for side in _PROBE]
        if any(side not in (None, right) for side, right in zip(sides, wanted)):
            raise ValueError(
                'encoder SavedModel {!r} makes {} of {} x {} from images of {} x {}; an encoder has it at stride {}, '
                'sizes rounded up: {} x {}. Save it again with padding SAME and the five pools of VGG-16.'.format(
                    source.directory, output.name, *sides, *_PROBE, stride, *wanted
                )
            )


def variable_names(meta_graph: MetaGraphDef) -> List[str]:
    """Returns the names of an encoder's variables, as they are in its checkpoint."""
    return [node_name(v.variable_name) for v in _parse_variables(meta_graph, tf.GraphKeys.GLOBAL_VARIABLES)]


def _check_interface(graph_def: GraphDef, directory: str, what: str) -> None:
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


def _parse_variables(meta_graph: MetaGraphDef, collection: str) -> List[Any]:
    if collection not in meta_graph.collection_def:
        return []
    return [VariableDef.FromString(serialized) for serialized in meta_graph.collection_def[collection].bytes_list.value]


def _needed(graph_def: GraphDef) -> Set[str]:
    """The names of the nodes that the outputs depend on."""
    return needed_nodes(graph_def, _OUTPUT_NODES)


def _prune(meta_graph: MetaGraphDef) -> Any:
    """A MetaGraphDef with only what the outputs need; its only collections are those of the variables that are left."""
    needed = _needed(meta_graph.graph_def)
    variables = [
        v for v in _parse_variables(meta_graph, tf.GraphKeys.GLOBAL_VARIABLES) if node_name(v.variable_name) in needed
    ]
    _empty_initial_values(meta_graph.graph_def, needed)
    pruned = tf.MetaGraphDef()
    pruned.meta_info_def.CopyFrom(meta_graph.meta_info_def)
    pruned.graph_def.CopyFrom(extract_sub_graph(meta_graph.graph_def, _nodes_to_keep(meta_graph, variables)))
    for node in pruned.graph_def.node:
        # Shapes that were inferred from the placeholders that are replaced; TensorFlow would trust them on import.
        node.attr.pop('_output_shapes', None)
    trainable = _trainable_variables(meta_graph, variables)
    for variable in variables:
        variable.trainable = variable.variable_name in trainable
        collections = [tf.GraphKeys.GLOBAL_VARIABLES] + [tf.GraphKeys.TRAINABLE_VARIABLES] * variable.trainable
        for collection in collections:
            pruned.collection_def[collection].bytes_list.value.append(variable.SerializeToString())
    return pruned


def _nodes_to_keep(meta_graph: MetaGraphDef, variables: Sequence[Variable]) -> List[str]:
    keep = list(OUTPUT_TENSORS + INPUT_TENSORS)
    for v in variables:
        keep += [v.variable_name, v.initializer_name, v.snapshot_name, v.initial_value_name]
    if node_name(DROPOUT_SEED_TENSOR) in {node.name for node in meta_graph.graph_def.node}:
        keep.append(DROPOUT_SEED_TENSOR)
    return [node_name(name) for name in keep if name]


def _trainable_variables(meta_graph: MetaGraphDef, variables: Sequence[Variable]) -> Set[str]:
    """The names of the variables to train: those that the SavedModel lists, or all where it lists none."""
    listed = _parse_variables(meta_graph, tf.GraphKeys.TRAINABLE_VARIABLES)
    listed = listed or [v for v in variables if v.trainable] or list(variables)
    return {v.variable_name for v in listed}


def _empty_initial_values(graph_def: GraphDef, needed: Set[str]) -> None:
    """Replaces large constants that the outputs do not need by zeros, which take up no space but keep the shapes that
    initialisers need.

    The variables of an encoder are restored and never initialised. An encoder that was built from arrays also has all
    its weights in the initialisers, and every graph, saved model and event file would carry them: 537 MB for VGG-16.
    """
    for node in graph_def.node:
        if node.op != 'Const' or node.name in needed or node.attr['value'].ByteSize() <= MAX_INITIAL_BYTES:
            continue
        dtype = tf.as_dtype(node.attr['dtype'].type)
        if dtype != tf.string:
            shape = tf.TensorShape(node.attr['value'].tensor.tensor_shape).as_list()
            zero = np.zeros([], dtype.as_numpy_dtype)
            node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(zero, dtype, shape))


def _input_nodes(channels: int) -> Any:
    """The input side that every network of this library has, as GraphDef nodes."""
    graph = tf.Graph()
    with graph.as_default():
        images_uint8 = tf.placeholder(tf.uint8, [None, None, None, channels], name=IMAGES_NODE)
        tf.placeholder_with_default(
            tf.cast(images_uint8, tf.float32, name='images_float'), [None, None, None, channels], name='image_input'
        )
        tf.placeholder_with_default(1.0, [], name='keep_prob')
    return graph.as_graph_def().node


def _undo_export(graph_def: GraphDef) -> None:
    """Renames the inputs of an export, in place, to those of a saved FCN-8s. Only the shape of its uint8 images says
    how many channels there are.
    """
    rename_nodes(graph_def, {exported: name for name, exported in SERVING_NAMES.items()})
    nodes = {node.name: node for node in graph_def.node}
    if IMAGES_NODE in nodes and 'image_input' in nodes:
        nodes['image_input'].attr['shape'].CopyFrom(nodes[IMAGES_NODE].attr['shape'])
    if 'keep_prob' not in nodes:  # an encoder without dropout
        graph_def.node.add(name='keep_prob', op='Placeholder')


def _cut_inputs(graph_def: GraphDef) -> None:
    """Separates the inputs from the nodes that give their values or defaults; `_rewire_inputs` replaces those."""
    inputs = [node_name(name) for name in INPUT_TENSORS]
    for node in graph_def.node:
        if node.name in inputs:
            del node.input[:]


def _rewire_inputs(graph_def: GraphDef) -> None:
    """Gives the plain placeholders of a published encoder defaults: uint8 images, and no dropout.

    `image_input:0` and `keep_prob:0` keep their names and can still be fed.
    """
    by_name = {node.name: node for node in graph_def.node}
    for node in _input_nodes(channels_of(graph_def)):
        if node.name in by_name:
            by_name[node.name].CopyFrom(node)
        else:
            graph_def.node.add().CopyFrom(node)


def _check_names(graph_def: GraphDef, directory: str, what: str) -> None:
    reserved = {node.name for node in _input_nodes(3)} - {node_name(name) for name in INPUT_TENSORS}
    taken = [node.name for node in graph_def.node if node.name in reserved or node.name.startswith(RESERVED_SCOPES)]
    if taken:
        raise ValueError(
            '{} SavedModel {!r} has nodes of its own called {}; this library adds {} and what begins with {}. Save it '
            'again with other names there.'.format(
                what, directory, ', '.join(taken), ', '.join(sorted(reserved)), ' or '.join(RESERVED_SCOPES)
            )
        )


def _check_placeholders(graph_def: GraphDef, directory: str, what: str) -> None:
    needed = _needed(graph_def)
    further = [
        '{}:0 ({})'.format(node.name, tf.as_dtype(node.attr['dtype'].type).name)
        for node in graph_def.node
        if node.op in PLACEHOLDER_OPS and node.name in needed and node.name != IMAGES_NODE
    ]
    if further:
        raise ValueError(
            '{} SavedModel {!r} needs {} to be fed; an encoder takes {} and nothing else. Save it again with a '
            'constant in its place, or with tf.placeholder_with_default and the value for predictions.'.format(
                what, directory, ', '.join(further), ' and '.join(INPUT_TENSORS)
            )
        )


def _check_sizes(meta_graph: MetaGraphDef, directory: str, what: str, trust: bool) -> None:
    """Raises ValueError for fixed sizes: a placeholder's fixed shape can be anywhere in the graph, as a constant."""
    with tf.Graph().as_default() as graph:
        encoder = import_encoder(meta_graph)
    if not trust:
        check_known_sizes(graph, '{} SavedModel {!r}'.format(what, directory))
    fixed = sorted({'random numbers of the shape {}'.format(shape) for shape in _fixed_draws(meta_graph.graph_def)})
    for output in (encoder.pool3, encoder.pool4, encoder.fc7):
        shape = output.shape.as_list() if output.shape.ndims is not None else None
        if shape is None or len(shape) != 4 or shape[:3] != [None] * 3 or shape[3] is None:
            fixed.append('{} of the shape {}'.format(output.name, shape))
        elif output.dtype != tf.float32:
            raise ValueError(
                '{} SavedModel {!r} gives {} at {}; the interface is float32. Save it again with a cast there.'.format(
                    what, directory, output.dtype.name, output.name
                )
            )
    if fixed:
        raise ValueError(
            '{} SavedModel {!r} has {} whatever the size of the images; an encoder computes [N, H, W, channels] that '
            'follow them. Save it again with image_input = tf.placeholder(tf.float32, [None, None, None, 3], '
            "name='image_input').".format(what, directory, ' and '.join(fixed))
        )


def _fixed_draws(graph_def: GraphDef) -> List[List[int]]:
    """Constant shapes [N, H, W, C] of random numbers, except those that fit images of any size."""
    nodes = {node.name: node for node in graph_def.node}
    needed = _needed(graph_def)
    sources = [nodes[node_name(n.input[0])] for n in graph_def.node if n.op in RANDOM_OPS and n.name in needed]
    shapes = [tf.make_ndarray(n.attr['value'].tensor).tolist() for n in sources if n.op == 'Const']
    return [shape for shape in shapes if len(shape) == 4 and max(shape[:3]) > 1]


def _check_whole_variables(meta_graph: MetaGraphDef, directory: str, what: str) -> None:
    variables = _parse_variables(meta_graph, tf.GraphKeys.GLOBAL_VARIABLES)
    parts = [v.save_slice_info_def.full_name for v in variables if v.HasField('save_slice_info_def')]
    if parts:
        raise ValueError(
            '{} SavedModel {!r} has partitioned variables ({}), which are not read. Save it again without a '
            'partitioner.'.format(what, directory, ', '.join(dict.fromkeys(parts)))
        )


def _check_listed_variables(meta_graph: MetaGraphDef, directory: str, what: str) -> None:
    listed = variable_names(meta_graph)
    unlisted = [node.name for node in meta_graph.graph_def.node if node.op in VARIABLE_OPS and node.name not in listed]
    if unlisted:
        raise ValueError(
            '{} SavedModel {!r} does not list {} in its collection {!r}, so they cannot be restored. Save it '
            'again with its variables in that collection.'.format(
                what, directory, ', '.join(unlisted), tf.GraphKeys.GLOBAL_VARIABLES
            )
        )


def _check_stored_variables(meta_graph: MetaGraphDef, prefix: str) -> None:
    stored = saved_models.checkpoint_shapes(prefix)
    missing = [name for name in variable_names(meta_graph) if name not in stored]
    if missing:
        raise ValueError(
            'the variables {!r} lack {}, which the graph beside them needs. Copy the variables/ folder that '
            'belongs to it.'.format(prefix, ', '.join(missing))
        )
