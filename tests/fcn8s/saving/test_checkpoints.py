import json
import os
import shutil
import subprocess
import sys

import pytest

from fcn8s.saving.checkpoints import Checkpoints, read_state


def write_files(directory):
    with open(os.path.join(directory, 'weights'), 'w') as file:
        file.write('some')


def test_keeps_the_newest_and_the_best(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), keep=2)
    for step, best in [(1, True), (2, True), (3, False), (4, False), (5, False)]:
        path = checkpoints.save(step, write_files, {'step': step}, best)
        assert checkpoints.last() == path and read_state(path) == {'step': step}
    assert checkpoints.names() == ['step-00000002', 'step-00000004', 'step-00000005']
    assert os.path.basename(checkpoints.best()) == 'step-00000002'


def test_touches_nothing_but_its_own(tmp_path):
    for name in ('step-mine', 'notes.txt', '.removed-by-me'):
        (tmp_path / name).mkdir()
    checkpoints = Checkpoints(str(tmp_path), keep=1)
    for step in range(3):
        checkpoints.save(step, write_files, {}, False)
    assert {'step-mine', 'notes.txt', '.removed-by-me', 'step-00000002', 'last.json'} == set(os.listdir(str(tmp_path)))


def test_a_failure_while_writing_leaves_the_earlier_state(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    first = checkpoints.save(1, write_files, {}, True)

    def fail(directory):
        write_files(directory)
        raise OSError('No space left on device')

    with pytest.raises(OSError, match='No space left'):
        checkpoints.save(2, fail, {}, True)
    assert checkpoints.last() == checkpoints.best() == first
    assert checkpoints.names() == ['step-00000001']
    assert sorted(os.listdir(str(tmp_path))) == ['best.json', 'last.json', 'step-00000001']


def test_a_step_that_was_saved_before_its_evaluation_says_its_scores(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    path = checkpoints.save(1, write_files, {'scores': None}, False)
    os.utime(os.path.join(path, 'weights'), (1, 1))

    def write_description(directory):
        with open(os.path.join(directory, 'scores'), 'w') as file:
            file.write('0.5')

    assert checkpoints.save(1, write_files, {'scores': 0.5}, True, write_description) == path == checkpoints.best()
    assert os.path.getmtime(os.path.join(path, 'weights')) == 1
    assert read_state(path) == {'scores': 0.5}
    assert (tmp_path / os.path.basename(path) / 'scores').read_text() == '0.5'


def test_a_removal_that_was_cut_off_is_finished(tmp_path):
    (tmp_path / '.removed-step-00000001').mkdir()
    Checkpoints(str(tmp_path)).save(2, write_files, {}, False)
    assert not (tmp_path / '.removed-step-00000001').exists()


def test_a_step_that_was_removed_in_part_and_came_again_can_be_removed(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), keep=1)
    checkpoints.save(1, write_files, {}, False)
    (tmp_path / '.removed-step-00000001' / 'variables').mkdir(parents=True)
    checkpoints.save(2, write_files, {}, False)
    assert sorted(os.listdir(str(tmp_path))) == ['last.json', 'step-00000002']


def test_an_old_checkpoint_whose_files_are_held_does_not_stop_a_training(tmp_path, monkeypatch):
    """Whoever reads from it on NFS or Windows keeps its folder from being removed for a while."""
    remove, checkpoints = shutil.rmtree, Checkpoints(str(tmp_path), keep=1)

    def refuse(path, *_, **__):
        raise OSError(39, 'Directory not empty', path)

    checkpoints.save(1, write_files, {}, False)
    monkeypatch.setattr(shutil, 'rmtree', refuse)
    with pytest.warns(UserWarning, match=r"old checkpoint .* not be removed whole yet, '.removed-step-00000001'"):
        checkpoints.save(2, write_files, {}, False)
    assert os.path.basename(checkpoints.last()) == 'step-00000002' and checkpoints.names() == ['step-00000002']
    monkeypatch.setattr(shutil, 'rmtree', remove)
    checkpoints.save(3, write_files, {}, False)
    assert sorted(os.listdir(str(tmp_path))) == ['last.json', 'step-00000003']


def no_writing(directory):
    raise AssertionError('the weights of this step are there already')


def test_the_last_step_saved_again_renews_its_state_alone(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    path = checkpoints.save(1, write_files, {'evaluated': False}, False)
    assert checkpoints.save(1, no_writing, {'evaluated': True}, True) == path
    assert read_state(path) == {'evaluated': True} and checkpoints.best() == path


def test_a_checkpoint_that_no_pointer_reached_is_written_anew(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    first = checkpoints.save(1, write_files, {}, True)
    second = checkpoints.save(2, write_files, {'stale': True}, False)
    (tmp_path / 'last.json').write_text(json.dumps({'checkpoint': 'step-00000001'}))
    assert checkpoints.save(2, write_files, {'stale': False}, False) == second == checkpoints.last()
    assert read_state(second) == {'stale': False} and checkpoints.best() == first


def test_without_its_pointer_the_newest_checkpoint_is_the_last(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    for step in (1, 2):
        newest = checkpoints.save(step, write_files, {}, step == 1)
    (tmp_path / 'last.json').unlink()
    assert checkpoints.last() == newest
    third = checkpoints.save(3, write_files, {}, False)
    assert checkpoints.last() == third


def test_going_back_behind_the_best_by_hand(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), keep=3)
    checkpoints.save(1, write_files, {}, False)
    checkpoints.save(2, write_files, {}, True)
    (tmp_path / 'last.json').write_text(json.dumps({'checkpoint': 'step-00000001'}))
    checkpoints.recover(None)
    checkpoints.save(2, write_files, {}, False)
    assert checkpoints.best() is None and os.path.basename(checkpoints.last()) == 'step-00000002'


def test_what_was_just_written_stays_behind_newer_ones(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), keep=2)
    for step in (10, 20, 30):
        checkpoints.save(step, write_files, {}, False)
    (tmp_path / 'last.json').write_text(json.dumps({'checkpoint': 'step-00000020'}))  # set back by hand
    path = checkpoints.save(15, write_files, {}, False)
    assert checkpoints.last() == path and os.path.isdir(path)


def test_the_newest_is_that_of_the_largest_number(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), keep=1)
    for step in (99999999, 100000000):
        checkpoints.save(step, write_files, {}, False)
    assert checkpoints.names() == ['step-100000000']


def test_a_best_checkpoint_that_is_missing_is_refused_before_a_run_goes_on(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), keep=1)
    best = checkpoints.save(1, write_files, {}, True)
    checkpoints.save(2, write_files, {}, False)
    shutil.rmtree(best)
    with pytest.raises(ValueError, match="best.json names 'step-00000001', which does not exist. .*: step-00000002"):
        checkpoints.recover(1)


