"""`fcn8s pack RUN OUT.zip`: a trained network as one file to pass on."""

import argparse
from typing import Any

from fcn8s.cli.options.prediction import add_model_argument, add_trust_argument

DESCRIPTION = """Packs the best checkpoint of a run, or a saved FCN-8s, into one zip: the model, a card (README.md) and
the SHA-256 of each file. The same run gives the same bytes. fcn8s predict, evaluate and train --fine-tune-from, and
FCN8s(model_load_dir=...), open the zip as it is."""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        'pack', help='pack a trained network into one file to share', description=DESCRIPTION
    )
    add_model_argument(parser, 'RUN', exports=False)
    parser.add_argument('out', metavar='OUT.zip', help='file to write; must not exist')
    parser.add_argument('--licence', metavar='TEXT', help='for the card: the licence under which you share it')
    parser.add_argument('--scores', metavar='FILE', help='for the card: what fcn8s evaluate --json wrote')
    parser.add_argument(
        '--with-optimizer', action='store_true', help="include the optimiser's state (about three times the size)"
    )
    add_trust_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import os

    from fcn8s.saving.packed import check_new_zip, is_packed
    from helpers.files import sha256_of
    from helpers.process.memory import readable_size

    check_new_zip(args.out)  # before TensorFlow is loaded
    from fcn8s.saving.packing import pack

    out = pack(args.model, args.out, args.licence, args.scores, args.with_optimizer, args.trust)
    print('packed: {} ({})'.format(out, readable_size(os.path.getsize(out))))
    print('SHA-256 {}'.format(sha256_of(out)))
    if args.licence is None and not is_packed(args.model):
        print('The card states no licence; --licence TEXT does.')
    return 0
