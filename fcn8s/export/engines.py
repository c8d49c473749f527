"""Opening a network for prediction in the engine that computes it: TensorFlow, OpenVINO, or the runtime of an export.

TensorFlow is loaded only to compute, convert or score: an export predicts without it.
"""

from typing import Any, Dict, NamedTuple, Optional, Sequence, Union

import numpy as np

from fcn8s.batches import as_image_batch
from fcn8s.closing import closed_model, copied_model
from fcn8s.export import runtimes
from fcn8s.export.formats import FORMATS, check_engine, check_packages
from fcn8s.export.names import CLASS_IDS, LOGITS, PROBABILITIES
from fcn8s.precision import AUTO
from fcn8s.saving.descriptions import SERVING_TAGS, SavedFCN8s, check_tags_of_export, read_description
from fcn8s.saving.packed import name_of
from fcn8s.saving.runs import open_current
from helpers.aliases import PathLike
from helpers.flags import check_flags
from helpers.image_rules import ImageRules
from helpers.label_spaces import LabelSpace


class _Scoring(NamedTuple):
    """The TensorFlow side of an evaluation: logits are fed in. `images` stands for the images of a feed."""

    graph: Any
    session: Any
    images: Any
    logits: Any


class ExportedModel:
    """A network that another runtime computes, with the methods of `InferenceGraph`; a context manager. Several threads
    may predict at once.

    Attributes:
        label_space: the classes; num_classes = C. image_rules: how image files become what the network takes.
        precision: what it was made for. engine: what runs it. model_dir: where it was read from.
        size: (height, width) if it takes images of one size only, or None.
    """

    def __init__(self, runtime: Any, engine: str, description: SavedFCN8s, precision: str, size: Any = None) -> None:
        self._runtime = runtime
        self.engine = engine
        self.model_dir = description.directory
        self.precision = precision
        self.size = None if size is None else (int(size[0]), int(size[1]))
        self.label_space: LabelSpace = description.settings.label_space
        self.num_classes = description.settings.num_classes
        self.image_rules: ImageRules = description.settings.image_rules
        self._info = description.description
        self._scoring: Optional[_Scoring] = None

    def info(self) -> Dict[str, Any]:
        """Returns the content of the model's `fcn8s.json`."""
        return dict(self._info)

    def predict(self, images: Union[np.ndarray, Sequence[np.ndarray]], argmax: bool = True) -> np.ndarray:
        """Predicts images of one size.

        images: uint8 [N, H, W, channels], RGB as a rule, or a list of images.

        Returns class IDs, uint8 [N, H, W], or with `argmax=False` the soft-max, float32 [N, H, W, C]. Raises ValueError
        as `fcn8s.batches.as_image_batch`, for numbers that uint8 cannot hold, for a size that the export does not take,
        and once the network was closed.
        """
        return self._run(as_image_batch(images, self.image_rules.channels), CLASS_IDS if argmax else PROBABILITIES)

    def _opened(self) -> Any:
        """Returns the runtime, which another thread may close at any moment; raises ValueError once it was closed."""
        runtime = self._runtime
        if runtime is None:
            raise closed_model(name_of(self.model_dir))
        return runtime

    def _run(self, images: np.ndarray, output: str) -> np.ndarray:
        runtime = self._opened()
        if not len(images):
            channels = () if output == CLASS_IDS else (self.num_classes,)
            return np.zeros(images.shape[:3] + channels, np.uint8 if output == CLASS_IDS else np.float32)
        if self.size is not None and images.shape[1:3] != self.size:
            raise ValueError(
                'images are {} x {}, and this export takes {} x {} alone. Resize them (--size {} {}), or export to a '
                'format that takes any size.'.format(*images.shape[1:3], *self.size, *self.size)
            )
        return runtime.run(_as_uint8(images), (output,))[output]

    @property
    def graph(self) -> Any:
        """A TensorFlow graph for scoring; `images` may be fed there, and `logits` are those of this network."""
        return self._scoring_part().graph

    @property
    def images(self) -> Any:
        """The placeholder of images, uint8 [N, H, W, channels], in `graph`."""
        return self._scoring_part().images

    @property
    def logits(self) -> Any:
        """float32 [N, H, W, C], in `graph`."""
        return self._scoring_part().logits

    def run(self, fetches: Any, feed: Optional[Dict[Any, Any]] = None) -> Any:
        """Fetches tensors of `graph`. Images in the feed go through the network first. Raises ValueError once the
        network was closed.
        """
        self._opened()
        scoring, feed = self._scoring_part(), dict(feed or {})
        images = feed.pop(scoring.images, None)
        if images is not None:
            feed[scoring.logits] = self._run(as_image_batch(images, self.image_rules.channels), LOGITS)
        return scoring.session.run(fetches, feed)

    def _scoring_part(self) -> _Scoring:
        if self._scoring is None:
            from fcn8s.backend import tf

            graph = tf.Graph()
            with graph.as_default():
                images = tf.placeholder(tf.uint8, [None, None, None, None], name='images')
                logits = tf.placeholder(tf.float32, [None, None, None, self.num_classes], name='logits')
            self._scoring = _Scoring(graph, tf.Session(graph=graph), images, logits)
        return self._scoring

    def close(self) -> None:
        """Frees the network; may be called again."""
        self._runtime = None
        if self._scoring is not None:
            self._scoring.session.close()

    def __reduce__(self) -> Any:
        raise copied_model(name_of(self.model_dir))

    def __enter__(self) -> 'ExportedModel':
        self._opened()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


