import doctest
import inspect
import os
import re
import subprocess
import sys
import warnings

import cv2
import numpy as np
import pytest
import tifffile

import data_generator.batches.samples
from data_generator import BatchGenerator, DataError
from data_generator.checking.check import check_dataset
from data_generator.files.layouts import Layout
from helpers.image_rules import ImageRules
from helpers.images import read_image, write_image, write_labels
from helpers.label_spaces import CITYSCAPES, cityscapes_ids_to_train_ids, generic_label_space

NUM_CLASSES = 5


def write_dataset(root, num_pairs=5, size=(12, 16), num_ids=NUM_CLASSES):
    """Images that are made out of their labels: red = 10 x ID, green = the number of the image, blue = 100."""
    rng = np.random.default_rng(7)
    for number in range(num_pairs):
        label = rng.integers(0, num_ids, size).astype(np.uint8)
        image = np.stack([10 * label, np.full(size, number, np.uint8), np.full(size, 100, np.uint8)], axis=-1)
        write_image(str(root / 'images' / '{}.png'.format(number)), image)
        write_labels(str(root / 'labels' / '{}.png'.format(number)), label)


@pytest.fixture
def root(tmp_path):
    write_dataset(tmp_path)
    return tmp_path


def dataset(root, **options):
    options = dict(dict(num_classes=NUM_CLASSES, ground_truth_dirs=[str(root / 'labels')]), **options)
    return BatchGenerator([str(root / 'images')], **options)


def take(iterator, count):
    with iterator:
        return [next(iterator) for _ in range(count)]


def assert_same(one, other):
    assert len(one) == len(other)
    for (images, labels), (other_images, other_labels) in zip(one, other):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


# ---- Parts of a dataset ----


def test_a_sequence_is_held_out_by_the_names_of_its_images(tmp_path):
    write_dataset(tmp_path, 12)
    whole = dataset(tmp_path)
    rest, held = whole.hold_out('1', '3')
    names = [[os.path.basename(pair.image)[:-4] for pair in part.pairs] for part in (rest, held, whole.only('1'))]
    assert names == [['0', '2', '4', '5', '6', '7', '8', '9'], ['1', '3', '10', '11'], ['1', '10', '11']]
    assert whole.get_num_files() == 12 and len({part.fingerprint for part in (whole, rest, held)}) == 3
    greens = {int(images[0, 0, 0, 1]) for images, _ in take(held.generate(1, shuffle=False), 4)}
    assert greens == {1, 3, 10, 11} and rest.mean_color[1] == pytest.approx(np.mean([0, 2, 4, 5, 6, 7, 8, 9]))


@pytest.mark.parametrize(
    'prefixes, error, message',
    [
        ((), ValueError, "prefixes is (); it has to be how file names begin, for example '0.png'"),
        (('1', ''), ValueError, "prefixes is ('1', '')"),
        (('7',), DataError, "None of 5 images has a name that begins with '7'; they are called 0.png to 4.png."),
        (('0', '1', '2', '3', '4'), DataError, 'All of 5 images have names that begin with'),
    ],
)
def test_what_cannot_be_held_out(root, prefixes, error, message):
    with pytest.raises(error) as raised:
        dataset(root).hold_out(*prefixes)
    assert message in str(raised.value)


# ---- Signatures that scripts rely on ----


def test_signatures_are_those_of_2017_and_more_behind():
    assert list(inspect.signature(BatchGenerator).parameters)[:9] == [
        'image_dirs',
        'image_file_extension',
        'ground_truth_dirs',
        'image_name_split_separator',
        'ground_truth_suffix',
        'check_existence',
        'num_classes',
        'root_dir',
        'export_dir',
    ]
    generate = inspect.signature(BatchGenerator.generate).parameters
    assert list(generate)[1:16] == [
        'batch_size',
        'convert_colors_to_ids',
        'convert_ids_to_ids',
        'convert_to_one_hot',
        'void_class_id',
        'random_crop',
        'crop',
        'resize',
        'brightness',
        'flip',
        'translate',
        'scale',
        'gray',
        'to_disk',
        'shuffle',
    ]
    assert generate['shuffle'].default is True and generate['void_class_id'].default is None


def test_importing_loads_no_tensorflow():
    code = 'import sys, data_generator; assert "tensorflow" not in sys.modules and "moviepy" not in sys.modules'
    root = os.path.dirname(os.path.dirname(os.path.abspath(data_generator.__file__)))
    subprocess.run([sys.executable, '-c', code], check=True, cwd=root)


# ---- Batches ----


def test_batches_of_images_and_labels(root):
    data = dataset(root)
    assert data.get_num_files() == 5 and data.has_labels
    iterator = data.generate(2, shuffle=False)
    assert iterator.num_batches == 3 and iterator.label_space == generic_label_space(NUM_CLASSES)
    sizes = []
    for number in (0, 2, 4, 0):
        images, labels = next(iterator)
        assert images.dtype == labels.dtype == np.uint8
        assert images.shape == labels.shape + (3,)
        np.testing.assert_array_equal(images[..., 0], 10 * labels)
        assert images[0, 0, 0, 1:].tolist() == [number, 100]
        sizes.append(len(images))
    assert sizes == [2, 2, 1, 2]


def test_shuffled_passes_hold_every_image_once(root):
    images = np.concatenate([batch[0] for batch in take(dataset(root).generate(2), 5)])
    assert sorted(images[:5, 0, 0, 1]) == sorted(images[5:, 0, 0, 1]) == list(range(5))


