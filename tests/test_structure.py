"""The shape of the code: which package may import which, and what loads TensorFlow."""

import ast
import functools
import os
import re
import subprocess
import sys

import pytest

import fcn8s

ALLOWED = {'helpers': {'helpers'}, 'data_generator': {'data_generator', 'helpers'}, 'fcn8s': {'fcn8s', 'helpers'}}
OURS = set(ALLOWED)

# Which room may import which; nothing else is permitted. `fcn8s.cli` alone may import everything below it.
GROUND = {'backend', 'optimizers', 'settings', 'batches', 'precision', 'stopping', 'confidence', 'closing'}
ARROWS = {
    'fcn8s': {
        'native_log': set(),
        'foreign_folders': set(),
        'backend': {'native_log'},
        'optimizers': set(),
        'settings': {'optimizers'},
        'stopping': set(),
        'confidence': set(),
        'closing': set(),
        'batches': {'settings'},
        'precision': {'backend'},
        'graph': GROUND,
        'saving': GROUND | {'graph'},
        'evaluation': GROUND | {'graph', 'saving'},
        'prediction': GROUND | {'graph', 'saving'},
        'export': GROUND | {'graph', 'saving', 'evaluation', 'prediction'},
        'vgg16': GROUND | {'graph', 'saving'},
        'planning': GROUND | {'graph', 'vgg16'},
        'importing': GROUND | {'graph', 'saving', 'vgg16'},
        'distributed': GROUND | {'graph'},
        'network': GROUND | {'graph', 'saving', 'evaluation', 'distributed'},
        'training': GROUND | {'graph', 'saving', 'evaluation', 'distributed', 'network'},
        'report': GROUND | {'saving', 'evaluation'},
        'model': GROUND
        | {'graph', 'saving', 'evaluation', 'prediction', 'export', 'distributed', 'network', 'training'},
    },
    'data_generator': {
        'errors': set(),
        'arguments': set(),
        'transforms': {'errors'},
        'files': {'errors', 'arguments', 'transforms'},
        'batches': {'errors', 'arguments', 'files', 'transforms'},
        'batch_generator': {'errors', 'arguments', 'files', 'transforms', 'batches'},
        'annotations': {'errors', 'files'},
        'checking': {'errors', 'files', 'batches', 'batch_generator', 'annotations'},
        'street_scenes': set(),
    },
    'helpers': {
        **{
            room: set()
            for room in (
                'aliases',
                'cityscapes_labels',
                'class_weights',
                'counted',
                'flags',
                'names_of_2017',
                'user_warnings',
            )
        },
        **{room: set() for room in ('process', 'progress', 'tables')},
        **{room: {'aliases'} for room in ('class_tables', 'color_codes', 'files', 'text_drawing')},
        'json_files': {'aliases', 'process'},
        'spool': {'files'},
        'label_spaces': {'aliases', 'cityscapes_labels', 'class_tables', 'files', 'flags'},
        'color_vision': {'aliases', 'flags', 'label_spaces'},
        'ground_truth': {'aliases', 'color_codes', 'flags', 'label_spaces'},
        'polygons': {'flags', 'label_spaces'},
        'image_rules': {'counted', 'flags'},
        'image_search': {'aliases', 'files', 'flags', 'image_rules'},
        'image_files': {'aliases', 'counted', 'image_rules', 'process'},
        'images': {'aliases', 'counted', 'files', 'flags', 'image_files', 'image_rules', 'image_search', 'process'},
        'legend_drawing': {'flags', 'images', 'label_spaces', 'text_drawing'},
        'split_views': {'flags', 'images', 'text_drawing'},
        'video_files': {'aliases', 'image_files'},
        'video': {'aliases', 'files', 'flags', 'image_rules', 'image_search', 'images', 'video_files'},
        'visualization_utils': {'aliases', 'flags', 'ground_truth', 'images', 'label_spaces'}
        | {'legend_drawing', 'split_views', 'video'},
    },
}


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


