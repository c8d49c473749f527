"""The shape of the code: which package may import which, and what loads TensorFlow."""

import ast
import os
import subprocess
import sys

import pytest

ALLOWED = {'helpers': {'helpers'}, 'data_generator': {'data_generator', 'helpers'}, 'fcn8s': {'fcn8s', 'helpers'}}
OURS = set(ALLOWED)


def python_files(root, package):
    for directory, _, names in os.walk(os.path.join(root, package)):
        for name in names:
            if name.endswith('.py'):
                yield os.path.relpath(os.path.join(directory, name), root)


def imported_modules(path):
    with open(path, encoding='utf-8') as file:
        tree = ast.parse(file.read())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, '{} has a relative import in line {}'.format(path, node.lineno)
            yield node.module, node


@pytest.mark.parametrize('package', sorted(OURS))
def test_imports_point_one_way(root_dir, package):
    for path in python_files(root_dir, package):
        allowed = ALLOWED[package] | ({'data_generator'} if path.startswith(os.path.join('fcn8s', 'cli')) else set())
        for module, node in imported_modules(os.path.join(root_dir, path)):
            top = module.split('.')[0]
            assert top not in OURS - allowed, '{}:{} imports {}'.format(path, node.lineno, module)


@pytest.mark.parametrize('package', sorted(OURS))
def test_only_the_backend_imports_tensorflow(root_dir, package):
    for path in python_files(root_dir, package):
        if path == os.path.join('fcn8s', 'backend.py'):
            continue
        for module, node in imported_modules(os.path.join(root_dir, path)):
            assert module.split('.')[0] not in ('tensorflow', 'keras'), '{}:{} imports {}'.format(
                path, node.lineno, module
            )


@pytest.mark.parametrize('package', sorted(OURS))
def test_moviepy_is_imported_inside_functions_of_the_video_module_only(root_dir, package):
    for path in python_files(root_dir, package):
        for module, node in imported_modules(os.path.join(root_dir, path)):
            if module.split('.')[0] == 'moviepy':
                assert path == os.path.join('helpers', 'video.py') and node.col_offset > 0, '{}:{}'.format(
                    path, node.lineno
                )


@pytest.mark.parametrize(
    'statement',
    [
        'import data_generator',
        'import helpers.visualization_utils',
        'import fcn8s',
        'import fcn8s.cli; fcn8s.cli.build_parser()',
    ],
)
def test_does_not_load_tensorflow(statement):
    code = statement + '; import sys; sys.exit("tensorflow" in sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True)


def test_tensorflow_is_not_switched_globally():
    code = (
        'import tensorflow as tf; before = tf.executing_eagerly(); from fcn8s import FCN8s; '
        'assert tf.executing_eagerly() == before'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