def test_same_seed_gives_the_same_batches_with_0_1_and_4_workers(root):
    options = dict(
        random_crop=(8, 20),
        random_scale=(0.5, 2),
        brightness=(0.5, 1.5, 0.5),
        flip=0.5,
        rotate=(-20, 20, 0.5),
        translate=((0, 3), (0, 3), 0.5),
        scale=(0.8, 1.2, 0.5),
        color_jitter=(0.2, 0.2, 10, 0.5),
    )
    expected = take(dataset(root, seed=3).generate(2, **options), 7)
    for workers in (1, 4):
        assert_same(take(dataset(root, seed=3).generate(2, workers=workers, **options), 7), expected)
    assert_same(take(dataset(root).generate(2, seed=3, **options), 7), expected)
    other = take(dataset(root).generate(2, seed=4, **options), 7)
    assert any((one[0] != two[0]).any() for one, two in zip(expected, other))


def test_seeking_gives_the_batch_of_that_number(root):
    expected = take(dataset(root).generate(2, flip=0.5), 6)
    with dataset(root).generate(2, flip=0.5, workers=2) as iterator:
        iterator.seek(4)
        assert_same([next(iterator), next(iterator)], expected[4:])
        assert iterator.position == 6


def test_one_hot_only_on_request(root):
    labels = next(dataset(root).generate(5, shuffle=False))[1]
    one_hot = next(dataset(root).generate(5, shuffle=False, convert_to_one_hot=True))[1]
    assert one_hot.dtype == np.uint8 and one_hot.shape == labels.shape + (NUM_CLASSES,)
    np.testing.assert_array_equal(one_hot, labels[..., None] == np.arange(NUM_CLASSES))


def test_labels_may_keep_their_size(root):
    images, labels = next(dataset(root).generate(2, resize=(6, 8), resize_labels=False))
    assert images.shape == (2, 6, 8, 3) and labels.shape == (2, 12, 16)


def test_dataset_without_labels(root):
    data = BatchGenerator(str(root / 'images'))
    assert not data.has_labels and data.label_space is None
    assert next(data.generate(2, workers=1, flip=0.5)).shape == (2, 12, 16, 3)
    with pytest.raises(ValueError, match='convert_to_one_hot is True; it needs labels'):
        data.generate(2, convert_to_one_hot=True)


def test_two_datasets_with_equal_names(tmp_path):
    write_dataset(tmp_path / 'a')
    write_dataset(tmp_path / 'b', size=(6, 8))
    data = BatchGenerator(
        [str(tmp_path / d / 'images') for d in 'ab'],
        ground_truth_dirs=[str(tmp_path / d / 'labels') for d in 'ab'],
        num_classes=NUM_CLASSES,
    )
    sizes = [labels.shape[1:] for _, labels in take(data.generate(1, shuffle=False), 10)]
    assert sizes == [(12, 16)] * 5 + [(6, 8)] * 5
    assert data.root_dir == str(tmp_path)


def test_pairs_from_a_list(root):
    (root / 'list.csv').write_text('image,label\nimages/1.png,labels/1.png\nimages/3.png,labels/3.png\n')
    data = BatchGenerator(pairs=str(root / 'list.csv'), num_classes=NUM_CLASSES)
    images, labels = next(data.generate(2, shuffle=False))
    assert images[:, 0, 0, 1].tolist() == [1, 3]
    np.testing.assert_array_equal(images[..., 0], 10 * labels)
    again = BatchGenerator(pairs=[tuple(pair) for pair in data.pairs], num_classes=NUM_CLASSES)
    assert again.pairs == data.pairs


def test_relative_paths_of_a_list_start_at_root_dir(root, monkeypatch):
    data = BatchGenerator(pairs=[('images/1.png', 'labels/1.png')], root_dir=str(root), num_classes=NUM_CLASSES)
    assert data.pairs == [(str(root / 'images/1.png'), str(root / 'labels/1.png'))]
    monkeypatch.chdir(root.parent)
    found = dataset(root, root_dir=root.name)
    assert BatchGenerator(pairs=found.pairs, root_dir=root.name).pairs == found.pairs
    write_dataset(root / 'farm')
    layout = Layout('farm', generic_label_space(NUM_CLASSES), 'images', 'labels')
    relative = BatchGenerator.from_layout(layout, os.path.join(root.name, 'farm'))
    assert next(relative.generate(1))[1].shape == (1, 12, 16)


def test_missing_files_of_a_list_are_named_at_once(root):
    with pytest.raises(FileNotFoundError, match=r'no such file: gone\.png\. Relative paths start at the working'):
        BatchGenerator(pairs=['gone.png'])
    pairs = [('images/1.png', 'labels/gone.png')]
    with pytest.raises(
        FileNotFoundError, match=r'no such file: .*labels.gone\.png\. Relative paths start at /.*root_dir'
    ):
        BatchGenerator(pairs=pairs, root_dir=str(root))


@pytest.mark.parametrize(
    'options',
    [
        dict(ground_truth_dirs=['labels']),
        dict(image_file_extension='jpg'),
        dict(image_name_split_separator='_'),
        dict(ground_truth_suffix='_mask'),
        dict(check_existence=False),
    ],
)
def test_what_chooses_among_files_does_not_go_with_pairs(root, options):
    [(name, value)] = options.items()
    message = '{}={!r} and pairs: a list of pairs names its files itself. Leave {} out'.format(name, value, name)
    with pytest.raises(ValueError, match=re.escape(message)):
        BatchGenerator(pairs=[str(root / 'images/1.png')], **options)


@pytest.mark.parametrize('options', [dict(ground_truth_suffix='_mask'), dict(check_existence=False)])
def test_what_chooses_among_labels_warns_where_there_are_none(root, options):
    """Scripts of 2017 may say it; the warning is about the line that does."""
    with pytest.warns(UserWarning, match='{} is about labels, and these images have none'.format(*options)) as caught:
        BatchGenerator([str(root / 'images')], **options)
    assert [warning.filename for warning in caught] == [__file__]


