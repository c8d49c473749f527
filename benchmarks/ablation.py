"""What each choice of a training buys, on generated scenes or on a dataset of yours.

    python benchmarks/ablation.py                                     generated street scenes, small encoder
    python benchmarks/ablation.py --data CAMVID --layout camvid --encoder VGG16 --size 90 120 --epochs 2
    python benchmarks/ablation.py --data CAMVID --hold-out 0006R0 --encoder VGG16 --recipe camvid \\
        --precision bfloat16 --cpu-seconds 600 --seeds 3 --results choices.jsonl \\
        --variant 'no jitter=--color-jitter 0 0 0 0' --variant 'larger crops=--random-scale 0.5 2 --crop 240 320'

Trains one network per variant and seed, everything else equal, and prints tables (Markdown) of mean IoU on the data
that it evaluates on. Options that are not listed below are those of `fcn8s train`, and hold for all. `--variant
NAME=OPTIONS` adds the options of `fcn8s train` that one variant has besides, and may be given several times; without
it the variants of docs/ablation.md are trained. The first is always the baseline, without options of its own.

--hold-out 0006R0, an option of `fcn8s train`, evaluates on the images whose names begin so, and trains on the others:
a network is worth what it does on a sequence that it has not seen.

Equal time: with --cpu-seconds every variant gets as many steps as fit into that much CPU time. A step of each variant
is measured first, in user time of this process, all threads together, so that other work on the machine hardly
counts; the smaller of two measurements is taken. Reading and augmentation count, evaluation does not. The rate decays
over those steps, and --epochs divides them: it says when evaluations come, not how many passes over the data there
are.

With --results FILE each outcome is added to FILE as it comes, and what stands there is not trained again. The last
table has the mean over seeds and, of the differences to the baseline seed by seed, the mean with its standard error:
keep what gains more than twice that.
"""

import argparse
import json
import math
import os
import shlex
import tempfile
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from data_generator.street_scenes import write_dataset
from fcn8s import FCN8s
from fcn8s.cli import build_parser
from fcn8s.cli.inputs.training import network_settings, open_datasets, train_arguments, train_batches, val_batches
from fcn8s.cli.options import resolving, training
from fcn8s.vgg16.write import write_encoder

# Defaults for what neither the command line nor a recipe sets.
DEFAULTS = '--batch 8 --eval-batch 8 --epochs 6 --eval-every 2 --rate poly:1e-3 --keep-prob 0.8'
# Steps of a measurement, and steps before it, while TensorFlow is still planning.
MEASURED_STEPS, FIRST_STEPS = 8, 2


class Variant(NamedTuple):
    """name; further options of `fcn8s train`; what is done to the new model, if anything."""

    name: str
    options: str = ''
    prepare: Optional[Callable[[FCN8s], None]] = None


def randomise_upsampling(model: FCN8s) -> None:
    """Sets upsampling kernels to truncated normal values, standard deviation 0.01, instead of bilinear ones."""
    rng = np.random.RandomState(model.seed)
    for kernel in model.model.decoder.kernels:
        if 'upsample' in kernel.op.name:
            value = np.clip(rng.normal(0, 0.01, kernel.shape.as_list()), -0.02, 0.02)
            model.sess.run(kernel.initializer, {kernel.initializer.inputs[1]: value})


BASELINE = Variant('baseline')
# The rate of SGD for the mean over pixels, from the paper's own: 1e-10 for the sum over an image of 500x375. The rate
# for the sum over a batch is this, divided by the pixels of the batch.
PAPER_MEAN_RATE = 1e-10 * 500 * 375
PAPER_OPTIONS = '--optimizer sgd --rate poly:{rate}'

VARIANTS = (
    BASELINE,
    Variant('upsampling fixed bilinear', '--upsampling bilinear'),
    Variant('upsampling learned from random', prepare=randomise_upsampling),
    Variant('skip scales 1e-4, 1e-2 (Adam)', '--skip-scales 1e-4 1e-2'),
    Variant('loss summed over pixels (Adam)', '--normalize sum'),
    Variant("the paper's SGD, mean, skip scales 1e-4, 1e-2", PAPER_OPTIONS.format(rate=PAPER_MEAN_RATE)),
    Variant(
        "the paper's SGD, sum, skip scales 1e-4, 1e-2",
        '--normalize sum ' + PAPER_OPTIONS.format(rate='{rate_of_sum}'),
    ),
    Variant('16s', '--variant 16s'),
    Variant('32s', '--variant 32s'),
)


