"""`fcn8s demo` as a newcomer gets it: on Python 3.10 or newer from a wheel, in an environment with what it requires alone.

It has half the scenes and a fifth of the epochs; everything else is the same.
"""

import glob
import json
import os
import subprocess
import sys
import zipfile

import cv2
import pytest
from thorough import THOROUGH, ran_once

pytestmark = [pytest.mark.slow, ran_once]

INSTALLS = sys.version_info >= (3, 10)
EPOCHS, FRAMES, LOWEST_SCORE = (10, 120, 0.60) if THOROUGH else (2, 30, 0.18)
# What `python` is given to run the demo: with options for its first command, which makes the scenes.
SHORTER = """
import sys
from fcn8s.cli import demo, main
steps_of = demo.demo_steps
def shortened(*given):
    scenes, *others = steps_of(*given)
    return [scenes._replace(command=scenes.command + '--train 200 --val 20 --drive 30'.split())] + others
demo.demo_steps = shortened
sys.exit(main())
"""
PROGRAM = ['-m', 'fcn8s'] if THOROUGH else ['-c', SHORTER]


def check_output(arguments, environment, **options):
    result = subprocess.run(
        arguments,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        check=False,
        **options,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def without_source():
    """An environment in which the source folder does not count as an installed fcn8s, which pip would leave alone.

    Python keeps there what it has compiled: pip compiles nothing, and each command imports TensorFlow.
    """
    left_out = ('PYTHONPATH', 'PYTHONDONTWRITEBYTECODE')
    return {name: value for name, value in os.environ.items() if name not in left_out}


@pytest.fixture(scope='module')
def built(root_dir, tmp_path_factory):
    """The paths of the source distribution and of the wheel."""
    if not INSTALLS:
        pytest.skip('distributions are built on newer Pythons')
    place = str(tmp_path_factory.mktemp('wheel'))
    check_output([sys.executable, '-m', 'build', '--outdir', place, root_dir], without_source())
    names = sorted(os.listdir(place), key=lambda name: name.endswith('.whl'))
    assert [os.path.splitext(name)[1] for name in names] == ['.gz', '.whl'], names
    return [os.path.join(place, name) for name in names]


def test_distributions_can_be_published_and_wheels_carry_no_tests(built):
    assert (
        check_output([sys.executable, '-m', 'twine', 'check', '--strict'] + built, without_source()).count('PASSED')
        == 2
    )
    names = zipfile.ZipFile(built[1]).namelist()
    assert {name.split('/')[0] for name in names if '.dist-info' not in name} == {'fcn8s', 'data_generator', 'helpers'}
    assert 'fcn8s/training/recipes/demo.json' in names and 'fcn8s/report/templates/report.html' in names
    typed = {'fcn8s/__init__.pyi', 'fcn8s/py.typed', 'data_generator/py.typed', 'helpers/py.typed'}
    assert typed <= set(names)


def requirements(distribution, extras):
    from packaging.requirements import Requirement

    for wanted in map(Requirement, distribution.requires or []):
        if wanted.marker is None or any(wanted.marker.evaluate({'extra': extra}) for extra in ['', *extras]):
            yield wanted


def link_what_is_required(packages):
    """Links what the fcn8s in the folder `packages` requires, and what that requires and so on, from this environment
    into that folder: as pip would install it, without copies of two gigabytes."""
    from importlib.metadata import Distribution, distribution

    (metadata,) = glob.glob(os.path.join(packages, 'fcn8s-*.dist-info'))
    left, linked = list(requirements(Distribution.at(metadata), [])), set()
    while left:
        wanted = left.pop()
        if str(wanted) in linked:
            continue
        linked.add(str(wanted))
        required = distribution(wanted.name)
        left += requirements(required, wanted.extras)
        for name in {file.parts[0] for file in required.files} - {'..', '__pycache__'}:
            if not os.path.lexists(os.path.join(packages, name)):
                os.symlink(str(required.locate_file(name)), os.path.join(packages, name))


@pytest.fixture(scope='module')
def installed(request, tmp_path_factory):
    """The Python to run the demo with and its environment: fcn8s is in its wheel alone, where wheels can be built."""
    if not INSTALLS:
        return sys.executable, dict(os.environ)
    environment, place = without_source(), str(tmp_path_factory.mktemp('installed'))
    wheel = request.getfixturevalue('built')[1]
    virtual = os.path.join(place, 'environment')
    check_output([sys.executable, '-m', 'venv', virtual], environment)
    python = os.path.join(virtual, 'bin', 'python')
    check_output([python, '-m', 'pip', 'install', '--quiet', '--no-compile', '--no-deps', wheel], environment)
    (packages,) = glob.glob(os.path.join(virtual, 'lib', 'python*', 'site-packages'))
    link_what_is_required(packages)
    return python, environment


@pytest.fixture(scope='module')
def demo(installed, tmp_path_factory):
    """The directory that the demo made, and what it printed."""
    python, environment = installed
    place = str(tmp_path_factory.mktemp('demo'))
    printed = check_output([python, *PROGRAM, 'demo', '--epochs', str(EPOCHS)], environment, cwd=place)
    return os.path.join(place, 'demo'), printed


def test_reaches_its_score_by_the_official_rule(demo):
    """One class everywhere has at most a mean IoU of 5 %."""
    directory, printed = demo
    with open(os.path.join(directory, 'scores.json')) as file:
        scores = json.load(file)
    assert scores['mean_iou'] >= LOWEST_SCORE
    assert '{:6.2f} %'.format(100 * scores['mean_iou']) in printed


def test_closing_page_names_what_was_made(demo):
    directory, printed = demo
    for name in ('drive.mp4', 'report.html', 'overlays/', 'scores.json', 'run/', 'data/'):
        assert 'demo/' + name in printed and os.path.exists(os.path.join(directory, name)), name
    assert 'fcn8s check DATA\n' in printed


def test_video_plays_to_the_end(demo):
    video = cv2.VideoCapture(os.path.join(demo[0], 'drive.mp4'))
    frames = []
    while True:
        read, frame = video.read()
        if not read:
            break
        frames.append(frame)
    assert len(frames) == FRAMES
    assert frames[0].std() > 20 and abs(frames[0].astype(int) - frames[-1]).mean() > 5


def test_overlays_are_pictures(demo):
    overlays = os.listdir(os.path.join(demo[0], 'overlays'))
    assert overlays
    assert cv2.imread(os.path.join(demo[0], 'overlays', overlays[0])).std() > 20


def test_its_network_is_packed_and_scores_the_same(installed, demo):
    python, environment = installed
    place = os.path.dirname(demo[0])

    def fcn8s(*arguments):
        return check_output([python, '-m', 'fcn8s'] + list(arguments), environment, cwd=place)

    for name in ('first.zip', 'second.zip'):
        fcn8s('pack', 'demo/run', name, '--scores', 'demo/scores.json', '--licence', 'CC0')
    contents = []
    for name in ('first.zip', 'second.zip'):
        with open(os.path.join(place, name), 'rb') as file:
            contents.append(file.read())
    assert contents[0] == contents[1]
    fcn8s('evaluate', 'first.zip', '--data', 'demo/data', '--split', 'val', '--json', 'again.json')
    scores = []
    for name in ('demo/scores.json', 'again.json'):
        with open(os.path.join(place, name)) as file:
            scores.append(json.load(file))
    assert scores[0]['confusion_matrix'] == scores[1]['confusion_matrix']
    with zipfile.ZipFile(os.path.join(place, 'first.zip')) as archive:
        card = archive.read('README.md').decode('utf-8')
    assert 'mean IoU: {:.2f} % (95 % bootstrap interval'.format(100 * scores[0]['mean_iou']) in card