def test_fingerprint_depends_on_names_and_sizes_but_not_on_the_place(tmp_path):
    write_dataset(tmp_path / 'a')
    write_dataset(tmp_path / 'b')
    one, other = dataset(tmp_path / 'a'), dataset(tmp_path / 'b')
    assert one.fingerprint == other.fingerprint == one.generate(1).fingerprint
    with open(str(tmp_path / 'b' / 'images' / '0.png'), 'ab') as file:
        file.write(b'\0')
    assert dataset(tmp_path / 'b').fingerprint != one.fingerprint


def test_changed_pairs_have_their_own_fingerprint_and_mean_color(tmp_path):
    write_dataset(tmp_path, 12)
    data = dataset(tmp_path)
    whole, part = data.fingerprint, data.only('1')
    assert data.mean_color != part.mean_color
    data.pairs = part.pairs
    assert (data.fingerprint, data.mean_color) == (part.fingerprint, part.mean_color)
    assert data.generate(1).fingerprint == part.fingerprint != whole
    del data.pairs[1:]
    assert data.fingerprint not in (part.fingerprint, whole)
    with pytest.raises(DataError, match='pairs: names no images'):
        data.pairs = []
    with pytest.raises(FileNotFoundError, match='nowhere'):
        data.pairs = [('nowhere.png', 'nowhere.png')]


def test_iterators_of_directories_and_extensions_are_read_once(tmp_path):
    write_dataset(tmp_path, 2)
    arguments = [iter([str(tmp_path / 'images')]), iter(['png']), iter([str(tmp_path / 'labels')])]
    assert BatchGenerator(*arguments, num_classes=NUM_CLASSES).pairs == dataset(tmp_path).pairs


# ---- Conversions ----


