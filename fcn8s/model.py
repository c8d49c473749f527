"""The class `FCN8s`: one network in one graph and one session, with the methods that research scripts use."""

from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Union

import numpy as np

from fcn8s.backend import ConfigProto
from fcn8s.distributed.workers import DistributedSettings
from fcn8s.evaluation.score_table import format_scores
from fcn8s.export.engine_network import open_elsewhere
from fcn8s.export.exporting import export_open_network
from fcn8s.graph.assembly import PublishedTensors, TrainingSettings
from fcn8s.network import Network, SaveName, of_network, open_network, telling_of_2017, without_self
from fcn8s.optimizers import OptimizerSettings, optimizer_settings
from fcn8s.precision import Arithmetic
from fcn8s.prediction import predictor
from fcn8s.saving.opening import Architecture, Beginning, NetworkRequest
from fcn8s.training import request, run
from helpers.aliases import PathLike
from helpers.image_rules import ImageRules
from helpers.label_spaces import LabelSpace


@telling_of_2017
class FCN8s(PublishedTensors):
    """FCN-8s (or 16s, 32s) on a convolutionalised VGG-16. A context manager; `close()` frees session and graph.

    >>> import numpy as np
    >>> from fcn8s import FCN8s, write_encoder
    >>> report = write_encoder('encoder', weights='random', width_divisor=64)
    >>> with FCN8s(vgg16_dir='encoder', num_classes=3) as model:
    ...     model.predict(np.zeros([1, 40, 56, 3], np.uint8)).shape
    (1, 40, 56)

    There are four ways to open one. What cannot work raises ValueError or FileNotFoundError before anything is built:
    - `vgg16_dir`, with `num_classes` or `label_space`: a new network on an encoder SavedModel (tag `vgg16`).
    - `model_load_dir`: a saved FCN-8s (`tags`: ['default'] by default), a run (its best checkpoint), or an export.
    - `vgg16_dir` and `variables_load_dir`: build, then load the variables of a `tf.train.Saver` or a run.
    - `fine_tune_from`: a new network that takes what fits from another FCN-8s, and its architecture by default.

    Args:
        num_classes: 2 to 255; or give `label_space` (names, colours, ignore ID) from `helpers.label_spaces`.
        ignore_id: pixels with this label change neither loss, gradient nor score. Default: the label space's, or 255.
        variant: '8s' (default), '16s' or '32s'. upsampling: 'learned' (default) or 'bilinear' (fixed kernels).
        skip_scales: factors of pool3 and pool4; None: the paper's (1e-4, 1e-2) with SGD, (1, 1) with Adam.
        optimizer: 'adam', 'sgd' (the paper's) or an `OptimizerSettings`. accumulate_batches: batches per step.
        loss: a name in `fcn8s.settings.LOSSES`, or a function (logits, labels, valid) -> scalar. normalize: 'mean' over
            valid pixels, or the paper's 'sum'. class_weights: one per class (`helpers.class_weights`). label_smoothing:
            share of the truth that is spread over all classes, such as 0.1. docs/custom_loss.md has more on these.
        freeze: 'encoder', or the number of encoder blocks that are not trained. seed: of dropout, not of the data.
        head_warmup: first epochs, which train fc6, fc7 and decoder alone. gpu_memory_growth: memory as needed.
        precision: 'float32', 'bfloat16', 'mixed_float16', or 'auto': bfloat16 if the CPU has it; xla: compile with XLA.
        image_rules: how image files are read; those of the training data by default. trust: open a SavedModel whatever
            ops its graph holds. distributed: False: alone; None: as TF_CONFIG, SLURM or Kubernetes say; or settings.
        engine: as in `fcn8s.open_model`; exports and 'openvino' predict and evaluate. config: a `tf.ConfigProto`.

    Attributes: `image_input` float32 [N, H, W, channels] 0..255, RGB as a rule (uint8: `images_uint8`), `keep_prob`,
    `labels` uint8 [N, H, W] or one-hot, `fcn8s_output` logits [N, H, W, C], `softmax_output`, `predictions_argmax`
    int64, `total_loss`, `train_op`, `learning_rate`, `l2_regularization_rate`, `global_step`, `pool3_out`, `pool4_out`,
    `fc7_out`; and `sess`, `graph`, `num_classes`, `label_space`, `training_loss` and `best_training_loss` (of epochs).
    """

    def __init__(
        self,
        model_load_dir: Optional[PathLike] = None,
        tags: Optional[Sequence[str]] = None,
        vgg16_dir: Optional[PathLike] = None,
        num_classes: Optional[int] = None,
        variables_load_dir: Optional[PathLike] = None,
        fine_tune_from: Optional[PathLike] = None,
        label_space: Optional[LabelSpace] = None,
        ignore_id: Optional[int] = None,
        seed: int = 0,
        variant: Optional[str] = None,
        upsampling: Optional[str] = None,
        skip_scales: Optional[Sequence[float]] = None,
        optimizer: Union[str, OptimizerSettings] = 'adam',
        accumulate_batches: int = 1,
        loss: Union[str, Callable] = 'cross_entropy',
        normalize: str = 'mean',
        class_weights: Optional[Sequence[float]] = None,
        freeze: Optional[Union[str, int]] = None,
        precision: str = 'float32',
        xla: bool = False,
        config: Optional[ConfigProto] = None,
        gpu_memory_growth: bool = True,
        trust: bool = False,
        image_rules: Optional[ImageRules] = None,
        distributed: Union[None, bool, DistributedSettings] = None,
        label_smoothing: float = 0.0,
        engine: Optional[str] = None,
        head_warmup: int = 0,
    ) -> None:
        beginning = Beginning(model_load_dir, tags, vgg16_dir, variables_load_dir, fine_tune_from, trust)
        architecture = Architecture(num_classes, label_space, ignore_id, variant, upsampling, skip_scales, image_rules)
        rule = optimizer_settings(optimizer, accumulate_batches)
        training = TrainingSettings(rule, loss, normalize, class_weights, freeze, None, label_smoothing, head_warmup)
        arithmetic = Arithmetic(precision, xla, gpu_memory_growth, config)
        wanted = NetworkRequest(beginning, architecture, training, arithmetic, seed, distributed)
        self.network: Any = open_elsewhere(wanted, engine) or open_network(wanted)
        self.graph, self.sess, self.model = self.network.graph, self.network.session, self.network.tensors
        vars(self).update(self.network.published_tensors())

    settings = of_network('settings', 'The architecture and the label space.')
    label_space = of_network('label_space', 'Names, colours and ignore ID of the classes.')
    num_classes = of_network('settings.num_classes', 'The number of classes.')
    training_loss = of_network('last_training_loss', 'The mean training loss of the last epoch; None before one.')
    best_training_loss = of_network('best_training_loss', 'The lowest of an epoch of these weights; None before one.')
    __reduce__ = Network.__reduce__

    def train(
        self,
        train_generator: Any,
        epochs: int,
        steps_per_epoch: int,
        learning_rate_schedule: Callable[[int], float],
        keep_prob: float = 0.5,
        l2_regularization: float = 0.0,
        eval_dataset: Optional[str] = None,
        eval_frequency: int = 5,
        val_generator: Any = None,
        val_steps: Optional[int] = None,
        metrics: Iterable[str] = (),
        save_during_training: bool = False,
        save_dir: Optional[PathLike] = None,
        save_best_only: bool = True,
        save_tags: Sequence[str] = ('default',),
        save_name: str = '',
        save_frequency: int = 5,
        saver: str = 'saved_model',
        monitor: Optional[str] = None,
        record_summaries: bool = True,
        summaries_frequency: int = 10,
        summaries_dir: Optional[PathLike] = None,
        summaries_name: Optional[str] = None,
        training_loss_display_averaging: int = 3,
        run_dir: Optional[PathLike] = None,
        resume: bool = False,
        keep_checkpoints: int = 2,
        early_stopping_patience: Optional[int] = None,
        config: Optional[Dict[str, Any]] = None,
        callbacks: Sequence[Callable[[request.TrainingEvent], Any]] = (),
        summaries_worst: int = 0,
    ) -> List[Dict[str, Any]]:
        """Trains, and returns the history: one record per epoch of this call (loss, rate, speed, scores).

        Args:
            train_generator: endless iterator of (images uint8 [N, H, W, channels], labels uint8 [N, H, W] or one-hot).
            epochs, learning_rate_schedule (step from 0 -> rate, see `fcn8s.schedules`): those before a resume count.
            keep_prob: of dropout. l2_regularization: rate r of r x 1/2 sum(w^2) over the decoder's kernels.
            metrics: any of 'loss', 'mean_iou', 'accuracy': evaluated every `eval_frequency` epochs and after the last,
                on eval_dataset: 'train' (the next training batches) or 'val' (default with a val_generator).
                val_steps: batches per evaluation; one pass over val_generator where that knows its length.
            save_during_training: write models to save_dir every `save_frequency` epochs and after the last; with
                save_best_only instead after each epoch whose monitored score is the best so far. saver: see `save`.
            monitor: 'loss' (of training, unless metrics holds 'loss'), 'mean_iou', 'accuracy' or 'iou:CLASS NAME'. By
                default the first of these that is evaluated on validation data, else 'loss'; at a resume as before.
            summaries_dir, summaries_name: of TensorBoard's files, if not run_dir. summaries_worst: how many images.
            summaries_frequency, training_loss_display_averaging: in steps. keep_checkpoints: how many beside the best.
            run_dir: keep a run directory with all that `resume=True` needs, saved every save_frequency epochs, at each
                best score, at the end, on a signal. early_stopping_patience: in scores without a better one.
            config: further entries of config.json. callbacks: called with each `fcn8s.training.request.TrainingEvent`.

        Raises ValueError before any step, FloatingPointError at a loss of NaN or inf, TrainingInterrupted at a signal.
        """
        return run.train(self.network.to_train(), request.TrainRequest(**without_self(locals())), self)

    def evaluate(
        self,
        data_generator: Any,
        num_batches: int,
        metrics: Iterable[str] = ('loss', 'mean_iou', 'accuracy'),
        l2_regularization: float = 0.0,
        dataset: str = 'val',
    ) -> Dict[str, Any]:
        """Evaluates `num_batches` batches at the size of the labels, prints a table, and returns the scores.

        metrics: of 'loss', 'mean_iou', 'accuracy'; the rest of `fcn8s.scores.summarize` comes too. dataset: heading.
        """
        wanted = request.check_metrics(metrics)
        scores = self.run_evaluation(data_generator, num_batches, l2_regularization)
        print('Scores on {}:\n{}'.format(dataset, format_scores(scores, self.network.label_space_with(data_generator))))
        return {name: value for name, value in scores.items() if name not in request.METRICS or name in wanted}

    def run_evaluation(self, batches: Any, num_batches: int, l2_regularization: float = 0.0) -> Dict[str, Any]:
        """Returns all scores of `evaluate` without printing them."""
        request.check_evaluation(batches, num_batches, l2_regularization, self.settings.image_rules)
        return self.network.opened().evaluate(batches, num_batches, l2_regularization)

    def predict(self, images: Union[np.ndarray, Sequence[np.ndarray]], argmax: bool = True) -> np.ndarray:
        """Predicts class IDs, uint8 [N, H, W], or with argmax=False the soft-max, float32 [N, H, W, C].

        images: [N, H, W, channels] or a list of images of one size, from 1 x 1; uint8, or numbers from 0 to 255.
        """
        return self.network.opened().predict(images, argmax)

    def predict_and_save(
        self,
        results_dir: PathLike,
        images_dir: PathLike,
        color_map: Any,
        resize: Any = False,
        image_file_extension: str = 'png',
        include_unprocessed_image: bool = False,
        arrangement: str = 'vertical',
        overwrite_existing: bool = True,
    ) -> Any:
        """Segments a folder of images and writes overlays; see `fcn8s.prediction.predictor.predict_and_save`."""
        arguments = dict(without_self(locals()), image_rules=self.settings.image_rules)
        return predictor.predict_and_save(self.network.opened().predict, **arguments)

    def save(
        self,
        model_save_dir: PathLike,
        saver: str = 'saved_model',
        tags: Sequence[str] = ('default',),
        name: Optional[str] = None,
        include_global_step: bool = True,
        include_last_training_loss: bool = True,
        include_metrics: bool = True,
        force_save: bool = False,
    ) -> Optional[str]:
        """Saves into a new directory inside `model_save_dir`, and returns its path.

        Args:
            saver: 'saved_model' for prediction; 'train_saver': a `tf.train.Saver` checkpoint, optimiser included.
            name: begins the directory's name; step, training loss and scores follow as asked, and a number if needed.
            force_save: save even if no step was trained since the last save there by this name and tags (else: None).
        """
        name_parts = SaveName(name, include_global_step, include_last_training_loss, include_metrics)
        return self.network.to_train().save(model_save_dir, saver, tags, name_parts, force_save)

    def export(self, out_dir: PathLike, format: str = 'saved_model', precision: str = 'float32', **options: Any) -> Any:
        """Exports the current weights for another runtime; see `fcn8s.export.exporting.export_model`."""
        return export_open_network(self.network.to_train(), out_dir, format, precision, **options)

    def load_variables(self, path: PathLike) -> None:
        """Loads weights from a run, SavedModel or `tf.train.Saver` file; initialises training state that it lacks."""
        self.network.to_train().load_variables(path)

    def close(self) -> None:
        """Frees the session and its memory. May be called again."""
        self.network.close()

    def __enter__(self) -> 'FCN8s':
        self.network.opened()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()
