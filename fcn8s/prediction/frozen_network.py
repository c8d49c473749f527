"""The inference graph: a saved FCN-8s opened for prediction only.

uint8 images in, uint8 class IDs out; no training nodes, no dropout, and soft-max only where it is fetched.
"""

from typing import Any, Dict, Optional, Sequence, Union

import numpy as np

from fcn8s.backend import ConfigProto, Graph, GraphDef, Session, check_process, tf
from fcn8s.batches import PredictionTensors, predict_in_chunks
from fcn8s.closing import closed_model, closing_told, copied_model
from fcn8s.graph.packed_filters import pack_filters
from fcn8s.precision import AUTO, check_precision, chosen_precision, this_machine
from fcn8s.precision import session_config as session_config_for
from fcn8s.prediction.freezing import cut_network, fold_variables, load_large_filters
from fcn8s.saving import saved_models
from fcn8s.saving.descriptions import DEFAULT_TAGS, SavedFCN8s, read_description
from fcn8s.saving.packed import name_of
from helpers.aliases import PathLike
from helpers.files import path_of
from helpers.image_rules import ImageRules
from helpers.label_spaces import LabelSpace

IMAGES_TENSOR = 'images_uint8:0'
FLOAT_IMAGES_TENSOR = 'image_input:0'
LOGITS_NODE = 'decoder/fcn8s_output'
PREDICTION_PRECISIONS = ('float32', 'bfloat16')


class InferenceGraph:
    """A network opened for prediction. Made by `open_model`; a context manager.

    Attributes:
        graph, session: of this network alone. Further nodes (metrics, say) may be added to the graph at any time.
        images: uint8 [N, H, W, channels] placeholder, RGB as a rule, any size from 1x1.
        float_images: float32 of the same shape, 0 to 255; may be fed instead of `images`.
        logits, probabilities: float32 [N, H, W, C].
        class_ids: uint8 [N, H, W].
        label_space: the classes; num_classes = C.
        image_rules: how image files become what the network takes.
        precision: 'float32' or 'bfloat16'. engine: 'tensorflow'.
        model_dir: where it was read from.
    """

    def __init__(self, graph: Graph, session: Session, description: SavedFCN8s, precision: str) -> None:
        self.graph = graph
        self.session = session
        self.precision = precision
        self.engine = 'tensorflow'
        self.model_dir = description.directory
        self.images = graph.get_tensor_by_name(IMAGES_TENSOR)
        self.float_images = graph.get_tensor_by_name(FLOAT_IMAGES_TENSOR)
        self.logits = graph.get_tensor_by_name(LOGITS_NODE + ':0')
        self.label_space: LabelSpace = description.settings.label_space
        self.num_classes = description.settings.num_classes
        self.image_rules: ImageRules = description.settings.image_rules
        self._info = description.description
        self._is_closed = False
        with graph.as_default(), tf.name_scope('inference'):
            # The same class as argmax, for equal logits and NaN as well, in two thirds of the time.
            best = tf.nn.top_k(self.logits, 1).indices[..., 0]
            self.class_ids = tf.cast(best, tf.uint8, name='class_ids')
            self.probabilities = tf.nn.softmax(self.logits, name='probabilities')

    def info(self) -> Dict[str, Any]:
        """Returns the content of the model's `fcn8s.json`."""
        return dict(self._info)

    def run(self, fetches: Any, feed: Optional[Dict[Any, Any]] = None) -> Any:
        """Calls `session.run` of this network. Raises ValueError once it was closed."""
        check_process()
        if self._is_closed:
            raise self._closed()
        with closing_told(lambda: self._is_closed, self._closed), saved_models.explain_run_errors(self.model_dir):
            return self.session.run(fetches, feed)

    def _closed(self) -> ValueError:
        return closed_model(name_of(self.model_dir))

    def predict(self, images: Union[np.ndarray, Sequence[np.ndarray]], argmax: bool = True) -> np.ndarray:
        """Predicts images of one size.

        images: [N, H, W, channels], RGB as a rule, or a list of images; uint8, or numbers from 0 to 255.

        Returns class IDs, uint8 [N, H, W], or with `argmax=False` the soft-max, float32 [N, H, W, C]. Raises ValueError
        as `fcn8s.batches.as_image_batch`, and once the network was closed.
        """
        tensors = PredictionTensors(self.images, self.float_images, self.class_ids, self.probabilities)
        return predict_in_chunks(self.run, tensors, images, self.num_classes, argmax)

    def close(self) -> None:
        """Frees the session and its weights; may be called again."""
        self._is_closed = True
        self.session.close()

    def __reduce__(self) -> Any:
        raise copied_model(name_of(self.model_dir))

    def __enter__(self) -> 'InferenceGraph':
        if self._is_closed:
            raise self._closed()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


