"""What the suite measures: for each part its cases, and for each case the commands of its candidates.

A case is made of settings, and of candidates that take turns. The commands are those of the other benchmarks' children
(bench_*.py, bare_tensorflow.py, peer_*.py), which also run alone.
"""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from suite.environments import PEERS, ROOT, TENSORFLOW_1

HERE = os.path.join(ROOT, 'benchmarks')
OURS, OURS_TF1 = 'fcn8s', 'fcn8s on TensorFlow 1.15'
NUM_CLASSES = 20
PYTORCH_OPTIONS = {'pytorch': (), 'pytorch-channels-last': ('--channels-last',), 'pytorch-compiled': ('--compiled',)}
# The network of demo and tutorial, where everything around the convolutions weighs most.
SMALL_DIVISOR = 16
# Of the network that growth is measured with, so that its largest images still fit.
GROWTH_DIVISOR = 4


class Choice(NamedTuple):
    """What was asked for on the command line, with the defaults filled in. sizes: (height, width) each."""

    sizes: List[Tuple[int, int]]
    batches: List[int]
    precisions: List[str]
    width_divisor: int
    peers: List[str]
    quick: bool


class Case(NamedTuple):
    """candidates: name -> words of a command behind the interpreter. reads: what of a child's JSON becomes 'seconds';
    None where the whole process is timed. together: one process measures several candidates, whose names its JSON has.
    """

    part: str
    settings: Dict[str, Any]
    candidates: Dict[str, List[str]]
    reads: Optional[str] = 'seconds'
    together: bool = False


def script(name, *words):
    """Words that run a file of this folder."""
    return [os.path.join(HERE, name)] + [str(word) for word in words]


def limits(choice, made):
    """Rates of this machine, and the least that the network could take at them."""
    for precision in choice.precisions:
        for size in choice.sizes:
            for batch in choice.batches:
                settings = _network(choice, size, batch, precision)
                words = [*size, batch, '--precision', precision, '--width-divisor', choice.width_divisor]
                side = 512 if choice.quick else 4096
                yield Case('limits', settings, {'machine': script('limits.py', *words, '--side', side)}, None, True)


def prediction(choice, made):
    """Class IDs of images in memory."""
    for precision in choice.precisions:
        for size in choice.sizes:
            for batch in choice.batches:
                yield predict_case('prediction', choice, made, size, batch, precision)


def training(choice, made):
    """A step of Adam on images in memory."""
    for precision in choice.precisions:
        for batch in choice.batches:
            yield train_case('training', choice, made, choice.sizes[0], batch, precision)


def predict_case(part, choice, made, size, batch, precision, classes=NUM_CLASSES):
    """A prediction by each candidate."""
    encoder, model = made.model(choice.width_divisor, classes)
    ours = script('bench_prediction.py', '--child', model, '--precision', precision, '--batch', batch, '--size', *size)
    candidates = {OURS: ours, **_floors(choice, encoder, size, batch, precision, classes)}
    if TENSORFLOW_1 in choice.peers and precision == 'float32':
        candidates[OURS_TF1] = ours
    if 'openvino' in choice.peers:
        export = made.export(choice.width_divisor, classes, 'openvino')
        words = ['--size', *size, '--batch', batch, '--child', 'bare', export, precision, 'none']
        candidates['OpenVINO'] = script('bench_export.py', *words)
    if 'onnxruntime' in choice.peers and precision == 'float32':
        export = made.export(choice.width_divisor, classes, 'onnx')
        candidates['ONNX Runtime'] = script('peer_onnxruntime.py', export, *size, batch)
    settings = _network(choice, size, batch, precision, classes)
    return Case(part, settings, candidates, 'frozen_predict_s_per_image')