class Outcome(NamedTuple):
    """A training: mean IoU in per cent after each evaluation, its steps, and user time without evaluations."""

    variant: str
    seed: int
    curve: List[float]
    steps: int
    cpu_seconds: float


def train_options(words: List[str], variant: Variant, seed: int) -> argparse.Namespace:
    """The options of `fcn8s train` for one training."""
    defaults = [] if has_option(words, '--recipe') else shlex.split(DEFAULTS)
    parsed = build_parser().parse_args(
        ['train'] + defaults + words + shlex.split(variant.options) + ['--seed', str(seed)]
    )
    typed = {name: value for name, value in vars(parsed).items() if name not in training.NO_OPTIONS}
    return resolving.resolve_steps(typed, parsed.defaults)


def has_option(words: List[str], *flags: str) -> bool:
    """Whether one of these options is among the words of a command line, also as FLAG=VALUE."""
    return any(word.partition('=')[0] in flags for word in words)


def user_seconds() -> float:
    """User time of this process and its threads, without the time that the kernel spends for it."""
    return os.times().user


class StepClock:
    """A callback: user seconds of every step. Time between a step and the end of an evaluation belongs to no step."""

    def __init__(self) -> None:
        self.seconds: List[float] = []
        self._last = user_seconds()

    def __call__(self, event: Any) -> None:
        now = user_seconds()
        if event.kind == 'step':
            self.seconds.append(now - self._last)
        self._last = now


def train(
    options: argparse.Namespace, data: Tuple[Any, Any], prepare: Optional[Callable[[FCN8s], None]], evaluates: bool
) -> Tuple[List[float], List[float]]:
    """Trains; returns mean IoU in per cent after each evaluation, and the user seconds of each step."""
    clock = StepClock()
    settings = network_settings(options, data[0])
    with FCN8s(**settings) as model, train_batches(options, data[0]) as batches, val_batches(options, data[1]) as val:
        if prepare:
            prepare(model)
        arguments = train_arguments(options, batches, val if evaluates else None)
        if options.patience is None:
            del arguments['monitor']  # nothing uses it
        history = model.train(batches, callbacks=[clock], **arguments)
    scores = [100 * record['evaluation']['mean_iou'] for record in history if record['evaluation']]
    return scores, clock.seconds


def measure_step(words: List[str], variant: Variant, pixels: int) -> float:
    """User seconds of a step of a variant."""
    options = train_options(words, with_rate(variant, pixels), 0)
    options.epochs, options.steps_per_epoch, options.monitor, options.patience = (
        1,
        FIRST_STEPS + MEASURED_STEPS,
        None,
        None,
    )
    options.head_warmup = 0  # the steps after the warm-up are the expensive ones
    _, seconds = train(options, open_datasets(options), None, evaluates=False)
    return sum(seconds[FIRST_STEPS:]) / MEASURED_STEPS


def with_rate(variant: Variant, pixels: int) -> Variant:
    """The variant, with '{rate_of_sum}' replaced by the rate for a sum over this many pixels."""
    return variant._replace(options=variant.options.replace('{rate_of_sum}', str(PAPER_MEAN_RATE / pixels)))


def pixels_of_a_batch(words: List[str]) -> int:
    """How many pixels the baseline's batches have."""
    options = train_options(words, BASELINE, 0)
    with train_batches(options, open_datasets(options)[0]) as batches:
        return next(batches)[1].size


def train_variant(words: List[str], variant: Variant, seed: int, steps: Optional[int]) -> Outcome:
    """Trains a variant, for `steps` steps if that is given."""
    options = train_options(words, variant, seed)
    if steps is not None:
        options.epochs = min(options.epochs, steps)
        options.steps_per_epoch = steps // options.epochs
    data = open_datasets(options)
    if data[1] is None:
        raise ValueError('There is nothing to evaluate on: leave out --val-split, or give --hold-out PREFIX.')
    curve, seconds = train(options, data, variant.prepare, evaluates=True)
    return Outcome(variant.name, seed, curve, len(seconds), sum(seconds))


def mean_and_error(values: List[float]) -> Tuple[float, float]:
    """The mean and its standard error, which is NaN for one value."""
    error = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(np.mean(values)), float(error)


