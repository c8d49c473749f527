"""Messages between workers: lines of JSON on a connection to each. Nothing here loads TensorFlow."""

import contextlib
import json
import queue
import socket
import threading
import time
from typing import Any, Callable, Dict, Optional, Tuple

_LONGEST_LINE = 2**26
# How long the last messages of a process may take, in seconds.
_FAREWELL = 1.0

# A socket, and the file that reads its lines.
Connection = Tuple[socket.socket, Any]


def to_line(message: Dict[str, Any]) -> bytes:
    """Returns a message as it is sent."""
    return json.dumps(message).encode() + b'\n'


class Messages:
    """The connections of this worker. Threads send and receive, so a worker that reads nothing blocks nobody."""

    def __init__(self) -> None:
        self._connections: Dict[int, socket.socket] = {}
        self._outboxes: Dict[int, 'queue.Queue[Optional[bytes]]'] = {}

    def start(
        self,
        connections: Dict[int, Connection],
        take: Callable[[int, Dict[str, Any]], None],
        leave: Callable[[int, str], None],
    ) -> None:
        """Begins to listen to the others and to send.

        take: called with a worker and its message. leave: called with a worker that is gone, and how it went; a worker
        whose message `take` cannot read counts as gone. Both are called in threads.
        """
        self._connections = {worker: connection for worker, (connection, _) in connections.items()}
        self._outboxes = {worker: queue.Queue() for worker in connections}
        for worker in connections:
            threading.Thread(target=self._deliver, args=(worker,), daemon=True).start()
        for worker, (_, lines) in connections.items():
            threading.Thread(target=self._listen, args=(worker, lines, take, leave), daemon=True).start()

    @staticmethod
    def _listen(
        worker: int, lines: Any, take: Callable[[int, Dict[str, Any]], None], leave: Callable[[int, str], None]
    ) -> None:
        how = 'is gone (its connection closed)'
        try:
            for line in iter(lambda: lines.readline(_LONGEST_LINE), b''):
                take(worker, json.loads(line.decode()))
        except OSError as error:
            how = 'is gone ({})'.format(error)
        except (ValueError, KeyError, TypeError) as error:
            how = 'sends what no worker sends: another program may have its port ({})'.format(error)
        leave(worker, how)

    def _deliver(self, worker: int) -> None:
        outbox = self._outboxes[worker]
        for line in iter(outbox.get, None):
            with contextlib.suppress(OSError):  # it is gone; the thread that listens to it reports that
                self._connections[worker].sendall(line)
            outbox.task_done()

    def send(self, worker: int, message: Dict[str, Any]) -> None:
        """Queues a message to one worker."""
        self._outboxes[worker].put(to_line(message))

    def send_all(self, message: Dict[str, Any]) -> None:
        """Queues a message to every worker that this one is connected with."""
        for worker in self._connections:
            self.send(worker, message)

    def wait_until_sent(self) -> None:
        """Waits until the queued messages are on their way, but not long for workers that read nothing.

        A process that ends by os._exit, as those of `multiprocessing` do, does not run its atexit functions.
        """
        limit = time.monotonic() + _FAREWELL
        for outbox in self._outboxes.values():
            with outbox.all_tasks_done:
                while outbox.unfinished_tasks and outbox.all_tasks_done.wait(limit - time.monotonic()):
                    pass

    def close(self) -> None:
        """Closes the connections; what was not sent is lost."""
        for outbox in self._outboxes.values():
            outbox.put(None)
        for connection in self._connections.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
