"""`fcn8s evaluate|predict --workers N`: files and scores are those of one process, and nothing is left when one dies."""

import contextlib
import functools
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from worker_processes import is_running

from fcn8s import cli
from fcn8s.distributed import launching, sharing
from fcn8s.evaluation import parts
from fcn8s.evaluation.calibration import summarize_calibration
from helpers.files import atomic_write_json
from helpers.images import write_image, write_labels
from helpers.label_spaces import LABEL_SPACES


def command(*words):
    return cli.main([str(word) for word in words])


def contents(folder):
    found = {}
    for directory, _, names in os.walk(str(folder)):
        for name in names:
            path = os.path.join(directory, name)
            with open(path, 'rb') as file:
                found[os.path.relpath(path, str(folder))] = file.read()
    return found


def said_by_workers(text):
    """Lines of a worker; what TensorFlow 1.15 says of itself, one process says too."""
    from fcn8s.backend import TF_VERSION

    return [line for line in text.splitlines() if '[worker' in line and TF_VERSION >= (2, 0)]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    from data_generator.street_scenes import write_dataset

    root = str(tmp_path_factory.mktemp('shared') / 'scenes')
    write_dataset(root, 2, 5, 0, size=(32, 48))
    return root


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """Five images, the third of which is none."""
    folder = tmp_path_factory.mktemp('shared') / 'images'
    for number in range(5):
        values = np.random.RandomState(number).randint(0, 256, [30, 40, 3]).astype(np.uint8)
        write_image(str(folder / 'town' / '{}.png'.format(number)), values)
    (folder / 'town' / '2.png').write_bytes(b'no image')
    return str(folder)


def test_an_evaluation_is_the_same_to_the_bit(small_model, scenes, tmp_path, capsys):
    outputs = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        words = ['--data', scenes, '--layout', 'cityscapes20', '--batch', 2, '--calibration', '--boundaries']
        words += ['--per-image', folder / 'images.csv', '--json', folder / 'scores.json', '--worst', 2]
        words += ['--against', small_model, '--samples', 2]
        assert command('evaluate', small_model, *words, '--workers', workers) == 0
        outputs.append(capsys.readouterr())
    assert contents(tmp_path / '1') == contents(tmp_path / '2') != {}
    assert outputs[0].out == outputs[1].out and 'expected calibration error' in outputs[0].out
    assert 'temperature that fits all of them' in outputs[0].out
    assert not said_by_workers(outputs[1].err) and '6/6' in outputs[1].err


def test_predictions_are_the_same_files(small_model, images, tmp_path, capsys):
    outputs, folders = [], []
    for workers in (1, 2):
        folders.append(tmp_path / str(workers) / 'out')
        words = ['--overlay', '--ids', '--softmax', '--polygons', 'coco', '--samples', 2, '--keep-going']
        assert command('predict', small_model, images, '--out', folders[-1], *words, '--workers', workers) == 1
        captured = capsys.readouterr()
        outputs.append((captured.out, captured.err))
    assert contents(folders[0]) == contents(folders[1])
    assert {'annotations.json', 'doubt.csv', os.path.join('town', '4_ids.png')} < set(contents(folders[0]))
    assert outputs[1][0] == outputs[0][0].replace(str(folders[0]), str(folders[1]))
    for _, err in outputs:
        failures = err.split('1 of the images could not be read:\n')[1]
        assert '2.png' in failures and failures.count('\n') == 1
    assert not said_by_workers(outputs[1][1])


