"""Exports a saved model in float32 for a peer of the suite, and prints the directory as JSON.

python benchmarks/prepare_export.py MODEL DIR openvino|onnx
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from fcn8s.export.exporting import export_model  # noqa: E402


def main():
    model, directory, kind = sys.argv[1:]
    export_model(model, directory, kind, 'float32', allow_loss=True)
    print(json.dumps(directory))


if __name__ == '__main__':
    main()
