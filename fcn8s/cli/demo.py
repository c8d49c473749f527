"""`fcn8s demo`: everything once, from generated street scenes to a segmented video, in a few minutes on a CPU.

The demo is a list of other commands, run one after the other and printed as the user would type them.
"""

import argparse
import json
import os
import shlex
import time
from typing import Any, List, NamedTuple, Optional

from fcn8s.cli.options.counts import count
from fcn8s.cli.terminal import pretrained_encoder, program, tensorboard
from helpers.flags import checked_whole

DESCRIPTION = """Generates street scenes, writes a small encoder, trains on the scenes, evaluates, and renders a
segmented video; then lists what was made, the scores, and what to type next for your own data. Takes one to
three minutes on two cores, and needs neither a download nor a GPU."""

# An eighth of VGG-16's width. From random weights fc6 of 3x3 learns as much as 7x7, in less time: docs/ablation.md.
ENCODER = ['--weights', 'random', '--width-divisor', '8', '--head', '3x3x512', '--head-dilation', '2']


class Step(NamedTuple):
    """One command of the demo, and what it is for."""

    title: str
    command: List[str]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        'demo', help='generate data, train, evaluate and render a video; start here', description=DESCRIPTION
    )
    parser.add_argument(
        '--out', default='demo', metavar='DIR', help='directory to write; must not exist, or be empty (default: demo)'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='another seed makes other scenes and another network (default: 0)'
    )
    parser.add_argument(
        '--epochs',
        type=count,
        metavar='N',
        help='fewer take less time and reach a lower score (default: 10, as the recipe)',
    )
    parser.set_defaults(run=run)


def demo_steps(out: str, seed: int, epochs: Optional[int] = None, precision: str = 'float32') -> List[Step]:
    """Returns the commands of the demo, in order; everything that they write is below `out`.

    Args:
        out: The directory to write.
        seed: For scenes and network.
        epochs: How long to train; None follows the recipe `demo`.
        precision: Precision of the training.
    """
    data, encoder, run_dir = (os.path.join(out, name) for name in ('data', 'encoder', 'run'))
    seeded = ['--seed', str(seed)]
    shortened = ['--epochs', str(epochs)] if epochs else []
    faster = [] if precision == 'float32' else ['--precision', precision]
    return [
        Step('Street scenes to train on', ['sample-data', data, '--train', '400'] + seeded),
        Step(
            'A VGG-16 encoder, an eighth as wide, with random weights',
            ['vgg16', encoder] + ENCODER + seeded,
        ),
        Step(
            'Training',
            ['train', '--recipe', 'demo', '--data', data, '--encoder', encoder, '--run', run_dir, '--no-report']
            + shortened
            + faster
            + seeded,
        ),
        Step(
            'Evaluation on the val scenes, by the rule of Cityscapes',
            ['evaluate', run_dir, '--data', data, '--layout', 'cityscapes', '--split', 'val']
            + ['--json', os.path.join(out, 'scores.json')],
        ),
        Step(
            'Overlays of val scenes',
            [
                'predict',
                run_dir,
                os.path.join(data, 'leftImg8bit', 'val', 'greyfriars'),
                '--out',
                os.path.join(out, 'overlays'),
                '--overlay',
                '--legend',
                '--zoom',
                '3',
            ],
        ),
        Step(
            'A video of a drive through a city that the network has not seen',
            [
                'video',
                run_dir,
                os.path.join(data, 'drive', 'leftImg8bit'),
                os.path.join(out, 'drive.mp4'),
                '--frame-rate',
                '15',
                '--layout',
                'stacked',
                '--legend',
                '--zoom',
                '3',
            ],
        ),
        Step('A report that shows where the network is wrong', ['report', run_dir, '--out', _report_path(out)]),
    ]


def run(args: argparse.Namespace) -> int:
    from fcn8s.cli import build_parser
    from fcn8s.precision import fastest_on_cpu
    from fcn8s.settings import MAX_SEED

    start = time.perf_counter()
    checked_whole('--seed', args.seed, 0, MAX_SEED)
    _check_out(args.out)
    parser = build_parser()
    print('From nothing to a segmented video, by the commands below', flush=True)
    steps = demo_steps(args.out, args.seed, args.epochs, fastest_on_cpu())
    for number, step in enumerate(steps, 1):
        print(
            '\n[{}/{}] {}\n$ {} {}'.format(
                number, len(steps), step.title, program(), ' '.join(shlex.quote(word) for word in step.command)
            ),
            flush=True,
        )
        command = parser.parse_args(step.command)
        command.argv = step.command
        status = command.run(command)
        if status:
            return status
    print(closing_page(args.out, time.perf_counter() - start))
    return 0


def _report_path(out: str) -> str:
    return os.path.join(out, 'report.html')


def _check_out(out: str) -> None:
    if os.path.exists(out) and (not os.path.isdir(out) or os.listdir(out)):
        raise FileExistsError(
            '{!r} exists already and is not an empty directory. Choose another with --out DIR.'.format(out)
        )


def closing_page(out: str, seconds: float) -> str:
    """Says what was made, how good it is, where it is, and what to type next."""
    with open(os.path.join(out, 'scores.json'), encoding='utf-8') as file:
        scores = json.load(file)
    page = """
{line}
Done in {minutes} min {seconds:02} s: a network trained from scratch on this machine.

  mean IoU        {mean_iou:6.2f} %   on scenes of cities it has not seen, by the rule of Cityscapes
  pixel accuracy  {accuracy:6.2f} %

  {out}/drive.mp4      the segmented drive: open this first
  {out}/report.html    where the network is wrong: open it in a browser
  {out}/overlays/      segmented val scenes
  {out}/scores.json    every score, and the confusion matrix
  {out}/run/           the trained network
  {out}/data/          the scenes, in the layout of Cityscapes

Curves of the training:
  {curves}
Segment an image of your own with this network:
  {fcn8s} predict {run} IMAGE --out RESULTS

Check your own data; this prints the command for training:
  {fcn8s} check DATA
Write a pretrained encoder for that command:
{encoder}
{line}"""
    return page.format(
        line='-' * 79,
        fcn8s=program(),
        encoder=pretrained_encoder(),
        curves=tensorboard(os.path.join(out, 'run', 'events')),
        minutes=round(seconds) // 60,
        seconds=round(seconds) % 60,
        out=out,
        run=shlex.quote(os.path.join(out, 'run')),
        mean_iou=100 * scores['mean_iou'],
        accuracy=100 * scores['accuracy'],
    )
