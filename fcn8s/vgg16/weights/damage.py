"""The one message about files that end early or make no sense."""

from typing import Any


def damaged(path: str, error: Any) -> ValueError:
    """The error to raise where a weights file is damaged or truncated."""
    return ValueError('{} is damaged or truncated: {}. Copy or download it again.'.format(path, error))
