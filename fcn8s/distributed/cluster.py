"""Which workers there are, as the environment says: TF_CONFIG, else SLURM, else a Kubernetes Indexed Job.

Nothing here loads TensorFlow or opens a connection.

TF_CONFIG: https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable
SLURM: the variables that `srun` sets for each task, https://slurm.schedmd.com/srun.html#SECTION_OUTPUT-ENVIRONMENT-VARIABLES
Kubernetes: https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode
"""

import contextlib
import json
import re
import socket
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

TF_CONFIG = 'TF_CONFIG'
# Variables that a Kubernetes manifest or a SLURM script sets, besides those that Kubernetes and SLURM set themselves.
WORKERS_VARIABLE = 'FCN8S_WORKERS'
SERVICE_VARIABLE = 'FCN8S_SERVICE'
PORT_VARIABLE = 'FCN8S_PORT'
KUBERNETES_PORT = 2222
# Ports of SLURM jobs: two jobs on one node have different job numbers, and so usually different ports.
_SLURM_FIRST_PORT = 20000
_SLURM_PORTS = 10000
MAX_WORKERS = 4096

_RANGE = re.compile(r'^(\d+)(?:-(\d+))?$')
_NODES = re.compile(r'^([^\[\]]*)(?:\[([^\[\]]*)\])?([^\[\]]*)$')
_TASKS = re.compile(r'^(\d+)(?:\(x(\d+)\))?$')


class Cluster(NamedTuple):
    """The workers of one training, each a process of its own.

    addresses: 'host:port' of each, the same list for all; the first one writes, prints and saves.
    worker: which of them this process is.
    source: where this was read from, for messages: 'TF_CONFIG', 'SLURM' or 'Kubernetes'.
    """

    addresses: Tuple[str, ...]
    worker: int
    source: str = TF_CONFIG

    @property
    def size(self) -> int:
        """The number of workers."""
        return len(self.addresses)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes, prints and saves."""
        return self.worker == 0

    @property
    def local_index(self) -> int:
        """The number of this worker among those on its host: which of the host's devices it takes."""
        host = _host(self.addresses[self.worker])
        return sum(_host(address) == host for address in self.addresses[: self.worker])

    @property
    def local_size(self) -> int:
        """The number of workers on the host of this one."""
        host = _host(self.addresses[self.worker])
        return sum(_host(address) == host for address in self.addresses)

    def name(self, index: int) -> str:
        """Names a worker for messages: 'worker 2 (host:port)'."""
        return 'worker {} ({})'.format(index, self.addresses[index])


def cluster_from_environment(environ: Mapping[str, str]) -> Optional[Cluster]:
    """Returns the cluster that the environment describes; None if it names none, or only one worker.

    Args:
        environ: such as os.environ.

    Raises:
        ValueError: where a variable contradicts itself or another; names it and says what it has to be.
    """
    for read in (_from_tf_config, _from_slurm, _from_kubernetes):
        cluster = read(environ)
        if cluster is not None:
            return cluster if cluster.size > 1 else None
    return None


def tf_config(addresses: Tuple[str, ...], index: int) -> str:
    """Returns the TF_CONFIG of one worker."""
    return json.dumps({'cluster': {'worker': list(addresses)}, 'task': {'type': 'worker', 'index': index}})


def free_addresses(count: int) -> Tuple[str, ...]:
    """Returns addresses of this machine whose ports are free at the moment."""
    with contextlib.ExitStack() as stack:  # all are open at once, so that the ports differ
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(('127.0.0.1', 0))
        return tuple('127.0.0.1:{}'.format(opened.getsockname()[1]) for opened in sockets)


def split_address(address: str) -> Tuple[str, int]:
    """Returns host and port of 'host:port' or '[::1]:port'."""
    host, _, port = address.rpartition(':')
    return host.strip('[]'), int(port)


def _host(address: str) -> str:
    return address.rpartition(':')[0]


# TF_CONFIG


def _from_tf_config(environ: Mapping[str, str]) -> Optional[Cluster]:
    text = environ.get(TF_CONFIG, '')
    if not text.strip():
        return None
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _tf_config_error(text, 'it has to be JSON ({})'.format(error)) from None
    if not isinstance(config, dict):
        raise _tf_config_error(text, 'it has to be a JSON table with "cluster" and "task"')
    jobs = config.get('cluster')
    if jobs is None or jobs == {}:
        return None  # written by a service that runs one process
    addresses, starts = _addresses(text, jobs)
    return Cluster(addresses, _task_index(text, config.get('task'), jobs, starts), TF_CONFIG)


