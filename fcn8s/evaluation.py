"""The evaluation pass: runs a model over batches and turns the totals into scores."""

from typing import Any, Callable, Dict, Iterable, Optional

from fcn8s.scores import summarize
from helpers.label_spaces import LabelSpace


def run_evaluation(run: Callable, metrics: Any, feed_batch: Callable, batches: Iterable, num_batches: int,
                   label_space: LabelSpace, progress: Optional[Callable] = None, fetches: Optional[Dict[str, Any]] = None,
                   on_batch: Optional[Callable] = None) -> Dict[str, Any]:
    """Adds up all batches in the graph, fetches the totals once and returns the scores.

    Arguments:
        run: `run(fetches, feed)` as of a session.
        metrics: A `fcn8s.metrics.Metrics`.
        feed_batch: `feed_batch(images, labels)` returns the feed for a batch.
        batches: Yields (images, labels).
        num_batches: How many batches to take; `batches` may yield more or be infinite.
        progress: Called with the list of batch numbers, returns it to be iterated over (for instance tqdm).
        fetches: Tensors by name to fetch with each batch, besides the update of the totals.
        on_batch: `on_batch(labels, values)` is called after each batch with the values of `fetches` by name.

    Returns:
        The dict of `fcn8s.scores.summarize`.

    Raises:
        ValueError: `num_batches` is negative, the batches end early, or the ground truth is of another ID space.
    """
    if num_batches < 0:
        raise ValueError('{} batches to evaluate were asked for; the number has to be 0 or more.'.format(num_batches))
    run(metrics.reset, {})
    numbers = range(num_batches)
    source = iter(batches)
    for number in (progress(numbers) if progress else numbers):
        batch = next(source, None)
        if batch is None:
            raise ValueError('{} batches to evaluate were asked for, but the data ended after {}. Ask for as many as '
                             'there are.'.format(num_batches, number))
        images, labels = batch
        values = run({'update': metrics.update, **(fetches or {})}, feed_batch(images, labels))
        if on_batch:
            on_batch(labels, values)
    totals = run((metrics.confusion_matrix, metrics.loss_sum, metrics.num_valid), {})
    return summarize(*totals, label_space)
