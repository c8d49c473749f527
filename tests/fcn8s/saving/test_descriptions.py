"""`fcn8s.json` of others."""

import json
import os
import shutil

import numpy as np
import pytest

from fcn8s.backend import MetaGraphDef
from fcn8s.cli import main
from fcn8s.saving.descriptions import read_description
from fcn8s.saving.model_files import describe, write_model_files
from fcn8s.settings import ModelSettings
from helpers.images import write_image
from helpers.label_spaces import LABEL_SPACES


def written(tmp_path, **changes):
    """A folder with a description in which some entries are others."""
    description = dict(ModelSettings(LABEL_SPACES['camvid']).to_dict(), format=1, global_step=3, metrics={})
    for name, value in changes.items():
        place, key = (description['label_space'], name[6:]) if name.startswith('space_') else (description, name)
        place[key] = value
    (tmp_path / 'fcn8s.json').write_text(json.dumps(description))
    return str(tmp_path)


NAMES = list(LABEL_SPACES['camvid'].class_names)
COLORS = [list(color) for color in LABEL_SPACES['camvid'].colors]


def test_what_this_library_writes_is_read(tmp_path):
    assert read_description(written(tmp_path)).settings.label_space == LABEL_SPACES['camvid']


def test_scores_that_there_are_not_are_null(tmp_path):
    scores = {'mean_iou': float('nan'), 'accuracy': 0.5}
    description = describe(ModelSettings(LABEL_SPACES['camvid']), 3, scores)
    write_model_files(str(tmp_path), MetaGraphDef(), description, lambda prefix: None)
    text = (tmp_path / 'fcn8s.json').read_text()
    assert json.loads(text, parse_constant=pytest.fail)['metrics'] == {'mean_iou': None, 'accuracy': 0.5}
    assert read_description(str(tmp_path)).settings.label_space == LABEL_SPACES['camvid']


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(skip_scales=[float('nan'), 1]), 'both factors have to be positive and finite'),
        (dict(skip_scales=[1]), 'has to be two numbers'),
        (dict(skip_scales='11'), 'skip_scales'),
        (dict(skip_scales=[10**400, 1]), 'has to be two numbers'),
        (dict(skip_scales=['1', True]), 'has to be two numbers'),
        (dict(num_classes=7), 'num_classes is 7, but the label space .camvid. names'),
        (dict(num_classes=None), 'num_classes is None'),
        (dict(variant='4s'), "variant is '4s'; choose from"),
        (dict(variant=['8s']), 'variant is'),
        (dict(space_class_names=[1] + NAMES[1:]), 'class_names has 1; a name is 1 to 200 characters'),
        (dict(space_class_names=['x' * 200000] + NAMES[1:]), "class_names has 'xxx.*[.]{3}; a name is"),
        (dict(space_class_names=['\x1b[2J'] + NAMES[1:]), r"class_names has '.x1b\[2J'; a name is"),
        (dict(space_class_names=NAMES[1:]), 'There has to be one per class'),
        (dict(space_class_names={}), 'class_names is .*has to be a list'),
        (dict(space_name='a\nb'), 'name has'),
        (dict(space_colors=[[0, 0, 256]] + COLORS[1:]), 'colors has .* three integers from 0 to 255'),
        (dict(space_colors=['<script>'] + COLORS[1:]), 'colors has .* three integers from 0 to 255'),
        (dict(space_colors=[[0, 0]] + COLORS[1:]), 'colors has'),
        (dict(space_colors=None), 'colors is'),
        (dict(space_ignore_id='255'), "ignore_id is '255'"),
        (dict(space_ignore_id=300), 'ignore_id is 300'),
        (dict(space_void_class_ids=[True]), 'void_class_ids has True'),
        (dict(label_space=[]), 'is damaged'),
        (dict(format='new'), 'is damaged'),
        (dict(global_step=-1), 'global_step is -1'),
        (dict(metrics=[1]), 'metrics is'),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, changes, message):
    with pytest.raises(
        ValueError, match=r'fcn8s.json is damaged: (.|\n)*' + message if message != 'is damaged' else message
    ):
        read_description(written(tmp_path, **changes))


@pytest.mark.parametrize('content', [b'', b'[]', b'\xff\xfe', b'[' * 100000, b'{"format": 1}', b' ' * (11 << 20)])
def test_what_is_no_description_is_refused_in_one_line(tmp_path, content):
    (tmp_path / 'fcn8s.json').write_bytes(content)
    with pytest.raises(ValueError, match='fcn8s.json is damaged: .*Copy it again from where the model was saved'):
        read_description(str(tmp_path))


def test_a_long_value_is_not_shown_whole(tmp_path):
    with pytest.raises(
        ValueError, match=r"global_step is 'xxx.*x [.]{3} x.*', no whole number from 0[.] Copy it"
    ) as raised:
        read_description(written(tmp_path, global_step='x' * 10**5))
    assert len(str(raised.value)) < 1000


def test_a_later_format_asks_for_a_later_version(tmp_path):
    with pytest.raises(ValueError, match='has format 99, .*Upgrade fcn8s'):
        read_description(written(tmp_path, format=99))


def test_a_refused_description_stops_prediction_before_anything_is_opened(small_model, tmp_path, capsys):
    model = shutil.copytree(small_model, str(tmp_path / 'model'))
    path = os.path.join(model, 'fcn8s.json')
    with open(path) as file:
        description = json.load(file)
    description['skip_scales'] = [float('nan'), 1]
    with open(path, 'w') as file:
        json.dump(description, file)
    write_image(str(tmp_path / 'image.png'), np.zeros([32, 32, 3], np.uint8))
    assert main(['predict', model, str(tmp_path / 'image.png'), '--out', str(tmp_path / 'out')]) == 2
    assert 'skip_scales is [nan, 1]' in capsys.readouterr().err
