"""Doubt by dropout: the network's head sampled several times over features that are computed once.

Dropout that stays on makes each prediction a sample of what other trained networks might say (Gal, Ghahramani, ICML
2016; for segmentation Kendall, Badrinarayanan, Cipolla, "Bayesian SegNet", BMVC 2017). In FCN-8s dropout follows fc6
and fc7, so all convolutions up to fc6, by far most of the work, are the same for all samples.

Letters: N images, H height, W width, C classes, S samples.
"""

from typing import Any, Dict, Iterable, List, NamedTuple, Sequence, Set, Tuple

import numpy as np

from fcn8s.backend import Graph, GraphDef, tf
from fcn8s.batches import PredictionTensors, predict_in_chunks
from fcn8s.confidence import SMALLEST_PROBABILITY, at_temperature, check_temperature
from fcn8s.graph.graph_defs import RANDOM_OPS, extract_sub_graph, node_name
from fcn8s.prediction.frozen_network import LOGITS_NODE, InferenceGraph
from fcn8s.prediction.predictor import Predictor
from fcn8s.saving import saved_models
from fcn8s.saving.descriptions import DEFAULT_TAGS
from helpers.flags import checked_whole, is_real

MAX_SAMPLES = 1000
# What the paper and VGG-16 train with.
KEEP_PROB = 0.5

_KEEP_PROB_NODE = 'keep_prob'
_SEED_NODE = 'sampling/dropout_seed_{}'


class Doubt(NamedTuple):
    """How sure the samples are of each pixel of one image, in nats: 0 is certain, ln C is no idea.

    entropy: float32 [H, W], of the mean soft-max: all doubt. mutual_information: float32 [H, W], the part of it that
    comes from samples contradicting each other; more training data would reduce it.
    """

    entropy: np.ndarray
    mutual_information: np.ndarray


def doubt_of(samples: np.ndarray, temperature: float = 1.0) -> Doubt:
    """Returns the doubt in what `Sampler.predict` returned for one image, float32 [H, W, C + 1].

    temperature: Applied to the mean soft-max for the entropy; the mutual information is that of the samples unchanged.
    """
    mean, expected_entropy = samples[..., :-1], samples[..., -1]
    entropy = _entropy_of(mean)
    # Rounding may make a zero difference negative.
    mutual_information = np.maximum(entropy - expected_entropy, 0)
    return Doubt(
        entropy if temperature == 1 else _entropy_of(at_temperature(mean, temperature)),
        mutual_information,
    )


def _entropy_of(probabilities: np.ndarray) -> np.ndarray:
    return -(probabilities * np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))).sum(axis=-1)


def check_sampling(num_samples: int, keep_prob: float) -> None:
    """Raises ValueError for a number of samples or a keep probability that cannot work."""
    checked_whole('samples', num_samples, 2, MAX_SAMPLES, 'Take 8, for example.')
    if not is_real(keep_prob) or not 0 < keep_prob < 1:
        raise ValueError(
            'keep_prob is {!r}; samples need dropout: it has to be between 0 and 1, as in training. A network that was '
            'trained without dropout has none to sample.'.format(keep_prob)
        )


class Sampler:
    """Samples an opened network's soft-max. The network's own tensors, and so its predictions, do not change.

    The dropout masks depend only on seed, sample number and layer: an image has the same samples in each run.
    """

    def __init__(
        self,
        model: InferenceGraph,
        num_samples: int,
        keep_prob: float = KEEP_PROB,
        seed: int = 0,
        trust: bool = False,
    ) -> None:
        """
        Args:
            model: An opened network; nodes are added to its graph.
            num_samples: S >= 2.
            keep_prob: Keep probability of dropout, that of the training.
            trust: As in `fcn8s.prediction.frozen_network.open_model`.

        Raises:
            ValueError: An argument is out of its range, or the network has no dropout.
        """
        check_sampling(num_samples, keep_prob)
        self._model = model
        self.num_classes = model.num_classes
        meta_graph = saved_models.read_meta_graph(model.model_dir, list(DEFAULT_TAGS), trust=trust)
        head = cut_head(model.graph, meta_graph.graph_def, LOGITS_NODE)
        with model.graph.as_default(), tf.name_scope('sampling'):
            samples = _sample(model, head, num_samples, keep_prob, seed)
            class_ids = tf.cast(tf.argmax(samples[..., :-1], axis=-1), tf.uint8)
        self._tensors = PredictionTensors(model.images, model.float_images, class_ids, samples)

    def predict(self, images: np.ndarray, argmax: bool = False) -> np.ndarray:
        """Predicts float32 [N, H, W, C + 1] for images as `InferenceGraph.predict` takes them: the mean soft-max of the
        samples, followed by the mean of their entropies in nats; both may be averaged further, over tiles and scales.
        With `argmax`, returns the class IDs of the mean soft-max, uint8 [N, H, W]. Raises ValueError as
        `InferenceGraph.predict` does.
        """
        return predict_in_chunks(self._model.run, self._tensors, images, self.num_classes + 1, argmax)