def open_model(
    model_dir: PathLike,
    tags: Optional[Sequence[str]] = None,
    precision: str = 'float32',
    session_config: Optional[ConfigProto] = None,
    trust: bool = False,
) -> InferenceGraph:
    """Opens a saved FCN-8s for prediction only.

    Args:
        model_dir: A saved FCN-8s (`fcn8s.saving.runs.resolve_model` finds the one of a run directory).
        tags: Tags of the SavedModel; None takes those that this library writes.
        precision: 'float32', 'bfloat16' for convolutions and products in bfloat16 on CPUs and GPUs that have it, or
            'auto' for bfloat16 on CPUs that have it and float32 elsewhere.
        session_config: A `tf.ConfigProto`; None takes TensorFlow's defaults with GPU memory growth.
        trust: Open a graph whatever ops it holds; files from others may then do what they like.

    Raises FileNotFoundError or ValueError for a missing or damaged FCN-8s, ops that a network does not need, or a
    precision that this machine or TensorFlow does not have.
    """
    model_dir = path_of(model_dir)
    description = read_description(model_dir)
    precision = chosen_precision(precision, session_config)
    config = checked_config(precision, session_config)
    meta_graph = saved_models.read_meta_graph(model_dir, list(tags or DEFAULT_TAGS), trust=trust)
    prefix = saved_models.variables_prefix(model_dir)
    return open_graph_def(meta_graph.graph_def, prefix, description, precision, config, trust)


def open_graph_def(
    graph_def: GraphDef,
    prefix: Optional[str],
    description: SavedFCN8s,
    precision: str,
    config: ConfigProto,
    trust: bool,
) -> InferenceGraph:
    """Opens the graph of a network for prediction only; see `open_model`.

    prefix: the checkpoint of its variables; None where it has none.
    """
    check_process()
    with saved_models.explain_graph_damage(description.directory, 'model'):
        untrusted = None if trust else 'model {!r}'.format(description.directory)
        network = cut_network(graph_def, LOGITS_NODE, precision == 'bfloat16', untrusted=untrusted)
    graph = tf.Graph()
    session = tf.Session(graph=graph, config=config)
    try:
        if prefix is not None:
            # Large filters come first: the memory that loading them takes is then free again for the rest.
            load_large_filters(session, network.large_filters, prefix)
            with saved_models.explain_graph_damage(description.directory, 'model'):
                network = network._replace(graph_def=fold_variables(network, prefix))
        pack_filters(network.graph_def)
        with saved_models.explain_graph_damage(description.directory, 'model'), graph.as_default():
            tf.import_graph_def(network.graph_def, name='')
        return InferenceGraph(graph, session, description, precision)
    except BaseException:
        session.close()
        raise


def checked_config(precision: str, base: Optional[ConfigProto]) -> Any:
    """Returns the `tf.ConfigProto` to predict with in a precision; raises ValueError where this machine cannot."""
    if precision not in PREDICTION_PRECISIONS:
        raise ValueError(
            'precision is {!r}; predictions are computed in {} ({!r}: the faster one of this CPU).'.format(
                precision, ' or '.join(PREDICTION_PRECISIONS), AUTO
            )
        )
    check_precision(precision, machine=this_machine(base))
    # For bfloat16, the graph itself is in bfloat16; TensorFlow's own rewrite would hold the weights in both types.
    return session_config_for('float32', gpu_memory_growth=base is None, base=base)