@pytest.mark.slow
def test_submissions_error_maps_and_maps_are_the_same_files(small_model, tmp_path):
    for number in range(2):
        random = np.random.RandomState(number)
        name = 'berlin_00000{}_000019'.format(number)
        coarse = random.randint(0, 256, [32, 64, 3]).astype(np.uint8)
        write_image(str(tmp_path / 'test' / (name + '_leftImg8bit.png')), coarse.repeat(32, 0).repeat(32, 1))
        labels = random.randint(0, 34, [32, 64]).astype(np.uint8).repeat(32, 0).repeat(32, 1)
        write_labels(str(tmp_path / 'labels' / (name + '_gtFine_labelIds.png')), labels)
    words = ['--submission', 'cityscapes', '--error-map', tmp_path / 'labels']
    found = predicted_alone_and_together(small_model, tmp_path / 'test', tmp_path / 'of the server', *words)
    assert {'cityscapes_submission.zip', 'berlin_000001_000019_leftImg8bit_errors.png'} < set(found)
    maps = tmp_path / 'maps'
    for number, size in enumerate([(192, 320), (192, 224), (40, 40)]):
        write_geotiff(maps / '{}.tif'.format(number), np.random.RandomState(number).randint(0, 256, size + (3,)))
    words = ['--tile', 192, 192, '--overlap', 64, '--ids', '--polygons', 'geojson']
    found = predicted_alone_and_together(small_model, maps, tmp_path / 'of maps', *words)
    assert {'0_ids.tif', '1.geojson', '2_ids.tif'} < set(found)


def predicted_alone_and_together(model, images, out, *words):
    """The files of one process, which two have to write, too."""
    for workers in (1, 2):
        assert command('predict', model, images, '--out', out / str(workers), *words, '--workers', workers) == 0
    found = contents(out / '1')
    assert contents(out / '2') == found
    return found


def write_geotiff(path, values):
    rasterio = pytest.importorskip('rasterio')
    path.parent.mkdir(exist_ok=True)
    place = rasterio.transform.from_origin(500000, 5400000, 0.5, 0.25)
    profile = dict(driver='GTiff', height=values.shape[0], width=values.shape[1], count=3, dtype='uint8')
    with rasterio.open(str(path), 'w', crs='EPSG:25832', transform=place, **profile) as file:
        file.write(np.moveaxis(values.astype(np.uint8), -1, 0))


def test_without_keep_going_the_reason_comes_with_the_name_of_who_met_it(small_model, images, tmp_path, capsys):
    assert command('predict', small_model, images, '--out', tmp_path / 'out', '--workers', 2) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if 'fcn8s' in line]
    # The other one may say that it was ended, before or after.
    (said,) = [line for line in lines if line.startswith('[worker 1 of 2] fcn8s predict: error: ')]
    assert '2.png' in said
    assert lines[-1] == (
        'fcn8s predict: error: worker 1 of 2 stopped with exit status 2, and all others were ended with it.'
    )


