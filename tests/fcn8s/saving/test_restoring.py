import os
import re
import shutil

import numpy as np
import pytest

from fcn8s.backend import tf
from fcn8s.importing import sources
from fcn8s.prediction.freezing import LargeFilter, load_large_filters
from fcn8s.saving import restoring
from fcn8s.settings import ModelSettings
from fcn8s.vgg16.weights.recognise import recognise
from helpers.label_spaces import generic_label_space


def save(path, names=('a', 'b'), shape=(2, 3), write_version=2):
    """A checkpoint whose variables hold the numbers of their names' letters."""
    with tf.Graph().as_default(), tf.Session() as session:
        values = [
            tf.get_variable(name, shape, initializer=tf.constant_initializer(ord(name)), use_resource=True)
            for name in names
        ]
        session.run([value.initializer for value in values])
        return tf.train.Saver(values, write_version=write_version).save(session, path, write_meta_graph=False)


def save_in_parts(folder, name):
    """Each variable on a device of its own, which is what `sharded` divides by."""
    with tf.Graph().as_default():
        values = []
        for number, letter in enumerate('ab'):
            with tf.device('/cpu:{}'.format(number)):
                initial = tf.constant(float(ord(letter)), shape=(2, 3))
                values.append(tf.get_variable(letter, initializer=initial, use_resource=False))
        saver = tf.train.Saver(values, write_version=1, sharded=True)
        config = tf.ConfigProto(device_count={'CPU': 2})
        with tf.Session(config=config) as session:
            session.run([value.initializer for value in values])
            return saver.save(session, os.path.join(folder, name), write_meta_graph=False)


class Network:
    """Variables that all hold 0."""

    def __init__(self, **shapes):
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.variables = [
                tf.get_variable(name, shape, initializer=tf.zeros_initializer(), use_resource=True)
                for name, shape in sorted(shapes.items())
            ]
            self.session = tf.Session(graph=self.graph)
            self.session.run([variable.initializer for variable in self.variables])

    def call(self, function, prefix):
        with self.graph.as_default():
            return function(self.session, self.variables, prefix)

    def means(self):
        return [value.mean() for value in self.session.run(self.variables)]


def test_restores_these_variables_and_no_others(tmp_path):
    network = Network(a=[2, 3])
    network.call(restoring.restore, save(str(tmp_path / 'x')))
    assert network.means() == [ord('a')]


@pytest.mark.parametrize(
    'shapes, message',
    [
        (dict(a=[2, 3], c=[2, 3]), 'do not fit this network: c is missing.'),
        (dict(a=[2, 3], b=[3, 2]), r'b is \[2, 3\] and not \[3, 2\].*fine_tune_from'),
        ({'a': [2, 3], **{'x{}'.format(i): [1] for i in range(9)}}, 'x5 is missing; and 3 more'),
    ],
)
def test_what_does_not_fit_is_named_before_anything_is_restored(tmp_path, shapes, message):
    network = Network(**shapes)
    with pytest.raises(ValueError, match=message):
        network.call(restoring.restore, save(str(tmp_path / 'x')))
    assert not any(network.means())


def test_restores_the_groups_that_are_there_whole_and_returns_the_rest(tmp_path):
    network = Network(a=[2, 3], b=[2, 3], c=[3, 2], d=[2, 3])
    a, b, c, d = network.variables
    prefix = save(str(tmp_path / 'x'), names='abc')
    for groups, others, means in (
        ([(a, d), (b,)], ['a', 'd'], [0, ord('b'), 0, 0]),
        ([(a,), (b, c)], ['b', 'c'], [ord('a'), 0, 0, 0]),
    ):
        network.session.run([variable.initializer for variable in network.variables])
        with network.graph.as_default():
            rest = restoring.restore_present(network.session, groups, prefix)
        assert [variable.op.name for variable in rest] == others
        assert network.means() == means


@pytest.mark.parametrize('what, reason', [('index', '.+'), ('data-00000-of-00001', 'Read less bytes than requested')])
def test_damaged_variables_are_named(tmp_path, what, reason):
    prefix = save(str(tmp_path / 'x'))
    os.truncate('{}.{}'.format(prefix, what), 10)
    message = r'are missing or damaged or do not fit the graph: {}\. Copy the directory again'.format(reason)
    with pytest.raises(ValueError, match=message):
        Network(a=[2, 3]).call(restoring.restore, prefix)


