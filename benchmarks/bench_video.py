"""Frames per second of a segmented video, from reading to the finished file, beside the bare network, in one run.

The bare network predicts frames that are in memory already, one after the other. Both take turns in one process, which
holds one network, and the fastest round of each counts, for what else a machine does only ever adds time. Each
precision is a process of its own, started by one that holds no TensorFlow.

    python benchmarks/bench_video.py [--size 256 512] [--frames 40] [--rounds 3] [--precision P] [--width-divisor 1]
                                     [--layout overlay]

The target is 0.9 of the bare network. A second line says how memory depends on the length of the video.
"""

import argparse
import json
import os
import sys
import tempfile
import time

import cv2
import numpy as np
from bench_prediction import precisions
from drawn_encoder import write_drawn_encoder
from measuring import peak_memory, run_and_read

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from helpers.label_spaces import CITYSCAPES  # noqa: E402
from helpers.video import VideoWriter, open_frames  # noqa: E402

TARGET_RATIO = 0.9
FRAME_RATE = 25


def write_video(path, num_frames, size):
    """Writes a moving picture of smooth colours with the noise of a camera."""
    random = np.random.RandomState(0)
    height, width = size
    scene = cv2.resize(
        random.randint(256, size=(8, 32, 3)).astype(np.uint8), (2 * width, height), interpolation=cv2.INTER_CUBIC
    )
    with VideoWriter(path, size, FRAME_RATE) as writer:
        for number in range(num_frames):
            left = 4 * number % width
            frame = scene[:, left : left + width] + random.normal(0, 3, (height, width, 3))
            writer.write(np.clip(frame, 0, 255).astype(np.uint8))


def write_model(root, width_divisor):
    from fcn8s import FCN8s

    encoder = os.path.join(root, 'vgg16')
    write_drawn_encoder(encoder, width_divisor)
    with FCN8s(vgg16_dir=encoder, label_space=CITYSCAPES) as network:
        return network.save(root, 'saved_model', name='model', force_save=True)


def bare_frames_per_second(model, frames):
    start = time.perf_counter()
    for frame in frames:
        model.predict(frame[np.newaxis])
    return len(frames) / (time.perf_counter() - start)


def prepare(args):
    """Writes a video and a network below args.prepare; prints the paths and the precisions."""
    source = os.path.join(args.prepare, 'source.mp4')
    write_video(source, args.frames, tuple(args.size))
    print(json.dumps([source, write_model(args.prepare, args.width_divisor), precisions(args.precision)]))


def measure(args):
    """Prints, as JSON, the seconds per frame of each round, and the memory after this video and after one three times
    as long."""
    from fcn8s.prediction.drawing import Style
    from fcn8s.prediction.frozen_network import open_model
    from fcn8s.prediction.predictor import Predictor
    from fcn8s.prediction.video import render_video

    source, model_dir = args.child
    with open_frames(source) as opened:
        frames = list(opened)
    style = Style(args.layout)
    with tempfile.TemporaryDirectory() as root, open_model(model_dir, precision=args.precision) as model:
        predictor = Predictor(model.predict, model.num_classes)
        out, longer = (os.path.join(root, name) for name in ('out.mp4', 'longer.mp4'))
        bare_frames_per_second(model, frames[:3])
        bare, rendered = [], []
        for _ in range(args.rounds):
            bare.append(bare_frames_per_second(model, frames))
            rendered.append(render_video(predictor, source, out, CITYSCAPES, style).frames_per_second)
        peaks = [peak_memory()]
        write_video(longer, 3 * len(frames), tuple(args.size))
        render_video(predictor, longer, out, CITYSCAPES, style)
        peaks.append(peak_memory())
    frames_in_memory, video = ({'seconds': 1 / max(rates)} for rates in (bare, rendered))
    video.update(peak_gb=peaks[0], peak_gb_of_three_times_the_frames=peaks[1])
    print(json.dumps({'frames in memory': frames_in_memory, 'video': video}))


def report(measured, num_frames):
    bare, video = (1 / measured[name]['seconds'] for name in ('frames in memory', 'video'))
    peaks = measured['video']['peak_gb'], measured['video']['peak_gb_of_three_times_the_frames']
    print(
        'peak memory {:.2f} GB after {} frames, {:.2f} GB after {}'.format(
            peaks[0], num_frames, peaks[1], 3 * num_frames
        )
    )
    print(
        'bare network {:.2f} frames/s, video {:.2f} frames/s, ratio {:.3f} {}'.format(
            bare, video, video / bare, 'ok' if video / bare >= TARGET_RATIO else 'TOO SLOW'
        )
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'))
    parser.add_argument('--frames', type=int, default=40)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--layout', default='overlay', help='as of `fcn8s video`')
    parser.add_argument('--precision', choices=('float32', 'bfloat16'), help='default: all that this machine has')
    parser.add_argument('--prepare', metavar='ROOT', help=argparse.SUPPRESS)
    parser.add_argument('--child', nargs=2, metavar=('VIDEO', 'MODEL'), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prepare:
        prepare(args)
        return
    if args.child:
        measure(args)
        return
    with tempfile.TemporaryDirectory() as root:
        words = [os.path.abspath(__file__)] + sys.argv[1:]
        source, model_dir, available = run_and_read(words + ['--prepare', root])
        for precision in available:
            print('{} frames of {}x{}, {}, {}'.format(args.frames, *args.size, args.layout, precision))
            report(run_and_read(words + ['--precision', precision, '--child', source, model_dir]), args.frames)


if __name__ == '__main__':
    main()
