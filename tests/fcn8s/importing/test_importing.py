import json
import os
from types import SimpleNamespace

import foreign_networks as structures
import numpy as np
import pytest
from foreign_networks import IMAGES
from streams import Stream

from fcn8s import FCN8s, open_model
from fcn8s.backend import TF_VERSION, tf
from fcn8s.cli import main
from fcn8s.cli.import_fcn8s import _images_line, describe
from fcn8s.importing import sources, write
from fcn8s.importing.own_graph import OwnLogits
from fcn8s.importing.placement import _number, place
from fcn8s.importing.write import import_network
from fcn8s.training.schedules import constant
from helpers.label_spaces import generic_label_space


def logits_of(model_dir):
    with open_model(model_dir) as model:
        return model.run(model.logits, {model.images: IMAGES})


def check(model_dir, expected):
    found = logits_of(model_dir)
    assert np.abs(found - expected).max() <= 1e-4 * max(1, np.abs(expected).max())
    assert np.abs(expected).max() > 1e-2, 'logits that are all nearly zero prove nothing'


@pytest.mark.parametrize(
    'label_space, message',
    [
        ('voc', "label_space is 'voc'; it has to be a LabelSpace"),
        (generic_label_space(21, 300), 'ignore_id is 300; labels are uint8'),
        (generic_label_space(256), 'num_classes is 256'),
    ],
)
def test_a_label_space_is_checked_before_the_file_is_read(tmp_path, label_space, message):
    with pytest.raises(ValueError, match=message):
        import_network(str(tmp_path / 'none'), str(tmp_path / 'out'), label_space=label_space)


def test_a_label_space_of_other_classes_is_refused_before_the_weights_are_read(tmp_path, monkeypatch):
    path = str(tmp_path / 'trained')
    structures.write_tensorflow(path, structures.random_network(), structures.reference_names, (1e-4, 1e-2))
    monkeypatch.setattr('fcn8s.importing.write._take', lambda *arguments: pytest.fail('read'))
    with pytest.raises(ValueError, match='has 21 classes, and .*trained has 3. Give one of 3 classes, or leave it out'):
        import_network(path, str(tmp_path / 'out'), label_space=generic_label_space(21))


# What TensorFlow wrote