def lines_of_body(function):
    """Without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None and len(function.body) > 1 else function.body
    return body[-1].end_lineno - body[0].lineno + 1


def test_every_test_file_holds_tests(root_dir):
    for path in python_files(root_dir, 'tests'):
        if os.path.basename(path).startswith('test_'):
            with open(os.path.join(root_dir, path), encoding='utf-8') as file:
                assert re.search(r'^def test_', file.read(), re.MULTILINE), path


@pytest.mark.skipif(sys.version_info < (3, 8), reason='Python 3.7 does not say where a statement ends')
@pytest.mark.parametrize('package', sorted(OURS))
def test_no_function_is_longer_than_60_lines(root_dir, package):
    for path in python_files(root_dir, package):
        with open(os.path.join(root_dir, path), encoding='utf-8') as file:
            functions = [node for node in ast.walk(ast.parse(file.read())) if isinstance(node, ast.FunctionDef)]
        for function in functions:
            assert lines_of_body(function) <= 60, '{}: {}'.format(path, function.name)


NO_VERBS = {
    *('This', 'As', 'Its', 'Is', 'Images', 'Labels', 'Pixels', 'Classes', 'Bytes', 'Seconds', 'Logits', 'Others'),
    *('Bars', 'Cityscapes', 'Class', 'Colours', 'Loss', 'Options', 'Pictures', 'Pieces', 'Points', 'Rows', 'Versions'),
}


def public_functions(nodes):
    """Public functions and methods, without properties, whose docstrings name a value."""
    for node in nodes:
        if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith('_'):
            decorators = {getattr(decorator, 'id', getattr(decorator, 'attr', '')) for decorator in node.decorator_list}
            if not decorators & {'property', 'cached_property', 'setter'}:
                yield node


@pytest.mark.parametrize('package', sorted(OURS))
def test_docstrings_of_functions_begin_with_a_verb(root_dir, package):
    for path in python_files(root_dir, package):
        with open(os.path.join(root_dir, path), encoding='utf-8') as file:
            tree = ast.parse(file.read())
        for function in public_functions(tree.body):
            word = re.match('[^ .,:;(]*', ast.get_docstring(function) or 'Needs none').group()
            assert re.match('[A-Z][a-z-]+s$', word) and word not in NO_VERBS, '{}:{} begins with {}'.format(
                path, function.lineno, word
            )


def test_the_class_that_people_read_stays_short(root_dir):
    with open(os.path.join(root_dir, 'fcn8s', 'model.py'), encoding='utf-8') as file:
        assert len(file.readlines()) <= 250


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
def test_moviepy_is_imported_inside_functions_of_one_module_only(root_dir, package):
    for path in python_files(root_dir, package):
        for module, node in imported_modules(os.path.join(root_dir, path)):
            if module.split('.')[0] == 'moviepy':
                assert path == os.path.join('helpers', 'video_files', 'ffmpeg.py') and node.col_offset > 0, (
                    '{}:{}'.format(path, node.lineno)
                )


def rooms_of(package, node):
    """The rooms of `package` that an import statement leads to; the package itself is none."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        names = ['{}.{}'.format(node.module, alias.name) for alias in node.names]
    parts = [name.split('.') for name in names]
    return {part[1] for part in parts if part[0] == package and len(part) > 1}


def arrows(root, package):
    """(room, room that it imports) -> the places; imports for `TYPE_CHECKING` and inside functions count as well."""
    found = {}
    for path in python_files(root, package):
        room = path.split(os.sep)[1].replace('.py', '')
        if room in ('__init__', '__main__', 'cli'):
            continue
        for _, node in imported_modules(os.path.join(root, path)):
            for other in rooms_of(package, node) - {room, '__version__'}:
                found.setdefault((room, other), []).append('{}:{}'.format(path, node.lineno))
    return found


@pytest.mark.parametrize('package', sorted(ARROWS))
def test_rooms_import_only_what_is_below_them(root_dir, package):
    for (room, other), places in arrows(root_dir, package).items():
        assert other in ARROWS[package].get(room, ()), '{} imports {}: {}'.format(room, other, places)


@pytest.mark.parametrize('package', sorted(ARROWS))
def test_there_is_no_circle_of_rooms(package):
    left = dict(ARROWS[package])
    while left:
        lowest = [room for room, below in left.items() if not set(below) & set(left)]
        assert lowest, 'a circle among {}'.format(sorted(left))
        for room in lowest:
            del left[room]


