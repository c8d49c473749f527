"""The ways to begin: on an encoder, from a saved FCN-8s, with variables on top, or from another network's weights."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from fcn8s.graph.assembly import TrainingSettings
from fcn8s.optimizers import DEFAULT_OPTIMIZER, optimizer_settings
from fcn8s.precision import Arithmetic
from fcn8s.saving.descriptions import DEFAULT_TAGS, SERVING_TAGS, check_tags, check_tags_of_export, read_description
from fcn8s.saving.encoder_files import ENCODER_TAGS, EncoderSource, check_strides, read_encoder
from fcn8s.saving.packed import name_of
from fcn8s.saving.restoring import find_checkpoint
from fcn8s.saving.runs import refuse_own_network, resolve_model
from fcn8s.settings import VARIANTS, ModelSettings, new_model_settings, resolve_label_space
from helpers.aliases import PathLike
from helpers.counted import counted
from helpers.image_rules import ImageRules, checked_rules
from helpers.label_spaces import LabelSpace, generic_label_space, is_nameless
from helpers.user_warnings import warn_user


class Beginning(NamedTuple):
    """The ways to begin that `FCN8s` describes; exactly one of model_load_dir, vgg16_dir and fine_tune_from is given.

    tags: of the SavedModel in model_load_dir. trust: take a graph whatever ops it holds.
    """

    model_load_dir: Optional[PathLike] = None
    tags: Optional[Sequence[str]] = None
    vgg16_dir: Optional[PathLike] = None
    variables_load_dir: Optional[PathLike] = None
    fine_tune_from: Optional[PathLike] = None
    trust: bool = False


class Architecture(NamedTuple):
    """The architecture that was asked for: arguments of `fcn8s.settings.new_model_settings`, None if not given."""

    num_classes: Optional[int] = None
    label_space: Optional[LabelSpace] = None
    ignore_id: Optional[int] = None
    variant: Optional[str] = None
    upsampling: Optional[str] = None
    skip_scales: Optional[Sequence[float]] = None
    image_rules: Optional[ImageRules] = None

    def given(self) -> Dict[str, Any]:
        """Returns the arguments that were given."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class NetworkRequest(NamedTuple):
    """The arguments of `FCN8s` in groups. distributed: as `fcn8s.distributed.workers` takes it."""

    beginning: Beginning = Beginning()
    architecture: Architecture = Architecture()
    training: TrainingSettings = TrainingSettings(optimizer_settings(DEFAULT_OPTIMIZER))
    arithmetic: Arithmetic = Arithmetic()
    seed: int = 0
    distributed: Any = None

    def arguments(self) -> Dict[str, Any]:
        """Returns all arguments by name, without groups."""
        groups = (self.beginning, self.architecture, self.training, self.arithmetic)
        named = {name: value for group in groups for name, value in group._asdict().items()}
        return dict(named, seed=self.seed, distributed=self.distributed)

    def given(self) -> List[str]:
        """Returns the names of the arguments that differ from their defaults."""
        default = NetworkRequest().arguments()
        return [
            name
            for name, value in self.arguments().items()
            if not (type(value) is type(default[name]) and value == default[name])
        ]


class OtherNetwork(NamedTuple):
    """The checkpoint and the settings of another network, from which whatever fits is taken."""

    prefix: str
    settings: ModelSettings


class Opening(NamedTuple):
    """What to build and what to restore.

    weights_prefix: a checkpoint that holds all weights of the network; None to restore only the encoder's.
    fine_tune_from: another network, from which whatever fits is taken.
    for_prediction: whether it is an export, whose dropout keeps everything.
    """

    encoder: EncoderSource
    settings: ModelSettings
    weights_prefix: Optional[str] = None
    fine_tune_from: Optional[OtherNetwork] = None
    for_prediction: bool = False