def _addresses(text: str, jobs: Any) -> Tuple[Tuple[str, ...], Dict[str, int]]:
    """The addresses of all workers, and the number of each job's first worker; a chief is the first of all."""
    if not isinstance(jobs, dict) or not set(jobs) <= {'chief', 'worker', 'evaluator'} or not set(jobs) - {'evaluator'}:
        names = sorted(map(str, jobs)) if isinstance(jobs, dict) else jobs
        raise _tf_config_error(
            text,
            '"cluster" has {}; it has to have "worker", with the address of each (parameter servers are not used '
            'here)'.format(names),
        )
    addresses: List[str] = []
    starts: Dict[str, int] = {}
    for job in ('chief', 'worker'):
        starts[job] = len(addresses)
        listed = jobs.get(job, [])
        if not isinstance(listed, list) or not all(_is_address(address) for address in listed):
            raise _tf_config_error(text, '"{}" is {!r}; it has to be a list of "host:port"'.format(job, listed))
        addresses += listed
    _check_addresses(addresses, lambda message: _tf_config_error(text, message))
    return tuple(addresses), starts


def _check_addresses(addresses: List[str], error: Any) -> None:
    if not 1 <= len(addresses) <= MAX_WORKERS:
        raise error('it has {} workers; there have to be 1 to {}'.format(len(addresses), MAX_WORKERS))
    twice = sorted({address for address in addresses if addresses.count(address) > 1})
    if twice:
        raise error('the address {} is there twice; each worker needs its own'.format(twice[0]))


def _is_address(address: Any) -> bool:
    if not isinstance(address, str):
        return False
    host, colon, port = address.rpartition(':')
    return bool(host) and bool(colon) and port.isdecimal() and 0 < int(port) < 65536


def _task_index(text: str, task: Any, jobs: Dict[str, Any], starts: Dict[str, int]) -> int:
    if not isinstance(task, dict) or 'type' not in task or 'index' not in task:
        raise _tf_config_error(
            text, 'it has to say which worker this process is: "task": {"type": "worker", "index": 0}'
        )
    job, index = task['type'], task['index']
    if job not in ('chief', 'worker') or job not in jobs:
        raise _tf_config_error(text, 'the type of "task" is {!r}; it has to be "worker"'.format(job))
    if isinstance(index, str) and index.isdecimal():  # as some launchers write it
        index = int(index)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(jobs[job]):
        raise _tf_config_error(
            text, 'the index of "task" is {!r}; it has to be from 0 to {}'.format(index, len(jobs[job]) - 1)
        )
    return starts[job] + index


def _tf_config_error(text: str, rule: str) -> ValueError:
    shown = text if len(text) <= 200 else text[:200] + '...'
    return ValueError('{} is {!r}: {}. Correct it, unset it, or pass distributed=False.'.format(TF_CONFIG, shown, rule))


# SLURM


def _from_slurm(environ: Mapping[str, str]) -> Optional[Cluster]:
    """Reads what `srun` sets. The script of `sbatch` itself, which is one process, has no SLURM_STEP_NUM_TASKS."""
    if environ.get('SLURM_STEP_NUM_TASKS') in (None, '', '1'):
        return None
    size = _number(environ, 'SLURM_STEP_NUM_TASKS', 1, MAX_WORKERS)
    index = _number(environ, 'SLURM_PROCID', 0, size - 1)
    nodes = _expand_nodes(_text(environ, 'SLURM_STEP_NODELIST'))
    counts = _expand_tasks(_text(environ, 'SLURM_STEP_TASKS_PER_NODE'))
    if len(counts) != len(nodes) or sum(counts) != size:
        raise ValueError(
            'SLURM_STEP_TASKS_PER_NODE is {!r}, for the {} nodes of SLURM_STEP_NODELIST={!r} and the {} tasks of '
            'SLURM_STEP_NUM_TASKS; the three have to agree. Set {} instead.'.format(
                environ['SLURM_STEP_TASKS_PER_NODE'], len(nodes), environ['SLURM_STEP_NODELIST'], size, TF_CONFIG
            )
        )
    port = _slurm_port(environ, max(counts))
    addresses = tuple(
        '{}:{}'.format(node, port + local) for node, count in zip(nodes, counts) for local in range(count)
    )
    own = environ.get('SLURMD_NODENAME')
    if own and own != _host(addresses[index]):
        raise ValueError(
            'SLURM runs task {} on {}, and the workers of a training are numbered node by node, which would be {}. '
            'Start it with srun --distribution=block.'.format(index, own, _host(addresses[index]))
        )
    return Cluster(addresses, index, 'SLURM')


