"""Workers in processes of their own, which tests start. Importable by its own name, as those processes import it."""

import functools
import importlib
import itertools
import multiprocessing
import os
import sys
import time

from fcn8s.distributed.cluster import tf_config

TRAIN = """
import os, sys, warnings
warnings.simplefilter('ignore')
import numpy as np
import fcn8s.network
from data_generator import BatchGenerator
from fcn8s import FCN8s, OptimizerSettings, schedules
from fcn8s.distributed import exchange
from fcn8s.distributed.workers import DistributedSettings
from fcn8s.graph.update_rules import LossScaling

root, encoder, out, batch, run, epochs, chosen = sys.argv[1:]
data, val = [BatchGenerator.from_layout('cityscapes', root, split) for split in ('train', 'val')]
cases = [
    dict(optimizer=OptimizerSettings('sgd', gradient_clip_norm=0.5)),
    # The scale with float32, since float16 takes a GPU. It doubles every third step.
    dict(optimizer=OptimizerSettings('sgd', accumulate_batches=2), normalize='sum', scaling=LossScaling(2.0 ** 15, 3)),
    dict(optimizer=OptimizerSettings('adam', accumulate_batches=2)),
    dict(run_dir=run, seed=3),
]
found = {}
for number in map(int, chosen):
    case = cases[number]
    settings = DistributedSettings(timeout=120)
    exchange._LARGE = 2000 if number == 2 else 2 ** 22  # large gradients leave on their own
    scaling, run_dir = case.pop('scaling', None), case.pop('run_dir', None)
    fcn8s.network.needs_loss_scaling = lambda precision: scaling is not None
    fcn8s.network.LossScaling = lambda: scaling
    case.update(label_space=data.label_space, skip_scales=(1, 1), distributed=settings)
    with FCN8s(vgg16_dir=encoder, **case) as model:
        resumes = run_dir is not None and os.path.exists(run_dir + '/config.json')
        # Two workers began with batches of two each: a run keeps them, whoever goes on.
        batches = data.generate(2 if resumes else int(batch), shuffle=number > 0, flip=0.5, random_crop=(32, 32), workers=1)
        rate = 1e-6 if case.get('normalize') else 1e-3
        options = dict(summaries_dir=out + '-events', summaries_worst=2, summaries_frequency=100) if number == 0 else {}
        steps = 8
        if run_dir:
            options.update(run_dir=run_dir, resume=resumes)
            steps = 5
        num_ops = len(model.graph.get_operations())
        history = model.train(batches, int(epochs) if run_dir else 1, steps, schedules.constant(rate),
                              val_generator=val.generate(1, shuffle=False), val_steps=3, metrics=('loss', 'mean_iou'),
                              eval_frequency=1, **options)
        assert not [op for op in model.graph.get_operations()[num_ops:] if 'take_over' in op.name]
        for variable, value in zip(model.model.state, model.sess.run(model.model.state)):
            found['{} {}'.format(number, variable.op.name)] = value
        found['{} loss'.format(number)] = history[-1]['training_loss']
        found['{} matrix'.format(number)] = history[-1]['evaluation']['confusion_matrix']
np.savez(out, **found)
"""


def started(target, arguments, addresses, worker, path):
    """A process that is forked from one that has imported TensorFlow; it writes what it says into a file."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['fcn8s.backend', 'fcn8s.cli', 'fcn8s.model', 'data_generator'])
    config = tf_config(addresses, worker) if len(addresses) > 1 else ''
    process = context.Process(target=target, args=(arguments, config, path))
    process.start()
    return process


def be_trainer(arguments, config, path):
    take_environment(config, path)
    sys.argv[1:] = arguments
    exec(compile(TRAIN, 'TRAIN', 'exec'), {'__name__': 'trainer'})


def be_worker(arguments, config, path):
    from fcn8s import cli

    take_environment(config, path)
    sys.exit(cli.main(arguments))


def be_hanging_worker(arguments, config, path):
    """A worker that comes to the function `arguments[0]`, 'module:class.function', and does not return from it."""
    take_environment(config, path)
    module, _, names = arguments[0].partition(':')
    *classes, function = names.split('.')
    owner = functools.reduce(getattr, classes, importlib.import_module(module))
    setattr(owner, function, lambda *_, **__: time.sleep(600))
    be_worker(arguments[1:], config, path)


def be_failing_worker(arguments, config, path):
    """A worker whose batch number `arguments[0]`, counted from 1, cannot be read."""
    from fcn8s.training.shared import SharedBatches

    take_batch, number = SharedBatches.__next__, itertools.count(1)

    def take_or_fail(batches):
        if next(number) == int(arguments[0]):
            raise OSError('x.png is gone')
        return take_batch(batches)

    SharedBatches.__next__ = take_or_fail
    be_worker(arguments[1:], config, path)


def take_environment(config, path):
    os.environ['TF_CONFIG'] = config
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = os.fdopen(1, 'w'), os.fdopen(2, 'w')


def read_text(path):
    with open(path, encoding='utf-8', errors='replace') as file:
        return file.read()


def is_running(process_id):
    """Whether a process, of anybody, is there and has not ended."""
    try:
        with open('/proc/{}/stat'.format(process_id)) as file:
            return file.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False
