"""Tests of how much memory there is, and of memory that goes back to the system before its array does."""

import os
import sys

import numpy as np
import pytest

from helpers.process.memory import give_back, total_memory


def resident():
    with open('/proc/self/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='Linux alone takes memory back')
def test_the_part_of_an_array_that_is_given_back_takes_no_memory_and_the_rest_stays():
    array = np.arange(1 << 24, dtype=np.float32)
    before = resident()
    assert give_back(array[1 << 23 :])
    assert before - resident() > 30e6
    np.testing.assert_array_equal(array[: 1 << 23], np.arange(1 << 23, dtype=np.float32))


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='Linux alone takes memory back')
def test_what_shares_its_page_stays():
    array = np.arange(5000)
    assert give_back(array[1:10])
    np.testing.assert_array_equal(array, np.arange(5000))
    assert give_back(array[3:3])


def test_a_system_that_does_not_tell_its_memory(monkeypatch):
    monkeypatch.delattr(os, 'sysconf', raising=False)
    assert total_memory() is None


def test_elsewhere_nothing_is_given_back(monkeypatch):
    monkeypatch.setattr(sys, 'platform', 'darwin')
    array = np.ones(1 << 20)
    assert not give_back(array)
    assert array.min() == 1
