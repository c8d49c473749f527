"""Which tensor of a file is which layer: by the names that known programs use, else by the shapes.

Every tensor gets a place, or is known not to belong to the network, or causes an error that names it.
"""

import re
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.assemble import Shape
from helpers.counted import join_and_dots

SCORES = ('score_fc7', 'score_pool4', 'score_pool3')
UPSAMPLINGS = ('upsample_fc7', 'upsample_pool4', 'upsample_image')
ROLES = SCORES + UPSAMPLINGS

# Names of the decoder's layers: in the reference of 2017, Berkeley's nets and torchfcn, tensorflow-fcn.
_CALLED = {
    'score_fc7': ('score_fc7', 'fc7_1x1', 'score_fr'),
    'score_pool4': ('score_pool4', 'pool4_1x1'),
    'score_pool3': ('score_pool3', 'pool3_1x1'),
    'upsample_fc7': ('upsample_fc7', 'fc7_conv2d_trans', 'upscore2'),
    'upsample_pool4': ('upsample_pool4', 'fc7_pool4_conv2d_trans', 'upscore_pool4', 'upscore4'),
    'upsample_image': (
        'upsample_image',
        'fc7_pool4_pool3_conv2d_trans',
        'upscore8',
        'upscore16',
        'upscore32',
        'upscore',
        'upsample',
        'up',
    ),
}
ROLE_OF = {name: role for role, names in _CALLED.items() for name in names}
_KERNELS = ('filter', 'weights', 'kernel', 'weight', 'up_filter', '0')
_BIASES = ('biases', 'bias', '1')
# What training leaves beside the weights, and what belongs to other networks in the same file.
_NONE_OF_IT = re.compile(
    r'(^|[/._])(Adam(_\d+)?|adam_optimizer(_\d+)?|Momentum|RMSProp(_\d+)?|ExponentialMovingAverage|moving_mean|'
    r'beta[12]_power(_\d+)?|'
    r'global_step|mean_rgb|step|epoch|iteration|training|Validation|num_batches_tracked|save_counter)($|[/._])'
)
# The second network of the SIFT Flow nets, for geometric classes; and the classifier of a VGG-16 in the file.
_OTHER_HEADS = re.compile(r'(_geo|^fc8)([/.]|$)')
# TensorFlow's name for transposed convolutions without one; it numbers all that a program makes.
_AUTOMATIC = 'conv2d_transpose'
# At most this many tensors are listed in the message about one that is not there.
_MOST_NAMED = 60


class Placement(NamedTuple):
    """encoder: layer -> (kernel, biases); kernels, biases: role -> name in the file; scales: 'pool3', 'pool4' -> name.

    left_out: the other tensors of the file, each known not to belong to the network.
    """

    encoder: Dict[str, Tuple[str, str]]
    kernels: Dict[str, str]
    biases: Dict[str, str]
    scales: Dict[str, str]
    left_out: List[str]

    @property
    def variant(self) -> str:
        """The variant that has these layers: '8s', '16s' or '32s'."""
        if 'score_pool3' in self.kernels:
            return '8s'
        return '16s' if 'score_pool4' in self.kernels else '32s'

    @property
    def used(self) -> List[str]:
        """The names of all tensors that have a place."""
        pairs = [name for pair in self.encoder.values() for name in pair]
        return pairs + list(self.kernels.values()) + list(self.biases.values()) + list(self.scales.values())


def place(
    path: str,
    shapes: Mapping[str, Shape],
    channels_first: bool,
    said: Optional[Mapping[str, str]] = None,
    leave_out: Iterable[str] = (),
) -> Placement:
    """Finds the place of every tensor.

    Args:
        path: The file, for messages.
        shapes: Name -> shape of each tensor.
        channels_first: Whether kernels are [out, in, height, width].
        said: Role -> layer in the file, as far as the user says.
        leave_out: Names, or beginnings of names, of tensors that, as the user says, do not belong to the network.

    Raises:
        ValueError: A layer is missing or ambiguous, a tensor has no place, or the user names what is not there.
    """
    said, leave_out = said or {}, tuple(leave_out)
    _check_said(path, shapes, said, leave_out)
    left_out = {name for name in shapes if _is_none_of_it(name) or name.startswith(leave_out)}
    named = _by_layer(path, [name for name in shapes if name not in left_out], said)
    encoder = {layer: _pair(path, layer, named.get(layer, {})) for layer in layers.CONVOLUTIONS + layers.ENCODER_DENSE}
    scales = {pool: named['scale_' + pool]['kernel'] for pool in ('pool3', 'pool4') if 'scale_' + pool in named}
    found = {role: named[role] for role in ROLES if role in named}
    rest = {layer: parts for layer, parts in named.items() if layer not in encoder and layer not in ROLES}
    rest = {layer: parts for layer, parts in rest.items() if not layer.startswith('scale_')}
    found.update(_by_shape(path, rest, found, shapes, channels_first, encoder))
    placement = Placement(
        encoder,
        {role: parts['kernel'] for role, parts in found.items() if 'kernel' in parts},
        {role: parts['bias'] for role, parts in found.items() if 'bias' in parts},
        scales,
        sorted(left_out),
    )
    _check_complete(path, placement, shapes)
    return placement


