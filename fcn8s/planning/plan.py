"""What a training will need before it is started: memory, seconds per step and epoch, and the largest batch or crop."""

from typing import NamedTuple, Optional, Tuple

from fcn8s.planning.memory import (
    GB,
    PlanRequest,
    check_request,
    estimate_memory,
    largest_batch,
    largest_crop,
    process_memory,
)
from fcn8s.planning.step_time import PROBE_SECONDS, measure_step_seconds
from fcn8s.planning.workers import duration, epoch_steps
from fcn8s.precision import session_config
from fcn8s.vgg16.weights import layers
from helpers.counted import counted
from helpers.process.memory import total_memory


class Plan(NamedTuple):
    """memory: bytes of the training process. seconds_per_step: one optimiser step (all accumulated batches).
    largest_batch, largest_crop (height, width): the largest that fits `memory_limit` while the other stays; 0 and None
    where nothing fits."""

    memory: float
    memory_limit: float
    seconds_per_step: Optional[float]
    largest_batch: int
    largest_crop: Optional[Tuple[int, int]]


def make_plan(request: PlanRequest, memory_limit: Optional[float] = None, budget: float = PROBE_SECONDS) -> Plan:
    """Plans a training; runs the network for about `budget` seconds if it fits the memory, and not at all for 0.

    memory_limit: bytes; None takes all that machine or container have. Raises ValueError for what cannot be trained
    here, and for None where the system does not tell (Windows).
    """
    request = check_request(request)
    session_config(request.precision)  # raises an error for a precision that this machine lacks
    base = process_memory()
    limit = total_memory() if memory_limit is None else memory_limit
    if limit is None:
        raise ValueError(
            'memory_limit is None, and this system does not tell how much memory it has. Give it in bytes; to '
            'fcn8s plan, in GB with --memory.'
        )
    memory = estimate_memory(request, base)
    seconds = measure_step_seconds(request, budget) if budget > 0 and memory <= limit else None
    return Plan(memory, limit, seconds, largest_batch(request, limit, base), largest_crop(request, limit, base))


def format_plan(plan: Plan, request: PlanRequest, images_per_epoch: Optional[int] = None) -> str:
    """Formats the plan as lines for a person."""
    height, width = request.size
    fits = plan.memory <= plan.memory_limit
    lines = [
        '{} x {} pixels, batch {}, {} classes, {}{}{}'.format(
            height,
            width,
            request.batch,
            request.num_classes,
            request.precision,
            '' if request.width_divisor == 1 else ', encoder 1/{} as wide'.format(request.width_divisor),
            '' if request.head == layers.VGG16_HEAD else ', head {}'.format(request.head),
        ),
        'memory         {:.1f} GB, {} {:.1f} GB'.format(
            plan.memory / GB, 'of' if fits else 'which does not fit', plan.memory_limit / GB
        ),
    ]
    if plan.seconds_per_step is not None:
        images = request.batch * request.optimizer.accumulate_batches
        lines.append(
            'step           {:.3g} s ({:.3g} images/s)'.format(plan.seconds_per_step, images / plan.seconds_per_step)
        )
        if images_per_epoch is not None:
            steps = epoch_steps(images_per_epoch, request.batch, request.optimizer.accumulate_batches)
            lines.append(
                'epoch          {} for {}, without evaluation'.format(
                    duration(steps * plan.seconds_per_step), counted(images_per_epoch, 'image')
                )
            )
    lines.append('largest batch  {}'.format(plan.largest_batch or 'none: not even one image of this size fits'))
    lines.append(
        'largest crop   {} at batch {}'.format(
            'none' if plan.largest_crop is None else '{} x {}'.format(*plan.largest_crop), request.batch
        )
    )
    return '\n'.join(lines)
