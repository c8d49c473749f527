"""The saved form of a network: a SavedModel with the inference graph, a serving signature and a description.

    DIR/saved_model.pb                encoder, decoder and predictor; no training nodes; tag 'default'
    DIR/variables/variables.*         every variable of the graph (a training checkpoint adds the optimiser's slots)
    DIR/fcn8s.json                    settings, label space, step, scores, versions; see `descriptions`

The graph is rebuilt from the encoder's own graph and the settings, never cut out of a training graph, so a model saved
after training and one saved for prediction are the same file.
"""

import os
import platform
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

import numpy as np

import fcn8s
from fcn8s.backend import MetaGraphDef, Tensor, tf
from fcn8s.graph.decoder import build_decoder
from fcn8s.graph.encoder import import_encoder
from fcn8s.graph.scoring import build_predictor
from fcn8s.saving import saved_models
from fcn8s.saving.descriptions import DEFAULT_TAGS, DESCRIPTION_FILE, FORMAT
from fcn8s.settings import ModelSettings
from helpers.files import atomic_directory, atomic_write_json, to_json


def build_meta_graph(
    encoder_meta_graph: MetaGraphDef, settings: ModelSettings, tags: Sequence[str] = DEFAULT_TAGS
) -> MetaGraphDef:
    """Returns the MetaGraphDef of a network for prediction, with its Saver and the signature `serving_default`.

    The signature takes `images` (uint8 [N, H, W, channels]) and gives `class_ids` (uint8 [N, H, W]) and `probabilities`
    (float32 [N, H, W, C]).
    """
    graph = tf.Graph()
    with graph.as_default():
        encoder = import_encoder(encoder_meta_graph)
        decoder = build_decoder(encoder.pool3, encoder.pool4, encoder.fc7, encoder.image_input, settings)
        predictor = build_predictor(decoder.logits)
        saver = tf.train.Saver(tf.global_variables())
        meta_graph = tf.train.export_meta_graph(
            saver_def=saver.as_saver_def(), clear_devices=True, strip_default_attrs=True
        )
        signature = tf.saved_model.signature_def_utils.build_signature_def(
            {'images': _tensor_info(encoder.images_uint8)},
            {'class_ids': _tensor_info(predictor.class_ids), 'probabilities': _tensor_info(predictor.probabilities)},
            tf.saved_model.signature_constants.PREDICT_METHOD_NAME,
        )
    key = tf.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    meta_graph.signature_def[key].CopyFrom(signature)
    del meta_graph.meta_info_def.tags[:]
    meta_graph.meta_info_def.tags.extend(tags)
    return meta_graph


def _tensor_info(tensor: Tensor) -> Any:
    return tf.TensorInfo(name=tensor.name, dtype=tensor.dtype.as_datatype_enum, tensor_shape=tensor.shape.as_proto())


def library_versions() -> Dict[str, str]:
    """Returns the versions of this library and of the software that its results depend on."""
    return {
        'fcn8s': fcn8s.__version__,
        'tensorflow': tf.__version__,
        'numpy': np.__version__,
        'python': platform.python_version(),
    }


def describe(
    settings: ModelSettings,
    global_step: int,
    metrics: Mapping[str, Optional[float]],
    extra: Optional[Dict[str, Any]] = None,
) -> Dict[str, Any]:
    """Returns the content of `fcn8s.json`. metrics: score name -> float or None, for information only."""
    description = {
        'format': FORMAT,
        'global_step': int(global_step),
        'metrics': metrics,
        'versions': library_versions(),
    }
    description.update(settings.to_dict())
    description.update(extra or {})
    return description


def write_model_files(
    directory: str, meta_graph: MetaGraphDef, description: Dict[str, Any], save_variables: Callable[[str], None]
) -> None:
    """Writes the files of a model into an existing directory. `save_variables(prefix)` writes the checkpoint."""
    os.makedirs(os.path.join(directory, 'variables'), exist_ok=True)
    saved_models.write_graph(directory, meta_graph)
    save_variables(saved_models.variables_prefix(directory))
    write_description(directory, description)


def write_description(directory: str, description: Dict[str, Any]) -> None:
    """Writes or replaces the `fcn8s.json` of a model."""
    atomic_write_json(os.path.join(directory, DESCRIPTION_FILE), to_json(description))


def write_model(
    directory: str, meta_graph: MetaGraphDef, description: Dict[str, Any], save_variables: Callable[[str], None]
) -> str:
    """Writes a new model directory beside its place and moves it there. Refuses an existing directory with files."""
    with atomic_directory(directory) as temporary:
        write_model_files(temporary, meta_graph, description, save_variables)
    return directory
