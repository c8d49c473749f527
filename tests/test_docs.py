"""The pages in docs/ do what they say: Python is executed, commands are run, links lead somewhere."""

import glob
import importlib.util
import os
import re
import shlex
import shutil
import sys

import numpy as np
import pytest
from thorough import THOROUGH
from workplace import make_workplace, python_blocks, read_page, shell_commands, working_in

from data_generator.transforms.pipeline import build_pipeline
from helpers.visualization_utils import colorize

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Pages whose Python is no program: signatures; and those with a test of their own.
ELSEWHERE = {'api.md', 'deploying.md', 'callbacks.md'}
# Pages of measurements, whose commands take long, and the reference.
MEASURED = {'ablation.md', 'plan.md'}
WITHOUT_AIM = {'api.md'}
# The page that is about the reports of trainings.
WITH_REPORTS = 'looking-at-results.md'
# What takes hours, a download or a GPU, or the run of such a command: the words are checked, and nothing is run.
NOT_RUN = re.compile(r'--weights (keras|hed|vgg|VGG)|--recipe|runs/camvid100|SOURCE|mixed_float16|camera:|fcn8s demo')
# Appended, so that readers can copy commands that train long enough.
SHORTENED = {
    'train': ['--epochs', '1'],
    'find-rate': ['--steps', '10'],
    'sample-data': ['--train', '4', '--val', '2', '--drive', '0', '--size', '64', '128'],
}


PAGES = sorted(os.path.basename(path) for path in glob.glob(os.path.join(ROOT, 'docs', '*.md')))


@pytest.fixture(scope='module')
def place(tmp_path_factory, shallow_encoder):
    """What a reader has, the run `runs/first` that the README's command makes, and another, `runs/other`."""
    from fcn8s.cli import main

    place = str(tmp_path_factory.mktemp('docs'))
    make_workplace(place, shallow_encoder)
    with working_in(place):
        line = 'train --data cityscapes --encoder VGG16 --epochs 1 --batch 2 --no-report --run runs/first'
        assert main(line.split()) == 0
        shutil.copytree('runs/first', 'runs/other')
    return place


@pytest.mark.slow
@pytest.mark.parametrize('name', [name for name in PAGES if python_blocks(read_page(name)) and name not in ELSEWHERE])
def test_python_is_executed(place, name):
    namespace = {'__name__': 'page'}
    with working_in(place):
        for block in python_blocks(read_page(name)):
            exec(compile(block, name, 'exec'), namespace)


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 8) and not THOROUGH, reason='tests/test_readme.py runs commands on 1.15')
@pytest.mark.parametrize(
    'name',
    [name for name in PAGES if shell_commands(read_page(name)) and name not in MEASURED | WITHOUT_AIM | ELSEWHERE],
)
def test_commands_are_run(place, name):
    from fcn8s.cli import main

    with working_in(place):
        for command in shell_commands(read_page(name)):
            words = shlex.split(command, comments=True)[1:]
            words += SHORTENED.get(words[0], []) if '--resume' not in words else []
            if words[0] == 'train' and name != WITH_REPORTS:
                words.append('--no-report')
            if not NOT_RUN.search(command):
                assert main(words) == 0, command


@pytest.mark.parametrize('name', [name for name in PAGES if name not in MEASURED | WITHOUT_AIM])
def test_commands_are_spelled_right(name):
    from fcn8s.cli import build_parser

    for command in shell_commands(read_page(name)):
        words = shlex.split(command, comments=True)[1:]
        if '--help' not in words and '--version' not in words and '--list-recipes' not in words:
            assert callable(build_parser().parse_args(words).run), command


