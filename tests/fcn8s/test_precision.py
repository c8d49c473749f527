import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from precisions import needs_bfloat16
from streams import Stream

from fcn8s import FCN8s, open_model, precision
from fcn8s.backend import TF_VERSION, tf
from fcn8s.precision import Machine
from fcn8s.saving.saved_models import read_meta_graph

REWRITES = frozenset(['auto_mixed_precision', 'auto_mixed_precision_onednn_bfloat16'])
MODERN_CPU = Machine((2, 21), REWRITES, frozenset(['avx2', 'avx512_bf16']), (), {}, True)
REPOSITORY = str(pathlib.Path(__file__).parents[2])


@pytest.mark.parametrize(
    'fastest, machine',
    [
        ('bfloat16', MODERN_CPU),
        ('float32', MODERN_CPU._replace(cpu_flags=frozenset(['avx2']))),
        ('float32', MODERN_CPU._replace(cpu_flags=frozenset(['asimd', 'bf16']))),
        ('float32', MODERN_CPU._replace(has_onednn=False)),
        ('float32', MODERN_CPU._replace(tf_version=(1, 15), rewrites=frozenset())),
        ('float32', MODERN_CPU._replace(gpus=((8, 0),))),
    ],
)
def test_the_fastest_precision_of_a_cpu(fastest, machine):
    assert precision.fastest_on_cpu(machine) == fastest


@pytest.mark.parametrize('flags, chosen', [(['avx512_bf16'], 'bfloat16'), (['avx2'], 'float32')])
def test_auto_is_the_fastest_precision_and_others_are_as_they_are(monkeypatch, flags, chosen):
    monkeypatch.setattr(precision, 'this_machine', lambda base: MODERN_CPU._replace(cpu_flags=frozenset(flags)))
    assert precision.chosen_precision('auto') == chosen
    assert [precision.chosen_precision(name) for name in ('bfloat16', 'nonsense')] == ['bfloat16', 'nonsense']


def test_networks_open_in_the_precision_of_auto(shallow_encoder, tmp_path):
    fastest = precision.fastest_on_cpu()
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, precision='auto') as model:
        assert model.network.arithmetic.precision == fastest
        path = model.save(str(tmp_path))
    with open_model(path, precision='auto') as model:
        assert model.precision == fastest


@pytest.mark.parametrize(
    'wanted, machine',
    [
        ('float32', Machine((1, 15), frozenset(), frozenset(), (), {}, False)),
        ('bfloat16', MODERN_CPU),
        ('bfloat16', MODERN_CPU._replace(cpu_flags=frozenset(['amx_bf16']))),
        ('bfloat16', MODERN_CPU._replace(gpus=((8, 0),), cpu_flags=frozenset())),
        ('mixed_float16', MODERN_CPU._replace(gpus=((8, 0),))),
        ('mixed_float16', MODERN_CPU._replace(gpus=(None,), tf_version=(1, 15))),
    ],
)
def test_precisions_that_a_machine_has_pass(wanted, machine):
    precision.check_precision(wanted, machine=machine)


@pytest.mark.parametrize(
    'wanted, machine, message',
    [
        ('float64', MODERN_CPU, "precision is 'float64'; it has to be one of auto, float32, bfloat16, mixed_float16"),
        (
            'bfloat16',
            MODERN_CPU._replace(tf_version=(1, 15), rewrites=frozenset(['auto_mixed_precision'])),
            'TensorFlow 1.15 has no bfloat16 convolutions',
        ),
        ('bfloat16', MODERN_CPU._replace(cpu_flags=frozenset(['avx2'])), 'this CPU has no bfloat16 arithmetic'),
        (
            'bfloat16',
            MODERN_CPU._replace(gpus=((7, 5),)),
            'the GPU has compute capability 7.5; GPUs have bfloat16 arithmetic from 8.0 up',
        ),
        (
            'bfloat16',
            MODERN_CPU._replace(has_onednn=False),
            'the rewrite to bfloat16 is part of oneDNN, which is off. The environment variable TF_ENABLE_ONEDNN_OPTS=1',
        ),
        ('mixed_float16', MODERN_CPU, 'float16 needs a GPU, and TensorFlow sees none'),
        (
            'mixed_float16',
            MODERN_CPU._replace(gpus=((6, 1),)),
            'compute capability 6.1; TensorFlow uses float16 from 7.0',
        ),
    ],
)
def test_precisions_that_a_machine_lacks_are_refused_with_the_reason(wanted, machine, message):
    with pytest.raises(ValueError) as error:
        precision.check_precision(wanted, machine=machine)
    assert message in str(error.value)