def train_case(part, choice, made, size, batch, precision, classes=NUM_CLASSES):
    """A training step by each candidate."""
    encoder, model = made.model(choice.width_divisor, classes)
    words = ['--child', model, '--precision', precision, '--batch', batch, '--classes', classes, '--size', *size]
    ours = script('bench_training.py', *words)
    candidates = {OURS: ours, **_floors(choice, encoder, size, batch, precision, classes, ['--train'])}
    if TENSORFLOW_1 in choice.peers and precision == 'float32':
        candidates[OURS_TF1] = ours
    return Case(part, _network(choice, size, batch, precision, classes), candidates, 'train_s_per_image')


def _floors(choice, encoder, size, batch, precision, classes, options=()):
    """Those that take ENCODER HEIGHT WIDTH BATCH."""
    words = [encoder, *size, batch, '--precision', precision, '--classes', classes, *options]
    floors = {}
    if 'tensorflow' in choice.peers:
        floors['bare TensorFlow'] = script('bare_tensorflow.py', *words)
    words += ['--width-divisor', choice.width_divisor]
    for peer, option in PYTORCH_OPTIONS.items():
        if peer in choice.peers:
            floors[PEERS[peer].candidates[0]] = script('peer_pytorch.py', *words, *option)
    return floors


def _network(choice, size, batch, precision, classes=NUM_CLASSES):
    return {
        'size': list(size),
        'batch': batch,
        'precision': precision,
        'classes': classes,
        'width_divisor': choice.width_divisor,
    }


_FIRST_PREDICTION = """
import sys, numpy as np
from fcn8s import open_model
with open_model(sys.argv[2]) as model:
    model.predict(np.zeros((1, int(sys.argv[3]), int(sys.argv[4]), 3), np.uint8))
"""
# What is done up to the moment at which a process is timed; ENCODER, MODEL and SIZE are its arguments.
_START_UP = {
    'import data_generator': 'import data_generator',
    'import fcn8s': 'import fcn8s',
    'import fcn8s.FCN8s': 'from fcn8s import FCN8s',
    'build': 'import sys; from fcn8s import FCN8s; FCN8s(vgg16_dir=sys.argv[1], num_classes=20)',
    'load': 'import sys; from fcn8s import FCN8s; FCN8s(model_load_dir=sys.argv[2])',
    'first prediction': _FIRST_PREDICTION,
    # Python takes a while to end where TensorFlow is loaded; here the process ends at once.
    'first prediction, up to its result': _FIRST_PREDICTION + '    import os; os._exit(0)',
    'first step': """
import sys, itertools, numpy as np
from fcn8s import FCN8s
images = np.zeros((1, int(sys.argv[3]), int(sys.argv[4]), 3), np.uint8)
with FCN8s(model_load_dir=sys.argv[2]) as model:
    model.train(itertools.repeat((images, images[..., 0])), 1, 1, lambda step: 1e-4)
""",
}
_QUICK_START_UP = ('import data_generator', '--help', 'first prediction')


def start_up(choice, made):
    """Whole processes, from their start to their end."""
    encoder, model = made.model(choice.width_divisor, NUM_CLASSES)
    arguments = [encoder, model, *map(str, choice.sizes[0])]
    commands = {what: ['-c', code] + arguments for what, code in _START_UP.items()}
    commands['--help'] = ['-m', 'fcn8s', '--help']
    for what, command in commands.items():
        if choice.quick and what not in _QUICK_START_UP:
            continue
        candidates = {OURS: command}
        if what == 'import fcn8s.FCN8s' and 'tensorflow' in choice.peers:
            candidates['bare TensorFlow'] = ['-c', 'import tensorflow']
        if TENSORFLOW_1 in choice.peers:
            candidates[OURS_TF1] = command
        settings = {'what': what, 'size': list(choice.sizes[0]), 'width_divisor': choice.width_divisor}
        yield Case('start-up', settings, candidates, None)


