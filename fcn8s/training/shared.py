"""A training that several workers share: their parts of batches, their common steps, and when they stop."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.batches import as_pair
from fcn8s.distributed.workers import Workers
from fcn8s.evaluation.scores import summarize
from fcn8s.graph.dropout_rows import FIRST_ROW_TENSOR
from fcn8s.graph.graph_defs import node_name
from fcn8s.network import Network
from fcn8s.stopping import EvaluationAbandoned, StopRequest
from fcn8s.training.tensorboard import WorstImages
from helpers.counted import counted


def check_deals(generator: Any, times: int, workers: int) -> None:
    """Raises ValueError if `workers` workers go on with batches of `times` workers, which the generator cannot make.

    times: how many workers the run was started with.
    """
    if times != workers and not hasattr(generator, 'deal'):
        raise ValueError(
            'the run was started by {}, and train_generator cannot make the same batches for {}. Take '
            'BatchGenerator.generate, or as many workers.'.format(counted(times, 'worker'), workers)
        )


def shares_dropout(network: Network) -> bool:
    """Tells whether the workers can drop together what a single process would drop."""
    return node_name(FIRST_ROW_TENSOR) in {operation.name for operation in network.graph.get_operations()}


class SharedBatches:
    """This worker's parts of a generator's batches; all other attributes are the generator's.

    Each worker reads a generator that cannot `deal` in full and takes every N-th batch.

    Args:
        times: how many workers' batches make one batch of the run; None for those of all workers.

    Attributes:
        rows: first and end row of the last part in the batch of all workers; equal if this worker has none of it.
        total: how many images the batch of all workers has.

    Raises:
        ValueError: as `check_deals`.
    """

    def __init__(self, generator: Any, workers: Workers, times: Optional[int] = None) -> None:
        times = workers.size if times is None else times
        check_deals(generator, times, workers.size)
        self._generator, self._workers = generator, workers
        self.rows, self.total = (0, 0), 0
        self._deals = hasattr(generator, 'deal')
        if self._deals:
            generator.deal(workers.number, workers.size, times)
            self.total = generator.batch_size * times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)

    def __iter__(self) -> 'SharedBatches':
        return self

    def __next__(self) -> Any:
        if self._deals:
            batch = next(self._generator)
            self.rows = self._generator.rows
            return batch
        batches = [as_pair(next(self._generator)) for _ in range(self._workers.size)]
        sizes = [len(images) for images, _ in batches]
        start = sum(sizes[: self._workers.number])
        self.rows, self.total = (start, start + sizes[self._workers.number]), sum(sizes)
        return batches[self._workers.number]


class SharedStopRequest(StopRequest):
    """A request to stop that holds for all workers after the same step, whichever of them got the signal.

    own: the signal that came to this worker, or None.
    """

    def __init__(self) -> None:
        self.own: Optional[str] = None
        self._agreed: Optional[str] = None
        super().__init__()

    @property  # type: ignore[override]
    def requested(self) -> Optional[str]:
        """The signal that all workers agreed on, or None."""
        return self._agreed

    @requested.setter
    def requested(self, name: Optional[str]) -> None:
        self.own = name

    def agree(self) -> None:
        """Makes this worker's own signal, or SIGTERM, the one agreed on; all workers call this after the step, or the
        evaluation, in which one of them was asked to stop.
        """
        self._agreed = self.own or 'SIGTERM'


class SharedSteps:
    """Replaces the session in the loop: steps that all workers take together.

    The batches of a step before its last are only added up; the last returns the loss of all of them.
    """

    def __init__(self, network: Network, workers: Workers, batches: SharedBatches) -> None:
        self.network, self.workers, self.batches = network, workers, batches
        self.stop = SharedStopRequest()
        self.step = 0
        self._carried = np.zeros(3)
        self._first_row = network.graph.get_tensor_by_name(FIRST_ROW_TENSOR) if shares_dropout(network) else None

    def stop_request(self) -> SharedStopRequest:
        """Returns the request to stop that all workers share."""
        return self.stop

    def count(self, images: Any) -> int:
        """Counts the images of all workers."""
        return self.batches.total

    def feed(self, *arguments: Any) -> Dict[Any, Any]:
        """Makes the feed of `Network.training_feed` for this worker's part of the batch."""
        start, end = self.batches.rows
        feed = self.network.training_feed(*arguments)
        inputs = self.network.exchange.inputs
        feed.update({inputs.is_real: float(end > start), inputs.images: float(end - start)})
        if self._first_row is not None:
            feed[self._first_row] = start
        return feed

    def run(self, fetches: Tuple[Dict[str, Any], Any], feed: Dict[Any, Any]) -> Tuple[Dict[str, float], None]:
        """Runs one batch; called like a session's `run`."""
        loss, op = fetches
        inputs = self.network.exchange.inputs
        if op is self.network.tensors.training.ops.accumulate_op:
            values, _ = self.network.run_step((loss, op), feed)
            weight = float(values.get('weight', 1.0)) * feed[inputs.is_real]
            value = float(values['value']) if feed[inputs.is_real] else 0.0
            self._carried += [weight * value, weight, feed[inputs.images]]
            self.workers.watch.finished()
            return dict.fromkeys(loss, 0.0), None
        feed = dict(feed)
        feed.update({inputs.carried: self._carried, inputs.stops: float(self.stop.own is not None)})
        self._carried = np.zeros(3)
        self.workers.watch.begin(self.step)
        wanted = dict(self.network.exchange.totals, penalty=loss['penalty'])
        values, _ = self.workers.watch.guarded(lambda: self.network.run_step((wanted, op), feed))
        self.workers.watch.finished()
        self.step += 1
        if values['stops']:
            self.stop.agree()
        return {name: values[name] for name in loss}, None


