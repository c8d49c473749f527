"""The arithmetic of a session: float32, bfloat16, mixed float16, XLA; and whether this machine supports it.

Variables, the loss and the scores stay float32, and so does everything that is saved. TensorFlow rewrites the graph
when a session runs, except for bfloat16 on GPUs: it has no such rewrite, so the encoder's graph is converted before it
is trained (`fcn8s.graph.bfloat16`).

    bfloat16        convolutions in bfloat16, which has float32's range: no loss scaling.
    mixed_float16   convolutions of a GPU session in float16, which lacks that range: training scales the loss
                    (`fcn8s.graph.update_rules.LossScaling`).
    xla             clusters of ops compiled together. Made for GPUs. On CPUs TensorFlow only does this when the process
                    was started with TF_XLA_FLAGS=--tf_xla_cpu_global_jit, and it was slower there in every
                    measurement made for this library (convolutions leave oneDNN for it).

`AUTO` in place of a precision stands for the fastest one of the CPU that trains as well as float32.
"""

import os
from typing import Any, Callable, FrozenSet, Mapping, NamedTuple, Optional, Tuple

from helpers.process.cores import available_cores, num_cores

AUTO = 'auto'
_BFLOAT16_REWRITE = 'auto_mixed_precision_onednn_bfloat16'
_FLOAT16_REWRITE = 'auto_mixed_precision'
# x86 with native bfloat16 dot products or tiles: without them oneDNN emulates, slower than float32. Arm's flag (bf16)
# is left out: TensorFlow rewrites nothing on most such processors, and the others have not been measured.
_BFLOAT16_CPU_FLAGS = frozenset(['avx512_bf16', 'amx_bf16'])
# GPUs have had bfloat16 arithmetic since Ampere.
_MIN_BFLOAT16_CAPABILITY = (8, 0)
# TensorFlow's float16 rewrite silently skips GPUs older than Volta.
_MIN_FLOAT16_CAPABILITY = (7, 0)
_CPU_XLA_FLAG = '--tf_xla_cpu_global_jit'


class Arithmetic(NamedTuple):
    """What a session computes in: the arguments of `session_config`, in its order.

    precision, xla: see the top of this module. gpu_memory_growth: take GPU memory as it is needed.
    config: a tf.ConfigProto of the user's own, or None.
    """

    precision: str = 'float32'
    xla: bool = False
    gpu_memory_growth: bool = True
    config: Optional[Any] = None


class Machine(NamedTuple):
    """What decides whether a precision works.

    tf_version: (major, minor).
    rewrites: names of the rewrites that this TensorFlow's configuration knows.
    cpu_flags: as in /proc/cpuinfo; empty where there is no such file, and on other processors than x86.
    gpus: compute capability of each GPU that the session can see, None where TensorFlow does not tell.
    environment: the environment variables.
    has_onednn: whether TensorFlow uses oneDNN on CPUs.
    """

    tf_version: Tuple[int, int]
    rewrites: FrozenSet[str]
    cpu_flags: FrozenSet[str]
    gpus: Tuple[Optional[Tuple[int, int]], ...]
    environment: Mapping[str, str]
    has_onednn: bool


def this_machine(base: Optional[Any] = None) -> Machine:
    """Returns the machine as a session with the tf.ConfigProto `base` (or the default one) would find it; starts no
    GPU.
    """
    from fcn8s.backend import TF_VERSION, onednn_is_on, tf

    if base is not None and not isinstance(base, tf.ConfigProto):
        raise ValueError('config is {!r}; it has to be a tf.ConfigProto.'.format(base))
    rewrites = frozenset(tf.ConfigProto().graph_options.rewrite_options.DESCRIPTOR.fields_by_name)
    return Machine(TF_VERSION, rewrites, _cpu_flags(), _gpus(base), dict(os.environ), onednn_is_on())


