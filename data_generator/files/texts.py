"""The encoding of text files that people and tools write: UTF-8, or UTF-16 as Windows writes it."""

import codecs


def decoded(data: bytes, errors: str = 'strict') -> str:
    """Decodes UTF-8, with or without a byte order mark, or UTF-16 with one. Raises UnicodeDecodeError for others."""
    is_utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode('utf-16' if is_utf_16 else 'utf-8-sig', errors)