class Found(NamedTuple):
    """What a worker found in its part of an evaluation.

    matrix: [C, C]. losses: (number of the batch, sum of its losses). valid: number of valid pixels. worst: (mean IoU,
    number of the batch, place in it) of its worst images. is_whole: whether it was not asked to stop before the end.
    """

    matrix: List[List[int]]
    losses: List[Tuple[int, float]]
    valid: int
    worst: List[Tuple[float, int, int]]
    is_whole: bool


def evaluate_shared(
    network: Network,
    workers: Workers,
    batches: SharedBatches,
    num_batches: int,
    l2: float,
    stop: SharedStopRequest,
    worst: Optional[WorstImages] = None,
) -> Any:
    """Returns the scores of `num_batches` batches, this worker's and the others'. Matrices are added as integers.

    The losses of batches are added in the order in which a single process takes them.

    stop: the workers agree on it: a signal to one of them stops all.
    worst: sees the batches of this worker; in the end it holds the worst images of all workers.

    Raises:
        EvaluationAbandoned: in all workers, once one was asked to stop.
    """
    workers.watch.begin_batches_of('evaluation')
    mine = _evaluate_part(network, workers, batches, num_batches, stop, worst)
    parts = [Found(*part) for part in workers.watch.gather(mine)]
    if not all(part.is_whole for part in parts):
        stop.agree()
        raise EvaluationAbandoned
    if worst is not None:
        _gather_worst(workers, worst, [key for part in parts for key in part.worst])
    workers.watch.begin_batches_of('step')
    loss_sum = 0.0
    for _, loss in sorted(tuple(row) for part in parts for row in part.losses):
        loss_sum += loss
    matrix = np.sum([np.array(part.matrix, np.int64) for part in parts], axis=0)
    scores = summarize(matrix, loss_sum, sum(part.valid for part in parts), network.label_space_with(batches))
    scores['loss'] += network.penalty(l2)
    return scores


def _evaluate_part(
    network: Network,
    workers: Workers,
    batches: SharedBatches,
    num_batches: int,
    stop: SharedStopRequest,
    worst: Optional[WorstImages],
) -> Found:
    network.place_average()
    scoring, losses = network.tensors.training.scoring, []
    totals = {'totals': (scoring.totals.confusion_matrix, scoring.totals.loss_sum, scoring.totals.num_valid)}
    fetches = {} if worst is None else scoring.fetches(worst.fetches)
    matrix, valid = np.zeros([network.settings.num_classes] * 2, np.int64), 0
    for number in range(workers.number, -(-num_batches // workers.size) * workers.size, workers.size):
        if stop.own:
            break
        images, labels = as_pair(next(batches))
        if batches.rows[0] == batches.rows[1] or number >= num_batches:
            continue
        values = network.session.run(dict(fetches, **totals), network.evaluation_feed(images, labels))
        found = values.pop('totals')
        matrix, valid = matrix + found[0], valid + int(found[2])
        losses.append((number, float(found[1])))
        if worst is not None:
            worst.batch = number
            worst.add(images, labels, values)
        workers.watch.finished()
    return Found(matrix.tolist(), losses, valid, [] if worst is None else worst.keys(), stop.own is None)


def _gather_worst(workers: Workers, worst: WorstImages, keys: Sequence[Sequence[Any]]) -> None:
    """Gives every worker the pictures of the worst images of all workers; only those are exchanged, as PNG."""
    worst.keep(sorted(tuple(key) for key in keys))
    for part in workers.watch.gather(worst.to_json()):
        worst.take_over(part)
    worst.keep(sorted(worst.keys()))