def _cpu_flags(path: str = '/proc/cpuinfo') -> FrozenSet[str]:
    try:
        with open(path, encoding='ascii', errors='replace') as cpu_info:
            for line in cpu_info:
                name, _, value = line.partition(':')
                if name.strip() == 'flags':
                    return frozenset(value.split())
    except OSError:
        pass
    return frozenset()


def _gpus(base: Optional[Any]) -> Tuple[Optional[Tuple[int, int]], ...]:
    if base is not None and base.device_count.get('GPU', 1) == 0:
        return ()
    from fcn8s.backend import TF_VERSION, tf

    devices = tf.config.experimental.list_physical_devices('GPU')
    if TF_VERSION < (2, 0):
        return (None,) * len(devices)
    return tuple(tf.config.experimental.get_device_details(device).get('compute_capability') for device in devices)


def check_precision(
    precision: str,
    xla: bool = False,
    machine: Optional[Machine] = None,
    spell: Callable[[str], str] = str,
) -> None:
    """Raises ValueError with the reason where this TensorFlow or machine cannot do what is asked.

    Args:
        precision: one of SESSION_PRECISIONS.
        xla: whether XLA is asked for.
        machine: None for this one.
        spell: how messages call the two arguments.
    """
    if precision not in SESSION_PRECISIONS:
        raise ValueError(
            '{} is {!r}; it has to be one of {}.'.format(
                spell('precision'), precision, ', '.join([AUTO, *SESSION_PRECISIONS])
            )
        )
    machine = machine or this_machine()
    reason = SESSION_PRECISIONS[precision].why_not(machine)
    if reason:
        raise ValueError(
            "{} is {!r}, which does not work here: {} Take 'float32', which works everywhere.".format(
                spell('precision'), precision, reason
            )
        )
    if xla and not machine.gpus and _CPU_XLA_FLAG not in machine.environment.get('TF_XLA_FLAGS', ''):
        raise ValueError(
            '{0} is on, which does not work here: without a GPU, TensorFlow compiles nothing unless the process '
            'is started with the environment variable TF_XLA_FLAGS={1}. Expect it to be slower on a CPU; '
            'leave {0} out.'.format(spell('xla'), _CPU_XLA_FLAG)
        )


def _why_not_bfloat16(machine: Machine) -> Optional[str]:
    if _BFLOAT16_REWRITE not in machine.rewrites:
        return 'TensorFlow {}.{} has no bfloat16 convolutions; TensorFlow >= 2.16 has.'.format(*machine.tf_version)
    if machine.gpus:
        return _why_gpu_is_too_old(machine.gpus[0], _MIN_BFLOAT16_CAPABILITY, 'GPUs have bfloat16 arithmetic')
    if not machine.cpu_flags & _BFLOAT16_CPU_FLAGS:
        return 'this CPU has no bfloat16 arithmetic of use here (none of the flags {} in /proc/cpuinfo).'.format(
            ', '.join(sorted(_BFLOAT16_CPU_FLAGS))
        )
    if not machine.has_onednn:
        return (
            'the rewrite to bfloat16 is part of oneDNN, which is off. The environment variable '
            'TF_ENABLE_ONEDNN_OPTS=1 switches it on, if this TensorFlow was built with it.'
        )
    return None


def _why_not_float16(machine: Machine) -> Optional[str]:
    if not machine.gpus:
        return 'float16 needs a GPU, and TensorFlow sees none.'
    return _why_gpu_is_too_old(machine.gpus[0], _MIN_FLOAT16_CAPABILITY, 'TensorFlow uses float16')


def _why_gpu_is_too_old(
    capability: Optional[Tuple[int, int]], needed: Tuple[int, int], what_it_would_have: str
) -> Optional[str]:
    if capability is None or tuple(capability) >= needed:
        return None
    return 'the GPU has compute capability {}.{}; {} from {}.{} up.'.format(*capability, what_it_would_have, *needed)


