"""The ops by which workers add up gradients and take over weights: TensorFlow's collectives, between graphs.

A step equals that of one worker with all images: sums of losses over sums of weights, never a mean of means.
"""

import errno
import os
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from fcn8s.backend import TF_VERSION, Operation, Tensor, Variable, tf
from fcn8s.distributed.cluster import split_address
from fcn8s.graph.losses import Loss
from fcn8s.settings import WIRES
from helpers.flags import check_choice

# All workers of a cluster are one group of collectives.
_GROUP = 1
# A gradient of this many numbers (4 MB) is sent by itself, as soon as it is computed. In VGG-16 that is all but a
# fiftieth of the bytes; fc6 and fc7, nine tenths of them, come first in the backward pass. Rings send pieces of this
# size: for larger ones, each copy that gRPC makes takes new memory from the system. Measured: docs/several-workers.md.
_LARGE = 2**20


def check_wire(wire: str) -> None:
    """Raises ValueError unless this TensorFlow can add up gradients of that type."""
    check_choice('wire', wire, WIRES)
    if wire == 'bfloat16' and TF_VERSION < (2, 0):
        raise ValueError(
            "wire is 'bfloat16', which the collectives of TensorFlow 1.15 do not take. Take 'float32', or TensorFlow "
            '2.16 or newer.'
        )


class ShareInputs(NamedTuple):
    """What a worker feeds beside its share of a batch; float32.

    is_real: [], 0 if the share is empty and a stand-in is fed.
    images: [], the number of images in the share. stops: [], 1 if this worker was asked to stop.
    carried: [3], sums over the batches that were accumulated for this step: weight x value, weight, images.
    """

    is_real: Tensor
    images: Tensor
    stops: Tensor
    carried: Tensor


