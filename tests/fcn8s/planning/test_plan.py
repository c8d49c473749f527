import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from commands import run_command
from graphs import ops_before
from thorough import THOROUGH

from fcn8s import FCN8s, precision
from fcn8s.backend import TF_VERSION, tf
from fcn8s.cli import plan as plan_command
from fcn8s.graph import upsampling
from fcn8s.optimizers import PAPER_SGD, OptimizerSettings
from fcn8s.planning import cost, memory, step_time
from fcn8s.planning.memory import GB, PlanRequest
from fcn8s.vgg16.weights import layers

TINY = PlanRequest(num_classes=3, size=(40, 72), batch=2, width_divisor=32)
REPOSITORY = str(pathlib.Path(__file__).parents[3])


@pytest.fixture(scope='module')
def probe():
    return step_time._Probe(TINY)


@pytest.mark.parametrize('error', [None, MemoryError])
def test_the_session_of_a_measurement_is_closed(monkeypatch, error):
    probe = step_time._Probe.__new__(step_time._Probe)
    probe.session = tf.Session(graph=tf.Graph())

    def seconds(batch, size):
        if error:
            raise error
        return 1.0

    probe.seconds = seconds
    monkeypatch.setattr(step_time, '_Probe', lambda request: probe)
    with pytest.raises(error) if error else contextlib.ExitStack():
        assert step_time.measure_step_seconds(TINY, budget=1e9) == 1.0
    with pytest.raises(RuntimeError, match='closed Session'):
        probe.session.run([])


def test_parameters_are_those_of_the_network(probe):
    with probe.graph.as_default():
        shapes = [variable.shape.as_list() for variable in tf.trainable_variables()]
    # The transposed convolutions have no biases; theirs are counted, a class's worth each.
    transposed = 3
    assert memory.parameter_bytes(TINY) == 4 * (sum(np.prod(shape) for shape in shapes) + transposed * TINY.num_classes)


def test_activations_are_the_outputs_of_relu_pool_and_dropout(probe):
    encoder = [
        operation
        for operation in probe.graph.get_operations()
        if operation.type in ('Relu', 'MaxPool') and not operation.name.startswith(('gradients', 'optimizer'))
    ]
    kept = [operation.outputs[0] for operation in encoder]
    kept += [tensor for tensor in kept if tensor.op.name.startswith(('fc6', 'fc7'))]  # once more, after dropout
    feed = {
        probe.images: np.zeros((1,) + TINY.size + (3,), np.float32),
        probe.graph.get_tensor_by_name('keep_prob:0'): 1.0,
    }
    sizes = [value.nbytes for value in probe.session.run(kept, feed)]
    assert memory.encoder_activation_bytes(TINY) == sum(sizes)


def multiply_adds_in_graph(probe, fetch, feed):
    """Of every convolution that runs for `fetch`: the values of its wide side times what each adds up."""
    wide = {'Conv2D': lambda op: op.outputs[0], 'Conv2DBackpropInput': lambda op: op.inputs[2]}
    wide['Conv2DBackpropFilter'] = wide['Conv2DBackpropInput']
    kernel = {'Conv2D': lambda op: op.inputs[1], 'Conv2DBackpropInput': lambda op: op.inputs[1]}
    kernel['Conv2DBackpropFilter'] = lambda op: op.outputs[0]
    ops = [op for op in ops_before(fetch) if op.type in wide]
    with probe.graph.as_default():
        shapes = [(tf.shape(wide[op.type](op)), tf.shape(kernel[op.type](op))) for op in ops]
    return sum(int(np.prod(values)) * int(np.prod(kernel[:3])) for values, kernel in probe.session.run(shapes, feed))