def test_xla_needs_a_gpu_or_the_flag():
    with pytest.raises(ValueError) as error:
        precision.check_precision('float32', xla=True, machine=MODERN_CPU)
    assert 'TF_XLA_FLAGS=--tf_xla_cpu_global_jit' in str(error.value)
    flag = {'TF_XLA_FLAGS': '--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit'}
    precision.check_precision('float32', xla=True, machine=MODERN_CPU._replace(environment=flag))
    precision.check_precision('float32', xla=True, machine=MODERN_CPU._replace(gpus=((8, 0),)))


def test_only_float16_needs_loss_scaling():
    assert [precision.needs_loss_scaling(name) for name in precision.SESSION_PRECISIONS] == [False, False, True]


def test_the_users_config_is_copied_and_kept():
    base = tf.ConfigProto(intra_op_parallelism_threads=3, device_count={'GPU': 0})
    before = base.SerializeToString(deterministic=True)
    config = precision.session_config(base=base)
    assert base.SerializeToString(deterministic=True) == before
    assert config.intra_op_parallelism_threads == 3
    assert config.gpu_options.allow_growth
    assert not precision.session_config(gpu_memory_growth=False).gpu_options.allow_growth
    growing = tf.ConfigProto(gpu_options=tf.GPUOptions(allow_growth=True))
    assert precision.session_config(gpu_memory_growth=False, base=growing).gpu_options.allow_growth


def test_no_more_threads_compute_than_the_container_has_time_for(monkeypatch):
    def threads(cores, **base):
        monkeypatch.setattr(precision, 'num_cores', lambda: cores)
        return precision.session_config(base=tf.ConfigProto(**base)).intra_op_parallelism_threads

    monkeypatch.delenv('TF_NUM_INTRAOP_THREADS', raising=False)
    monkeypatch.setattr(precision, 'available_cores', lambda: list(range(8)))
    assert [threads(8), threads(2), threads(2, intra_op_parallelism_threads=5)] == [0, 2, 5]
    monkeypatch.setenv('TF_NUM_INTRAOP_THREADS', '3')
    assert threads(2) == 0  # TensorFlow reads it where nothing is set


def test_a_config_without_gpus_hides_them(monkeypatch):
    monkeypatch.setattr(tf.config.experimental, 'list_physical_devices', lambda kind: ['a GPU'])
    assert precision.this_machine(tf.ConfigProto(device_count={'GPU': 0})).gpus == ()


def test_float16_switches_tensorflows_rewrite_on(monkeypatch):
    monkeypatch.setattr(precision, 'this_machine', lambda base: MODERN_CPU._replace(gpus=((8, 0),)))
    rewrites = precision.session_config('mixed_float16').graph_options.rewrite_options
    assert rewrites.auto_mixed_precision == rewrites.ON


def test_cpu_flags_of_x86_and_of_others(tmp_path):
    (tmp_path / 'cpuinfo').write_text('processor\t: 0\nflags\t\t: fpu avx512_bf16\n')
    assert precision._cpu_flags(str(tmp_path / 'cpuinfo')) == {'fpu', 'avx512_bf16'}
    assert precision._cpu_flags(str(tmp_path / 'nothing')) == frozenset()


def convolution_dtypes(config):
    """Types of the convolutions that a session really runs, and the float32 value and gradient of a small network."""
    with tf.Graph().as_default():
        images = tf.placeholder(tf.float32, [None, None, None, 16])
        kernel = tf.get_variable('kernel', initializer=np.full((3, 3, 16, 16), 0.013, np.float32), use_resource=True)
        hidden = tf.nn.relu(tf.nn.conv2d(images, kernel, [1, 1, 1, 1], 'SAME'))
        value = tf.reduce_mean(tf.nn.conv2d(hidden, kernel, [1, 1, 1, 1], 'SAME'))
        gradient = tf.gradients(value, kernel)[0]
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            metadata = tf.RunMetadata()
            options = tf.RunOptions(output_partition_graphs=True)
            ramp = np.linspace(0, 1, 2 * 8 * 8 * 16, dtype=np.float32).reshape(2, 8, 8, 16)
            result = session.run([value, gradient], {images: ramp}, options, metadata)
    nodes = [node for graph in metadata.partition_graphs for node in graph.node]
    return {tf.as_dtype(node.attr['T'].type) for node in nodes if 'Conv2D' in node.op and 'T' in node.attr}, result