class Precision(NamedTuple):
    """One entry of `SESSION_PRECISIONS`.

    why_not: returns why a machine does not support it, in words; None where it does.
    rewrite: the field of TensorFlow's configuration that switches on its rewrite of the graph; None for no rewrite.
    needs_loss_scaling: whether gradients can underflow.
    """

    why_not: Callable[[Machine], Optional[str]]
    rewrite: Optional[str] = None
    needs_loss_scaling: bool = False


SESSION_PRECISIONS = {
    'float32': Precision(lambda machine: None),
    'bfloat16': Precision(_why_not_bfloat16, _BFLOAT16_REWRITE),
    'mixed_float16': Precision(_why_not_float16, _FLOAT16_REWRITE, needs_loss_scaling=True),
}


def fastest_on_cpu(machine: Optional[Machine] = None) -> str:
    """Returns 'bfloat16' where this CPU computes in it, which trains as well as 'float32' does (docs/ablation.md), and
    'float32' elsewhere, on GPUs too.

    machine: None for this one.
    """
    machine = machine or this_machine()
    return 'float32' if machine.gpus or _why_not_bfloat16(machine) else 'bfloat16'


def chosen_precision(precision: str, base: Optional[Any] = None) -> str:
    """Returns the precision that is computed in: `fastest_on_cpu` for 'auto', and any other as it is.

    base: the tf.ConfigProto that the session is to have, or None.
    """
    return fastest_on_cpu(this_machine(base)) if precision == AUTO else precision


def needs_loss_scaling(precision: str) -> bool:
    """Tells whether gradients of this precision can underflow, so that the loss has to be scaled."""
    return SESSION_PRECISIONS[precision].needs_loss_scaling


def converts_graph(precision: str, base: Optional[Any] = None) -> bool:
    """Tells whether the graph has to be converted with `fcn8s.graph.bfloat16`: TensorFlow rewrites graphs for bfloat16
    only where they run on CPUs.

    base: the tf.ConfigProto that the session is to have, or None.
    """
    return precision == 'bfloat16' and has_gpus(base)


def has_gpus(base: Optional[Any] = None) -> bool:
    """Tells whether a session with the tf.ConfigProto `base` (or the default one) computes on GPUs."""
    return bool(this_machine(base).gpus)


def session_config(
    precision: str = 'float32', xla: bool = False, gpu_memory_growth: bool = True, base: Optional[Any] = None
) -> Any:
    """Returns the tf.ConfigProto of a session with this precision.

    Args:
        precision, xla: see the top of this module.
        gpu_memory_growth: take GPU memory as it is needed instead of all of it at once. False leaves what `base` says.
        base: a tf.ConfigProto of your own; the result is a changed copy of it.

    Raises:
        ValueError: where this TensorFlow or machine cannot, see `check_precision`.
    """
    check_precision(precision, xla, this_machine(base))
    from fcn8s.backend import tf

    config = tf.ConfigProto()
    if base is not None:
        config.CopyFrom(base)
    if gpu_memory_growth:
        config.gpu_options.allow_growth = True
    # Threads that spin while they wait take cores from those that read the next images and from other processes.
    # Where nothing else runs, no step or prediction takes longer without spinning (benchmarks/NOTES.md).
    config.experimental.disable_thread_spinning = True
    # TensorFlow starts a thread for each core that it may run on, also where a container has a smaller share of time.
    is_chosen = config.intra_op_parallelism_threads or os.environ.get('TF_NUM_INTRAOP_THREADS')
    if not is_chosen and num_cores() < len(available_cores()):
        config.intra_op_parallelism_threads = num_cores()
    rewrites = config.graph_options.rewrite_options
    rewrite = SESSION_PRECISIONS[precision].rewrite
    if rewrite is not None and not converts_graph(precision, base):
        setattr(rewrites, rewrite, rewrites.ON)
    if xla:
        config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.ON_1
    return config
