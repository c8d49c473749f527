"""Reading pickles as data: every class or function that a file asks for is answered by an inert stand-in, or refused.

A pickle is a program: it can name any importable function and have it called. Here each name leads to a class of this
package that only keeps its arguments, so nothing else is ever called, and a name that weights do not need is an error
(https://docs.python.org/3/library/pickle.html#restricting-globals).
"""

import pickle
from typing import IO, Any, Callable, Mapping, Optional, Tuple

from fcn8s.vgg16.weights.damage import LARGER_THAN_MEMORY, BoundedFile, damaged

StandIns = Mapping[Tuple[str, str], type]


class _RefusedError(ValueError):
    """The file asks for something that weights do not need."""


# The unpickler in C takes memory for any object number that the file names, however large.
_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]


class _Unpickler(_PythonUnpickler):
    def __init__(
        self,
        file: BoundedFile,
        path: str,
        stand_ins: StandIns,
        load_storage: Optional[Callable[[Any], Any]],
    ):
        # Python 2 wrote arrays as str; latin-1 restores their bytes one to one.
        super().__init__(file, encoding='latin1')
        self._path = path
        self._stand_ins = stand_ins
        self._load_storage = load_storage

    def find_class(self, module, name):
        if (module, name) not in self._stand_ins:
            raise _RefusedError(
                '{} asks for the Python object {}.{}, which weights have no use for: it is refused, '
                'and nothing was run. Get the file from a source that you trust. A whole network of PyTorch, if you '
                'have its program: torch.save(network.state_dict(), path)'.format(self._path, module, name)
            )
        return self._stand_ins[module, name]

    def persistent_load(self, pid):
        if self._load_storage is None:
            raise _RefusedError('{} refers to data outside itself ({!r}); that is refused.'.format(self._path, pid))
        return self._load_storage(pid)


def load_inert(
    file: IO[bytes], size: int, path: str, stand_ins: StandIns, load_storage: Optional[Callable[[Any], Any]] = None
) -> Any:
    """Reads one pickle from an open file, and leaves the file at the pickle's end.

    size: how many bytes the file has. path: its name in messages. stand_ins: (module, name) -> class of this package.
    load_storage: persistent ID -> object.

    Raises ValueError where the pickle is truncated, malformed, or asks for anything but the stand-ins.
    """
    try:
        return _Unpickler(BoundedFile(file, size), path, stand_ins, load_storage).load()
    except _RefusedError:
        raise
    except MemoryError as error:
        raise damaged(path, LARGER_THAN_MEMORY) from error
    except Exception as error:  # a malformed pickle can raise nearly anything: EOFError, IndexError, TypeError, ...
        raise damaged(path, '{}: {}'.format(type(error).__name__, error)) from error
