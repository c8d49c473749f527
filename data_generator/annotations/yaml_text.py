"""The part of YAML that names classes and files: keys with texts, lists and tables (https://yaml.org/spec/1.2.2/).

Blocks of text, references and types are not read: they are an error where their key is asked for, and passed over
where it is not. Nothing in a file is executed, and nothing leads out of it.
"""

import functools
import re
import sys
from typing import Any, Callable, Dict, List, Match, Tuple, Union

Value = Union[str, List[Any], Dict[str, Any]]

_MAX_DEPTH = 20
_QUOTED = r"""'(?P<single>(?:[^']|'')*)'|"(?P<double>(?:[^"\\]|\\.)*)\""""
_FIRST = r'(?:[^\s\-?:,\[\]{}#&*!|>\'"%@`]|[\-?:](?=\S))'  # of a text without quotes (section 7.3.3)
_KEY = re.compile(
    r"""^(?:(?:'(?P<single>(?:[^'\n]|'')*)'|"(?P<double>(?:[^"\\\n]|\\.)*)")[ \t]*|"""
    r'(?P<plain>'
    + _FIRST
    + r'[^\n:]*(?::(?=\S)[^\n:]*)*)):(?=\s|$)(?:[ \t]+&\S+)?',  # and an anchor, to which something else may refer
    re.MULTILINE,
)
_ITEM = re.compile(r'^-(?=\s|$)', re.MULTILINE)
_TEXT = re.compile(_QUOTED, re.DOTALL)
_TEXT_IN_BRACKETS = re.compile(
    _QUOTED + '|(?P<plain>' + _FIRST + r'(?:(?!\s\#|:(?:[\s,\[\]{}]|$))[^,\[\]{}])*)', re.DOTALL
)
_NOTHING = re.compile(r'(?:\s|#[^\n]*)*')
_COMMENT = re.compile(r'\s#[^\n]*')
_ESCAPE = re.compile(
    r'\\(?:x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|(?P<other>\n[ \t]*|.))|(?:\n[ \t]*)+',
    re.DOTALL,
)
_ESCAPED = dict(zip('0abtnvfre "/\\N_LP\t', '\0\a\b\t\n\v\f\r\x1b "/\\\x85\xa0\u2028\u2029\t'))


def entries_of(text: str) -> Dict[str, Callable[[], Value]]:
    """Returns the keys of a file, of its first document, each with a function that reads what stands behind it.

    That function raises ValueError where it is none of texts, lists and tables of these, or the key is there twice.
    """
    for document in re.split(r'^(?:---|\.\.\.)(?=\s|$)', text.replace('\r\n', '\n').replace('\r', '\n'), flags=re.M):
        start = _skip(document, 0)
        if document.startswith('{', start):
            return _entries_in_brackets(document, start)
        found: Dict[str, Callable[[], Value]] = {}
        for key, behind in _split(document):
            found[key] = functools.partial(_value, behind, 0) if key not in found else functools.partial(_refuse, key)
        if found:
            return found
    return {}


def _entries_in_brackets(text: str, start: int) -> Dict[str, Callable[[], Value]]:
    try:
        table, _ = _in_brackets(text, start, 0)
    except ValueError:
        return {}
    return {key: functools.partial(_same, value) for key, value in table.items()} if isinstance(table, dict) else {}


def _same(value: Value) -> Value:
    return value


def _refuse(key: str) -> Value:
    raise ValueError('{!r:.40} is there twice'.format(key))


def _split(text: str) -> List[Tuple[str, str]]:
    """The keys at the beginnings of lines, each with the text from its colon to the next key."""
    found: List[Match[str]] = []
    place = 0
    while True:
        match = _KEY.search(text, place)
        if match is None:
            break
        found.append(match)
        place = _skip(text, match.end())
        place = _behind_brackets(text, place) if text[place : place + 1] in ('[', '{') else match.end()
    ends = [match.start() for match in found[1:]] + [len(text)]
    return [(_content(match), text[match.end() : end]) for match, end in zip(found, ends)]


def _behind_brackets(text: str, place: int) -> int:
    """Where brackets end, which are no keys whatever stands in them; where they begin if they do not end."""
    try:
        return _in_brackets(text, place, 0)[1]
    except ValueError:
        return place


def _value(text: str, depth: int) -> Value:
    """Reads what stands behind a colon or a hyphen."""
    _check_depth(depth)
    start = _skip(text, 0)
    if text.startswith(('[', '{'), start):
        value, end = _in_brackets(text, start, depth)
        _check_end(text, end)
        return value
    first_line = text.rfind('\n', 0, start) + 1
    if first_line:  # on a line of its own, where lists and tables begin
        block = _dedented(text[first_line:], start - first_line)
        if _ITEM.match(block):
            return [_value(item, depth + 1) for item in _ITEM.split(block)[1:]]
        if _KEY.match(block):
            return _table([(key, _value(behind, depth + 1)) for key, behind in _split(block)])
    return _text(text[start:])