def anchors(text):
    """The anchors that GitHub makes of headings."""
    titles = re.findall(r'^#+ (.*)$', re.sub(r'^```.*?^```', '', text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.parametrize('name', PAGES + ['../README.md', '../CONTRIBUTING.md', '../CHANGELOG.md'])
def test_links_lead_somewhere(name):
    folder = os.path.join(ROOT, 'docs', os.path.dirname(name))
    text = re.sub(r'^```.*?^```', '', read_page(name), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r'\]\(([^)\s]+)\)', text):
        if re.match(r'\w+:', target):
            assert target.startswith('https://'), target
            continue
        path, _, anchor = target.partition('#')
        full = os.path.join(folder, path) if path else os.path.join(ROOT, 'docs', name)
        assert os.path.exists(full), target
        if anchor and full.endswith('.md'):
            with open(full, encoding='utf-8') as file:
                assert anchor in anchors(file.read()), target


def test_files_that_are_named_are_there():
    # What a user has, and what 2017 had, is called otherwise.
    folders = 'fcn8s|tests|data_generator|benchmarks|docs|example_images'
    text = ''.join(map(read_page, PAGES + ['../README.md', '../CONTRIBUTING.md']))
    paths = re.findall(r'`(?:python )?((?:{})/[\w/.-]+\.\w+)'.format(folders), text)
    assert len(paths) > 20 and [path for path in paths if not os.path.exists(os.path.join(ROOT, path))] == []


@pytest.mark.parametrize('name', [name for name in PAGES if name not in WITHOUT_AIM])
def test_a_page_says_what_one_will_be_able_to_do_and_what_to_read_next(name):
    text = read_page(name)
    assert re.search(r'you will be able to', text[:700], re.IGNORECASE), name
    assert re.search(r'read next', text[-900:], re.IGNORECASE), name


def test_every_page_is_linked_from_another():
    texts = {name: read_page(name) for name in PAGES + ['../README.md']}
    for name in PAGES:
        assert any(
            '({})'.format(name) in text or '(docs/{})'.format(name) in text or name + '#' in text
            for other, text in texts.items()
            if other != name
        ), name


def test_the_api_reference_is_current():
    """Else: python docs/make_api.py"""
    spec = importlib.util.spec_from_file_location('make_api', os.path.join(ROOT, 'docs', 'make_api.py'))
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    assert make_api.render() == read_page('api.md'), 'run: python docs/make_api.py'
    assert '#### FCN8s.train' in read_page('api.md') and '### helpers.label_spaces.LabelSpace' in read_page('api.md')


def test_constants_of_2017_have_their_values(capsys):
    """By the rule of its table: void is 0, the 19 classes follow; void has its own colour."""
    from cityscapesscripts.helpers.labels import assureSingleInstanceName, labels

    namespace = {}
    blocks = [block for block in python_blocks(read_page('migrating.md')) if 'IDS_TO_COLORS_DICT' in block]
    exec(blocks[0], namespace)
    train_id = {label.id: label.trainId + 1 if label.trainId not in (-1, 255) else 0 for label in labels}
    for label in labels:
        if label.id < 0:
            continue
        assert namespace['IDS_TO_TRAINIDS_ARRAY'][label.id] == train_id[label.id]
        assert namespace['IDS_TO_TRAINIDS_DICT'][label.id] == train_id[label.id]
        assert namespace['trainId2label'][train_id[label.id]].color in namespace['COLORS_TO_TRAINIDS_DICT']
        if label.name != 'polegroup':  # which has the colour of poles
            assert namespace['COLORS_TO_TRAINIDS_DICT'][label.color] == train_id[label.id], label.name
        assert (
            tuple(namespace['IDS_TO_COLORS_ARRAY'][label.id])
            == label.color
            == namespace['IDS_TO_COLORS_DICT'][label.id]
        )
        assert namespace['IDS_TO_RGBA_DICT'][label.id] == label.color + (127,)
        assert namespace['IDS_TO_CATEGORYIDS_ARRAY'][label.id] == label.categoryId
        assert namespace['IDS_TO_CATEGORYIDS_DICT'][label.id] == label.categoryId
        if train_id[label.id]:
            key = train_id[label.id]
            assert namespace['TRAINIDS_TO_IDS_ARRAY'][key] == namespace['TRAINIDS_TO_IDS_DICT'][key] == label.id
            assert namespace['TRAINIDS_TO_COLORS_DICT'][key] == label.color
            assert namespace['TRAINIDS_TO_RGBA_DICT'][key] == label.color + (127,)
            assert namespace['COLORS_TO_TRAINIDS_DICT'][label.color] == key
    assert namespace['TRAINIDS_TO_COLORS_DICT'][0] == (0, 0, 0) and namespace['TRAINIDS_TO_IDS_ARRAY'][0] == 0
    assert len(namespace['TRAINIDS_TO_COLORS_DICT']) == 20 and len(namespace['LABELS']) == 35
    for category in range(8):
        last = [label.id for label in labels if label.categoryId == category and label.id >= 0][-1]
        assert namespace['CATEGORYIDS_TO_IDS_ARRAY'][category] == last == namespace['CATEGORYIDS_TO_IDS_DICT'][category]
    for name in ('IDS_TO_TRAINIDS', 'TRAINIDS_TO_IDS', 'IDS_TO_CATEGORYIDS', 'CATEGORYIDS_TO_IDS'):
        for form in ('DICT', 'ARRAY'):
            build_pipeline(convert_ids_to_ids=namespace['{}_{}'.format(name, form)])
    for table in ('COLORS', 'RGBA'):  # which pictures take as their colours
        for ids in ('IDS', 'TRAINIDS'):
            colorize(np.array([[7, 11]], np.uint8), namespace['{}_TO_{}_DICT'.format(ids, table)])
    assert namespace['COLORS_TO_IDS_DICT'][(0, 0, 142)] == 26, 'cars, which have the colour of the license plate'
    assert namespace['COLORS_TO_IDS_DICT'][(0, 0, 0)] == 0
    for own, label in zip(namespace['labels'], labels):
        assert own == label._replace(trainId=train_id[label.id])
        assert own._fields == label._fields
        assert own in namespace['category2labels'][label.category]
    assert namespace['trainIds_to_ids_dict'] is namespace['TRAINIDS_TO_IDS_DICT']
    assert namespace['ids_to_categoryIds_array'] is namespace['IDS_TO_CATEGORYIDS_ARRAY']
    for name in ('car', 'cargroup', 'polegroup', 'skygroup', 'foo', 'foogroup'):
        assert namespace['assureSingleInstanceName'](name) == assureSingleInstanceName(name)
    namespace['print_labels'](labels[7:8])
    assert 'road | 7 | 0 | flat' in capsys.readouterr().out
    assert namespace['COLORS_TO_IDS_DICT'][(128, 64, 128)] == 7 == namespace['name2label']['road'].id


def test_commands_to_copy_train_long_enough():
    """Tests shorten them (SHORTENED), not the pages."""
    for name in PAGES:
        if name not in MEASURED | WITHOUT_AIM:
            for command in shell_commands(read_page(name)):
                assert not re.search(r'^fcn8s train .*--epochs \d\b', command), command