KILLED_WHILE_SAVING = """
import os, signal, sys
from fcn8s.saving.checkpoints import Checkpoints

def write(directory):
    open(os.path.join(directory, 'weights'), 'w').close()
    os.kill(os.getpid(), signal.SIGKILL)

Checkpoints(sys.argv[1]).save(2, write, {}, False)
"""


def test_recovering_removes_what_a_killed_process_left_and_nothing_else(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(1, write_files, {}, True)
    assert subprocess.run([sys.executable, '-c', KILLED_WHILE_SAVING, str(tmp_path)], check=False).returncode == -9
    left = set(os.listdir(str(tmp_path))) - {'step-00000001', 'last.json', 'best.json'}
    assert len(left) == 1  # the real name of an unfinished checkpoint
    pointer = '.last.0123456789ab.tmp.json'
    (tmp_path / pointer).write_text('{')
    (tmp_path / '.removed-step-00000000').mkdir()
    mine = [
        '.step-00000002.tmp',
        '.step-00000002.0123456789ab.tmp.bak',
        '.step-2.0123456789ab.tmp',
        '.mine.0123456789ab.tmp',
        'step-00000002.0123456789ab.tmp',
        '.step-00000002.0123456789AB.tmp',
    ]
    for name in mine:
        (tmp_path / name).mkdir()
    checkpoints.recover(1)
    assert set(os.listdir(str(tmp_path))) == {'step-00000001', 'last.json', 'best.json'}.union(mine)


def test_recovering_moves_best_where_a_kill_came_between_the_pointers(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(1, write_files, {}, True)
    second = checkpoints.save(2, write_files, {}, False)
    checkpoints.recover(2)
    assert checkpoints.best() == second
    checkpoints.recover(7)  # a best checkpoint that somebody removed
    assert checkpoints.best() == second


def test_recovering_without_any_checkpoint(tmp_path):
    Checkpoints(str(tmp_path / 'none')).recover(None)
    assert not (tmp_path / 'none').exists()


@pytest.mark.parametrize('content', ['', '{"checkpoint"', '[]', '{}'])
def test_a_damaged_pointer_says_what_belongs_into_it(tmp_path, content):
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(1, write_files, {}, False)
    (tmp_path / 'last.json').write_text(content)
    with pytest.raises(
        ValueError, match='last.json is damaged.*{"checkpoint": NAME}, with one of these: step-00000001'
    ):
        checkpoints.last()


def test_a_pointer_to_nothing_says_what_there_is(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(1, write_files, {}, False)
    (tmp_path / 'last.json').write_text(json.dumps({'checkpoint': 'step-00000009'}))
    with pytest.raises(ValueError, match="'step-00000009', which does not exist.*one of these.*step-00000001"):
        checkpoints.last()


@pytest.mark.parametrize('name', ['', '.', 'mine', '../other/step-00000001'])
def test_a_pointer_to_a_folder_that_is_no_checkpoint_of_the_run_is_refused(tmp_path, name):
    (tmp_path / 'run' / 'mine').mkdir(parents=True)
    (tmp_path / 'other' / 'step-00000001').mkdir(parents=True)
    checkpoints = Checkpoints(str(tmp_path / 'run'))
    checkpoints.save(1, write_files, {}, False)
    (tmp_path / 'run' / 'last.json').write_text(json.dumps({'checkpoint': name}))
    with pytest.raises(ValueError, match='which does not exist.*one of these.*step-00000001'):
        checkpoints.last()


def test_an_empty_directory_has_neither_last_nor_best(tmp_path):
    checkpoints = Checkpoints(str(tmp_path / 'none'))
    assert checkpoints.last() is None and checkpoints.best() is None and checkpoints.names() == []


def test_keep_below_one_is_refused():
    with pytest.raises(ValueError, match='keep is 0; at least 1'):
        Checkpoints('.', keep=0)


@pytest.mark.parametrize('content', [None, '{"half": ', '[]', '3'])
def test_a_missing_or_broken_state_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / 'state.json').write_text(content)
    with pytest.raises(ValueError, match='cannot be continued'):
        read_state(str(tmp_path))
