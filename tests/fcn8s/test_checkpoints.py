import json
import os

import pytest

from fcn8s.checkpoints import Checkpoints, read_state


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


def test_a_removal_that_was_cut_off_is_finished(tmp_path):
    (tmp_path / '.removed-step-00000001').mkdir()
    Checkpoints(str(tmp_path)).save(2, write_files, {}, False)
    assert not (tmp_path / '.removed-step-00000001').exists()


def test_a_checkpoint_of_the_same_step_stays(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    path = checkpoints.save(1, write_files, {'first': True}, False)
    assert checkpoints.save(1, write_files, {'first': False}, True) == path
    assert read_state(path) == {'first': True} and checkpoints.best() == path


def test_a_pointer_to_nothing_says_what_there_is(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(1, write_files, {}, False)
    (tmp_path / 'last.json').write_text(json.dumps({'checkpoint': 'step-00000009'}))
    with pytest.raises(ValueError, match="'step-00000009', which does not exist.*one of these.*step-00000001"):
        checkpoints.last()


def test_an_empty_directory_has_neither_last_nor_best(tmp_path):
    checkpoints = Checkpoints(str(tmp_path / 'none'))
    assert checkpoints.last() is None and checkpoints.best() is None and checkpoints.names() == []


def test_keep_below_one_is_refused():
    with pytest.raises(ValueError, match='keep is 0; at least 1'):
        Checkpoints('.', keep=0)


@pytest.mark.parametrize('content', [None, '{"half": '])
def test_a_missing_or_broken_state_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / 'state.json').write_text(content)
    with pytest.raises(ValueError, match='cannot be continued'):
        read_state(str(tmp_path))
