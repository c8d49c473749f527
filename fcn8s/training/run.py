"""`FCN8s.train`: wires the loop to session, evaluation, summaries and files, and runs it."""

import contextlib
import copy
import datetime
import functools
import os
import shlex
from typing import Any, Callable, Dict, Iterator, List, Optional

from fcn8s.batches import as_iterator, check_same_classes
from fcn8s.distributed.workers import Workers
from fcn8s.evaluation.scores import METRICS
from fcn8s.network import Network, SaveName
from fcn8s.saving import runs
from fcn8s.saving.checkpoints import Checkpoints, read_state
from fcn8s.saving.model_files import library_versions
from fcn8s.stopping import GO_ON_WITH, EvaluationAbandoned, StopRequest, until_stopped
from fcn8s.training import diagnosis, shared, tensorboard
from fcn8s.training.agreement import (
    check_run_continues,
    check_workers_agree,
    checked_state,
    dataset_fingerprints,
    image_rules_of,
)
from fcn8s.training.loop import Actions, Fetches, LoopOptions, TrainingLoop, TrainingState
from fcn8s.training.request import (
    TrainingEvent,
    TrainRequest,
    batch_size,
    check_is_written,
    check_request,
    monitor_needs_evaluation,
    num_eval_batches,
    plain_arguments,
    resolve_request,
)
from fcn8s.training.summaries import Summaries, num_worst, open_summaries
from fcn8s.training.values import check_last_epochs
from helpers.aliases import PathLike
from helpers.counted import counted
from helpers.files import to_json
from helpers.user_warnings import warn_user


def train(network: Network, request: TrainRequest, model: Any = None) -> List[Dict[str, Any]]:
    """Trains an open network as `FCN8s.train` says. Returns one record per epoch of this call.

    model: the model that callbacks are given; it is not used otherwise.
    """
    request = resolve_request(request)
    if not request.resume:
        network.check_has_not_diverged()
    label_space = network.label_space
    for generator in (request.train_generator, request.val_generator):
        label_space = check_same_classes(label_space, getattr(generator, 'label_space', None))
    check_request(request, label_space.class_names)
    settings = network.training_settings
    check_last_epochs(request.epochs, settings.optimizer.swa, settings.head_warmup, request.early_stopping_patience)
    if network.workers is None or network.workers.is_first:
        check_is_written(request)
    image_rules = image_rules_of(request)
    if image_rules is not None:
        network.set_image_rules(image_rules)
    network.set_label_space(label_space)
    network.input_size = None  # it was that of the run that the network was opened from
    if network.workers is None:
        return _Training(network, request, model).train()
    with network.workers.watch.working(), _silent_unless(network.workers.is_first):
        check_workers_agree(network.workers, request)
        try:
            return _Training(network, request, model).train()
        finally:
            _make_whole(request.train_generator)
            _make_whole(request.val_generator, from_the_first=True)


def _make_whole(generator: Any, from_the_first: bool = False) -> None:
    """Makes a generator that was dealt out to workers give whole batches again, for whatever comes next."""
    if hasattr(generator, 'deal'):
        generator.deal(0, 1)
        if from_the_first:
            generator.seek(0)


@contextlib.contextmanager
def _silent_unless(is_first: bool) -> Iterator[None]:
    """Lets only worker 0 print, progress bars included."""
    if is_first:
        yield
        return
    before = os.environ.get('TQDM_DISABLE')
    os.environ['TQDM_DISABLE'] = '1'
    try:
        with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            yield
    finally:
        if before is None:
            del os.environ['TQDM_DISABLE']
        else:
            os.environ['TQDM_DISABLE'] = before