def _slurm_port(environ: Mapping[str, str], most: int) -> int:
    """The first port of each node: as set, as reserved by `srun --resv-ports`, or derived from the job number."""
    if environ.get(PORT_VARIABLE):
        return _number(environ, PORT_VARIABLE, 1, 65535)
    reserved = re.match(r'^(\d+)-(\d+)$', environ.get('SLURM_STEP_RESV_PORTS', ''))
    if reserved and int(reserved.group(2)) - int(reserved.group(1)) + 1 >= most:
        return int(reserved.group(1))
    job = _number(environ, 'SLURM_JOB_ID', 0, 2**63)
    return _SLURM_FIRST_PORT + job * 64 % _SLURM_PORTS


def _expand_nodes(expression: str) -> List[str]:
    """Lists the nodes of 'gpu[01-03,07],login1': gpu01, gpu02, gpu03, gpu07, login1."""
    nodes: List[str] = []
    for part in re.split(r',(?![^\[]*\])', expression):
        match = _NODES.match(part)
        if match is None or not part:
            raise _nodes_error(expression)
        if match.group(2) is None:
            nodes.append(part)
            continue
        for item in match.group(2).split(','):
            nodes += [match.group(1) + number + match.group(3) for number in _numbers(item, expression)]
    return nodes


def _numbers(item: str, expression: str) -> List[str]:
    """The numbers of '08-11', padded as they are written."""
    match = _RANGE.match(item)
    if match is None:
        raise _nodes_error(expression)
    first, last = int(match.group(1)), int(match.group(2) or match.group(1))
    if not first <= last < first + MAX_WORKERS:
        raise _nodes_error(expression)
    return [str(number).zfill(len(match.group(1))) for number in range(first, last + 1)]


def _nodes_error(expression: str) -> ValueError:
    return ValueError(
        'SLURM_STEP_NODELIST is {!r}; it has to be nodes like gpu[01-03,07],login1. Set {} instead.'.format(
            expression[:200], TF_CONFIG
        )
    )


def _expand_tasks(expression: str) -> List[int]:
    """Lists the tasks of '2(x3),1': 2, 2, 2, 1."""
    counts: List[int] = []
    for part in expression.split(','):
        match = _TASKS.match(part)
        times = int(match.group(2) or 1) if match else 0
        if match is None or not 1 <= times <= MAX_WORKERS or int(match.group(1)) > MAX_WORKERS:
            raise ValueError(
                'SLURM_STEP_TASKS_PER_NODE is {!r}; it has to be numbers like 2(x3),1. Set {} instead.'.format(
                    expression[:200], TF_CONFIG
                )
            )
        counts += [int(match.group(1))] * times
    return counts


# Kubernetes


def _from_kubernetes(environ: Mapping[str, str]) -> Optional[Cluster]:
    """Reads what an Indexed Job sets, and what its manifest has to set: the number of pods and the headless service.

    The pods of a job without the number are independent.
    """
    if not environ.get('JOB_COMPLETION_INDEX') or not environ.get(WORKERS_VARIABLE):
        return None
    size = _number(environ, WORKERS_VARIABLE, 1, MAX_WORKERS)
    index = _number(environ, 'JOB_COMPLETION_INDEX', 0, size - 1)
    service, host = _text(environ, SERVICE_VARIABLE), _text(environ, 'HOSTNAME')
    job, _, number = host.rpartition('-')
    if not job or number != str(index):
        raise ValueError(
            'HOSTNAME is {!r}; in pod {} of an Indexed Job it has to be JOB-{}. Give the pod template '
            'subdomain: {}, and no hostname of its own.'.format(host, index, index, service)
        )
    port = _number(environ, PORT_VARIABLE, 1, 65535) if environ.get(PORT_VARIABLE) else KUBERNETES_PORT
    addresses = tuple('{}-{}.{}:{}'.format(job, pod, service, port) for pod in range(size))
    return Cluster(addresses, index, 'Kubernetes')


def _text(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise ValueError(
            '{} is not set, and the other variables of the cluster are. Set it, or {} instead.'.format(name, TF_CONFIG)
        )
    return environ[name]


def _number(environ: Mapping[str, str], name: str, low: int, high: int) -> int:
    text = _text(environ, name)
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ValueError(
            '{} is {!r}; it has to be a whole number from {} to {}. Correct it, or set {} instead.'.format(
                name, text[:50], low, high, TF_CONFIG
            )
        )
    return int(text)