@pytest.mark.parametrize(
    'make',
    [
        dict,
        lambda d: np.array([d.get(i, 255) for i in range(256)], np.uint8),
        lambda d: np.array([d.get(i, 255) for i in range(256)], np.int64),
    ],
)
@pytest.mark.parametrize('where', ['dataset', 'call'])
def test_id_maps_of_every_kind_and_place_do_the_same(root, make, where):
    id_map = make({0: 1, 1: 0, 2: 255, 3: 1, 4: 1})
    data = dataset(root, num_classes=2, id_map=id_map if where == 'dataset' else None)
    images, labels = next(data.generate(5, False, id_map if where == 'call' else False))
    np.testing.assert_array_equal(labels, np.array([1, 0, 255, 1, 1])[images[..., 0] // 10])
    assert labels.dtype == np.uint8


def test_colors_become_ids(root):
    colors = {(10 * i, number, 100): i for i in range(NUM_CLASSES) for number in range(4)}
    files = [str(root / 'images' / '{}.png'.format(number)) for number in range(5)]
    data = BatchGenerator(pairs=[(file, file) for file in files], num_classes=NUM_CLASSES)
    iterator = data.generate(1, colors, shuffle=False, workers=1)
    for _ in range(4):
        images, labels = next(iterator)
        np.testing.assert_array_equal(images[..., 0], 10 * labels)
    with pytest.raises(DataError, match=r'4\.png.*\(\d+, 4, 100\)'):
        next(iterator)


def test_mapping_twice_is_refused(root):
    with pytest.raises(ValueError, match='convert_ids_to_ids: the labels of this dataset are converted .* already'):
        dataset(root, id_map={0: 0}).generate(1, convert_ids_to_ids={0: 0})


@pytest.mark.parametrize('id_map', [{'road': 1}, {}, 5, [0, 1.5]])
def test_a_bad_map_of_the_dataset_is_refused_by_its_name_at_once(root, id_map):
    with pytest.raises(ValueError, match='^id_map'):
        dataset(root, id_map=id_map)
    with pytest.raises(ValueError, match='^id_map'):
        check_dataset(str(root), id_map=id_map, workers=1)


# ---- Padding ----


def test_padding_is_the_mean_colour_and_the_ignore_id(root):
    data = dataset(root)
    reds = np.concatenate([batch[0] for batch in take(data.generate(1), 5)])[..., 0]
    np.testing.assert_allclose(data.mean_color, [reds.mean(), 2, 100])
    images, labels = next(data.generate(1, random_crop=(40, 40)))
    padding = images[labels == 255]
    assert len(padding) == 40 * 40 - 12 * 16
    assert np.unique(padding, axis=0).tolist() == [np.round(data.mean_color).tolist()]
    images, labels = next(data.generate(1, random_crop=(40, 40), pad_value=(1, 2, 3), void_class_id=0))
    assert [1, 2, 3] in images[labels == 0].tolist() and labels.max() < NUM_CLASSES


def test_a_broken_image_does_not_stop_the_mean(root):
    (root / 'images' / '0.png').write_bytes(b'broken')
    data = dataset(root)
    assert data.mean_color[1:] == (2.5, 100)
    iterator = data.generate(1, random_crop=(40, 40), shuffle=False)
    with pytest.raises(DataError, match=r'images.0\.png'):
        next(iterator)


# ---- Cache ----


def test_cached_batches_are_equal_and_read_no_files(root, monkeypatch):
    options = dict(resize=(6, 8), flip=0.5, brightness=(0.5, 1.5, 1.0), workers=2)
    expected = take(dataset(root).generate(2, **options), 6)
    cached = dict(options, cache_dir=str(root / 'cache'))
    assert_same(take(dataset(root).generate(2, **cached), 6), expected)
    monkeypatch.setattr(data_generator.batches.samples, 'read_pair', None)
    assert_same(take(dataset(root).generate(2, **cached), 6), expected)
    batch = next(dataset(root).generate(2, **cached))
    assert batch[0].flags.writeable and type(batch[0]) is np.ndarray


def test_a_cache_below_a_file_is_refused_before_reading(root):
    (root / 'file').write_text('')
    for name, error in (('file', FileExistsError), ('file/below', NotADirectoryError)):
        with pytest.raises(error, match='while writing .*file.*: choose another directory, or move the file away'):
            dataset(root).generate(1, cache_dir=str(root / name))


def test_cache_is_not_shared_by_other_maps_or_rules(root):
    def labels(**options):
        return next(dataset(root, **options).generate(5, shuffle=False, cache_dir=str(root / 'cache')))[1]

    plain = labels(num_classes=None)
    mapped = labels(num_classes=2, id_map={0: 1, 1: 1, 2: 1, 3: 1, 4: 0})
    np.testing.assert_array_equal(mapped, plain != 4)
    with pytest.raises(DataError, match='label IDs 3, 4 '):
        labels(num_classes=3)


# ---- Bad input ----


@pytest.mark.parametrize('workers', [0, 2])
def test_a_broken_file_in_the_middle_is_named_at_its_batch(root, workers):
    path = root / 'images' / '3.png'
    path.write_bytes(path.read_bytes()[:-20])
    with dataset(root).generate(1, shuffle=False, workers=workers, prefetch=4) as iterator:
        for _ in range(3):
            next(iterator)
        with pytest.raises(DataError, match=r'images.3\.png'):
            next(iterator)
        assert next(iterator)[0][0, 0, 0, 1] == 4


def test_illegal_ids_are_named_with_the_remedy(root):
    with pytest.raises(DataError, match=r"labels.0\.png: label IDs 3, 4 .*layout='cityscapes'"):
        next(dataset(root, num_classes=3).generate(1, shuffle=False))
    labels = next(
        dataset(root, label_space=CITYSCAPES, num_classes=None).generate(
            1, convert_ids_to_ids=cityscapes_ids_to_train_ids()
        )
    )[1]
    assert labels.min() == 255


def test_pairs_of_two_sizes_are_named(root):
    write_labels(str(root / 'labels' / '0.png'), np.zeros((5, 6), np.uint8))
    with pytest.raises(DataError, match=r'images.0\.png with label .*: An image of 12x16 with a label of 5x6'):
        next(dataset(root).generate(1, shuffle=False))


def test_images_of_different_sizes_in_one_batch(root):
    write_image(str(root / 'images' / '1.png'), np.zeros((4, 4, 3), np.uint8))
    write_labels(str(root / 'labels' / '1.png'), np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r'different sizes in one batch: 12x16 for .*0\.png and 4x4 for .*1\.png'):
        next(dataset(root).generate(2, shuffle=False))
    assert next(dataset(root).generate(2, shuffle=False, resize=(4, 4)))[0].shape == (2, 4, 4, 3)


@pytest.mark.parametrize('kind', ['grey', 'alpha', '16 bit'])
@pytest.mark.filterwarnings('ignore::helpers.image_rules.ImageConversionWarning')
def test_images_are_read_as_prediction_reads_them(root, kind):
    rng = np.random.RandomState(0)
    values = rng.randint(0, 256, (12, 16, 4))
    pixels = {'grey': values[..., 0], 'alpha': values, '16 bit': values[..., :3] * 257}[kind]
    cv2.imwrite(str(root / 'images' / '0.png'), pixels.astype(np.uint16 if kind == '16 bit' else np.uint8))
    expected = {
        'grey': np.dstack([values[..., 0]] * 3),
        'alpha': values[..., 2::-1] * values[..., 3:] / 255.0,
        '16 bit': values[..., 2::-1],
    }[kind]
    image = next(dataset(root).generate(1, shuffle=False))[0][0]
    assert np.abs(image - expected).max() <= 0.51
    np.testing.assert_array_equal(image, read_image(root / 'images' / '0.png', convert=True))


def test_rules_can_refuse(root):
    cv2.imwrite(str(root / 'images' / '0.png'), np.zeros((12, 16, 4), np.uint8))
    data = BatchGenerator(
        str(root / 'images'),
        ground_truth_dirs=str(root / 'labels'),
        num_classes=3,
        image_rules=ImageRules(alpha='refuse'),
    )
    with pytest.raises(DataError, match=r"images.0\.png has an alpha channel, which alpha='refuse'"):
        next(data.generate(1, shuffle=False))
    with pytest.raises(ValueError, match="alpha is 'pink'; choose from black, white, refuse"):
        BatchGenerator(str(root / 'images'), image_rules=ImageRules(alpha='pink'))


def test_a_file_that_disappears_is_named(root):
    iterator = dataset(root).generate(1, shuffle=False)
    os.remove(str(root / 'images' / '0.png'))
    with pytest.raises(FileNotFoundError, match=r'images.0\.png'):
        next(iterator)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(batch_size=0), 'batch_size is 0; it has to be a whole number of at least 1'),
        (dict(batch_size=2.0), 'batch_size is 2.0'),
        (dict(batch_size=2, workers=-1), 'workers is -1; it has to be a whole number from 0 to 1024'),
        (dict(batch_size=2, workers=2, prefetch=0), 'prefetch is 0; it has to be a whole number of at least 1'),
        (dict(batch_size=2, share=(0, 2)), r'share is \(0, 2\); it is of batches in their order. Pass shuffle=False.'),
        (dict(batch_size=2, share=(2, 2), shuffle=False), r'share is \(2, 2\); it has to be \(i, n\) with 0 <= i < n'),
        (dict(batch_size=2, seed=-1), 'seed is -1'),
        (dict(batch_size=2, resize=7), 'resize is 7'),
        (dict(batch_size=2, cache_dir=''), "cache_dir is ''; it has to be a directory"),
        (dict(batch_size=2, cache_dir=5), '5 came as a path; it has to be text'),
        (dict(batch_size=2, to_disk=True), 'export_dir is None'),
        (dict(batch_size=2, to_disk='no'), "to_disk is 'no'; it has to be True or False"),
        (dict(batch_size=2, shuffle='no'), "shuffle is 'no'; it has to be True or False"),
        (dict(batch_size=2, convert_to_one_hot='no'), "convert_to_one_hot is 'no'; it has to be True or False"),
        (dict(batch_size=2, share=3, shuffle=False), r'share is 3; it has to be \(i, n\)'),
        (dict(batch_size=2, share='01', shuffle=False), r"share is '01'; it has to be \(i, n\)"),
        (
            dict(batch_size=2, rezise=7),
            r'rezise: generate has no such option\. Did you mean resize.*\? It has batch_size, ',
        ),
        (dict(batch_size=2, xyz=7), r'xyz: generate has no such option\. It has batch_size, '),
    ],
)
def test_wrong_options_are_refused_at_once(root, options, message):
    with pytest.raises(ValueError, match=message):
        dataset(root).generate(**options)