def test_the_cost_counts_the_multiply_adds_of_the_graph(monkeypatch):
    # With TensorFlow's own gradients, whose ops say what they multiply.
    monkeypatch.setattr(upsampling, 'has_gpus', lambda: True)
    probe = step_time._Probe(TINY)
    feed = {
        probe.images: np.zeros((TINY.batch,) + TINY.size + (3,), np.float32),
        probe.labels: np.zeros((TINY.batch,) + TINY.size, np.uint8),
        probe.graph.get_tensor_by_name('keep_prob:0'): 1.0,
    }
    forward = [op for op in probe.graph.get_operations() if op.type == 'Conv2DBackpropInput'][2]
    counted = cost.cost_of(TINY)
    assert counted.predict.multiply_adds == multiply_adds_in_graph(probe, forward, feed)
    assert counted.train.multiply_adds == multiply_adds_in_graph(probe, probe.train_ops.apply_op, feed)


def test_the_cost_of_vgg_16_is_the_published_one():
    """15.35 G multiply-adds at 224 x 224 in the 13 convolutions: summed over column D of the paper's table."""
    ops = cost.cost_of(PlanRequest(20, (224, 224))).predict.ops
    convolutions = [op for op in ops if op.name.startswith('conv')]
    assert len(convolutions) == 13 and sum(op.multiply_adds for op in convolutions) == 15346630656


def test_bytes_are_those_of_operands_and_results():
    """fc7 of a batch of 2 at 64 x 64: 2 x 2 positions of 4096 channels in and out, and 4096 x 4096 weights."""
    request = PlanRequest(20, (64, 64), batch=2)
    values = 2 * 4 * 4096
    for name, item in (('float32', 4), ('bfloat16', 2)):
        counted = cost.cost_of(request._replace(precision=name))
        found = [op.bytes_moved for op in counted.train.ops if op.name.startswith('fc7')]
        assert found == [2 * item * values + 4 * 4096 * 4096] * 3
    (update,) = [op for op in counted.train.ops if op.name == 'update']
    biases = 4224 + 2 * 4096 + 3 * 20 + 3 * 20  # of convolutions, fc6 and fc7, scores, and transposed convolutions
    assert update.bytes_moved == 7 * (memory.parameter_bytes(request) - 4 * biases)
    fixed = cost.cost_of(request._replace(upsampling='bilinear')).train.ops[-1]
    assert update.bytes_moved - fixed.bytes_moved == 7 * 4 * (2 * 4 * 4 + 16 * 16) * 20 * 20


def test_the_roofline_waits_for_the_slower_of_both():
    work = cost.Work([cost.OpCost('a', 100.0, 10.0), cost.OpCost('b', 10.0, 100.0)])
    assert work.seconds(10.0, 10.0) == 10.0 + 10.0
    assert work.seconds(10.0, 1e9) == pytest.approx(11.0)
    assert (work.multiply_adds, work.bytes_moved) == (110.0, 110.0)


def test_accumulated_batches_cost_one_update():
    one, three = (
        cost.cost_of(TINY._replace(optimizer=OptimizerSettings(accumulate_batches=batches))).train for batches in (1, 3)
    )
    assert three.multiply_adds == 3 * one.multiply_adds
    assert [op.name for op in three.ops].count('update') == 1 and [op.name for op in three.ops].count('loss') == 3


@pytest.mark.skipif(TF_VERSION < (2, 0), reason='no bfloat16 convolutions')
def test_the_probe_of_bfloat16_on_a_gpu_runs_the_converted_network(monkeypatch):
    machine = precision.this_machine()._replace(gpus=((8, 0),))
    monkeypatch.setattr(precision, 'this_machine', lambda base=None: machine)
    converted = step_time._Probe(TINY._replace(precision='bfloat16'))
    types = [o.get_attr('T') for o in converted.graph.get_operations() if o.type == 'Conv2D']
    assert types.count(tf.bfloat16) == 15
    assert converted.seconds(1, (32, 32)) > 0


