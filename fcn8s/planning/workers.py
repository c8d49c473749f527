"""What several workers gain: seconds of a step, the share of it that is computing, and how many workers pay.

Synchronous workers add up their gradients around a ring after each backward pass: every worker sends 2 (N - 1) / N
times the size of the gradients, in 2 (N - 1) rounds (Patarasuk, Yuan, "Bandwidth optimal all-reduce algorithms for
clusters of workstations", JPDC 2009, section 3). Letters: N workers, S bytes of gradients.
"""

import math
from typing import NamedTuple, Optional, Tuple

from helpers.counted import counted
from helpers.flags import is_positive

# Workers pay as long as each does at least this share of the work of a single worker.
WORTH = 0.5
#: The most processes that one command starts, and that an estimate is made for.
MAX_WORKERS = 1024


class ExchangeFactors(NamedTuple):
    """Fitted to exchanges that benchmarks/bench_distributed.py measured (docs/several-workers.md has the rows), of 128
    and 512 MB between two processes with a core each.

    wire: seconds that a byte takes on the wire, in units of 8 / bandwidth. handling: seconds to pack, copy and add a
    byte that is sent. round: seconds of a round, however little is sent.
    """

    wire: float
    handling: float
    round: float


FACTORS = ExchangeFactors(wire=0.99, handling=3.9e-9, round=4e-4)


class Gain(NamedTuple):
    """seconds: of a step. exchange: its seconds for the gradients. efficiency: the share of the step that is computing.
    most_workers: with more, the efficiency is below `WORTH`; None if that does not happen up to `MAX_WORKERS`.
    """

    seconds: float
    exchange: float
    efficiency: float
    most_workers: Optional[int]


def wire_bytes(workers: int, size: float) -> float:
    """Returns the bytes that each worker sends in an exchange: 2 (N - 1) / N S."""
    return 2.0 * (workers - 1) / workers * size


def exchange_seconds(workers: int, size: float, gbit: float, factors: ExchangeFactors = FACTORS) -> float:
    """Returns the seconds of an exchange.

    Args:
        workers: N. size: S.
        gbit: Bandwidth of each worker's link, in Gbit/s each way; infinite if no wire limits it.
    """
    sent = wire_bytes(workers, size)
    return factors.wire * 8 * sent / (gbit * 1e9) + factors.handling * sent + factors.round * 2 * (workers - 1)


def estimate_gain(
    workers: int, step_seconds: float, size: float, gbit: float, factors: ExchangeFactors = FACTORS
) -> Gain:
    """Estimates what N workers gain, each with the batch of a single worker.

    Args:
        step_seconds: Seconds of a step by one worker alone; several compute at the same time, then exchange.
        size: Bytes of the gradients. gbit: As in `exchange_seconds`.
    """
    exchange = exchange_seconds(workers, size, gbit, factors)
    seconds = step_seconds + exchange
    return Gain(seconds, exchange, step_seconds / seconds, _most_workers(step_seconds, size, gbit, factors))


def _most_workers(step_seconds: float, size: float, gbit: float, factors: ExchangeFactors) -> Optional[int]:
    for workers in range(2, MAX_WORKERS + 1):
        if step_seconds / (step_seconds + exchange_seconds(workers, size, gbit, factors)) < WORTH:
            return workers - 1
    return None


def epoch_steps(images_per_epoch: int, batch: int, accumulate: int = 1, workers: int = 1) -> int:
    """Returns the steps of an epoch as `fcn8s train` counts: an incomplete last step begins the next epoch."""
    return max(1, math.ceil(images_per_epoch / (workers * batch)) // accumulate)


def duration(seconds: float) -> str:
    """Writes seconds in the unit that reads best."""
    if seconds < 120:
        return '{:.3g} s'.format(seconds)
    if seconds < 7200:
        return '{:.3g} min'.format(seconds / 60)
    return '{:.3g} h'.format(seconds / 3600)


def format_gain(gain: Gain, workers: int, gbit: float, images: int, epoch: Optional[Tuple[int, int]] = None) -> str:
    """Formats the gain as lines for a person. images: per step and worker. epoch: its (images, steps)."""
    most = 'more than {}'.format(MAX_WORKERS) if gain.most_workers is None else gain.most_workers
    lines = [
        '{:<14} {:.3g} s a step, of them {:.3g} s for the gradients at {:g} Gbit/s'.format(
            '{} workers'.format(workers), gain.seconds, gain.exchange, gbit
        ),
        'together       {:.3g} images/s, efficiency {:.0f} %'.format(
            workers * images / gain.seconds, 100 * gain.efficiency
        ),
        'workers pay    up to {}; of more, each does less than half of what one alone does'.format(most)
        if most != 1
        else 'workers pay    not at all: two do less than one alone',
    ]
    if epoch is not None:
        images_per_epoch, steps = epoch
        lines.append(
            'their epoch    {} for {}'.format(duration(steps * gain.seconds), counted(images_per_epoch, 'image'))
        )
    return '\n'.join(lines)


def check_workers(workers: int, gbit: Optional[float]) -> None:
    """Raises ValueError for numbers that allow no estimate."""
    if not 2 <= workers <= MAX_WORKERS:
        raise ValueError('--workers is {}; it has to be from 2 to {}.'.format(workers, MAX_WORKERS))
    if not is_positive(gbit):
        raise ValueError('--bandwidth is {}; it has to be a number above 0, in Gbit/s, for example 10.'.format(gbit))