def _table(pairs: List[Tuple[str, Value]]) -> Dict[str, Value]:
    table: Dict[str, Value] = {}
    for key, value in pairs:
        if key in table:
            _refuse(key)
        table[key] = value
    return table


def _dedented(text: str, indent: int) -> str:
    """The lines without the spaces that the first one begins with, which no other one may have fewer of."""
    lines = []
    for line in text.split('\n'):
        is_empty = not line.strip() or line.lstrip().startswith('#')
        if not is_empty and line[:indent].strip():
            raise ValueError('{!r:.40} begins further left than the lines above'.format(line.strip()))
        lines.append('' if is_empty else line[indent:])
    return '\n'.join(lines)


def _text(text: str) -> str:
    """Reads a text that is not in brackets."""
    match = _TEXT.match(text)
    if match is not None:
        _check_end(text, match.end())
        return _content(match)
    text = _COMMENT.sub('', text).strip()
    if text and (not re.match(_FIRST, text) or re.search(r':(\s|$)|\n\S', text)):
        raise ValueError('{!r:.40}, which is no text, list or table'.format(text))
    return _folded(text)


def _in_brackets(text: str, place: int, depth: int) -> Tuple[Value, int]:
    """Reads a list, a table or a text within these from a place on, and returns where it ends, too."""
    _check_depth(depth)
    opening = text[place : place + 1]
    if opening not in ('[', '{'):
        match = _TEXT_IN_BRACKETS.match(text, place)
        if match is None:
            raise ValueError('{!r:.40}, where a text was expected'.format(text[place : place + 40]))
        return _content(match), match.end()
    closing = {'[': ']', '{': '}'}[opening]
    items: List[Value] = []
    pairs: List[Tuple[str, Value]] = []
    place = _skip(text, place + 1)
    while not text.startswith(closing, place):
        item, place = _in_brackets(text, place, depth + 1)
        place = _skip(text, place)
        if opening == '{':
            value, place = _behind_colon(text, place, depth)
            pairs.append((_key(item), value))
        items.append(item)
        if text.startswith(',', place):
            place = _skip(text, place + 1)
        elif not text.startswith(closing, place):
            raise ValueError('{!r:.40}, where a comma was expected'.format(text[place : place + 40]))
    return (items if opening == '[' else _table(pairs)), place + 1


def _behind_colon(text: str, place: int, depth: int) -> Tuple[Value, int]:
    if not text.startswith(':', place):
        return '', place
    place = _skip(text, place + 1)
    if text.startswith((',', '}'), place):
        return '', place
    value, place = _in_brackets(text, place, depth + 1)
    return value, _skip(text, place)


def _key(value: Value) -> str:
    if not isinstance(value, str):
        raise ValueError('{!r:.40} is no key'.format(value))
    return value


def _content(match: Match[str]) -> str:
    """What a text between quotes or without them says."""
    quoted = match.groupdict()
    if quoted['single'] is not None:
        return _folded(quoted['single'].replace("''", "'"))
    if quoted['double'] is not None:
        return _whole(_ESCAPE.sub(_unescaped, quoted['double']))
    return _folded(quoted['plain'].strip())


def _folded(text: str) -> str:
    """A text that goes over several lines as one line (section 6.5)."""
    return re.sub(r'\n+', _line_break, '\n'.join(map(str.strip, text.split('\n')))) if '\n' in text else text


def _line_break(match: Match[str]) -> str:
    """A space, or one break less than there are."""
    return '\n' * (match.group().count('\n') - 1) or ' '


def _unescaped(match: Match[str]) -> str:
    if match.group().startswith('\n'):
        return _line_break(match)
    code = match.group('x') or match.group('u') or match.group('U')
    if code is not None:
        if int(code, 16) > sys.maxunicode:
            raise ValueError('{}, which is no character'.format(match.group()))
        return chr(int(code, 16))
    if match.group('other').startswith('\n'):
        return ''
    if match.group('other') not in _ESCAPED:
        raise ValueError('{}, which is no character. In quotes a backslash is written twice'.format(match.group()))
    return _ESCAPED[match.group('other')]


def _whole(text: str) -> str:
    """With characters that were written as a pair of surrogates, as JSON does, put together."""
    return text.encode('utf-16', 'surrogatepass').decode('utf-16', 'surrogatepass')


def _skip(text: str, place: int) -> int:
    match = _NOTHING.match(text, place)
    assert match is not None  # it matches nothing, too
    return match.end()


def _check_end(text: str, place: int) -> None:
    rest = text[_skip(text, place) :]
    if rest:
        raise ValueError('{!r:.40} behind a list, table or text that has ended'.format(rest[:40]))


def _check_depth(depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError('lists in more than {} others'.format(_MAX_DEPTH))