def test_the_probe_holds_its_weights_once():
    """TensorFlow 2 copies weights in the first step that lie in a constant; 1.15 does not tell of it."""
    probe, metadata = step_time._Probe(TINY), tf.RunMetadata()
    with contextlib.closing(probe):
        feed = {
            probe.images: np.zeros((1, 32, 32, 3), np.float32),
            probe.labels: np.zeros((1, 32, 32), np.uint8),
            probe.graph.get_tensor_by_name('keep_prob:0'): 0.5,
        }
        options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
        probe.session.run(probe.train_ops.apply_op, feed, options=options, run_metadata=metadata)
        updates = {op.name: op for op in probe.graph.get_operations() if op.type == 'ResourceApplyAdam'}
    stats = [node for device in metadata.step_stats.dev_stats for node in device.node_stats]
    copied = {node.node_name: node.memory_stats.temp_memory_size for node in stats if node.node_name in updates}
    assert len(copied) == len(updates)
    # Kernels of the decoder may still lie in constants; fc6 has this size.
    assert max(copied.values()) < 4 * 7 * 7 * 16 * 128, copied


@pytest.mark.parametrize('variant, upsampling', [('8s', 'bilinear'), ('16s', 'learned'), ('32s', 'learned')])
def test_every_variant_has_its_layers(variant, upsampling):
    request = TINY._replace(variant=variant, upsampling=upsampling)
    built = step_time._Probe(request)
    with built.graph.as_default():
        kernels = sum(np.prod(v.shape.as_list()) for v in tf.trainable_variables() if v.shape.ndims == 4)
        biases = sum(np.prod(v.shape.as_list()) for v in tf.trainable_variables() if v.shape.ndims == 1)
    assert 0 <= memory.parameter_bytes(request) - 4 * (kernels + biases) <= 4 * 3 * request.num_classes


def test_memory_grows_with_everything_that_takes_memory():
    base = memory.estimate_memory(TINY, 0.0)
    for larger in (
        TINY._replace(batch=3),
        TINY._replace(size=(80, 72)),
        TINY._replace(num_classes=9),
        TINY._replace(width_divisor=16),
        TINY._replace(optimizer=OptimizerSettings(accumulate_batches=2)),
        TINY._replace(optimizer=OptimizerSettings(ema=0.9)),
        TINY._replace(optimizer=OptimizerSettings(swa=2)),
    ):
        assert memory.estimate_memory(larger, 0.0) > base
    assert memory.estimate_memory(TINY, GB) == pytest.approx(base + GB)
    assert memory.estimate_memory(TINY._replace(optimizer=PAPER_SGD), 0.0) < base


@pytest.mark.parametrize('optimizer', [OptimizerSettings(accumulate_batches=2), PAPER_SGD])
def test_the_state_of_a_warm_up_is_planned(tiny_encoder, optimizer):
    request = TINY._replace(width_divisor=16, optimizer=optimizer)  # the width of the fixture
    warmed_up = request._replace(head_warmup=True)
    planned = memory.estimate_memory(warmed_up, 0.0) - memory.estimate_memory(request, 0.0)
    with FCN8s(vgg16_dir=tiny_encoder, num_classes=3, optimizer=optimizer, head_warmup=1) as model:
        shapes = [variable.shape.as_list() for variable in model.model.training.warmup.state if variable.shape.ndims]
    # The transposed convolutions have no biases; theirs are planned, a class's worth each, in each copy.
    copies = 3 if optimizer.name == 'adam' else 1
    assert planned == pytest.approx(4 * (sum(np.prod(shape) for shape in shapes) + copies * 3 * 3))


def test_a_lighter_head_is_planned_with_its_own_weights():
    lighter = TINY._replace(head=layers.parse_head('3x3x1024'))
    kernels = layers.kernel_shapes(32), layers.kernel_shapes(32, lighter.head)
    scores = [4 * TINY.num_classes * shapes['fc7'][3] for shapes in kernels]
    heads = [4 * sum(np.prod(shapes[name]) + shapes[name][3] for name in ('fc6', 'fc7')) for shapes in kernels]
    difference = memory.parameter_bytes(TINY) - memory.parameter_bytes(lighter)
    assert difference == heads[0] - heads[1] + scores[0] - scores[1]
    assert memory.estimate_memory(lighter, 0) < memory.estimate_memory(TINY, 0)