def _check_said(path: str, shapes: Mapping[str, Shape], said: Mapping[str, str], leave_out: Iterable[str]) -> None:
    """Raises ValueError where the user names a layer or a tensor that the file does not have."""
    layers_there = {layer for name in shapes for layer in _layers_of(name)}
    unknown = ['--layer {}={}'.format(role, layer) for role, layer in said.items() if layer not in layers_there]
    unknown += ['--leave-out ' + each for each in leave_out if not any(name.startswith(each) for name in shapes)]
    if unknown:
        raise ValueError(
            '{}: {} names nothing that is there. The tensors are {}.'.format(
                path, unknown[0], join_and_dots(sorted(shapes), _MOST_NAMED)
            )
        )


def _layers_of(name: str) -> Tuple[str, str]:
    """The layer of a tensor, in the two forms that --layer takes: its whole name, and the last part of that."""
    parts = re.split(r'[/.]', name)
    return name[: -len(parts[-1]) - 1], parts[-2] if len(parts) > 1 else ''


def _is_none_of_it(name: str) -> bool:
    return bool(_NONE_OF_IT.search(name) or _OTHER_HEADS.search(name))


def _by_layer(path: str, names: Iterable[str], said: Mapping[str, str]) -> Dict[str, Dict[str, str]]:
    """Layer or role -> {'kernel': name, 'bias': name}; unknown layers keep their names."""
    roles = {layer: role for role, layer in said.items()}
    found: Dict[str, Dict[str, str]] = {}
    for name in names:
        parts = re.split(r'[/.]', name)
        part = 'kernel' if parts[-1] in _KERNELS else 'bias' if parts[-1] in _BIASES else None
        whole, layer = _layers_of(name)
        known = layer.replace('-', '_')
        known = known[: -len('_sem')] if known.endswith('_sem') else known
        own = roles.get(whole) or roles.get(layer)
        key = own or ROLE_OF.get(known, known)
        is_taken = own is None and key in said
        if part is None:
            key, part = name, 'kernel'
        if is_taken or key not in layers.ALL and key not in ROLES and not key.startswith('scale_'):
            key = whole if part != 'kernel' or len(parts) > 1 else name
        if part in found.setdefault(key, {}):
            raise ValueError(
                '{} holds {!r} and {!r}, which would both be {} of {}. Leave the one that does not belong to the '
                'network out with --leave-out NAME.'.format(path, found[key][part], name, part, key)
            )
        found[key][part] = name
    return found


def _pair(path: str, layer: str, parts: Mapping[str, str]) -> Tuple[str, str]:
    lacking = [part for part in ('kernel', 'bias') if part not in parts]
    if lacking:
        raise ValueError(
            '{} is no FCN on a VGG-16 that this program knows: it has no {} of {}. Accepted are the kinds that fcn8s '
            'import-fcn8s --help lists.'.format(path, ' and no '.join(lacking), layer)
        )
    return parts['kernel'], parts['bias']


