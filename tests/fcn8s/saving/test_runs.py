import json
import os
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest

from fcn8s.cli.options import resolving
from fcn8s.saving import runs
from fcn8s.saving.checkpoints import Checkpoints
from fcn8s.saving.descriptions import DESCRIPTION_FILE

# As little as tells a run from what other programs write into a file of that name.
OWN = {'versions': {'fcn8s': '1.0.0'}}


def write_model(directory):
    with open(os.path.join(directory, DESCRIPTION_FILE), 'w') as file:
        file.write('{}')


def test_config_and_metrics_come_back(tmp_path):
    run = runs.create_run(str(tmp_path / 'run'), dict(OWN, seed=np.int64(3), scales=(1.0, 2.0), set=None))
    found = runs.read_config(runs.open_run(run.directory))
    assert found == dict(OWN, seed=3, scales=[1.0, 2.0], set=None)
    assert runs.read_metrics(run) == []
    runs.append_metrics(run, {'step': 1, 'evaluation': {'per_class_iou': np.array([0.5, np.nan])}})
    runs.append_metrics(run, {'step': 2, 'evaluation': None})
    assert runs.read_metrics(run) == [
        {'step': 1, 'evaluation': {'per_class_iou': [0.5, None]}},
        {'step': 2, 'evaluation': None},
    ]
    assert sorted(os.listdir(run.directory)) == ['checkpoints', 'config.json', 'metrics.jsonl']


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    run = runs.create_run(str(tmp_path), OWN)
    with open(run.metrics_path, 'w') as file:
        file.write('{"step": 1}\n{"step": 2}\n{"ste')
    with pytest.warns(UserWarning, match='metrics.jsonl has lines that cannot be read, which are left out: 3.$'):
        assert runs.read_metrics(run) == [{'step': 1}, {'step': 2}]


@pytest.mark.parametrize(
    'record',
    [
        {'step': True},
        {'step': -1},
        {'step': 2, 'training_loss': 'low'},
        {'step': 2, 'learning_rate': [1]},
        {'step': 2, 'evaluation': [1]},
        {'step': 2, 'evaluation': {'mean_iou': '..'}},
        {'step': 2, 'evaluation': {'mean_iou': 10**308}},
        {'step': 2, 'evaluation': {'accuracy': 1.5}},
        {'step': 2, 'evaluation': {'per_class_accuracy': [0.5, -1]}},
        {'step': 2, 'evaluation': {'per_class_iou': [0.5, '..']}},
        {'step': 2, 'evaluation': {'precision': '.'}},
        {'step': 2, 'evaluation': {'confusion_matrix': [[1, 2], [3]]}},
        {'step': 2, 'evaluation': {'confusion_matrix': [[1, 2], [3, None], 4]}},
        {'step': 2, 'evaluation': {'loss': 10**400}},
    ],
)
def test_a_line_that_is_no_epoch_is_left_out_and_those_behind_it_count(tmp_path, record):
    run = runs.create_run(str(tmp_path), OWN)
    with open(run.metrics_path, 'w') as file:
        file.write('\n'.join(json.dumps(line) for line in ({'step': 1}, record, {'step': 3})))
    with pytest.warns(UserWarning, match='which are left out: 2.$'):
        assert runs.read_metrics(run) == [{'step': 1}, {'step': 3}]


# What a full disk, a crash, an editor of Windows and a merge by hand leave, and no newline at the end.
DAMAGED = (
    b'\xef\xbb\xbf{"step": 1}\r\n\n{"st\n'
    + bytes(20)
    + b'\n<<<<<<< HEAD\n{"step": 2, "note": "\xff"}\n[2]\n{"step": 3}'
)


def test_an_epoch_is_recorded_behind_lines_that_stay_as_they_are(tmp_path):
    run = runs.create_run(str(tmp_path), OWN)
    (tmp_path / 'metrics.jsonl').write_bytes(DAMAGED)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('default')
        assert [record['step'] for record in runs.read_metrics(run)] == [1, 2, 3]
        runs.append_metrics(run, {'step': 4})
        assert [record['step'] for record in runs.read_metrics(run)] == [1, 2, 3, 4]
    assert [str(warning.message).split('left out: ')[1] for warning in told] == ['3, 4, 5, 7.']
    assert (tmp_path / 'metrics.jsonl').read_bytes() == DAMAGED + b'\n{"step": 4}\n'


