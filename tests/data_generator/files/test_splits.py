"""Folds of a dataset: every image in one of them, whole folders and sequences where there are enough."""

import os
import unicodedata

import numpy as np
import pytest

from data_generator.errors import DataError
from data_generator.files.discovery import Pair
from data_generator.files.splits import begin_with, divide


def pairs_of(*paths):
    return [Pair(os.path.join(os.sep + 'data', *path.split('/')), None) for path in paths]


def members(pairs, folds):
    """The numbers of the images in each fold; each in one alone."""
    found = [
        {number for number, is_held in enumerate(begin_with(pairs, prefixes)) if is_held} for prefixes in folds.prefixes
    ]
    assert sorted(number for fold in found for number in fold) == list(range(len(pairs)))
    return found


def test_folders_stay_whole_and_parts_are_alike_in_size():
    counts = {'aachen': 9, 'bochum': 4, 'bremen': 3, 'ulm': 2}
    pairs = pairs_of(*['{0}/{0}_{1}.png'.format(city, n) for city, count in counts.items() for n in range(count)])
    folds = divide(pairs, 2)
    assert folds.unit == 'folders'
    assert sorted(len(fold) for fold in members(pairs, folds)) == [9, 9]
    assert sorted(map(sorted, folds.prefixes)) == [['aachen/'], ['bochum/', 'bremen/', 'ulm/']]


def test_sequences_stay_whole_where_there_are_no_folders():
    names = ['{}_{:04d}.png'.format(film, n) for film in ('0001TP', '0006R0', '0016E5') for n in range(4)]
    pairs = pairs_of(*names)
    folds = divide(pairs, 3)
    assert folds.unit == 'sequences' and sorted(folds.prefixes) == [['0001TP_'], ['0006R0_'], ['0016E5_']]
    single = divide(pairs, 4)  # more than there are sequences
    assert single.unit == 'images' and [len(fold) for fold in members(pairs, single)] == [3, 3, 3, 3]


def test_folders_whose_images_are_called_alike():
    pairs = pairs_of('a/0.png', 'a/1.png', 'b/0.png', 'b/1.png', 'ab/0.png')
    folds = divide(pairs, 3)
    assert folds.unit == 'folders' and members(pairs, folds)
    assert divide(pairs, 5).unit == 'images' and members(pairs, divide(pairs, 5))


def test_a_folder_within_another_divides_by_images():
    pairs = pairs_of('a/0.png', 'a/1.png', 'a/b/2.png', 'c/3.png')
    folds = divide(pairs, 2)
    assert folds.unit == 'images' and [len(fold) for fold in members(pairs, folds)] == [2, 2]


def test_images_that_would_be_in_two_parts():
    with pytest.raises(DataError, match='^1.png and sub/1.png cannot be told apart as parts of a dataset. Put'):
        divide(pairs_of('1.png', 'sub/1.png', '2.png'), 3)


def test_the_seed_decides_and_nothing_else():
    pairs = pairs_of(*['{}.png'.format(number) for number in range(20)])
    assert divide(pairs, 4, seed=3) == divide(list(reversed(pairs)), 4, seed=3) != divide(pairs, 4, seed=4)
    assert divide(pairs, np.int64(4), seed=np.int64(3)) == divide(pairs, 4, seed=3)
    # Written down: another machine, Python or NumPy divides alike.
    assert divide(pairs, 4, seed=0).prefixes[0] == ['{}.png'.format(number) for number in (0, 11, 12, 16, 18)]


@pytest.mark.parametrize('number', [0, 1, 4, True, 2.0])
def test_numbers_that_cannot_be(number):
    with pytest.raises(ValueError, match='folds of 3 images were asked for; the number has to be from 2'):
        divide(pairs_of('0.png', '1.png', '2.png'), number)


@pytest.mark.parametrize('seed', [-1, 1.7, None, 'x', float('nan')])
def test_seeds_that_cannot_be(seed):
    with pytest.raises(ValueError, match='seed is .*; it has to be a whole number of at least 0'):
        divide(pairs_of('0.png', '1.png', '2.png'), 2, seed)


def test_a_prefix_with_a_slash_is_of_the_path():
    pairs = pairs_of('x/a/0.png', 'x/b/0.png', 'y/a/1.png')
    assert begin_with(pairs, ['a/']) == [True, False, True]
    assert begin_with(pairs, ['x/a/', '1']) == [True, False, True]
    assert begin_with(pairs, ['b/0.pn', 'y/']) == [False, True, True]
    with pytest.raises(DataError, match="None of 3 images has a name that begins with 'a/2'"):
        begin_with(pairs, ['a/', 'a/2'])


@pytest.mark.parametrize('on_disk, typed', [('NFD', 'NFC'), ('NFC', 'NFD')])
def test_accents_are_the_same_however_a_system_writes_them(on_disk, typed):
    pairs = pairs_of(*(unicodedata.normalize(on_disk, name) for name in ('zürich/zürich_1.png', 'bonn/bonn_1.png')))
    for prefix in 'zürich', 'zürich/':
        assert begin_with(pairs, [unicodedata.normalize(typed, prefix)]) == [True, False]
    with pytest.raises(DataError, match="begins with 'zu'"):
        begin_with(pairs, ['zu'])


def test_many_folds_of_many_images_are_told_apart():
    pairs = pairs_of(*['{}/sub/0.png'.format(number) for number in range(200)])
    folds = divide(pairs, 2)
    assert folds.unit == 'images' and [len(fold) for fold in members(pairs, folds)] == [100, 100]
    assert begin_with(pairs, ['{}/'.format(number) for number in range(200)]) == [True] * 200


def test_a_folder_anywhere_within_another_is_not_apart_from_it():
    pairs = pairs_of('x/a/y/0.png', 'x/a/y/1.png', 'a/0.png', 'a/1.png')
    assert divide(pairs, 2).unit != 'folders'
    assert divide(pairs_of('x/ab/y/0.png', 'x/ab/y/1.png', 'a/0.png', 'a/1.png'), 2).unit == 'folders'
