"""How the workers of a cluster meet.

Worker 0 listens on its address until all others have connected; then the listening socket is closed to make room for
TensorFlow's server, and the connections stay. So a cluster needs no other ports than those of its addresses. Nothing
here loads TensorFlow.
"""

import contextlib
import json
import socket
import time
from typing import Any, Dict, Iterator, Optional, Tuple

from fcn8s.distributed.cluster import PORT_VARIABLE, TF_CONFIG, Cluster, split_address
from fcn8s.distributed.messages import Connection, to_line
from fcn8s.distributed.watch import Watch, WorkerLostError


def meet(cluster: Cluster, timeout: float) -> Watch:
    """Waits until all workers are connected.

    Raises:
        ValueError: The port of this worker is taken.
        WorkerLostError: A worker did not come in time, or another cluster answers.
    """
    watch = Watch(cluster, timeout)
    limit = time.monotonic() + timeout
    with _listener(cluster) as listener:
        if cluster.is_first:
            connections = _receive_all(cluster, listener, limit)
    if not cluster.is_first:
        connections = {0: _visit(cluster, limit)}
    watch.start(connections)
    watch.gather(None)
    return watch


@contextlib.contextmanager
def _listener(cluster: Cluster) -> Iterator[socket.socket]:
    """A socket on the address of this worker: shows that the port is free, and in worker 0 receives the others."""
    port = split_address(cluster.addresses[cluster.worker])[1]
    try:
        listener = _listen(port, cluster.size)
    except OSError as error:
        raise ValueError(
            'port {} of {} is taken ({}). Give the worker another one in {}, or stop what has it.'.format(
                port,
                cluster.name(cluster.worker),
                error.strerror,
                TF_CONFIG if cluster.source == TF_CONFIG else PORT_VARIABLE,
            )
        ) from None
    with listener:
        yield listener


def _listen(port: int, backlog: int) -> socket.socket:
    """Listens on all addresses of this machine, including IPv6 if it has that, as TensorFlow's server does."""
    try:
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    except (OSError, AttributeError):  # the system has no IPv6, or Python 3.7 on Windows
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(('', port))
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


def _hello(cluster: Cluster) -> Dict[str, Any]:
    return {'fcn8s': list(cluster.addresses), 'worker': cluster.worker}


def _receive_all(cluster: Cluster, listener: socket.socket, limit: float) -> Dict[int, Connection]:
    found: Dict[int, Connection] = {}
    while len(found) < cluster.size - 1:
        listener.settimeout(max(0.01, limit - time.monotonic()))
        try:
            connection, _ = listener.accept()
        except socket.timeout:
            missing = [w for w in range(1, cluster.size) if w not in found]
            text = '{} did not come in time, at step 0. All workers stop; start them together, or give more --timeout.'
            text = text.format(', '.join(map(cluster.name, missing)))
            for connection, _ in found.values():
                _turn_away(connection, text)
            raise WorkerLostError(text) from None
        visitor = _receive(cluster, connection)
        if visitor is None:
            continue
        worker, connected = visitor
        if worker in found:  # it was restarted, or two processes claim to be this worker
            text = 'another process came as {}, too. Give each worker an index of its own.'
            _turn_away(found[worker][0], text.format(cluster.name(worker)))
        found[worker] = connected
    return found


def unreachable(cluster: Cluster, timeout: float) -> Optional[str]:
    """Says which other worker does not answer at its address, once the servers of all are up; None if all do.

    Without this, a wrong address or a firewall would only show in the first exchange, which would wait for ever.
    """
    for number, address in enumerate(cluster.addresses):
        if number != cluster.worker:
            try:
                socket.create_connection(split_address(address), timeout=timeout).close()
            except OSError as error:
                return (
                    '{} cannot connect to {}: {}. The workers exchange gradients over all addresses of {}: look at '
                    'this one, and at what a firewall lets through.'.format(
                        cluster.name(cluster.worker), cluster.name(number), error, cluster.source
                    )
                )
    return None


def _turn_away(connection: socket.socket, why: str) -> None:
    """Tells a process that has connected why the workers do not meet; it may be gone."""
    with contextlib.suppress(OSError):
        connection.sendall(to_line({'kind': 'lost', 'text': why}))


def _receive(cluster: Cluster, connection: socket.socket) -> Optional[Tuple[int, Connection]]:
    """The worker that has connected; None for anything else."""
    try:
        connection.settimeout(5)
        lines = connection.makefile('rb')
        hello = json.loads(lines.readline(2**20).decode())
        if hello['fcn8s'] == list(cluster.addresses) and 0 < hello['worker'] < cluster.size:
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return hello['worker'], (connection, lines)
        _turn_away(
            connection, '{} has another list of workers than worker 0. Give all the same.'.format(cluster.source)
        )
    except (OSError, ValueError, KeyError, TypeError):
        pass
    connection.close()
    return None


def _visit(cluster: Cluster, limit: float) -> Connection:
    """Connects to worker 0, which may start later than this one."""
    while True:
        try:
            connection = socket.create_connection(split_address(cluster.addresses[0]), timeout=2)
            break
        except OSError as error:
            if time.monotonic() > limit:
                raise WorkerLostError(
                    '{} did not come in time, at step 0 ({}). All workers stop; start them together, or give more '
                    '--timeout.'.format(cluster.name(0), error)
                ) from None
            time.sleep(0.1)
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(to_line(_hello(cluster)))
    return connection, connection.makefile('rb')