@pytest.mark.parametrize('named', ['saved_model.pb', 'trained.data-00000-of-00001', 'checkpoint'])
def test_the_reference_of_2017_has_the_same_logits(tmp_path, named):
    network = structures.random_network(num_classes=20)
    path = str(tmp_path / 'trained')
    saved_model = named == 'saved_model.pb'
    expected = structures.write_tensorflow(path, network, structures.reference_names, (1e-4, 1e-2), saved_model)
    (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "trained"\n')
    # Whoever has no other name for it passes a file.
    file = os.path.join(path if saved_model else str(tmp_path), named)
    manifest = import_network(file, str(tmp_path / 'out'))
    check(str(tmp_path / 'out'), expected)
    assert manifest['source']['kind'] == 'reference 2017' and manifest['settings']['output_bias']
    assert manifest['settings']['label_space']['name'] == 'cityscapes20'
    assert manifest['settings']['skip_scales'] == [1e-4, 1e-2]
    assert manifest['left_out'] == [
        'conv1_1/filter/adam_optimizer',
        'conv1_1/filter/adam_optimizer_1',
        'optimizer/global_step',
    ]
    placed = [name for names in manifest['tensors'].values() for name in names]
    assert len(placed) == len(set(placed)) == 2 * (13 + 2 + 6)


def test_the_first_versions_of_2017_scaled_nothing(tmp_path):
    """Their layers have the same names; only the graph tells."""
    network = structures.random_network(num_classes=2)
    for name, kinds in (
        ('saved', dict(saved_model=True, tags=['train', 'mine'])),
        ('variables', dict(meta=True)),
        ('frozen', dict(frozen=True)),
    ):
        path, out = str(tmp_path / name), str(tmp_path / (name + '.out'))
        expected = structures.write_tensorflow(path, network, structures.reference_names, (1, 1), **kinds)
        manifest = import_network(path, out)
        assert manifest['settings']['skip_scales'] == [1, 1] and manifest['settings']['num_classes'] == 2
        assert manifest['proof']['own_graph_error'] < 1e-5
    check(out, expected)


def write_derived(path, after_pool4=lambda scores: scores, **kinds):
    network = structures.random_network(num_classes=2)
    return structures.write_tensorflow(
        path, network, structures.reference_names, (1e-4, 1e-2), after_pool4=after_pool4, **kinds
    )


@pytest.mark.parametrize('kinds', [dict(saved_model=True), dict(meta=True), dict(frozen=True)])
def test_a_derived_program_with_other_layers_is_refused(tmp_path, kinds):
    """Its variables have the names and shapes of 2017; only its graph predicts as it did."""
    path, out = str(tmp_path / 'elu'), str(tmp_path / 'out')
    write_derived(path, tf.nn.elu, **kinds)
    with pytest.raises(ValueError, match='predicts something else than an FCN-8s with these weights: the logits diff'):
        import_network(path, out)
    assert not os.path.exists(out)


def test_weights_without_their_graph_are_imported_as_what_their_kind_is(tmp_path):
    write_derived(str(tmp_path / 'elu'), tf.nn.elu)
    manifest = import_network(str(tmp_path / 'elu'), str(tmp_path / 'out'))
    assert manifest['proof']['own_graph_error'] is None
    assert 'no graph lies beside the weights' in describe('out', manifest)[-1]


@pytest.mark.parametrize(
    'after_pool4, reason',
    [
        (lambda scores: tf.nn.dropout(scores, 0.5), 'its logits are random, or not finite'),
        (
            lambda scores: scores + tf.cast(tf.strings.length(tf.read_file(__file__)), tf.float32),
            'its graph holds .*ReadFile .* which a network does not need',
        ),
    ],
    ids=['it is random', 'it reads a file'],
)
def test_a_graph_that_cannot_be_run_is_refused_with_the_remedy(tmp_path, after_pool4, reason):
    path = str(tmp_path / 'graph')
    write_derived(path, after_pool4, meta=True)
    with pytest.raises(ValueError, match='graph of .* could not be run, .*{}.*copy the variables to'.format(reason)):
        import_network(path, str(tmp_path / 'out'))
    assert not os.path.exists(str(tmp_path / 'out'))


FOLLOWING = {
    'Relu': tf.nn.relu,
    'Tanh': lambda logits: tf.nn.softmax(tf.tanh(logits)),
    'Sigmoid': lambda logits: tf.nn.softmax(tf.reshape(tf.sigmoid(logits), [-1, 2])),
    'Softmax': lambda logits: tf.argmax(tf.nn.softmax(tf.image.resize_bilinear(tf.nn.softmax(logits), [9, 9])), -1),
    'Mul': lambda logits: tf.transpose(0.1 * logits, [0, 3, 1, 2]),
    'Conv2D': lambda logits: tf.nn.conv2d(tf.identity(logits), tf.ones([1, 1, 2, 2]), [1, 1, 1, 1], 'SAME'),
    'AddV2': lambda logits: tf.raw_ops.AddV2(x=logits, y=tf.constant([0.0, 1.0])),
}


@pytest.mark.parametrize('layer, kind', [(layer, 'meta') for layer in sorted(FOLLOWING)] + [('Conv2D', 'frozen')])
def test_a_layer_behind_the_last_upsampling_is_refused_by_its_name(tmp_path, layer, kind):
    path = str(tmp_path / 'derived')
    write_derived(path, after_logits=FOLLOWING[layer], **{kind: True})
    # Constants of frozen graphs are no layers that are known.
    refusal = r'something else than .*, which goes through {} \(|could not be placed'.format(layer)
    with pytest.raises(ValueError, match=refusal):
        import_network(path, str(tmp_path / 'out'))


def trained_and_watched(logits):
    """What programs do with logits that is no layer: losses, some of them written out, gradients, scores, summaries."""
    labels = tf.placeholder(tf.float32, [None, None, None, 2])
    flat = tf.boolean_mask(tf.reshape(logits, [-1, 2]), tf.reshape(labels, [-1, 2])[:, 0] > 0)
    losses = [
        tf.nn.softmax_cross_entropy_with_logits_v2(logits=logits, labels=labels),
        tf.nn.sigmoid_cross_entropy_with_logits(logits=logits, labels=labels),
        -labels * tf.log(tf.nn.softmax(logits + 1e-4) + 1e-4),
        tf.square(tf.nn.elu(logits) - labels),
        tf.nn.sparse_softmax_cross_entropy_with_logits(logits=flat, labels=tf.zeros_like(flat[:, 0], tf.int32)),
    ]
    tf.gradients([tf.reduce_mean(loss) for loss in losses], logits)
    tf.summary.histogram('logits', logits)
    tf.summary.scalar('sparsity', tf.reduce_mean(tf.cast(tf.equal(logits, 0.0), tf.float32)))
    tf.summary.scalar('mean', tf.sqrt(tf.reduce_mean(tf.square(logits - tf.reduce_mean(logits)))))
    tf.summary.merge_all()
    tf.argmax(tf.sigmoid(logits), -1)
    return tf.argmax(tf.nn.softmax(tf.cast(tf.identity(logits), tf.float32)), axis=-1)


def test_losses_gradients_and_summaries_are_no_layers(tmp_path):
    path = str(tmp_path / 'trained')
    write_derived(path, after_logits=trained_and_watched, meta=True)
    assert import_network(path, str(tmp_path / 'out'))['proof']['own_graph_error'] < 1e-5


def queue():
    return tf.FIFOQueue(3, [tf.float32, tf.int32], [[2, 64, 96, 3], [2, 64, 96]]).dequeue()


# How many programs of TensorFlow 1 take images.
TAKING = {
    'a fixed size': dict(images=lambda: tf.placeholder(tf.float32, [2, 64, 96, 3])),
    'a number of images': dict(batch_of=lambda maps: tf.expand_dims(tf.placeholder(tf.int32, []), 0)),
    'a queue': dict(images=lambda: queue()[0]),
    'any shape': dict(images=lambda: tf.placeholder(tf.float32)),
}


@pytest.mark.parametrize('taking', sorted(TAKING))
def test_the_own_graph_is_run_however_it_takes_its_images(tmp_path, taking):
    path, out = str(tmp_path / 'plain'), str(tmp_path / 'out')
    write_derived(path, meta=True, **TAKING[taking])
    manifest = import_network(path, out)
    assert manifest['proof']['own_graph_error'] < 1e-5
    from_first = taking == 'a queue'
    assert ('of its own graph, from conv1_1 on: ' in describe(out, manifest)[-1]) == from_first


@pytest.mark.parametrize(
    'start, raw, prepared, proves',
    [
        ('image_input', 1, 2, True),
        ('image_input', 2, 1, False),
        ('image_input', 1, 1, False),  # they are the same, for example without a mean
        ('conv1_1', 1, 2, False),
        ('conv1_1', 2, 1, False),
    ],
)
def test_only_a_graph_that_subtracts_the_mean_proves_it(monkeypatch, start, raw, prepared, proves):
    expected = np.ones((4, 4, 2))
    found = OwnLogits([3 * expected, 3 * expected, raw * expected, prepared * expected], (4, 4), start)
    monkeypatch.setattr(write, 'run_own_graph', lambda path, asked: found)
    monkeypatch.setattr(write.forward, 'forward', lambda image, weights: expected)
    placement = SimpleNamespace(kernels={'upsample_image': 'a'}, biases={}, encoder={'conv1_1': ('b', 'c')})
    proof = write._compare_with_own_graph('file', placement, np.zeros, SimpleNamespace(alignment='same'))
    assert proof['own_graph_error'] == 0 and proof['own_graph_prepares'] == proves
    images = {'channel_order': 'BGR', 'mean': (1, 2, 3)}
    taken = '' if proves else ', taken for granted: weights do not tell it, --mean does'
    assert _images_line(images, proof, mean_given=False) == 'images: BGR minus 1 2 3' + taken
    assert _images_line(images, proof, mean_given=True) == 'images: BGR minus 1 2 3' + ('' if proves else ', as given')


def test_a_way_of_feeding_that_overflows_hides_no_other(monkeypatch):
    one = np.ones((4, 4, 2))
    found = OwnLogits([np.nan * one, one], (4, 4), 'image_input')
    monkeypatch.setattr(write, 'run_own_graph', lambda path, asked: found)
    monkeypatch.setattr(write.forward, 'forward', lambda image, weights: one)
    placement = SimpleNamespace(kernels={'upsample_image': 'a'}, biases={}, encoder={'conv1_1': ('b', 'c')})
    proof = write._compare_with_own_graph('file', placement, np.zeros, SimpleNamespace(alignment='same'))
    assert proof['own_graph_error'] == 0 and not proof['own_graph_prepares']


@pytest.mark.parametrize('wrong', [1.1, np.nan])
@pytest.mark.parametrize('place', [0, 1])
def test_every_image_of_the_proof_has_to_agree(place, wrong):
    expected = np.ones((2, 2, 2))
    answers = [expected, expected]
    answers[place] = wrong * expected
    with pytest.raises(ValueError, match='the written network differs'):
        write._prove(SimpleNamespace(path='net', expected=[expected] * 2, own_graph={}), lambda _: answers.pop(0))


@pytest.mark.parametrize('scales', [[0, 0, 0, 0], [-2, -2, -2, -2], [1, 2, 3, 4]])
def test_scales_that_are_no_positive_factor_go_into_the_kernels(scales):
    placement = SimpleNamespace(variant='8s', scales={'pool3': 'scale3', 'pool4': 'scale4'})
    read = {'scale3': np.float32(scales), 'scale4': np.float32([0.5] * 3)}.get
    kernels = {role: np.ones((1, 1, width, 2), np.float32) for role, width in (('score_pool3', 4), ('score_pool4', 3))}
    assert write._skip_scales('net', None, placement, read, kernels, None) == (1.0, 0.5)
    np.testing.assert_array_equal(kernels['score_pool3'][0, 0], np.float32([scales, scales]).T)
    np.testing.assert_array_equal(kernels['score_pool4'], 1)


def test_a_derived_program_that_takes_images_of_any_shape_is_refused(tmp_path):
    write_derived(str(tmp_path / 'elu'), tf.nn.elu, meta=True, **TAKING['any shape'])
    with pytest.raises(ValueError, match='predicts something else than an FCN-8s'):
        import_network(str(tmp_path / 'elu'), str(tmp_path / 'out'))


@pytest.mark.parametrize('argument', ['rate', 'keep_prob'])
def test_dropout_is_off_in_the_graph_whatever_its_placeholder_means(tmp_path, argument):
    path = str(tmp_path / 'graph')
    write_derived(
        path, lambda scores: tf.nn.dropout(scores, **{argument: tf.placeholder_with_default(0.5, [])}), meta=True
    )
    assert import_network(path, str(tmp_path / 'out'))['proof']['own_graph_error'] < 1e-5


def test_skip_scales_are_those_of_the_graph(tmp_path):
    network, path = structures.random_network('16s', num_classes=5), str(tmp_path / 'model.ckpt')
    expected = structures.write_tensorflow(path, network, structures.carnd_names, (1, 0.03), meta=True)
    with pytest.raises(ValueError, match='scales 1 0.01 are given, and the graph .* multiplies pool4 by 0.03. Leave'):
        import_network(path, str(tmp_path / 'out'), skip_scales=(1, 0.01))
    manifest = import_network(path, str(tmp_path / 'out'), skip_scales=(1, 0.03))
    assert manifest == dict(import_network(path, str(tmp_path / 'again')), proof=manifest['proof'])
    assert manifest['settings']['skip_scales'] == [1, 0.03]
    check(str(tmp_path / 'out'), expected)
    with open(path + '.meta', 'r+b') as file:
        file.truncate(1000)
    with pytest.raises(ValueError, match='model.ckpt.meta is damaged .*it does not parse as a MetaGraphDef'):
        import_network(path, str(tmp_path / 'none'))


def test_a_graph_that_does_something_else_with_a_pool_does_not_tell(tmp_path):
    network, path = structures.random_network('16s', num_classes=2), str(tmp_path / 'model.ckpt')
    structures.write_tensorflow(path, network, structures.carnd_names, (1, np.full([16], 0.5, np.float32)), meta=True)
    with pytest.raises(ValueError, match='give --skip-scales'):
        import_network(path, str(tmp_path / 'out'))


@pytest.mark.parametrize('variant, version', [('8s', 2), ('16s', 2), ('32s', 1)])
def test_tensorflow_fcn_has_the_same_logits(tmp_path, variant, version):
    network = structures.random_network(variant, num_classes=2)
    path = str(tmp_path / 'model.ckpt')
    expected = structures.write_tensorflow(path, network, structures.tensorflow_fcn_names, (1, 1), version=version)
    assert os.path.isfile(path) == (version == 1)
    manifest = import_network(path, str(tmp_path / 'out'))
    check(str(tmp_path / 'out'), expected)
    assert manifest['settings']['variant'] == variant and 'output_bias' not in manifest['settings']
    assert manifest['settings']['label_space']['name'] == 'kitti_road'


def test_the_npy_of_tensorflow_fcn_has_the_same_logits(tmp_path):
    network = structures.random_network(num_classes=5)
    names = structures.tensorflow_fcn_names
    expected = structures.write_tensorflow(str(tmp_path / 'x'), network, names, (1, 1))
    stored = {}
    for layer, pair in network.items():
        for part, value in zip(('kernel', 'bias'), pair):
            if names(layer, part):
                stored.setdefault(names(layer, part).split('/')[0], []).append(value)
    stored['fc6'][0] = stored['fc6'][0].reshape(-1, stored['fc6'][0].shape[-1])
    stored['fc7'][0] = stored['fc7'][0][0, 0]
    np.save(str(tmp_path / 'fcn.npy'), np.array(stored), allow_pickle=True)
    import_network(str(tmp_path / 'fcn.npy'), str(tmp_path / 'out'))
    check(str(tmp_path / 'out'), expected)


def test_a_carnd_network_asks_for_its_skip_scales_and_has_the_same_logits(tmp_path):
    network = structures.random_network(num_classes=2)
    path = str(tmp_path / 'model.ckpt')
    expected = structures.write_tensorflow(path, network, structures.carnd_names, (1e-4, 1e-2))
    with pytest.raises(ValueError, match='give --skip-scales 1 1 .* or --skip-scales 1e-4 1e-2'):
        import_network(path, str(tmp_path / 'out'))
    assert not os.path.exists(str(tmp_path / 'out'))
    import_network(path, str(tmp_path / 'out'), skip_scales=(1e-4, 1e-2))
    check(str(tmp_path / 'out'), expected)


def test_a_frozen_graph_has_the_same_logits_and_no_room_for_lies(tmp_path):
    network = structures.random_network(num_classes=20, divisor=64)
    path = str(tmp_path / 'frozen.pb')
    expected = structures.write_tensorflow(path, network, structures.reference_names, (1e-4, 1e-2), frozen=True)
    manifest = import_network(path, str(tmp_path / 'out'))
    check(str(tmp_path / 'out'), expected)
    assert manifest['source']['kind'] == 'reference 2017' and manifest['left_out'] == []
    graph_def = tf.GraphDef()
    with open(path, 'rb') as file:
        content = file.read()
    graph_def.ParseFromString(content)
    bias = next(node for node in graph_def.node if node.name == 'conv1_1/biases').attr['value'].tensor
    bias.tensor_content = b'123'
    torn = graph_def.SerializeToString()
    bias.tensor_content = b''
    bias.float_val.append(1.0)  # one value for all of them
    bias.tensor_shape.dim[0].size = 10**12
    placeholder = tf.NodeDef(name='image_input', op='Placeholder')
    for damage, message in (
        (graph_def.SerializeToString(), 'conv1_1/biases has the shape .1000000000000,., which is more than the file'),
        (torn, 'frozen.pb is damaged or truncated'),
        (content[:-3], 'does not parse as a GraphDef'),
        (tf.GraphDef(node=[placeholder]).SerializeToString(), 'is a graph without weights'),
    ):
        with open(path, 'wb') as file:
            file.write(damage)
        with pytest.raises(ValueError, match=message):
            import_network(path, str(tmp_path / 'none'))
    assert not os.path.exists(str(tmp_path / 'none'))


def test_layers_that_only_their_student_knows_are_asked_for_and_placed(tmp_path):
    network = structures.random_network(num_classes=2)
    own = {'conv2d_transpose': 'bigger', 'conv2d_transpose_1': 'again', 'conv2d_transpose_2': 'last'}

    def rename(name):
        return '/'.join(own.get(part, part) for part in name.split('/'))

    path = str(tmp_path / 'model.ckpt')
    expected = structures.write_tensorflow(path, network, structures.carnd_names, (1, 1), rename=rename)
    with pytest.raises(ValueError, match=r"'again/kernel' of the shape .* could not be placed .*--layer ROLE=LAYER"):
        import_network(path, str(tmp_path / 'out'), skip_scales=(1, 1))
    said = {'upsample_fc7': 'bigger', 'upsample_pool4': 'again', 'upsample_image': 'last'}
    import_network(path, str(tmp_path / 'out'), skip_scales=(1, 1), said=said)
    check(str(tmp_path / 'out'), expected)


@pytest.mark.parametrize(
    'names, said',
    [
        # Named for the pools: 4 leads to pool4, or comes from it. Who does not say which gets no network.
        (('up7', 'up4', 'final'), {'upsample_fc7': 'up7', 'upsample_pool4': 'up4'}),
        (('up_4', 'up_3', 'final'), {'upsample_fc7': 'up_4'}),
        (('up_1', 'up_2', 'final'), {}),
        (('conv2d_transpose_3', 'conv2d_transpose_4', 'conv2d_transpose_5'), {}),
    ],
)
def test_numbers_in_names_are_an_order_only_where_they_count(tmp_path, names, said):
    network = structures.random_network(num_classes=2)
    own = dict(zip(('conv2d_transpose', 'conv2d_transpose_1', 'conv2d_transpose_2'), names))

    def rename(name):
        return '/'.join(own.get(part, part) for part in name.split('/'))

    path = str(tmp_path / 'model.ckpt')
    expected = structures.write_tensorflow(path, network, structures.carnd_names, (1, 1), rename=rename)
    if said:
        for known in ({}, {'upsample_image': 'final'}):
            with pytest.raises(ValueError, match="'up_?[34]/kernel' of the shape .* could not be placed"):
                import_network(path, str(tmp_path / 'out'), skip_scales=(1, 1), said=known)
    import_network(path, str(tmp_path / 'out'), skip_scales=(1, 1), said=said)
    check(str(tmp_path / 'out'), expected)


def shapes_named_twice(names):
    """The shapes of tensorflow-fcn's network, and for some tensors those of a second one that is not used."""
    shapes = {
        structures.tensorflow_fcn_names(layer, part): value.shape
        for layer, pair in structures.random_network(num_classes=2, divisor=64).items()
        for part, value in zip(('kernel', 'bias'), pair)
    }
    shapes.pop(None)
    return {**shapes, **{unused: shapes[used] for unused, used in names.items()}}


TWICE = {
    'a layer': {'old/score_fr/weights': 'score_fr/weights', 'old/score_fr/biases': 'score_fr/biases'},
    'a tensor': {'score_fr/kernel': 'score_fr/weights', 'upscore2/weights': 'upscore2/up_filter'},
    'of the encoder': {'old/conv1_1/filter': 'conv1_1/filter', 'old/conv1_1/biases': 'conv1_1/biases'},
}


@pytest.mark.parametrize('what, left_out', [('a layer', ['old/']), ('a tensor', None), ('of the encoder', ['old/'])])
def test_of_two_layers_for_one_place_the_other_is_left_out(what, left_out):
    shapes, unused = shapes_named_twice(TWICE[what]), sorted(TWICE[what])
    with pytest.raises(ValueError, match='would both be kernel of .*Leave the one .* with --leave-out NAME'):
        place('file', shapes, channels_first=False)
    placement = place('file', shapes, False, leave_out=left_out or unused)
    assert placement.left_out == unused
    assert placement == place('file', shapes_named_twice({}), False)._replace(left_out=unused)


# The decoder of KittiSeg's later code, beside that of tensorflow-fcn, which is then not used.
KITTISEG = {
    'score_fr/kernel': 'score_fr/weights',
    'score_fr/bias': 'score_fr/biases',
    'score_feed2/kernel': 'score_pool4/weights',
    'score_feed2/bias': 'score_pool4/biases',
    'score_feed4/kernel': 'score_pool3/weights',
    'score_feed4/bias': 'score_pool3/biases',
    'upscore2/weights': 'upscore2/up_filter',
    'upscore4/weights': 'upscore4/up_filter',
    'upscore32/weights': 'upscore32/up_filter',
}


def test_the_decoder_that_kittiseg_does_not_use_is_left_out_as_the_docs_say(root_dir):
    with open(os.path.join(root_dir, 'docs', 'trained-networks.md'), encoding='utf-8') as file:
        command = file.read().split('the first is not used: `')[1].split('`')[0].split()
    placement = place('file', shapes_named_twice(KITTISEG), False, leave_out=command[1::2])
    assert sorted(placement.left_out) == sorted(KITTISEG.values())
    assert set(KITTISEG) <= set(placement.used)


def test_a_role_that_was_said_is_no_other_layers():
    shapes, unused = shapes_named_twice(TWICE['a layer']), sorted(TWICE['a layer'])
    said = {'score_fc7': 'old/score_fr'}
    with pytest.raises(ValueError, match="'score_fr/.*' of the shape .* could not be placed .* --leave-out NAME"):
        place('file', shapes, False, said)
    assert place('file', shapes, False, said, ['score_fr/']).kernels['score_fc7'] == unused[1]


# What Caffe and PyTorch wrote


@pytest.mark.parametrize('variant, old', [('8s', False), ('16s', True), ('32s', False)])
def test_a_caffemodel_has_the_logits_of_its_net(tmp_path, variant, old):
    pytest.importorskip('torch')
    network = structures.random_network(variant, num_classes=21)
    path = str(tmp_path / 'fcn.caffemodel')
    # Berkeley's own have no name.
    structures.write_caffemodel(path, structures.channels_first(network, variant), old, b'FCN' if old else b'')
    manifest = import_network(path, str(tmp_path / 'out'))
    check(str(tmp_path / 'out'), structures.torch_logits(network, variant, (1, 1)))
    assert manifest['settings']['label_space']['name'] == 'voc'
    assert manifest['settings']['alignment'] == 'caffe' and manifest['settings']['variant'] == variant


def test_the_scales_of_the_at_once_caffemodel_are_read(tmp_path):
    pytest.importorskip('torch')
    network = structures.random_network(num_classes=21)
    layers = structures.channels_first(network, '8s')
    layers['scale_pool4'] = [np.full(512 // 32, 0.01, np.float32)]
    layers['scale_pool3'] = [np.full(256 // 32, 0.0001, np.float32)]
    structures.write_caffemodel(str(tmp_path / 'fcn.caffemodel'), layers)
    manifest = import_network(str(tmp_path / 'fcn.caffemodel'), str(tmp_path / 'out'))
    np.testing.assert_allclose(manifest['settings']['skip_scales'], (1e-4, 1e-2), rtol=1e-6)
    check(str(tmp_path / 'out'), structures.torch_logits(network, '8s', (1e-4, 1e-2)))


def test_of_sift_flow_the_semantic_net_is_taken_and_the_other_named(tmp_path):
    pytest.importorskip('torch')
    network = structures.random_network('32s', num_classes=33)
    layers = structures.channels_first(network, '32s')
    for name in ('score_fr', 'upscore'):
        layers[name + '_sem'] = layers.pop(name)
        layers[name + '_geo'] = [array[..., :1] for array in layers[name + '_sem']]
    structures.write_caffemodel(str(tmp_path / 'fcn.caffemodel'), layers)
    manifest = import_network(str(tmp_path / 'fcn.caffemodel'), str(tmp_path / 'out'))
    assert manifest['left_out'] == ['score_fr_geo/0', 'score_fr_geo/1', 'upscore_geo/0']
    check(str(tmp_path / 'out'), structures.torch_logits(network, '32s', (1, 1), structures.SIFT_FLOW_MEAN))
    assert 'images: BGR minus 114.578 115.294 108.353, taken for granted' in '\n'.join(describe('out', manifest))


HHA = (132.431, 94.076, 118.477)


@pytest.mark.parametrize(
    'classes, mean, order, expected',
    [
        (21, None, None, ('BGR', tuple(structures.BERKELEY_MEAN))),
        (33, None, None, ('BGR', tuple(structures.SIFT_FLOW_MEAN))),
        (33, [1, 2, 3], None, ('BGR', (1, 2, 3))),
        (40, None, None, 'Give --mean 116.19 97.203 92.318 for colours, --mean 132.431 94.076 118.477 --channel-order'),
        (40, HHA, 'RGB', ('RGB', HHA)),
        (40, HHA, 'HHA', "channel_order is 'HHA'; choose from BGR, RGB"),
        (40, None, 'RGB', "channel_order is 'RGB', and no mean is given"),
        (40, [1, 2], None, 'mean is .1, 2.; it has to be three numbers from 0 to 255'),
        (40, [1, 2, float('nan')], None, 'three numbers from 0 to 255'),
    ],
)
def test_a_network_gets_the_mean_of_its_images(tmp_path, monkeypatch, classes, mean, order, expected):
    """Of Berkeley's nets, those of SIFT Flow and NYUDv2 subtract others than those of VOC."""
    structures.write_caffemodel(
        str(tmp_path / 'net'), structures.channels_first(structures.random_network('32s', classes, 64), '32s')
    )

    def take(kind, *arguments):
        raise ZeroDivisionError(kind.preprocessing)

    monkeypatch.setattr('fcn8s.importing.write._take', take)
    with pytest.raises(ValueError if isinstance(expected, str) else ZeroDivisionError) as caught:
        import_network(str(tmp_path / 'net'), str(tmp_path / 'out'), mean=mean, channel_order=order)
    if isinstance(expected, str):
        assert caught.match(expected)
    else:
        assert caught.value.args[0][:2] == expected


def torch_state(torch, network):
    return {
        '{}.{}'.format(name, part): torch.tensor(array)
        for name, arrays in structures.channels_first(network, '8s').items()
        for part, array in zip(('weight', 'bias'), arrays)
    }


@pytest.mark.parametrize('zipped', [True, False])
def test_torchfcn_has_the_logits_of_its_net(tmp_path, zipped):
    torch = pytest.importorskip('torch')
    network = structures.random_network(num_classes=21)
    state = torch_state(torch, network)
    path = str(tmp_path / 'fcn8s.pth')
    checkpoint = {'epoch': 3, 'model_state_dict': state, 'best_mean_iu': np.float64(0.5)}
    torch.save(checkpoint if zipped else state, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match='FCN8sAtOnce'):
        import_network(path, str(tmp_path / 'out'))
    import_network(path, str(tmp_path / 'out'), skip_scales=(1e-4, 1e-2))
    check(str(tmp_path / 'out'), structures.torch_logits(network, '8s', (1e-4, 1e-2)))


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize(
    'pack',
    [
        lambda state: {'model': state, 'optimizer': {'state': {}, 'param_groups': [{'lr': 0.1}]}, 'epoch': 3},
        lambda state: {'net': {'module.' + name: tensor for name, tensor in state.items()}, 'acc': 0.5},
        lambda state: {'model': {'state_dict': {name: tensor.bfloat16() for name, tensor in state.items()}}},
    ],
)
def test_weights_are_found_wherever_a_checkpoint_of_pytorch_keeps_them(tmp_path, pack, zipped):
    torch = pytest.importorskip('torch')
    network = {
        layer: tuple(torch.tensor(array).bfloat16().float().numpy() for array in pair)
        for layer, pair in structures.random_network(num_classes=3).items()
    }
    path = str(tmp_path / 'fcn8s.pth')
    torch.save(pack(torch_state(torch, network)), path, _use_new_zipfile_serialization=zipped)
    import_network(path, str(tmp_path / 'out'), skip_scales=(1, 1))
    check(str(tmp_path / 'out'), structures.torch_logits(network, '8s', (1, 1)))


def test_safetensors_are_read_and_a_whole_network_of_pytorch_is_refused_with_the_remedy(tmp_path):
    torch = pytest.importorskip('torch')
    network = structures.random_network(num_classes=3)
    state = torch_state(torch, network)
    path, offset, header = str(tmp_path / 'fcn8s.safetensors'), 0, {}
    for name, tensor in state.items():
        end = offset + 4 * tensor.numel()
        header[name], offset = {'dtype': 'F32', 'shape': list(tensor.shape), 'data_offsets': [offset, end]}, end
    text = json.dumps(header).encode()
    with open(path, 'wb') as file:
        file.write(len(text).to_bytes(8, 'little') + text + b''.join(t.numpy().tobytes() for t in state.values()))
    import_network(path, str(tmp_path / 'out'), skip_scales=(1, 1))
    check(str(tmp_path / 'out'), structures.torch_logits(network, '8s', (1, 1)))
    torch.save(torch.nn.Conv2d(1, 1, 1), path)
    with pytest.raises(ValueError, match=r'Conv2d, which .* torch.save\(network.state_dict\(\), path\)'):
        import_network(path, str(tmp_path / 'none'))


# What becomes of them


@pytest.fixture(scope='module')
def caffemodel(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('caffe') / 'fcn.caffemodel')
    structures.write_caffemodel(path, structures.channels_first(structures.random_network(num_classes=21), '8s'))
    return path


@pytest.fixture(scope='module')
def imported(caffemodel, tmp_path_factory):
    out = str(tmp_path_factory.mktemp('imported') / 'out')
    assert main(['import-fcn8s', caffemodel, out]) == 0
    return out


def test_what_is_left_out_is_printed(tmp_path, capsys):
    path, network = str(tmp_path / 'model.ckpt'), structures.random_network(num_classes=2)
    structures.write_tensorflow(path, network, structures.carnd_names, (1, 1))
    assert main(['import-fcn8s', path, str(tmp_path / 'out'), '--skip-scales', '1', '1']) == 0
    left_out = 'conv1_1/filter/adam_optimizer, conv1_1/filter/adam_optimizer_1, optimizer/global_step'
    assert 'tensors: 42 placed, each once; 3 left out: {}\n'.format(left_out) in capsys.readouterr().out


def test_the_proof_is_printed_and_kept(caffemodel, tmp_path, capsys):
    assert main(['import-fcn8s', caffemodel, str(tmp_path / 'out')]) == 0
    printed = capsys.readouterr().out
    assert '39 placed, each once; 0 left out\n' in printed and 'SHA-256' in printed
    assert 'FCN-8s, 21 classes (voc), skip scales 1 1, maps aligned as in Caffe' in printed
    assert 'images: BGR minus 104.007 116.6688 122.6789, taken for granted' in printed
    with open(str(tmp_path / 'out' / 'import.json')) as file:
        proof = json.load(file)['proof']
    assert max(proof['relative_errors']) < proof['tolerance'] == 1e-4


def test_an_imported_network_trains_is_saved_and_opens_again(imported, tmp_path):
    with FCN8s(model_load_dir=imported) as network:
        history = network.train(Stream(), 2, 2, constant(1e-4), run_dir=str(tmp_path / 'run'))
        assert history[1]['training_loss'] < history[0]['training_loss']
        expected = network.predict(IMAGES, argmax=False)
    with FCN8s(model_load_dir=str(tmp_path / 'run')) as network:
        np.testing.assert_array_equal(network.predict(IMAGES, argmax=False), expected)
        assert network.settings.alignment == 'caffe'
    with FCN8s(fine_tune_from=imported, num_classes=4) as network:
        assert network.settings.alignment == 'caffe'
        assert network.predict(IMAGES[:, :1, :7]).shape == (2, 1, 7)


def test_an_imported_network_is_evaluated(imported):
    """Every valid pixel counts once, where the predicted class says."""
    with FCN8s(model_load_dir=imported) as network:
        classes, ignored = network.num_classes, network.label_space.ignore_id
        expected = np.zeros([classes, classes], np.int64)
        batches = Stream()
        for images, labels in (next(batches), next(batches)):
            for truth, predicted in zip(labels.ravel(), network.predict(images).ravel()):
                if truth != ignored:
                    expected[truth, predicted] += 1
        np.testing.assert_array_equal(network.evaluate(Stream(), 2)['confusion_matrix'], expected)


def test_an_output_bias_travels(tmp_path):
    path = str(tmp_path / 'trained')
    network = structures.random_network(num_classes=20)
    expected = structures.write_tensorflow(path, network, structures.reference_names, (1e-4, 1e-2))
    import_network(path, str(tmp_path / 'out'))
    with FCN8s(model_load_dir=str(tmp_path / 'out')) as network:
        saved = network.save(str(tmp_path), name='saved', force_save=True)
    check(saved, expected)
    with FCN8s(fine_tune_from=str(tmp_path / 'out')) as network:
        logits = network.sess.run(network.fcn8s_output, {network.images_uint8: IMAGES})
    np.testing.assert_allclose(logits, expected, atol=1e-4)


# What is refused


def test_opening_such_a_file_says_which_command_to_type(tmp_path, tiny_encoder, caffemodel):
    path = str(tmp_path / 'trained')
    structures.write_tensorflow(
        path, structures.random_network(num_classes=3, divisor=16), structures.reference_names, (1e-4, 1e-2), True
    )
    for opens in (
        lambda: FCN8s(model_load_dir=path),
        lambda: FCN8s(vgg16_dir=tiny_encoder, num_classes=3, variables_load_dir=path),
        lambda: FCN8s(model_load_dir=caffemodel),
        lambda: open_model(path),
        lambda: open_model(caffemodel),
    ):
        with pytest.raises(ValueError, match='fcn8s import-fcn8s .* OUT'):
            opens()


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda layers: layers.pop('conv3_2'), 'it has no kernel and no bias of conv3_2'),
        (lambda layers: layers.update(extra=[np.zeros((3, 3), np.float32)]), "'extra/0' of the shape .* not be placed"),
        (lambda layers: layers.pop('upscore2'), 'but not upsample_fc7, which an FCN-8s needs'),
        (lambda layers: layers['score_fr'].pop(1), None),
        (lambda layers: layers['conv1_1'][0].fill(np.nan), 'holds NaN'),
        (lambda layers: layers['conv1_1'][0].fill(np.nan), 'infinite weights.$'),
        (lambda layers: layers['upscore8'][0].fill(np.inf), 'holds NaN or infinite'),
        (lambda layers: layers['score_fr'].__setitem__(0, layers['score_fr'][0][:1]), 'scores 1 class, and a netw'),
        (lambda layers: layers.update(upscore8=[np.zeros((21, 21, 8, 8), np.float32)]), "'upscore8/0' is .8, 8, 21"),
        (lambda layers: layers.update(fc6=[np.zeros((9, 9, 7, 7), np.float32), np.zeros(9, np.float32)]), 'no VGG-16'),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    layers = structures.channels_first(structures.random_network(num_classes=21), '8s')
    change(layers)
    path, out = str(tmp_path / 'fcn.caffemodel'), str(tmp_path / 'out')
    structures.write_caffemodel(path, layers)
    if message is None:  # a score layer without a bias is one whose bias is zero
        import_network(path, out)
        return
    with pytest.raises(ValueError, match=message):
        import_network(path, out)
    assert not os.path.exists(out)


def test_an_encoder_is_told_from_a_network(tmp_path, tiny_encoder):
    with pytest.raises(ValueError, match='has an encoder but not score_fc7, upsample_image'):
        import_network(tiny_encoder, str(tmp_path / 'out'))
    with pytest.raises(ValueError, match=r'tag of an encoder: .* FCN8s\(vgg16_dir=.*, num_classes=...\)'):
        FCN8s(model_load_dir=tiny_encoder)


def test_values_in_pieces_are_refused(tmp_path):
    value = structures.varint(5 << 3 | 5) + b'\0\0\0\0'
    blob = structures.field(7, structures.field(1, structures.varint(3))) + 3 * value
    layer = structures.field(100, structures.field(1, b'x') + structures.field(7, blob))
    path = str(tmp_path / 'fcn.caffemodel')
    with open(path, 'wb') as file:
        file.write(structures.field(1, b'FCN') + layer)
    with pytest.raises(ValueError, match='the values of x/0 are not one packed field'):
        sources.read(path, lambda kind, path, shapes, read: [read(name) for name in shapes])


def test_damaged_caffemodels_are_an_error_in_one_line(tmp_path, caffemodel):
    with open(caffemodel, 'rb') as file:
        whole = file.read()
    rng = np.random.RandomState(0)
    path = str(tmp_path / 'fcn.caffemodel')
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(3):
            content[int(len(content) * rng.rand() ** 4)] = rng.randint(256)
        with open(path, 'wb') as file:
            file.write(content[: rng.randint(1, len(content))] if rng.rand() < 0.5 else content)
        try:
            sources.read(path, lambda kind, path, shapes, read: [read(name) for name in shapes])
        except ValueError as error:
            assert str(error)


def test_options_that_say_nothing_about_the_file_are_refused(tmp_path):
    path = str(tmp_path / 'fcn.caffemodel')
    structures.write_caffemodel(path, structures.channels_first(structures.random_network('32s', num_classes=2), '32s'))
    for options, message in (
        (dict(skip_scales=(1, 1)), 'fcn.caffemodel is an FCN-32s, which has no skips to scale. Leave --skip-scales'),
        (
            dict(said={'score_fc7': 'scores'}),
            '--layer score_fc7=scores names nothing that is there. The tensors are co',
        ),
        (dict(leave_out=['upscore', 'fc9']), '--leave-out fc9 names nothing that is there'),
    ):
        with pytest.raises(ValueError, match=message):
            import_network(path, str(tmp_path / 'out'), **options)


def test_other_files_and_options_are_refused(tmp_path, small_model, capsys):
    (tmp_path / 'x').write_bytes(b'hello')
    (tmp_path / 'page').write_bytes(b'<!DOCTYPE html>')
    for arguments, message in (
        ([str(tmp_path / 'x')], 'no trained FCN that this program knows'),
        ([str(tmp_path / 'page')], '(a web page, as a failed download leaves)'),
        ([str(tmp_path / 'nothing')], 'there is no network at'),
        ([small_model], 'is a saved FCN-8s of this library already'),
        ([str(tmp_path / 'x'), '--layer', 'score'], 'it has to be ROLE=LAYER'),
        ([str(tmp_path / 'x'), '--layer', 'score=a'], "there is no role 'score'"),
        ([str(tmp_path / 'x'), '--layer', 'up=a', '--layer', 'up=b'], '--layer names a and b for up. Leave one'),
        ([str(tmp_path / 'x'), '--leave-out', ''], "--leave-out is '', with which all names begin"),
        ([str(tmp_path / 'x'), '--label-space', 'moon'], "--label-space is 'moon'; choose one of"),
    ):
        assert main(['import-fcn8s', arguments[0], str(tmp_path / 'out')] + arguments[1:]) == 2
        assert message in capsys.readouterr().err.replace('\n', ' ')


@pytest.mark.slow
def test_a_network_of_full_width_has_the_logits_of_its_net(tmp_path):
    pytest.importorskip('torch')
    network = structures.random_network(num_classes=21, divisor=1)
    path = str(tmp_path / 'fcn.caffemodel')
    structures.write_caffemodel(path, structures.channels_first(network, '8s'))
    import_network(path, str(tmp_path / 'out'))
    check(str(tmp_path / 'out'), structures.torch_logits(network, '8s', (1, 1)))


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['onnx', 'openvino'])
def test_an_imported_network_is_exported_with_a_certificate(imported, tmp_path, kind):
    if TF_VERSION < (2, 0):
        pytest.skip('exports are made on TensorFlow 2')
    for package in {'onnx': ['tf2onnx', 'onnxruntime'], 'openvino': ['openvino']}.get(kind, []):
        pytest.importorskip(package)
    assert main(['export', imported, str(tmp_path / 'out'), '--format', kind]) == 0
    assert os.path.isfile(str(tmp_path / 'out' / 'certificate.json'))


def test_names_are_numbered_as_keras_numbers_them():
    assert list(map(_number, ('a/up_3', 'up', '4', 'up__5', 'up_'))) == [
        ('a/up', 3),
        ('up', 0),
        ('', 4),
        ('up_', 5),
        ('up', 0),
    ]
    assert _number('1' * 10**6 + '/up_2') == ('1' * 10**6 + '/up', 2), 'such a name must not be searched for years'
