"""Writes docs/api.md, the API reference, from the docstrings in the code.

    python docs/make_api.py

The code is parsed, not imported, so that the page is the same on every Python and TensorFlow.
"""

import ast
import os
from typing import Dict, Iterator, List, Tuple, Union

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = os.path.join(ROOT, 'docs', 'api.md')

# Besides the public names of fcn8s: module, and a name in it or '' for all that are public.
OTHERS = [
    ('fcn8s.evaluation.evaluate', 'evaluate_model'),
    ('fcn8s.export.exporting', 'export_model'),
    ('fcn8s.prediction.frozen_network', 'InferenceGraph'),
    ('fcn8s.prediction.predictor', 'predict_and_save'),
    ('fcn8s.training.request', 'TrainingEvent'),
    ('fcn8s.vgg16.further_channels', 'further_channels'),
    ('data_generator.batch_generator', 'BatchGenerator'),
    ('data_generator.errors', ''),
    ('data_generator.files.layouts', ''),
    ('data_generator.checking.check', 'check_dataset'),
    ('data_generator.transforms.pipeline', 'build_pipeline'),
    ('helpers.label_spaces', ''),
    ('helpers.class_weights', ''),
    ('helpers.ground_truth', ''),
    ('helpers.images', ''),
    ('helpers.image_rules', 'ImageRules'),
    ('helpers.image_search', ''),
    ('helpers.visualization_utils', ''),
    ('helpers.legend_drawing', ''),
    ('helpers.split_views', ''),
    ('helpers.video', ''),
]
# What most scripts use: named above the table of modules.
FIRST = [
    'fcn8s.model.FCN8s',
    'data_generator.batch_generator.BatchGenerator',
    'fcn8s.vgg16.write.write_encoder',
    'fcn8s.export.engines.open_model',
    'fcn8s.prediction.predictor.Predictor',
]
INTRODUCTION = """# API reference

Made from the docstrings by `python docs/make_api.py`; a test checks that it is current. How to use it:
[training](training.md), [evaluation](evaluation.md), [prediction](prediction.md).

Most scripts use {first}.

| module | about |
| --- | --- |
{modules}
"""

Definition = Union[ast.FunctionDef, ast.ClassDef]


def module_path(module: str) -> str:
    """The file of a module, or of a package's first page."""
    path = os.path.join(ROOT, *module.split('.'))
    return path + '.py' if os.path.exists(path + '.py') else os.path.join(path, '__init__.py')


def public_names() -> List[Tuple[str, str]]:
    """(module, name) of what fcn8s offers, in the order of the alphabet, and then the others; by modules, FIRST before
    them all."""
    from fcn8s import PUBLIC_NAMES

    places = [PUBLIC_NAMES[name].partition(':') for name in sorted(PUBLIC_NAMES)]
    names = [(module, name) for module, _, name in places] + OTHERS
    names.sort(key=lambda place: (FIRST + ['.'.join(place)]).index('.'.join(place)))
    modules = [module for module, _ in names]
    return sorted(names, key=lambda place: modules.index(place[0]))


def how_to_import(module: str) -> str:
    """What one types for the public names of fcn8s that live in a module; '' for the others."""
    from fcn8s import PUBLIC_NAMES

    names = [name for name, place in sorted(PUBLIC_NAMES.items()) if place.partition(':')[0] == module]
    return ' `from fcn8s import {}`'.format(', '.join(names)) if names else ''


def signature(lines: List[str], node: ast.FunctionDef) -> str:
    """The lines from `def` to the colon, as they are written."""
    first = node.body[0].lineno - 1
    found: List[str] = []
    for line in lines[node.lineno - 1 : first + 1]:
        if line.strip().startswith('@'):  # Python 3.7 counts decorators as the beginning
            continue
        found.append(line[node.col_offset :])
        if line.rstrip().endswith(':'):
            break
    return '\n'.join(found).rstrip(':')


def is_public(node: ast.AST) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith('_')


def is_property(node: ast.FunctionDef) -> bool:
    return any(isinstance(decorator, ast.Name) and decorator.id == 'property' for decorator in node.decorator_list)


def text_block(docstring: str) -> List[str]:
    return ['```text', docstring, '```', ''] if docstring else []


def of_function(lines: List[str], node: ast.FunctionDef, title: str) -> Iterator[str]:
    yield from [title, '', '```python', signature(lines, node), '```', '']
    yield from text_block(ast.get_docstring(node) or '')


def of_class(lines: List[str], node: ast.ClassDef, module: str) -> Iterator[str]:
    yield from ['### {}.{}'.format(module, node.name), '']
    yield from text_block(ast.get_docstring(node) or '')
    for member in node.body:
        if not isinstance(member, ast.FunctionDef):
            continue
        if member.name == '__init__':
            yield from ['```python', signature(lines, member), '```', '']
        elif is_public(member) and ast.get_docstring(member):
            kind = ' (property)' if is_property(member) else ''
            yield from of_function(lines, member, '#### {}.{}{}'.format(node.name, member.name, kind))


def of_definition(lines: List[str], node: Definition, module: str) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        yield from of_class(lines, node, module)
    else:
        yield from of_function(lines, node, '### {}.{}'.format(module, node.name))


def link(text: str, heading: str) -> str:
    """A link to a heading of the page, by the anchor that GitHub makes of it."""
    return '[{}](#{})'.format(text, heading.lower().replace('.', ''))


def introduction(modules: Dict[str, str]) -> str:
    """What stands above the sections. modules: what each is about."""
    first = ['`{}`'.format(name.rpartition('.')[2]) for name in FIRST]
    rows = ['| {} | {} |'.format(link(module, module), line) for module, line in modules.items()]
    return INTRODUCTION.format(first=', '.join(map(link, first, FIRST)), modules='\n'.join(rows))


def render() -> str:
    """The whole page."""
    parts: List[str] = []
    modules: Dict[str, str] = {}
    for module, name in public_names():
        with open(module_path(module), encoding='utf-8') as file:
            source = file.read()
        tree, lines = ast.parse(source), source.split('\n')
        if module not in modules:
            modules[module] = ' '.join((ast.get_docstring(tree) or '').split('\n\n')[0].split())
            parts += ['## {}'.format(module), '', modules[module] + how_to_import(module), '']
        nodes = [node for node in tree.body if is_public(node) and (not name or node.name == name)]
        for node in nodes:
            if ast.get_docstring(node):
                parts += of_definition(lines, node, module)
    return '\n'.join([introduction(modules)] + parts).rstrip() + '\n'


if __name__ == '__main__':
    rendered = render()
    with open(PATH, 'w', encoding='utf-8', newline='\n') as page:
        page.write(rendered)