@pytest.mark.parametrize('name', ['config.json', 'metrics.jsonl', 'report.html', 'checkpoints/last.json'])
def test_files_that_training_writes_are_no_links(tmp_path, name):
    """Somebody else's run could lead anywhere."""
    run = runs.create_run(str(tmp_path / 'run'), OWN)
    os.makedirs(run.checkpoints_dir, exist_ok=True)
    runs.check_no_links(run)
    path = os.path.join(run.directory, *name.split('/'))
    if os.path.exists(path):
        os.unlink(path)
    os.symlink(str(tmp_path / 'elsewhere'), path)
    with pytest.raises(ValueError, match=r"{} is a link to '.*elsewhere', and training would write".format(name)):
        runs.check_no_links(run)


@pytest.mark.parametrize(
    'place, target',
    [
        ('checkpoints', 'elsewhere'),
        ('events', 'elsewhere'),
        ('events', 'run-old'),
        ('checkpoints/step-00000001', 'elsewhere'),
        ('checkpoints/step-1/state.json', 'elsewhere'),
    ],
)
def test_what_training_writes_or_removes_lies_in_the_run(tmp_path, place, target):
    run = runs.create_run(str(tmp_path / 'run'), OWN)
    (tmp_path / target).mkdir()
    os.makedirs(os.path.join(run.checkpoints_dir, 'step-1'))
    os.symlink('step-1', os.path.join(run.checkpoints_dir, 'newest'))
    os.symlink(str(tmp_path / 'run'), str(tmp_path / 'link'))
    runs.check_no_links(runs.Run(str(tmp_path / 'link')))
    path = os.path.join(run.directory, *place.split('/'))
    if place == 'checkpoints':
        os.rename(path, path + '-before')
    os.symlink(str(tmp_path / target), path)
    with pytest.raises(
        ValueError, match="{} is a link to '.*{}', outside of the run, and training".format(place, target)
    ):
        runs.check_no_links(run)


def test_a_new_run_replaces_no_link_to_a_file_that_is_not_there(tmp_path):
    os.symlink(str(tmp_path / 'elsewhere'), str(tmp_path / 'config.json'))
    with pytest.raises(ValueError, match='holds a run already'):
        runs.check_free(str(tmp_path))


@pytest.mark.parametrize('name', ['checkpoints', 'events'])
def test_links_are_refused_before_a_run_begins_or_goes_on(tmp_path, name):
    (tmp_path / 'new').mkdir()
    (tmp_path / 'elsewhere').mkdir()
    run = runs.create_run(str(tmp_path / 'old'), dict(OWN, command={}))
    os.rmdir(run.checkpoints_dir)
    for directory in ('new', 'old'):
        os.symlink(str(tmp_path / 'elsewhere'), str(tmp_path / directory / name))
    os.symlink(str(tmp_path / 'elsewhere'), str(tmp_path / 'whole'))
    runs.check_free(str(tmp_path / 'whole'))
    message = '{} is a link to .*elsewhere., outside of the run'.format(name)
    with pytest.raises(ValueError, match=message):
        runs.check_free(str(tmp_path / 'new'))
    with pytest.raises(ValueError, match=message):
        resolving.resolve({'resume': run.directory}, {})


@pytest.mark.filterwarnings('ignore:.*cannot be read')
def test_epochs_behind_the_checkpoint_of_a_resumed_run_are_removed_and_nothing_else(tmp_path):
    run, path = runs.create_run(str(tmp_path), OWN), tmp_path / 'metrics.jsonl'
    assert runs.forget_metrics_after(run, 0) == [] and not path.exists()
    path.write_bytes(DAMAGED)
    assert [record['step'] for record in runs.forget_metrics_after(run, 3)] == [1, 2, 3]
    assert path.read_bytes() == DAMAGED
    assert [record['step'] for record in runs.forget_metrics_after(run, 2)] == [1, 2]
    assert path.read_bytes() == DAMAGED[: -len(b'{"step": 3}')]
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match='metrics.jsonl is no file. Move it away.'):
        runs.read_metrics(run)


