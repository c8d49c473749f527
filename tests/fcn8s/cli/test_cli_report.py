"""`fcn8s report` on a tiny network and a tiny dataset."""

import base64
import json
import os
import re

import cv2
import numpy as np
import pytest

from fcn8s import cli
from fcn8s.saving import runs
from helpers.color_vision import with_palette
from helpers.images import write_image, write_labels
from helpers.label_spaces import LABEL_SPACES

NUM_IMAGES = 2


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Images and class IDs of Cityscapes with void."""
    root, rng = tmp_path_factory.mktemp('data'), np.random.RandomState(0)
    for number in range(NUM_IMAGES):
        coarse = rng.randint(256, size=(5, 8, 3)).astype(np.uint8)
        write_image(str(root / 'images' / '{}.png'.format(number)), coarse.repeat(8, axis=0).repeat(8, axis=1))
        labels = rng.randint(20, size=(5, 8)).astype(np.uint8)
        write_labels(str(root / 'labels' / '{}.png'.format(number)), labels.repeat(8, axis=0).repeat(8, axis=1))
    return ['--images', str(root / 'images'), '--labels', str(root / 'labels')]


def report(*arguments):
    return cli.main(['report'] + [str(argument) for argument in arguments])


def data_of(path):
    page = path.read_text(encoding='utf-8')
    return page, json.loads(re.search('id="data">(.*?)</script>', page, re.S).group(1))


def test_a_model_on_data(small_model, data, tmp_path, capsys):
    out = tmp_path / 'sub' / 'page.html'
    assert report(small_model, *data, '--out', out, '--resamples', 20, '--against', small_model) == 0
    page, shown = data_of(out)
    assert 'report: {}'.format(out) in capsys.readouterr().out
    names = {number: image['name'] for number, image in shown['images'].items()}
    assert names == {'0': '0', '1': '1'} and set(shown['pictures']) == {'0', '1'}
    assert np.sum(shown['matrix']) == NUM_IMAGES * 40 * 64
    assert 'fcn8s report ' in page and '--resamples 20' in page and '0.00 to 0.00' in page
    assert re.search(
        r'Expected calibration error: [\d.]+ %\. At a temperature .* it is [\d.]+ %; .* \(<span[^>]*>--temperature',
        page,
    )


def test_a_run_brings_its_own_data(small_model, data, tmp_path, monkeypatch):
    command = {'data': None, 'val_images': data[1], 'val_labels': data[3]}
    space = LABEL_SPACES['cityscapes20'].to_dict()
    config = {'model': {'variant': '8s', 'num_classes': 20, 'label_space': space}, 'versions': {'tensorflow': '2'}}
    run = runs.create_run(str(tmp_path / 'run'), dict(config, command=command))
    monkeypatch.setattr(runs, 'resolve_model', lambda path: small_model)
    assert report(run.directory, '--resamples', 20, '--palette', 'color-blind') == 0
    page, shown = data_of(tmp_path / 'run' / 'report.html')
    assert len(shown['images']) == NUM_IMAGES
    colors = with_palette(LABEL_SPACES['cityscapes20'], 'color-blind').colors
    assert shown['colors'] == ['#{:02x}{:02x}{:02x}'.format(*color) for color in colors]
    truth = cv2.imdecode(np.frombuffer(base64.b64decode(shown['pictures']['0'][1]), np.uint8), cv2.IMREAD_COLOR)
    drawn = {tuple(color) for color in truth[..., ::-1].reshape(-1, 3)}
    assert len(drawn) > 5 and drawn <= set(colors) | {(0, 0, 0)}


@pytest.mark.parametrize(
    'damaged, message', [('config.json', 'it does not say model'), ('metrics.jsonl', 'is no file')]
)
def test_a_damaged_run_is_refused_before_its_evaluation(data, tmp_path, monkeypatch, capsys, damaged, message):
    config = {'model': {'variant': '8s', 'num_classes': 20}, 'versions': {}}
    run = runs.create_run(str(tmp_path / 'run'), dict(config, model=None) if damaged == 'config.json' else config)
    if damaged == 'metrics.jsonl':
        (tmp_path / 'run' / damaged).mkdir()
    monkeypatch.setattr('fcn8s.cli.report.find_subjects', lambda args: pytest.fail('the evaluation began'))
    assert report(run.directory, *data) == 2
    error = capsys.readouterr().err
    assert damaged in error and message in error


@pytest.mark.parametrize('with_data', [True, False])
def test_a_report_that_is_a_link_is_refused_before_the_evaluation(data, tmp_path, monkeypatch, capsys, with_data):
    """Somebody else's run could lead anywhere."""
    run = runs.create_run(str(tmp_path / 'run'), {'model': {'variant': '8s', 'num_classes': 20}, 'versions': {}})
    (tmp_path / 'mine').write_text('mine')
    os.symlink(str(tmp_path / 'mine'), run.report_path)
    monkeypatch.setattr('fcn8s.cli.report.find_subjects', lambda args: pytest.fail('the evaluation began'))
    assert report(run.directory, *(data if with_data else ())) == 2
    error = capsys.readouterr().err
    assert 'is a link to {!r}, and the report'.format(str(tmp_path / 'mine')) in error and '--out FILE' in error
    assert (tmp_path / 'mine').read_text() == 'mine'


