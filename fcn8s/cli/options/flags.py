"""How messages spell options, and what they say of options that mean nothing without another one."""

from typing import Iterable, Sequence


def flag(name: str) -> str:
    """Returns an option as it is typed: 'val_images' -> '--val-images'."""
    return '--run' if name == 'run_dir' else '--' + name.replace('_', '-')


def flags(names: Iterable[str]) -> str:
    """Returns options as they are typed, with commas between."""
    return ', '.join(map(flag, names))


# What is said of one option, and of several.
_NUMBERS = dict(is_=('is', 'are'), means=('means', 'mean'), it=('it', 'them'), it_belongs=('it belongs', 'they belong'))


def said_of(typed: Sequence[str], text: str, **further: str) -> str:
    """Returns options, as they are typed, and what is said of them: '{is_} for a video. Leave {it} out.'

    further: what else stands in braces there.
    """
    words = {name: forms[len(typed) > 1] for name, forms in _NUMBERS.items()}
    return '{} {}'.format(', '.join(typed), text.format(**words, **further))


def refuse_without(owner: str, typed: Sequence[str]) -> None:
    """Raises ValueError where some options came. owner: the one that they belong to, which did not; all as typed."""
    if typed:
        text = 'came without {owner}, to which {it_belongs}. Add that, or leave {it} out.'
        raise ValueError(said_of(typed, text, owner=owner))
