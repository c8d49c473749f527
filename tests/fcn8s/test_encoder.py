"""Encoders as they are published: TensorFlow 1 graphs with plain placeholders, reference variables and a classifier."""

import os
import shutil
import sys

import numpy as np
import pytest

from fcn8s import FCN8s
from fcn8s.backend import SavedModel, tf
from fcn8s.encoder import import_encoder, read_encoder
from fcn8s.schedules import constant

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from streams import Stream  # noqa: E402

IMAGE = np.random.RandomState(0).randint(0, 256, [1, 40, 56, 3]).astype(np.uint8)
WIDTHS = (4, 6, 8, 8, 8)
FC_WIDTH = 12


def layer(features, name, kernel, width, weights):
    shape = [kernel, kernel, features.shape.as_list()[-1], width]
    with tf.variable_scope(name):
        filters = tf.get_variable(
            weights, shape, initializer=tf.random_normal_initializer(stddev=0.1), use_resource=False
        )
        biases = tf.get_variable('biases', [width], initializer=tf.zeros_initializer(), use_resource=False)
        return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(features, filters, [1, 1, 1, 1], 'SAME'), biases))


def build_published_graph():
    """One convolution a block is enough: the interface is tags and tensors."""
    image = tf.placeholder(tf.float32, [None, None, None, 3], name='image_input')
    keep_prob = tf.placeholder(tf.float32, name='keep_prob')
    with tf.name_scope('Processing'):
        red, green, blue = tf.split(image, 3, axis=3)
        features = tf.concat([blue - 103.939, green - 116.779, red - 123.68], axis=3)
    for block, width in enumerate(WIDTHS, 1):
        features = layer(features, 'conv{}_1'.format(block), 3, width, 'filter')
        features = tf.nn.max_pool(features, [1, 2, 2, 1], [1, 2, 2, 1], 'SAME', name='pool{}'.format(block))
        if block in (3, 4):
            tf.identity(features, name='layer{}_out'.format(block))
    for number, kernel in ((6, 7), (7, 1)):
        features = layer(features, 'fc{}'.format(number), kernel, FC_WIDTH, 'weights')
        features = tf.nn.dropout(features, keep_prob=keep_prob)
    tf.identity(features, name='layer7_out')
    tf.nn.softmax(layer(features, 'fc8', 1, 10, 'weights'), name='classes')


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp('published') / 'vgg')
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as session:
        build_published_graph()
        session.run(tf.global_variables_initializer())
        builder = tf.saved_model.Builder(directory)
        builder.add_meta_graph_and_variables(session, ['vgg16'])
        builder.save()
    return directory


def test_a_published_encoder_loads_trains_and_is_saved(published, tmp_path, capsys):
    reader = tf.train.load_checkpoint(os.path.join(published, 'variables', 'variables'))
    with FCN8s(vgg16_dir=published, num_classes=2) as model:
        variables = list(model.model.encoder.variables)
        assert {v.op.type for v in variables} == {'VariableV2'}
        before = dict(zip([v.op.name for v in variables], model.sess.run(variables)))
        expected = {'conv{}_1/{}'.format(block, part) for block in range(1, 6) for part in ('filter', 'biases')}
        assert set(before) == expected | {'fc6/weights', 'fc6/biases', 'fc7/weights', 'fc7/biases'}
        for name, value in before.items():
            np.testing.assert_array_equal(value, reader.get_tensor(name), err_msg=name)
        history = model.train(Stream(), 2, 3, constant(1e-2), run_dir=str(tmp_path / 'run'))
        after = dict(zip(before, model.sess.run(variables)))
        soft_max = model.predict(IMAGE, argmax=False)
    assert 'a resumed run sees the same data but other dropout masks' in capsys.readouterr().out
    assert history[1]['training_loss'] < history[0]['training_loss']
    assert not [name for name in before if np.array_equal(before[name], after[name])]
    with FCN8s(model_load_dir=str(tmp_path / 'run')) as model:
        np.testing.assert_array_equal(model.predict(IMAGE, argmax=False), soft_max)


class Imported:
    """An encoder alone, in a session of its own."""

    def __init__(self, directory):
        source = read_encoder(directory)
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.encoder = import_encoder(source.meta_graph)
            self.session = tf.Session(graph=self.graph)
            tf.train.Saver(list(self.encoder.variables)).restore(self.session, source.variables_prefix)

    def fc7(self, **feeds):
        return self.session.run(self.encoder.fc7, {getattr(self.encoder, name): value for name, value in feeds.items()})


def test_what_is_not_fed_has_defaults(published):
    encoder = Imported(published)
    expected = encoder.fc7(image_input=IMAGE.astype(np.float32), keep_prob=1.0)
    assert expected.any()
    np.testing.assert_array_equal(encoder.fc7(images_uint8=IMAGE), expected)
    assert encoder.encoder.dropout_seed is None
    assert not np.array_equal(
        encoder.fc7(images_uint8=IMAGE, keep_prob=0.5), encoder.fc7(images_uint8=IMAGE, keep_prob=0.5)
    )


def test_sizes_round_up(published):
    encoder = Imported(published)
    values = encoder.session.run(
        [encoder.encoder.pool3, encoder.encoder.pool4, encoder.encoder.fc7],
        {encoder.encoder.images_uint8: IMAGE[:, :33]},
    )
    assert [value.shape[1:3] for value in values] == [(5, 7), (3, 4), (2, 2)]


