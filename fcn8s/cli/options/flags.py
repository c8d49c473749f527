"""How messages spell options, and what they say about options that have no effect without another one."""

from typing import Iterable, Sequence

# What is called otherwise as an option: arguments of the Python calls, and entries of stored options.
_RENAMED = {
    'accumulate_batches': 'accumulate',
    'early_stopping_patience': 'patience',
    'gradient_clip_norm': 'clip_norm',
    'random_crop': 'crop',
    'resize': 'size',
    'run_dir': 'run',
}


def flag(name: str) -> str:
    """Returns an option as it is typed: 'val_images' -> '--val-images', 'gradient_clip_norm' -> '--clip-norm'."""
    return '--' + _RENAMED.get(name, name).replace('_', '-')


def flags(names: Iterable[str]) -> str:
    """Returns options as they are typed, with commas between."""
    return ', '.join(map(flag, names))


# The words in a sentence about one option, and about several.
_NUMBERS = dict(is_=('is', 'are'), means=('means', 'mean'), it=('it', 'them'), it_belongs=('it belongs', 'they belong'))


def said_of(typed: Sequence[str], text: str, **further: str) -> str:
    """Returns a message about options: their names as they are typed, then `text`: '{is_} for a video. Leave {it} out.'

    further: values for other names in braces.
    """
    words = {name: forms[len(typed) > 1] for name, forms in _NUMBERS.items()}
    return '{} {}'.format(', '.join(typed), text.format(**words, **further))


def refuse_without(owner: str, typed: Sequence[str]) -> None:
    """Raises ValueError if options were typed without the one that they belong to, `owner`; all as they are typed."""
    if typed:
        text = 'came without {owner}, to which {it_belongs}. Add that, or leave {it} out.'
        raise ValueError(said_of(typed, text, owner=owner))
