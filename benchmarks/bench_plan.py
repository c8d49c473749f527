"""What `fcn8s plan` expects of a training, beside the training itself, in one run.

The plan and the training are processes of their own, one after the other, started by one that holds no TensorFlow.
Seconds are those of a step, memory is the peak of the training process.

    python benchmarks/bench_plan.py [--size 256 512] [--batch 2] [--precision P] [--width-divisor 1]

The target is 25 % either way. Another program on the same processor disturbs the seconds: both are wall time.
"""

import argparse
import json
import os
import sys
import tempfile

from bench_prediction import NUM_CLASSES, prepare
from measuring import run_and_read

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

TARGET = 0.25
BENCH_TRAINING = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'bench_training.py')


def print_plan(args):
    from fcn8s.planning.memory import PlanRequest
    from fcn8s.planning.plan import make_plan

    plan = make_plan(
        PlanRequest(NUM_CLASSES, tuple(args.size), args.batch, args.width_divisor, precision=args.precision)
    )
    # As in measuring.peak_memory: kilobytes of 1024 bytes.
    print(json.dumps({'seconds': plan.seconds_per_step, 'gigabytes': plan.memory / 1024 / 1e6}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'))
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--precision', choices=('float32', 'bfloat16'), help='default: all that this machine has')
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--child', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print_plan(args)
        return
    with tempfile.TemporaryDirectory() as root:
        _, model_dir, precisions, _ = prepare(root, args.width_divisor, args.precision)
        print('{:10} {:>20} {:>29}'.format('precision', 'seconds of a step', 'peak memory, GB'))
        print('{:10} {:>8} {:>9} {:>6} {:>11} {:>9} {:>7}'.format('', *['planned', 'measured', 'ratio'] * 2))
        for precision in precisions:
            options = ['--precision', precision, '--batch', str(args.batch), '--size'] + [
                str(side) for side in args.size
            ]
            planned = run_and_read(
                [os.path.abspath(__file__), '--child', '--width-divisor', str(args.width_divisor)] + options
            )
            measured = run_and_read([BENCH_TRAINING, '--child', model_dir] + options)
            pairs = (
                (planned['seconds'], measured['train_s_per_image'] * args.batch),
                (planned['gigabytes'], measured['peak_rss_gb']),
            )
            ratios = [plan / real for plan, real in pairs]
            print(
                '{:10} {:8.3f} {:9.3f} {:6.2f} {:11.2f} {:9.2f} {:7.2f}   {}'.format(
                    precision,
                    *pairs[0],
                    ratios[0],
                    *pairs[1],
                    ratios[1],
                    'ok' if all(abs(ratio - 1) <= TARGET for ratio in ratios) else 'TOO FAR',
                )
            )


if __name__ == '__main__':
    main()
