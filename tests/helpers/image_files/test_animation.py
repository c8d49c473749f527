import numpy as np
import pytest
from PIL import Image

from helpers.image_files.animation import is_animated

PICTURES = [Image.fromarray(np.random.RandomState(n).randint(0, 256, (8, 9, 3)).astype(np.uint8)) for n in range(3)]


@pytest.mark.parametrize('kind', ['GIF', 'PNG', 'WEBP'])
@pytest.mark.parametrize('count', [1, 2, 3])
def test_whether_an_image_moves(tmp_path, kind, count):
    path = tmp_path / 'a.any'
    PICTURES[0].save(str(path), kind, save_all=True, append_images=PICTURES[1:count], duration=50)
    assert is_animated(path) is (count > 1)


@pytest.mark.parametrize('kind', ['GIF', 'PNG', 'WEBP'])
def test_the_flag_alone_is_no_animation_and_damage_no_error(tmp_path, kind):
    path = tmp_path / 'a.any'
    PICTURES[0].save(str(path), kind, save_all=True, append_images=PICTURES[1:], duration=50)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert is_animated(path) in (False, True)
    # The second of two frames of WebP, and the number of frames of PNG.
    second = data.find(b'ANMF', data.find(b'ANMF') + 1)
    path.write_bytes(data[: max(second, data.find(b'acTL') + 7 if kind == 'PNG' else 6)])
    assert not is_animated(path)


@pytest.mark.parametrize('data', [b'', b'RIFF', b'RIFF\0\0\0\0AVI LIST', b'no image' * 9])
def test_other_files_do_not_move(tmp_path, data):
    (tmp_path / 'a.png').write_bytes(data)
    assert not is_animated(tmp_path / 'a.png')
    assert not is_animated(tmp_path / 'b.png')
