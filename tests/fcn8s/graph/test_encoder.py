"""Encoders as they are published: TensorFlow 1 graphs with plain placeholders, reference variables and a classifier."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from graphs import edit_graph
from streams import Stream

from fcn8s import FCN8s
from fcn8s.backend import tf
from fcn8s.graph.assembly import trained_encoder_variables
from fcn8s.graph.encoder import import_encoder
from fcn8s.optimizers import OptimizerSettings
from fcn8s.prediction.frozen_network import open_model
from fcn8s.saving import saved_models
from fcn8s.saving.encoder_files import read_encoder
from fcn8s.training.schedules import constant

IMAGE = np.random.RandomState(0).randint(0, 256, [1, 40, 56, 3]).astype(np.uint8)
WIDTHS = (4, 6, 8, 8, 8)
FC_WIDTH = 12


def layer(features, name, kernel, width, weights, initializer=None, trainable=True):
    shape = [kernel, kernel, features.shape.as_list()[-1], width]
    initializer = initializer or tf.random_normal_initializer(stddev=0.1)
    with tf.variable_scope(name):
        filters = tf.get_variable(weights, shape, initializer=initializer, use_resource=False, trainable=trainable)
        biases = tf.get_variable(
            'biases', [width], initializer=tf.zeros_initializer(), use_resource=False, trainable=trainable
        )
        return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(features, filters, [1, 1, 1, 1], 'SAME'), biases))


def subtract_mean(image):
    with tf.name_scope('Processing'):
        red, green, blue = tf.split(image, 3, axis=3)
        return tf.concat([blue - 103.939, green - 116.779, red - 123.68], axis=3)


def drop(features, keep_prob):
    return tf.nn.dropout(features, keep_prob=keep_prob)


def build_published_graph(
    shape=(None, None, None, 3),
    prepare=subtract_mean,
    dropout=drop,
    names='conv{0}_1',
    initializer=None,
    is_trainable=lambda block: True,
):
    """One convolution a block is enough: the interface is tags and tensors."""
    image = tf.placeholder(tf.float32, shape, name='image_input')
    keep_prob = tf.placeholder(tf.float32, name='keep_prob')
    features = prepare(image)
    for block, width in enumerate(WIDTHS, 1):
        trainable = is_trainable('conv{}'.format(block))
        features = layer(features, names.format(block), 3, width, 'filter', initializer, trainable)
        features = tf.nn.max_pool(features, [1, 2, 2, 1], [1, 2, 2, 1], 'SAME', name='pool{}'.format(block))
        if block in (3, 4):
            tf.identity(features, name='layer{}_out'.format(block))
    for name, kernel in (('fc6', 7), ('fc7', 1)):
        features = layer(features, name, kernel, FC_WIDTH, 'weights', initializer, is_trainable(name))
        features = dropout(features, keep_prob)
    tf.identity(features, name='layer7_out')
    tf.nn.softmax(layer(features, 'fc8', 1, 10, 'weights', trainable=is_trainable('fc8')), name='classes')


def write_published(directory, tags=('vgg16',), **options):
    """Every draw has a seed of its own, so that weights and dropout masks are the same in each run of the tests."""
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as session:
        tf.set_random_seed(0)
        build_published_graph(**options)
        session.run(tf.global_variables_initializer())
        builder = tf.saved_model.Builder(directory)
        builder.add_meta_graph_and_variables(session, list(tags))
        builder.save()
    return directory


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    return write_published(str(tmp_path_factory.mktemp('published') / 'vgg'))


def test_a_published_encoder_loads_trains_and_is_saved(published, tmp_path):
    reader = tf.train.load_checkpoint(os.path.join(published, 'variables', 'variables'))
    with FCN8s(vgg16_dir=published, num_classes=2) as model:
        variables = list(model.model.encoder.variables)
        assert {v.op.type for v in variables} == {'VariableV2'}
        before = dict(zip([v.op.name for v in variables], model.sess.run(variables)))
        expected = {'conv{}_1/{}'.format(block, part) for block in range(1, 6) for part in ('filter', 'biases')}
        assert set(before) == expected | {'fc6/weights', 'fc6/biases', 'fc7/weights', 'fc7/biases'}
        for name, value in before.items():
            np.testing.assert_array_equal(value, reader.get_tensor(name), err_msg=name)
        with pytest.warns(UserWarning, match='a resumed run sees the same data but other dropout masks'):
            history = model.train(Stream(), 2, 3, constant(1e-3), run_dir=str(tmp_path / 'run'))
        after = dict(zip(before, model.sess.run(variables)))
        soft_max = model.predict(IMAGE, argmax=False)
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


def edited_copy(directory, tmp_path, change):
    copy = shutil.copytree(directory, str(tmp_path / 'copy'))
    edit_graph(copy, change)
    return copy


def rename(old, new):
    def change(meta_graph):
        for node in meta_graph.graph_def.node:
            node.name = new if node.name == old else node.name
            inputs = [new if name == old else name for name in node.input]
            del node.input[:]
            node.input.extend(inputs)

    return change


def set_tag(meta_graph):
    meta_graph.meta_info_def.tags[:] = ['other']


def take_uint8(meta_graph):
    for node in meta_graph.graph_def.node:
        if node.name == 'image_input':
            node.attr['dtype'].type = tf.uint8.as_datatype_enum


def unlist_variables(meta_graph):
    listed = meta_graph.collection_def['variables'].bytes_list.value
    listed[:] = [value for value in listed if b'conv2_1' not in value]


def give_float64(meta_graph):
    for node in meta_graph.graph_def.node:
        if node.name == 'layer7_out':
            node.name = 'narrow'
    node = meta_graph.graph_def.node.add(name='layer7_out', op='Cast', input=['narrow'])
    node.attr['SrcT'].type = tf.float32.as_datatype_enum
    node.attr['DstT'].type = tf.float64.as_datatype_enum


@pytest.mark.parametrize(
    'change, message',
    [
        (give_float64, 'gives float64 at layer7_out:0; the interface is float32. Save it again with a cast'),
        (
            set_tag,
            r"encoder SavedModel .* has no graph with the tags \['vgg16'\]; it has \[\['other'\]\]. Save it again with",
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
    copy = edited_copy(published, tmp_path, change)
    with pytest.raises(ValueError, match=message):
        read_encoder(copy)


def test_an_encoder_may_have_further_tags_where_it_is_the_only_one(published, tmp_path):
    encoder = write_published(str(tmp_path / 'served'), tags=['vgg16', 'serve'])
    with FCN8s(vgg16_dir=encoder, num_classes=2) as model, FCN8s(vgg16_dir=published, num_classes=2) as other:
        np.testing.assert_array_equal(model.predict(IMAGE, argmax=False), other.predict(IMAGE, argmax=False))
    path = os.path.join(encoder, 'saved_model.pb')
    saved_model = saved_models.parse(path)
    second = saved_model.meta_graphs.add()
    second.CopyFrom(saved_model.meta_graphs[0])
    second.meta_info_def.tags[:] = ['vgg16', 'train']
    with open(path, 'wb') as file:
        file.write(saved_model.SerializeToString())
    with pytest.raises(
        ValueError, match=r"tags \['vgg16'\]; it has .*'train', 'vgg16'.*. Save it again with one graph"
    ):
        read_encoder(encoder)
    second.meta_info_def.tags[:] = ['vgg16']
    with open(path, 'wb') as file:
        file.write(saved_model.SerializeToString())
    assert list(read_encoder(encoder).meta_graph.meta_info_def.tags) == ['vgg16']
    with pytest.raises(ValueError, match='This is a VGG-16 encoder: pass it as vgg16_dir'):
        saved_models.read_meta_graph(encoder, ['default'])


@pytest.mark.parametrize('parts, use_resource', [(1, False), (2, False), (2, True)])
def test_partitioned_variables_are_refused_by_what_they_are(tmp_path, parts, use_resource):
    def shift(image):
        partitioner = tf.fixed_size_partitioner(parts, axis=2)
        with tf.variable_scope('shift'):
            kernel = tf.get_variable('kernel', [1, 1, 3, 3], partitioner=partitioner, use_resource=use_resource)
        return tf.nn.conv2d(image, tf.convert_to_tensor(kernel), [1, 1, 1, 1], 'SAME')

    encoder = write_published(str(tmp_path / 'parts'), prepare=shift)
    with pytest.raises(ValueError, match=r'has partitioned variables \(shift/kernel\), .* again without a partitioner'):
        read_encoder(encoder)


def stride_of_conv2(meta_graph):
    node = next(node for node in meta_graph.graph_def.node if node.op == 'Conv2D' and 'conv2_1' in node.input[1])
    node.attr['strides'].list.i[1:3] = [2, 2]


def padding_of_pools(meta_graph):
    for node in meta_graph.graph_def.node:
        if node.op == 'MaxPool':
            node.attr['padding'].s = b'VALID'


@pytest.mark.parametrize(
    'change, message',
    [
        (stride_of_conv2, 'makes layer3_out:0 of 19 x 21 from images of 292 x 324; .* at stride 8, .*: 37 x 41. Save'),
        (padding_of_pools, 'makes layer3_out:0 of 36 x 40 .*with padding SAME and the five pools of VGG-16'),
    ],
)
def test_other_strides_are_refused(published, tmp_path, change, message):
    copy = edited_copy(published, tmp_path, change)
    with pytest.raises(ValueError, match=message):
        FCN8s(vgg16_dir=copy, num_classes=2)


def damage(directory, what):
    if what == 'graph':
        with open(os.path.join(directory, 'saved_model.pb'), 'wb') as file:
            file.write(b'no protocol buffer')
    elif what in ('nothing', 'too much'):
        os.truncate(os.path.join(directory, 'saved_model.pb'), 0 if what == 'nothing' else 2**31)
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
        ('nothing', 'has no graph with the tags .*; it has none. It is empty: write or copy it again'),
        ('too much', 'saved_model.pb is damaged: it has 2.1 GB, and a graph at most 2.1 GB'),
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


READ = 'import sys; from fcn8s.saving.encoder_files import read_encoder; read_encoder(sys.argv[1])'


def test_an_encoder_written_here_loads_in_the_other_tensorflow(published, other_python, tmp_path):
    subprocess.run([other_python, '-c', READ, published], check=True, cwd=str(tmp_path))


def train_and_save(encoder, directory):
    """Trains on batches of two images; returns the path of the saved model, and its logits of IMAGE."""
    with FCN8s(vgg16_dir=encoder, num_classes=2) as model:
        model.train(Stream(), 1, 3, constant(1e-2))
        logits = model.sess.run(model.fcn8s_output, {model.images_uint8: IMAGE})
        return model.save(directory, saver='saved_model', name='model', force_save=True), logits


# Placeholders.


def test_an_encoder_for_one_image_at_a_time_trains_on_batches(tmp_path):
    encoder = write_published(str(tmp_path / 'vgg'), shape=(1, None, None, 3))
    assert not [n.name for n in read_encoder(encoder).meta_graph.graph_def.node if '_output_shapes' in n.attr]
    train_and_save(encoder, str(tmp_path))


def drop_in_a_branch(features, keep_prob):
    return tf.cond(keep_prob < 1.0, lambda: drop(features, keep_prob), lambda: tf.identity(features))


@pytest.mark.parametrize('dropout', [drop, drop_in_a_branch])
def test_an_encoder_for_one_size_is_refused(tmp_path, dropout):
    encoder = write_published(str(tmp_path / 'vgg'), shape=(1, 64, 64, 3), dropout=dropout)
    with pytest.raises(
        ValueError, match=r'of the shape \[.*2, 2, 12\] whatever the size .*Save it again with image_in'
    ):
        read_encoder(encoder)


def test_a_size_that_is_nowhere_in_the_graph_does_no_harm(tmp_path):
    encoder = write_published(str(tmp_path / 'vgg'), shape=(1, 64, 64, 3), dropout=lambda features, _: features)
    train_and_save(encoder, str(tmp_path))


def drop_when_training(features, keep_prob):
    graph = tf.get_default_graph()
    if 'is_training' not in {operation.name for operation in graph.get_operations()}:
        tf.placeholder(tf.bool, [], name='is_training')
    is_training = graph.get_tensor_by_name('is_training:0')
    return tf.cond(is_training, lambda: drop(features, keep_prob), lambda: tf.identity(features))


def test_a_further_placeholder_is_refused(tmp_path):
    encoder = write_published(str(tmp_path / 'vgg'), dropout=drop_when_training)
    with pytest.raises(
        ValueError,
        match=r'needs is_training:0 \(bool\) to be fed; an encoder takes image_input:0 and keep_prob:0 and nothing '
        'else. Save it again with a constant in its place, or with tf.placeholder_with_default',
    ):
        read_encoder(encoder)


def test_placeholders_behind_the_image_are_replaced(tmp_path):
    """A picture file in, say; the inputs of this library lead to `image_input` in its place."""
    encoder = write_published(str(tmp_path / 'vgg'))

    def compute_image(meta_graph):
        (image,) = [node for node in meta_graph.graph_def.node if node.name == 'image_input']
        raw = meta_graph.graph_def.node.add()
        raw.CopyFrom(image)
        raw.name = 'images_float'
        image.op = 'Identity'
        image.input.append('images_float')
        image.attr.clear()
        image.attr['T'].type = tf.float32.as_datatype_enum

    expected = Imported(encoder).fc7(images_uint8=IMAGE)
    edit_graph(encoder, compute_image)
    np.testing.assert_array_equal(Imported(encoder).fc7(images_uint8=IMAGE), expected)


def name_a_node(name):
    def prepare(image):
        return tf.identity(subtract_mean(image), name=name)

    return prepare


@pytest.mark.parametrize('name', ['images_float', 'images_uint8', 'keep_prob/input', 'decoder/features', 'predictor/x'])
def test_names_of_this_library_are_refused(tmp_path, name):
    encoder = write_published(str(tmp_path / 'vgg'), prepare=name_a_node(name))
    message = 'has nodes of its own called {}; this library adds images_float, images_uint8, .*Save it again with other'
    with pytest.raises(ValueError, match=message.format(name)):
        read_encoder(encoder)


# Variables.


def test_initial_values_are_not_carried_along(published, tmp_path):
    values = np.random.RandomState(1).normal(0, 0.1, 10**5)
    initializer = lambda shape, **_: tf.constant(values[: np.prod(shape)].reshape(shape), tf.float32)  # noqa: E731
    encoder = write_published(str(tmp_path / 'vgg'), initializer=initializer)
    source = read_encoder(encoder)
    size = len(source.meta_graph.SerializeToString())
    assert size < len(read_encoder(published).meta_graph.SerializeToString()), 'that one has no values in it'
    with FCN8s(vgg16_dir=encoder, num_classes=2) as model:
        for variable, value in zip(model.model.encoder.variables, model.sess.run(list(model.model.encoder.variables))):
            if 'biases' not in variable.op.name:
                np.testing.assert_array_equal(value.reshape(-1), values[: value.size].astype(np.float32))


def test_a_constant_that_the_outputs_need_keeps_its_value(tmp_path):
    noise = np.random.RandomState(1).normal(0, 9, [400, 3]).astype(np.float32)

    def prepare(image):
        start = tf.constant(noise, name='noise')
        variable = tf.get_variable('variable_of_noise', initializer=start, use_resource=False)
        return subtract_mean(image) + tf.reduce_mean(start * variable, axis=0)

    encoder = write_published(str(tmp_path / 'vgg'), prepare=prepare)
    (node,) = [n for n in read_encoder(encoder).meta_graph.graph_def.node if n.name == 'noise']
    np.testing.assert_array_equal(tf.make_ndarray(node.attr['value'].tensor), noise)


def names_of_trained(encoder, freeze=None):
    with tf.Graph().as_default():
        variables = import_encoder(read_encoder(encoder).meta_graph).variables
        return [variable.op.name for variable in trained_encoder_variables(variables, freeze)]


def test_variables_that_were_not_trainable_are_not_trained(tmp_path):
    encoder = write_published(str(tmp_path / 'vgg'), is_trainable=lambda name: name not in ('conv1', 'fc6'))
    trained = names_of_trained(encoder)
    assert {name.split('/')[0] for name in trained} == {'conv2_1', 'conv3_1', 'conv4_1', 'conv5_1', 'fc7'}
    assert names_of_trained(encoder, freeze=2) == [name for name in trained if not name.startswith('conv2_1')]
    model_dir, _ = train_and_save(encoder, str(tmp_path))
    stored, saved = (tf.train.load_checkpoint(os.path.join(d, 'variables', 'variables')) for d in (encoder, model_dir))
    for name in ('conv1_1/filter', 'fc6/weights'):
        np.testing.assert_array_equal(saved.get_tensor(name), stored.get_tensor(name))
    assert not np.array_equal(saved.get_tensor('conv2_1/filter'), stored.get_tensor('conv2_1/filter'))
    with FCN8s(model_load_dir=model_dir) as model:
        variables = trained_encoder_variables(model.model.encoder.variables, None)
        assert [variable.op.name for variable in variables] == trained


def normalise(image):
    """As in networks whose statistics are plain variables, which TensorFlow calls trainable."""
    scale, offset, mean, variance = (
        tf.get_variable('norm/' + name, [3], initializer=tf.constant_initializer(value), use_resource=False)
        for name, value in (('scale', 1.0), ('offset', 0.1), ('mean', 120.0), ('variance', 60.0))
    )
    return tf.nn.fused_batch_norm(image, scale, offset, mean, variance, is_training=False)[0]


def test_variables_without_a_gradient_stay_as_they_are_whatever_the_training(tmp_path):
    encoder = write_published(str(tmp_path / 'vgg'), prepare=normalise)
    source = tf.train.load_checkpoint(os.path.join(encoder, 'variables', 'variables'))
    labels = np.zeros(IMAGE.shape[:3], np.uint8)
    settings = OptimizerSettings(
        ema=0.9, weight_decay=0.1, rate_multipliers={'norm': 3.0}, gradient_clip_norm=1.0, accumulate_batches=2
    )
    with pytest.warns(UserWarning, match='calls norm/mean, norm/variance trainable, but no gradient reaches them'):
        model = FCN8s(vgg16_dir=encoder, num_classes=2, optimizer=settings, head_warmup=1)
    with model:
        model.train(
            iter([(IMAGE, labels)] * 10), 2, 2, constant(1e-2), record_summaries=False, run_dir=str(tmp_path / 'run')
        )
        before = model.predict(IMAGE, argmax=False)
        saved = model.save(str(tmp_path / 'models'), name='trained')
        state = {variable.op.name for variable in model.model.state}
    assert 'optimizer/adam_m/norm/scale' in state and not any('norm/mean' in name for name in state - {'norm/mean'})
    stored = tf.train.load_checkpoint(os.path.join(saved, 'variables', 'variables'))
    for name in ('mean', 'variance'):
        np.testing.assert_array_equal(stored.get_tensor('norm/' + name), source.get_tensor('norm/' + name))
    assert not np.array_equal(stored.get_tensor('norm/scale'), source.get_tensor('norm/scale'))
    for opened in (saved, str(tmp_path / 'run')):
        with pytest.warns(UserWarning, match='no gradient reaches them'):
            model = FCN8s(model_load_dir=opened)
        with model:
            np.testing.assert_array_equal(model.predict(IMAGE, argmax=False), before)
    with FCN8s(vgg16_dir=encoder, num_classes=2, optimizer=settings, head_warmup=1) as model:
        batches = iter([(IMAGE, labels)] * 20)
        model.train(batches, 3, 2, constant(1e-2), record_summaries=False, run_dir=str(tmp_path / 'run'), resume=True)
        assert not np.array_equal(model.predict(IMAGE, argmax=False), before)
    settings = OptimizerSettings(rate_multipliers={'norm/mean': 3.0})
    with pytest.raises(ValueError, match="'norm/mean', which matches no variable that is trained"):
        FCN8s(vgg16_dir=encoder, num_classes=2, optimizer=settings)


def test_an_encoder_that_nothing_is_learnt_in_is_refused_unless_it_is_frozen(tmp_path):
    encoder = write_published(str(tmp_path / 'vgg'), dropout=lambda features, keep_prob: tf.stop_gradient(features))
    with pytest.raises(ValueError, match='The loss does not depend on the variables'):
        FCN8s(vgg16_dir=encoder, num_classes=2, variant='32s')
    FCN8s(vgg16_dir=encoder, num_classes=2, variant='32s', freeze='encoder').close()


def forget_trainable(meta_graph):
    del meta_graph.collection_def['trainable_variables']


def test_without_a_list_of_trainable_variables_the_flags_count_or_all_are_trained(published, tmp_path):
    partly = write_published(str(tmp_path / 'partly'), is_trainable=lambda name: name == 'fc7')
    nothing = write_published(str(tmp_path / 'nothing'), is_trainable=lambda name: False)
    edit_graph(partly, forget_trainable)
    assert names_of_trained(partly) == ['fc7/weights', 'fc7/biases']
    assert names_of_trained(nothing) == names_of_trained(published)
    assert len(names_of_trained(published)) == 14


@pytest.mark.parametrize('names', ['conv{0}_1', 'vgg_16/conv{0}/conv{0}_1'])
@pytest.mark.parametrize('freeze', [2, np.int64(2)])
def test_blocks_are_frozen_under_any_scope(tmp_path, names, freeze):
    encoder = write_published(str(tmp_path / 'vgg'), names=names)
    everything = names_of_trained(encoder)
    assert names_of_trained(encoder, freeze=0) == everything
    assert names_of_trained(encoder, freeze) == everything[4:]


def test_blocks_that_cannot_be_told_are_refused(tmp_path):
    encoder = write_published(str(tmp_path / 'vgg'), names='features/{0}')
    with pytest.raises(
        ValueError, match=r'freeze is 3, but .* no variables called conv1_\*.*it has features/1/filter, .*Pass .encoder'
    ):
        FCN8s(vgg16_dir=encoder, num_classes=2, freeze=3)
    with pytest.raises(ValueError, match='freeze is .*6.*; it has to be .encoder., a number of blocks from 0 to 5'):
        names_of_trained(encoder, np.int64(6))


# Opened for prediction.


def subtract_mean_in_a_loop(image):
    mean = tf.get_variable('image_mean', [3], initializer=tf.ones_initializer(), trainable=False, use_resource=True)
    return tf.map_fn(lambda picture: picture[..., ::-1] - mean, image)


def test_branches_and_loops_predict_the_same_when_opened(tmp_path):
    encoder = write_published(str(tmp_path / 'vgg'), prepare=subtract_mean_in_a_loop, dropout=drop_in_a_branch)
    model_dir, logits = train_and_save(encoder, str(tmp_path))
    assert logits.std() > 0
    with open_model(model_dir) as model:
        np.testing.assert_allclose(model.run(model.logits, {model.images: IMAGE}), logits, atol=1e-5)
