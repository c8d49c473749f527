"""What a format's module is asked to write, and the message when a converter fails: a sentence that names the ops."""

import contextlib
import re
from typing import Any, Dict, Iterable, Iterator, NamedTuple, Optional, Tuple

import numpy as np

# How the converters of OpenVINO and TFLite name ops that they cannot convert.
_OP_PATTERNS = (
    r'No conversion rule found for operations: (\w+(?:, \w+)*)',
    r"'tf\.(\w+)' op is neither a custom op nor a flex op",
)


class Conversion(NamedTuple):
    """The argument of `write(conversion, directory)` of a format's module; the directory exists.

    model_dir: a saved FCN-8s.
    precision: one of the format's precisions.
    size: (height, width) if the format takes images of one size only, or None.
    warm_up_image: uint8 [H, W, channels], for a server that predicts once when it loads a model.
    calibration: images uint8 [H, W, channels] to measure ranges on, for int8.
    trust: take a graph whatever ops it holds.
    interface: what a program that runs the export has to know, for formats that can store it.
    """

    model_dir: str
    precision: str
    size: Optional[Tuple[int, int]]
    warm_up_image: np.ndarray
    calibration: Iterable[np.ndarray]
    trust: bool
    interface: Dict[str, Any]


def lacking(format_name: str, ops: Iterable[str]) -> str:
    """Returns the message about ops that a format lacks."""
    return (
        'the encoder has operations that {} lacks: {}. Export it with --format saved_model or frozen, or replace them '
        'in the encoder.'.format(format_name, ', '.join(sorted(set(ops))))
    )


@contextlib.contextmanager
def explain_conversion_errors(format_name: str) -> Iterator[None]:
    """Raises ValueError naming the ops that a format lacks.

    Raises:
        ValueError: the body raised any other error than a MemoryError, ImportError, OSError or interruption; these
            pass unchanged.
    """
    try:
        yield
    except (MemoryError, ImportError, OSError):
        raise
    except Exception as error:  # each converter has its own exception types
        text = str(error)
        ops = ', '.join(found for pattern in _OP_PATTERNS for found in re.findall(pattern, text))
        if ops:
            raise ValueError(lacking(format_name, ops.split(', '))) from error
        lines = [line for line in text.splitlines() if line.strip()] or [type(error).__name__]
        raise ValueError(
            'the converter to {} refuses this network: {}. Export it with --format saved_model or frozen.'.format(
                format_name, lines[-1].strip()[:400]
            )
        ) from error
