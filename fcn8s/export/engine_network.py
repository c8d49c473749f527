"""What an `FCN8s` holds when TensorFlow has no variables for it: a network that another engine computes."""

from typing import Any, Dict, Optional, Sequence, Union

import numpy as np

from fcn8s.batches import as_evaluation_batch, check_same_classes, class_ids_of
from fcn8s.closing import closed_fcn8s
from fcn8s.evaluation.evaluate import Scorer, attach_scorer
from fcn8s.evaluation.one_pass import run_evaluation
from fcn8s.export.engines import open_model
from fcn8s.export.formats import check_engine
from fcn8s.saving.descriptions import read_description
from fcn8s.saving.opening import NetworkRequest
from fcn8s.saving.runs import resolve_model
from helpers.aliases import PathLike
from helpers.label_spaces import LabelSpace
from helpers.progress import evaluation_bar

# The arguments of `FCN8s` that another engine uses.
_MEANS_SOMETHING = ('model_load_dir', 'trust', 'precision')


class EngineNetwork:
    """A network for prediction and evaluation, with the methods that `fcn8s.network.Network` has for these.

    Attributes:
        settings, label_space: as in a `Network`.
        graph, session, tensors, last_training_loss, best_training_loss: None.
    """

    graph: Any = None
    session: Any = None
    tensors: Any = None
    last_training_loss = best_training_loss = None

    def __init__(self, model: Any) -> None:
        """model: as `fcn8s.open_model` opens it; `close` closes it."""
        self._model: Any = model
        self._scorer: Optional[Scorer] = None
        self.settings = read_description(model.model_dir).settings
        self.label_space: LabelSpace = self.settings.label_space

    def predict(self, images: Union[np.ndarray, Sequence[np.ndarray]], argmax: bool = True) -> np.ndarray:
        """Predicts class IDs, uint8 [N, H, W], or with argmax=False the soft-max, float32 [N, H, W, C]."""
        return self._model.predict(images, argmax)

    def evaluate(self, batches: Any, num_batches: int, l2_regularization: float = 0.0) -> Dict[str, Any]:
        """Returns all scores of `num_batches` batches. The loss is a mean over pixels.

        Raises:
            ValueError: as `run_evaluation`, and for an L2 penalty, which needs the variables.
        """
        if l2_regularization:
            raise ValueError(
                'l2_regularization is {}; {} computes this network and does not tell its weights, so it has to be 0. '
                'Evaluate the run or the saved model.'.format(l2_regularization, self._model.engine)
            )
        if self._scorer is None:
            self._scorer = attach_scorer(self._model.images, self._model.logits, self.label_space)
        return run_evaluation(
            self._model.run,
            self._scorer.scoring.totals,
            self._feed,
            batches,
            num_batches,
            self.label_space_with(batches),
            evaluation_bar,
        )

    def _feed(self, images: Any, labels: Any) -> Dict[Any, Any]:
        assert self._scorer is not None
        images, labels = as_evaluation_batch(images, labels, self.settings.image_rules.channels, self.label_space)
        if labels.ndim == 4:
            labels = class_ids_of(labels, self.label_space.ignore_id)
        return self._scorer.feed_batch(images, labels)

    def label_space_with(self, data: Any) -> LabelSpace:
        """Returns the label space on `data`, as `fcn8s.network.Network.label_space_with` does."""
        return check_same_classes(self.label_space, getattr(data, 'label_space', None))

    def published_tensors(self) -> Dict[str, Any]:
        """Returns nothing: there are no tensors of this network."""
        return {}

    def opened(self) -> 'EngineNetwork':
        """Returns this network; raises ValueError once it was closed."""
        if self._model is None:
            raise closed_fcn8s()
        return self

    def to_train(self) -> Any:
        """Raises ValueError: a network in another engine has no variables to train or to save."""
        raise ValueError(
            'this FCN8s is computed by {}, for prediction and evaluation only. Train, save and export the run or the '
            "saved model: FCN8s(model_load_dir=...) without engine='openvino'.".format(self.opened()._model.engine)
        )

    def close(self) -> None:
        """Frees the network. May be called again."""
        if self._model is not None:
            self._model.close()
            self._model = None


def open_elsewhere(request: NetworkRequest, engine: Optional[str]) -> Optional[EngineNetwork]:
    """Opens what was asked for in another engine.

    Args:
        request: what `FCN8s` was asked for.
        engine: as in `fcn8s.open_model`. None lets the format of an export decide.

    Returns:
        None if `fcn8s.network.open_network` has to open it: no other engine is named, and `model_load_dir` is not an
        export without variables for TensorFlow.

    Raises:
        ValueError: for an unknown engine, and for arguments about the training or the graph.
        FileNotFoundError, ValueError, ImportError: as `fcn8s.open_model`.
    """
    path = request.beginning.model_load_dir
    check_engine(engine)
    if engine in (None, 'tensorflow') and (path is None or not _is_without_variables(path)):
        return None
    if path is None:
        raise ValueError(
            'engine is {!r}, without model_load_dir; another engine computes networks that are trained. Leave the '
            'engine out, or name a run or a saved model.'.format(engine)
        )
    _check_only_predicts(request)
    precision = request.arithmetic.precision
    own = None if precision == 'float32' else precision  # the default; an export has its own precision
    trust = request.beginning.trust
    return EngineNetwork(open_model(path, precision=own, engine=engine, trust=trust))


def _is_without_variables(path: PathLike) -> bool:
    """Whether it is an export to a format without variables for TensorFlow; damage is reported later."""
    try:
        export = read_description(resolve_model(path)).description.get('export')
    except (OSError, ValueError):
        return False
    return isinstance(export, dict) and export.get('format') != 'saved_model'


def _check_only_predicts(request: NetworkRequest) -> None:
    names = [name for name in request.given() if name not in _MEANS_SOMETHING]
    if names:
        raise ValueError(
            '{} given; where another engine computes, the network only predicts, as it is in its files. Leave {} '
            'out.'.format(' and '.join(names) + (' are' if names[1:] else ' is'), 'them' if names[1:] else 'it')
        )
