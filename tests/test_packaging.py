"""What an installation asks for: the metadata, for every Python and for each choice of extras."""

import ast
import os
import re
import subprocess
import sys

import pytest

requirements = pytest.importorskip('packaging.requirements')


@pytest.fixture(scope='module')
def required(root_dir, tmp_path_factory):
    """(Python version, extras) -> the names of the packages that are asked for."""
    place = str(tmp_path_factory.mktemp('metadata'))
    command = [sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', place]
    subprocess.run(command, cwd=root_dir, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(os.path.join(place, 'fcn8s.egg-info', 'requires.txt')) as file:
        sections = re.split(r'^\[(.*)\]\n', '[]\n' + file.read(), flags=re.MULTILINE)[1:]

    def names(python, extras=()):
        found = set()
        for title, lines in zip(sections[::2], sections[1::2]):
            extra, _, marker = title.partition(':')
            holds = not marker or requirements.Requirement('x; ' + marker).marker.evaluate({'python_version': python})
            if holds and (not extra or extra in extras):
                found |= {requirements.Requirement(line).name for line in lines.split('\n') if line}
        return found

    return names


def read(root_dir, name):
    with open(os.path.join(root_dir, name), encoding='utf-8') as file:
        return file.read()


def tensorflows(names):
    return {name for name in names if name.startswith('tensorflow')}


@pytest.mark.parametrize(
    'python, extras, expected',
    [
        ('3.7', [], set()),  # whichever of the two is there stays as it is
        ('3.7', ['tutorial', 'cityscapes'], set()),
        ('3.7', ['cpu'], {'tensorflow'}),
        ('3.7', ['gpu'], {'tensorflow-gpu'}),
        ('3.10', [], {'tensorflow'}),
        ('3.13', ['cpu'], {'tensorflow'}),
        ('3.13', ['gpu'], {'tensorflow'}),
    ],
)
def test_one_tensorflow_and_on_python_3_7_the_one_that_is_asked_for(required, python, extras, expected):
    assert tensorflows(required(python, extras)) == expected


def test_what_only_some_users_need_is_an_extra(required):
    for python in ('3.7', '3.13'):
        assert not {'cityscapesscripts', 'jupyter', 'matplotlib', 'tensorboard'} & required(python)
        assert 'cityscapesscripts' in required(python, ['cityscapes']) & required(python, ['test'])
        assert required(python, ['tutorial']) <= required(python, ['test'])


def test_every_package_is_found_and_no_test(root_dir):
    from setuptools import find_packages

    patterns = re.search(r'find_packages\(include=(\[.*?\])\)', read(root_dir, 'setup.py')).group(1)
    found = find_packages(root_dir, include=ast.literal_eval(patterns))
    assert {'fcn8s', 'fcn8s.cli', 'data_generator.files', 'helpers'} <= set(found)
    assert not [name for name in found if name.split('.')[0] not in ('fcn8s', 'data_generator', 'helpers')]


def test_the_version_is_the_same_everywhere(root_dir):
    from fcn8s import __version__

    assert re.search(r'^## (\S+)', read(root_dir, 'CHANGELOG.md'), re.MULTILINE).group(1) == __version__
    assert re.search(r'^version: (\S+)', read(root_dir, 'CITATION.cff'), re.MULTILINE).group(1) == __version__