def test_wrong_transforms_are_refused_before_labels_are_read(root, monkeypatch):
    monkeypatch.setattr('data_generator.files.label_meaning.own_conversion', lambda *_: pytest.fail('labels are read'))
    for call in (lambda: dataset(root).generate(2, flip=2), lambda: dataset(root).process_all(flip=2)):
        with pytest.raises(ValueError, match='flip is 2; it has to be the probability'):
            call()


FARM = Layout('farm', generic_label_space(NUM_CLASSES), 'images', 'labels')


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(pairs=['a.png']), 'one of the two has to be None'),
        (dict(image_rules='rgb'), "image_rules is 'rgb'; it has to be an ImageRules"),
        (dict(num_classes=0), 'num_classes is 0; it has to be a whole number from 1'),
        (dict(seed=True), 'seed is True'),
        (dict(ground_truth_dirs=True), 'ground_truth_dirs is True; it has to be a path, or a list of paths'),
        (dict(ground_truth_suffix=3), 'ground_truth_suffix is 3; it has to be a string'),
        (dict(check_existence='no'), "check_existence is 'no'; it has to be True or False"),
        (dict(ignore_id='255'), "ignore_id is '255'; it has to be a whole number from 0 to 65535"),
        (dict(label_space='camvid', num_classes=None), "label_space is 'camvid'; it has to be a LabelSpace"),
        (dict(label_space=['a', 'b'], num_classes=None), 'label_space is .*; it has to be a LabelSpace'),
        (dict(layout=['camvid'], num_classes=None), r"layout is \['camvid'\]; it has to be one of"),
        (
            dict(layout='cityscapes', ground_truth_suffix='_x', num_classes=None),
            r'layout says already what ground_truth_suffix would\. Leave it out',
        ),
        (
            dict(layout='cityscapes', image_file_extension='jpg', num_classes=None),
            r'layout says already what image_file_extension would\. Leave it out',
        ),
        (dict(layout=FARM, color_tolerance=5), 'color_tolerance is 5, and .* these hold IDs'),
        (dict(layout=FARM, label_transparency='void'), "label_transparency is 'void', and .* these hold IDs"),
        (dict(id_map={0: 1}, color_tolerance=5), 'color_tolerance is 5, and .* these hold IDs'),
        (dict(id_map={0: 1}, label_transparency='void'), "label_transparency is 'void', and .* these hold IDs"),
        (dict(id_map={0: 1}, ground_truth_dirs=None), r'id_map={0: 1}: it is about labels, and these images have none'),
        (dict(color_tolerance=5, ground_truth_dirs=None, num_classes=2), 'color_tolerance=5: it is about labels, and'),
        (dict(label_space=CITYSCAPES), 'num_classes is 5; the label space cityscapes has num_classes=19'),
        (
            dict(label_space=CITYSCAPES, num_classes=None, ignore_id=0),
            'ignore_id is 0; .* cityscapes has ignore_id=255',
        ),
    ],
)
def test_arguments_that_are_wrong_or_do_not_go_together(root, options, message):
    with pytest.raises(ValueError, match=message):
        dataset(root, **options)


def test_images_without_labels_lack_none(root):
    with pytest.raises(ValueError, match='check_existence is False and with_labels is False: without labels no image'):
        BatchGenerator.from_layout(FARM, str(root), with_labels=False, check_existence=False)
    assert not BatchGenerator.from_layout(FARM, str(root), with_labels=False).has_labels
    (root / 'list.txt').write_text('1\ngone\n')
    listed = FARM._replace(list_file='list.txt')
    of_list = BatchGenerator.from_layout(listed, str(root), with_labels=False, check_existence=False)
    assert of_list.get_num_files() == 1


def test_a_void_class_that_nothing_is_padded_with_changes_nothing(root):
    with pytest.warns(UserWarning, match='void_class_id is 0; .* changes nothing.* ID as ignore_id') as told:
        dataset(root).generate(1, void_class_id=0)
    assert told[0].filename == __file__
    with pytest.warns(
        UserWarning, match=r'pad_value is \(1, 2, 3\); it is the colour of padding, and nothing is padded'
    ):
        dataset(root).generate(1, pad_value=(1, 2, 3))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        dataset(root).generate(1, void_class_id=255)
        dataset(root).generate(1, void_class_id=0, random_crop=(4, 4))
    with pytest.raises(ValueError, match='void_class_id is 0; it is what padding gets in labels, and this dataset has'):
        BatchGenerator([str(root / 'images')]).generate(1, void_class_id=0, random_crop=(4, 4))


