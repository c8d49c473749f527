"""What a converter says when it cannot, in a sentence that names the ops."""

import contextlib
import re
from typing import Iterable, Iterator

# How the converters name ops that they have no counterpart of: OpenVINO and TFLite.
_OP_PATTERNS = (
    r'No conversion rule found for operations: (\w+(?:, \w+)*)',
    r"'tf\.(\w+)' op is neither a custom op nor a flex op",
)


def lacking(format_name: str, ops: Iterable[str]) -> str:
    """The message about ops that a format lacks."""
    return (
        'the encoder has operations that {} lacks: {}. Export it with --format saved_model or frozen, or replace them '
        'in the encoder.'.format(format_name, ', '.join(sorted(set(ops))))
    )


@contextlib.contextmanager
def explain_conversion_errors(format_name: str) -> Iterator[None]:
    """Raises ValueError naming the ops that a format lacks; memory errors and interruptions pass.

    Raises:
        ValueError: the body raised anything else.
    """
    try:
        yield
    except (MemoryError, ImportError, OSError):
        raise
    except Exception as error:  # each converter has types of its own
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
