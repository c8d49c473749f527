"""Trained FCNs of other programs, as those programs write them, with random weights and narrow layers."""

import struct
from collections import OrderedDict

import numpy as np

from fcn8s.backend import tf

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
IMAGES = np.random.RandomState(5).randint(0, 256, (2, 64, 96, 3)).astype(np.uint8)
TENSORFLOW_MEAN = np.array([103.939, 116.779, 123.68])
BERKELEY_MEAN = np.array([104.00698793, 116.66876762, 122.67891434])
SIFT_FLOW_MEAN = np.array([114.578, 115.294, 108.353])
FINAL = {'8s': 8, '16s': 16, '32s': 32}


def random_network(variant='8s', num_classes=3, divisor=32, seed=0):
    """Layer -> (kernel [h, w, in, out], bias); upsamplings [h, w, out, in]. Logits of the order of one."""
    rng = np.random.RandomState(seed)
    layers, inputs = OrderedDict(), 3
    for block, widths in enumerate(BLOCKS, 1):
        for index, width in enumerate(widths, 1):
            layers['conv{}_{}'.format(block, index)] = (3, 3, inputs, width // divisor)
            inputs = width // divisor
    layers['fc6'] = (7, 7, inputs, 4096 // divisor)
    layers['fc7'] = (1, 1, 4096 // divisor, 4096 // divisor)
    layers['score_fc7'] = (1, 1, 4096 // divisor, num_classes)
    if variant in ('8s', '16s'):
        layers['score_pool4'] = (1, 1, 512 // divisor, num_classes)
        layers['upsample_fc7'] = (4, 4, num_classes, num_classes)
    if variant == '8s':
        layers['score_pool3'] = (1, 1, 256 // divisor, num_classes)
        layers['upsample_pool4'] = (4, 4, num_classes, num_classes)
    layers['upsample_image'] = (2 * FINAL[variant], 2 * FINAL[variant], num_classes, num_classes)
    network = OrderedDict()
    for name, shape in layers.items():
        fan = 4 * shape[3] if name.startswith('upsample') else np.prod(shape[:3])
        kernel = rng.standard_normal(shape) * np.sqrt(2.0 / fan)
        outputs = shape[2] if name.startswith('upsample') else shape[3]
        network[name] = (kernel.astype(np.float32), rng.uniform(-1, 1, outputs).astype(np.float32))
    return network


# TensorFlow

REFERENCE = {
    'score_fc7': 'fc7_1x1',
    'score_pool4': 'pool4_1x1',
    'score_pool3': 'pool3_1x1',
    'upsample_fc7': 'fc7_conv2d_trans',
    'upsample_pool4': 'fc7_pool4_conv2d_trans',
    'upsample_image': 'fc7_pool4_pool3_conv2d_trans',
}
TENSORFLOW_FCN = {
    'score_fc7': 'score_fr',
    'score_pool4': 'score_pool4',
    'score_pool3': 'score_pool3',
    'upsample_fc7': 'upscore2',
    'upsample_pool4': 'upscore4',
    'upsample_image': 'upscore32',
}
CARND = {
    'score_fc7': 'conv2d',
    'score_pool4': 'conv2d_1',
    'score_pool3': 'conv2d_2',
    'upsample_fc7': 'conv2d_transpose',
    'upsample_pool4': 'conv2d_transpose_1',
    'upsample_image': 'conv2d_transpose_2',
}


def encoder_part(layer, part):
    if part == 'bias':
        return layer + '/biases'
    return layer + ('/weights' if layer.startswith('fc') else '/filter')


def reference_names(layer, part):
    return '{}/{}'.format(REFERENCE[layer], part) if layer in REFERENCE else encoder_part(layer, part)


def carnd_names(layer, part):
    return '{}/{}'.format(CARND[layer], part) if layer in CARND else encoder_part(layer, part)


def tensorflow_fcn_names(layer, part):
    if layer not in TENSORFLOW_FCN:
        return encoder_part(layer, part)
    if layer.startswith('upsample'):
        return TENSORFLOW_FCN[layer] + '/up_filter' if part == 'kernel' else None
    return '{}/{}'.format(TENSORFLOW_FCN[layer], {'kernel': 'weights', 'bias': 'biases'}[part])


def any_images():
    return tf.placeholder(tf.float32, [None, None, None, 3], name='image_input')


def tensorflow_graph(
    network,
    names,
    scales,
    after_pool4=lambda scores: scores,
    after_logits=lambda logits: logits,
    images=any_images,
    batch_of=lambda maps: tf.shape(maps)[:1],
):
    """The graph of an FCN with SAME padding; (image placeholder, logits).

    after_pool4, after_logits: what a derived program does with the scores of pool4, and with the last upsampling.
    images: gives the images. batch_of: gives their number, [1], where a map is upsampled to the size of others.
    """

    def variable(layer, part, value):
        name = names(layer, part)
        if name is None:
            return 0.0
        return tf.get_variable(name, value.shape, initializer=tf.zeros_initializer(), use_resource=False)

    def convolve(features, layer):
        kernel, bias = (variable(layer, part, value) for part, value in zip(('kernel', 'bias'), network[layer]))
        return tf.nn.conv2d(features, kernel, [1, 1, 1, 1], 'SAME') + bias

    def upsample(scores, layer, like, stride):
        kernel, bias = (variable(layer, part, value) for part, value in zip(('kernel', 'bias'), network[layer]))
        shape = tf.concat([batch_of(like), tf.shape(like)[1:3], [network[layer][0].shape[2]]], 0)
        return tf.nn.conv2d_transpose(scores, kernel, shape, [1, stride, stride, 1], 'SAME') + bias

    image = images()
    tf.placeholder(tf.float32, name='keep_prob')
    red, green, blue = tf.split(image, 3, axis=3)
    features = tf.concat([c - mean for c, mean in zip((blue, green, red), TENSORFLOW_MEAN)], axis=3)
    pools = {}
    for block, widths in enumerate(BLOCKS, 1):
        for index in range(1, len(widths) + 1):
            features = tf.nn.relu(convolve(features, 'conv{}_{}'.format(block, index)))
        features = pools[block] = tf.nn.max_pool(features, [1, 2, 2, 1], [1, 2, 2, 1], 'SAME')
    for layer in ('fc6', 'fc7'):
        features = tf.nn.relu(convolve(features, layer))
    # A program that scales nothing has no multiplication.
    scaled = {pool: pools[pool] if np.all(scale == 1) else pools[pool] * scale for pool, scale in zip((3, 4), scales)}
    scores = convolve(features, 'score_fc7')
    variant = '32s'
    if 'score_pool4' in network:
        variant, skip = '16s', after_pool4(convolve(scaled[4], 'score_pool4'))
        scores = upsample(scores, 'upsample_fc7', skip, 2) + skip
    if 'score_pool3' in network:
        variant, skip = '8s', convolve(scaled[3], 'score_pool3')
        scores = upsample(scores, 'upsample_pool4', skip, 2) + skip
    return image, tf.identity(after_logits(upsample(scores, 'upsample_image', image, FINAL[variant])), 'logits')


def write_tensorflow(
    path,
    network,
    names,
    scales,
    saved_model=False,
    rename=lambda name: name,
    version=2,
    frozen=False,
    meta=False,
    tags=('default',),
    **program,
):
    """Writes a checkpoint (`meta`: with its graph), a SavedModel or a frozen graph of an FCN with the slots of Adam.

    program: of `tensorflow_graph`. Returns its logits on IMAGES.
    """
    with tf.Graph().as_default(), tf.Session() as session:
        image, logits = tensorflow_graph(network, names, scales, **program)
        weights = tf.global_variables()
        for suffix in ('adam_optimizer', 'adam_optimizer_1'):
            tf.get_variable('conv1_1/filter/' + suffix, [2], initializer=tf.zeros_initializer(), use_resource=False)
        tf.get_variable('optimizer/global_step', [], initializer=tf.zeros_initializer(), use_resource=False)
        session.run(tf.global_variables_initializer())
        by_name = {v.op.name: v for v in weights}
        for layer, pair in network.items():
            for part, value in zip(('kernel', 'bias'), pair):
                if names(layer, part) is not None:
                    by_name[names(layer, part)].load(value, session)
        if frozen:
            graph_def = tf.get_default_graph().as_graph_def()
            constants = tf.graph_util.convert_variables_to_constants(session, graph_def, ['logits'])
            with open(path, 'wb') as file:
                file.write(constants.SerializeToString())
        elif saved_model:
            builder = tf.saved_model.Builder(path)
            builder.add_meta_graph_and_variables(session, list(tags))
            builder.save()
        else:
            stored = {rename(v.op.name): v for v in tf.global_variables()}
            saver = tf.train.Saver(stored, write_version=version)  # of TensorFlow 0.12 and before: format 1
            saver.save(session, path, write_meta_graph=meta, write_state=False)
        sizes = [op.outputs[0] for op in tf.get_default_graph().get_operations() if op.type == 'Placeholder']
        feed = {tensor: len(IMAGES) for tensor in sizes if tensor.dtype == tf.int32}
        return session.run(logits, {image: IMAGES, **feed})


# Caffe and torchfcn

CALLED = {
    'score_fc7': 'score_fr',
    'score_pool4': 'score_pool4',
    'score_pool3': 'score_pool3',
    'upsample_fc7': 'upscore2',
    'upsample_pool4': 'upscore_pool4',
}


def berkeley_name(layer, variant):
    if layer == 'upsample_image':
        return {'8s': 'upscore8', '16s': 'upscore16', '32s': 'upscore'}[variant]
    return CALLED.get(layer, layer)


def channels_first(network, variant):
    """Name -> [kernel, bias] with kernels [out, in, h, w] (upsamplings [in, out, h, w], without biases)."""
    stored = OrderedDict()
    for layer, (kernel, bias) in network.items():
        arrays = [np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))]
        stored[berkeley_name(layer, variant)] = arrays if layer.startswith('upsample') else arrays + [bias]
    return stored


def varint(number):
    data = b''
    while number > 127:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array, old=False):
    """A BlobProto; `old` with num, channels, height, width."""
    values = field(5, np.asarray(array, '<f4').tobytes())
    if old:
        shape = (1,) * (4 - array.ndim) + array.shape
        return b''.join(varint(index << 3) + varint(length) for index, length in enumerate(shape, 1)) + values
    return field(7, field(1, b''.join(varint(length) for length in array.shape))) + values


def write_caffemodel(path, layers, old=False, net=b'FCN'):
    """layers: name -> arrays. `old`: as Caffe wrote it in 2014, with V1LayerParameter."""
    content = field(1, net)
    for name, arrays in layers.items():
        blobs = b''.join(field(6 if old else 7, blob(array, old)) for array in arrays)
        content += field(2 if old else 100, field(4 if old else 1, name.encode()) + blobs)
    # A field that is no weight, and one of another kind.
    content += field(3, b'data') + varint(5 << 3) + varint(1) + varint(6 << 3 | 5) + struct.pack('<f', 1.5)
    with open(path, 'wb') as file:
        file.write(content)


def torch_logits(network, variant, scales, mean=BERKELEY_MEAN):
    """The logits on IMAGES of the net that torchfcn and Berkeley describe, [N, H, W, C], in PyTorch."""
    import torch
    from torch.nn import functional

    arrays = {
        layer: (torch.tensor(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))), torch.tensor(bias))
        for layer, (kernel, bias) in network.items()
    }
    bgr = IMAGES[..., ::-1].astype(np.float64) - mean
    image = torch.tensor(bgr.transpose(0, 3, 1, 2).astype(np.float32))
    features, pools = image, {}
    for block, widths in enumerate(BLOCKS, 1):
        for index in range(1, len(widths) + 1):
            margin = 100 if (block, index) == (1, 1) else 1
            weight, bias = arrays['conv{}_{}'.format(block, index)]
            features = functional.relu(functional.conv2d(features, weight, bias, padding=margin))
        features = pools[block] = functional.max_pool2d(features, 2, 2, ceil_mode=True)
    for layer in ('fc6', 'fc7'):
        features = functional.relu(functional.conv2d(features, *arrays[layer]))
    scores = functional.conv2d(features, *arrays['score_fc7'])
    steps = (('score_pool4', 'upsample_fc7', 4, 5, 1), ('score_pool3', 'upsample_pool4', 3, 9, 0))
    for score, upsampling, block, offset, scale in steps[: {'8s': 2, '16s': 1, '32s': 0}[variant]]:
        scores = functional.conv_transpose2d(scores, arrays[upsampling][0], stride=2)
        skip = functional.conv2d(pools[block] * scales[scale], *arrays[score])
        scores = scores + skip[:, :, offset : offset + scores.shape[2], offset : offset + scores.shape[3]]
    logits = functional.conv_transpose2d(scores, arrays['upsample_image'][0], stride=FINAL[variant])
    offset = {'8s': 31, '16s': 27, '32s': 19}[variant]
    height, width = IMAGES.shape[1:3]
    return logits[:, :, offset : offset + height, offset : offset + width].numpy().transpose(0, 2, 3, 1)
