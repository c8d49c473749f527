"""The class `FCN8s`: one network in one graph and one session, and the verbs that research scripts use."""

import functools
import os
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np
from tqdm import tqdm

from fcn8s.backend import tf
from fcn8s.batches import as_image_batch, as_label_batch, check_same_classes
from fcn8s.evaluation.one_pass import run_evaluation
from fcn8s.evaluation.score_table import format_scores
from fcn8s.graph.assembly import Model, TrainingSettings, assemble
from fcn8s.graph.encoder import in_bfloat16
from fcn8s.graph.losses import check_class_weights, describe_loss
from fcn8s.graph.optimizers import OPTIMIZERS, LossScaling, OptimizerSettings
from fcn8s.precision import check_precision, converts_graph, needs_loss_scaling, session_config, this_machine
from fcn8s.saving import descriptions, model_files, opening, restoring, saved_models
from fcn8s.settings import ModelSettings
from fcn8s.training import run
from helpers.files import atomic_directory
from helpers.label_spaces import LabelSpace

# How many images one run of the session predicts, so that a long list does not need memory for all at once.
PREDICTION_BATCH = 8


class FCN8s:
    """FCN-8s (or 16s, 32s) on a convolutionalised VGG-16. A context manager; `close()` frees session and graph.

    There are four ways to begin, of which exactly one has to be given:

    - `vgg16_dir`, with `num_classes` or `label_space`: a new network on an encoder SavedModel (tag `vgg16`).
    - `model_load_dir`: a saved FCN-8s SavedModel, or a run directory (its best checkpoint); `tags` default to
    ['default'].
    - `vgg16_dir` and `variables_load_dir`: build, then load variables that `tf.train.Saver` wrote.
    - `fine_tune_from`: a new network that takes what fits from another FCN-8s (other classes, other variant).

    Args:
        num_classes: 2 to 255; or give `label_space` (names, colours, ignore ID) from `helpers.label_spaces`.
        ignore_id: pixels with this label change neither loss, gradient nor score. 255 unless the label space says
            otherwise.
        seed: of dropout; data generators have their own.
        variant: '8s' (default), '16s' or '32s'. upsampling: 'learned' (default) or 'bilinear' (fixed kernels).
        skip_scales: factors of pool3 and pool4; None: the paper's (1e-4, 1e-2) with SGD, (1, 1) with Adam.
            With `fine_tune_from` the defaults of these three are those of the other network.
        optimizer: 'adam', 'sgd' (the paper's: momentum 0.99, decay 5e-4, double rate for biases), or an
            `fcn8s.graph.optimizers.OptimizerSettings`.
        accumulate_batches: batches per step; the step equals one of a batch so many times larger.
        loss: 'cross_entropy', or a function (logits, labels, valid) -> scalar; see docs/custom_loss.md.
        normalize: 'mean' over valid pixels, or the paper's 'sum'. class_weights: one number per class, for example
            `helpers.class_weights.median_frequency_weights(train_data.count_class_pixels())`.
        freeze: 'encoder', or the number of encoder blocks that are not trained.
        precision: 'float32', 'bfloat16' or 'mixed_float16'; xla: compile with XLA. Refused where the machine cannot.
        config: a `tf.ConfigProto` for the session; it is copied. gpu_memory_growth: take GPU memory as it is needed.
        trust: open a SavedModel whatever ops its graph holds; otherwise those that read files, say, are refused.

    Raises ValueError and FileNotFoundError before anything is built.

    Tensors: `image_input` float32 [N, H, W, 3] RGB 0..255 (or feed uint8 to `images_uint8`), `keep_prob`, `labels`
    uint8 [N, H, W] or one-hot, `fcn8s_output` logits [N, H, W, C], `softmax_output`, `predictions_argmax` int64,
    `total_loss`, `train_op`, `learning_rate`, `l2_regularization_rate`, `global_step`, `pool3_out`, `pool4_out`,
    `fc7_out`; and `sess`, `graph`, `num_classes`, `label_space`, `training_loss` and `best_training_loss` (of epochs).
    """

    def __init__(
        self,
        model_load_dir: Optional[str] = None,
        tags: Optional[Sequence[str]] = None,
        vgg16_dir: Optional[str] = None,
        num_classes: Optional[int] = None,
        variables_load_dir: Optional[str] = None,
        fine_tune_from: Optional[str] = None,
        label_space: Optional[LabelSpace] = None,
        ignore_id: Optional[int] = None,
        seed: int = 0,
        variant: Optional[str] = None,
        upsampling: Optional[str] = None,
        skip_scales: Optional[Tuple[float, float]] = None,
        optimizer: Union[str, OptimizerSettings] = 'adam',
        accumulate_batches: int = 1,
        loss: Union[str, Callable] = 'cross_entropy',
        normalize: str = 'mean',
        class_weights: Optional[Sequence[float]] = None,
        freeze: Optional[Union[str, int]] = None,
        precision: str = 'float32',
        xla: bool = False,
        config: Optional[Any] = None,
        gpu_memory_growth: bool = True,
        trust: bool = False,
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise ValueError('seed is {!r}; it has to be a whole number.'.format(seed))
        check_precision(precision, xla, this_machine(config))
        optimizer_settings = _optimizer_settings(optimizer, accumulate_batches)
        plan = opening.plan_opening(
            model_load_dir,
            tags,
            vgg16_dir,
            variables_load_dir,
            fine_tune_from,
            dict(
                num_classes=num_classes,
                label_space=label_space,
                ignore_id=ignore_id,
                variant=variant,
                upsampling=upsampling,
                skip_scales=skip_scales,
                optimizer=None if model_load_dir else optimizer_settings.name,
            ),
            trust,
        )
        self._training_settings = TrainingSettings(
            optimizer_settings,
            loss,
            normalize,
            None
            if class_weights is None
            else tuple(check_class_weights(class_weights, plan.settings.num_classes).tolist()),
            freeze,
            LossScaling() if needs_loss_scaling(precision) else None,
        )
        self.seed = seed
        self._arithmetic = {'precision': precision, 'xla': xla}
        self.settings: ModelSettings = plan.settings
        self._encoder_meta_graph = plan.encoder.meta_graph
        self._last_training_loss: Optional[float] = None
        self.best_training_loss: Optional[float] = None
        self._last_metrics: Dict[str, float] = {}
        self._saved_at: Optional[int] = None
        self.graph = tf.Graph()
        with self.graph.as_default():
            encoder_graph = plan.encoder.meta_graph
            if converts_graph(precision, config):
                encoder_graph = in_bfloat16(encoder_graph)
            self.model: Model = assemble(encoder_graph, plan.settings, self._training_settings)
            self._state_saver = tf.train.Saver(list(self.model.state), max_to_keep=None)
            self._weights_saver = tf.train.Saver(
                list(self.model.weights) + [self.model.training.global_step], max_to_keep=None
            )
        self.sess = tf.Session(graph=self.graph, config=session_config(precision, xla, gpu_memory_growth, config))
        self._closed = False
        try:
            self._initialize(plan)
        except BaseException:
            self.close()
            raise
        self._name_tensors()

    def _initialize(self, plan: opening.Opening) -> None:
        """Initialises what is new, and restores what was loaded; a loaded variable is never initialised."""
        with self.graph.as_default():
            if plan.weights_prefix is not None:
                restoring.restore(self.sess, self.model.weights, plan.weights_prefix)
                rest = self.model.training.ops.state + (self.model.training.global_step,)
                rest = restoring.restore_present(self.sess, rest, plan.weights_prefix)
            else:
                if plan.fine_tune_from is None:
                    restoring.restore(self.sess, self.model.encoder.variables, plan.encoder.variables_prefix)
                encoder = {variable.op.name for variable in self.model.encoder.variables}
                rest = tuple(variable for variable in self.model.state if variable.op.name not in encoder)
            self.sess.run([variable.initializer for variable in rest])
            if plan.fine_tune_from is not None:
                fits = restoring.restore_fitting(
                    self.sess, self.model, plan.fine_tune_from.prefix, plan.fine_tune_from.settings
                )
                print(restoring.format_fits(fits, plan.fine_tune_from.settings, self.settings))

    def _name_tensors(self) -> None:
        model, training = self.model, self.model.training
        self.images_uint8, self.image_input = model.encoder.images_uint8, model.encoder.image_input
        self.keep_prob, self.labels = model.encoder.keep_prob, training.labels
        self.fcn8s_output = model.decoder.logits
        self.softmax_output, self.predictions_argmax = model.predictor.probabilities, model.predictor.argmax
        self.total_loss, self.train_op = training.total_loss, training.ops.apply_op
        self.learning_rate, self.global_step = training.learning_rate, training.global_step
        self.l2_regularization_rate = training.l2_rate
        self.pool3_out, self.pool4_out, self.fc7_out = model.encoder.pool3, model.encoder.pool4, model.encoder.fc7

    @property
    def label_space(self) -> LabelSpace:
        """Names, colours and ignore ID of the classes."""
        return self.settings.label_space

    @property
    def num_classes(self) -> int:
        return self.settings.num_classes

    @property
    def training_loss(self) -> Optional[float]:
        """The mean training loss of the last epoch; None before one."""
        return self._last_training_loss

    @property
    def accumulate_batches(self) -> int:
        return self._training_settings.optimizer.accumulate_batches

    def train(
        self,
        train_generator: Any,
        epochs: int,
        steps_per_epoch: int,
        learning_rate_schedule: Callable[[int], float],
        keep_prob: float = 0.5,
        l2_regularization: float = 0.0,
        eval_dataset: str = 'train',
        eval_frequency: int = 5,
        val_generator: Any = None,
        val_steps: Optional[int] = None,
        metrics: Iterable[str] = (),
        save_during_training: bool = False,
        save_dir: Optional[str] = None,
        save_best_only: bool = True,
        save_tags: Sequence[str] = ('default',),
        save_name: str = '',
        save_frequency: int = 5,
        saver: str = 'saved_model',
        monitor: str = 'loss',
        record_summaries: bool = True,
        summaries_frequency: int = 10,
        summaries_dir: Optional[str] = None,
        summaries_name: Optional[str] = None,
        training_loss_display_averaging: int = 3,
        run_dir: Optional[str] = None,
        resume: bool = False,
        keep_checkpoints: int = 2,
        early_stopping_patience: Optional[int] = None,
        config: Optional[Dict[str, Any]] = None,
    ) -> List[Dict[str, Any]]:
        """Trains, and returns the history: one record per epoch (training loss, rate, speed, evaluation scores).

        Args:
            train_generator: endless iterator of (images uint8 [N, H, W, 3], labels uint8 [N, H, W] or one-hot).
            learning_rate_schedule: step (from 0, within this training) -> learning rate; `fcn8s.schedules` has some.
            keep_prob: keep probability of dropout. l2_regularization: rate r of r x 1/2 sum(w^2) over the decoder's
                kernels.
            eval_dataset, metrics: every `eval_frequency` epochs, and after the last, evaluate 'train' (the next batches
                of train_generator) or 'val' with any of 'loss', 'mean_iou', 'accuracy'; no metrics, no evaluation.
            val_steps: batches per evaluation; one pass over val_generator where that knows its length.
            save_during_training: write models to save_dir every `save_frequency` epochs and after the last; with
                save_best_only instead after each epoch whose monitored score is the best so far, which is evaluated at
                least as often. saver: see `save`.
            monitor: 'loss' (the training loss, unless metrics holds 'loss'), 'mean_iou', 'accuracy' or 'iou:CLASS
                NAME'.
            summaries_dir, summaries_name: TensorBoard files go to summaries_dir/summaries_name; without a directory
                (and without run_dir) none are written. summaries_frequency is in steps.
            training_loss_display_averaging: how many steps the displayed loss is averaged over.
            run_dir: keep a run directory: config.json, metrics.jsonl, events/ and checkpoints/ with everything that
                `resume=True` needs to go on as if nothing had happened. Saved every save_frequency epochs, at each best
                score, at the end and on Ctrl-C or SIGTERM. keep_checkpoints: how many of the newest stay, besides the
                best.
            early_stopping_patience: stop after so many evaluations without a better monitored score.
            config: further entries for config.json.

        Raises ValueError before the first step for what cannot work, FloatingPointError at a loss that is not finite,
        and `fcn8s.stopping.TrainingInterrupted` (a KeyboardInterrupt) after a signal.
        """
        arguments = {name: value for name, value in locals().items() if name != 'self'}
        self._check_open()
        return run.train(self, run.TrainRequest(**arguments))

    def evaluate(
        self,
        data_generator: Any,
        num_batches: int,
        metrics: Iterable[str] = ('loss', 'mean_iou', 'accuracy'),
        l2_regularization: float = 0.0,
        dataset: str = 'val',
    ) -> Dict[str, Any]:
        """Evaluates `num_batches` batches, prints a table, and returns the scores.

        metrics: which of 'loss', 'mean_iou', 'accuracy' to return; `per_class_iou` [C] and `confusion_matrix` int64 [C,
        C] (rows are ground truth) always come along, and so do the other scores of `fcn8s.evaluation.scores.summarize`.
        Labels may have another size than the images; scores are then at the size of the labels. dataset: for the
        heading.
        """
        self._check_open()
        metrics = set(metrics)
        unknown = sorted(metrics - set(run.METRICS))
        if unknown:
            raise ValueError('metrics has {}; choose from {}.'.format(unknown, list(run.METRICS)))
        scores = self.run_evaluation(data_generator, num_batches, l2_regularization)
        print('Scores on {}:\n{}'.format(dataset, format_scores(scores, self.label_space)))
        return {name: value for name, value in scores.items() if name not in run.METRICS or name in metrics}

    def run_evaluation(self, batches: Any, num_batches: int, l2_regularization: float = 0.0) -> Dict[str, Any]:
        """`evaluate` without the table: all scores. The loss is a mean over pixels, plus the L2 penalty."""
        check_same_classes(self.label_space, getattr(batches, 'label_space', None))
        run.check_l2_regularization(l2_regularization)
        training = self.model.training
        progress = functools.partial(tqdm, desc='evaluate', unit='batch', leave=False, dynamic_ncols=True)
        scores = run_evaluation(
            self.sess.run, training.metrics, self._evaluation_feed, batches, num_batches, self.label_space, progress
        )
        if l2_regularization:
            scores['loss'] += float(self.sess.run(training.penalty, {training.l2_rate: l2_regularization}))
        return scores

    def predict(self, images: Union[np.ndarray, Sequence[np.ndarray]], argmax: bool = True) -> np.ndarray:
        """Class IDs, uint8 [N, H, W], or with argmax=False the soft-max, float32 [N, H, W, C], at the size of the
        images.

        images: [N, H, W, 3] or a list of images of one size; uint8, or numbers from 0 to 255; any height and width from
            1.
        """
        self._check_open()
        images = as_image_batch(images)
        fetch = self.model.predictor.class_ids if argmax else self.softmax_output
        if not len(images):
            return np.zeros(
                images.shape[:3] + (() if argmax else (self.num_classes,)), np.uint8 if argmax else np.float32
            )
        parts = [
            self.sess.run(fetch, self._image_feed(images[start : start + PREDICTION_BATCH]))
            for start in range(0, len(images), PREDICTION_BATCH)
        ]
        return np.concatenate(parts)

    def predict_and_save(
        self,
        results_dir: str,
        images_dir: str,
        color_map: Any,
        resize: Any = False,
        image_file_extension: str = 'png',
        include_unprocessed_image: bool = False,
        arrangement: str = 'vertical',
        overwrite_existing: bool = True,
    ) -> Any:
        """Segments a folder of images and writes overlays of the same names; see
        `fcn8s.prediction.predictor.predict_and_save`.
        """
        self._check_open()
        from fcn8s.prediction import predictor

        return predictor.predict_and_save(
            self.predict,
            results_dir,
            images_dir,
            color_map,
            resize,
            image_file_extension,
            include_unprocessed_image,
            arrangement,
            overwrite_existing,
        )

    def save(
        self,
        model_save_dir: str,
        saver: str = 'saved_model',
        tags: Sequence[str] = ('default',),
        name: Optional[str] = None,
        include_global_step: bool = True,
        include_last_training_loss: bool = True,
        include_metrics: bool = True,
        force_save: bool = False,
    ) -> Optional[str]:
        """Saves into a new directory inside `model_save_dir`, and returns its path.

        saver: 'saved_model' writes a SavedModel for prediction and fine-tuning; 'train_saver' a `tf.train.Saver`
            checkpoint that also holds the optimiser's state, for `variables_load_dir`.
        name: first part of the directory's name; step, last training loss and last scores follow as asked.
        force_save: save although nothing changed since the last saving (no step trained, no variables loaded);
            otherwise that returns None.
        """
        self._check_open()
        if saver not in run.SAVERS:
            raise ValueError('saver is {!r}; choose from {}.'.format(saver, list(run.SAVERS)))
        descriptions.check_tags('tags', tags)
        if name is not None and os.path.basename(name) != name:
            raise ValueError(
                'name is {!r}; it begins the name of a directory inside model_save_dir, so it must not hold a path. '
                'Give the path as model_save_dir.'.format(name)
            )
        step = int(self.sess.run(self.global_step))
        if step == self._saved_at and not force_save:
            print('Not saved: no step was trained since the last saving (force_save=True saves anyway).')
            return None
        directory = os.path.join(
            os.fspath(model_save_dir),
            self._save_name(name, step if include_global_step else None, include_last_training_loss, include_metrics),
        )
        if saver == 'saved_model':
            meta_graph = model_files.build_meta_graph(self._encoder_meta_graph, self.settings, tags)
            model_files.write_model(directory, meta_graph, self._description(step), self._writer(self._weights_saver))
        else:
            with atomic_directory(directory) as temporary:
                self._writer(self._state_saver)(os.path.join(temporary, 'variables'))
        self._saved_at = step
        print('Saved to {}'.format(directory))
        return directory

    def load_variables(self, path: str) -> None:
        """Loads weights, and the optimiser's state where it is stored, from a checkpoint of `tf.train.Saver` or a
        SavedModel.
        """
        self._check_open()
        prefix = restoring.find_checkpoint(path)
        with self.graph.as_default():
            restoring.restore(self.sess, self.model.weights, prefix)
            restoring.restore_present(
                self.sess, self.model.training.ops.state + (self.model.training.global_step,), prefix
            )
        # What was known of the weights before is not about these.
        self._saved_at, self._last_training_loss, self._last_metrics = None, None, {}

    def close(self) -> None:
        """Frees the session and its memory. May be called again."""
        if not self._closed:
            self.sess.close()
            self._closed = True

    def __enter__(self) -> 'FCN8s':
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    # For the training call and the commands

    def training_feed(
        self,
        images: Any,
        labels: Any,
        keep_prob: float,
        dropout_seed: Tuple[int, int],
        learning_rate: float,
        l2_rate: float,
    ) -> Dict[Any, Any]:
        """The feed of one training batch; checks the batch."""
        feed = self._evaluation_feed(images, labels)
        sizes = [feed[tensor].shape[1:3] for tensor in feed]
        if sizes[0] != sizes[1]:
            raise ValueError(
                'images have the size {} x {} and labels {} x {}; training needs both in one size. Resize the labels, '
                'too (generate(resize=...) does).'.format(*sizes[0], *sizes[1])
            )
        training, encoder = self.model.training, self.model.encoder
        feed.update({encoder.keep_prob: keep_prob, training.learning_rate: learning_rate, training.l2_rate: l2_rate})
        if encoder.dropout_seed is not None:
            feed[encoder.dropout_seed] = dropout_seed
        return feed

    def describe_training(self) -> Dict[str, Any]:
        """The training settings as JSON can hold them; a loss function is described by its name."""
        settings = self._training_settings
        return dict(settings._asdict(), loss=describe_loss(settings.loss), **self._arithmetic)

    @property
    def trains_mean_cross_entropy(self) -> bool:
        """Whether the training loss is the built-in mean cross-entropy, so that ln(C) means something."""
        return self._training_settings.loss == 'cross_entropy' and self._training_settings.normalize == 'mean'

    def set_label_space(self, label_space: LabelSpace) -> None:
        """Takes over class names and colours of a dataset; number of classes and ignore ID are those of the graph."""
        self.settings = self.settings._replace(label_space=label_space)

    def remember_training_loss(self, loss: float) -> None:
        self._last_training_loss = loss
        self.best_training_loss = min(loss, loss if self.best_training_loss is None else self.best_training_loss)

    def remember_metrics(self, metrics: Dict[str, float]) -> None:
        self._last_metrics = dict(metrics)

    def write_checkpoint_files(self, directory: str) -> None:
        """Writes a SavedModel whose variables file also holds the optimiser's state into an existing directory."""
        meta_graph = model_files.build_meta_graph(self._encoder_meta_graph, self.settings)
        step = int(self.sess.run(self.global_step))
        model_files.write_model_files(directory, meta_graph, self._description(step), self._writer(self._state_saver))

    def restore_state(self, model_dir: str) -> None:
        """Restores weights, optimiser state and step from a checkpoint of a run; all of them have to be there."""
        with self.graph.as_default():
            restoring.restore(self.sess, self.model.state, restoring.find_checkpoint(model_dir))

    def _image_feed(self, images: np.ndarray) -> Dict[Any, Any]:
        return {self.images_uint8 if images.dtype == np.uint8 else self.image_input: images}

    def _evaluation_feed(self, images: Any, labels: Any) -> Dict[Any, Any]:
        images = as_image_batch(images)
        feed = self._image_feed(images)
        feed[self.labels] = as_label_batch(labels, self.label_space, len(images))
        return feed

    def _writer(self, saver: Any) -> Callable[[str], None]:
        def write(prefix: str) -> None:
            # Outside of the graph, TensorFlow 2 saves as if it ran eagerly.
            with self.graph.as_default():
                saved_models.save_variables(saver, self.sess, prefix)

        return write

    def _description(self, step: int) -> Dict[str, Any]:
        return model_files.describe(self.settings, step, self._last_metrics)

    def _save_name(self, name: Optional[str], step: Optional[int], include_loss: bool, include_metrics: bool) -> str:
        parts = [] if name is None else [name]
        if step is not None:
            parts.append('(globalstep-{})'.format(step))
        if include_loss and self._last_training_loss is not None:
            parts.append('(trainloss-{:.4f})'.format(self._last_training_loss))
        if include_metrics:
            parts += ['(eval_{}-{:.4f})'.format(metric, value) for metric, value in sorted(self._last_metrics.items())]
        return '_'.join(parts) or 'saved_model'

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(
                'this FCN8s was closed, and its session is gone. Make a new one: FCN8s(model_load_dir=...).'
            )


def _optimizer_settings(optimizer: Union[str, OptimizerSettings], accumulate_batches: int) -> OptimizerSettings:
    if isinstance(optimizer, str) and optimizer in OPTIMIZERS:
        optimizer = OPTIMIZERS[optimizer]
    if not isinstance(optimizer, OptimizerSettings):
        raise ValueError(
            'optimizer is {!r}; choose from {}, or pass an OptimizerSettings.'.format(optimizer, list(OPTIMIZERS))
        )
    if accumulate_batches != 1:
        optimizer = optimizer._replace(accumulate_batches=accumulate_batches)
    return optimizer
