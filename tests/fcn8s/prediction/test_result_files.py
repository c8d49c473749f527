"""Which images are predicted, and what counts as results of an earlier prediction."""

import os

import numpy as np
import pytest

from fcn8s.prediction.result_files import Job, ResultFiles, plan_jobs
from fcn8s.prediction.result_kinds import DOUBT_KINDS, RESULT_KINDS
from helpers import image_search
from helpers.images import write_image
from helpers.label_spaces import CAMVID


@pytest.fixture
def images(tmp_path, monkeypatch):
    """The folder 'town' with an image and a subfolder with another, in the current directory."""
    for path in ('town/one.png', 'town/street/two.png'):
        write_image(str(tmp_path / path), np.zeros((4, 4, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    return 'town'


@pytest.mark.parametrize('out', ['.', '..', 'elsewhere', 'town/results'])
def test_results_around_beside_or_below_the_images(images, out):
    assert plan_jobs([images], out) == [
        Job(os.path.join('town', 'one.png'), 'one'),
        Job(os.path.join('town', 'street', 'two.png'), os.path.join('street', 'two')),
    ]


def test_results_around_the_images_of_a_pattern(images):
    assert plan_jobs(['town/s*/*.png'], '.') == [Job('town/street/two.png', os.path.join('street', 'two'))]


def test_results_below_the_images_are_left_out(images):
    assert plan_jobs([images], 'town/street') == [Job(os.path.join('town', 'one.png'), 'one')]
    os.remove('town/one.png')
    with pytest.raises(FileNotFoundError, match="there is no image in town apart from the results in 'town/street'"):
        plan_jobs([images], 'town/street')


@pytest.mark.parametrize('source', ['town', 'town/*.png', 'town/**/*.png'])
def test_results_among_the_images_are_refused(images, source):
    with pytest.raises(ValueError, match="'town' is the folder of the images and of the results.*Give another folder"):
        plan_jobs([source], 'town')


def test_an_image_that_is_named_may_have_its_results_beside_it(images):
    assert plan_jobs(['town/one.png'], 'town') == [Job('town/one.png', 'one')]


def test_results_whose_names_differ_only_in_case_need_a_file_system_that_tells_them_apart(images, monkeypatch):
    write_image('town/ONE.jpg', np.zeros((4, 4, 3), np.uint8))
    write_image('town/street/ONE.jpg', np.zeros((4, 4, 3), np.uint8))
    monkeypatch.setattr(image_search, 'ignores_case', lambda folder: folder != 'town/out')
    assert len(plan_jobs(['town'], 'town/out')) == 4
    with pytest.raises(ValueError, match=r'ONE\.jpg and .*one\.png would have the same results, one_overlay\.png'):
        plan_jobs(['town'], 'out')
    os.remove('town/one.png')
    assert len(plan_jobs(['town'], 'out')) == 3


def test_a_source_that_is_not_there_is_called_so(images):
    with pytest.raises(FileNotFoundError, match='nowhere does not exist'):
        plan_jobs(['nowhere'], '.')


def test_a_pattern_that_leads_outside_writes_inside(tmp_path):
    (tmp_path / 'a' / 'b').mkdir(parents=True)
    for name in ('x.png', 'a/b/y.png'):
        write_image(str(tmp_path / name), np.zeros((2, 2, 3), np.uint8))
    jobs = plan_jobs([str(tmp_path / 'a' / '*' / '..' / '..' / 'x.png')], str(tmp_path / 'a' / 'out'))
    assert [job.stem for job in jobs] == ['x']


def test_a_result_of_too_long_a_name_is_refused_before_anything_is_written(tmp_path):
    results = ResultFiles(str(tmp_path), CAMVID, ['overlay'])
    results.check_inputs([Job('a.png', 'a' * 243)])
    with pytest.raises(ValueError, match='would have a name of 256 bytes, and file systems take 255. Give the image'):
        results.check_inputs([Job('a.png', 'a' * 244)])
    with pytest.raises(ValueError, match='of 258 bytes'):
        results.check_inputs([Job('ä.png', 'ä' * 123)])


def test_no_two_kinds_of_results_share_files_or_flags(tmp_path):
    results = ResultFiles(str(tmp_path), CAMVID, list(RESULT_KINDS))
    assert len({results.path('a', kind) for kind in RESULT_KINDS}) == len(RESULT_KINDS) == 7
    assert DOUBT_KINDS == ('doubt', 'entropy', 'mutual_information')
    flags = {kind: result.flag for kind, result in RESULT_KINDS.items() if kind not in DOUBT_KINDS}
    assert flags == {kind: '--' + kind for kind in ('overlay', 'color', 'ids', 'softmax')}


def test_no_name_in_the_table_of_doubts_is_a_formula(tmp_path):
    results = ResultFiles(str(tmp_path), CAMVID, ['doubt'])
    results.take_over_doubts([('=1+1', 0.5, 0.25), ('a,b', 1.0, 0.5)])
    results.write_doubts()
    table = (tmp_path / 'doubt.csv').read_text(encoding='utf-8')
    assert table == 'image,entropy,mutual_information\n\'=1+1,0.5,0.25\n"a,b",1.0,0.5\n'


def test_images_in_formats_that_are_not_looked_for_are_told(tmp_path):
    for name in ('a.png', 'b.heic'):
        (tmp_path / name).write_bytes(b'x')
    with pytest.warns(UserWarning, match=r'1 file is there in formats that are not looked for \(b.heic\): save'):
        assert [job.stem for job in plan_jobs([str(tmp_path)], str(tmp_path / 'out'))] == ['a']