@needs_bfloat16
def test_bfloat16_convolves_in_bfloat16_and_returns_float32():
    dtypes, (value, gradient) = convolution_dtypes(precision.session_config('bfloat16'))
    exact_dtypes, (exact_value, exact_gradient) = convolution_dtypes(precision.session_config())
    assert dtypes == {tf.bfloat16} and exact_dtypes == {tf.float32}
    assert value.dtype == gradient.dtype == np.float32
    assert value == pytest.approx(exact_value, rel=0.02)
    np.testing.assert_allclose(gradient, exact_gradient, rtol=0.05)


@pytest.mark.skipif(TF_VERSION < (2, 0), reason='no bfloat16 convolutions')
def test_training_in_bfloat16_on_a_gpu_converts_the_encoder_and_nothing_that_is_kept(
    tiny_encoder, tmp_path, monkeypatch
):
    """The conversion for GPUs, run on a CPU, where the same kernels are slower but there."""
    with FCN8s(vgg16_dir=tiny_encoder, num_classes=3) as model:
        exact = [model.train(Stream(), 1, 8, lambda step: 1e-3, keep_prob=1.0)[0]['training_loss']]
        saved = [model.save(str(tmp_path), name='exact', force_save=True)]
    machine = precision.this_machine()
    monkeypatch.setattr(precision, 'this_machine', lambda base=None: machine._replace(gpus=((8, 0),)))
    monkeypatch.setattr('fcn8s.network.this_machine', precision.this_machine)
    with FCN8s(vgg16_dir=tiny_encoder, num_classes=3, precision='bfloat16') as model:
        convolutions = [operation for operation in model.graph.get_operations() if operation.type == 'Conv2D']
        narrow = [operation for operation in convolutions if operation.get_attr('T') == tf.bfloat16]
        assert len(narrow) == 15 and not [operation for operation in narrow if operation.name.startswith('decoder')]
        assert {variable.dtype.base_dtype for variable in model.model.weights} == {tf.float32}
        assert {tensor.dtype for tensor in (model.fcn8s_output, model.total_loss)} == {tf.float32}
        rounded = [model.train(Stream(), 1, 8, lambda step: 1e-3, keep_prob=1.0)[0]['training_loss']]
        saved.append(model.save(str(tmp_path), name='rounded', force_save=True))
    assert rounded == pytest.approx(exact, rel=0.02) and rounded != exact
    graphs = [read_meta_graph(path, ['default']).graph_def for path in saved]
    assert graphs[0] == graphs[1]


@pytest.mark.skipif(TF_VERSION >= (2, 0), reason='TensorFlow 2 has them')
def test_bfloat16_is_refused_by_tensorflow_1():
    with pytest.raises(ValueError) as error:
        precision.session_config('bfloat16')
    assert 'TensorFlow 1.15 has no bfloat16 convolutions' in str(error.value)


XLA_PROGRAM = """
from fcn8s import precision
from fcn8s.backend import tf
with tf.Graph().as_default(), tf.Session(config=precision.session_config(xla=True)) as session:
    x = tf.placeholder(tf.float32, [64, 64])
    y = tf.reduce_sum(tf.tanh(tf.matmul(x, x) * 2.0 + 1.0))
    metadata = tf.RunMetadata()
    session.run(y, {x: [[0.5] * 64] * 64}, tf.RunOptions(output_partition_graphs=True), metadata)
print(sorted({node.op for graph in metadata.partition_graphs for node in graph.node}))
"""


def test_xla_compiles_on_a_cpu_started_with_the_flag():
    environment = dict(
        os.environ, TF_XLA_FLAGS='--tf_xla_cpu_global_jit', PYTHONPATH=REPOSITORY, CUDA_VISIBLE_DEVICES='-1'
    )
    output = subprocess.check_output([sys.executable, '-c', XLA_PROGRAM], env=environment, stderr=subprocess.DEVNULL)
    assert b'_XlaRun' in output