def test_dropout_of_our_encoder_is_a_function_of_seed_and_step(tiny_encoder):
    encoder = Imported(tiny_encoder)
    dropped = encoder.fc7(images_uint8=IMAGE, keep_prob=0.5, dropout_seed=(3, 7))
    np.testing.assert_array_equal(encoder.fc7(images_uint8=IMAGE, keep_prob=0.5, dropout_seed=(3, 7)), dropped)
    np.testing.assert_array_equal(
        Imported(tiny_encoder).fc7(images_uint8=IMAGE, keep_prob=0.5, dropout_seed=(3, 7)), dropped
    )
    for other in ((3, 8), (4, 7)):
        assert not np.array_equal(encoder.fc7(images_uint8=IMAGE, keep_prob=0.5, dropout_seed=other), dropped)
    assert not np.array_equal(
        encoder.fc7(images_uint8=IMAGE, keep_prob=0.5), encoder.fc7(images_uint8=IMAGE, keep_prob=0.5)
    )
    kept = encoder.fc7(images_uint8=IMAGE)
    np.testing.assert_array_equal(encoder.fc7(images_uint8=IMAGE, dropout_seed=(3, 7)), kept)
    # Every second unit that is on without dropout is off with it, give or take chance.
    assert 0.3 < np.mean(dropped[kept > 0] == 0) < 0.9


def edit_graph(directory, change):
    path = os.path.join(directory, 'saved_model.pb')
    saved_model = SavedModel()
    with open(path, 'rb') as file:
        saved_model.ParseFromString(file.read())
    change(saved_model.meta_graphs[0])
    with open(path, 'wb') as file:
        file.write(saved_model.SerializeToString())


def rename(old, new):
    def change(meta_graph):
        for node in meta_graph.graph_def.node:
            node.name = new if node.name == old else node.name
            inputs = [new if name == old else name for name in node.input]
            del node.input[:]
            node.input.extend(inputs)

    return change


def set_tag(meta_graph):
    meta_graph.meta_info_def.tags[:] = ['serve']


def take_uint8(meta_graph):
    for node in meta_graph.graph_def.node:
        if node.name == 'image_input':
            node.attr['dtype'].type = tf.uint8.as_datatype_enum


def unlist_variables(meta_graph):
    listed = meta_graph.collection_def['variables'].bytes_list.value
    listed[:] = [value for value in listed if b'conv2_1' not in value]


@pytest.mark.parametrize(
    'change, message',
    [
        (
            set_tag,
            r"encoder SavedModel .* has no graph with the tags \['vgg16'\]; it has \[\['serve'\]\]. Pass one of those",
        ),
        (
            rename('layer7_out', 'layer7'),
            'lacks the tensor layer7_out:0; an encoder needs image_input:0, .*fcn8s vgg16 OUT',
        ),
        (rename('keep_prob', 'rate'), 'lacks the tensor keep_prob:0'),
        (rename('image_input', 'images'), 'lacks the tensor image_input:0'),
        (take_uint8, 'takes uint8 at image_input:0; the interface is float32, RGB, 0 to 255'),
        (unlist_variables, 'does not list conv2_1/filter, conv2_1/biases in its collection .variables.'),
    ],
)
def test_other_interfaces_are_refused(published, tmp_path, change, message):
    copy = shutil.copytree(published, str(tmp_path / 'copy'))
    edit_graph(copy, change)
    with pytest.raises(ValueError, match=message):
        read_encoder(copy)


def damage(directory, what):
    if what == 'graph':
        with open(os.path.join(directory, 'saved_model.pb'), 'wb') as file:
            file.write(b'no protocol buffer')
    elif what == 'no variables':
        shutil.rmtree(os.path.join(directory, 'variables'))
    elif what == 'index':
        os.truncate(os.path.join(directory, 'variables', 'variables.index'), 20)
    else:
        with tf.Graph().as_default(), tf.Session() as session:
            other = tf.get_variable('conv1_1/filter', [1], use_resource=False)
            session.run(other.initializer)
            tf.train.Saver([other]).save(
                session, os.path.join(directory, 'variables', 'variables'), write_meta_graph=False
            )


@pytest.mark.parametrize(
    'what, message',
    [
        ('graph', 'saved_model.pb is damaged: it does not parse as a SavedModel'),
        ('no variables', 'has no variables: .*variables.index is missing'),
        ('index', 'the variables .* are missing or damaged'),
        ('other variables', 'lack conv1_1/biases, .*which the graph beside them needs'),
    ],
)
def test_damaged_encoders_are_refused(published, tmp_path, what, message):
    copy = shutil.copytree(published, str(tmp_path / 'copy'))
    damage(copy, what)
    with pytest.raises(ValueError, match=message):
        read_encoder(copy)


def test_variables_of_another_shape_are_refused_before_anything_is_restored(published, tmp_path):
    copy = shutil.copytree(published, str(tmp_path / 'copy'))
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as session:
        build_published_graph()
        session.run(tf.global_variables_initializer())
        variables = {v.op.name: v for v in tf.global_variables()}
        variables['conv3_1/biases'] = tf.get_variable('wide', [99], use_resource=False)
        session.run(variables['conv3_1/biases'].initializer)
        tf.train.Saver(variables).save(session, os.path.join(copy, 'variables', 'variables'), write_meta_graph=False)
    with pytest.raises(ValueError, match=r'do not fit this network: conv3_1/biases is \[99\] and not \[8\]'):
        FCN8s(vgg16_dir=copy, num_classes=2)
