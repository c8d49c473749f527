"""Exports a saved model in float32 for a peer of the suite, and prints the directory as JSON.

python benchmarks/prepare_export.py MODEL DIR openvino|onnx
"""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from fcn8s.export.exporting import export_model  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model')
    parser.add_argument('directory')
    parser.add_argument('format', choices=('openvino', 'onnx'))
    args = parser.parse_args()
    export_model(args.model, args.directory, args.format, 'float32', allow_loss=True)
    print(json.dumps(args.directory))


if __name__ == '__main__':
    main()