def imports_of_modules(root, package):
    """Module -> the modules of ours that it imports, those inside functions among them."""
    paths = {path[:-3].replace(os.sep, '.'): path for path in python_files(root, package)}
    found = {}
    for module, path in paths.items():
        found[module] = set()
        for name, node in imported_modules(os.path.join(root, path)):
            names = [name] if isinstance(node, ast.Import) else ['{}.{}'.format(name, a.name) for a in node.names]
            found[module].update(({name} | set(names)) & set(paths))
    return found


@pytest.mark.parametrize('package', sorted(OURS))
def test_there_is_no_circle_of_modules(root_dir, package):
    left = imports_of_modules(root_dir, package)
    while left:
        lowest = [module for module, below in left.items() if not below & set(left)]
        assert lowest, 'a circle among {}'.format(sorted(left))
        for module in lowest:
            del left[module]


# Modules under their names of version 1.0, which documentation goes on using.
SHORT_NAMES = {
    'fcn8s.boundaries': 'fcn8s.evaluation.boundaries',
    'fcn8s.runs': 'fcn8s.saving.runs',
    'fcn8s.schedules': 'fcn8s.training.schedules',
    'fcn8s.scores': 'fcn8s.evaluation.scores',
}


def source_of(root, name):
    """The text of the longest module that a dotted name begins with, and what is behind it."""
    parts = name.split('.')
    for count in range(len(parts), 0, -1):
        module = '.'.join(parts[:count])
        place = os.path.join(root, *SHORT_NAMES.get(module, module).split('.'))
        for path in (place + '.py', os.path.join(place, '__init__.py')):
            if os.path.isfile(path):
                with open(path, encoding='utf-8') as file:
                    return file.read(), parts[count:]
    return '', parts


@pytest.mark.parametrize('package', sorted(OURS))
def test_names_in_docstrings_and_comments_are_somewhere(root_dir, package):
    for path in python_files(root_dir, package):
        with open(os.path.join(root_dir, path), encoding='utf-8') as file:
            named = set(re.findall(r'`((?:fcn8s|data_generator|helpers)(?:\.[a-zA-Z_]\w*)+)(?:\(|`)', file.read()))
        for name in named - {'fcn8s.json'}:
            text, rest = source_of(root_dir, name)
            assert text and all(re.search(r'\b{}\b'.format(part), text) for part in rest), (path, name)


@functools.lru_cache(maxsize=None)
def imported_names(path):
    """What a module itself has from others."""
    with open(path, encoding='utf-8') as file:
        imports = [node for node in ast.parse(file.read()).body if isinstance(node, ast.ImportFrom)]
    return frozenset(alias.asname or alias.name for node in imports for alias in node.names)


@pytest.mark.parametrize('package', sorted(OURS))
def test_names_are_imported_from_the_module_that_defines_them(root_dir, package):
    """But for those that a package or the backend offers."""
    for path in python_files(root_dir, package):
        for module, node in imported_modules(os.path.join(root_dir, path)):
            source = os.path.join(root_dir, *module.split('.')) + '.py'
            if isinstance(node, ast.Import) or not os.path.isfile(source) or module == 'fcn8s.backend':
                continue
            borrowed = imported_names(source) & {alias.name for alias in node.names}
            assert not borrowed, '{}:{} has {} from {}'.format(path, node.lineno, sorted(borrowed), module)


PUBLIC_NAMES = [
    'Ensemble',
    'FCN8s',
    'OptimizerSettings',
    'Predictor',
    'TrainingInterrupted',
    '__version__',
    'architecture',
    'at_temperature',
    'boundaries',
    'diagnosis',
    'evaluate_predictions',
    'losses',
    'open_model',
    'runs',
    'schedules',
    'scores',
    'write_encoder',
]


def test_type_checkers_see_the_names_that_are_imported_when_they_are_used(root_dir):
    places = set()
    with open(os.path.join(root_dir, 'fcn8s', '__init__.pyi'), encoding='utf-8') as file:
        tree = ast.parse(file.read())
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module != 'typing':
            places.update((alias.asname, node.module, alias.name) for alias in node.names)
    expected = set()
    for name, place in fcn8s.PUBLIC_NAMES.items():
        module, _, attribute = place.partition(':')
        expected.add((name, module, attribute) if attribute else (name, *module.rsplit('.', 1)))
    assert places == expected


