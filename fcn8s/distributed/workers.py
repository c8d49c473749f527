"""The workers of a cluster as networks see them: joined once in a process, then used by each network."""

import hashlib
import os
from typing import Any, Dict, NamedTuple, Optional, Sequence, Union

import fcn8s
from fcn8s.distributed.cluster import Cluster, cluster_from_environment
from fcn8s.distributed.launching import visible_gpus
from fcn8s.distributed.meeting import meet, unreachable
from fcn8s.distributed.watch import TIMEOUT, Watch
from helpers.files import to_json
from helpers.flags import is_real

# TensorFlow's names for devices that compute on CPU cores.
_CPUS = ('CPU', 'XLA_CPU')
# Seconds for one connection to the server of another worker.
_TO_CONNECT = 10.0
_joined: Dict[Cluster, 'Workers'] = {}


class DistributedSettings(NamedTuple):
    """How several workers train.

    cluster: None for what the environment says (TF_CONFIG, SLURM, Kubernetes).
    timeout: seconds after which a worker that is silent, behind or never came is lost; several times as many if it
        shows signs of work while it prepares, saves or runs a callback (docs/several-workers.md). Of networks of one
        process, that of the newest counts.
    wire: the dtype in which gradients are sent: 'float32', or 'bfloat16' for half the bytes.
    """

    cluster: Optional[Cluster] = None
    timeout: float = TIMEOUT
    wire: str = 'float32'


def cluster_settings(distributed: Union[None, bool, DistributedSettings]) -> Optional[DistributedSettings]:
    """Returns the settings with their cluster; None for a single process.

    distributed: None for what the environment says, False for a single process, or settings.

    Raises:
        ValueError: for an invalid value, or an environment that contradicts itself.
    """
    if distributed is False:
        return None
    if distributed is not None and not isinstance(distributed, DistributedSettings):
        raise ValueError(
            'distributed is {!r}; it has to be None (as the environment says), False (a single process) or '
            'DistributedSettings.'.format(distributed)
        )
    settings = distributed or DistributedSettings()
    cluster = settings.cluster or cluster_from_environment(os.environ)
    check_timeout(settings.timeout)
    from fcn8s.distributed.exchange import check_wire

    check_wire(settings.wire)
    if cluster is None:
        return None
    return settings._replace(cluster=cluster)


def check_timeout(timeout: float, name: str = 'timeout') -> None:
    """Raises ValueError unless it is a number of seconds of at least 1. name: what messages call it."""
    if not is_real(timeout) or not 1 <= timeout < float('inf'):
        raise ValueError('{} is {!r}; it has to be a number of seconds of at least 1.'.format(name, timeout))


class Workers:
    """This process among the workers.

    Attributes:
        cluster, watch: the cluster, and the watch over the others.
        is_first: whether this one writes, prints and saves.
        wire: the dtype in which gradients are sent.
    """

    def __init__(self, cluster: Cluster, watch: Watch, wire: str) -> None:
        self.cluster, self.watch, self.wire = cluster, watch, wire
        self.is_first, self.size, self.number = cluster.is_first, cluster.size, cluster.worker
        self._server: Any = None
        self._next_key = 100

    def keys(self, count: int) -> int:
        """Returns the first of `count` new keys for collectives; all workers take them in the same order."""
        first, self._next_key = self._next_key, self._next_key + count
        return first

    def session(self, graph: Any, config: Any) -> Any:
        """Opens a session on TensorFlow's server of this worker."""
        from fcn8s.backend import tf
        from fcn8s.distributed.exchange import cluster_config, server

        num_gpus = len(visible_gpus())
        if config.gpu_options.visible_device_list == '' and self.cluster.local_size > 1 and num_gpus > 1:
            config.gpu_options.visible_device_list = str(self.cluster.local_index % num_gpus)
        if self._server is None:
            self._server = server(self.cluster.addresses, self.number, config)
            self.watch.gather(None)  # all servers are up before one is called
            self.check_all_are_reached()
        session = tf.Session(self._server.target, graph=graph, config=cluster_config(config, self.number))
        self.watch.standing.computes_unseen = any(device.device_type not in _CPUS for device in session.list_devices())
        return session

    def check_all_are_reached(self) -> None:
        """Raises ValueError, in all workers, if one cannot connect to the server of another."""
        limit = min(_TO_CONNECT, self.watch.timeout / 4)
        for problem in self.watch.gather(unreachable(self.cluster, limit)):
            if problem is not None:
                raise ValueError(problem)

    def build_take_over(self, variables: Sequence[Any]) -> Any:
        """Adds to the default graph the op that copies all variables from worker 0."""
        from fcn8s.distributed.exchange import take_over

        return take_over(variables, self.size, self.is_first, self.keys(len(variables)))

    def take_over(self, session: Any, op: Any) -> None:
        """Runs the op of `build_take_over`, in all workers."""
        self.watch.arrive()
        self.watch.guarded(lambda: session.run(op))


def join(settings: Optional[DistributedSettings], description: Dict[str, Any]) -> Optional[Workers]:
    """Meets the other workers, if there are any, and compares what they were started with.

    description: settings of the network, by their names in messages.

    Raises:
        ValueError: a port is taken, or a worker differs; the message says in what.
        WorkerLostError: a worker did not come.
    """
    if settings is None or settings.cluster is None:
        return None
    if settings.cluster not in _joined:
        watch = meet(settings.cluster, settings.timeout)
        _joined[settings.cluster] = Workers(settings.cluster, watch, settings.wire)
    workers = _joined[settings.cluster]
    workers.watch.compare(to_json(dict(description, **_versions(), wire=settings.wire, timeout=settings.timeout)))
    workers.wire = settings.wire
    workers.watch.take_timeout(settings.timeout)
    return workers


def _versions() -> Dict[str, str]:
    from fcn8s.backend import tf

    return {'TensorFlow': tf.__version__, 'fcn8s': fcn8s.__version__, 'code': _code_digest()}


def _code_digest() -> str:
    """The first 16 hexadecimal digits of the SHA-256 of this library's source files, in order."""
    digest = hashlib.sha256()
    root = os.path.dirname(os.path.dirname(os.path.abspath(fcn8s.__file__)))
    for package in ('data_generator', 'fcn8s', 'helpers'):
        for directory, folders, names in os.walk(os.path.join(root, package)):
            folders.sort()
            for name in sorted(names):
                if name.endswith('.py'):
                    digest.update(os.path.relpath(os.path.join(directory, name), root).encode())
                    with open(os.path.join(directory, name), 'rb') as file:
                        digest.update(file.read())
    return digest.hexdigest()[:16]