def test_records_beyond_the_free_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    run = runs.create_run(str(tmp_path), OWN)
    with open(run.metrics_path, 'wb') as file:
        file.truncate(2**24)
    monkeypatch.setattr('helpers.process.memory.free_memory', lambda: 10**8)
    with pytest.raises(ValueError, match='metrics.jsonl holds 16.8 MB of records, which take 134.2 MB of memory'):
        runs.read_metrics(run)


def test_many_damaged_lines_are_counted(tmp_path):
    run = runs.create_run(str(tmp_path), OWN)
    (tmp_path / 'metrics.jsonl').write_text('damaged\n' * 9)
    with pytest.warns(UserWarning, match='which are left out: 1, 2, 3, 4, 5 and 4 more.$'):
        assert runs.read_metrics(run) == []


@pytest.mark.parametrize('name', ['metrics.jsonl', 'report.html'])
def test_a_directory_that_holds_a_file_of_something_else_makes_no_run(tmp_path, name):
    (tmp_path / name).write_text('mine')
    with pytest.raises(ValueError, match='holds a {} of another run or program.*move the file away.'.format(name)):
        runs.create_run(str(tmp_path), OWN)
    assert (tmp_path / name).read_text() == 'mine' and os.listdir(str(tmp_path)) == [name]


@pytest.mark.parametrize('name', ['saved_model.pb', 'saved_model.pbtxt', 'fcn8s.json'])
def test_a_saved_network_makes_no_run(tmp_path, name):
    (tmp_path / name).write_text('mine')
    with pytest.raises(ValueError, match='holds an encoder or another saved network, .* Choose another directory.'):
        runs.make_directory(str(tmp_path))
    assert os.listdir(str(tmp_path)) == [name]


@pytest.mark.parametrize('size', ['ab', [1], [1, 2, 3], 7, [0, 5], [1.5, 2], [None, None], [10**400, 1], {}, True])
def test_a_size_that_is_none_is_refused(tmp_path, size):
    run = runs.create_run(str(tmp_path / 'run'), dict(OWN, command={'size': [32, 64]}))
    assert runs.input_size(run.directory) == (32, 64)
    runs.update_config(run, {'command': {'size': size}})
    with pytest.raises(ValueError, match=r'config.json is damaged: the size of the images is .*\[HEIGHT, WIDTH\]'):
        runs.input_size(run.directory)
    runs.update_config(run, {'command': [size]})
    assert runs.input_size(run.directory) is None
    (tmp_path / 'fcn8s.json').write_text(json.dumps({'export': {'input_size': size}}))
    with pytest.raises(ValueError, match='fcn8s.json is damaged: the size of the images is '):
        runs.input_size(str(tmp_path))


@pytest.mark.parametrize('keep_prob', ['half', 0, 1.5, [0.5], True, {}, 10**400])
def test_a_keep_probability_that_is_none_is_refused(tmp_path, keep_prob):
    run = runs.create_run(str(tmp_path / 'run'), dict(OWN, train={'keep_prob': 0.8}))
    assert runs.keep_prob(run.directory) == 0.8 and runs.keep_prob(str(tmp_path)) is None
    runs.update_config(run, {'train': {'keep_prob': keep_prob}})
    with pytest.raises(ValueError, match='config.json is damaged: keep_prob is .* above 0 and at most 1.'):
        runs.keep_prob(run.directory)
    for unknown in (None, [keep_prob], {'keep_prob': None}):
        runs.update_config(run, {'train': unknown})
        assert runs.keep_prob(run.directory) is None


@pytest.mark.parametrize('workers', ['2', 0, -1, [2], 1.5, None, 10**400])
def test_a_number_of_workers_that_is_none_is_refused(tmp_path, workers):
    run = runs.create_run(str(tmp_path), dict(OWN, workers=2))
    assert runs.num_workers(run) == 2
    runs.update_config(run, {'workers': workers})
    with pytest.raises(ValueError, match='config.json is damaged: workers is .* a whole number of at least 1'):
        runs.num_workers(run)


def test_a_checkpoint_that_a_training_has_replaced_is_no_wrong_path(tmp_path):
    run = runs.create_run(str(tmp_path), OWN)
    with pytest.raises(FileNotFoundError, match='newer ones. Run the command again, with the run directory.'):
        runs.resolve_model(os.path.join(run.checkpoints_dir, 'step-00000004'))
    with pytest.raises(FileNotFoundError, match='does not exist. Pass a run directory'):
        runs.resolve_model(os.path.join(run.directory, 'x'))


