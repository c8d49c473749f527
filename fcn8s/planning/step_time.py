"""How long a training step takes, by measurement: a few steps of the real network run here for some seconds, at growing
sizes.
"""

import contextlib
import time
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy as np

from fcn8s.backend import tf
from fcn8s.graph.decoder import build_decoder_to_train
from fcn8s.graph.encoder import as_trained
from fcn8s.graph.losses import build_loss, l2_penalty, sparse_labels
from fcn8s.graph.update_rules import LossScaling, build_train_op, zeros_to_keep
from fcn8s.graph.weight_average import build_weight_average
from fcn8s.planning.memory import CROP_MULTIPLE, PlanRequest, check_request
from fcn8s.precision import needs_loss_scaling, session_config
from fcn8s.settings import new_model_settings
from fcn8s.vgg16.graph import build_encoder
from fcn8s.vgg16.weights.source import UNIT_VARIANCE_BGR

PROBE_SECONDS = 20.0
# Sides of the probes relative to the planned size; the last one is the planned size itself.
PROBE_SCALES = (0.25, 0.5, 1.0)


class _Probe:
    """The requested network in a graph and session of its own, with zero weights: values do not change the time."""

    def __init__(self, request: PlanRequest) -> None:
        self.request = request
        self.graph = tf.Graph()
        with self.graph.as_default():
            self._build_encoder()
            weights = tf.global_variables()
            self._build_training()
            initial = [tf.assign(variable, zeros_to_keep(variable.shape.as_list())).op for variable in weights]
            initial += [variable.initializer for variable in tf.global_variables()[len(weights) :]]
            self.session = tf.Session(graph=self.graph, config=session_config(request.precision))
        try:
            self.session.run(initial)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Frees the session and the memory of the weights."""
        self.session.close()

    def _build_encoder(self) -> None:
        with tf.Graph().as_default():
            build_encoder(self.request.width_divisor, UNIT_VARIANCE_BGR, head=self.request.head)
            meta_graph = tf.train.export_meta_graph()
        tf.train.import_meta_graph(as_trained(meta_graph, self.request.precision))

    def _build_training(self) -> None:
        request = self.request
        settings = new_model_settings(request.num_classes, variant=request.variant, upsampling=request.upsampling)
        pool3, pool4, fc7, self.images = (
            self.graph.get_tensor_by_name(name + ':0')
            for name in ('layer3_out', 'layer4_out', 'layer7_out', 'image_input')
        )
        decoder = build_decoder_to_train(pool3, pool4, fc7, self.images, settings)
        self.labels = tf.placeholder(tf.uint8)
        loss = build_loss(decoder.logits, *sparse_labels(self.labels, settings.label_space.ignore_id))
        step = tf.get_variable('probe_step', [], tf.int64, tf.zeros_initializer(), trainable=False, use_resource=True)
        scaling = LossScaling() if needs_loss_scaling(request.precision) else None
        self.train_ops = build_train_op(
            loss,
            l2_penalty(decoder.kernels, 0.0),
            tf.trainable_variables(),
            tf.constant(1e-9),
            step,
            request.optimizer,
            scaling,
        )
        self.step_op = self.train_ops.apply_op
        if request.optimizer.ema is not None:
            self.step_op = build_weight_average(tf.trainable_variables(), request.optimizer, self.step_op).update

    def seconds(self, batch: int, size: Tuple[int, int]) -> float:
        """Measures one optimiser step: the faster of two, after a warm-up step."""
        feed = {
            self.images: np.zeros((batch,) + size + (3,), np.float32),
            self.labels: np.zeros((batch,) + size, np.uint8),
            self.graph.get_tensor_by_name('keep_prob:0'): 0.5,
        }
        self._step(feed)
        return min(self._step(feed) for _ in range(2))

    def _step(self, feed: Any) -> float:
        times = []
        for op in [self.train_ops.accumulate_op, self.step_op]:
            start = time.perf_counter()
            if op is not None:
                self.session.run(op, feed)
            times.append(time.perf_counter() - start)
        return times[0] * (self.request.optimizer.accumulate_batches - 1) + times[1]


def probe_shapes(request: PlanRequest) -> List[Tuple[int, Tuple[int, int]]]:
    """Returns (batch, size) of the probes, growing: parts of one image, one image, the whole batch."""
    shapes = []
    for scale in PROBE_SCALES:
        height, width = (max(min(CROP_MULTIPLE, side), int(side * scale)) for side in request.size)
        shapes.append((1, (height, width)))
    shapes.append((request.batch, request.size))
    return sorted(set(shapes), key=_pixels)


def _pixels(shape: Tuple[int, Tuple[int, int]]) -> int:
    return shape[0] * shape[1][0] * shape[1][1]


def extrapolate(pixels: Sequence[int], seconds: Sequence[float], wanted: int) -> float:
    """Estimates the seconds of a step on `wanted` pixels: a line through the two largest measurements, never falling.

    A line, because part of a step (the update of the weights) does not depend on the images.
    """
    if pixels[-1] == wanted:
        return seconds[-1]
    if len(pixels) == 1:
        return seconds[0] * wanted / pixels[0]
    slope = max(0.0, (seconds[-1] - seconds[-2]) / (pixels[-1] - pixels[-2]))
    return seconds[-1] + slope * (wanted - pixels[-1])


def measure_step_seconds(
    request: PlanRequest,
    budget: float = PROBE_SECONDS,
    measure: Optional[Callable[[int, Tuple[int, int]], float]] = None,
) -> float:
    """Measures the seconds of one optimiser step on this machine as it is loaded now, without reading data.

    Real steps are run at growing sizes, at least two, until the planned one is reached or the next would exceed
    `budget` seconds.

    Args:
        measure: (batch, size) -> seconds; None runs the network here.
    """
    if measure is None:
        with contextlib.closing(_Probe(check_request(request))) as probe:
            return measure_step_seconds(request, budget, probe.seconds)
    start = time.perf_counter()
    pixels: List[int] = []
    seconds: List[float] = []
    wanted = request.batch * request.size[0] * request.size[1]
    for shape in probe_shapes(request):
        # A line needs two points. Each probe runs three steps, the first of them slower than the rest.
        if len(pixels) > 1 and time.perf_counter() - start + 4 * extrapolate(pixels, seconds, _pixels(shape)) > budget:
            break
        seconds.append(measure(*shape))
        pixels.append(_pixels(shape))
    return extrapolate(pixels, seconds, wanted)
