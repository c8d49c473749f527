"""tf.data with the augmentation of bench_data.py: what the data generator is measured beside.

    python benchmarks/bench_data.py --prepare DATA
    python benchmarks/peer_tfdata.py DATA [--size 1024 2048]

Brightness, flip, translation and scale, each for half of the pairs, as there; the image is halved first.
"""

import tensorflow as tf
from reading import files_of, measure_passes, parse_reader_arguments


def decode(image_path, label_path, size):
    image = tf.image.decode_png(tf.io.read_file(image_path), channels=3)
    label = tf.image.decode_png(tf.io.read_file(label_path), channels=1)
    image = tf.cast(tf.image.resize(image, size, antialias=True), tf.uint8)
    return image, tf.image.resize(label, size, method='nearest')


def sometimes(value, other):
    return tf.where(tf.random.uniform([]) < 0.5, value, other)


def augment(image, label):
    height, width = (tf.cast(side, tf.float32) for side in (tf.shape(image)[0], tf.shape(image)[1]))
    factor = sometimes(tf.random.uniform([], 0.5, 1.5), 1.0)
    image = tf.cast(tf.clip_by_value(tf.cast(image, tf.float32) * factor, 0, 255), tf.uint8)
    mirrored = sometimes(-1.0, 1.0)
    scale = sometimes(tf.random.uniform([], 0.8, 1.3), 1.0)
    right, down = tf.unstack(sometimes(tf.random.uniform([2], -1.0, 1.0) * [80.0, 40.0], tf.zeros([2])))
    # Output pixel -> input pixel: [x', y'] = [a x + c, b y + d], and the last two for perspective.
    a, b = mirrored / scale, 1.0 / scale
    c, d = width / 2 * (1 - a) - right, height / 2 * (1 - b) - down
    transform = tf.stack([a, 0.0, c, 0.0, b, d, 0.0, 0.0])[tf.newaxis]
    return warp(image, transform, 'BILINEAR'), warp(label, transform, 'NEAREST')


def warp(image, transform, interpolation):
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=transform,
        output_shape=tf.shape(image)[:2],
        interpolation=interpolation,
        fill_mode='CONSTANT',
        fill_value=0.0,
    )[0]


def main():
    args = parse_reader_arguments(__doc__)
    size = (args.size[0] // 2, args.size[1] // 2)
    images, labels = files_of(args.data)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images)).repeat()
    data = data.map(lambda *paths: augment(*decode(*paths, size)), num_parallel_calls=args.workers)
    measure_passes(iter(data.batch(1).prefetch(tf.data.AUTOTUNE)), len(images), args.rounds)


if __name__ == '__main__':
    main()