class SampledPredictor:
    """Predicts images of any size by samples; `class_ids` and `probabilities` work as in a `Predictor`.

    Attributes:
        means: (entropy, mutual information) of each predicted image, in nats, means over its pixels.
    """

    def __init__(self, sampler: Sampler, temperature: float = 1.0, **options: Any) -> None:
        """
        Args:
            temperature: As in `doubt_of`; it does not change soft-max and classes.
            options: tile, overlap, scales, mirror, size as in `Predictor`.
        """
        check_temperature(temperature)
        self._temperature = temperature
        self.num_classes = sampler.num_classes
        self._predictor = Predictor(sampler.predict, sampler.num_classes + 1, averages=True, **options)
        self.means: List[Tuple[float, float]] = []

    def samples(self, image: np.ndarray) -> Tuple[np.ndarray, Doubt]:
        """Predicts the mean soft-max, float32 [H, W, C], of uint8 [H, W, channels], and the doubt about it."""
        samples = self._predictor.probabilities(image)
        doubt = doubt_of(samples, self._temperature)
        self.means.append((float(doubt.entropy.mean()), float(doubt.mutual_information.mean())))
        return samples[..., :-1], doubt

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Predicts the mean soft-max, float32 [H, W, C], of uint8 [H, W, channels]."""
        return self.samples(image)[0]

    def class_ids(self, image: np.ndarray) -> np.ndarray:
        """Predicts the class IDs, uint8 [H, W], of uint8 [H, W, channels]."""
        return np.argmax(self.samples(image)[0], axis=-1).astype(np.uint8)


class Head(NamedTuple):
    """The part of a network that dropout changes.

    graph_def: its nodes. features: names of the tensors that it needs from the rest. draws: how many seeds it has.
    """

    graph_def: GraphDef
    features: Tuple[str, ...]
    draws: int


def cut_head(graph: Graph, saved: Any, output: str) -> Head:
    """Cuts what depends on dropout out of a frozen network, and puts its random draws back.

    Args:
        graph: The graph of an opened network, whose draws are constants.
        saved: GraphDef of the network as it was saved, with its draws.
        output: The node that the head ends with.

    Raises:
        ValueError: `output` does not depend on any random draw of the saved network.
    """
    frozen = extract_sub_graph(graph.as_graph_def(), [output])
    present = {node.name for node in frozen.node}
    draws = [node for node in saved.node if node.op in RANDOM_OPS and node.name in present]
    if not draws:
        raise ValueError(
            'this network has no dropout, so there is nothing to sample. Encoders that fcn8s vgg16 writes have it '
            'behind fc6 and fc7.'
        )
    changed = _downstream(frozen.node, {node.name for node in draws} | {_KEEP_PROB_NODE})
    head = tf.GraphDef(versions=frozen.versions, library=frozen.library)
    dtypes = {node.name: node.attr['dtype'].type for node in frozen.node if node.op == 'Const'}
    head.node.extend(node for node in frozen.node if node.name in changed)
    for number, draw in enumerate(draws):
        head.node.extend(_draw_nodes(draw, number, dtypes[draw.name]))
    _add_missing(head, present, saved, graph)
    for node in head.node:
        plain = [name for name in node.input if not name.startswith('^')]
        del node.input[:]
        node.input.extend(plain)
    own = {node.name for node in head.node}
    features = dict.fromkeys(name for node in head.node for name in node.input if node_name(name) not in own)
    seeds = {_SEED_NODE.format(number) for number in range(len(draws))}
    return Head(head, tuple(name for name in features if name not in seeds | {_KEEP_PROB_NODE}), len(draws))


def _downstream(nodes: Iterable[Any], sources: Set[str]) -> Set[str]:
    """The nodes that depend on the sources, without these; the order of `nodes` does not matter."""
    nodes, reached, grows = list(nodes), set(sources), True
    while grows:
        new = {
            node.name
            for node in nodes
            if node.name not in reached and any(node_name(name) in reached for name in node.input)
        }
        grows = bool(new)
        reached |= new
    return reached - sources


def _draw_nodes(draw: Any, number: int, dtype: int) -> List[Any]:
    """A draw as a function of a seed that is fed, cast to the type in which the frozen network computes."""
    uniform, cast = tf.NodeDef(), tf.NodeDef()
    uniform.name, uniform.op = draw.name + '/sampled', 'StatelessRandomUniform'
    uniform.input.extend([draw.input[0], _SEED_NODE.format(number)])
    uniform.attr['dtype'].type = tf.float32.as_datatype_enum
    uniform.attr['T'].type = draw.attr['T'].type if 'T' in draw.attr else tf.int32.as_datatype_enum
    uniform.attr['Tseed'].type = tf.int32.as_datatype_enum
    cast.name, cast.op = draw.name, 'Cast'
    cast.input.append(uniform.name)
    cast.attr['SrcT'].type, cast.attr['DstT'].type = tf.float32.as_datatype_enum, dtype
    return [uniform, cast]


def _add_missing(head: Any, present: Set[str], saved: Any, graph: Graph) -> None:
    """Adds the nodes of the saved network that compute the shapes of the draws; freezing has left them out."""
    stored = {node.name: node for node in saved.node}
    seeds = _SEED_NODE.format('')
    waiting = [name for node in head.node for name in node.input]
    own = {node.name for node in head.node}
    while waiting:
        name = node_name(waiting.pop())
        if name not in own and name not in present and not name.startswith(seeds):
            own.add(name)
            node = head.node.add()
            node.CopyFrom(stored[name])
            if node.op == 'Shape':  # its input may be in bfloat16 now
                source = graph.get_tensor_by_name(node_name(node.input[0]) + ':0')
                node.attr['T'].type = source.dtype.as_datatype_enum
            waiting.extend(stored[name].input)


def _sample(model: InferenceGraph, head: Head, num_samples: int, keep_prob: float, seed: int) -> Any:
    """float32 [N, H, W, C + 1]: means over the samples of soft-max and entropy, one sample in memory at a time."""
    features = {name: model.graph.get_tensor_by_name(name if ':' in name else name + ':0') for name in head.features}
    kept = tf.constant(keep_prob, tf.float32)
    logits = model.logits

    def one_more(number: Any, total: Any) -> Sequence[Any]:
        inputs: Dict[str, Any] = {name: tf.identity(tensor) for name, tensor in features.items()}
        inputs[_KEEP_PROB_NODE] = tf.identity(kept)
        for draw in range(head.draws):
            inputs[_SEED_NODE.format(draw)] = tf.stack([tf.constant(seed, tf.int32), number * head.draws + draw])
        (sampled,) = tf.import_graph_def(
            head.graph_def, input_map=inputs, return_elements=[LOGITS_NODE + ':0'], name='head'
        )
        log_probabilities = tf.nn.log_softmax(sampled)
        probabilities = tf.exp(log_probabilities)
        entropy = -tf.reduce_sum(probabilities * log_probabilities, axis=-1, keepdims=True)
        return number + 1, total + tf.concat([probabilities, entropy], axis=-1)

    shape = tf.shape(logits)
    start = tf.zeros(tf.stack([shape[0], shape[1], shape[2], model.num_classes + 1]))
    _, total = tf.while_loop(
        lambda number, _: number < num_samples,
        one_more,
        [tf.constant(0), start],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, None, None, model.num_classes + 1])],
        parallel_iterations=1,
        back_prop=False,
    )
    return total / num_samples