@pytest.mark.parametrize('most_read_twice', [restoring._MOST_READ_TWICE, 1])
def test_variables_that_are_no_numbers_are_refused(tmp_path, monkeypatch, most_read_twice):
    monkeypatch.setattr(restoring, '_MOST_READ_TWICE', most_read_twice)
    for value in (np.nan, np.inf, -np.inf):
        with tf.Graph().as_default(), tf.Session() as session:
            a, b = (tf.get_variable(name, [2], initializer=tf.zeros_initializer(), use_resource=True) for name in 'ab')
            session.run([a.initializer, b.initializer])
            session.run(b.assign([0.0, value]))
            prefix = tf.train.Saver([a, b]).save(session, str(tmp_path / 'x'), write_meta_graph=False)
        with pytest.raises(ValueError, match="/x' hold NaN or infinite values in b: .* Take an earlier checkpoint"):
            Network(a=[2], b=[2]).call(restoring.restore, prefix)


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='there are no pipes with names')
def test_a_pipe_in_place_of_variables_is_not_waited_for(tmp_path):
    prefix = save(str(tmp_path / 'x'))
    data = prefix + '.data-00000-of-00001'
    os.unlink(data)
    os.mkfifo(data)
    with pytest.raises(ValueError, match='are damaged: .*/x.data-00000-of-00001 is no file. Copy the directory again'):
        Network(a=[2, 3]).call(restoring.restore, prefix)
    with pytest.raises(ValueError, match='x.data-00000-of-00001 is no file'):
        load_large_filters(None, [LargeFilter('a', (2, 3), tf.float32)], prefix)


def test_finds_a_checkpoint_however_it_is_named(tmp_path):
    prefix = save(str(tmp_path / 'one' / 'x'))
    assert restoring.find_checkpoint(prefix) == prefix
    assert restoring.find_checkpoint(prefix + '.index') == prefix
    assert restoring.find_checkpoint(str(tmp_path / 'one')) == prefix
    assert restoring.find_checkpoint(str(tmp_path / 'one' / 'checkpoint')) == prefix
    os.unlink(str(tmp_path / 'one' / 'checkpoint'))  # the list that tf.train.Saver keeps beside
    assert restoring.find_checkpoint(tmp_path / 'one') == prefix
    model = tmp_path / 'model'
    shutil.copytree(str(tmp_path / 'one'), str(model / 'variables'))
    for name in os.listdir(str(model / 'variables')):
        os.rename(str(model / 'variables' / name), str(model / 'variables' / name.replace('x', 'variables', 1)))
    assert restoring.find_checkpoint(str(model)) == str(model / 'variables' / 'variables')


def test_finds_the_best_checkpoint_of_a_run(tmp_path):
    (tmp_path / 'config.json').write_text('{"training": {}}')
    with pytest.raises(ValueError, match='has no checkpoint yet'):
        restoring.find_checkpoint(tmp_path)
    best = tmp_path / 'checkpoints' / 'step-00000003'
    best.mkdir(parents=True)
    (tmp_path / 'checkpoints' / 'step-00000004').mkdir()
    (tmp_path / 'checkpoints' / 'best.json').write_text('{"checkpoint": "step-00000003"}')
    assert restoring.find_checkpoint(tmp_path) == str(best / 'variables' / 'variables')
    (tmp_path / 'config.json').write_text('{"model_type": "segformer"}')  # of another program
    with pytest.raises(FileNotFoundError, match='there are no variables at'):
        restoring.find_checkpoint(tmp_path)


def test_a_checkpoint_of_format_1_is_found_and_restored(tmp_path):
    prefix = save(str(tmp_path / 'model.ckpt-10'), write_version=1)
    assert os.path.isfile(prefix)
    for state in (True, False):
        assert restoring.find_checkpoint(prefix) == restoring.find_checkpoint(str(tmp_path)) == prefix
        if state:
            os.unlink(str(tmp_path / 'checkpoint'))
    network = Network(a=[2, 3])
    network.call(restoring.restore, prefix)
    assert network.means() == [ord('a')]


