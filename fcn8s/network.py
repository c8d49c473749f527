"""An open network: the graph, the session and the files of one model, and what is run in them.

The class that people use, `fcn8s.FCN8s`, and the training stand above this; neither knows the other.
"""

import contextlib
import errno
import operator
import os
import shlex
import shutil
import threading
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from fcn8s.backend import MetaGraphDef, Tensor, Variable, check_process, tf
from fcn8s.batches import PredictionTensors, as_evaluation_batch, check_same_classes, predict_in_chunks
from fcn8s.closing import closed_fcn8s, closing_told
from fcn8s.distributed.workers import DistributedSettings, Workers, cluster_settings, join
from fcn8s.evaluation.evaluate import batches_at_once
from fcn8s.evaluation.one_pass import run_evaluation
from fcn8s.graph.assembly import PUBLISHED_TENSORS, NetworkTensors, TrainingSettings, assemble, check_training_settings
from fcn8s.graph.dropout_rows import with_dropout_rows
from fcn8s.graph.encoder import as_trained
from fcn8s.graph.graph_defs import digest_of
from fcn8s.graph.losses import describe_loss
from fcn8s.graph.update_rules import LossScaling
from fcn8s.precision import (
    Arithmetic,
    check_precision,
    chosen_precision,
    needs_loss_scaling,
    session_config,
    this_machine,
)
from fcn8s.saving import model_files, restoring, saved_models
from fcn8s.saving.descriptions import DEFAULT_TAGS, check_tags
from fcn8s.saving.opening import Beginning, NetworkRequest, Opening, plan_opening
from fcn8s.saving.packed import is_packed
from fcn8s.saving.runs import input_size, is_run, open_current
from fcn8s.settings import MAX_SEED, ModelSettings, check_class_weights
from helpers.aliases import PathLike
from helpers.counted import counted
from helpers.files import atomic_directory, check_folder, path_of
from helpers.flags import check_choice, check_flags, checked_whole
from helpers.image_rules import ImageRules, checked_rules
from helpers.label_spaces import LabelSpace
from helpers.names_of_2017 import OF_FCN8S, with_replacements
from helpers.progress import evaluation_bar

Feed = Dict[Tensor, Any]


class SaveName(NamedTuple):
    """What the name of a saved model says: a first part, the step, the training loss, the scores."""

    name: Optional[str] = None
    with_step: bool = True
    with_loss: bool = True
    with_scores: bool = True