def plan_opening(beginning: Beginning, architecture: Architecture, optimizer: str) -> Opening:
    """Checks how a network is to begin, and reads its graph from disk; nothing is built.

    optimizer: the optimiser's name, which decides the skip scales of a new network.

    Raises:
        ValueError, FileNotFoundError: saying which argument is missing, contradicts another, or leads nowhere.
    """
    paths = {name: getattr(beginning, name) for name in ('model_load_dir', 'vgg16_dir', 'fine_tune_from')}
    given = {name: path for name, path in paths.items() if path is not None}
    if len(given) != 1:
        raise ValueError(
            '{} given; pass exactly one of vgg16_dir (build on an encoder; write one with: fcn8s vgg16 OUT '
            '--weights SOURCE), model_load_dir (load a saved FCN-8s) and fine_tune_from (start from another '
            "network's weights).".format(' and '.join(given) + ' are' if given else 'no beginning is')
        )
    if beginning.variables_load_dir is not None and beginning.vgg16_dir is None:
        raise ValueError(
            'variables_load_dir needs vgg16_dir and num_classes: the network is built first, then its variables '
            'are loaded.'
        )
    if beginning.tags is not None:
        check_tags('tags', beginning.tags)
        if beginning.model_load_dir is None:
            raise ValueError('tags={!r} belongs to model_load_dir, which is not given.'.format(list(beginning.tags)))
    said = architecture.given()
    if 'image_rules' in said:
        said['image_rules'] = checked_rules(said['image_rules'])
    if beginning.model_load_dir is not None:
        return _saved(beginning.model_load_dir, beginning.tags, said, beginning.trust)
    said['optimizer'] = optimizer
    if beginning.fine_tune_from is not None:
        return _from_other(beginning.fine_tune_from, said, beginning.trust)
    return _on_encoder(str(beginning.vgg16_dir), beginning.variables_load_dir, said, beginning.trust)


def _on_encoder(vgg16_dir: str, variables_load_dir: Optional[PathLike], given: Dict[str, Any], trust: bool) -> Opening:
    settings = new_model_settings(**given)
    refuse_own_network(vgg16_dir)
    encoder = read_encoder(vgg16_dir, ENCODER_TAGS, trust=trust)
    check_strides(encoder)
    settings = _with_rules(settings, encoder, given.get('image_rules'), ImageRules(encoder.channels))
    prefix = None if variables_load_dir is None else find_checkpoint(variables_load_dir)
    return Opening(encoder, settings, weights_prefix=prefix)


def _saved(model_load_dir: PathLike, tags: Optional[Sequence[str]], given: Dict[str, Any], trust: bool) -> Opening:
    directory = resolve_model(model_load_dir)
    saved = read_description(directory)
    settings, space = saved.settings, given.get('label_space')
    if space is not None:
        space = resolve_label_space(given.get('num_classes'), space, given.get('ignore_id'))
    _check_agrees(settings, dict(given, label_space=space), directory)
    if space is not None:
        settings = settings._replace(label_space=_stated_space(space, settings.label_space))
    export = saved.description.get('export')
    if export is not None:
        _check_opens(export, directory)
        check_tags_of_export(tags, directory, export['format'])
        tags = SERVING_TAGS
    encoder = read_encoder(directory, tags or DEFAULT_TAGS, 'model', trust)
    settings = _with_rules(settings, encoder, given.get('image_rules'), settings.image_rules)
    return Opening(encoder, settings, encoder.variables_prefix, for_prediction=export is not None)


def _stated_space(stated: LabelSpace, saved: LabelSpace) -> LabelSpace:
    """The stated label space, with the class names of the saved one if it has none of its own."""
    if stated == generic_label_space(stated.num_classes, stated.ignore_id):
        return saved  # `stated` only gives the number of classes and the ignore ID
    return stated._replace(class_names=saved.class_names) if is_nameless(stated) else stated


def _check_opens(export: Any, directory: str) -> None:
    format_name = export.get('format') if isinstance(export, dict) else export
    if format_name != 'saved_model':
        raise ValueError(
            '{!r} is an export to {}, which has no TensorFlow variables. Predict with it: fcn8s predict, or '
            'fcn8s.open_model in Python.'.format(directory, format_name)
        )


