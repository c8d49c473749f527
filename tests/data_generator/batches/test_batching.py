import gc
import pathlib
import subprocess
import sys
import threading
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_generator import DataError
from data_generator.batches import workers
from data_generator.batches.batching import BatchIterator, BatchOrder, Made, Sample, sample_rng, stack
from helpers.label_spaces import generic_label_space

ROOT = str(pathlib.Path(__file__).parents[3])
TIMEOUT = 60  # seconds after which a hanging thread fails a test


def made(number, size=(2, 3), label_size=None, source='a.png'):
    return Made(np.full(size + (3,), number % 256, np.uint8), np.full(label_size or size, number % 7, np.uint8), source)


def iterate(make, num_pairs=5, batch_size=2, shuffle=True, seed=0, num_workers=0, prefetch=2):
    order = BatchOrder(num_pairs, batch_size, shuffle, seed)
    return BatchIterator(order, make, stack, num_workers, prefetch, None, 'fingerprint')


def numbers(batch):
    return batch[0][:, 0, 0, 0].tolist()


# ---- Order ----


@settings(max_examples=50, deadline=None)
@given(num_pairs=st.integers(1, 12), batch_size=st.integers(1, 15), seed=st.integers(0, 5))
def test_shuffled_stream_is_one_permutation_after_the_other_in_full_batches(num_pairs, batch_size, seed):
    order = BatchOrder(num_pairs, batch_size, True, seed)
    batches = [order.samples(k) for k in range(-(-3 * num_pairs // batch_size))]
    assert all(len(batch) == batch_size for batch in batches)
    stream = [sample for batch in batches for sample in batch]
    assert [sample.number for sample in stream] == list(range(len(stream)))
    for start in range(0, 3 * num_pairs, num_pairs):
        assert sorted(sample.pair_index for sample in stream[start : start + num_pairs]) == list(range(num_pairs))


@settings(max_examples=50, deadline=None)
@given(num_pairs=st.integers(1, 12), batch_size=st.integers(1, 15))
def test_unshuffled_pass_holds_every_pair_once_in_order(num_pairs, batch_size):
    order = BatchOrder(num_pairs, batch_size, False, 0)
    assert order.num_batches == int(np.ceil(num_pairs / batch_size))
    for first in (0, order.num_batches):
        batches = [order.samples(first + k) for k in range(order.num_batches)]
        assert [sample.pair_index for batch in batches for sample in batch] == list(range(num_pairs))
    assert [sample.number for sample in batches[0]] == list(range(num_pairs, num_pairs + len(batches[0])))


def test_batches_depend_on_seed_and_number_alone():
    one, other = BatchOrder(9, 4, True, 1), BatchOrder(9, 4, True, 1)
    assert [one.samples(k) for k in (0, 7, 3)] == [other.samples(k) for k in (0, 7, 3)]
    assert [one.samples(k) for k in range(5)] != [BatchOrder(9, 4, True, 2).samples(k) for k in range(5)]
    passes = [
        [s.pair_index for k in range(9 * p, 9 * p + 9) for s in BatchOrder(9, 1, True, 1).samples(k)] for p in (0, 1)
    ]
    assert passes[0] != passes[1]


def test_the_order_is_that_of_version_1_0():
    """A run that an older version began goes on with the batches that it would have had."""
    order = BatchOrder(9, 9, True, 3)
    assert [[sample.pair_index for sample in order.samples(k)] for k in (0, 1)] == [
        [3, 8, 6, 4, 1, 7, 0, 2, 5],
        [6, 5, 3, 1, 2, 0, 7, 4, 8],
    ]


def test_every_sample_has_random_numbers_of_its_own():
    draws = {sample_rng(seed, Sample(number, 0)).integers(1 << 62) for seed in range(3) for number in range(3)}
    assert len(draws) == 9
    assert sample_rng(1, Sample(2, 3)).integers(1 << 62) == sample_rng(1, Sample(2, 4)).integers(1 << 62)


# ---- Stacking ----


def test_stacking_with_and_without_labels():
    images, labels = stack([made(4), made(5)])
    assert images.shape == (2, 2, 3, 3) and labels.shape == (2, 2, 3) and images.dtype == labels.dtype == np.uint8
    assert images[1].max() == 5 and labels[0].max() == 4
    assert stack([made(4)._replace(label=None)]).shape == (1, 2, 3, 3)


def test_different_sizes_in_one_batch_are_refused():
    with pytest.raises(
        DataError,
        match=r'Images of different sizes in one batch: 2x3 for a\.png and 5x3 for b\.png.*'
        r'resize=\(height, width\).*batch_size=1',
    ):
        stack([made(0), made(0), made(0, size=(5, 3), source='b.png')])
    with pytest.raises(DataError, match=r'Labels of different sizes in one batch: 2x3 for a\.png and 4x6 for b\.png'):
        stack([made(0), made(0, label_size=(4, 6), source='b.png')])


# ---- Iterating ----


@pytest.mark.parametrize('num_workers', [0, 1, 4])
@pytest.mark.parametrize('shuffle', [False, True])
def test_batches_come_in_order_whatever_the_workers(num_workers, shuffle):
    with iterate(lambda sample: made(sample.pair_index), shuffle=shuffle, num_workers=num_workers) as iterator:
        order = BatchOrder(5, 2, shuffle, 0)
        for k in range(9):
            assert iterator.position == k
            assert numbers(next(iterator)) == [sample.pair_index for sample in order.samples(k)]
        assert iterator.wait_seconds > 0 and iterator.num_batches == 3


@pytest.mark.parametrize('num_workers', [0, 1, 4])
def test_seeking_forwards_and_backwards(num_workers):
    with iterate(lambda sample: made(sample.number), batch_size=3, num_workers=num_workers) as iterator:
        seen = []
        for position in (0, 1, 7, 2, 3, 0, 20):
            iterator.seek(position)
            assert iterator.position == position
            seen.append(numbers(next(iterator))[0])
        assert seen == [0, 3, 21, 6, 9, 0, 60]
        with pytest.raises(
            ValueError, match='position is -1; it has to be a whole number of at least 0. It is the number of a batch'
        ):
            iterator.seek(-1)


@pytest.mark.parametrize('num_workers', [0, 1, 4])
def test_an_error_comes_at_its_batch_and_the_next_call_goes_on(num_workers):
    def make(sample):
        if sample.number in (5, 4):
            raise DataError('sample {}'.format(sample.number))
        return made(sample.number)

    with iterate(make, num_workers=num_workers, prefetch=4) as iterator:
        assert [numbers(next(iterator)) for _ in range(2)] == [[0, 1], [2, 3]]
        with pytest.raises(DataError, match='sample 4'):
            next(iterator)
        assert iterator.position == 3
        assert numbers(next(iterator)) == [6, 7]


@pytest.mark.parametrize('num_workers', [0, 2])
def test_an_error_of_stacking_comes_at_its_batch(num_workers):
    with iterate(
        lambda sample: made(0, size=(2, 3 + sample.number // 3)), shuffle=False, num_workers=num_workers
    ) as iterator:
        next(iterator)
        with pytest.raises(DataError, match='different sizes'):
            next(iterator)


def test_workers_are_never_further_ahead_than_prefetch():
    handed_out, too_early = [0], []

    def make(sample):
        if sample.number // 2 >= handed_out[0] + 3:
            too_early.append(sample.number)
        return made(sample.number)

    with iterate(make, num_workers=3, prefetch=2) as iterator:
        for _ in range(30):
            next(iterator)
            handed_out[0] += 1
    assert not too_early


def test_two_iterators_do_not_disturb_each_other():
    order = BatchOrder(5, 2, True, 3)
    expected = [[sample.pair_index for sample in order.samples(k)] for k in range(4)]
    one, two = (iterate(lambda sample: made(sample.pair_index), seed=3, num_workers=n) for n in (2, 0))
    with one, two:
        both = [(numbers(next(one)), numbers(next(two))) for _ in range(4)]
    assert both == list(zip(expected, expected))


@pytest.mark.parametrize('num_workers', [0, 2])
def test_threads_that_take_from_one_iterator_share_its_batches(num_workers):
    taken = []
    with iterate(lambda sample: made(sample.number), num_workers=num_workers, shuffle=False) as iterator:
        threads = [
            threading.Thread(target=lambda: taken.extend(numbers(next(iterator))[0] for _ in range(9)), daemon=True)
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        assert not any(thread.is_alive() for thread in threads)
    with iterate(lambda sample: made(sample.number), shuffle=False) as iterator:
        assert sorted(taken) == sorted(numbers(next(iterator))[0] for _ in range(27))


# ---- Ending ----


def worker_threads():
    return [thread for thread in threading.enumerate() if isinstance(thread, workers._Worker)]


def test_closing_ends_the_threads():
    before = len(worker_threads())
    iterator = iterate(lambda sample: made(0), num_workers=3)
    assert len(worker_threads()) == before + 3
    iterator.close()
    assert len(worker_threads()) == before
    with pytest.raises(StopIteration):
        next(iterator)
    iterator.close()


def test_closing_from_another_thread_ends_a_waiting_consumer():
    begun, closed = threading.Event(), threading.Event()

    def make(_):
        begun.set()
        closed.wait(TIMEOUT)
        return made(0)

    def close():
        begun.wait(TIMEOUT)
        threading.Thread(target=closed.set).start()
        iterator.close()

    iterator = iterate(make, num_workers=1)
    threading.Thread(target=close).start()
    assert len(list(zip(range(1000), iterator))) < 1000


def wait_for_workers_to_end():
    for thread in worker_threads():
        thread.join(TIMEOUT)


def test_opencv_keeps_to_one_thread_while_there_are_workers():
    wait_for_workers_to_end()  # those of other tests
    before, seen = cv2.getNumThreads(), []
    with iterate(lambda sample: seen.append(cv2.getNumThreads()) or made(0), num_workers=1) as one:
        with iterate(lambda sample: made(0), num_workers=2) as two:
            next(two)
        for _ in range(40):  # also after the workers of the other have ended
            next(one)
    assert set(seen) == {1}
    wait_for_workers_to_end()
    assert cv2.getNumThreads() == before


def test_letting_go_of_an_iterator_ends_its_threads(monkeypatch):
    monkeypatch.setattr(workers, 'POLL_SECONDS', 0.01)
    before = set(worker_threads())
    iterator = iterate(lambda sample: made(0), num_workers=2)
    next(iterator)
    threads = set(worker_threads()) - before
    del iterator
    gc.collect()
    for thread in threads:
        thread.join(TIMEOUT)
    assert not any(thread.is_alive() for thread in threads)


SCRIPT = """
import os, signal, threading
import numpy as np
from data_generator.batches.batching import BatchIterator, BatchOrder, Made, stack

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
ready, caught = threading.Event(), threading.Event()

def make(sample):
    {body}
    return Made(np.zeros((500, 500, 3), np.uint8), None, '')

iterator = BatchIterator(BatchOrder(9, 2, True, 0), make, stack, 2, 3, None, '')
{main}
"""

INTERRUPT = """
    if sample.number == 0:  # while the main thread waits for this very sample
        ready.wait()
        os.kill(os.getpid(), signal.SIGINT)
        caught.wait()
"""
CATCH = """
try:
    ready.set()
    next(iterator)
except KeyboardInterrupt:
    print("caught", iterator.position)
    caught.set()
"""
FORK = """
import warnings
warnings.simplefilter('ignore')  # Python 3.12 warns of forks of processes with threads
if os.fork() == 0:
    try:
        next(iterator)
    except ValueError as error:
        print('asked for in a fork of it' in str(error) and 'Call generate in the fork' in str(error), flush=True)
    iterator.close()
else:
    os.wait()
    print('end')
"""


@pytest.mark.parametrize(
    'body, main, output',
    [
        ('pass', 'next(iterator); print("end")', 'end'),
        ('pass', 'next(iterator); del iterator; print("end")', 'end'),
        ('pass', 'kept = [iterator, BatchIterator]; kept.append(kept); print("end")', 'end'),
        (INTERRUPT, CATCH, 'caught 0'),
        ('pass', FORK, 'True\nend'),
    ],
    ids=['idle', 'abandoned', 'in a cycle', 'after Ctrl-C', 'in a fork'],
)
def test_the_interpreter_exits_cleanly(body, main, output):
    process = subprocess.run(
        [sys.executable, '-c', SCRIPT.format(body=body, main=main)],
        timeout=TIMEOUT,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        check=False,
    )
    assert (process.returncode, process.stdout.strip(), process.stderr) == (0, output, '')


def labels_of_classes(root, own_dataset, *values, **options):
    return own_dataset(root, [np.full((2, 3), value) for value in values], **options)


def passes(data, number=2, **options):
    with data.generate(1, **options) as batches:
        for _ in range(number * batches.num_batches):
            next(batches)


def test_a_class_without_a_pixel_is_warned_about_after_the_first_pass_of_training(tmp_path, own_dataset):
    data = labels_of_classes(tmp_path, own_dataset, 0, 2, 255, 0, num_classes=4)
    with pytest.warns(UserWarning, match=r'over 4 images is of class 1, 3\. What does not occur') as caught:
        passes(data)
    assert len(caught) == 1
    with pytest.warns(UserWarning, match='is of class 1, 3'):
        passes(data, convert_to_one_hot=True)
    named = generic_label_space(13, class_names=['class ' + letter for letter in 'abcdefghijklm'])
    with pytest.warns(UserWarning, match=r'is of class 1 \(class b\), .*, 11 \(class l\) and others\. What'):
        passes(labels_of_classes(tmp_path / 'named', own_dataset, 0, 2, label_space=named))


def test_a_score_over_a_single_class_is_warned_about(tmp_path, own_dataset):
    with pytest.warns(UserWarning, match='hold a single class, so a score on them says nothing'):
        passes(labels_of_classes(tmp_path / 'a', own_dataset, 1, 255, num_classes=3), shuffle=False)
    with pytest.warns(UserWarning, match='hold no class at all'):
        passes(labels_of_classes(tmp_path / 'b', own_dataset, 255, num_classes=3), shuffle=False)


def test_what_begins_or_goes_on_in_the_middle_of_a_pass_says_nothing_of_it(tmp_path, own_dataset):
    data = labels_of_classes(tmp_path, own_dataset, 0, 1, 2, num_classes=3)
    options = dict(shuffle=True, seed=0)
    with data.generate(1, **options) as batches, warnings.catch_warnings():
        warnings.simplefilter('error')
        classes = [int(next(batches)[1].max()) for _ in range(12)]
        # Three batches in a row, over the end of a pass, that hold one class twice and another not at all.
        start = next(k for k in range(1, 10) if len(set(classes[k : k + 3])) < 3)
    for first in (start, 0):
        with data.generate(1, **options) as batches, warnings.catch_warnings():
            warnings.simplefilter('error')
            for number in [*range(first, 1), *range(start, start + 4)]:
                batches.seek(number)
                next(batches)


def test_whole_labels_are_not_warned_about(tmp_path, own_dataset):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        passes(labels_of_classes(tmp_path / 'a', own_dataset, 0, 1, 2, num_classes=3))
        passes(labels_of_classes(tmp_path / 'b', own_dataset, 0, 1, num_classes=3), shuffle=False)
        space = generic_label_space(3)._replace(void_class_ids=(2,))
        passes(labels_of_classes(tmp_path / 'c', own_dataset, 0, 1, label_space=space, ignore_id=255))


def test_batches_that_are_dealt_out_are_those_of_the_whole():
    whole = BatchOrder(11, 2, False, 0)
    shares = [BatchOrder(11, 2, False, 0, (number, 4)) for number in range(4)]
    assert [share.num_batches for share in shares] == [2, 2, 1, 1]
    for number, share in enumerate(shares):
        for k in range(share.num_batches * 2):
            past, place = divmod(k, share.num_batches)
            assert share.samples(k) == whole.samples(past * whole.num_batches + number + 4 * place)


# ---- Parts for several workers ----


def test_a_share_is_not_dealt_out():
    """It was forgotten: after `deal(0, 1)` the batches of the other process came, too."""
    order = BatchOrder(4, 1, False, 0, (0, 2))
    with BatchIterator(order, lambda sample: None, stack, 0, 2, None, 'fingerprint') as iterator:
        with pytest.raises(ValueError, match=r'share=\(0, 2\) of each pass.* Leave share out of generate'):
            iterator.deal(0, 1)
        assert iterator.num_batches == 2 and iterator.rows is None


def test_nobody_is_warned_of_classes_that_another_worker_sees():
    """Each of two workers sees the labels of one class alone, of data that hold both."""

    def of_one_class(sample):
        return Made(np.zeros([4, 4, 3], np.uint8), np.full([4, 4], sample.pair_index % 2, np.uint8), 'x')

    order = BatchOrder(4, 1, False, 0)
    iterator = BatchIterator(order, of_one_class, stack, 0, 2, generic_label_space(2), 'fingerprint')
    with iterator, warnings.catch_warnings():
        warnings.simplefilter('error')
        iterator.deal(0, 2)
        assert {label for _ in range(5) for label in np.unique(next(iterator)[1])} == {0}


@pytest.mark.parametrize('shuffle', [True, False])
def test_parts_of_workers_make_the_batches_that_are_as_many_times_as_large(shuffle):
    def pairs_of(batch_size, deal=None):
        iterator = iterate(lambda sample: made(sample.pair_index), batch_size=batch_size, shuffle=shuffle)
        with iterator:
            if deal is not None:
                iterator.deal(*deal)
            # Without a shuffle, the second batch of four has one of the five pairs, and the second worker none.
            return [numbers(next(iterator))[slice(*(0, 9) if deal is None else _rows(iterator))] for _ in range(2)]

    whole = pairs_of(batch_size=4)
    one, other = pairs_of(2, (0, 2)), pairs_of(2, (1, 2))
    assert [first + second for first, second in zip(one, other)] == whole
    assert pairs_of(2, (0, 1, 2)) == whole


def _rows(iterator):
    """Of what came, as much as counts: a sample that stands in for none does not."""
    first, end = iterator.rows
    return 0, end - first
