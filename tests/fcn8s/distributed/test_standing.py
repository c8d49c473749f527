"""Who is lost, by what is known of all: time is moved, not waited for."""

import time

import pytest

from fcn8s.distributed.standing import Standing


def standing_with(*progress):
    """Worker 0 of as many, with a time-out of 10 s."""
    standing = Standing(0, len(progress), 10)
    standing.progress = dict(enumerate(progress))
    return standing


def move(standing, seconds):
    """Lets so many seconds pass."""
    standing.behind = {worker: (place, since - seconds) for worker, (place, since) in standing.behind.items()}
    standing.worked_at = {worker: worked - seconds for worker, worked in standing.worked_at.items()}
    standing.done_at -= seconds


def hanging(standing, doing, done, seconds, works=True, progress=1):
    """What worker 0 finds when worker 1 has said what it does, and whether it works, after so many seconds."""
    move(standing, seconds)
    worked = standing.worked[1] + works
    standing.take(1, {'progress': progress, 'done': done, 'doing': doing, 'worked': worked})
    return standing.hanging()


def test_who_is_behind_hangs_only_where_it_stays():
    """In fast steps what is known of the others is always some steps old."""
    standing = Standing(0, 2, 0.2)
    standing.doing = {0: 'steps', 1: 'steps'}
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        standing.progress = {0: standing.progress[0] + 9, 1: standing.progress[0] + 8}
        assert standing.hanging() is None
        time.sleep(0.01)
    while standing.hanging() is None and time.monotonic() < end + 10:
        time.sleep(0.01)
    assert standing.hanging() == (1, 'hangs: it has not come to the step that others wait in')


@pytest.mark.parametrize(
    'doing, seconds, how',
    [
        ('steps', 7, 'hangs: it has not come to the step that others wait in'),
        ('callback', 50, 'hangs in a callback: others have waited for 50 s'),
        ('preparing', 100, 'hangs before it trains: others have waited for 100 s (more --timeout lets it prepare'),
        ('saving', 100, 'hangs while it saves: others have waited for 100 s (more --timeout lets it save'),
    ],
)
def test_how_long_others_wait_depends_on_what_a_worker_does(doing, seconds, how):
    standing = standing_with(2, 1)
    for step in (0, seconds - 1):
        assert hanging(standing, doing, 0, step) is None
    worker, said = hanging(standing, doing, 0, 2)
    assert worker == 1 and said.startswith(how)


@pytest.mark.parametrize(
    'doing, how',
    [
        ('steps', 'hangs: it has not come to the step that others wait in'),
        ('callback', 'hangs in a callback: it has shown no sign of work for 7 s'),
        ('preparing', 'hangs before it trains: it has shown no sign of work for 7 s (more --timeout lets it prepare'),
        ('saving', 'hangs while it saves: it has shown no sign of work for 7 s (more --timeout lets it save'),
    ],
)
def test_others_wait_less_for_who_does_not_work(doing, how):
    standing = standing_with(2, 1)
    assert hanging(standing, doing, 0, 60, works=False) is None  # nobody has waited for it until now
    assert hanging(standing, doing, 0, 6, works=False) is None
    if doing != 'steps':
        assert hanging(standing, doing, 0, 5, works=True) is None
        assert hanging(standing, doing, 0, 6, works=False) is None
    worker, said = hanging(standing, doing, 0, 2, works=False)
    assert worker == 1 and said.startswith(how)


def test_who_waits_for_one_that_is_further_behind_does_not_hang():
    """Worker 0 need not wait until its weights have come to both others, who hand them on."""
    standing = standing_with(3, 2, 1)
    for _ in range(9):
        standing.take(2, {'progress': 1, 'done': 0, 'doing': 'preparing', 'worked': standing.worked[2] + 1})
        assert hanging(standing, 'preparing', 0, 6, works=False, progress=2) is None
    worker, said = hanging(standing, 'preparing', 0, 6, works=False, progress=2)
    assert worker == 2 and said.startswith('hangs before it trains: it has shown no sign of work for 7 s')