def test_the_largest_batch_fits_and_one_more_does_not():
    limit = 2 * GB
    batch = memory.largest_batch(TINY, limit, 0.2 * GB)
    assert memory.estimate_memory(TINY._replace(batch=batch), 0.2 * GB) <= limit
    assert memory.estimate_memory(TINY._replace(batch=batch + 1), 0.2 * GB) > limit
    assert memory.largest_batch(TINY, 0.1 * GB, 0.2 * GB) == 0


def test_the_largest_crop_fits_and_keeps_the_shape():
    request = PlanRequest(num_classes=19, size=(1024, 2048), batch=4)
    limit = 12 * GB
    height, width = memory.largest_crop(request, limit, 0.6 * GB)
    assert height % 32 == width % 32 == 0 and abs(width / height - 2) < 0.15
    assert memory.estimate_memory(request._replace(size=(height, width)), 0.6 * GB) <= limit
    assert memory.estimate_memory(request._replace(size=(height + 64, width + 64)), 0.6 * GB) > limit
    assert memory.largest_crop(request, 1 * GB, 0.6 * GB) is None
    assert memory.largest_crop(request._replace(size=(1, 20000)), limit, 0.6 * GB) is None


def test_extrapolation_is_a_line_that_never_falls():
    assert step_time.extrapolate([100], [2.0], 300) == pytest.approx(6.0)
    assert step_time.extrapolate([100, 200], [2.0, 3.0], 400) == pytest.approx(5.0)
    assert step_time.extrapolate([100, 200], [3.0, 2.0], 400) == pytest.approx(2.0)
    assert step_time.extrapolate([100, 400], [2.0, 7.0], 400) == 7.0


def test_probes_grow_to_the_planned_shape():
    request = PlanRequest(num_classes=3, size=(256, 512), batch=4)
    assert step_time.probe_shapes(request) == [(1, (64, 128)), (1, (128, 256)), (1, (256, 512)), (4, (256, 512))]
    assert step_time.probe_shapes(request._replace(size=(20, 40), batch=1)) == [(1, (20, 32)), (1, (20, 40))]


def test_measuring_stops_before_the_budget_and_extrapolates():
    request = PlanRequest(num_classes=3, size=(256, 512), batch=4)
    asked = []

    def linear(batch, size):
        asked.append((batch, size))
        return 1.0 + batch * size[0] * size[1] / 65536.0

    assert step_time.measure_step_seconds(request, budget=1e9, measure=linear) == 9.0
    assert asked == step_time.probe_shapes(request)
    del asked[:]
    assert step_time.measure_step_seconds(request, budget=6.0, measure=linear) == pytest.approx(9.0)
    assert asked == [(1, (64, 128)), (1, (128, 256))]


def test_a_real_probe_takes_time(probe):
    accumulated = step_time._Probe(TINY._replace(optimizer=OptimizerSettings(accumulate_batches=3)))
    assert probe.seconds(1, (32, 32)) > 0
    assert accumulated.seconds(1, (32, 32)) > 0


def test_a_probe_averages_the_weights_in_each_step_as_the_training_does():
    request = TINY._replace(optimizer=OptimizerSettings(ema=0.5))
    with contextlib.closing(step_time._Probe(request)) as averaging, averaging.graph.as_default():
        assert averaging.seconds(1, (32, 32)) > 0
        (count,) = [v for v in tf.global_variables() if v.op.name == 'optimizer/raw_weights/count']
        assert averaging.session.run(count) == 3  # one step to warm up, two that are measured
    with_average, without = (cost.cost_of(each).train.bytes_moved for each in (request, TINY))
    # Weight and average are read, the average is written; biases do not count.
    assert with_average - without == pytest.approx(3 * memory.parameter_bytes(TINY), rel=1e-2)


def run_plan(*words):
    return run_command(plan_command, *words)


