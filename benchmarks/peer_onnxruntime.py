"""A prediction by ONNX Runtime, without this library, of a network that it exported.

fcn8s export MODEL EXPORT --format onnx
python benchmarks/peer_onnxruntime.py EXPORT HEIGHT WIDTH BATCH
"""

import os

import numpy as np
import onnxruntime
from measuring import measure, parse_floor_arguments


def main():
    args = parse_floor_arguments(__doc__)
    session = onnxruntime.InferenceSession(os.path.join(args.encoder, 'model.onnx'), providers=['CPUExecutionProvider'])
    images = np.random.RandomState(0).randint(256, size=(args.batch, args.height, args.width, 3)).astype(np.uint8)
    feed = {session.get_inputs()[0].name: images}
    measure('predict', lambda: session.run(['class_ids'], feed), len(images))


if __name__ == '__main__':
    main()