class Exchange:
    """Adds up the gradients of all workers before they are applied, for `build_train_op`.

    Large gradients are sent while the backward pass still runs, in the same order everywhere, each as a buffer of its
    own. All others follow in one fused buffer, together with the loss.

    Args:
        next_key: returns an unused key for a collective, the same in all workers.

    Attributes:
        inputs: the tensors to feed.
        totals: scalars of the step over all workers: 'value' and 'weight' of the loss, 'images', 'stops'.
    """

    def __init__(self, num_workers: int, next_key: Callable[[], int], wire: str) -> None:
        check_wire(wire)
        self.num_workers, self.next_key, self.wire = num_workers, next_key, wire
        self._last: Optional[Tensor] = None
        with tf.name_scope('share'):
            self.inputs = ShareInputs(
                tf.placeholder_with_default(1.0, [], 'is_real'),
                tf.placeholder_with_default(0.0, [], 'images'),
                tf.placeholder_with_default(0.0, [], 'stops'),
                tf.placeholder_with_default([0.0, 0.0, 0.0], [3], 'carried'),
            )
        self.totals: Dict[str, Tensor] = {}

    def of_share(self, loss: Loss) -> Loss:
        """Returns the loss of this worker's share, with value and weight 0 if the share is empty."""
        is_real = self.inputs.is_real
        value = tf.where_v2(is_real > 0, loss.value, tf.zeros([], loss.value.dtype))
        return Loss(value, None if loss.weight is None else loss.weight * is_real)

    def add_up(self, sums: Sequence[Tensor], loss: Loss) -> List[Tensor]:
        """Returns the gradient of the batches of all workers.

        sums: this worker's sums of weight x gradient over its batches, or of the gradients if the loss has no weight.
        """
        weight = tf.ones([]) if loss.weight is None else loss.weight
        numbers = tf.concat([[loss.value * weight, weight, self.inputs.images], [self.inputs.stops]], axis=0)
        numbers += tf.concat([self.inputs.carried, [0.0]], axis=0)
        sizes = [gradient.shape.num_elements() for gradient in sums]
        # Backwards: the last layer's gradient is computed first.
        large = [place for place in reversed(range(len(sums))) if sizes[place] >= _LARGE]
        reduced = {place: self._reduce_gradient(sums[place]) for place in large}
        small = [place for place in range(len(sums)) if place not in reduced]
        flat = [tf.reshape(sums[place], [-1]) for place in small]
        numbers, *others = self._reduce_fused(numbers, flat, [sizes[place] for place in small])
        reduced.update(zip(small, others))
        return self._normalised(numbers, [reduced[place] for place in range(len(sums))], sums, loss)

    def _reduce_fused(self, numbers: Tensor, gradients: List[Tensor], sizes: List[int]) -> List[Tensor]:
        if self.wire == 'float32':
            return tf.split(self._reduce(tf.concat([numbers] + gradients, axis=0)), [4] + sizes)
        if not gradients:
            return [self._reduce(numbers)]
        # The numbers count pixels and must not lose precision.
        return [self._reduce(numbers)] + tf.split(self._reduce_gradient(tf.concat(gradients, axis=0)), sizes)

    def _reduce_gradient(self, gradient: Tensor) -> Tensor:
        if self.wire == 'float32':
            return self._reduce(gradient)
        return tf.cast(self._reduce(tf.cast(gradient, tf.bfloat16)), tf.float32)

    def _normalised(
        self, numbers: Tensor, reduced: Sequence[Tensor], sums: Sequence[Tensor], loss: Loss
    ) -> List[Tensor]:
        weighted_value, weight, images, stops = tf.unstack(numbers)
        per_weight = tf.ones([]) if loss.weight is None else tf.div_no_nan(1.0, weight)
        self.totals = {'value': weighted_value * per_weight, 'images': images, 'stops': stops}
        if loss.weight is not None:
            self.totals['weight'] = weight
        return [tf.reshape(gradient * per_weight, total.shape) for gradient, total in zip(reduced, sums)]

    def _reduce(self, tensor: Tensor) -> Tensor:
        """Adds the op that sums a buffer over all workers. It waits for the one before, which prevents deadlocks."""
        with tf.control_dependencies([] if self._last is None else [self._last]):
            self._last = tf.raw_ops.CollectiveReduce(
                input=tensor,
                group_size=self.num_workers,
                group_key=_GROUP,
                instance_key=self.next_key(),
                merge_op='Add',
                final_op='Id',
                # Enough rings for pieces of _LARGE numbers: each worker sends one of a ring's N pieces at a time.
                subdiv_offsets=[0] * max(1, tensor.shape.num_elements() // (self.num_workers * _LARGE)),
            )
        return self._last


def take_over(variables: Sequence[Variable], num_workers: int, is_first: bool, first_key: int) -> Operation:
    """Adds the op that copies all variables from worker 0; uses a key for each, from `first_key` on."""
    updates: List[Any] = []
    before: Optional[Tensor] = None
    with tf.name_scope('take_over'):
        for key, variable in enumerate(variables, first_key):
            shape, dtype = variable.shape.as_list(), variable.dtype.base_dtype
            group = dict(group_size=num_workers, group_key=_GROUP, instance_key=key, shape=shape)
            with tf.control_dependencies([] if before is None else [before]):
                if is_first:
                    before = tf.raw_ops.CollectiveBcastSend(input=tf.identity(variable), **group)
                else:
                    before = tf.raw_ops.CollectiveBcastRecv(T=dtype, **group)
                    updates.append(tf.assign(variable, before).op)
    return tf.group(*(updates + [before.op] if before is not None else updates), name='take_over_all')


def server(addresses: Tuple[str, ...], worker: int, config: Any) -> Any:
    """Starts TensorFlow's server of this worker; it runs until the process ends.

    Raises OSError if another process has taken its port since it was found free.
    """
    _pass_by_proxies(addresses)
    cluster = tf.train.ClusterSpec({'worker': list(addresses)}).as_cluster_def()
    definition = tf.train.ServerDef(cluster=cluster, job_name='worker', task_index=worker, protocol='grpc')
    definition.default_session_config.CopyFrom(cluster_config(config, worker))
    try:
        return tf.train.Server(definition)
    except tf.errors.OpError as error:
        raise OSError(
            errno.EADDRINUSE,
            'worker {} cannot listen at {} ({}). Another training seems to begin with the same addresses: give each '
            'ports of its own.'.format(worker, addresses[worker], str(error.message).splitlines()[0]),
        ) from error


def _pass_by_proxies(addresses: Sequence[str]) -> None:
    """Makes gRPC connect to the workers directly: with `http_proxy` set it would ask a proxy that does not know them.

    A proxy that was set for gRPC alone stays (https://github.com/grpc/grpc/blob/master/doc/environment_variables.md;
    the gRPC of TensorFlow 1.15 only knows `no_proxy`).
    """
    if 'grpc_proxy' not in os.environ:
        hosts = [split_address(address)[0] for address in addresses]
        known = [name for name in os.environ.get('no_proxy', '').split(',') if name]
        os.environ['no_proxy'] = ','.join(dict.fromkeys(known + ['localhost'] + hosts))


def cluster_config(config: Any, worker: int) -> Any:
    """Returns a copy of a session's configuration, changed so that it only sees the devices of its worker."""
    changed = tf.ConfigProto()
    changed.CopyFrom(config)
    changed.experimental.collective_group_leader = '/job:worker/replica:0/task:0'
    del changed.device_filters[:]
    changed.device_filters.append('/job:worker/task:{}'.format(worker))
    return changed
