"""Folders whose names TensorFlow reads as patterns, or cannot take at all."""

import os
import re
import shutil
import sys
import tempfile

import numpy as np
import pytest
from streams import Stream

from fcn8s import FCN8s, open_model
from fcn8s.saving import saved_models
from fcn8s.saving.paths import is_plain, plain_directory, plain_prefix
from fcn8s.training.schedules import constant
from fcn8s.vgg16.write import write_encoder
from helpers.files import TEMPORARY_PATTERN

LATIN = os.fsdecode(b'latin-\xe9')
NAMES = ['lr[1e-4]', 'back\\slash', 'all*of? it', LATIN]


@pytest.fixture(params=['lr[1e-4]all*of? it\\x', LATIN], ids=ascii)
def folder(request, tmp_path):
    path = os.path.join(str(tmp_path), request.param)
    try:
        os.mkdir(path)
    except OSError:
        pytest.skip('this file system does not take the name')
    return path


def test_saves_trains_and_opens_in_folders_of_any_name(folder, shallow_encoder):
    encoder = shutil.copytree(shallow_encoder, os.path.join(folder, 'vgg[16]'))
    image = np.full([1, 32, 32, 3], 100, np.uint8)
    run_dir = os.path.join(folder, 'run[1]')
    with FCN8s(vgg16_dir=encoder, num_classes=2) as network:
        network.train(Stream(), 1, 2, constant(1e-2), run_dir=run_dir)
        expected = network.predict(image, argmax=False)
        checkpoint = network.save(folder, saver='train_saver', name='variables[2]', force_save=True)
        model_dir = network.save(folder, name='model', force_save=True)
    with FCN8s(model_load_dir=run_dir) as network:
        np.testing.assert_array_equal(network.predict(image, argmax=False), expected)
    with FCN8s(vgg16_dir=encoder, num_classes=2, variables_load_dir=checkpoint) as network:
        np.testing.assert_array_equal(network.predict(image, argmax=False), expected)
        network.train(Stream(), 2, 2, constant(1e-2), run_dir=run_dir, resume=True)
    with open_model(model_dir) as network:
        np.testing.assert_allclose(network.predict(image, argmax=False), expected, atol=1e-6)
    with FCN8s(fine_tune_from=model_dir, num_classes=2) as network:
        assert network.predict(image).shape == (1, 32, 32)


def test_an_encoder_is_written_and_copied_in_a_folder_of_any_name(folder):
    written = os.path.join(folder, 'e[1]')
    write_encoder(written, weights='random', width_divisor=64)
    manifest = write_encoder(os.path.join(folder, 'again'), weights=written)
    assert manifest['source']['kind'] == 'saved_model'


def test_a_prefix_of_any_name_is_read(tmp_path, shallow_encoder):
    for suffix in ('.index', '.data-00000-of-00001'):
        shutil.copy(os.path.join(shallow_encoder, 'variables', 'variables') + suffix, str(tmp_path / 'x[1]') + suffix)
    (tmp_path / 'x[1]-other.index').write_bytes(b'')
    assert 'conv1_1/filter' in saved_models.checkpoint_shapes(str(tmp_path / 'x[1]'))


def test_plain_paths_stay(tmp_path):
    with plain_directory(str(tmp_path)) as directory, plain_prefix(str(tmp_path / 'x')) as prefix:
        assert (directory, prefix) == (str(tmp_path), str(tmp_path / 'x'))


def test_in_a_locale_of_latin_1_only_ascii_is_plain(monkeypatch):
    monkeypatch.setattr(os, 'fsencode', lambda path: path.encode('latin-1'))
    assert [is_plain(path) for path in ('/runs', '/jürgen/runs', '/東京')] == [True, False, False]


@pytest.mark.parametrize('name', NAMES, ids=ascii)
def test_links_to_folders_of_any_name_are_plain_and_gone_afterwards(tmp_path, name):
    special = tmp_path / name
    try:
        special.mkdir()
    except OSError:
        pytest.skip('this file system does not take the name')
    (special / 'kept').write_text('x')
    with plain_directory(str(special)) as link:
        assert os.listdir(link) == ['kept']
        assert re.match(r'\.fcn8s-link\.' + TEMPORARY_PATTERN + '$', os.path.basename(os.path.dirname(link)))
        assert link.encode('utf-8') and not set(link) & set('[]*?\\')
    assert not os.path.lexists(link) and (special / 'kept').exists()


def test_a_folder_for_temporary_files_that_does_not_help_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'a[b]'))
    context = plain_directory(str(tmp_path / 'c[d]'))
    with pytest.raises(ValueError, match=r'the folder for temporary files would help, but that is .*Set TMPDIR'):
        context.__enter__()


@pytest.mark.skipif(sys.platform == 'win32', reason='TensorFlow there has other patterns')
def test_a_damaged_checkpoint_is_called_by_its_own_name(tmp_path):
    path = tmp_path / 'a[b]' / 'x'
    path.parent.mkdir()
    (tmp_path / 'a[b]' / 'x.index').write_bytes(b'nothing')
    with pytest.raises(ValueError, match=r'a\[b\]/x. are missing or damaged'):
        saved_models.checkpoint_shapes(str(path))