def test_a_directory_that_holds_a_run_is_refused(tmp_path):
    runs.create_run(str(tmp_path), OWN)
    with pytest.raises(ValueError, match='holds a run already. Continue it with --resume .resume=True in Python.'):
        runs.create_run(str(tmp_path), OWN)
    os.unlink(str(tmp_path / 'config.json'))
    runs.check_free(str(tmp_path))
    Checkpoints(str(tmp_path / 'checkpoints')).save(1, write_model, {}, False)
    with pytest.raises(ValueError, match='holds a run already'):
        runs.check_free(str(tmp_path))


def test_a_directory_with_other_files_can_become_a_run(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    runs.create_run(str(tmp_path), OWN)
    assert (tmp_path / 'notes.txt').read_text() == 'mine'


def test_fewer_epochs_than_are_done_are_refused(tmp_path):
    run = runs.create_run(str(tmp_path / 'run'), OWN)
    runs.check_epochs_reach(run, 1, 6)  # there is no checkpoint yet
    Checkpoints(run.checkpoints_dir).save(15, write_model, {}, False)
    runs.check_epochs_reach(run, 3, 6)
    with pytest.raises(ValueError, match="epochs is 2, and the run '.*run' is at step 15, .*6 steps .*Give 3 or more"):
        runs.check_epochs_reach(run, 2, 6)


def test_a_packed_network_is_no_run_to_resume(tmp_path):
    path = str(tmp_path / 'a.zip')
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr(DESCRIPTION_FILE, '{}')
    with pytest.raises(ValueError, match="a.zip' is a packed network, .*--fine-tune-from"):
        runs.open_run(path)


def test_a_lock_that_was_left_makes_no_run(tmp_path):
    run = runs.make_directory(str(tmp_path / 'run'))
    with runs.only_saver(run):
        pass
    assert os.listdir(run.checkpoints_dir)
    runs.check_free(run.directory)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='is no run directory: it holds no config.json'):
        runs.open_run(str(tmp_path))
    (tmp_path / 'config.json').write_text('{"half')
    with pytest.raises(ValueError, match='config.json is damaged'):
        runs.read_config(runs.open_run(str(tmp_path)))


@pytest.mark.parametrize(
    ('config', 'program'),
    [
        ({'architectures': ['SegformerForSemanticSegmentation'], 'model_type': 'segformer'}, 'Hugging Face Transform'),
        ({'_class_name': 'UNet2DModel', '_diffusers_version': '0.30.0'}, 'diffusers'),
        ({'module': 'keras', 'class_name': 'Functional', 'config': {'layers': []}}, 'Keras'),
        ({'model': {'type': 'EncoderDecoder'}}, 'another program'),
    ],
)
def test_a_config_of_another_program_makes_no_run(tmp_path, config, program):
    (tmp_path / 'config.json').write_text(json.dumps(config))
    message = 'is no run directory: its config.json is of {}.*, not of fcn8s. '.format(program)
    with pytest.raises(ValueError, match=message + 'Pass the directory that training wrote'):
        runs.resolve_model(str(tmp_path))
    with pytest.raises(ValueError, match=message + 'Pass the directory'):
        runs.open_run(str(tmp_path))
    with pytest.raises(ValueError, match=message + 'Choose another directory.'):
        runs.make_directory(str(tmp_path))
    assert os.listdir(str(tmp_path)) == ['config.json']


def test_one_process_at_a_time(tmp_path):
    run = runs.create_run(str(tmp_path), OWN)
    refused = pytest.raises(ValueError, match='is being trained by another process')
    with runs.only_writer(run), refused, runs.only_writer(run):
        raise AssertionError('two writers')
    assert not runs.has_writer(run) and not runs.has_writer(runs.Run(str(tmp_path / 'on another disk')))
    with runs.only_writer(run), runs.only_saver(run):
        assert runs.has_writer(run)
        refused = pytest.raises(ValueError, match='a worker that failed is still saving the run .* Wait for it')
        with refused, runs.only_saver(run):
            raise AssertionError('two savers')


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='this system forks no processes')
def test_a_process_that_was_forked_meanwhile_does_not_hold_the_run(tmp_path):
    script = """
import os, signal, sys, time
from fcn8s.saving import runs
run = runs.Run(sys.argv[1])
with runs.only_writer(run):
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
try:
    with runs.only_writer(run):
        print('free')
finally:
    os.kill(child, signal.SIGKILL)
"""
    command = [sys.executable, '-c', script, str(tmp_path)]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout == b'free\n'


