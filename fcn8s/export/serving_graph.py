"""The graph of an export: uint8 images in; class IDs, soft-max and logits out. Nothing in it is random or trained.

Input and outputs have the same names in every format, see `fcn8s.export.names`. Mean subtraction and the order of
colours are part of the graph.
"""

from typing import Any, List, Optional, Sequence, Tuple

from fcn8s.backend import Graph, tf
from fcn8s.export.names import CLASS_IDS, IMAGES, LOGITS, OUTPUTS, PROBABILITIES, SIGNATURE
from fcn8s.export.transposed import crop_transposed_convolutions
from fcn8s.graph.decoder import build_decoder
from fcn8s.graph.encoder import IMAGES_NODE, SERVING_NAMES, import_encoder, in_bfloat16
from fcn8s.graph.graph_defs import VARIABLE_OPS, extract_sub_graph, node_name, rename_nodes, strip_default_attributes
from fcn8s.prediction.freezing import cut_network, fold_variables, settle_inputs
from fcn8s.prediction.frozen_network import LOGITS_NODE
from fcn8s.saving import saved_models
from fcn8s.saving.descriptions import DEFAULT_TAGS, read_description
from fcn8s.saving.encoder_files import read_encoder
from fcn8s.saving.restoring import restore

# Over REST, TensorFlow Serving sends a string in base64 if its name ends in '_bytes'.
IMAGE_BYTES, CLASS_ID_BYTES = 'image_bytes', 'class_ids_bytes'
ENCODED_SCOPE = 'encoded'
_CHECKED_IMAGES = 'images_checked'
# Grey and RGB.
_DECODED_CHANNELS = (1, 3)


def freeze(model_dir: str, bfloat16: bool = False, size: Optional[Tuple[int, int]] = None, trust: bool = False) -> Any:
    """Returns the GraphDef of a saved FCN-8s for prediction, with every weight as a constant.

    Args:
        model_dir: a saved FCN-8s.
        bfloat16: put weights, convolutions and what follows them in bfloat16.
        size: (height, width) for a graph that takes one image [1, H, W, channels]; None for any number of any size.
        trust: take a graph whatever ops it holds.

    Raises:
        ValueError: the variables are damaged, the graph has ops that a network does not need, or a loop of the encoder
            reads variables itself.
    """
    meta_graph = saved_models.read_meta_graph(model_dir, list(DEFAULT_TAGS), 'model', trust)
    with saved_models.explain_graph_damage(model_dir, 'model'):
        untrusted = None if trust else 'model SavedModel {!r}'.format(model_dir)
        network = cut_network(
            meta_graph.graph_def, LOGITS_NODE, bfloat16, with_large_filters=False, untrusted=untrusted
        )
    if network.large_filters:
        raise ValueError(
            'the encoder of {!r} reads {} inside a loop or a branch, so these cannot become constants. Export it with '
            '--format saved_model, which keeps variables.'.format(
                model_dir, ', '.join(variable.name for variable in network.large_filters)
            )
        )
    graph_def = fold_variables(network, saved_models.variables_prefix(model_dir))
    rename_nodes(graph_def, SERVING_NAMES)
    graph_def.node.extend(_output_nodes())
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(extract_sub_graph(meta_graph.graph_def, [LOGITS_NODE]), name='')  # which was checked
        _add_outputs(tf.cast(graph.get_tensor_by_name(LOGITS_NODE + ':0'), tf.float32, name='any_cast'))
    strip_default_attributes(graph_def, graph)
    crop_transposed_convolutions(graph_def)
    for node in graph_def.node:
        if node.name == IMAGES and size is not None:
            for dim, length in zip(node.attr['shape'].shape.dim, (1,) + tuple(size)):
                dim.size = length
    return graph_def


def check_image_shapes(graph_def: Any) -> None:
    """Makes the graph raise an error for images of another shape than [N, H, W, channels], in place.

    TensorFlow checks the shapes of placeholders only in Python's `Session.run`. Through a signature, an image without
    its first dimension reached oneDNN's convolutions and crashed the process.
    """
    (images,) = [node for node in graph_def.node if node.name == IMAGES]
    for node in graph_def.node:
        sources = [_CHECKED_IMAGES if source == IMAGES else source for source in node.input]
        del node.input[:]
        node.input.extend(sources)
    checked = graph_def.node.add(name=_CHECKED_IMAGES, op='EnsureShape', input=[IMAGES])
    checked.attr['T'].type = images.attr['dtype'].type
    checked.attr['shape'].CopyFrom(images.attr['shape'])


def _output_nodes() -> List[Any]:
    """The nodes of the outputs, which follow the node of the logits."""
    graph = tf.Graph()
    with graph.as_default():
        logits = tf.placeholder(tf.float32, [None, None, None, None], name=LOGITS_NODE)
        _add_outputs(logits)
    return [node for node in graph.as_graph_def().node if node.name != LOGITS_NODE]


def _add_outputs(logits: Any) -> None:
    tf.identity(logits, name=LOGITS)
    tf.nn.softmax(logits, name=PROBABILITIES)
    tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8, name=CLASS_IDS)


