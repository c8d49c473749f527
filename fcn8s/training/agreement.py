"""What has to agree before a training: its generators, its workers, and a resumed run with its first start."""

from typing import Any, Dict, Optional, Tuple

from fcn8s.distributed.workers import Workers
from fcn8s.network import Network
from fcn8s.precision import SESSION_PRECISIONS, needs_loss_scaling
from fcn8s.saving import runs
from fcn8s.saving.checkpoints import step_of
from fcn8s.training.loop import TrainingState
from fcn8s.training.request import FIXED_IN_A_RUN, TrainRequest, batch_size, plain_arguments
from helpers.counted import counted
from helpers.files import to_json
from helpers.image_rules import RGB_RULES
from helpers.json_files import differences, is_count
from helpers.label_spaces import LabelSpace
from helpers.user_warnings import warn_user

# Arguments that may differ between workers: where the first one writes.
WHERE_IT_WRITES = ('run_dir', 'save_dir', 'summaries_dir', 'config')


def image_rules_of(request: TrainRequest) -> Any:
    """Returns the image rules of the data; None if no generator has any.

    Raises:
        ValueError: The two generators have different rules.
    """
    train, val = (getattr(g, 'image_rules', None) for g in (request.train_generator, request.val_generator))
    if train is not None and val is not None and train != val:
        raise ValueError(
            'train_generator reads images by {} and val_generator by {}. Give both the same image_rules.'.format(
                train, val
            )
        )
    return val if train is None else train


def check_workers_agree(workers: Workers, request: TrainRequest) -> None:
    """Raises ValueError for more workers than images, and where the workers were called with different arguments."""
    images = getattr(request.train_generator, 'num_images', None)
    if images is not None and workers.size > images:
        raise ValueError(
            'there are {} workers, and {}. Start as many workers as images, or fewer.'.format(
                workers.size, counted(images, 'training image')
            )
        )
    _check_one_pass(request)
    described = {name: value for name, value in plain_arguments(request).items() if name not in WHERE_IT_WRITES}
    for name in ('train_generator', 'val_generator'):
        generator = getattr(request, name)
        described['the dataset of ' + name] = getattr(generator, 'fingerprint', None)
        described['the batch_size of ' + name] = getattr(generator, 'batch_size', None)
        for option, value in (getattr(generator, 'options', None) or {}).items():
            described['{} of {}'.format(option, name)] = value
    steps = [step for step in (0, 1, 10, 100) if step < request.epochs * request.steps_per_epoch]
    rates = [float(request.learning_rate_schedule(step)) for step in steps]
    workers.watch.compare(to_json(dict(described, learning_rates=rates)))


def _check_one_pass(request: TrainRequest) -> None:
    """Raises ValueError if an evaluation takes more batches than a pass has: each worker would begin its own pass."""
    val, steps = request.val_generator, request.val_steps
    if hasattr(val, 'deal') and steps is not None and not val.shuffles and steps > val.num_batches:
        raise ValueError(
            'val_steps is {}, and a pass over the validation data has {}; several workers evaluate one pass at most. '
            'Leave val_steps out.'.format(steps, counted(val.num_batches, 'batch'))
        )


def dataset_fingerprints(request: TrainRequest) -> Dict[str, Optional[str]]:
    """Returns the fingerprints of the data as config.json holds them; None for data without one."""
    return {
        'dataset_fingerprint': getattr(request.train_generator, 'fingerprint', None),
        'val_dataset_fingerprint': getattr(request.val_generator, 'fingerprint', None),
    }


