"""JSON, XML and text files from others: size, depth and entities are limited before they can do harm."""

import json
import os
import xml.etree.ElementTree
from typing import Any, List, Optional
from xml.parsers import expat

from data_generator.errors import DataError
from data_generator.files.texts import decoded
from helpers.process.memory import require_memory

Element = xml.etree.ElementTree.Element

# COCO's training annotations of 2017 are 470 MB.
_MAX_BYTES = 2**31
# The most bytes of Python objects that one byte of JSON or XML makes: one-digit numbers in lists, empty elements.
_BYTES_OF_A_BYTE = 16
_MAX_DEPTH = 64
_START = 2**16


def read_json_document(path: str) -> Any:
    """Reads the content of a JSON file.

    Raises:
        DataError: It is too large, nested too deeply, or no JSON.
    """
    return _parsed(read_text(path), path)


def read_json_line(path: str) -> Any:
    """Reads the first line of a file with a JSON document on each line; errors as for `read_json_document`."""
    return _parsed(read_text(path).partition('\n')[0], path)


def _parsed(text: str, path: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise DataError('{} is nested too deeply for annotations. Remove it.'.format(path)) from None
    except ValueError as error:
        raise DataError('{} is no JSON: {}. Export it again.'.format(path, error)) from error


def read_xml(path: str) -> Element:
    """Reads the root of an XML file.

    Document types are refused, since their entities could expand without limit or refer to other files.

    Raises:
        DataError: It is too large, nested too deeply, has a document type, or is no XML.
    """
    data = _read_bytes(path)
    try:
        _refuse_bombs(data)
        return xml.etree.ElementTree.fromstring(data)
    except (expat.ExpatError, xml.etree.ElementTree.ParseError) as error:
        raise DataError('{} is no XML: {}. Export it again.'.format(path, error)) from error
    except (ValueError, LookupError) as error:
        raise DataError('{} is in an encoding that is not read: {}. Save it in UTF-8.'.format(path, error)) from error
    except _RefusedError as refusal:
        raise DataError('{} {}. Remove it, or export it again.'.format(path, refusal)) from None


def read_text(path: str) -> str:
    """Reads the content of a text file, see `files.texts.decoded`.

    Raises:
        DataError: It cannot be read, is too large, or in another encoding.
    """
    try:
        return decoded(_read_bytes(path))
    except UnicodeDecodeError as error:
        raise DataError('{} is no text in UTF-8. Save it in that encoding.'.format(path)) from error


def read_start(path: str) -> str:
    """Reads the beginning of a text file, enough to recognise its format.

    Raises:
        DataError: It cannot be read.
    """
    return decoded(_read_bytes(path, _START), 'replace')


def _read_bytes(path: str, most: Optional[int] = None) -> bytes:
    """The first `most` bytes of a file; None for all, unless there are too many."""
    try:
        size = os.path.getsize(path)
        with open(path, 'rb') as file:
            if most is None:
                _check_size(path, size)
            return file.read(most)
    except OSError as error:
        raise DataError('{} cannot be read: {}. Mend it.'.format(path, error.strerror)) from error


def _check_size(path: str, size: int) -> None:
    if size > _MAX_BYTES:
        raise DataError(
            '{} has {} MB; annotations of more than {} MB are not read. Export them in parts.'.format(
                path, size // 10**6, _MAX_BYTES // 10**6
            )
        )
    require_memory(path, _BYTES_OF_A_BYTE * size, '{} MB of annotations'.format(size // 10**6))


class _RefusedError(Exception):
    """The reason for refusing an XML file. It passes through expat, whose own errors are ValueErrors."""


def _refuse_bombs(data: bytes) -> None:
    depth: List[str] = []

    def refuse(*_: Any) -> None:
        raise _RefusedError('has a document type, which annotations do not need and in which entities can be defined')

    def enter(name: str, _: Any) -> None:
        depth.append(name)
        if len(depth) > _MAX_DEPTH:
            raise _RefusedError('is nested too deeply for annotations')

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = enter
    parser.EndElementHandler = lambda name: depth.pop()
    parser.Parse(data, True)