class Network:
    """One network in one graph and one session.

    Attributes:
        graph, session: of this network alone.
        tensors: every tensor of the network by its role.
        settings: the architecture and the label space.
        training_settings, arithmetic, seed: how it is trained.
        last_scores: of the current weights, where training knows them.
        last_training_loss, best_training_loss: the mean of the last epoch, and the lowest of all epochs; None before
            one, and once other weights were loaded.
        has_diverged: whether a training ended at a loss that was not finite, and nothing was loaded since.
        workers, exchange: the cluster that this process is part of, and the ops that combine its gradients; None in a
            single process.
    """

    def __init__(
        self,
        plan: Opening,
        training: TrainingSettings,
        arithmetic: Arithmetic,
        seed: int,
        workers: Optional[Workers],
        input_size: Optional[Tuple[int, int]],
        said_image_rules: Optional[ImageRules],
    ) -> None:
        self.settings: ModelSettings = plan.settings
        self.training_settings = training
        self.arithmetic = arithmetic
        self.seed = seed
        self.last_training_loss: Optional[float] = None
        self.best_training_loss: Optional[float] = None
        self.last_scores: Dict[str, float] = {}
        self.for_prediction = plan.for_prediction
        self.input_size = input_size  # at which its run was evaluated
        self.said_image_rules = said_image_rules  # given when it was opened
        self._encoder_meta_graph = plan.encoder.meta_graph
        self._encoder_dir = plan.encoder.directory
        self._saved: Dict[Tuple[Any, ...], str] = {}  # saver, folder, step, name, tags -> path
        self._savers = restoring.Savers()
        self._graphs_to_save: Dict[Tuple[str, ...], MetaGraphDef] = {}
        self._state_is_of: Optional[Tuple[str, int]] = None
        self.workers = workers
        self.exchange: Any = None
        self._average_is_in_place = False
        self._exchanging: Any = contextlib.nullcontext()  # a lock where there is an average: other threads may predict
        self.has_diverged = False
        self.graph = tf.Graph()
        with self.graph.as_default():
            if workers is not None:
                from fcn8s.distributed.exchange import Exchange

                self.exchange = Exchange(workers.size, lambda: workers.keys(1), workers.wire)
            self.tensors: NetworkTensors = assemble(self._graph_to_train(), plan.settings, training, self.exchange)
            self._take_over = None if workers is None else workers.build_take_over(self.tensors.state)
        if self.tensors.training.average is not None:
            self._exchanging = threading.RLock()
        check_process()
        config = session_config(*arithmetic)
        self.session = workers.session(self.graph, config) if workers else tf.Session(graph=self.graph, config=config)
        self._is_closed = False
        try:
            self._initialize(plan)
            if workers is not None:
                with workers.watch.working():
                    self.take_over_weights(workers)
        except BaseException:
            self.close()
            raise

    def __reduce__(self) -> Any:
        raise TypeError(
            'an open FCN8s cannot be copied or sent to another process. Save it, and open it there: '
            'FCN8s(model_load_dir=...).'
        )

    def _graph_to_train(self) -> Any:
        meta_graph = as_trained(self._encoder_meta_graph, self.arithmetic.precision, self.arithmetic.config)
        return meta_graph if self.workers is None else with_dropout_rows(meta_graph)

    def take_over_weights(self, workers: Workers) -> None:
        """Copies every variable from worker 0; all workers do so at once."""
        self.place_average()
        workers.take_over(self.session, self._take_over)
        self.note_average()

    def _initialize(self, plan: Opening) -> None:
        """Initialises what is new and restores what was loaded; a loaded variable is never initialised."""
        if plan.weights_prefix is not None:
            rest = self._restore_stored(plan.weights_prefix)
            self._run_initializers(rest)
            if not rest and plan.weights_prefix == plan.encoder.variables_prefix:
                self._state_is_of = (os.path.realpath(plan.encoder.directory), self.step())
        elif plan.fine_tune_from is None:
            self._restore(self.tensors.encoder.variables, plan.encoder.variables_prefix)
            self._run_initializers(self.tensors.state[len(self.tensors.encoder.variables) :])
        else:
            self._run_initializers(self.tensors.state[len(self.tensors.encoder.variables) :])
            self._take_what_fits(plan.fine_tune_from.prefix, plan.fine_tune_from.settings)
        self.note_average()

    def _restore(self, variables: Sequence[Variable], prefix: str) -> None:
        with self.graph.as_default():
            restoring.restore(self.session, variables, prefix, self._savers)

    def _restore_stored(self, prefix: str) -> Tuple[Any, ...]:
        """Restores the weights and each group of the state that is stored whole; returns the other variables."""
        self._restore(self.tensors.weights, prefix)  # first: what does not fit is refused before the rest changes
        with self.graph.as_default():
            return restoring.restore_present(self.session, self.tensors.state_groups, prefix, self._savers)

    def _run_initializers(self, variables: Sequence[Variable]) -> None:
        self.session.run([variable.initializer for variable in variables])

    def _take_what_fits(self, prefix: str, other: ModelSettings) -> None:
        with self.graph.as_default():
            fits = restoring.restore_fitting(self.session, self.tensors, prefix, other, self._savers)
        print(restoring.format_fits(fits, other, self.settings))

    # The two sets of weights where training keeps an average

    def _has_average(self) -> bool:
        average = self.tensors.training.average
        return average is not None and self.session.run(average.count) > 0

    def note_average(self) -> None:
        """Notes which weights a restored state put in place: states are saved with the average in place, if any."""
        self._average_is_in_place = self._has_average()

    @property
    def weights_in_place(self) -> Optional[str]:
        """'average' or 'raw': the weights that the network has now; None where training keeps no average."""
        if self.tensors.training.average is None:
            return None
        return 'average' if self._average_is_in_place else 'raw'

    def place_average(self) -> None:
        """Puts the averaged weights in place, where there are any: for everything but a training step."""
        average = self.tensors.training.average
        with self._exchanging:
            if average is not None and not self._average_is_in_place and self._has_average():
                self.session.run(average.exchange)
                self._average_is_in_place = True

    def place_raw(self) -> None:
        """Puts the raw weights back, for a training step."""
        average = self.tensors.training.average
        with self._exchanging:
            if average is not None and self._average_is_in_place:
                self.session.run(average.exchange)
                self._average_is_in_place = False

    def restart_average(self) -> None:
        """Forgets the averaged weights."""
        self.place_raw()
        average = self.tensors.training.average
        if average is not None:
            self._state_is_of = None
            self.session.run(average.restart)

    def clear_gradients(self) -> None:
        """Forgets the gradients of a step that failed before its last batch: they would be part of the next one."""
        training = self.tensors.training
        rules = [training.ops] + ([] if training.warmup is None else [training.warmup])
        self._run_initializers([variable for ops in rules for variable in ops.accumulated])

    # What it is

    @property
    def label_space(self) -> LabelSpace:
        """The names, colours and ignore ID of the classes."""
        return self.settings.label_space

    def set_label_space(self, label_space: LabelSpace) -> None:
        """Takes over class names and colours of a dataset; number of classes and ignore ID are those of the graph."""
        self.settings = self.settings._replace(label_space=label_space)

    def set_image_rules(self, image_rules: ImageRules) -> None:
        """Takes over the image rules of a dataset; raises ValueError where their channels are not the graph's, or
        where they differ from the rules that the network was given.
        """
        said = self.said_image_rules
        if said is not None and said != image_rules:
            raise ValueError(
                'the network was given {}, and the data are read by {}. Give the BatchGenerator '
                'image_rules=model.settings.image_rules, or leave image_rules of FCN8s out.'.format(said, image_rules)
            )
        channels = self.settings.image_rules.channels
        if image_rules.channels != channels:
            raise ValueError(
                'the data are read with {}, and the network takes {}. Give the BatchGenerator '
                'image_rules=model.settings.image_rules.'.format(counted(image_rules.channels, 'channel'), channels)
            )
        self.settings = self.settings._replace(image_rules=image_rules)

    def label_space_with(self, data: Any) -> LabelSpace:
        """Returns the label space of this network on `data`, with the names of the data where the network has none.

        data: a generator, with or without a `label_space`.

        Raises:
            ValueError: where the two contradict each other.
        """
        return check_same_classes(self.label_space, getattr(data, 'label_space', None))

    def remember_training_loss(self, loss: float) -> None:
        """Keeps the mean training loss of an epoch, and the best of all epochs."""
        self.last_training_loss = loss
        self.best_training_loss = min(loss, loss if self.best_training_loss is None else self.best_training_loss)

    def step(self) -> int:
        """Returns the global step."""
        return int(self.session.run(self.tensors.training.global_step))

    def describe_training(self) -> Dict[str, Any]:
        """Describes the training settings as JSON can hold them; a loss function by its name."""
        return _described(self.training_settings, self.arithmetic)

    @property
    def trains_mean_cross_entropy(self) -> bool:
        """Whether the training loss is the built-in mean cross-entropy, which can be compared with ln(C)."""
        return self.training_settings.loss == 'cross_entropy' and self.training_settings.normalize == 'mean'

    # What is fed

    def image_feed(self, images: np.ndarray) -> Feed:
        """Returns the feed of checked images [N, H, W, channels], uint8 or float32."""
        encoder = self.tensors.encoder
        return {encoder.images_uint8 if images.dtype == np.uint8 else encoder.image_input: images}

    def evaluation_feed(self, images: Any, labels: Any) -> Feed:
        """Returns the feed of images and labels; checks both."""
        images, labels = as_evaluation_batch(images, labels, self.settings.image_rules.channels, self.label_space)
        feed = self.image_feed(images)
        feed[self.tensors.training.labels] = labels
        return feed

    def training_feed(
        self,
        images: Any,
        labels: Any,
        keep_prob: float,
        dropout_seed: Tuple[int, int],
        learning_rate: float,
        l2_rate: float,
    ) -> Feed:
        """Returns the feed of one training batch; checks the batch."""
        feed = self.evaluation_feed(images, labels)
        sizes = [value.shape[1:3] for value in feed.values()]
        if sizes[0] != sizes[1]:
            raise ValueError(
                'images have the size {} x {} and labels {} x {}; training needs both in one size. Resize the labels, '
                'too (generate(resize=...) does).'.format(*sizes[0], *sizes[1])
            )
        training, encoder = self.tensors.training, self.tensors.encoder
        feed.update({encoder.keep_prob: keep_prob, training.learning_rate: learning_rate, training.l2_rate: l2_rate})
        if encoder.dropout_seed is not None:
            feed[encoder.dropout_seed] = dropout_seed
        return feed

    # What is run

    def run(self, fetches: Any, feed: Optional[Feed] = None) -> Any:
        """Runs `session.run`; raises ValueError where the graph that the encoder came with cannot be run."""
        with closing_told(lambda: self._is_closed, closed_fcn8s):
            if callable(self.training_settings.loss):  # its ops are the user's own, and the traceback tells where
                return self.session.run(fetches, feed)
            with saved_models.explain_run_errors(self._encoder_dir):
                return self.session.run(fetches, feed)

    def run_step(self, fetches: Any, feed: Feed) -> Any:
        """Runs part of a training step on the raw weights; forgets the scores, which are of earlier weights."""
        with self._exchanging:
            self.place_raw()
            self.last_scores, self._state_is_of = {}, None  # even if the step fails half-way
            return self.run(fetches, feed)

    def check_has_not_diverged(self) -> None:
        """Raises ValueError where a training that diverged has left NaN or infinity in the weights."""
        if not self.has_diverged:
            return
        bad = [v.op.name for v in self.tensors.weights if not saved_models.is_finite(self.session.run(v))]
        self.has_diverged = bool(bad)
        if bad:
            raise ValueError(
                'the weights hold NaN or infinity since a training diverged ({}, the first of {}). Open the network '
                'again, or load_variables(...) of what was saved, and train at a tenth of that rate.'.format(
                    bad[0], counted(len(bad), 'variable')
                )
            )

    def predict(self, images: Union[np.ndarray, Sequence[np.ndarray]], argmax: bool = True) -> np.ndarray:
        """Predicts class IDs, uint8 [N, H, W], or with argmax=False the soft-max, float32 [N, H, W, C]."""
        self.check_has_not_diverged()
        encoder, predictor = self.tensors.encoder, self.tensors.predictor
        tensors = PredictionTensors(
            encoder.images_uint8, encoder.image_input, predictor.class_ids, predictor.probabilities
        )
        return predict_in_chunks(self._run_on_average, tensors, images, self.settings.num_classes, argmax)

    def _run_on_average(self, fetches: Any, feed: Feed) -> Any:
        with self._exchanging:
            self.place_average()
            return self.run(fetches, feed)

    def evaluate(
        self, batches: Any, num_batches: int, l2_regularization: float = 0.0, observer: Optional[Any] = None
    ) -> Dict[str, Any]:
        """Returns all scores of `num_batches` batches. The loss is a mean over pixels, plus the L2 penalty.

        observer: its `add(images, labels, values)` is called for each batch with the values of its `fetches`, by name.
        """
        self.check_has_not_diverged()
        self.place_average()
        label_space = self.label_space_with(batches)
        training = self.tensors.training
        scores = run_evaluation(
            self.run,
            training.scoring.totals,
            self.evaluation_feed,
            batches,
            num_batches,
            label_space,
            progress=evaluation_bar,
            fetches=training.scoring.fetches(observer.fetches) if observer else None,
            on_batch=observer.add if observer else None,
            at_once=batches_at_once(),
        )
        scores['loss'] += self.penalty(l2_regularization)
        return scores

    def penalty(self, l2_regularization: float) -> float:
        """Returns the L2 penalty of the current weights."""
        if not l2_regularization:
            return 0.0
        training = self.tensors.training
        return float(self.session.run(training.penalty, {training.l2_rate: l2_regularization}))

    # What is saved and restored

    def save(
        self, directory: PathLike, saver: str, tags: Sequence[str], name: SaveName, force: bool = True
    ) -> Optional[str]:
        """Saves into a new directory inside `directory` and returns its path, as `FCN8s.save` says.

        force: save even if this saver has already saved the current weights there, by that name and these tags, and
            they are still there; without it, that returns None.

        Raises:
            ValueError: for an unknown saver, tags that are no list, a name that is a path, or weights that hold NaN.
        """
        check_save(saver, tags, name.name)
        check_flags(
            include_global_step=name.with_step,
            include_last_training_loss=name.with_loss,
            include_metrics=name.with_scores,
            force_save=force,
        )
        if self.workers is not None and not self.workers.is_first:
            return None
        self.check_has_not_diverged()
        saved = (saver, os.path.realpath(path_of(directory)), self.step(), name.name or None, tuple(tags))
        if not force and os.path.exists(self._saved.get(saved, '')):
            print('Not saved: no step was trained since the last saving there (force_save=True saves anyway).')
            return None
        path = os.path.join(directory, self._save_name(name))
        if name.with_step or name.with_loss or name.with_scores:
            path = _numbered(path)
        SAVERS[saver](self, path, tags)
        self._saved[saved] = os.path.abspath(path)
        print('Saved to {}'.format(path))
        if saver == 'saved_model':
            print(_how_to_deploy(path, tags))
        return path

    def check_can_save(self, directory: PathLike, variables: Sequence[Variable]) -> None:
        """Checks before training that the folder takes files, and has space for one save.

        Raises:
            OSError: saying what to do.
        """
        check_folder(directory)
        needed = sum(int(np.prod(v.shape.as_list())) * v.dtype.base_dtype.size for v in variables)
        free = shutil.disk_usage(os.path.abspath(directory)).free  # '' is the working directory
        if free < needed:
            raise OSError(
                errno.ENOSPC,
                '{} has {} MB free, and what is to be saved there takes {} MB. Free some space or choose another '
                'directory.'.format(os.fspath(directory), free // 10**6, -(-needed // 10**6)),
            )

    def write_saved_model(self, path: str, tags: Sequence[str]) -> None:
        """Writes a new SavedModel directory, for prediction and fine-tuning."""
        write_variables = self._writer(self._weights_to_save())
        model_files.write_model(path, self._graph_to_save(tags), self._description(), write_variables)

    def write_variables(self, path: str, tags: Sequence[str]) -> None:
        """Writes a new directory with a checkpoint of every variable, the optimiser's state among them."""
        with atomic_directory(path) as temporary:
            self._writer(self.tensors.state)(os.path.join(temporary, 'variables'))

    def write_checkpoint_files(self, directory: str) -> None:
        """Writes a SavedModel whose variables file also holds the optimiser's state into an existing directory."""
        write_variables = self._writer(self.tensors.state)
        model_files.write_model_files(directory, self._graph_to_save(), self._description(), write_variables)

    def write_checkpoint_description(self, directory: str) -> None:
        """Writes the current description of the network, with its scores, beside weights that were saved before."""
        model_files.write_description(directory, self._description())

    def _graph_to_save(self, tags: Sequence[str] = DEFAULT_TAGS) -> MetaGraphDef:
        """The graph for prediction, built once: a run saves it again and again, and what may change is not in it."""
        key = tuple(tags)
        if key not in self._graphs_to_save:
            built = model_files.build_meta_graph(self._encoder_meta_graph, self.settings, tags)
            self._graphs_to_save[key] = built
        return self._graphs_to_save[key]

    def restore_state(self, model_dir: str) -> None:
        """Restores weights, optimiser state and step from a checkpoint of a run; all of them have to be there.

        The checkpoint that this network was opened from is not read again if no step was run since.
        """
        if self._state_is_of != (os.path.realpath(model_dir), self.step()):
            self._restore(self.tensors.state, restoring.find_checkpoint(model_dir))
            self._begin_with_these_weights()

    def load_variables(self, path: PathLike) -> None:
        """Loads weights as `FCN8s.load_variables` does."""
        prefix = restoring.find_checkpoint(path)
        self._state_is_of = None  # even if it is refused: NaN in fc6 and fc7 is found once they are in place
        self._run_initializers(self._restore_stored(prefix))
        self._begin_with_these_weights()

    def _begin_with_these_weights(self) -> None:
        """Notes that other weights were restored: what was known is about those before."""
        self.note_average()
        self.last_training_loss, self.best_training_loss, self.last_scores = None, None, {}
        self._saved.clear()

    def _weights_to_save(self) -> List[Any]:
        return list(self.tensors.weights) + [self.tensors.training.global_step]

    def _writer(self, variables: Sequence[Variable]) -> Callable[[str], None]:
        def write(prefix: str) -> None:
            # Outside of the graph, TensorFlow 2 saves as if it ran eagerly.
            with self._exchanging, self.graph.as_default():
                self.place_average()
                saved_models.save_variables(self._savers.of(variables), self.session, prefix)

        return write

    def _description(self) -> Dict[str, Any]:
        return model_files.describe(self.settings, self.step(), self.last_scores)

    def _save_name(self, wanted: SaveName) -> str:
        parts = [wanted.name] if wanted.name else []
        if wanted.with_step:
            parts.append('(globalstep-{})'.format(self.step()))
        if wanted.with_loss and self.last_training_loss is not None:
            parts.append('(trainloss-{:.4f})'.format(self.last_training_loss))
        if wanted.with_scores:
            parts += ['(eval_{}-{:.4f})'.format(metric, value) for metric, value in sorted(self.last_scores.items())]
        return '_'.join(parts) or 'saved_model'

    def close(self) -> None:
        """Frees the session and its memory. May be called again."""
        if not self._is_closed:
            self._is_closed = True
            self.session.close()

    def published_tensors(self) -> Dict[str, Any]:
        """Returns the tensors that scripts use, by their names as attributes of `FCN8s`."""
        return {name: operator.attrgetter(path)(self.tensors) for name, path in PUBLISHED_TENSORS.items()}

    def opened(self) -> 'Network':
        """Returns this network; raises ValueError once it was closed, RuntimeError in a forked process."""
        check_process()
        if self._is_closed:
            raise closed_fcn8s()
        return self

    def to_train(self) -> 'Network':
        """Returns this network; raises ValueError for one that was opened from an export, which has no dropout."""
        if self.for_prediction:
            raise ValueError(
                'this FCN8s was opened from an export, which is for prediction only. Train, save and export the run or '
                'the saved model that it was made of.'
            )
        return self.opened()


# How a network is written, by the name that `saver` gives it.
SAVERS: Dict[str, Callable[[Network, str, Sequence[str]], None]] = {
    'saved_model': Network.write_saved_model,
    'train_saver': Network.write_variables,
}


def _how_to_deploy(path: str, tags: Sequence[str]) -> str:
    if tuple(tags) == DEFAULT_TAGS:
        return 'To deploy it: fcn8s export {} OUT'.format(shlex.quote(path))
    return (
        'Only FCN8s(model_load_dir={!r}, tags={!r}) opens it. To deploy, pack or fine-tune it, open it so and save it '
        'again without tags.'.format(path, list(tags))
    )


def check_save(saver: str, tags: Sequence[str], name: Optional[str]) -> None:
    """Raises ValueError for an unknown saver, tags that are no list of strings, or a name that is a path."""
    check_choice('saver', saver, SAVERS)
    check_tags('tags', tags)
    if saver == 'train_saver' and tuple(tags) != DEFAULT_TAGS:
        raise ValueError(
            "tags are {!r}, and saver is 'train_saver', whose checkpoints have no tags. Leave the tags out, or take "
            "saver='saved_model'.".format(list(tags))
        )
    if name is not None and not isinstance(name, str):
        raise ValueError('name is {!r}; it has to be a string.'.format(name))
    if name is not None and os.path.basename(name) != name:
        raise ValueError(
            'name is {!r}; it begins the name of a directory inside model_save_dir, so it must not hold a path. '
            'Give the path as model_save_dir.'.format(name)
        )


def _numbered(path: str) -> str:
    """The path, with a number where it is taken: a script that runs twice comes to the same step, loss and scores."""
    number, free = 1, path
    while os.path.exists(free) and (not os.path.isdir(free) or os.listdir(free)):
        number += 1
        free = '{}_{}'.format(path, number)
    return free


def of_network(path: str, doc: str) -> Any:
    """Makes a property that reads `path` from an object's attribute `network`."""
    return property(operator.attrgetter('network.' + path), doc=doc)


# Of a class that has its network as `network`: it says what replaces attributes of 2017.
telling_of_2017 = with_replacements(OF_FCN8S)


def without_self(arguments: Dict[str, Any]) -> Dict[str, Any]:
    """Returns the `locals()` of a method without the object: its arguments, to be passed on."""
    return {name: value for name, value in arguments.items() if name != 'self'}


def open_network(request: NetworkRequest) -> Network:
    """Opens a network as `FCN8s` says: checks the arguments, then reads, then builds.

    Raises:
        ValueError, FileNotFoundError: before anything is built; where the arguments alone are wrong, before anything
            is read.
    """
    arithmetic = request.arithmetic
    request = request._replace(seed=checked_whole('seed', request.seed, -MAX_SEED, MAX_SEED))
    check_flags(xla=arithmetic.xla, gpu_memory_growth=arithmetic.gpu_memory_growth, trust=request.beginning.trust)
    arithmetic = arithmetic._replace(precision=chosen_precision(arithmetic.precision, arithmetic.config))
    request = request._replace(arithmetic=arithmetic)
    check_precision(arithmetic.precision, arithmetic.xla, this_machine(arithmetic.config))
    if needs_loss_scaling(arithmetic.precision):
        request = request._replace(training=request.training._replace(loss_scaling=LossScaling()))
    check_training_settings(request.training)
    cluster = cluster_settings(request.distributed)
    return _of_current_checkpoint(request.beginning, lambda checkpoint: _build(request, checkpoint, cluster))


def _of_current_checkpoint(beginning: Beginning, build: Callable[[Beginning], Network]) -> Network:
    """Builds from a run's checkpoint, which a better one may replace at any moment while the run is trained.

    Errors about a packed network name that file, not the place where it was unpacked.
    """
    loaded, other = beginning.model_load_dir, beginning.fine_tune_from
    if loaded is not None and other is None and (is_run(loaded) or is_packed(loaded)):
        return open_current(loaded, lambda found: build(beginning._replace(model_load_dir=found)))
    if other is not None and loaded is None and (is_run(other) or is_packed(other)):
        return open_current(other, lambda found: build(beginning._replace(fine_tune_from=found)))
    return build(beginning)


def _described(training: TrainingSettings, arithmetic: Arithmetic) -> Dict[str, Any]:
    """How a network is trained, as JSON can hold it; a loss function by its name."""
    of_arithmetic = {'precision': arithmetic.precision, 'xla': arithmetic.xla}
    return dict(training._asdict(), loss=describe_loss(training.loss), **of_arithmetic)


def _check_says_nothing_of_training(request: NetworkRequest) -> None:
    of_training = set(TrainingSettings._fields + ('seed', 'distributed')) - {'loss_scaling'}
    names = [name for name in request.given() if name in of_training]
    if names and not (names == ['distributed'] and request.distributed is False):
        raise ValueError(
            '{} given, and {!r} is an export, which is for prediction only: that is about training. Leave it out, or '
            'open the run or the saved model that it was made of.'.format(
                ' and '.join(names) + (' are' if names[1:] else ' is'), request.beginning.model_load_dir
            )
        )


def _build(request: NetworkRequest, beginning: Beginning, cluster: Optional[DistributedSettings]) -> Network:
    """Reads and builds what was asked for. beginning: the request's, or one with the checkpoint of its run."""
    training, arithmetic = request.training, request.arithmetic
    plan = plan_opening(beginning, request.architecture, training.optimizer.name)
    if plan.for_prediction:
        _check_says_nothing_of_training(request)
    if training.class_weights is not None:
        weights = check_class_weights(training.class_weights, plan.settings.num_classes)
        training = training._replace(class_weights=tuple(weights.tolist()))
    described = dict(plan.settings.to_dict(), **_described(training, arithmetic), seed=request.seed)
    if cluster is not None:
        described['the graph of the encoder'] = digest_of(plan.encoder.meta_graph.graph_def)
    workers = None if plan.for_prediction else join(cluster, described)
    opened_from = request.beginning.model_load_dir
    size = None if opened_from is None else input_size(opened_from)
    rules = request.architecture.image_rules
    said = None if rules is None else checked_rules(rules)
    return Network(plan, training, arithmetic, request.seed, workers, size, said)