def check_run_continues(run: runs.Run, config: Dict[str, Any], network: Network, request: TrainRequest) -> None:
    """Checks that a resumed run repeats the first one: its config.json has to agree with what is asked for now.

    Raises:
        ValueError: They do not agree, an entry is missing, or more epochs are done than are asked for. Data that have
            changed give a warning, and so does another precision: a run may go on where the CPU has no bfloat16.
    """
    check_is_whole(run, config)
    for name, (before, today) in _has_to_agree(config, network, request).items():
        for place, then, now in differences(name, to_json(before), to_json(today)):
            raise ValueError(
                'the run {!r} was started with {} {!r} and cannot go on with {!r}. Use the same, or start a new '
                'run.'.format(run.directory, place, then, now)
            )
    runs.check_epochs_reach(run, request.epochs, request.steps_per_epoch)
    precision = network.describe_training()['precision']
    before = config['training'].get('precision', precision)
    if before != precision:
        warn_user('The run {!r} computed in {} and goes on in {}.'.format(run.directory, before, precision))
    fingerprints = dataset_fingerprints(request)
    for what, name in (('training', 'dataset_fingerprint'), ('validation', 'val_dataset_fingerprint')):
        if config.get(name, fingerprints[name]) != fingerprints[name]:  # older runs did not note the latter
            warn_user('The {} data of the run {!r} have changed since it was started.'.format(what, run.directory))
    options = to_json(getattr(request.train_generator, 'options', None))
    before = config.get('data_options', options)
    if before and options and 'shuffle' not in before:  # which older runs did not note
        before = dict(before, shuffle=options.get('shuffle'))
    if before != options:
        warn_user(
            'The run {!r} was started with training data made by {}, and goes on with {}.'.format(
                run.directory, before, options
            )
        )


def check_is_whole(run: runs.Run, config: Dict[str, Any]) -> None:
    """Raises ValueError where config.json lacks an entry that a resumed run is compared with."""
    lacking = [name for name in ('model', 'training', 'train') if not isinstance(config.get(name), dict)]
    if 'seed' not in config:
        lacking.append('seed')
    lacking = lacking or [name for name in FIXED_IN_A_RUN if name not in config['train']]
    if lacking:
        raise ValueError(
            '{} is damaged: {} of the run is missing. Copy it again.'.format(run.config_path, ', '.join(lacking))
        )


def _has_to_agree(config: Dict[str, Any], network: Network, request: TrainRequest) -> Dict[str, Tuple[Any, Any]]:
    """Name -> (value in config.json, value now). Entries that older runs lack have the value that all of them had."""
    training, now = config['training'], network.describe_training()
    precision = training.get('precision', now['precision'])
    if _saves_alike(precision) and _saves_alike(now['precision']):
        now['precision'] = precision
    agree: Dict[str, Tuple[Any, Any]] = {
        'seed': (config['seed'], network.seed),
        'model': (_as_today(config['model']), network.settings.to_dict()),
        'training': (dict(dict(now, label_smoothing=0.0, head_warmup=0), **training), now),
    }
    agree.update({name: (config['train'][name], getattr(request, name)) for name in FIXED_IN_A_RUN})
    sizes = config['train'].get('batch_size'), batch_size(request)
    if None not in sizes:  # older runs and some generators do not say
        agree['batch_size'] = sizes
    return agree


def _saves_alike(precision: Any) -> bool:
    """Whether checkpoints are those of a training in float32: scaling the loss adds to them."""
    return isinstance(precision, str) and precision in SESSION_PRECISIONS and not needs_loss_scaling(precision)


def _as_today(model: Dict[str, Any]) -> Dict[str, Any]:
    """The settings of a run's model with what older runs did not note: image rules, and an ignored class as void."""
    model = dict({'image_rules': RGB_RULES.to_json()}, **model)
    space = model.get('label_space')
    return dict(model, label_space=LabelSpace.from_dict(space).to_dict()) if isinstance(space, dict) else model


def checked_state(stored: Dict[str, Any], checkpoint: str, steps_per_epoch: int) -> Tuple[TrainingState, Optional[int]]:
    """Returns the state in a checkpoint's state.json and the place in the data, None for data without one.

    Raises:
        ValueError: The file contradicts itself: nothing is restored or removed then.
    """
    try:
        state = TrainingState.from_dict(stored.get('loop'))
        if state.step != step_of(checkpoint):
            raise ValueError('step is {}.'.format(state.step))
        if len(state.losses) > steps_per_epoch:
            raise ValueError('there are {} losses of one epoch.'.format(len(state.losses)))
        position = stored.get('data_position')
        if position is not None and not is_count(position):
            raise ValueError('data_position is {!r}; it has to be a whole number of at least 0.'.format(position))
    except ValueError as error:
        raise ValueError(
            'the checkpoint {!r} cannot be continued, because its state.json is damaged: {} Write the name of '
            'another checkpoint into last.json beside it, or copy the file again.'.format(checkpoint, error)
        ) from error
    return state, position