def test_a_model_is_the_best_checkpoint_of_a_run_else_the_last(tmp_path):
    run = runs.create_run(str(tmp_path), OWN)
    with pytest.raises(ValueError, match='has no checkpoint yet'):
        runs.resolve_model(run.directory)
    assert run.last_checkpoint() is None
    checkpoints = Checkpoints(run.checkpoints_dir)
    first = checkpoints.save(1, write_model, {}, False)
    assert runs.resolve_model(run.directory) == run.last_checkpoint() == first
    second, third = checkpoints.save(2, write_model, {}, True), checkpoints.save(3, write_model, {}, False)
    assert runs.resolve_model(run.directory) == second and run.last_checkpoint() == third
    assert runs.resolve_model(third) == third


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="model '.*none' does not exist. Pass a run directory"):
        runs.resolve_model(str(tmp_path / 'none'))
    with pytest.raises(ValueError, match='neither a run directory .no config.json. nor a saved FCN-8s .no fcn8s.json.'):
        runs.resolve_model(str(tmp_path))
    os.makedirs(str(tmp_path / '(a) b'))
    (tmp_path / '(a) b' / 'variables.index').write_text('')
    message = "saver='train_saver'.* wrote are loaded by FCN8s.*variables_load_dir=.*import-fcn8s '[^']*.a. b' OUT"
    with pytest.raises(ValueError, match=message):
        runs.resolve_model(str(tmp_path / '(a) b'))
    os.makedirs(str(tmp_path / '0'))
    (tmp_path / '0' / 'config.json').write_text('{"model_type": "bert"}')
    for name in 'abcde':
        runs.create_run(str(tmp_path / name), OWN)
    with pytest.raises(ValueError, match="In it are: '[^']*a', '[^']*b', '[^']*c' and 2 more. Give one of them."):
        runs.resolve_model(str(tmp_path))
    run = runs.create_run(str(tmp_path), OWN)
    with open(os.path.join(run.checkpoints_dir, 'best.json'), 'w') as file:
        json.dump({'checkpoint': 'step-00000001'}, file)
    with pytest.raises(ValueError, match="best.json names 'step-00000001', which does not exist"):
        runs.resolve_model(run.directory)


def test_leftovers_of_a_killed_training_are_removed_and_nothing_else(tmp_path):
    run = runs.create_run(str(tmp_path / 'run'), dict(OWN, seed=1))
    keep = ['.metrics.mine.jsonl', '.config.0123456789ab.tmp', 'metrics.jsonl', '.hidden.0123456789ab.tmp.json']
    remove = ['.metrics.0123456789ab.tmp.jsonl', '.config.0123456789ab.tmp.json', '.report.ab0123456789.tmp.html']
    for name in keep + remove:
        (tmp_path / 'run' / name).write_text('x')
    runs.remove_leftovers(run)
    assert sorted(os.listdir(run.directory)) == sorted(keep + ['config.json', 'checkpoints'])


def test_the_refused_one_of_two_trainings_that_start_at_once_changes_nothing(tmp_path):
    """Both found the directory free; the second comes to the lock while the first writes."""
    directory = str(tmp_path / 'run')
    first, second = runs.make_directory(directory), runs.make_directory(directory)
    with runs.only_writer(first):
        runs.create_run(directory, dict(OWN, seed=1))
        with pytest.raises(ValueError, match='is being trained by another process'), runs.only_writer(second):
            runs.create_run(directory, dict(OWN, seed=2))
    with pytest.raises(ValueError, match='holds a run already'), runs.only_writer(second):
        runs.create_run(directory, dict(OWN, seed=2))
    assert runs.read_config(first) == dict(OWN, seed=1)


def test_a_run_without_a_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="the directory of the run is ''. Give it a name, or '.' for this folder"):
        runs.make_directory('')
    assert not os.listdir(str(tmp_path))
