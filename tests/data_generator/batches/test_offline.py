"""Processed datasets: the same tree, nothing outside it, nothing overwritten, nothing done twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from data_generator import BatchGenerator, DataError
from data_generator.batches import offline
from data_generator.files.discovery import Pair
from data_generator.files.processed import MANIFEST_NAME, read_manifest
from helpers import image_search

NUM_PAIRS = 5


def write_png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


@pytest.fixture
def dataset(tmp_path):
    """A nested dataset of five pairs below tmp_path/data, with label IDs 0 to 3."""
    rng = np.random.default_rng(0)
    for number in range(NUM_PAIRS):
        name = '{}/{}.png'.format('ab'[number % 2], number)
        write_png(tmp_path / 'data/images' / name, rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        write_png(tmp_path / 'data/labels' / name, rng.integers(0, 4, (12, 16), dtype=np.uint8))
    return tmp_path / 'data'


def generator_of(dataset, **options):
    options.setdefault('export_dir', str(dataset.parent / 'out'))
    options.setdefault('root_dir', str(dataset))
    return BatchGenerator(
        [str(dataset / 'images')], ground_truth_dirs=[str(dataset / 'labels')], num_classes=4, **options
    )


def tree(directory):
    return {
        os.path.relpath(os.path.join(folder, name), str(directory)): os.stat(os.path.join(folder, name)).st_mtime_ns
        for folder, _, names in os.walk(str(directory))
        for name in names
    }


def contents(directory):
    return {
        name: cv2.imread(os.path.join(str(directory), name), cv2.IMREAD_UNCHANGED)
        for name in tree(directory)
        if name.endswith('.png')
    }


def assert_equal_trees(one, other):
    one, other = contents(one), contents(other)
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def process(generator, transforms, **options):
    return generator.process_all(show_progress=False, **dict(transforms, **options))


def test_the_written_tree_is_that_of_the_dataset(dataset, tmp_path):
    done = process(generator_of(dataset), {})
    assert done == (str(tmp_path / 'out'), NUM_PAIRS, 0)
    assert_equal_trees(dataset, tmp_path / 'out')


def test_pairs_are_transformed_and_ids_mapped(dataset, tmp_path):
    process(generator_of(dataset), {'resize': (6, 8), 'convert_ids_to_ids': {0: 3, 1: 2, 2: 1, 3: 0}})
    sources, written = contents(dataset), contents(tmp_path / 'out')
    assert len(written) == 2 * NUM_PAIRS
    for name, array in written.items():
        assert array.shape[:2] == (6, 8)
        if name.startswith('labels'):
            corners = [sources[name][row::2, column::2] for row in range(2) for column in range(2)]
            assert any(np.array_equal(array, 3 - corner) for corner in corners)


def test_16_bit_labels_are_written_without_loss(dataset, tmp_path):
    generator = BatchGenerator(
        [str(dataset / 'images')],
        ground_truth_dirs=[str(dataset / 'labels')],
        root_dir=str(dataset),
        export_dir=str(tmp_path / 'out'),
    )
    process(generator, {'convert_ids_to_ids': {0: 0, 1: 300, 2: 40000, 3: 65535}})
    written = contents(tmp_path / 'out')
    for name, array in contents(dataset).items():
        if name.startswith('labels'):
            assert written[name].dtype == np.uint16
            np.testing.assert_array_equal(written[name], np.array([0, 300, 40000, 65535])[array])


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64])
def test_id_maps_of_any_type_give_identical_files(dataset, tmp_path, dtype):
    options = {'flip': 0.5, 'translate': ((0, 5), (0, 3), 0.5)}
    process(generator_of(dataset), dict(options, convert_ids_to_ids={0: 3, 1: 2, 2: 1, 3: 0}))
    other = generator_of(dataset, export_dir=str(tmp_path / 'other'))
    process(other, dict(options, convert_ids_to_ids=np.array([3, 2, 1, 0], dtype)))
    written = contents(tmp_path / 'out')
    assert len(written) == 2 * NUM_PAIRS
    for name in written:
        assert (tmp_path / 'out' / name).read_bytes() == (tmp_path / 'other' / name).read_bytes()


def test_workers_do_not_change_what_is_written(dataset, tmp_path):
    options = {'flip': 0.5, 'brightness': (0.5, 1.5, 0.5)}
    process(generator_of(dataset), options)
    process(generator_of(dataset, export_dir=str(tmp_path / 'other')), options, workers=3)
    assert_equal_trees(tmp_path / 'out', tmp_path / 'other')


def test_an_interrupted_run_goes_on_and_writes_nothing_twice(dataset, tmp_path):
    options = {'flip': 0.5, 'scale': (0.5, 2, 0.5), 'pad_value': (9, 8, 7)}
    process(generator_of(dataset, export_dir=str(tmp_path / 'whole')), options)
    broken = dataset / 'images/b/3.png'
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    with pytest.raises(DataError, match=r'3\.png'):
        process(generator_of(dataset), options)
    broken.write_bytes(whole)
    before = tree(tmp_path / 'out')
    done = process(generator_of(dataset), options)
    assert done.num_written >= 1 and done.num_written + done.num_skipped == NUM_PAIRS
    after = tree(tmp_path / 'out')
    assert all(after[name] == time for name, time in before.items())
    assert_equal_trees(tmp_path / 'out', tmp_path / 'whole')
    assert process(generator_of(dataset), options).num_written == 0


@pytest.mark.parametrize('options', [{}, {'rotate': (5, 5, 1.0)}])
def test_a_run_goes_on_after_a_broken_file_is_replaced_by_one_of_another_size(dataset, tmp_path, options):
    process(generator_of(dataset, export_dir=str(tmp_path / 'whole')), options)
    broken = dataset / 'images/b/3.png'
    whole = broken.read_bytes()
    broken.write_bytes(b'')
    with pytest.raises(DataError, match=r'3\.png'):
        process(generator_of(dataset), options)
    broken.write_bytes(whole)
    process(generator_of(dataset), options)
    assert_equal_trees(tmp_path / 'out', tmp_path / 'whole')


def test_other_files_in_the_dataset_are_other_settings(dataset):
    process(generator_of(dataset), {})
    write_png(dataset / 'images/a/9.png', np.zeros((12, 16, 3), np.uint8))
    write_png(dataset / 'labels/a/9.png', np.zeros((12, 16), np.uint8))
    with pytest.raises(ValueError, match='other settings: dataset was .* and is now'):
        process(generator_of(dataset), {})


def test_half_a_pair_is_completed(dataset, tmp_path):
    process(generator_of(dataset), {})
    (tmp_path / 'out/labels/a/2.png').unlink()
    assert process(generator_of(dataset), {}) == (str(tmp_path / 'out'), 1, NUM_PAIRS - 1)
    assert_equal_trees(dataset, tmp_path / 'out')


def test_other_settings_in_the_same_directory_are_refused(dataset, tmp_path):
    process(generator_of(dataset), {'resize': (6, 8)})
    before = tree(tmp_path / 'out')
    with pytest.raises(ValueError, match=r'other settings: resize was \[6, 8\] and is now \[3, 4\].*another directory'):
        process(generator_of(dataset), {'resize': (3, 4)})
    with pytest.raises(ValueError, match=r'seed was 0 and is now 1'):
        process(generator_of(dataset), {'resize': (6, 8)}, seed=1)
    assert tree(tmp_path / 'out') == before


def test_two_splits_with_settings_of_their_own_share_a_directory(dataset, tmp_path):
    for folder, size in (('a', (6, 8)), ('b', (3, 4))):
        images, labels = (str(dataset / kind / folder) for kind in ('images', 'labels'))
        generator = BatchGenerator(
            [images], ground_truth_dirs=[labels], root_dir=str(dataset), export_dir=str(tmp_path / 'out')
        )
        process(generator, {'resize': size})
    assert {array.shape[:2] for array in contents(tmp_path / 'out').values()} == {(6, 8), (3, 4)}
    with open(str(tmp_path / 'out' / MANIFEST_NAME)) as file:
        assert len(json.load(file)['runs']) == 2


def test_files_from_elsewhere_are_never_touched(dataset, tmp_path):
    mine = tmp_path / 'out/images/a/0.png'
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b'mine')
    with pytest.raises(ValueError, match=r'0\.png exists and was not written by this function.*empty directory'):
        process(generator_of(dataset), {})
    assert mine.read_bytes() == b'mine' and set(tree(tmp_path / 'out')) == {'images/a/0.png'}


@pytest.mark.parametrize(
    'record',
    [
        '{"a": 1}',
        '[]',
        '{"format": 1, "runs": [{"files": []}]}',
        '{"format": 1, "runs": [{"settings": {}, "files": [1]}]}',
        '{"format": 1, "runs": [7]}',
        '{"format": 1, "runs": null}',
        '[' * 100000,
    ],
)
def test_a_foreign_record_is_refused(dataset, tmp_path, record):
    (tmp_path / MANIFEST_NAME).write_text(record)  # beside the dataset it is passed over
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / MANIFEST_NAME).write_text(record)
    with pytest.raises(DataError, match='is no record of a processed dataset'):
        process(generator_of(dataset), {})


def test_the_source_is_never_written_over(dataset, tmp_path):
    (tmp_path / 'link').symlink_to(dataset, target_is_directory=True)
    before = tree(dataset)
    for export_dir in (dataset, tmp_path / 'link', dataset / 'images/..'):
        with pytest.raises(ValueError, match='would be written over the source.*outside the dataset'):
            process(generator_of(dataset, export_dir=str(export_dir)), {'gray': True})
    assert tree(dataset) == before


def test_a_link_to_the_source_is_not_followed(dataset, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/images').symlink_to(dataset / 'images', target_is_directory=True)
    with pytest.raises(ValueError, match='would be written over the source'):
        process(generator_of(dataset), {'gray': True})


def test_nothing_escapes_through_a_link(dataset, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'out/images').symlink_to(tmp_path / 'elsewhere', target_is_directory=True)
    with pytest.raises(ValueError, match=r'outside export_dir=.*through a link'):
        process(generator_of(dataset), {})
    assert not os.listdir(str(tmp_path / 'elsewhere')) and os.listdir(str(tmp_path / 'out')) == ['images']


def test_nothing_escapes_from_above_the_root(dataset, tmp_path):
    with pytest.raises(ValueError, match=r'does not lie below root_dir=.*Set root_dir'):
        process(generator_of(dataset, root_dir=str(dataset / 'labels')), {})
    assert set(os.listdir(str(tmp_path))) == {'data'}


def test_a_root_reached_through_a_link_is_the_same_root(dataset, tmp_path):
    (tmp_path / 'link').symlink_to(dataset, target_is_directory=True)
    process(generator_of(dataset, root_dir=str(tmp_path / 'link')), {})
    assert_equal_trees(dataset, tmp_path / 'out')


def test_two_files_for_one_target_are_refused(dataset, tmp_path):
    write_png(dataset / 'images/a/0.bmp', np.zeros((12, 16, 3), np.uint8))
    generator = BatchGenerator([str(dataset / 'images')], ('png', 'bmp'), export_dir=str(tmp_path / 'out'))
    with pytest.raises(ValueError, match=r'would both be written to .*0\.png'):
        process(generator, {})


def test_names_that_differ_only_in_case_need_a_file_system_that_tells_them_apart(tmp_path, monkeypatch):
    pairs = [Pair(os.path.join(os.sep, 'data', name), None) for name in ('x.jpg', 'X.png')]
    monkeypatch.setattr(image_search, 'ignores_case', lambda folder: folder == str(tmp_path / 'exfat'))
    assert len(offline.plan_targets(pairs, os.sep + 'data', str(tmp_path / 'ext4')).files) == 2
    with pytest.raises(ValueError, match=r'x\.jpg and .*X\.png would both be written to .*X\.png\. Keep'):
        offline.plan_targets(pairs, os.sep + 'data', str(tmp_path / 'exfat'))


BRIGHTER = (0.5, 1.5, 0.5)


def sharing_labels(dataset, images):
    folders = [str(dataset / name) for name in images]
    labels = [str(dataset / 'labels')] * len(images)
    options = dict(num_classes=4, root_dir=str(dataset), export_dir=str(dataset.parent / 'out'))
    return BatchGenerator(folders, ground_truth_dirs=labels, **options)


def test_images_that_share_a_label_are_not_moved_at_random(dataset, tmp_path):
    """The label would fit the image that was written last, and no other."""
    shutil.copytree(str(dataset / 'images'), str(dataset / 'foggy'))
    shared = sharing_labels(dataset, ['images', 'foggy'])
    message = (
        r'labels.a.0\.png would be written for .*images.a.0\.png and again for .*foggy.a.0\.png, and flip, translate'
    )
    with pytest.raises(ValueError, match=message):
        process(shared, {'flip': 0.5, 'brightness': BRIGHTER, 'translate': ((1, 2), (1, 2), 1.0)})
    with pytest.raises(ValueError, match='and random_crop draws'):
        shared.generate(2, to_disk=True, random_crop=(6, 6))
    with pytest.raises(ValueError, match='images.a.0.png and again for .*images.a.0.png, and brightness draws'):
        process(sharing_labels(dataset, ['images', 'images']), {'brightness': BRIGHTER})
    assert not (tmp_path / 'out').exists()
    assert process(shared, {'resize': (6, 8), 'brightness': BRIGHTER, 'flip': False}).num_written == 2 * NUM_PAIRS
    assert len(contents(tmp_path / 'out')) == 3 * NUM_PAIRS


def test_an_export_dir_is_needed(dataset):
    with pytest.raises(ValueError, match='export_dir is None; .*Pass export_dir'):
        process(generator_of(dataset, export_dir=None), {})


def test_a_file_is_no_export_dir(dataset, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ValueError, match='is a file. Give a directory'):
        process(generator_of(dataset, export_dir=str(tmp_path / 'file')), {})


def test_no_directory_can_be_made_below_a_file(dataset, tmp_path):
    (tmp_path / 'file').write_text('')
    message = 'while writing .*file.*A part of this path is a file: choose another directory'
    with pytest.raises(NotADirectoryError, match=message):
        process(generator_of(dataset, export_dir=str(tmp_path / 'file' / 'out')), {})


def test_wrong_options_are_refused_before_anything_is_written(dataset, tmp_path):
    with pytest.raises(ValueError, match='flip is 2'):
        process(generator_of(dataset), {'flip': 2})
    with pytest.raises(ValueError, match="show_progress is 'no'; it has to be True or False"):
        generator_of(dataset).process_all(show_progress='no')
    with pytest.raises(ValueError, match='workers is 100000; it has to be a whole number from 0 to 1024'):
        generator_of(dataset).process_all(workers=100000)
    with pytest.raises(ValueError, match='workers is -1'):
        process(generator_of(dataset), {}, workers=-1)
    with pytest.raises(ValueError, match='fliip: .*no such option. Did you mean flip'):
        process(generator_of(dataset), {'fliip': 1})
    assert not (tmp_path / 'out').exists()


def test_datasets_without_labels_are_written_too(dataset, tmp_path):
    generator = BatchGenerator([str(dataset / 'images')], root_dir=str(dataset), export_dir=str(tmp_path / 'out'))
    assert process(generator, {'gray': True}).num_written == NUM_PAIRS
    written = contents(tmp_path / 'out')
    assert len(written) == NUM_PAIRS and all(name.startswith('images') for name in written)


def test_the_first_pass_of_an_iterator_can_be_written(dataset, tmp_path):
    generator = generator_of(dataset)
    batches = generator.generate(1, flip=0.5, convert_to_one_hot=True, to_disk=True, shuffle=False)
    for _ in range(2 * NUM_PAIRS):
        assert next(batches)[1].shape == (1, 12, 16, 4)
    process(generator_of(dataset, export_dir=str(tmp_path / 'other')), {'flip': 0.5})
    assert_equal_trees(tmp_path / 'out', tmp_path / 'other')
    before = tree(tmp_path / 'out')
    again = generator_of(dataset).generate(1, flip=0.5, to_disk=True, shuffle=False)
    for _ in range(NUM_PAIRS):
        next(again)
    assert tree(tmp_path / 'out') == before  # what is finished is not written a second time


@pytest.mark.skipif(os.name == 'nt', reason='locks of POSIX')
def test_two_that_record_their_files_at_once_are_both_recorded(tmp_path, monkeypatch):
    claims = [offline.Targets(str(tmp_path), [Pair(str(tmp_path / name), None)]) for name in ('a.png', 'b.png')]
    second, reads = threading.Thread(target=offline.claim_targets, args=(claims[1], {'seed': 1})), []

    def read_while_another_begins(path):
        runs = read_manifest(path)
        reads.append(path)
        if len(reads) == 2:  # the first time it only looks whether it has to write
            second.start()
            second.join(0.2)
        return runs

    monkeypatch.setattr(offline, 'read_manifest', read_while_another_begins)
    offline.claim_targets(claims[0], {'seed': 0})
    second.join()
    runs = read_manifest(str(tmp_path / MANIFEST_NAME))
    assert [(run['settings']['seed'], run['files']) for run in runs] == [(0, ['a.png']), (1, ['b.png'])]


def test_a_processed_dataset_is_read_as_its_layout_and_not_converted_again(tmp_path):
    from data_generator.street_scenes import write_dataset

    write_dataset(str(tmp_path / 'scenes'), 2, 2, 0, size=(64, 96))
    source = BatchGenerator.from_layout('cityscapes', str(tmp_path / 'scenes'), export_dir=str(tmp_path / 'out'))
    process(source, {})
    again = BatchGenerator.from_layout('cityscapes', str(tmp_path / 'out'))
    for first, second in zip(source.generate(2, shuffle=False), again.generate(2, shuffle=False)):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])
        break
    assert len(np.unique(first[1])) > 3


KILLED = """
import os, signal, sys, threading, time
import numpy as np
from data_generator import BatchGenerator
from data_generator.batches import offline
from helpers.files import atomic_path
from helpers.images import write_image

