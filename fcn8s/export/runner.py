"""The fresh process in which an export is run again.

The parent writes lines of JSON to its standard input and reads one back for each. Arrays travel as NumPy files.
"""

import contextlib
import errno
import io
import json
import os
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from helpers.files import SPACE_REMEDIES, is_temporary_place_full, temporary_directory

# How many of a failed process's last lines a message repeats.
_LAST_LINES = 3
# Finds packages where the parent does; `-m` would look in the working directory first.
_COMMAND = 'import sys; sys.path[:] = {!r}; from fcn8s.export.runner import main; main(sys.argv[1:])'


class Runner:
    """An export running in a process of its own; a context manager.

    Attributes:
        versions: of the packages that run it there.

    Raises:
        ValueError: the export does not open there, or fails on an image.
        OSError: the folder for temporary files is full.
    """

    def __init__(self, directory: str) -> None:
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(temporary_directory('fcn8s-runner'))
            self._errors = stack.enter_context(open(os.path.join(self._folder, 'errors'), 'w+b'))
            self._process = subprocess.Popen(
                [sys.executable, '-c', _COMMAND.format(sys.path), directory],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
            stack.callback(self._end)
            self.versions: Dict[str, str] = self._read()['versions']
            self._opened = stack.pop_all()

    def run(self, images: np.ndarray, outputs: Sequence[str]) -> Dict[str, np.ndarray]:
        """Computes the outputs, by name, of uint8 [N, H, W, channels]."""
        result = os.path.join(self._folder, 'result.npz')
        self._ask(images=self._put(images), outputs=list(outputs), result=result)
        with np.load(result) as values:
            return {name: values[name] for name in outputs}

    def seconds(self, images: np.ndarray, outputs: Sequence[str]) -> float:
        """Measures how long one run takes."""
        return float(self._ask(images=self._put(images), outputs=list(outputs), result=None)['seconds'])

    def close(self) -> None:
        """Ends the process."""
        self._opened.close()

    def _end(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()
        self._process.wait()

    def __enter__(self) -> 'Runner':
        return self

    def __exit__(self, *exception: Any) -> Optional[bool]:
        return self._opened.__exit__(*exception)  # with the error, which may be about the folder for temporary files

    def _put(self, images: np.ndarray) -> str:
        path = os.path.join(self._folder, 'images.npy')
        # Into memory first: when NumPy writes to a full disk itself, its error has neither the cause nor the path.
        content = io.BytesIO()
        np.save(content, images)
        with open(path, 'wb') as file:
            file.write(content.getbuffer())
        return path

    def _ask(self, **request: Any) -> Dict[str, Any]:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # if the process has ended, its last words are read below
            self._process.stdin.write(json.dumps(request).encode() + b'\n')
            self._process.stdin.flush()
        return self._read()

    def _read(self) -> Dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            reply = json.loads(line.decode())
            if 'limit' in reply:
                raise OSError(reply['limit'], os.strerror(reply['limit']), reply['path'])
            return reply
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors='replace').strip().splitlines()
        if is_temporary_place_full():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise ValueError(
            'the export does not run in its own runtime (exit status {}): {}'.format(
                self._process.returncode, ' / '.join(said[-_LAST_LINES:]) or 'without a word'
            )
        )


def _serve(directory: str, requests: Any, replies: Any) -> None:
    from fcn8s.export.runtimes import open_runtime, read_export, versions

    export = read_export(directory)
    runtime = open_runtime(directory, export, with_cache=False)
    _reply(replies, {'versions': versions(export['format'])})
    for line in requests:
        request = json.loads(line)
        images = np.load(request['images'])
        start = time.perf_counter()
        values = runtime.run(images, request['outputs'])
        seconds = time.perf_counter() - start
        if request['result'] is not None:
            np.savez(request['result'], **values)
        _reply(replies, {'seconds': seconds})


def _reply(replies: Any, message: Dict[str, Any]) -> None:
    replies.write(json.dumps(message).encode() + b'\n')
    replies.flush()


def main(arguments: List[str]) -> None:
    """Serves the export in the directory that the first argument names, until standard input ends."""
    # What libraries print goes to standard error, so that only replies go to standard output.
    with os.fdopen(os.dup(1), 'wb') as replies:
        os.dup2(2, 1)
        try:
            _serve(arguments[0], sys.stdin, replies)
        except OSError as error:
            if error.errno not in SPACE_REMEDIES:
                raise
            # Without a path it is about the folder for temporary files, where results are written.
            path = error.filename if isinstance(error.filename, str) else None
            _reply(replies, {'limit': error.errno, 'path': path})