class ServingNetwork:
    """The network of a saved FCN-8s in a graph and a session of its own, with its variables; a context manager.

    Attributes:
        graph, session: of this network.
        saver: of all its variables, and of nothing else.
        num_channels: of the images that it takes. has_encoded: whether JPEG and PNG can hold such images.
    """

    def __init__(self, model_dir: str, bfloat16: bool = False, trust: bool = False) -> None:
        settings = read_description(model_dir).settings
        source = read_encoder(model_dir, DEFAULT_TAGS, 'model', trust)
        encoder_graph = in_bfloat16(source.meta_graph) if bfloat16 else source.meta_graph
        settle_inputs(encoder_graph.graph_def)
        self.graph = tf.Graph()
        with self.graph.as_default():
            encoder = import_encoder(encoder_graph)
            _add_outputs(build_decoder(encoder.pool3, encoder.pool4, encoder.fc7, encoder.image_input, settings).logits)
            self.num_channels = encoder.images_uint8.shape.as_list()[-1]
            self.has_encoded = self.num_channels in _DECODED_CHANNELS and settings.image_rules.bands is None
            if self.has_encoded:
                _add_encoded(self.graph, self.num_channels)
            self.saver = tf.train.Saver(tf.global_variables())
        self.session = tf.Session(graph=self.graph, config=tf.ConfigProto(device_count={'GPU': 0}))
        try:
            with self.graph.as_default():
                restore(self.session, tf.global_variables(), source.variables_prefix)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Frees session and memory."""
        self.session.close()

    def __enter__(self) -> 'ServingNetwork':
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def meta_graph(self, tags: Sequence[str]) -> Any:
        """Returns the MetaGraphDef with the names of an export, with the variables as its only collection, and with two
        signatures: `serving_default`, see `OUTPUTS`, and `encoded`: image files (string [N], JPEG or PNG, of one size)
        -> PNG files of class IDs (string [N]).
        """
        with self.graph.as_default():
            meta_graph = tf.train.export_meta_graph(
                saver_def=self.saver.as_saver_def(), clear_devices=True, strip_default_attrs=True
            )
        for name in [name for name in meta_graph.collection_def if name != tf.GraphKeys.GLOBAL_VARIABLES]:
            del meta_graph.collection_def[name]
        kept = extract_sub_graph(meta_graph.graph_def, self._names_to_keep())
        rename_nodes(kept, SERVING_NAMES)
        crop_transposed_convolutions(kept)
        check_image_shapes(kept)
        meta_graph.graph_def.CopyFrom(kept)
        meta_graph.signature_def[SIGNATURE].CopyFrom(self._signature([IMAGES_NODE], OUTPUTS))
        if self.has_encoded:
            meta_graph.signature_def[ENCODED_SCOPE].CopyFrom(self._signature([IMAGE_BYTES], [CLASS_ID_BYTES]))
        del meta_graph.meta_info_def.tags[:]
        meta_graph.meta_info_def.tags.extend(tags)
        return meta_graph

    def _names_to_keep(self) -> List[str]:
        saver = self.saver.as_saver_def()
        names = [saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name]
        names += list(OUTPUTS) + [CLASS_ID_BYTES] * self.has_encoded
        with self.graph.as_default():  # outside of it, TensorFlow 2 has no such message
            variables = [variable.to_proto() for variable in tf.global_variables()]
        for v in variables:
            names += [v.variable_name, v.initializer_name, v.snapshot_name, v.initial_value_name]
        return [node_name(name) for name in names if name]

    def _signature(self, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
        return tf.saved_model.signature_def_utils.build_signature_def(
            {SERVING_NAMES.get(name, name): self._tensor_info(name) for name in inputs},
            {name: self._tensor_info(name) for name in outputs},
            tf.saved_model.signature_constants.PREDICT_METHOD_NAME,
        )

    def _tensor_info(self, name: str) -> Any:
        tensor = self.graph.get_tensor_by_name(name + ':0')
        return tf.TensorInfo(
            name=SERVING_NAMES.get(name, name) + ':0',
            dtype=tensor.dtype.as_datatype_enum,
            tensor_shape=tensor.shape.as_proto(),
        )


def _add_encoded(graph: Graph, num_channels: int) -> None:
    """Adds a second copy of the network, on the same variables, from image files to PNG files of class IDs."""

    def decode(content: Any) -> Any:
        # This op decodes JPEG as well.
        image = tf.image.decode_png(content, channels=num_channels)
        image.set_shape([None, None, num_channels])
        return image

    contents = tf.placeholder(tf.string, [None], name=IMAGE_BYTES)
    images = tf.map_fn(decode, contents, fn_output_signature=tf.uint8)
    network = extract_sub_graph(graph.as_graph_def(), [CLASS_IDS])
    for node in network.node:
        node.attr.pop('_class', None)  # colocates it with its variable, which has no copy here
    replaced = {
        '{}:0'.format(node.name): graph.get_tensor_by_name(node.name + ':0')
        for node in network.node
        if node.op in VARIABLE_OPS
    }
    replaced[IMAGES_NODE + ':0'] = images
    (class_ids,) = tf.import_graph_def(network, replaced, [CLASS_IDS + ':0'], name=ENCODED_SCOPE)
    pngs = tf.map_fn(lambda ids: tf.image.encode_png(ids[..., tf.newaxis]), class_ids, fn_output_signature=tf.string)
    tf.identity(pngs, name=CLASS_ID_BYTES)