def test_a_split_is_one(root):
    with pytest.raises(ValueError, match=r"split is \['train', 'val'\]; it has to be the name of one"):
        BatchGenerator.from_layout('cityscapes', str(root), ['train', 'val'])
    for split in ('', '.', 'train/..', '/'):
        with pytest.raises(ValueError, match='split is {!r}; it has to be the name of one'.format(split)):
            BatchGenerator.from_layout('cityscapes', str(root), split)


def test_neither_directories_nor_pairs():
    with pytest.raises(ValueError, match='image_dirs and pairs are both None. Give the directories'):
        BatchGenerator()
    with pytest.raises(ValueError, match='image_dirs is 5; it has to be a path, or a list of paths'):
        BatchGenerator(5)
    with pytest.raises(ValueError, match='image_dirs is empty; give the directories'):
        BatchGenerator([])


# ---- Writing ----


def test_writing_while_handing_out_and_all_at_once(root, tmp_path):
    batches = take(
        dataset(root, root_dir=str(root), export_dir=str(tmp_path / 'one')).generate(
            2, shuffle=False, resize=(6, 8), to_disk=True, workers=2
        ),
        3,
    )
    written = dataset(tmp_path / 'one')
    assert_same(take(written.generate(2, shuffle=False), 3), batches)
    data = dataset(root, root_dir=str(root), export_dir=str(tmp_path / 'two'))
    numbers = dict(resize=(np.int64(6), 8), seed=np.int64(3), workers=np.int64(1))
    assert data.process_all(show_progress=False, **numbers).num_written == 5
    assert_same(take(dataset(tmp_path / 'two').generate(2, shuffle=False), 3), batches)


def test_numpy_numbers_are_as_good_as_python_ones(root):
    batches = dataset(root).generate(np.uint8(2), workers=np.int64(1), prefetch=np.int64(1), seed=np.int64(3))
    assert_same(take(batches, 3), take(dataset(root, seed=3).generate(2), 3))


ID_MAP = {0: 0, 1: 2, 2: 1, 3: 3, 4: 4}
SWAPPED = Layout('swapped', generic_label_space(NUM_CLASSES), 'images', 'labels', id_map=ID_MAP)


def all_labels(data):
    return next(data.generate(5, shuffle=False))[1]


@pytest.fixture
def processed(root, tmp_path):
    """A dataset that was written with class IDs by SWAPPED: where it is, and what its labels must hold."""
    source = BatchGenerator.from_layout(SWAPPED, str(root), export_dir=str(tmp_path / 'out'))
    assert source.process_all(show_progress=False).num_written == 5
    return tmp_path / 'out', all_labels(source)


def test_a_processed_dataset_is_not_converted_again_however_it_is_opened(processed, tmp_path):
    out, expected = processed
    dirs = dict(image_dirs=str(out / 'images'), ground_truth_dirs=str(out / 'labels'))
    by_dirs = BatchGenerator(layout=SWAPPED, export_dir=str(tmp_path / 'twice'), root_dir=str(out), **dirs)
    by_layout = BatchGenerator.from_layout(SWAPPED, str(out))
    by_pairs = BatchGenerator(layout=SWAPPED, pairs=by_dirs.pairs)
    by_dirs.process_all(show_progress=False)
    twice = BatchGenerator.from_layout(SWAPPED, str(tmp_path / 'twice'))
    twice_by_dirs = BatchGenerator(layout=SWAPPED, pairs=twice.pairs)
    for data in (by_dirs, by_layout, by_pairs, twice, twice_by_dirs):
        assert data.was_converted
        np.testing.assert_array_equal(all_labels(data), expected)


def test_an_id_map_for_a_processed_dataset_is_refused(processed):
    out, _ = processed
    message = r'id_map: .*0\.png was written by process_all and holds class IDs already.*second time\. Leave id_map out'
    with pytest.raises(ValueError, match=message):
        dataset(out, ground_truth_dirs=[str(out / 'labels')], id_map=ID_MAP)


def test_a_map_of_the_call_that_is_the_second_is_said(processed):
    data = BatchGenerator.from_layout(SWAPPED, str(processed[0]))
    with pytest.warns(UserWarning, match='convert_ids_to_ids: labels .* by process_all .* a second time') as warned:
        data.generate(1, convert_ids_to_ids=ID_MAP)
    assert warned[0].filename == __file__


def test_processed_and_other_labels_in_one_dataset_are_refused(processed, root):
    out, _ = processed
    with pytest.raises(ValueError, match='5 of 10 labels were written by process_all.*Make a BatchGenerator of each'):
        BatchGenerator(
            [str(root / 'images'), str(out / 'images')],
            ground_truth_dirs=[str(root / 'labels'), str(out / 'labels')],
            layout=SWAPPED,
        )


def test_ids_that_were_only_resized_are_still_mapped(root, tmp_path):
    dataset(root, root_dir=str(root), export_dir=str(tmp_path / 'out')).process_all(show_progress=False)
    expected = all_labels(dataset(root, id_map=ID_MAP))
    labels = [str(tmp_path / 'out' / 'labels')]
    np.testing.assert_array_equal(
        all_labels(dataset(tmp_path / 'out', ground_truth_dirs=labels, id_map=ID_MAP)), expected
    )
    np.testing.assert_array_equal(all_labels(BatchGenerator.from_layout(SWAPPED, str(tmp_path / 'out'))), expected)