@pytest.mark.parametrize('folder', ['plain', 'one [old]'])
@pytest.mark.parametrize('name', ['model.ckpt', 'model?.ckpt'])
def test_a_checkpoint_of_format_1_in_parts(tmp_path, folder, name):
    folder = tmp_path / folder
    os.makedirs(str(folder))
    save_in_parts(str(tmp_path), 'written')
    parts = ['-0000{}-of-00002'.format(number) for number in range(2)]
    for part in parts:
        os.rename(str(tmp_path / ('written' + part)), str(folder / (name + part)))
    stem = str(folder / name)
    prefix = stem + '-?????-of-00002'
    for path in (stem, stem + parts[0], stem + parts[1], prefix, str(folder)):
        assert restoring.find_checkpoint(path) == prefix
    files = [stem + part for part in parts]
    network = Network(a=[2, 3], b=[2, 3])
    network.call(restoring.restore, prefix)
    assert network.means() == [ord('a'), ord('b')]
    read = sources.read(stem, lambda kind, path, shapes, read: (path, shapes, read('b').mean()))
    assert read == (prefix, {'a': (2, 3), 'b': (2, 3)}, ord('b')) and sources.files_of(prefix) == files
    assert recognise(stem) == recognise(files[1]) == ('slim', prefix)

    shutil.copyfile(stem + parts[0], stem + '-00000-of-00001')
    with pytest.raises(ValueError, match='stands for checkpoints of 00001 and 00002 parts. Pass a part of one.'):
        restoring.find_checkpoint(stem)
    assert restoring.find_checkpoint(stem + parts[0]) == prefix
    os.unlink(stem + '-00000-of-00001')
    os.unlink(stem + parts[0])
    message = r'1 of 2 parts are missing, the first: {}{}\. Copy it whole.'.format(re.escape(name), parts[0])
    for path in (stem, stem + parts[1], str(folder)):
        with pytest.raises(ValueError, match=message):
            restoring.find_checkpoint(path)


def test_the_state_file_names_the_newest_checkpoint_in_parts(tmp_path):
    save_in_parts(str(tmp_path), 'old')
    newest = save_in_parts(str(tmp_path), 'new')
    assert restoring.find_checkpoint(str(tmp_path)) == newest == str(tmp_path / 'new-?????-of-00002')
    os.unlink(str(tmp_path / 'checkpoint'))
    with pytest.raises(ValueError, match='holds several checkpoints: new-00000-of-00002, new-00001-of-00002, old-'):
        restoring.find_checkpoint(str(tmp_path))


@pytest.mark.parametrize('named', ['/elsewhere/{}', '../other/{}', 'C:\\\\runs\\\\{}', '{}'])
def test_the_state_file_only_says_which_checkpoint_of_its_folder_is_the_newest(tmp_path, named):
    for folder, name in (('here', 'old'), ('here', 'n\xe4w'), ('other', 'n\xe4w')):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / (name + '.index')).write_bytes(b'')
    state = tmp_path / 'here' / 'checkpoint'
    state.write_text('model_checkpoint_path: "{}"\n'.format(named.format('n\\303\\244w')))
    assert restoring.find_checkpoint(str(tmp_path / 'here')) == str(tmp_path / 'here' / 'n\xe4w')


@pytest.mark.parametrize(
    'content', ['model_checkpoint_path: "/*/*/*/*/*/x"', 'x', '', '"\xff', '#' * 2**20 + '\n', None]
)
def test_a_state_file_that_names_no_checkpoint_of_its_folder_is_left_out(tmp_path, capfd, content):
    (tmp_path / 'there.index').write_bytes(b'')
    if content is None:
        os.mkfifo(str(tmp_path / 'checkpoint'))  # its writer was waited for
    else:
        (tmp_path / 'checkpoint').write_bytes(content.encode('latin1'))
    assert restoring.find_checkpoint(str(tmp_path)) == str(tmp_path / 'there')
    assert capfd.readouterr() == ('', '')