def _by_shape(
    path: str,
    rest: Mapping[str, Mapping[str, str]],
    found: Mapping[str, Mapping[str, str]],
    shapes: Mapping[str, Shape],
    channels_first: bool,
    encoder: Mapping[str, Tuple[str, str]],
) -> Dict[str, Dict[str, str]]:
    """Places layers of unknown names: 1x1 kernels by the channels that they take, others by size and number."""
    inputs, outputs = (1, 0) if channels_first else (2, 3)
    widths = {
        shapes[encoder[layer][0]][outputs]: role
        for layer, role in (('conv3_3', 'score_pool3'), ('conv4_3', 'score_pool4'), ('fc7', 'score_fc7'))
        if len(shapes[encoder[layer][0]]) == 4
    }
    placed: Dict[str, Dict[str, str]] = {}
    sides: Dict[str, int] = {}  # of the upsamplings' kernels
    for layer in sorted(rest, key=_number):
        parts = dict(rest[layer])
        shape = shapes[parts['kernel']] if 'kernel' in parts else ()
        sizes = shape[2:] if channels_first else shape[:2]
        role = widths.get(shape[inputs]) if len(shape) == 4 and tuple(sizes) == (1, 1) else None
        if role is not None and role not in found and role not in placed:
            placed[role] = parts
        elif len(shape) == 4 and sizes[0] == sizes[1] > 1 and shape[inputs] == shape[outputs]:
            sides[layer] = sizes[0]
        else:
            raise _not_placed(path, parts, shapes)
    placed.update(_upsamplings(path, sides, rest, found, shapes, placed))
    return placed


def _upsamplings(
    path: str,
    sides: Mapping[str, int],
    rest: Mapping[str, Mapping[str, str]],
    found: Mapping[str, Mapping[str, str]],
    shapes: Mapping[str, Shape],
    placed: Mapping[str, Mapping[str, str]],
) -> Dict[str, Dict[str, str]]:
    """Places transposed convolutions: the largest kernel is the last, the others follow the numbers in their names.

    sides: layer -> height and width of its kernel.
    """
    if not sides:
        return {}
    roles = [role for role in UPSAMPLINGS if role not in found]
    present = set(found) | set(placed)
    if 'score_pool3' not in present and 'upsample_pool4' in roles:
        roles.remove('upsample_pool4')
    if 'score_pool4' not in present and 'upsample_fc7' in roles:
        roles.remove('upsample_fc7')
    largest = max(sides.values())
    names = sorted(sides, key=lambda name: (sides[name] == largest, _number(name)))
    is_last_known = 'upsample_image' in roles and list(sides.values()).count(largest) == 1
    others = names[:-1] if is_last_known else names
    if len(names) != len(roles) or not _are_counted(others):
        raise _not_placed(path, rest[names[0]], shapes)
    return {role: dict(rest[name]) for role, name in zip(roles, names)}


def _are_counted(names: List[str]) -> bool:
    """Tells whether the numbers in names give an order: TensorFlow's own numbers, or 1, 2, ... after a common name.

    The numbers of 'up4' and 'up7' may be those of the pools that they come from or lead to.
    """
    if len(names) < 2:
        return True
    stems, numbers = zip(*map(_number, names))
    is_automatic = stems[0].split('/')[-1].lower() == _AUTOMATIC
    in_a_row = numbers == tuple(range(numbers[0], numbers[0] + len(names)))
    return len(set(stems)) == 1 and in_a_row and (numbers[0] < 2 or is_automatic)


def _number(layer: str) -> Tuple[str, int]:
    stem = layer.rstrip('0123456789')
    return stem[:-1] if stem.endswith('_') else stem, int(layer[len(stem) :] or 0)


def _not_placed(path: str, parts: Mapping[str, str], shapes: Mapping[str, Shape]) -> ValueError:
    name = parts.get('kernel', parts.get('bias', ''))
    return ValueError(
        '{}: {!r} of the shape {} could not be placed in an FCN-8s, 16s or 32s. Say which layer it is with --layer '
        'ROLE=LAYER (roles: {}), or that it is none of the network with --leave-out NAME.'.format(
            path, name, shapes[name], ', '.join(ROLES)
        )
    )


def _check_complete(path: str, placement: Placement, shapes: Mapping[str, Shape]) -> None:
    needed = ['score_fc7', 'upsample_image']
    needed += ['score_pool4', 'upsample_fc7'] if placement.variant in ('8s', '16s') else []
    needed += ['score_pool3', 'upsample_pool4'] if placement.variant == '8s' else []
    missing = [role for role in needed if role not in placement.kernels]
    extra = [role for role in placement.kernels if role not in needed]
    if missing or extra:
        found = ', '.join(sorted(placement.kernels)) or 'an encoder'
        raise ValueError(
            '{} has {} but not {}, which an FCN-{} needs. Say which layer it is with --layer ROLE=LAYER.'.format(
                path, found, ', '.join(missing) or 'what these need', placement.variant
            )
        )
    lost = sorted(set(shapes) - set(placement.used) - set(placement.left_out))
    if lost:
        raise _not_placed(path, {'kernel': lost[0]}, shapes)