def test_a_record_of_another_program_says_nothing_about_labels(root):
    (root / 'processing.json').write_text('{"runs": 3}')
    data = dataset(root, id_map=ID_MAP)
    assert not data.was_converted and not (all_labels(data) == all_labels(dataset(root))).all()


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(seed=-1), 'seed is -1; it has to be a whole number of at least 0'),
        (dict(seed=True), 'seed is True; it has to be'),
        (dict(seed='x'), "seed is 'x'; it has to be"),
        (dict(workers=-1), 'workers is -1; it has to be a whole number from 0 to 1024'),
        (dict(workers=1.5), r'workers is 1\.5; it has to be'),
        (dict(rezise=(6, 8)), r'rezise: process_all has no such option\. Did you mean resize'),
        (dict(prefetch=2), r'prefetch: process_all has no such option\. It has .*resize, .*seed'),
    ],
)
def test_what_process_all_cannot_do_is_refused_before_anything_is_written(root, tmp_path, options, message):
    data = dataset(root, root_dir=str(root), export_dir=str(tmp_path / 'out'))
    with pytest.raises(ValueError, match=message):
        data.process_all(show_progress=False, **options)
    assert not (tmp_path / 'out').exists()


def test_an_export_dir_among_the_images_is_refused(root):
    by_dirs = dataset(root, export_dir=str(root / 'images' / 'out'), root_dir=str(root))
    by_layout = BatchGenerator.from_layout(SWAPPED, str(root), export_dir=str(root / 'images' / 'a' / 'out'))
    for data in (by_dirs, by_layout):
        with pytest.raises(
            ValueError, match=r'export_dir=.*out lies in .*images, where the images .*directory beside it'
        ):
            data.process_all(show_progress=False)
        with pytest.raises(ValueError, match='where the images of the dataset are'):
            data.generate(1, to_disk=True)
    assert len(os.listdir(str(root / 'images'))) == 5
    beside = dataset(root, export_dir=str(root / 'images_small'), root_dir=str(root))
    assert beside.process_all(show_progress=False).num_written == 5


# ---- Images of other channels ----


@pytest.fixture
def stacks(tmp_path):
    """Five channels: those of the labels times 1, 2, ..., 5; as TIFF and as NumPy files."""
    rng = np.random.default_rng(7)
    for number in range(4):
        label = rng.integers(0, NUM_CLASSES, (12, 16)).astype(np.uint8)
        write_labels(str(tmp_path / 'labels' / '{}.png'.format(number)), label)
        stack = np.dstack([label * factor for factor in range(1, 6)])
        (tmp_path / 'images').mkdir(exist_ok=True)
        if number % 2:
            np.save(str(tmp_path / 'images' / '{}.npy'.format(number)), stack)
        else:
            path = str(tmp_path / 'images' / '{}.tif'.format(number))
            tifffile.imwrite(path, stack, photometric='minisblack', planarconfig='contig')
    return tmp_path


def stack_dataset(root, **rules):
    return dataset(root, image_file_extension=None, image_rules=ImageRules(**rules))


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'resize': (24, 32)},
        {'resize': (5, 6)},
        {'flip': 1.0, 'shuffle': False},
        {'random_crop': (8, 8), 'random_scale': (0.5, 2.0)},
        {'rotate': (30, 60, 1.0), 'translate': ((0, 3), (0, 3), 1.0)},
    ],
)
def test_every_channel_goes_the_same_way(stacks, options):
    images, labels = take(stack_dataset(stacks, channels=5).generate(4, **options), 1)[0]
    assert images.shape[0] == 4 and images.shape[3] == 5 and images.dtype == np.uint8
    for channel in range(5):
        expected = np.clip(images[..., 0].astype(float) * (channel + 1), 0, 255)
        inside = images[..., 4] <= 20  # all but the padding, whose mean is rounded channel by channel
        assert np.abs(images[..., channel] - expected)[inside].max() <= 5
    if 'resize' not in options and 'rotate' not in options and 'random_scale' not in options:
        np.testing.assert_array_equal(images[..., 0], labels)


def test_light_changes_the_colours_alone(stacks):
    plain = take(stack_dataset(stacks, channels=5).generate(4, shuffle=False), 1)[0][0]
    options = {'brightness': (2.0, 2.0, 1.0), 'shuffle': False}
    images = take(stack_dataset(stacks, channels=5).generate(4, **options), 1)[0][0]
    np.testing.assert_array_equal(images[..., :3], 2 * plain[..., :3])
    np.testing.assert_array_equal(images[..., 3:], plain[..., 3:])
    grey = take(stack_dataset(stacks, channels=5).generate(4, gray=True, shuffle=False), 1)[0][0]
    np.testing.assert_array_equal(grey[..., 3:], plain[..., 3:])


def test_one_channel_and_chosen_bands(stacks):
    images = take(stack_dataset(stacks, channels=1, bands=(5,)).generate(4, shuffle=False, flip=0.5), 1)[0][0]
    assert images.shape == (4, 12, 16, 1) and images.max() == 5 * (NUM_CLASSES - 1)
    images, labels = take(stack_dataset(stacks, channels=3, bands=(5, 1, 3)).generate(2, shuffle=False), 1)[0]
    np.testing.assert_array_equal(images, np.stack([5 * labels, labels, 3 * labels], axis=-1))


def test_what_needs_three_colours_is_refused(stacks):
    with pytest.raises(ValueError, match='gray: changes red, green and blue, and images are read with 1 channel'):
        stack_dataset(stacks, channels=1, bands=(1,)).generate(1, gray=True)
    with pytest.raises(ValueError, match='it has to be 5 numbers, one for each channel'):
        stack_dataset(stacks, channels=5).generate(1, pad_value=(1, 2, 3))
    with pytest.raises(ValueError, match='images are read with 5 channels, and processed datasets hold RGB'):
        dataset(
            stacks, image_file_extension=None, image_rules=ImageRules(channels=5), export_dir=str(stacks / 'out')
        ).process_all()


