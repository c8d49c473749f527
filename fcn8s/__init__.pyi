"""What type checkers and editors see of the table in `__init__.py`, by which names are imported when they are used."""

from typing import Dict, List

from fcn8s.confidence import at_temperature as at_temperature
from fcn8s.evaluation import boundaries as boundaries
from fcn8s.evaluation import scores as scores
from fcn8s.evaluation.evaluate import evaluate_predictions as evaluate_predictions
from fcn8s.export.engines import open_model as open_model
from fcn8s.graph import losses as losses
from fcn8s.model import FCN8s as FCN8s
from fcn8s.optimizers import OptimizerSettings as OptimizerSettings
from fcn8s.planning import architecture as architecture
from fcn8s.prediction.ensemble import Ensemble as Ensemble
from fcn8s.prediction.predictor import Predictor as Predictor
from fcn8s.saving import runs as runs
from fcn8s.stopping import TrainingInterrupted as TrainingInterrupted
from fcn8s.training import diagnosis as diagnosis
from fcn8s.training import schedules as schedules
from fcn8s.vgg16.write import write_encoder as write_encoder

PUBLIC_NAMES: Dict[str, str]
__all__: List[str]
__version__: str