def test_who_is_behind_but_finishes_batches_does_not_hang():
    """A slower part of an evaluation, or of the batches that are accumulated for one step."""
    standing = standing_with(2, 1)
    for done in list(range(9)) + [8]:
        assert hanging(standing, 'steps', done, 5) is None
    assert hanging(standing, 'steps', 8, 3)[0] == 1


def test_what_takes_long_is_no_hang():
    """The first batch of a kind, and what takes less than ten times as long as others did."""
    standing = standing_with(0, 0)
    assert standing.stall_limit() == 300
    standing.finish()
    assert standing.stall_limit() == 100
    move(standing, 40)
    standing.finish()
    assert 400 < standing.stall_limit() < 401
    standing.begin_batches_of('evaluation')
    assert standing.stall_limit() == 300
    standing.begin_batches_of('step')
    assert 400 < standing.stall_limit() < 401
    standing.set_activity('saving')
    assert standing.stall_limit() == 300
    standing.set_activity('steps')
    standing.begin_to_work()
    assert standing.stall_limit() == 300


@pytest.mark.parametrize('working', [0, 1])
def test_all_hang_where_none_works(working):
    standing = standing_with(0, 0)
    for _ in range(9):
        move(standing, 6)
        assert standing.stalled() is None
        if working:  # one of them computes: that takes long
            standing.take(1, dict(standing.said(), worked=standing.worked[1] + 1))
        else:
            standing.look(True)
    move(standing, 6)
    assert standing.stalled() is None
    move(standing, 2)
    assert standing.stalled() == 'all workers hang: none has finished a batch or shown a sign of work for 7 s'


def test_where_one_is_behind_it_is_that_one_that_hangs():
    standing = standing_with(2, 1)
    assert hanging(standing, 'callback', 0, 0) is None
    move(standing, 60)
    assert standing.stalled() is None and standing.is_apart()
    assert not standing_with(2, 2).is_apart()


def test_a_gpu_computes_batches_while_its_process_waits():
    standing = standing_with(0, 0)
    standing.set_activity('steps')
    for unseen, doing, signs in ((False, 'steps', 0), (True, 'steps', 1), (True, 'saving', 1), (False, 'steps', 1)):
        standing.computes_unseen = unseen
        standing.set_activity(doing)
        standing.look(False)
        assert standing.said()['worked'] == signs
    standing.look(True)
    assert standing.said()['worked'] == 2


def test_time_that_a_worker_was_stopped_itself_is_left_out():
    standing = standing_with(0, 0)
    standing.heard, before = {1: 5.0}, standing.done_at
    standing.worked_at = {0: 6.0, 1: 7.0}
    standing.leave_out(1.0)
    assert (standing.heard, standing.done_at, standing.worked_at) == ({1: 5.0}, before, {0: 6.0, 1: 7.0})
    standing.leave_out(100.0)
    assert (standing.heard, standing.done_at, standing.worked_at) == ({1: 105.0}, before + 100, {0: 106.0, 1: 107.0})


def test_who_is_silent_is_lost():
    standing = standing_with(0, 0, 0)
    now = time.monotonic()
    standing.heard = {1: now, 2: now - 6}
    assert standing.silent() is None
    standing.heard[2] -= 2
    assert standing.silent() == (2, 'gives no sign of life (stopped, or cut off)')


def test_what_is_being_saved_has_time_as_long_as_it_goes_on():
    standing = standing_with(0, 0)
    assert not standing.may_save()
    standing.set_activity('saving')
    assert standing.may_save()
    standing.doing_since -= 8  # of 7 without a sign of work
    move(standing, 8)
    assert not standing.may_save()
    standing.look(True)
    assert standing.may_save()
    standing.doing_since -= 100
    assert not standing.may_save()