def open_model(
    model_dir: PathLike,
    tags: Optional[Sequence[str]] = None,
    precision: Optional[str] = None,
    session_config: Optional[Any] = None,
    engine: Optional[str] = None,
    trust: bool = False,
) -> Any:
    """Opens a saved FCN-8s or an export for prediction only: an `InferenceGraph` or an `ExportedModel`.

    Args:
        model_dir: a saved FCN-8s, a run (its best checkpoint), an export, or a packed network.
        tags, session_config, trust: see `fcn8s.prediction.frozen_network.open_model`.
        precision: for a saved FCN-8s 'float32' (None), 'bfloat16', 'auto' for bfloat16 on CPUs that have it or, with
            engine='openvino', 'float16'; an export keeps the precision that it was made in.
        engine: 'tensorflow' (None), or 'openvino', which converts a saved FCN-8s when it is opened. An export runs in
            the runtime of its format.

    Raises:
        FileNotFoundError, ValueError, ImportError: for a missing or damaged model, a model that the engine does not
            run, a runtime that is not installed, or a precision that the model or the machine does not have.
    """
    check_engine(engine)
    check_flags(trust=trust)

    def open_directory(directory: str) -> Any:
        description = read_description(directory)
        if 'export' in description.description:
            return _open_export(description, tags, precision, session_config, engine, trust)
        if engine == 'openvino':
            _check_not_of_tensorflow(engine, tags=tags, session_config=session_config)
            return _open_in_openvino(description, precision or 'float32', trust)
        from fcn8s.prediction import frozen_network

        return frozen_network.open_model(directory, tags, precision or 'float32', session_config, trust)

    return open_current(model_dir, open_directory)


def _open_export(
    description: SavedFCN8s,
    tags: Optional[Sequence[str]],
    precision: Optional[str],
    session_config: Optional[Any],
    engine: Optional[str],
    trust: bool,
) -> Any:
    export = runtimes.read_export(description.directory)
    own_engine = export['format'] if FORMATS[export['format']].packages else 'tensorflow'
    if engine is not None and engine != own_engine:
        raise ValueError(
            'engine is {!r}, but {!r} is an export to {}, which {} runs. Leave the engine out, or take the model that '
            'it was made of.'.format(engine, description.directory, export['format'], own_engine)
        )
    if precision not in (None, AUTO, export['precision']):
        raise ValueError(
            'precision is {!r}, but {!r} was exported in {}. Leave the precision out, or export again.'.format(
                precision, description.directory, export['precision']
            )
        )
    check_tags_of_export(tags, description.directory, export['format'])
    if own_engine != 'tensorflow':
        _check_not_of_tensorflow(own_engine, session_config=session_config)
    runtimes.check_file(description.directory, export)
    runtimes.warn_of_changes(description.directory)
    if own_engine == 'tensorflow':
        return _open_in_tensorflow(description, export, session_config, trust)
    runtime = runtimes.open_runtime(description.directory, export)
    return ExportedModel(runtime, own_engine, description, export['precision'], export.get('size'))


def _check_not_of_tensorflow(engine: str, **others: Any) -> None:
    """Raises ValueError for arguments that only TensorFlow uses. None stands for an argument that was left out."""
    for name, value in others.items():
        if value is not None:
            raise ValueError(
                '{} is about TensorFlow, and {} computes this network. Leave {} out, or take the saved model in '
                'TensorFlow.'.format(name, engine, name)
            )


def _open_in_tensorflow(
    description: SavedFCN8s, export: Dict[str, Any], session_config: Optional[Any], trust: bool
) -> Any:
    """Opens an exported SavedModel or frozen graph with the code for a saved FCN-8s, in TensorFlow 1 or 2."""
    from fcn8s.graph.encoder import SERVING_NAMES
    from fcn8s.graph.graph_defs import rename_nodes
    from fcn8s.graph.permitted_ops import check_ops
    from fcn8s.prediction import frozen_network
    from fcn8s.saving import saved_models

    if export['format'] == 'saved_model':
        meta_graph = saved_models.read_meta_graph(description.directory, list(SERVING_TAGS), trust=trust)
        graph_def, prefix = meta_graph.graph_def, saved_models.variables_prefix(description.directory)
    else:
        from fcn8s.export import frozen

        graph_def, prefix = frozen.read(description.directory), None
        if not trust:  # checks the parts that are cut off below, too
            check_ops(graph_def, 'model {!r}'.format(description.directory))
    rename_nodes(graph_def, {exported: name for name, exported in SERVING_NAMES.items()})
    # The graph of a bfloat16 export is in bfloat16 already.
    config = frozen_network.checked_config(export['precision'], session_config)
    model = frozen_network.open_graph_def(graph_def, prefix, description, 'float32', config, trust)
    model.precision = export['precision']
    return model


def _open_in_openvino(description: SavedFCN8s, precision: str, trust: bool) -> ExportedModel:
    check_packages('openvino')
    from fcn8s.export import openvino

    precision = openvino.chosen_precision(precision)
    if precision not in openvino.CONVERTED_PRECISIONS:
        raise ValueError(
            'precision is {!r}; OpenVINO opens a saved FCN-8s in {}. For int8, which is calibrated, export it first: '
            'fcn8s export MODEL OUT --format openvino --precision int8 --calibration DIR'.format(
                precision, ' or '.join(openvino.CONVERTED_PRECISIONS)
            )
        )
    openvino.check_machine(precision)
    runtime = openvino.Runtime(description.directory, precision, openvino.convert(description.directory, trust))
    return ExportedModel(runtime, 'openvino', description, precision)


def _as_uint8(images: np.ndarray) -> np.ndarray:
    if images.dtype == np.uint8:
        return images
    rounded = np.rint(images)
    if (rounded != images).any():
        raise ValueError(
            'images hold numbers such as {:g}; this network takes whole numbers from 0 to 255 (uint8). Round them: '
            'np.rint(images).astype(np.uint8)'.format(float(images[rounded != images][0]))
        )
    return rounded.astype(np.uint8)
