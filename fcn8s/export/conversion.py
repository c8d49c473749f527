"""What a converter says when it cannot, in a sentence that names the ops."""

import contextlib
import re
from typing import Iterator

# How the converters name an op that they have no counterpart of: OpenVINO, TFLite, tf2onnx.
_OP_PATTERNS = (
    r'No translator found for (\w+) node',
    r"'tf\.(\w+)' op is neither a custom op nor a flex op",
    r'Tensorflow op \[[^\]:]*: (\w+)\] is not supported',
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
        ops = sorted({op for pattern in _OP_PATTERNS for op in re.findall(pattern, text)})
        if ops:
            raise ValueError(
                'the encoder has operations that {} lacks: {}. Export it with --format saved_model or frozen, or '
                'replace them in the encoder.'.format(format_name, ', '.join(ops))
            ) from error
        lines = [line for line in text.splitlines() if line.strip()] or [type(error).__name__]
        raise ValueError(
            'the converter to {} refuses this network: {}. Export it with --format saved_model or frozen.'.format(
                format_name, lines[-1].strip()[:400]
            )
        ) from error
