import threading

import pytest

from fcn8s.prediction.pipelining import overlapped


def test_results_come_in_order():
    with overlapped(range(50), lambda x: x + 1, lambda x: x * x) as results:
        assert list(results) == [(x + 1) ** 2 for x in range(50)]


def test_without_stages_it_reads_ahead():
    with overlapped('abc') as results:
        assert list(results) == ['a', 'b', 'c']


@pytest.mark.parametrize('where', ['source', 'stage'])
def test_an_error_comes_after_the_results_before_it(where):
    def source():
        yield from range(5)
        if where == 'source':
            raise ValueError('number 5')
        yield 5

    def stage(x):
        if x == 5:
            raise ValueError('number 5')
        return x

    seen = []
    with pytest.raises(ValueError, match='number 5'), overlapped(source(), stage) as results:
        for result in results:
            seen.append(result)
    assert seen == [0, 1, 2, 3, 4]


def test_runs_at_most_a_few_items_ahead():
    read = []

    def source():
        for number in range(10000):
            read.append(number)
            yield number

    with overlapped(source(), lambda x: x) as results:
        for taken in range(1, 20):
            next(results)
            assert len(read) <= taken + 7


def test_stages_run_at_the_same_time():
    both = threading.Barrier(2, timeout=20)
    waits = [both.wait, both.wait]

    def first(x):
        if x == 1:
            waits[0]()
        return x

    def second(x):
        if x == 0:
            waits[1]()  # passes only while the first stage is in item 1
        return x

    with overlapped(range(3), first, second) as results:
        assert list(results) == [0, 1, 2]


def test_leaving_early_ends_the_threads():
    before = threading.active_count()
    with overlapped(iter(int, 1), lambda x: x) as results:
        next(results)
    assert threading.active_count() == before
