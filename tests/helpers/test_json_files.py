import json
import os

import pytest

from helpers.json_files import differences, is_count, is_number, is_share, read_json


def test_what_was_written_is_read_with_and_without_a_byte_order_mark(tmp_path):
    path = tmp_path / 'a.json'
    for mark in (b'', b'\xef\xbb\xbf'):
        path.write_bytes(mark + '{"name": "Straße", "list": [1, null]}'.encode())
        assert read_json(path) == {'name': 'Straße', 'list': [1, None]}


@pytest.mark.parametrize(
    'content, message',
    [
        (b'', 'Expecting value'),
        (b'{"a": ', 'Expecting value'),
        (b'\xff\xfe{}', 'it is no text in UTF-8'),
        (b'[' * 100000, 'it is nested too deeply'),
        (b'{"a":' * 100000, 'it is nested too deeply'),
        (b' ' * 101 + b'1', 'it has more than 100 bytes'),
    ],
)
def test_what_is_refused(tmp_path, content, message):
    path = tmp_path / 'a.json'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_json(path, largest=100 if 'more than' in message else 2**20)


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / 'a.json')
    for place in (tmp_path, '/dev/zero', tmp_path / 'pipe'):
        if place == tmp_path / 'pipe':
            os.mkfifo(str(place))
        with pytest.raises(ValueError, match='it is no file'):
            read_json(place)


def test_memory_is_asked_for_before_it_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr('helpers.process.memory.free_memory', lambda: 10**8)
    path = tmp_path / 'a.json'
    path.write_bytes(b'[' + b'[],' * 3 * 10**6 + b'1]')
    with pytest.raises(
        ValueError, match='a.json holds 9.0 MB of JSON, which take 216.0 MB of memory, and 100.0 MB are'
    ):
        read_json(path)


@pytest.mark.parametrize('value', [0, -1, 2.5, 10**300, -1e308])
def test_numbers(value):
    assert is_number(value)
    assert is_number(json.loads(json.dumps(value)))


@pytest.mark.parametrize(
    'value', [None, True, '1', [], {}, float('nan'), float('inf'), -float('inf'), 10**400, -(10**400)]
)
def test_what_is_no_number(value):
    assert not is_number(value) and not is_count(value)


def test_shares():
    assert is_share(0) and is_share(0.5) and is_share(1)
    assert not any(map(is_share, (-0.1, 1.1, True, '0.5', None, float('nan'))))


def test_counts():
    assert is_count(0) and is_count(3, 1)
    assert not is_count(-1) and not is_count(0, 1) and not is_count(1.0) and not is_count(True)


def test_differences_of_nested_values_have_their_places():
    first = {'a': {'b': 1, 'c': [1, 2]}, 'd': None}
    assert list(differences('x', first, {'a': {'b': 1, 'c': [2]}, 'e': 0})) == [
        ('x a c', [1, 2], [2]),
        ('x e', None, 0),
    ]
    assert list(differences('x', first, dict(first))) == []