def test_the_command(capsys):
    status = run_plan(
        '--size',
        '32',
        '64',
        '--classes',
        '3',
        '--batch',
        '2',
        '--width-divisor',
        '32',
        '--images',
        '10',
        '--seconds',
        '1',
    )
    printed = capsys.readouterr().out
    assert status == 0
    assert '32 x 64 pixels, batch 2, 3 classes, float32, encoder 1/32 as wide' in printed
    for word in ('memory', 'step', 'images/s', 'epoch', 'for 10 images', 'largest batch', 'largest crop'):
        assert word in printed


def test_workers_of_a_training_that_does_not_fit_are_told(capsys):
    words = '--size 32 64 --classes 3 --width-divisor 32 --memory 0.001 --workers 2 --bandwidth 10'
    assert run_plan(*words.split()) == 1
    assert 'workers        not estimated: the training of one does not fit' in capsys.readouterr().out


def test_the_command_says_what_a_step_costs_and_what_a_gpu_would_take(capsys):
    """A step of VGG-16 at 224 x 224 is bound by bytes on a GPU that computes without end, and the other way round."""
    request = PlanRequest(20, (224, 224), batch=2, optimizer=OptimizerSettings(accumulate_batches=2))
    step = cost.cost_of(request).train
    words = ['--size', '224', '224', '--classes', '20', '--batch', '2', '--accumulate', '2', '--seconds', '0']
    for rates, seconds in (((1e9, 1e3), step.bytes_moved / 1e12), ((1.0, 1e12), 2 * step.multiply_adds / 1e12)):
        run_plan(*words, '--images', '100', '--gpu-tflops', str(rates[0]), '--gpu-gbs', str(rates[1]))
        printed = capsys.readouterr().out
        assert 'cost           {:.4g} G multiply-adds a step'.format(step.multiply_adds / 1e9) in printed
        assert 'GPU            {:.3g} s a step or more'.format(seconds) in printed and 'not measured' in printed
        # 50 batches of 2, 2 of them a step.
        assert 'epoch on it    {:.3g} s or more for 100 images; computed'.format(25 * seconds) in printed


def rows_of_docs(start):
    """Cells of the table rows of docs/plan.md that begin so."""
    text = pathlib.Path(REPOSITORY, 'docs', 'plan.md').read_text(encoding='utf-8')
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if line.startswith('| ')]
    return [row for row in rows if re.match(start, row[0])]


def test_the_measured_memory_of_the_docs_is_planned_within_a_fifth(monkeypatch):
    """The process held 0.56 GB (TensorFlow 2.21) or 0.24 GB (1.15) with no network when these were measured."""
    rows = rows_of_docs(r'2\.21|1\.15')
    assert len(rows) == 16
    for version, width, classes, shape, kind, measured, _ in rows:
        first = version.startswith('1')
        monkeypatch.setattr(memory, 'FACTORS', memory._TENSORFLOW_1 if first else memory._TENSORFLOW_2)
        height, side, batch = (int(number) for number in re.findall(r'\d+', shape))
        request = PlanRequest(
            int(classes.split(',')[0]),
            (height, side),
            batch,
            int(width.split('/')[-1]),
            (re.findall(r'\d+s', classes) or ['8s'])[0],
            'bilinear' if 'bilinear' in classes else 'learned',
            kind.split()[0],
        )
        planned = memory.estimate_memory(request, (0.24 if first else 0.56) * GB) / GB
        assert planned == pytest.approx(float(measured), rel=0.2), (version, width, classes, shape)


def test_the_costs_of_the_docs_are_those_of_the_model():
    rows = rows_of_docs(r'\d+x\d+, \d')
    assert len(rows) >= 6
    for shape, kind, head, *figures in rows:
        height, width, batch = (int(number) for number in re.findall(r'\d+', shape))
        request = PlanRequest(20, (height, width), batch, precision=kind, head=layers.parse_head(head))
        counted = cost.cost_of(request)
        expected = [counted.predict.multiply_adds, counted.predict.bytes_moved]
        expected += [counted.train.multiply_adds, counted.train.bytes_moved, memory.parameter_bytes(request)]
        assert figures == ['{:.4g}'.format(value / 1e9) for value in expected]