def table_of_runs(outcomes: List[Outcome]) -> str:
    """A row for each training."""
    lines = ['| variant | seed | mean IoU, % | steps | CPU seconds |', '| --- | --- | --- | --- | --- |']
    for outcome in outcomes:
        curve = ' '.join('{:.1f}'.format(score) for score in outcome.curve)
        lines.append(
            '| {} | {} | {} | {} | {:.0f} |'.format(
                outcome.variant, outcome.seed, curve, outcome.steps, outcome.cpu_seconds
            )
        )
    return '\n'.join(lines)


def table_of_differences(outcomes: List[Outcome]) -> str:
    """A row for each variant: last scores, and the difference to the baseline over the seeds that both have."""
    scores: Dict[str, Dict[int, float]] = {}
    for outcome in outcomes:
        scores.setdefault(outcome.variant, {})[outcome.seed] = outcome.curve[-1]
    baseline = scores.get(BASELINE.name, {})
    lines = ['| variant | seeds | mean IoU, % | against the baseline |', '| --- | --- | --- | --- |']
    for name, by_seed in scores.items():
        shared = [by_seed[seed] - baseline[seed] for seed in by_seed if seed in baseline]
        difference = ''
        if name != BASELINE.name and shared:
            difference = '{:+.2f} +- {:.2f}'.format(*mean_and_error(shared))
        lines.append(
            '| {} | {} | {:.2f} | {} |'.format(name, len(by_seed), np.mean(list(by_seed.values())), difference)
        )
    return '\n'.join(lines)


class Results:
    """The file that keeps outcomes, one JSON object per line; without a path, no file is written."""

    def __init__(self, path: Optional[str]) -> None:
        self._path = path
        self.lines: List[Dict[str, Any]] = []
        if path is not None and os.path.exists(path):
            with open(path, encoding='utf-8') as file:
                self.lines = [json.loads(line) for line in file if line.strip()]

    def find(self, key: Dict[str, Any]) -> Optional[Outcome]:
        """The outcome that was kept for these settings."""
        found = [line['outcome'] for line in self.lines if line['settings'] == key]
        return Outcome(**found[-1]) if found else None

    def add(self, key: Dict[str, Any], outcome: Outcome) -> None:
        """Keeps an outcome."""
        self.lines.append({'settings': key, 'outcome': outcome._asdict()})
        if self._path is not None:
            with open(self._path, 'a', encoding='utf-8') as file:
                file.write(json.dumps(self.lines[-1]) + '\n')


def compare(args: argparse.Namespace, words: List[str], chosen: List[Variant]) -> None:
    """Trains what has not been trained yet, and prints."""
    results = Results(args.results)
    pixels = pixels_of_a_batch(words)
    chosen = [with_rate(variant, pixels) for variant in chosen]
    chosen = trainable(words, chosen, args.variants is None and args.only is None)
    wanted = []
    for seed in args.seed_numbers:
        for variant in chosen:
            wanted.append((variant, seed, settings_of(args, variant, seed)))
    steps = steps_for(args, words, [entry for entry in wanted if results.find(entry[2]) is None], results, pixels)
    outcomes = []
    for variant, seed, key in wanted:
        outcome = results.find(key)
        if outcome is None:
            outcome = train_variant(words, variant, seed, steps.get(variant.name))
            results.add(key, outcome)
        outcomes.append(outcome)
        print('\n' + table_of_runs([outcome]).splitlines()[-1], flush=True)
    print('\n' + table_of_runs(outcomes) + '\n\n' + table_of_differences(outcomes))


def trainable(words: List[str], chosen: List[Variant], may_leave_out: bool) -> List[Variant]:
    """Checks all variants before the first hour of training, and returns them.

    may_leave_out: leave out variants that contradict the common options, if nobody chose them: for example, a Dice loss
    cannot be summed over pixels.
    """
    found = []
    for variant in chosen:
        try:
            train_options(words, variant, 0)
        except ValueError as error:
            if variant.name == BASELINE.name or not may_leave_out:
                raise
            print('left out: {}: {}'.format(variant.name, error), flush=True)
            continue
        found.append(variant)
    return found


def settings_of(args: argparse.Namespace, variant: Variant, seed: int) -> Dict[str, Any]:
    """The settings by which the file of results tells trainings apart."""
    return dict(options=args.said, cpu_seconds=args.cpu_seconds, variant=variant.name, own=variant.options, seed=seed)


