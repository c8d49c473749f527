"""Two rates of this machine to compare a network with: of a large matrix product, and of reading and writing memory.

    python benchmarks/limits.py HEIGHT WIDTH BATCH [--precision bfloat16] [--classes 20] [--width-divisor 1]
                                [--side 4096]

Prints one line of JSON: multiply-adds a second, bytes a second, the multiply-adds of a prediction and of a training
step of this network, and the seconds that they would take at that rate. The product is TensorFlow's, of square
matrices; a copy counts each byte twice, read and written. A network can beat that rate by a few per cent, in bfloat16
with AMX by more: the product brings an operand into an order of its own in every run, and a filter that is packed once
is spared that.
"""

import argparse
import json
import os
import sys

from measuring import median_seconds

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))


def seconds_of(build, dtype, shapes):
    """The seconds of one op on variables of random numbers, so that nothing is fed or fetched."""
    from fcn8s.backend import tf

    with tf.Graph().as_default(), tf.Session() as session:
        variables = [
            tf.get_variable('v{}'.format(number), initializer=tf.cast(tf.random.uniform(shape), dtype))
            for number, shape in enumerate(shapes)
        ]
        op = build(*variables).op
        session.run(tf.global_variables_initializer())
        return median_seconds(lambda: session.run(op))[0]


def product_rate(side, precision):
    """Multiply-adds per second."""
    from fcn8s.backend import tf

    return side**3 / seconds_of(tf.matmul, tf.as_dtype(precision), [[side, side]] * 2)


def bandwidth(num_floats):
    """Bytes per second that a sum with a scalar reads and writes, on all cores."""
    from fcn8s.backend import tf

    return 2 * 4 * num_floats / seconds_of(lambda values: values + 1.0, tf.float32, [[num_floats]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('height', type=int)
    parser.add_argument('width', type=int)
    parser.add_argument('batch', type=int)
    parser.add_argument('--precision', default='float32', choices=('float32', 'bfloat16'))
    parser.add_argument('--classes', type=int, default=20)
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--side', type=int, default=4096, help='of the matrices')
    args = parser.parse_args()
    from fcn8s.planning.cost import cost_of
    from fcn8s.planning.memory import PlanRequest

    size = (args.height, args.width)
    cost = cost_of(PlanRequest(args.classes, size, args.batch, args.width_divisor, precision=args.precision))
    rate, bytes_rate = product_rate(args.side, args.precision), bandwidth(4 * args.side**2)
    result = {
        'multiply_adds_per_s': rate,
        'bytes_per_s': bytes_rate,
        'predict_multiply_adds': cost.predict.multiply_adds,
        'train_multiply_adds': cost.train.multiply_adds,
        'predict_floor_s_per_image': cost.predict.multiply_adds / rate / args.batch,
        'train_floor_s_per_image': cost.train.multiply_adds / rate / args.batch,
        'predict_bytes_s_per_image': cost.predict.bytes_moved / bytes_rate / args.batch,
        'train_bytes_s_per_image': cost.train.bytes_moved / bytes_rate / args.batch,
    }
    print(json.dumps({name: float(value) for name, value in result.items()}))


if __name__ == '__main__':
    main()