EVERY_PUBLIC_NAME = (
    'import fcn8s; from fcn8s import *; assert sorted(fcn8s.__all__) == {!r}; '
    'assert all(getattr(fcn8s, name) is globals()[name] for name in fcn8s.__all__)'
).format(PUBLIC_NAMES)
IMPORTS_OF_1_0 = [
    'from fcn8s.inference import open_model',
    'from fcn8s.vgg16 import write_encoder',
    'from fcn8s.decoder import bilinear_kernel',
    'from fcn8s.diagnosis import diagnose_history',
    'from fcn8s.interruption import TrainingInterrupted, StopRequest',
    'from fcn8s.optimizers import PAPER_SGD, OptimizerSettings',
    'from fcn8s.losses import build_loss',
    'from fcn8s.prediction import Predictor, predict_and_save',
    'from fcn8s.runs import resolve_model',
    'from fcn8s.schedules import polynomial',
    'from fcn8s.scores import summarize',
    'from fcn8s.boundaries import BoundaryTotals',
    'from fcn8s.architecture import draw_architecture, read_architecture',
    'import fcn8s.schedules, fcn8s.training.schedules; assert fcn8s.schedules is fcn8s.training.schedules',
    'import importlib, fcn8s.runs; importlib.reload(fcn8s.runs)',
    'from data_generator.checking import check_dataset',
    'from data_generator.layouts import Layout, LAYOUTS',
    'from data_generator.street_scenes import make_scene, write_dataset',
    'from helpers.images import find_images, natural_sort_key',
]
# Tries statements, each as the first of a process that has TensorFlow loaded and nothing of this library.
ONE_BY_ONE = """
import os, sys, traceback
import fcn8s.backend
for name in [name for name in sys.modules if name.partition('.')[0] in ('fcn8s', 'data_generator', 'helpers')]:
    del sys.modules[name]
for statement in sys.argv[1:]:
    child = os.fork()
    if not child:
        status = 1
        try:
            exec(statement, {})
            status = 0
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)
    if os.waitpid(child, 0)[1]:
        sys.exit(statement)
"""


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='there is no fork')
def test_every_public_name_is_there_and_import_paths_of_version_1_0_go_on_working():
    subprocess.run([sys.executable, '-c', ONE_BY_ONE, EVERY_PUBLIC_NAME] + IMPORTS_OF_1_0, check=True)


@pytest.mark.parametrize(
    'statement',
    [
        'import data_generator',
        'import helpers.visualization_utils',
        'import fcn8s',
        'import fcn8s.distributed.cluster',
        'import fcn8s.cli; fcn8s.cli.build_parser()',
        'from fcn8s import runs, schedules, scores, boundaries, diagnosis',
    ],
)
def test_does_not_load_tensorflow(statement):
    code = statement + '; import sys; sys.exit("tensorflow" in sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True)


SLOW_TO_LOAD = {'tensorflow', 'keras', 'torch', 'scipy', 'sklearn', 'matplotlib', 'pandas', 'moviepy', 'tqdm', 'PIL'}


@pytest.mark.parametrize(
    'statement, needed',
    [
        ('import fcn8s', set()),
        ('import fcn8s.cli; fcn8s.cli.build_parser()', set()),
        ('import data_generator', set()),
        # TensorFlow itself loads scipy, and Keras, which loads the others, when somebody asks for it.
        ('from fcn8s.prediction.frozen_network import open_model', {'tensorflow', 'scipy'}),
    ],
)
def test_loads_nothing_that_is_slow_and_not_needed(statement, needed):
    if needed and sys.version_info < (3, 8):
        pytest.skip('TensorFlow 1.15 has Keras inside of it, and loads what that loads')
    code = statement + '; import sys; print(" ".join(sys.modules))'
    loaded = subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.PIPE).stdout.decode().split()
    assert SLOW_TO_LOAD & set(loaded) <= needed


def test_keras_is_there_for_whoever_asks_for_it_and_tensorflow_is_not_switched_globally():
    code = (
        'from fcn8s import FCN8s; import tensorflow; from tensorflow.keras import layers; '
        'assert tensorflow.executing_eagerly() == (tensorflow.__version__[0] != "1"); '
        'print(tensorflow.keras.layers.Dense(3).units, layers.Dense(4).units)'
    )
    printed = subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.PIPE).stdout
    assert printed.split() == [b'3', b'4']
