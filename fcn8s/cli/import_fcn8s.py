"""`fcn8s import-fcn8s FILE OUT`: imports a trained network of another program, and prints the proof."""

import argparse
from typing import Any, Dict, List

from fcn8s.cli.options.flags import refuse_without
from fcn8s.vgg16.weights.source import CHANNEL_ORDERS
from helpers.counted import join_and_dots

DESCRIPTION = """Imports a trained FCN-8s, 16s or 32s of another program: reads it as data, assigns every tensor to a
layer, verifies that the logits are the same, and writes a saved FCN-8s that fcn8s predict, evaluate and train
--fine-tune-from open. FILE is the SavedModel or checkpoint of the FCN-8s of 2017, a checkpoint of KittiSeg,
tensorflow-fcn or a CarND project, a frozen graph of these, tensorflow-fcn's .npy, a Berkeley .caffemodel or torchfcn's
.pth, and is recognised by its content."""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        'import-fcn8s', help='import a trained network of another program', description=DESCRIPTION
    )
    parser.add_argument('file', metavar='FILE', help='file, checkpoint prefix or directory of the trained network')
    parser.add_argument('out', metavar='OUT', help='directory to write; must not exist, or be empty')
    parser.add_argument(
        '--skip-scales',
        type=float,
        nargs=2,
        metavar=('POOL3', 'POOL4'),
        help='factors of pool3 and pool4 before their score layers, if the file does not have them',
    )
    parser.add_argument(
        '--label-space',
        metavar='NAME',
        help='name of the classes (voc, kitti_road, ...), if they are not the usual ones',
    )
    parser.add_argument(
        '--mean',
        type=float,
        nargs=3,
        metavar='M',
        help='what the network subtracts from its images, 0 to 255, in the order of --channel-order, if it is not the '
        'usual mean of such files; taken as given, because weights do not tell it',
    )
    parser.add_argument(
        '--channel-order',
        choices=CHANNEL_ORDERS,
        help='order in which the network takes channels; belongs to --mean (default: BGR)',
    )
    parser.add_argument(
        '--layer',
        action='append',
        default=[],
        metavar='ROLE=LAYER',
        help='which layer of the file is score_fc7, score_pool4, score_pool3, upsample_fc7, upsample_pool4 or '
        'upsample_image, if its name does not say so; may be repeated',
    )
    parser.add_argument(
        '--leave-out',
        action='append',
        default=[],
        metavar='NAME',
        help='skip tensors whose names begin so; may be repeated',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.mean is None and args.channel_order is not None:
        refuse_without('--mean M M M', ['--channel-order'])
    said = _said(args.layer)
    label_space = None if args.label_space is None else _label_space(args.label_space)
    from fcn8s.importing.write import import_network

    manifest = import_network(
        args.file,
        args.out,
        skip_scales=args.skip_scales,
        label_space=label_space,
        said=said,
        leave_out=args.leave_out,
        mean=args.mean,
        channel_order=args.channel_order,
    )
    print('\n'.join(describe(args.out, manifest, args.mean is not None)))
    return 0


def _said(layers: List[str]) -> Dict[str, str]:
    said: Dict[str, str] = {}
    for text in layers:
        role, equals, layer = text.partition('=')
        if not equals or not layer:
            raise ValueError('--layer is {!r}; it has to be ROLE=LAYER, such as score_fc7=conv2d.'.format(text))
        if role in said:
            raise ValueError('--layer names {} and {} for {}. Leave one of them out.'.format(said[role], layer, role))
        said[role] = layer
    return said


def _label_space(name: str) -> Any:
    from helpers.label_spaces import LABEL_SPACES

    if name not in LABEL_SPACES:
        raise ValueError('--label-space is {!r}; choose one of {}.'.format(name, ', '.join(LABEL_SPACES)))
    return LABEL_SPACES[name]


def describe(out_dir: str, manifest: Dict[str, Any], mean_given: bool = False) -> List[str]:
    """Returns the lines that `fcn8s import-fcn8s` prints; mean_given: by the user."""
    source, settings, proof = manifest['source'], manifest['settings'], manifest['proof']
    placed = sum(len(names) for names in manifest['tensors'].values())
    lines = ['model: {} (import.json beside saved_model.pb)'.format(out_dir)]
    lines.append('source: {} {}'.format(source['kind'], source['path']))
    lines += ['  SHA-256 {}  {}'.format(digest, name) for name, digest in source['sha256'].items()]
    lines.append(
        'network: FCN-{}, {} classes ({}), skip scales {}, maps aligned as in {}, width 1/{}'.format(
            settings['variant'],
            settings['num_classes'],
            settings['label_space']['name'],
            ' '.join('{:g}'.format(scale) for scale in settings['skip_scales']),
            'Caffe (image padded by 100)' if settings.get('alignment') == 'caffe' else 'this library (SAME padding)',
            manifest['width_divisor'],
        )
    )
    lines.append(_images_line(manifest['preprocessing'], proof, mean_given))
    lines.append('tensors: {} placed, each once; {}'.format(placed, _left_out(manifest['left_out'])))
    lines.append(
        'proof: largest relative difference of the logits from a NumPy network in float64 (at most {:.0e}): {}'.format(
            proof['tolerance'],
            ', '.join(
                '{:.1e} on {} x {}'.format(error, size[0], size[1])
                for error, size in zip(proof['relative_errors'], proof['sizes'])
            ),
        )
    )
    lines.append(_own_graph_line(proof))
    return lines


def _images_line(preprocessing: Dict[str, Any], proof: Dict[str, Any], mean_given: bool) -> str:
    mean = ' '.join('{:.7g}'.format(value) for value in preprocessing['mean'])
    granted = ', as given' if mean_given else ', taken for granted: weights do not tell it, --mean does'
    proved = proof['own_graph_prepares']
    return 'images: {} minus {}{}'.format(preprocessing['channel_order'], mean, '' if proved else granted)


def _own_graph_line(proof: Dict[str, Any]) -> str:
    error = proof.get('own_graph_error')
    if error is None:
        return '  no graph lies beside the weights: its layers are assumed to be those of its kind'
    where = ', from conv1_1 on' if proof.get('own_graph_from') == 'conv1_1' else ''
    size = proof.get('own_graph_size', proof['sizes'][0])
    return '  and of the logits of its own graph{}: {:.1e} on {} x {}'.format(where, error, *size)


def _left_out(names: List[str]) -> str:
    return '{} left out{}'.format(len(names), ': ' + join_and_dots(names, 8) if names else '')