@pytest.mark.parametrize(
    'words, message',
    [
        (['--workers', 0], '--workers is 0; it has to be from 1 to 1024.'),
        (['--workers', 5000], '--workers is 5000; it has to be from 1 to 1024.'),
        (['--workers', 6], '--workers is 6, and there are 5 images to deal out. Give --workers 5 or fewer.'),
        (['--workers', 2, '--scales', 0], 'scales is [0.0]; it has to be'),
        (['--workers', 2, 'camera:0'], '--workers deals images out, and camera:0 is a stream of frames.'),
    ],
)
def test_what_predict_refuses(small_model, images, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.setattr(launching, 'run_workers', None)
    extra = [word for word in words if str(word).startswith('camera')]
    words = [word for word in words if word not in extra]
    monkeypatch.setattr('helpers.video.check_source', lambda source: None)
    assert command('predict', small_model, images, *extra, '--out', tmp_path / 'out', *words) == 2
    assert message in capsys.readouterr().err


def test_evaluate_refuses_more_workers_than_batches(small_model, scenes, capsys, monkeypatch):
    words = ['--data', scenes, '--layout', 'cityscapes20', '--batch', 2, '--workers']
    assert command('evaluate', small_model, *words, 4) == 2
    assert '--workers is 4, and there are 3 batches of 2 images to deal out.' in capsys.readouterr().err
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    assert command('evaluate', small_model, *words, 2) == 2
    assert '--workers is 2, and 1 GPU is visible' in capsys.readouterr().err


def children_of(process_id):
    with open('/proc/{0}/task/{0}/children'.format(process_id)) as file:
        return [int(word) for word in file.read().split()]


@pytest.mark.parametrize('number, status', [(signal.SIGKILL, 2), (signal.SIGTERM, 143)])
def test_a_kill_leaves_nothing_running_and_nothing_half_written(small_model, tmp_path, number, status):
    """SIGKILL hits a worker, SIGTERM the process that was started."""
    for image in range(40):
        write_image(str(tmp_path / 'in' / '{}.png'.format(image)), np.full([40, 40, 3], image, np.uint8))
    words = ['predict', small_model, tmp_path / 'in', '--out', tmp_path / 'out', '--softmax', '--samples', 16]
    started = subprocess.Popen(
        [sys.executable, '-m', 'fcn8s'] + [str(word) for word in words + ['--workers', 2]],
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    while not (tmp_path / 'out').exists() or not any(
        name.endswith('npz') for name in os.listdir(str(tmp_path / 'out'))
    ):
        assert started.poll() is None
        time.sleep(0.05)
    workers = children_of(started.pid)
    os.kill(workers[1] if number == signal.SIGKILL else started.pid, number)
    err = started.communicate()[1]
    assert started.returncode == status
    assert not any(map(is_running, workers)) and len(workers) == 2
    words = ' '.join(err.split())  # a line may be broken where a terminal ends
    assert ('worker 2 of 2 was killed by SIGKILL' if number == signal.SIGKILL else 'stopped by SIGTERM') in words
    for name, content in contents(tmp_path / 'out').items():
        # What a killed process leaves has a name that says so, and the next one that writes there removes it.
        if name.endswith('_softmax.npz') and not name.startswith('.'):
            assert np.load(io.BytesIO(content))['softmax'].shape == (40, 40, 20)


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere nobody knows who works')
def test_a_worker_that_is_stopped_ends_all(small_model, images, tmp_path, monkeypatch, capsys):
    start = launching._Group.start

    def start_and_stop(group, worker):
        start(group, worker)
        if worker.name == 'worker 2 of 2':
            os.kill(group.process_ids()[worker.name], signal.SIGSTOP)

    monkeypatch.setattr(launching._Group, 'start', start_and_stop)
    monkeypatch.setattr(launching, 'GRACE', 0.3)
    monkeypatch.setattr(sharing, '_PATIENCE', 3.0)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert command('predict', small_model, images, '--out', tmp_path / 'out', '--keep-going', '--workers', 2) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        'fcn8s predict: error: worker 2 of 2 hangs or is stopped: it has shown no sign of work for 3 s. All others '
        'were ended with it.'
    )


@pytest.mark.parametrize('gpus, patience', [('', 60), ('0,1', 600)])
def test_a_gpu_may_work_for_long_while_its_process_waits(monkeypatch, tmp_path, gpus, patience):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', gpus)
    found = []
    monkeypatch.setattr(launching, 'run_workers', lambda workers, **options: found.append(options['patience']))
    with pytest.raises(FileNotFoundError, match='found-0'):  # they end well, but hand nothing back
        sharing.share_out(['predict'], 2, {}, 2, description='predict', unit='image', take_over=found.extend)
    assert found == [patience]


def test_items_are_dealt_out_and_counted(tmp_path):
    atomic_write_json(str(tmp_path / 'models.json'), {'run': 'checkpoint'})
    shares = [sharing.Share(number, 2, str(tmp_path)) for number in range(2)]
    assert [share.of('abcde') for share in shares] == [list('ace'), list('bd')]
    assert list(shares[0].counted([1, 2])) == [1, 2] and list(shares[1].counted([3])) == [3]
    assert sharing._num_done(str(tmp_path), 2) == 3
    assert shares[1].model_dir('run') == 'checkpoint'


@pytest.mark.parametrize('ends', [True, False])
def test_what_processes_have_handed_back_is_taken_over_whatever_becomes_of_them(monkeypatch, ends):
    def run(workers, **options):
        folder = workers[0].command[-2]
        for number in range(5):
            sharing.Share(number % 2, 2, folder).hand_back([number, 'Straße'])
        if not ends:
            with open(os.path.join(folder, 'found-1'), 'ab') as file:
                file.write(b'[5, "torn')
            raise KeyboardInterrupt

    monkeypatch.setattr(launching, 'run_workers', run)
    found = []
    with contextlib.nullcontext() if ends else pytest.raises(KeyboardInterrupt):
        sharing.share_out(['predict', 'RUN'], 2, {}, 5, description='predict', unit='image', take_over=found.extend)
    assert found == [[number, 'Straße'] for number in range(5)]


def test_what_a_killed_worker_predicted_is_kept(monkeypatch, tmp_path, capsys):
    """Each image is handed back once it is done, with the failures before it."""
    from fcn8s.cli import predict
    from fcn8s.prediction.polygon_files import PolygonFiles
    from fcn8s.prediction.result_files import ResultFiles

    def writers(folder):
        space = LABEL_SPACES['cityscapes']
        results = ResultFiles(str(folder), space, ['doubt'])
        return predict.Writers(results, PolygonFiles(str(folder), space, 'coco'), None, None)

    def run(workers, **options):
        for worker in (1, 0):
            share, of_worker, failures = sharing.Share(worker, 2, workers[0].command[-1]), writers(tmp_path), []
            for number in predict._handing_back(share, iter(range(worker, 4, 2)), failures, of_worker):
                if number == 2:
                    failures.append((number, '2.jpg is damaged'))
                    continue
                of_worker.polygons.write(str(number), 'x.jpg', np.full((4, 6), number, np.uint8))
                of_worker.results.take_over_doubts([(str(number), 0.5, number)])
        raise launching.WorkerEndedError('worker 2 of 2', -9)

    monkeypatch.setattr(launching, 'run_workers', run)
    sharer, failures = writers(tmp_path), []
    with pytest.raises(launching.WorkerEndedError), predict._kept_if_interrupted(sharer):
        take_over = functools.partial(predict._take_over, failures, sharer)
        sharing.share_out(['predict'], 2, {}, 4, description='predict', unit='image', take_over=take_over)
    assert failures == [(2, '2.jpg is damaged')]
    content = json.loads((tmp_path / 'annotations.json.partial').read_text())
    assert [image['file_name'] for image in content['images']] == ['0.jpg', '1.jpg', '3.jpg']
    assert [one['category_id'] for one in content['annotations']] == [1, 2, 4]
    assert (tmp_path / 'doubt.csv.partial').read_text().splitlines()[1:] == ['0,0.5,0', '1,0.5,1', '3,0.5,3']
    assert sorted(os.listdir(str(tmp_path))) == ['annotations.json.partial', 'doubt.csv.partial']
    assert capsys.readouterr().err.count('holds the images that were predicted until then') == 2


def test_sums_are_those_of_a_running_total():
    """In another order these would add up to something else."""
    values = np.random.RandomState(0).uniform(0, 1, 7) * 10.0 ** np.arange(7)
    total = 0.0
    for value in values:
        total += value
    assert parts._sum_in_turn(parts._dealt_back([values[0::3], values[1::3], values[2::3]])) == total
    assert list(parts._order([4, 3], 2)) == [0, 1, 4, 5, 2, 3, 6]
    batches = [[[1, 0], [1, 0], [0.1, 0.0]], [[2, 1], [0, 1], [0.7, 0.9]], [[0, 4], [0, 2], [0.0, 0.3]]]
    joined = parts._join_calibrations([[batches[0], batches[2]], [batches[1]]])
    expected = summarize_calibration(np.array([3, 5]), np.array([1, 3]), np.array([0.1 + 0.7, 0.9 + 0.3]))
    assert joined.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(joined[name], expected[name])