def _from_other(fine_tune_from: PathLike, given: Dict[str, Any], trust: bool) -> Opening:
    """A new network; what is not given is taken from the other one.

    That includes the scale of each skip that the other one has: its score layer was trained with that scale.
    """
    directory = resolve_model(fine_tune_from)
    other = read_description(directory).settings
    fields: Dict[str, Any] = {
        'variant': other.variant,
        'upsampling': other.upsampling,
    }
    if 'num_classes' not in given and 'label_space' not in given:
        fields['label_space'] = other.label_space
    fields.update(given)
    settings = new_model_settings(**fields)._replace(alignment=other.alignment, output_bias=other.output_bias)
    if 'skip_scales' not in given:
        settings = _with_scales_of(settings, other)
    encoder = read_encoder(directory, DEFAULT_TAGS, 'model', trust)
    settings = _with_rules(settings, encoder, given.get('image_rules'), other.image_rules)
    return Opening(encoder, settings, fine_tune_from=OtherNetwork(encoder.variables_prefix, other))


def _with_rules(
    settings: ModelSettings, encoder: EncoderSource, given: Optional[ImageRules], default: ImageRules
) -> ModelSettings:
    """`settings` with the given image rules, else the default ones; they must fit the encoder's channels."""
    rules = default if given is None else given
    if rules.channels != encoder.channels:
        raise ValueError(
            'image_rules has {}, but {!r} takes images of {}. Read the images with ImageRules(channels={}, '
            '...), or take an encoder of {} (fcn8s vgg16 OUT --weights SOURCE --channels {}).'.format(
                counted(rules.channels, 'channel'),
                name_of(encoder.directory),
                encoder.channels,
                encoder.channels,
                counted(rules.channels, 'channel'),
                rules.channels,
            )
        )
    return settings._replace(image_rules=rules)


def _with_scales_of(settings: ModelSettings, other: ModelSettings) -> ModelSettings:
    """`settings` with the other network's scales for the skips that it has."""
    has_skip = [pool in VARIANTS[other.variant].skips for pool in ('pool3', 'pool4')]
    default = settings.skip_scales
    pool3, pool4 = (theirs if has else ours for has, theirs, ours in zip(has_skip, other.skip_scales, default))
    scales = (pool3, pool4)
    if scales != default:
        warn_user(
            'skip_scales are {} as in the other network, whose score layers were trained with them; of this optimizer '
            'they would be {}. skip_scales (--skip-scales) sets them.'.format(scales, default)
        )
    return settings._replace(skip_scales=scales)


def _check_agrees(settings: ModelSettings, given: Dict[str, Any], directory: str) -> None:
    """Raises ValueError where the arguments name another architecture than that of the saved network."""
    wanted = {name: given.get(name) for name in ('num_classes', 'ignore_id', 'variant', 'upsampling')}
    wanted['skip_scales'] = given.get('skip_scales') and tuple(given['skip_scales'])
    label_space = given.get('label_space')
    if label_space is not None:
        wanted.update(num_classes=label_space.num_classes, ignore_id=label_space.ignore_id)
        if not is_nameless(label_space) and not is_nameless(settings.label_space):
            wanted['class_names'] = label_space.class_names
    saved = dict(
        num_classes=settings.num_classes,
        class_names=settings.label_space.class_names,
        ignore_id=settings.label_space.ignore_id,
        variant=settings.variant,
        upsampling=settings.upsampling,
        skip_scales=settings.skip_scales,
    )
    for name, value in wanted.items():
        if value is not None and value != saved[name]:
            raise ValueError(
                '{} is {!r}, but the model saved in {!r} has {!r}. Leave it out, or start a new network from that '
                "model's weights with fine_tune_from.".format(name, value, name_of(directory), saved[name])
            )