def steps_for(
    args: argparse.Namespace, words: List[str], missing: List[Tuple[Variant, int, Any]], results: Results, pixels: int
) -> Dict[str, int]:
    """How many steps of each variant fit into --cpu-seconds; empty without that.

    All seeds of a variant take the same number of steps: a seed with a stored outcome determines it.
    """
    if args.cpu_seconds is None:
        return {}
    variants = {variant.name: variant for variant, _, _ in missing}
    steps = {}
    for name, variant in variants.items():
        for line in results.lines:
            known = results.find(settings_of(args, variant, line['settings']['seed']))
            if known is not None:
                steps[name] = known.steps
    unknown = [variant for name, variant in variants.items() if name not in steps]
    measured = [[measure_step(words, variant, pixels) for variant in unknown] for _ in range(2)]
    for variant, seconds in zip(unknown, map(min, zip(*measured))):
        steps[variant.name] = max(1, round(args.cpu_seconds / max(seconds, 1e-6)))
        print('{}: {:.3f} CPU seconds a step, {} steps'.format(variant.name, seconds, steps[variant.name]), flush=True)
    return steps


def parse_variant(text: str) -> Variant:
    """Parses NAME=OPTIONS."""
    name, separator, options = text.partition('=')
    if not separator or not name.strip() or name.strip() == BASELINE.name or not options.strip().startswith('-'):
        raise argparse.ArgumentTypeError(
            "{!r} came; it has to be NAME=OPTIONS, for example 'EMA=--ema 0.999', and NAME not baseline".format(text)
        )
    return Variant(name.strip(), options.strip())


def parse_arguments(argv: Optional[List[str]] = None) -> Tuple[argparse.Namespace, List[str]]:
    """The options of this script, and the words for `fcn8s train`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('--variant', dest='variants', action='append', type=parse_variant, metavar='NAME=OPTIONS')
    parser.add_argument('--cpu-seconds', type=float, metavar='S', help='of each training; default: by --epochs')
    parser.add_argument('--seeds', type=int, default=1, help='how many, from 0 (default: 1)')
    parser.add_argument('--first-seed', type=int, default=0, metavar='N', help='count seeds from N')
    parser.add_argument('--results', metavar='FILE', help='keep outcomes here, and go on from there')
    parser.add_argument('--only', nargs='*', type=int, help='numbers of variants, from 0, the baseline')
    parser.add_argument('--width-divisor', type=int, default=8, help='of the random encoder that is made without one')
    parser.add_argument('--scenes', type=int, default=300, help='how many are made without --data (default: 300)')
    args, words = parser.parse_known_args(argv)
    if args.seeds < 1 or args.cpu_seconds is not None and args.cpu_seconds <= 0:
        parser.error('--seeds has to be 1 or more, and --cpu-seconds more than 0')
    made = ['scenes', args.scenes, 'width divisor', args.width_divisor]
    args.said = words + ([] if has_option(words, '--data') and has_option(words, '--encoder') else made)
    args.seed_numbers = range(args.first_seed, args.first_seed + args.seeds)
    return args, words


def choose(args: argparse.Namespace) -> List[Variant]:
    """The baseline and the variants that were asked for."""
    known = [BASELINE] + args.variants if args.variants else list(VARIANTS)
    names = [variant.name for variant in known]
    if len(set(names)) < len(names):
        raise ValueError('two variants have the same name: {}'.format(', '.join(names)))
    return known if args.only is None else [known[number] for number in args.only]


def with_data(args: argparse.Namespace, words: List[str], scratch: str) -> List[str]:
    """The options; adds generated scenes and a small encoder, made in `scratch`, if none were named."""
    made = []
    if not has_option(words, '--data', '--images'):
        write_dataset(os.path.join(scratch, 'scenes'), args.scenes, min(60, args.scenes), 0, seed=0)
        made += ['--data', os.path.join(scratch, 'scenes'), '--layout', 'cityscapes']
    if not has_option(words, '--encoder', '--fine-tune-from'):
        write_encoder(os.path.join(scratch, 'encoder'), 'random', args.width_divisor, seed=0)
        made += ['--encoder', os.path.join(scratch, 'encoder')]
    return words + made


def main(argv: Optional[List[str]] = None) -> None:
    args, words = parse_arguments(argv)
    chosen = choose(args)
    with tempfile.TemporaryDirectory() as scratch:
        compare(args, with_data(args, words, scratch), chosen)


if __name__ == '__main__':
    main()
