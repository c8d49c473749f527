"""Frames per second of a segmented video, from reading to the finished file, beside the bare network, in one run.

The bare network predicts frames that are in memory already, one after the other. Both take turns, and the fastest round
of each counts, for what else a machine does only ever adds time.

    python benchmarks/bench_video.py [--size 256 512] [--frames 40] [--rounds 3] [--precision P] [--width-divisor 1]
                                     [--layout overlay]

The target is 0.9 of the bare network. A second line says how memory depends on the length of the video.
"""

import argparse
import os
import sys
import tempfile
import time

import cv2
import numpy as np
from bench_prediction import precisions
from measuring import peak_memory

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from fcn8s import FCN8s  # noqa: E402
from fcn8s.prediction.drawing import LAYOUTS, Style  # noqa: E402
from fcn8s.prediction.frozen_network import open_model  # noqa: E402
from fcn8s.prediction.predictor import Predictor  # noqa: E402
from fcn8s.prediction.video import render_video  # noqa: E402
from fcn8s.vgg16.write import write_encoder  # noqa: E402
from helpers.label_spaces import CITYSCAPES  # noqa: E402
from helpers.video import VideoWriter, open_frames  # noqa: E402

TARGET_RATIO = 0.9
FRAME_RATE = 25


def write_video(path, num_frames, size):
    """A moving picture of smooth colours with noise, as a camera has."""
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
    encoder = os.path.join(root, 'vgg16')
    write_encoder(encoder, 'random', width_divisor)
    with FCN8s(vgg16_dir=encoder, label_space=CITYSCAPES) as network:
        return network.save(root, 'saved_model', name='model', force_save=True)


def bare_frames_per_second(model, frames):
    start = time.perf_counter()
    for frame in frames:
        model.predict(frame[np.newaxis])
    return len(frames) / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'))
    parser.add_argument('--frames', type=int, default=40)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--layout', choices=LAYOUTS, default='overlay')
    parser.add_argument('--precision', choices=('float32', 'bfloat16'), help='default: all that this machine has')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        source, out = os.path.join(root, 'source.mp4'), os.path.join(root, 'out.mp4')
        write_video(source, args.frames, tuple(args.size))
        with open_frames(source) as opened:
            frames = list(opened)
        model_dir = write_model(root, args.width_divisor)
        for number, precision in enumerate(precisions(args.precision)):
            print('{} frames of {}x{}, {}, {}'.format(args.frames, *args.size, args.layout, precision))
            with open_model(model_dir, precision=precision) as model:
                predictor = Predictor(model.predict, model.num_classes)
                compare(model, predictor, frames, source, out, args)
                # The peak of a process never falls, so a second precision could not show its own.
                if number == 0:
                    report_memory(predictor, args)


def compare(model, predictor, frames, source, out, args):
    bare_frames_per_second(model, frames[:3])
    bare, rendered = [], []
    for _ in range(args.rounds):
        bare.append(bare_frames_per_second(model, frames))
        rendered.append(render_video(predictor, source, out, CITYSCAPES, Style(args.layout)).frames_per_second)
    ratio = max(rendered) / max(bare)
    print(
        'bare network {:.2f} frames/s, video {:.2f} frames/s, ratio {:.3f} {}'.format(
            max(bare), max(rendered), ratio, 'ok' if ratio >= TARGET_RATIO else 'TOO SLOW'
        )
    )


def report_memory(predictor, args):
    peaks = []
    with tempfile.TemporaryDirectory() as root:
        for num_frames in (args.frames, 3 * args.frames):
            source = os.path.join(root, 'source{}.mp4'.format(num_frames))
            write_video(source, num_frames, tuple(args.size))
            render_video(predictor, source, os.path.join(root, 'out.mp4'), CITYSCAPES, Style(args.layout))
            peaks.append(peak_memory())
    print(
        'peak memory {:.2f} GB after {} frames, {:.2f} GB after {}'.format(
            peaks[0], args.frames, peaks[1], 3 * args.frames
        )
    )


if __name__ == '__main__':
    main()