def test_a_report_that_cannot_be_written_is_refused_before_the_evaluation(data, tmp_path, monkeypatch, capsys):
    config = {'model': {'variant': '8s', 'num_classes': 20}, 'versions': {}}
    run = runs.create_run(str(tmp_path / 'run'), config)
    (tmp_path / 'run' / 'report.html').mkdir()
    monkeypatch.setattr('fcn8s.cli.report.find_subjects', lambda args: pytest.fail('the evaluation began'))
    assert report(run.directory, *data) == 2
    assert 'the default of --out, {} is a directory'.format(run.report_path) in capsys.readouterr().err


def test_a_run_without_data_shows_its_training(tmp_path, capsys):
    config = {'model': {'variant': '8s', 'num_classes': 2}, 'versions': {'tensorflow': '2'}}
    run = runs.create_run(str(tmp_path / 'run'), config)
    assert report(run.directory) == 0
    assert 'has no validation data: the report shows its training' in capsys.readouterr().out
    assert data_of(tmp_path / 'run' / 'report.html')[1] == {}
    assert report(run.directory, '--against', run.directory, '--mirror', '--samples', 4) == 2
    assert '--against, --mirror, --samples: {} has no validation data'.format(run.directory) in capsys.readouterr().err
    assert report(run.directory, '--palette', 'color-blind') == 2
    said = '--palette is color-blind, and {} was never evaluated: its report shows no class'.format(run.directory)
    assert said in capsys.readouterr().err


def test_a_run_without_the_data_it_was_evaluated_on(tmp_path, data, capsys):
    run = runs.create_run(str(tmp_path / 'run'), {'command': {'val_images': data[1], 'val_labels': 'gone'}})
    assert report(run.directory) == 2
    assert '{} was evaluated on gone, which is not there. Say where'.format(run.directory) in capsys.readouterr().err
    assert report(run.directory, *data[2:]) == 2
    assert '--labels came without --images, to which it belongs' in capsys.readouterr().err


@pytest.mark.parametrize(
    'arguments, message',
    [
        ([], 'say what to evaluate on: either --data ROOT, or --images DIR --labels DIR'),
        (['--resamples', '0'], '--resamples is 0; it has to be from 1'),
        (['--out', '.'], '--out . is a directory; give it the name of a file, for example report.html'),
        (['--out', 'page.pdf'], '--out is page.pdf; it has to be the name of a .html or .htm file, for example report'),
        (['--overlap', '3'], 'there are no tiles'),
        (['--scales', '0'], 'scales is [0.0]; it has to be one or more positive numbers'),
    ],
)
def test_what_cannot_be_reported(small_model, arguments, message, capsys):
    assert report(small_model, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_model_that_is_no_run_needs_a_place(small_model, data, capsys):
    assert report(small_model, *data) == 2
    assert 'is no run directory: say with --out FILE where the report goes' in capsys.readouterr().err


def test_what_is_no_model(tmp_path, capsys):
    assert report(tmp_path / 'nowhere') == 2
    assert "nowhere' does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    'command, message',
    [
        ([1], r"config.json is damaged: its options are '\[1\]', no table of options"),
        ({'data': 5, 'val_split': 'val'}, 'config.json: data is 5; it has to be a text'),
        ({'layout': [1], 'data': 'D', 'val_split': 'val'}, r'config.json: layout is \[1\]; it has to be a text'),
        ({'id_map': [1], 'images': 'I', 'val_images': 'I'}, r'config.json: id_map is \[1\]; it has to be a text'),
        ({'l2': 10**400}, 'config.json: l2 is 1000.*; it has to be a finite number'),
    ],
)
def test_options_of_a_run_that_cannot_be_are_refused_in_a_line(tmp_path, capsys, command, message):
    run = runs.create_run(str(tmp_path / 'run'), {'versions': {}, 'model': {}, 'command': command})
    assert report(run.directory) == 2
    printed = capsys.readouterr().err
    assert re.search(message, printed) and 'Traceback' not in printed


def test_options_of_a_run_that_are_not_all_there(tmp_path, capsys):
    run = runs.create_run(str(tmp_path / 'run'), {'versions': {}, 'command': {'val_images': 'I'}})
    assert report(run.directory) == 2
    assert 'Traceback' not in capsys.readouterr().err