def test_a_state_file_that_names_a_checkpoint_elsewhere_is_told(tmp_path):
    (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "/home/a/new"\n')
    for names, error in (((), FileNotFoundError), (('x', 'y'), ValueError)):
        for name in names:
            (tmp_path / (name + '.index')).write_bytes(b'')
        with pytest.raises(error, match="Its file 'checkpoint' names '/home/a/new', which is not in this folder. Pass"):
            restoring.find_checkpoint(str(tmp_path))


def test_a_long_list_of_checkpoints_still_says_which_is_the_newest(tmp_path):
    for name in ('old', 'new'):
        (tmp_path / (name + '.index')).write_bytes(b'')
    earlier = 'all_model_checkpoint_paths: "/{}/old"\n'.format('long' * 25) * 1000
    (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "/a/new"\n' + earlier)
    assert restoring.find_checkpoint(str(tmp_path)) == str(tmp_path / 'new')


def test_a_file_of_a_checkpoint_stands_for_it(tmp_path):
    prefix = save(str(tmp_path / 'x'))
    open(prefix + '.meta', 'w').close()
    for file in ('.index', '.data-00000-of-00001', '.meta'):
        assert restoring.find_checkpoint(prefix + file) == prefix
    os.unlink(prefix + '.index')
    with pytest.raises(FileNotFoundError, match='there are no variables at'):
        restoring.find_checkpoint(prefix + '.data-00000-of-00001')


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match='there are no variables at .*Pass a checkpoint prefix'):
        restoring.find_checkpoint(str(tmp_path))
    for name in ('x', 'y'):
        save(str(tmp_path / name))
    os.unlink(str(tmp_path / 'checkpoint'))
    with pytest.raises(ValueError, match='holds several checkpoints: x.index, y.index. Pass one of them'):
        restoring.find_checkpoint(str(tmp_path))


PAIRS = [(0, 2), (2, 0)]  # class 0 there is class 2 here, 2 there is 0 here; 1 there is nowhere, and 1 here is new


@pytest.mark.parametrize(
    'stored, wanted, pairs',
    [
        (['road', 'other', 'Other'], ['Road', 'other', 'other'], [(0, 0), (1, 1), (2, 2)]),
        (['other', 'road', 'other'], ['other', 'sky', 'other', 'other'], [(0, 0), (2, 2)]),
    ],
)
def test_classes_of_one_name_are_paired_in_their_order(stored, wanted, pairs):
    there, here = (ModelSettings(generic_label_space(len(names), class_names=names)) for names in (stored, wanted))
    assert restoring._class_pairs(there, here) == pairs


@pytest.mark.parametrize(
    'stored, wanted, pairs, said',
    [
        (2, 2, [(0, 0), (1, 1)], ['  classes without names: taken over by number']),
        (
            *(2, 3, []),
            [
                '  classes without names: none is taken over',
                '  classes that start anew: class 0, class 1, class 2',
                '  classes that are left behind: class 0, class 1',
            ],
        ),
    ],
)
def test_classes_without_names_are_taken_over_only_where_there_are_as_many(stored, wanted, pairs, said):
    there, here = (ModelSettings(generic_label_space(number)) for number in (stored, wanted))
    assert restoring._class_pairs(there, here) == pairs
    assert restoring.format_fits([], there, here).splitlines()[1:] == said


def test_classes_of_biases_and_score_kernels():
    stored, value = np.array([10.0, 11.0, 12.0]), np.array([-1.0, -2.0, -3.0, -4.0])
    np.testing.assert_array_equal(restoring.copy_classes(stored, value, PAIRS), [12, -2, 10, -4])
    stored, value = np.arange(6.0).reshape(1, 1, 2, 3), -np.ones([1, 1, 2, 4])
    np.testing.assert_array_equal(restoring.copy_classes(stored, value, PAIRS), [[[[2, -1, 0, -1], [5, -1, 3, -1]]]])
    assert (value == -1).all()


def test_classes_of_upsampling_kernels():
    stored, value = np.random.RandomState(0).rand(4, 4, 3, 3), np.zeros([4, 4, 4, 4])
    copied = restoring.copy_classes(stored, value, PAIRS)
    for new_out in range(4):
        for new_in in range(4):
            old = {new: old for old, new in PAIRS}
            expected = stored[:, :, old[new_out], old[new_in]] if {new_out, new_in} <= set(old) else np.zeros([4, 4])
            np.testing.assert_array_equal(copied[:, :, new_out, new_in], expected)


@pytest.mark.parametrize('stored, value', [([3], [1, 3]), ([1, 1, 5, 3], [1, 1, 6, 3]), ([4, 4, 3, 3], [8, 8, 3, 3])])
def test_layers_that_differ_in_more_than_classes_are_new(stored, value):
    assert restoring.copy_classes(np.zeros(stored), np.zeros(value), PAIRS) is None


def test_the_table_shows_what_did_not_load():
    fits = [
        restoring.Fit('a', 'loaded'),
        restoring.Fit('score/kernel', 'new: not there'),
        restoring.Fit('b', 'loaded for 1 of 2 classes'),
    ]
    there = ModelSettings(generic_label_space(2, class_names=['Road', 'sky']))
    here = ModelSettings(generic_label_space(2, class_names=['tree', 'road']))
    left_out = restoring.Fit('c', restoring.LEFT_OUT)
    assert restoring.format_fits(fits + [left_out], there, here).splitlines() == [
        '1 of 3 variables loaded as they are',
        '  score/kernel  new: not there',
        '  b             loaded for 1 of 2 classes',
        '  c             left out: this network has no such layer',
        '  classes that start anew: tree',
        '  classes that are left behind: sky',
    ]
    assert restoring.format_fits(fits[:1], there, there) == '1 of 1 variables loaded as they are'