folder, out = sys.argv[1:]
begun = threading.Barrier(3)

def write_slowly(path, image):
    with atomic_path(path) as temporary:
        open(temporary, 'wb').close()
        begun.wait()
        time.sleep(0.3)
        write_image(temporary, image)

offline.write_image = write_slowly
threading.Thread(target=lambda: (begun.wait(), time.sleep(0.1), os.kill(os.getpid(), signal.SIGTERM)), daemon=True).start()
generator = BatchGenerator([folder + '/images'], ground_truth_dirs=[folder + '/labels'], num_classes=4, root_dir=folder,
    export_dir=out)
generator.process_all(workers=2)
"""


@pytest.mark.skipif(os.name == 'nt', reason='signals of POSIX')
def test_sigterm_leaves_no_half_written_file_and_ends_the_process(dataset, tmp_path):
    out = tmp_path / 'out'
    done = subprocess.run(
        [sys.executable, '-c', KILLED, str(dataset), str(out)], stderr=subprocess.PIPE, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGTERM and b'Traceback' not in done.stderr, done.stderr.decode()
    names = [os.path.basename(name) for name in tree(out)]
    assert MANIFEST_NAME in names and not [name for name in names if '.tmp' in name]
    resumed = process(generator_of(dataset, export_dir=str(out)), {})
    assert 0 < resumed.num_written < NUM_PAIRS and resumed.num_skipped == NUM_PAIRS - resumed.num_written