def test_the_command_says_what_does_not_fit(capsys):
    status = run_plan('--size', '512', '1024', '--classes', '19', '--memory', '0.5')
    printed = capsys.readouterr().out
    assert status == 1
    assert 'which does not fit 0.5 GB' in printed and 'not even one image of this size fits' in printed
    assert 'largest crop   none' in printed and '\nstep ' not in printed


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--size', '0', '64', '--classes', '3'], 'size is (0, 64); it has to be (height, width), each a whole number'),
        (['--size', '32', '64', '--classes', '1'], '--classes is 1'),
        (['--size', '32', '64', '--classes', '3', '--width-divisor', '3'], 'width_divisor is 3'),
        (['--size', '32', '64', '--classes', '3', '--memory', '-1'], '--memory is -1.0; it has to be a number above 0'),
        (['--size', '32', '64', '--classes', '3', '--images', '0'], '--images is 0; it has to be a number above 0'),
        (['--size', '32', '64', '--classes', '3', '--memory', 'nan'], '--memory is nan; it has to be a number above 0'),
        (['--size', '32', '64', '--classes', '3', '--seconds', '-2'], '--seconds is -2.0; it has to be a number of'),
        (['--size', '32', '64', '--classes', '3', '--seconds', 'nan'], '--seconds is nan; it has to be a number of'),
        (
            ['--size', '32', '64', '--classes', '3', '--gpu-gbs', '9'],
            '--gpu-tflops is None, and --gpu-gbs is 9.0; they',
        ),
        (
            ['--size', '32', '64', '--classes', '3', '--gpu-tflops', '0', '--gpu-gbs', '9'],
            '--gpu-tflops is 0.0; it has',
        ),
        (
            ['--size', '32', '64', '--classes', '3', '--head-warmup', '-1'],
            '--head-warmup is -1; it has to be a whole number',
        ),
        (
            ['--size', '32', '64', '--classes', '3', '--head-warmup', '2', '--workers', '2'],
            '--head-warmup is 2; it is for a training of one process. Leave it out with several workers',
        ),
        (['--size', '32', '64', '--classes', '3', '--gpu-tflops', '1', '--gpu-gbs', 'inf'], '--gpu-gbs is inf; it has'),
    ],
)
def test_the_command_refuses_what_cannot_be_planned(arguments, message):
    with pytest.raises(ValueError) as error:
        run_plan(*arguments)
    assert message in str(error.value)


MEASURED = r"""
import json, re, sys
import numpy as np
from fcn8s import precision
from fcn8s.planning import memory, step_time
from fcn8s.backend import tf
with tf.Graph().as_default(), tf.Session() as session:
    session.run(tf.constant(1.0))
base = memory.process_memory()
request = memory.PlanRequest(num_classes=20, size=(256, 512), batch=4, width_divisor=int(sys.argv[1]))
step_time._Probe(request).seconds(request.batch, request.size)
# Not ru_maxrss: a process begins with that of the process that started it.
peak = 1024.0 * int(re.search(r'VmHWM:\s+(\d+) kB', open('/proc/self/status').read()).group(1))
print(json.dumps([memory.estimate_memory(request, base), peak]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads the peak memory from /proc')
@pytest.mark.parametrize('width_divisor', [2, 4, 16] if THOROUGH else [4])
def test_memory_is_within_a_quarter_of_what_a_process_takes(width_divisor):
    output = subprocess.check_output(
        [sys.executable, '-c', MEASURED, str(width_divisor)],
        stderr=subprocess.DEVNULL,
        env=dict(os.environ, PYTHONPATH=REPOSITORY),
    )
    planned, measured = json.loads(output.decode().splitlines()[-1])
    assert planned == pytest.approx(measured, rel=0.25)
