"""A seal stays whole as long as nobody changes the file."""

import json
import os

import pytest

from fcn8s.prediction.seals import is_sealed, seal
from helpers.files import json_text

CONTENT = {'shapes': [{'label': 'Straße', 'points': [[0.5, 1.0]]}], 'imageHeight': 12}


@pytest.mark.parametrize('text', [json_text(CONTENT), json.dumps(CONTENT) + '\n', json.dumps(CONTENT)])
def test_the_content_stays_and_every_change_is_seen(tmp_path, text):
    path = tmp_path / 'x.json'
    path.write_text(text, encoding='utf-8')
    assert not is_sealed(str(path))
    seal(str(path))
    sealed = path.read_bytes()
    content = json.loads(sealed.decode())
    assert is_sealed(str(path)) and dict(CONTENT, fcn8s=content['fcn8s']) == content
    for number in range(len(sealed)):
        path.write_bytes(sealed[:number] + bytes([sealed[number] ^ 1]) + sealed[number + 1 :])
        assert not is_sealed(str(path))
    for changed in (sealed[:-1], sealed + b'\n', sealed[1:], sealed.replace(b'\n', b'\r\n'), b'', sealed[-90:]):
        path.write_bytes(changed)
        assert not is_sealed(str(path))
    # labelme keeps members that it does not know, and writes them again.
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding='utf-8')
    assert not is_sealed(str(path))


def test_links_folders_and_what_is_not_there_are_not_sealed(tmp_path):
    (tmp_path / 'x.json').write_text(json_text(CONTENT), encoding='utf-8')
    seal(str(tmp_path / 'x.json'))
    os.symlink('x.json', str(tmp_path / 'link'))
    assert is_sealed(str(tmp_path / 'x.json'))
    assert not any(is_sealed(str(tmp_path / name)) for name in ('link', '', 'missing'))
