"""FCN-8s as bare TensorFlow ops, nothing around it: what bench_prediction.py and bench_training.py measure against.

    python benchmarks/bare_tensorflow.py ENCODER HEIGHT WIDTH BATCH [--precision bfloat16] [--train]

Predicts with all variables frozen to constants, or takes Adam steps on the cross-entropy, and prints one line of JSON.
Needs TensorFlow and an encoder SavedModel, and nothing of this library.
"""

import numpy as np
import tensorflow.compat.v1 as tf
from measuring import measure, parse_floor_arguments

KEEP_PROB, RATE = 0.5, 1e-4


def score_layer(features, num_classes):
    kernel = tf.Variable(tf.random.truncated_normal([1, 1, int(features.shape[-1]), num_classes], stddev=0.001))
    return tf.nn.conv2d(features, kernel, [1, 1, 1, 1], 'SAME') + tf.Variable(tf.zeros([num_classes]))


def upsample(scores, factor, like):
    """Transposed convolution to the height and width of `like`."""
    num_classes = int(scores.shape[-1])
    kernel = tf.Variable(tf.random.truncated_normal([2 * factor, 2 * factor, num_classes, num_classes], stddev=0.01))
    output_shape = tf.concat([tf.shape(like)[:3], [num_classes]], axis=0)
    return tf.nn.conv2d_transpose(scores, kernel, output_shape, [1, factor, factor, 1], 'SAME')


def load_network(session, encoder, num_classes):
    """(images, keep_prob, logits) in the default graph, with trained encoder and new decoder."""
    tf.saved_model.loader.load(session, ['vgg16'], encoder)
    loaded = set(tf.global_variables())
    images, keep_prob, pool3, pool4, fc7 = (
        session.graph.get_tensor_by_name(name + ':0')
        for name in ('image_input', 'keep_prob', 'layer3_out', 'layer4_out', 'layer7_out')
    )
    scores = upsample(score_layer(fc7, num_classes), 2, pool4) + score_layer(pool4, num_classes)
    scores = upsample(scores, 2, pool3) + score_layer(pool3, num_classes)
    logits = upsample(scores, 8, images)
    session.run(tf.variables_initializer([variable for variable in tf.global_variables() if variable not in loaded]))
    return images, keep_prob, logits


def new_session(precision):
    config = tf.ConfigProto()
    if precision == 'bfloat16':
        config.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 = 1
    return tf.Session(graph=tf.Graph(), config=config)


def predict(args, images):
    with new_session(args.precision) as session, session.graph.as_default():
        image_input, keep_prob, logits = load_network(session, args.encoder, args.classes)
        class_ids = tf.argmax(logits, -1, output_type=tf.int32)
        frozen = tf.graph_util.convert_variables_to_constants(
            session, session.graph.as_graph_def(), [class_ids.op.name]
        )
    with new_session(args.precision) as session, session.graph.as_default():
        tf.import_graph_def(frozen, name='')
        feed = {image_input.name: images, keep_prob.name: 1.0}
        measure('predict', lambda: session.run(class_ids.name, feed), len(images))


def train(args, images, labels):
    with new_session(args.precision) as session, session.graph.as_default():
        image_input, keep_prob, logits = load_network(session, args.encoder, args.classes)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        before = set(tf.global_variables())
        step = tf.train.AdamOptimizer(RATE).minimize(loss)
        session.run(tf.variables_initializer([slot for slot in tf.global_variables() if slot not in before]))
        feed = {image_input: images, keep_prob: KEEP_PROB}
        measure('train', lambda: session.run(step, feed), len(images))


def main():
    args = parse_floor_arguments(__doc__)
    random = np.random.RandomState(0)
    images = random.randint(256, size=(args.batch, args.height, args.width, 3)).astype(np.uint8)
    if args.train:
        train(args, images, random.randint(args.classes, size=images.shape[:3]))
    else:
        predict(args, images)


if __name__ == '__main__':
    main()