def test_cached_stacks_are_those_of_the_rules(stacks):
    cache = str(stacks / 'cache')
    for bands in ((1, 2, 3), (3, 2, 1)):
        images = take(stack_dataset(stacks, bands=bands).generate(4, shuffle=False, cache_dir=cache), 1)[0][0]
        np.testing.assert_array_equal(images[..., 0] * bands[1], images[..., 1] * bands[0])


def test_the_example_in_the_docstring_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(BatchGenerator, globs={'BatchGenerator': BatchGenerator})
    assert len(example.examples) >= 4
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert results.failed == 0


def test_class_pixels_are_counted_with_any_ignored_id(tmp_path, own_dataset):
    data = own_dataset(tmp_path, [[[0, 1, 1]], [[1, 1, 1]]], num_classes=2, ignore_id=300)
    assert data.count_class_pixels().tolist() == [[1, 2], [0, 3]]
    data = own_dataset(tmp_path / 'b', [[[0, 1, 7]]], num_classes=2, ignore_id=7)
    assert data.count_class_pixels().tolist() == [[1, 1]]


@pytest.mark.parametrize('options', [{}, {'id_map': {0: 0, 1: 1}}])
def test_padding_whose_id_has_16_bits_has_room_in_labels_of_8(tmp_path, own_dataset, options):
    data = own_dataset(tmp_path, [[[0, 1, 1]]], num_classes=2, ignore_id=65535, **options)
    for random_crop, rotate in (((2, 3), False), (False, (45, 45, 1.0))):
        ((_, labels),) = take(data.generate(1, random_crop=random_crop, rotate=rotate, shuffle=False), 1)
        assert labels.dtype == np.uint16 and {65535} < set(labels.ravel().tolist()) <= {0, 1, 65535}


def test_a_list_with_an_empty_column_of_labels_names_images_alone(tmp_path, own_dataset):
    data = own_dataset(tmp_path, [[[0, 1]], [[1, 1]]], num_classes=2)
    images = [pair.image for pair in data.pairs]
    (tmp_path / 'list.csv').write_text('image,label\n' + ''.join(image + ',\n' for image in images))
    assert [pair.label for pair in BatchGenerator(pairs=str(tmp_path / 'list.csv')).pairs] == [None, None]
    (tmp_path / 'list.csv').write_text('{},{}\n{},\n'.format(*(data.pairs[0] + data.pairs[1][:1])))
    with pytest.raises(DataError, match='1 of 2 images have no label'):
        BatchGenerator(pairs=str(tmp_path / 'list.csv'))


def test_labels_are_found_in_any_letter_case_where_it_is_clear_which(tmp_path, own_dataset):
    data = own_dataset(tmp_path, [[[0, 1]], [[1, 1]]], num_classes=2)
    os.rename(data.pairs[0].label, str(tmp_path / 'labels/A.png'))
    os.rename(data.pairs[0].image, str(tmp_path / 'images/a.png'))
    folders = dict(image_dirs=[str(tmp_path / 'images')], ground_truth_dirs=[str(tmp_path / 'labels')])
    found = {os.path.basename(pair.image): os.path.basename(pair.label) for pair in BatchGenerator(**folders).pairs}
    assert found == {'a.png': 'A.png', '1.png': '1.png'}
    os.rename(str(tmp_path / 'labels/1.png'), str(tmp_path / 'labels/a.PNG'))
    os.remove(str(tmp_path / 'images/1.png'))
    os.rename(str(tmp_path / 'images/a.png'), str(tmp_path / 'images/A.png'))
    assert os.path.basename(BatchGenerator(**folders).pairs[0].label) == 'A.png'


# ---- Large images ----


@pytest.mark.parametrize('compression', [None, 'zlib'])
@pytest.mark.parametrize(
    'options',
    [
        {},
        {'random_scale': (0.4, 2.5)},
        {'max_class_share': 0.4, 'random_scale': (0.5, 0.5)},
        {'crop_on_classes': 0.7, 'random_scale': (0.4, 2.5)},
        {'random_crop': (300, 20), 'random_scale': (0.5, 1.5)},
    ],
)
def test_crops_of_large_images_are_read_alone(tmp_path, monkeypatch, options, compression):
    """They are those that would be cut from the whole image. The files have overviews, as maps do."""
    pytest.importorskip('rasterio')
    rng = np.random.RandomState(0)
    for number in range(2):
        (tmp_path / 'images').mkdir(exist_ok=True)
        image = rng.randint(0, 256, (200, 250, 3)).astype(np.uint8)
        with tifffile.TiffWriter(str(tmp_path / 'images/{}.tif'.format(number))) as file:
            for page, kind in ((image, 0), (image[::2, ::2], 1)):
                file.write(page, tile=(64, 64), compression=compression, subfiletype=kind, metadata=None)
        write_labels(str(tmp_path / 'labels/{}.png'.format(number)), rng.randint(0, 5, (200, 250)).astype(np.uint8))
    options = dict({'random_crop': (48, 64), 'workers': 2, 'pad_value': (9, 8, 7)}, **options)
    whole = take(dataset(tmp_path, image_file_extension='tif').generate(2, **options), 4)
    monkeypatch.setattr('data_generator.files.reading.LARGE_IMAGE', 1)
    monkeypatch.setattr('data_generator.files.reading.read_image', None)
    parts = take(dataset(tmp_path, image_file_extension='tif').generate(2, **options), 4)
    for (images, labels), (expected, expected_labels) in zip(parts, whole):
        np.testing.assert_array_equal(labels, expected_labels)
        # OpenCV's coordinates have five bits behind the point, which a shift rounds elsewhere.
        assert np.abs(images.astype(int) - expected).max() <= ('random_scale' in options)