class _Training:
    """One training call: the loop's actions, carried out on a network."""

    def __init__(self, network: Network, request: TrainRequest, model: Any) -> None:
        self.network = network
        self.model = model
        self.request = request
        self.workers = network.workers
        self.is_first = network.workers is None or network.workers.is_first
        # The run that this process writes, and the one that worker 0 writes.
        self.run: Optional[runs.Run] = None
        self.run_of_first: Optional[runs.Run] = None
        self.checkpoints: Optional[Checkpoints] = None
        self.state = TrainingState()
        self.records: List[Dict[str, Any]] = []
        self.summaries: Optional[Summaries] = None
        self.num_worst = num_worst(request)

    def train(self) -> List[Dict[str, Any]]:
        with contextlib.ExitStack() as stack:
            if self.is_first:
                self._prepare_saving(stack)
            self._take_the_batches_of_the_run(stack)
            if self.workers is not None:
                self._take_over_from_the_first(self.workers)
            if self.is_first:
                self._open_summaries(stack)
            self._warn_about_dropout()
            self.network.clear_gradients()
            try:
                history = self._loop().train()
            except FloatingPointError:
                self.network.has_diverged = True
                raise
            finally:
                self.network.place_average()
        self._print_diagnosis()
        return history

    def _prepare_saving(self, stack: contextlib.ExitStack) -> None:
        """Opens the run and its state, from which this training goes on, or checks that models can be saved."""
        if self.request.run_dir is not None:
            self.run = self._open_run(self.request.run_dir, stack)
            self.checkpoints = self._open_checkpoints(self.run)
            self.network.check_can_save(self.run.checkpoints_dir, self.network.tensors.state)
            if self.request.resume:
                # The next --resume goes on to this number of epochs, even after a kill.
                arguments = {'training': self.network.describe_training(), 'train': self._arguments()}
                runs.update_config(self.run, dict(self.request.config or {}, **arguments))
        elif self.request.save_during_training:
            self.network.check_can_save(self.request.save_dir or '', self.network.tensors.weights)

    def _open_summaries(self, stack: contextlib.ExitStack) -> None:
        events_dir = None if self.run is None else self.run.events_dir
        goes_on = self.request.resume or self.state.step > 0
        resumed_at = self.state.step if goes_on else None
        self.summaries = open_summaries(self.network, self.request, events_dir, resumed_at)
        if self.summaries:
            stack.enter_context(self.summaries)

    def _num_workers_of_run(self) -> int:
        """Returns how many workers' batches make one batch of the run: the number that it was started with."""
        if self.run is not None and self.request.resume:
            return runs.num_workers(self.run)
        return 1 if self.workers is None else self.workers.size

    def _take_the_batches_of_the_run(self, stack: contextlib.ExitStack) -> None:
        """Lets a single process go on with batches that several workers made together, until the training ends."""
        times = self._num_workers_of_run()
        if self.workers is not None or times == 1:
            return
        shared.check_deals(self.request.train_generator, times, 1)
        stack.callback(_make_whole, self.request.train_generator)
        self.request.train_generator.deal(0, 1, times)

    def _take_over_from_the_first(self, workers: Workers) -> None:
        """Gives all workers the state, data position and weights of the first, and each its share of the data."""
        position = getattr(self.request.train_generator, 'position', None)
        mine: Dict[str, Any] = {}
        if self.is_first:
            mine = {
                'state': self.state.to_dict(),
                'run': None if self.run is None else os.path.abspath(self.run.directory),
                'times': self._num_workers_of_run(),
                'position': position,
                'worst': num_worst(self.request),
            }
        first = workers.watch.gather(to_json(mine))[0]
        self.state = TrainingState.from_dict(first['state'])
        self.run_of_first = None if first['run'] is None else runs.Run(first['run'])
        self.num_worst = first['worst']
        self._share_generators(workers, first['times'], first['position'])
        self.network.take_over_weights(workers)

    def _share_generators(self, workers: Workers, times: int, position: Optional[int]) -> None:
        train = shared.SharedBatches(self.request.train_generator, workers, times)
        if position is not None and hasattr(train, 'seek'):
            train.seek(position)
        val = self.request.val_generator
        self.request = self.request._replace(train_generator=train)
        if val is not None:  # before dealing, so that it is the number of batches of one process
            steps, dealt = num_eval_batches(self.request), shared.SharedBatches(val, workers)
            self.request = self.request._replace(val_generator=dealt, val_steps=steps)

    def _print_diagnosis(self) -> None:
        """Prints what the diagnosis finds in all epochs of the run, including those of earlier calls."""
        network, on_val = self.network, self.request.eval_dataset == 'val'
        for message in diagnosis.diagnose_history(
            self.records, network.label_space, on_val, network.trains_mean_cross_entropy
        ):
            print('note: ' + message)

    def _loop(self) -> TrainingLoop:
        run: Any = self.network.run_step
        fetches: Fetches = self._fetches()
        stop_request: Callable[[], StopRequest] = StopRequest
        if self.workers is not None:
            steps = shared.SharedSteps(self.network, self.workers, self.request.train_generator)
            steps.step = self.state.step
            run, stop_request = steps.run, steps.stop_request
            fetches = fetches._replace(feed=steps.feed, count=steps.count)
        return TrainingLoop(
            run,
            fetches,
            self.request.train_generator,
            self._loop_options(self._begin_average()),
            self._actions(stop_request),
            self.network.label_space.class_names,
            self.state,
        )

    def _loop_options(self, average_epochs: int) -> LoopOptions:
        request = self.request
        return LoopOptions(
            epochs=request.epochs,
            steps_per_epoch=request.steps_per_epoch,
            learning_rate_schedule=request.learning_rate_schedule,
            keep_prob=request.keep_prob,
            l2_regularization=request.l2_regularization,
            accumulate_batches=self.network.training_settings.optimizer.accumulate_batches,
            eval_frequency=request.eval_frequency,
            save_frequency=request.save_frequency,
            save_best_only=request.save_best_only and request.run_dir is None,
            monitor=str(request.monitor),
            patience=request.early_stopping_patience,
            summaries_frequency=request.summaries_frequency,
            loss_averaging=request.training_loss_display_averaging,
            seed=self.network.seed,
            average_epochs=average_epochs,
            warmup_epochs=self.network.training_settings.head_warmup,
        )

    def _fetches(self) -> Fetches:
        training = self.network.tensors.training
        loss = {'value': training.loss.value, 'penalty': training.penalty}
        if training.loss.weight is not None:
            loss['weight'] = training.loss.weight
        return Fetches(
            loss,
            training.step_op,
            training.ops.accumulate_op,
            self.network.training_feed,
            averaging_op=training.average.update if training.average else None,
            warmup_op=training.warmup and training.warmup.apply_op,
            warmup_accumulate_op=training.warmup and training.warmup.accumulate_op,
        )

    def _actions(self, stop_request: Callable[[], StopRequest]) -> Actions:
        request, run = self.request, self.run or self.run_of_first
        saves = request.run_dir is not None or request.save_during_training
        return Actions(
            evaluate=self._evaluate if request.metrics else None,
            save=self._save if saves else None,
            record=self._record,
            tell=self._tell if request.callbacks and self.is_first else None,
            summarize=self.summaries.add_step if self.summaries else None,
            needs_evaluation=monitor_needs_evaluation(request),
            save_when_improved=request.run_dir is not None or request.save_best_only,
            stop_request=stop_request,
            how_to_go_on=None if run is None else self._how_to_go_on(run),
            save_at_failure=(None if self.workers is None else functools.partial(self._save_at_failure, self.workers)),
        )

    def _begin_average(self) -> int:
        """Returns how many of the last epochs are averaged (SWA).

        If the first of these epochs is still to come, the average begins anew, for example in a run that goes on with
        more epochs than it was started with. So does an exponential average before a warm-up of the head, which does
        not update it.
        """
        settings = self.network.training_settings
        if settings.optimizer.ema and self.state.step < settings.head_warmup * self.request.steps_per_epoch:
            self.network.restart_average()
        epochs = settings.optimizer.swa
        if epochs is None:
            return 0
        first = self.request.epochs - epochs + 1  # this many epochs are done when the first state is averaged
        if self.state.step < first * self.request.steps_per_epoch:
            self.network.restart_average()
        return int(epochs)

    # The run directory

    def _open_run(self, directory: PathLike, stack: contextlib.ExitStack) -> runs.Run:
        """Opens the run directory, and locks it before anything in it is read or written.

        Policy: 1. resume=True goes on from the last checkpoint; without a checkpoint it starts at step 0 again.
        2. Otherwise the directory must not hold a run. 3. A run never overwrites the files of another, even if two
        start at once: the lock refuses the second.
        """
        run = runs.open_run(directory) if self.request.resume else runs.make_directory(directory)
        runs.check_no_links(run)
        stack.enter_context(runs.only_writer(run))
        with runs.only_saver(run):
            runs.remove_leftovers(run)
        if not self.request.resume:
            return runs.create_run(directory, self._config())
        check_run_continues(run, runs.read_config(run), self.network, self.request)
        return run

    def _open_checkpoints(self, run: runs.Run) -> Checkpoints:
        checkpoints = Checkpoints(run.checkpoints_dir, self.request.keep_checkpoints)
        last = checkpoints.last()
        if last is not None:
            self._resume(last)
        checkpoints.recover(self.state.best_step)
        # Epochs that ended after this checkpoint, or that the resumed run has yet to end, are recorded anew.
        self.records = runs.forget_metrics_after(run, self.state.step - len(self.state.losses))
        return checkpoints

    def _how_to_go_on(self, run: runs.Run) -> str:
        if 'command' in (self.request.config or {}):
            return 'Go on with:' + GO_ON_WITH + shlex.quote(run.directory)
        return 'To go on, train again with run_dir={!r} and resume=True.'.format(run.directory)

    def _config(self) -> Dict[str, Any]:
        config = {
            'versions': library_versions(),
            'seed': self.network.seed,
            'model': self.network.settings.to_dict(),
            'training': self.network.describe_training(),
            **dataset_fingerprints(self.request),
            'data_options': getattr(self.request.train_generator, 'options', None),
            'started': datetime.datetime.now().isoformat(timespec='seconds'),
            'train': self._arguments(),
        }
        if self.workers is not None:
            config['workers'] = self.workers.size
        config.update(self.request.config or {})
        return config

    def _arguments(self) -> Dict[str, Any]:
        """Those arguments of this call that JSON can hold, and how many images the generator puts into a batch."""
        return dict(plain_arguments(self.request), batch_size=batch_size(self.request))

    def _resume(self, checkpoint: str) -> None:
        state, position = checked_state(read_state(checkpoint), checkpoint, self.request.steps_per_epoch)
        self.network.restore_state(checkpoint)
        self.state = state
        generator = self.request.train_generator
        if position is not None and hasattr(generator, 'seek'):
            generator.seek(position)
        else:
            warn_user(
                '{}, so the resumed run sees the data from the start of the generator. BatchGenerator.generate gives '
                'an iterator that goes on where the run was.'.format(
                    'the run was trained on a generator without a position'
                    if position is None
                    else 'train_generator cannot seek'
                )
            )
        print('Resumed from {} at step {}.'.format(checkpoint, self.state.step))
        if state.step - len(state.losses) == self.request.epochs * self.request.steps_per_epoch:
            done = counted(self.request.epochs, 'epoch')
            print('Its training of {} is complete; nothing is trained. To train on, ask for more epochs.'.format(done))

    # Actions of the loop

    def _evaluate(self, stop: StopRequest) -> Dict[str, Any]:
        request = self.request
        generator = request.train_generator if request.eval_dataset == 'train' else request.val_generator
        position = getattr(generator, 'position', None)
        # Every evaluation sees the same images if the generator can seek.
        if request.eval_dataset == 'val' and hasattr(generator, 'seek'):
            generator.seek(0)
        worst = tensorboard.WorstImages(self.num_worst, self.network.label_space) if self.num_worst else None
        try:
            scores = self._scores(generator, stop, worst)
        except EvaluationAbandoned:
            if hasattr(generator, 'seek') and position is not None:
                generator.seek(position)  # the resumed run evaluates the same training batches
            raise
        self._report_scores(scores, worst)
        return scores

    def _scores(self, generator: Any, stop: Any, worst: Optional[tensorboard.WorstImages]) -> Dict[str, Any]:
        """The scores of an evaluation, over all workers if there are several."""
        l2, num_batches = self.request.l2_regularization, num_eval_batches(self.request)
        if self.workers is None:
            return self.network.evaluate(until_stopped(as_iterator(generator), stop), num_batches, l2, worst)
        if self.request.eval_dataset == 'train':
            num_batches *= self.workers.size
        return shared.evaluate_shared(self.network, self.workers, generator, num_batches, l2, stop, worst)

    def _report_scores(self, scores: Dict[str, Any], worst: Optional[tensorboard.WorstImages]) -> None:
        request = self.request
        self.network.last_scores = {name: scores[name] for name in request.metrics}
        print(
            '  '.join(
                ['scores on {}:'.format(request.eval_dataset)]
                + ['{} {:.4f}'.format(name, scores[name]) for name in METRICS if name in request.metrics]
            )
        )
        if self.summaries:
            self.summaries.add_scores(self.state.step, scores, worst)

    def _record(self, record: Dict[str, Any]) -> None:
        if self.workers is not None:
            record['workers'] = self.workers.size
        if self.network.weights_in_place is not None:
            record['weights'] = self.network.weights_in_place
        self.network.remember_training_loss(record['training_loss'])
        self.records.append(record)
        if self.run is not None:
            runs.append_metrics(self.run, record)

    def _tell(self, kind: str, step: int, scores: Dict[str, Any]) -> None:
        with self.workers.watch.calling_back() if self.workers else contextlib.nullcontext():
            for callback in self.request.callbacks:
                callback(TrainingEvent(kind, step, copy.deepcopy(scores), self.model))

    def _save(self, state: TrainingState, is_best: bool) -> None:
        if self.workers is not None:
            if self.is_first:
                with self.workers.watch.saving():
                    self._write(state, is_best)
            return
        self._write(state, is_best)

    def _save_at_failure(self, workers: Workers, state: TrainingState) -> None:
        """Saves, in the worker that fails, the state that all workers share: the others may be waiting in a step."""
        run = self.run_of_first
        if not workers.watch.may_save_at_failure():
            return
        if self.is_first:
            self._save(state, False)
        # A directory of this name without worker 0's lock is on another disk, and not this run's.
        elif run is not None and runs.has_writer(run):
            with runs.only_saver(run), workers.watch.saving():
                self.checkpoints = Checkpoints(run.checkpoints_dir, self.request.keep_checkpoints)
                self._write(state, False)

    def _write(self, state: TrainingState, is_best: bool) -> None:
        request = self.request
        if self.checkpoints is None:
            name = SaveName(request.save_name or None)
            self.network.save(request.save_dir or '', request.saver, request.save_tags, name)
            return
        position = getattr(request.train_generator, 'position', None)
        content = to_json({'loop': state.to_dict(), 'data_position': position})
        network = self.network
        self.checkpoints.save(
            state.step, network.write_checkpoint_files, content, is_best, network.write_checkpoint_description
        )

    def _warn_about_dropout(self) -> None:
        if self.request.keep_prob == 1:
            return
        if self.run is not None and self.network.tensors.encoder.dropout_seed is None:
            warn_user(
                "This encoder draws its dropout from TensorFlow's own random state, which no checkpoint holds: a "
                'resumed run sees the same data but other dropout masks. Those of fcn8s vgg16 repeat theirs.'
            )
        if self.workers is not None and not shared.shares_dropout(self.network):
            warn_user(
                'Each worker draws the dropout of this encoder by itself: {} workers do not drop what one process '
                'would. With those of fcn8s vgg16 they do.'.format(self.workers.size)
            )
