"""Reading pickles as data: every class or function that a file asks for is answered by an inert stand-in, or refused.

A pickle is a program: it can name any importable function and have it called. Here each name leads to a class of this
package that only keeps its arguments, so nothing else is ever called, and a name that weights do not need is an error
(https://docs.python.org/3/library/pickle.html#restricting-globals).
"""

import functools
import pickle
from typing import IO, Any, Callable, Dict, List, Mapping, Optional, Tuple

from fcn8s.vgg16.weights.damage import LARGER_THAN_MEMORY, BoundedFile, damaged

StandIns = Mapping[Tuple[str, str], type]


class _RefusedError(ValueError):
    """The file asks for something that weights do not need; says what, without the file's name."""


# The unpickler in C takes memory for any object number that the file names, however large.
_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]
# The limits of NumPy 2.
_MOST_AXES, _LARGEST_SIZE = 64, 2**63 - 1
# The most parts of a tuple that is a key.
_MOST_PARTS = 64
_WAY_OUT = "Save the weights alone: torch.save(checkpoint['state_dict'], path)"
# Opcode -> which objects on the stack become keys of a dict or elements of a set, and so are hashed.
_HASHED = {
    pickle.SETITEM: slice(-2, -1),
    pickle.SETITEMS: slice(None, None, 2),
    pickle.DICT: slice(None, None, 2),
    pickle.ADDITEMS: slice(None),
    pickle.FROZENSET: slice(None),
}
# Opcodes of calls, each of which copies its arguments, and the most arguments: a path is called with its parts.
_CALLS = (pickle.REDUCE, pickle.NEWOBJ)
_MOST_ARGUMENTS = 256
# Opcodes that weights have no use for: NEWOBJ_EX calls, BYTEARRAY8 takes memory before it reads.
_REFUSED = {pickle.NEWOBJ_EX[0]: 'an object made with named arguments', 0x96: 'a bytearray'}


def _after(check: Callable[[List[Any]], None], load: Callable[[Any], None]) -> Callable[[Any], None]:
    def checked(unpickler: Any) -> None:
        check(unpickler.stack)
        load(unpickler)

    return checked


def _check_hashed(places: slice, stack: List[Any]) -> None:
    for key in stack[places]:
        checked_key(key)


def _check_call(stack: List[Any]) -> None:
    if len(stack[-1]) > _MOST_ARGUMENTS:
        raise ValueError('a call has {} arguments'.format(len(stack[-1])))


def _refuse(what: str, _: Any) -> None:
    raise _RefusedError('holds {}, which weights have no use for. {}'.format(what, _WAY_OUT))


def _opcodes() -> Dict[int, Callable[[Any], None]]:
    """What each opcode does, with checks of those that hash or copy."""
    loads = dict(_PythonUnpickler.dispatch)
    loads.update({code: functools.partial(_refuse, what) for code, what in _REFUSED.items()})
    for opcode, places in _HASHED.items():
        loads[opcode[0]] = _after(functools.partial(_check_hashed, places), loads[opcode[0]])
    for opcode in _CALLS:
        loads[opcode[0]] = _after(_check_call, loads[opcode[0]])
    return loads


class _Unpickler(_PythonUnpickler):
    dispatch = _opcodes()

    def __init__(
        self,
        file: BoundedFile,
        stand_ins: StandIns,
        load_storage: Optional[Callable[[Any], Any]],
    ):
        # Python 2 wrote arrays as str; latin-1 restores their bytes one to one.
        super().__init__(file, encoding='latin1')
        self._stand_ins = stand_ins
        self._load_storage = load_storage

    def find_class(self, module, name):
        if (module, name) not in self._stand_ins:
            raise _RefusedError(
                'asks for the Python object {}.{}, which weights have no use for: it is refused, '
                'and nothing was run. Get the file from a source that you trust. A whole network of PyTorch, if you '
                'have its program: torch.save(network.state_dict(), path)'.format(module, name)
            )
        return self._stand_ins[module, name]

    def persistent_load(self, pid):
        if self._load_storage is None:
            raise _RefusedError('refers to data outside itself ({}); that is refused.'.format(described(pid)))
        return self._load_storage(pid)


def checked_key(key: Any) -> Any:
    """Returns a key of a dict; raises ValueError, without the file's name, unless it is quickly hashed: a text, a
    number, None, a stand-in, or a short tuple of these.

    Two bytes of a pickle can double a tuple of tuples: its hash, like its text, may take for ever.
    """
    parts = key if isinstance(key, tuple) and len(key) <= _MOST_PARTS else (key,)
    if not all(_is_plain(part) or type(part).__hash__ is object.__hash__ for part in parts):
        raise _RefusedError(
            'is refused: {} is the key of a table, not a text, a number below 2^63 or a few of these. {}'.format(
                described(key), _WAY_OUT
            )
        )
    return key


def described(value: Any) -> str:
    """Returns how messages call an object of a pickle: a text or number by its beginning, anything else by its type."""
    return '{:.60}'.format(repr(value)) if _is_plain(value) else 'a {}'.format(type(value).__name__)


def name_of(key: Any) -> str:
    """Returns the name that a key stands for: a text itself, anything else as `described` has it, for the text of a
    tuple could take all memory.
    """
    return key if isinstance(key, str) else described(key)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, bytes, float)) or (isinstance(value, int) and is_size(abs(value)))


def is_size(value: Any) -> bool:
    """Tells whether an object of a file is a whole number of at least 0 that a file can have of anything."""
    return isinstance(value, int) and 0 <= value <= _LARGEST_SIZE


def is_shape(value: Any) -> bool:
    """Tells whether an object of a file is the shape of an array, or its strides."""
    return isinstance(value, tuple) and len(value) <= _MOST_AXES and all(map(is_size, value))


def load_inert(
    file: IO[bytes], size: int, path: str, stand_ins: StandIns, load_storage: Optional[Callable[[Any], Any]] = None
) -> Any:
    """Reads one pickle from an open file, and leaves the file at the pickle's end.

    size: how many bytes the file has. path: its name in messages. stand_ins: (module, name) -> class of this package.
    load_storage: persistent ID -> object.

    Raises ValueError where the pickle is truncated, malformed, or asks for anything but the stand-ins.
    """
    try:
        return _Unpickler(BoundedFile(file, size), stand_ins, load_storage).load()
    except _RefusedError as refusal:
        raise ValueError('{} {}'.format(path, refusal)) from refusal
    except MemoryError as error:
        raise damaged(path, LARGER_THAN_MEMORY) from error
    except Exception as error:  # a malformed pickle can raise nearly anything: EOFError, IndexError, TypeError, ...
        raise damaged(path, '{}: {}'.format(type(error).__name__, error)) from error
