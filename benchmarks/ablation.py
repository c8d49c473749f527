"""What each choice of the decoder, the loss and the optimiser buys, on generated scenes or on a dataset of yours.

    python benchmarks/ablation.py                                           generated street scenes, small encoder
    python benchmarks/ablation.py --data CAMVID --layout camvid --encoder VGG16 --size 90 120 --epochs 2

Trains one network per variant, everything else equal, and prints a table (Markdown) of validation mean IoU after each
epoch. One seed by default; --seeds 3 shows the spread that differences have to be read against.
"""

import argparse
import os
import tempfile
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import numpy as np

from data_generator import BatchGenerator
from data_generator.street_scenes import write_dataset
from fcn8s import FCN8s
from fcn8s.optimizers import PAPER_SGD
from fcn8s.training.schedules import polynomial
from fcn8s.vgg16.write import write_encoder


class Variant(NamedTuple):
    """name; arguments of FCN8s; how the rate of the baseline is scaled; what is done to the new model, if anything."""

    name: str
    model: Dict[str, Any] = {}
    rate: Optional[Callable[[float, int], float]] = None
    prepare: Optional[Callable[[FCN8s], None]] = None


def randomise_upsampling(model: FCN8s) -> None:
    """Truncated normal kernels, standard deviation 0.01, where the library starts from bilinear ones."""
    rng = np.random.RandomState(model.seed)
    for kernel in model.model.decoder.kernels:
        if 'upsample' in kernel.op.name:
            value = np.clip(rng.normal(0, 0.01, kernel.shape.as_list()), -0.02, 0.02)
            model.sess.run(kernel.initializer, {kernel.initializer.inputs[1]: value})


# The rate of SGD that fits the mean over pixels is found by the paper's own: 1e-10 for the sum over an image of
# 500x375.
SGD_MEAN_RATE = 1e-10 * 500 * 375

VARIANTS = (
    Variant('baseline: 8s, Adam, mean, bilinear learned, skip scales 1'),
    Variant('upsampling fixed bilinear', dict(upsampling='bilinear')),
    Variant('upsampling learned from random', prepare=randomise_upsampling),
    Variant('skip scales 1e-4, 1e-2 (Adam)', dict(skip_scales=(1e-4, 1e-2))),
    Variant('loss summed over pixels (Adam)', dict(normalize='sum')),
    Variant(
        "the paper's SGD, mean, skip scales 1e-4, 1e-2",
        dict(optimizer=PAPER_SGD),
        rate=lambda rate, pixels: SGD_MEAN_RATE,
    ),
    Variant(
        "the paper's SGD, sum, skip scales 1e-4, 1e-2",
        dict(optimizer=PAPER_SGD, normalize='sum'),
        rate=lambda rate, pixels: SGD_MEAN_RATE / pixels,
    ),
    Variant('16s', dict(variant='16s')),
    Variant('32s', dict(variant='32s')),
)


def train_variant(
    variant: Variant, args: argparse.Namespace, data: Dict[str, BatchGenerator], seed: int
) -> List[float]:
    """Mean IoU on the val split after each epoch."""
    size = tuple(args.size) if args.size else False
    model_arguments = dict(
        vgg16_dir=args.encoder, label_space=data['train'].label_space, seed=seed, precision=args.precision
    )
    model_arguments.update(variant.model)
    with FCN8s(**model_arguments) as model, data['train'].generate(
        args.batch, resize=size, flip=0.5, workers=1, seed=seed
    ) as batches, data['val'].generate(args.batch, resize=size, shuffle=False, workers=1) as val:
        if variant.prepare:
            variant.prepare(model)
        images, _ = next(batches)
        batches.seek(0)
        pixels = images.shape[0] * images.shape[1] * images.shape[2]
        rate = variant.rate(args.rate, pixels) if variant.rate else args.rate
        steps = batches.num_batches
        history = model.train(
            batches,
            args.epochs,
            steps,
            polynomial(rate, args.epochs * steps),
            keep_prob=args.keep_prob,
            eval_dataset='val',
            eval_frequency=args.eval_every,
            val_generator=val,
            metrics={'mean_iou'},
        )
    return [record['evaluation']['mean_iou'] for record in history if record['evaluation']]


def open_data(args: argparse.Namespace, scratch: str) -> Dict[str, BatchGenerator]:
    """The dataset that was named, or generated scenes and a small encoder made in `scratch`."""
    if args.data is None:
        args.data, args.layout = os.path.join(scratch, 'scenes'), 'cityscapes'
        write_dataset(args.data, args.scenes, 60, 0, seed=0)
    if args.encoder is None:
        args.encoder = os.path.join(scratch, 'encoder')
        write_encoder(args.encoder, 'random', args.width_divisor, seed=0)
    return {split: BatchGenerator.from_layout(args.layout, args.data, split) for split in ('train', 'val')}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data')
    parser.add_argument('--layout', default='cityscapes')
    parser.add_argument('--encoder', help='default: a random one, an eighth as wide')
    parser.add_argument('--width-divisor', type=int, default=8)
    parser.add_argument('--scenes', type=int, default=300)
    parser.add_argument('--size', type=int, nargs=2)
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--epochs', type=int, default=6)
    parser.add_argument('--eval-every', type=int, default=2)
    parser.add_argument('--rate', type=float, default=1e-3)
    parser.add_argument('--keep-prob', type=float, default=0.8)
    parser.add_argument('--precision', default='float32')
    parser.add_argument('--seeds', type=int, default=1)
    parser.add_argument('--only', nargs='*', type=int, help='numbers of variants, from 0')
    args = parser.parse_args()
    chosen = VARIANTS if args.only is None else [VARIANTS[number] for number in args.only]
    with tempfile.TemporaryDirectory() as scratch:
        data = open_data(args, scratch)
        rows = []
        for variant in chosen:
            for seed in range(args.seeds):
                start = time.perf_counter()
                curve = train_variant(variant, args, data, seed)
                rows.append(
                    '| {} | {} | {} | {:.0f} s |'.format(
                        variant.name,
                        seed,
                        ' '.join('{:.1f}'.format(100 * score) for score in curve),
                        time.perf_counter() - start,
                    )
                )
                print(rows[-1], flush=True)
    print('\n| variant | seed | val mean IoU, % | time |\n| --- | --- | --- | --- |\n' + '\n'.join(rows))


if __name__ == '__main__':
    main()