def evaluation(choice, made):
    """An evaluation beside the prediction of the same images: of the chosen network, and of a small one."""
    size, images = choice.sizes[0], 2 if choice.quick else 8
    for divisor in sorted({choice.width_divisor, max(choice.width_divisor, SMALL_DIVISOR)}):
        words = ['--size', *size, '--images', images, '--width-divisor', divisor, '--rounds', 1 if choice.quick else 3]
        data, model = made.files('bench_evaluation.py', words)
        settings = {'size': list(size), 'width_divisor': divisor, 'images': images}
        command = script('bench_evaluation.py', *words, '--child', data, model)
        yield Case('evaluation', settings, {OURS: command}, None, True)


def generator(choice, made):
    """Seconds a pair of images and labels, decoded, halved and augmented."""
    size, pairs = ((128, 256), 4) if choice.quick else ((1024, 2048), 24)
    words = ['--size', *size, '--rounds', 1 if choice.quick else 3]
    data = made.files('bench_data.py', ['--size', *size, '--pairs', pairs])
    candidates = {
        name: script('bench_data.py', *words, '--child', run, data)
        for name, run in (('decoding alone', 'decode'), (OURS, 'generator'), (OURS + ', cached', 'generator, cached'))
    }
    if 'tensorflow' in choice.peers:
        candidates['tf.data'] = script('peer_tfdata.py', data, *words)
    if 'dataloader' in choice.peers:
        candidates['torch DataLoader'] = script('peer_dataloader.py', data, *words)
    yield Case('generator', {'size': list(size), 'pairs': pairs}, candidates)


def video(choice, made):
    """Seconds a frame from file to file, beside the network on frames in memory."""
    size, frames = choice.sizes[0], 4 if choice.quick else 40
    for precision in choice.precisions:
        words = ['--size', *size, '--frames', frames, '--width-divisor', choice.width_divisor, '--precision', precision]
        source, model = made.files('bench_video.py', words)[:2]
        words += ['--rounds', 1 if choice.quick else 3]
        settings = {'size': list(size), 'precision': precision, 'width_divisor': choice.width_divisor, 'frames': frames}
        command = script('bench_video.py', *words, '--child', source, model)
        yield Case('video', settings, {OURS: command}, None, True)


def growth(choice, made):
    """How predictions, steps and the start of a dataset grow; of a network of a quarter of the width, in float32."""
    choice = choice._replace(width_divisor=max(choice.width_divisor, GROWTH_DIVISOR))
    base, precision = choice.sizes[0], 'float32'
    sizes = [(base[0] * factor, base[1] * factor) for factor in ((1, 2) if choice.quick else (0.5, 1, 2, 4))]
    shapes = [('area', tuple(map(int, size)), 1, NUM_CLASSES) for size in sizes]
    if not choice.quick:
        shapes += [('batch', base, batch, NUM_CLASSES) for batch in (2, 4, 8)]
        shapes += [('classes', base, 1, classes) for classes in (2, 50, 150)]
    for along, size, batch, classes in shapes:
        for make in (predict_case, train_case):
            if make is train_case and size[0] > 2 * base[0]:
                continue  # a step takes three times as long, and as much memory as activations
            case = make('growth', choice, made, size, batch, precision, classes)
            settings = dict(case.settings, along=along, what='prediction' if make is predict_case else 'training')
            ours = (OURS, 'bare TensorFlow')
            commands = {name: words for name, words in case.candidates.items() if name in ours}
            yield case._replace(settings=settings, candidates=commands)
    for pairs in (10, 20) if choice.quick else (100, 1000, 10000):
        data = made.files('bench_data.py', ['--size', 64, 128, '--pairs', pairs])
        settings = {'along': 'dataset', 'what': 'first batch', 'pairs': pairs}
        yield Case('growth', settings, {OURS: script('bench_data.py', '--first-batch', data)})


PARTS = {
    'limits': limits,
    'prediction': prediction,
    'training': training,
    'evaluation': evaluation,
    'generator': generator,
    'video': video,
    'start-up': start_up,
    'growth': growth,
}
