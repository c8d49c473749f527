"""How messages spell options, and what they say of options that mean nothing without another one."""

from typing import Iterable, Sequence


def flag(name: str) -> str:
    """Returns an option as it is typed: 'val_images' -> '--val-images'."""
    return '--run' if name == 'run_dir' else '--' + name.replace('_', '-')


def flags(names: Iterable[str]) -> str:
    """Returns options as they are typed, with commas between."""
    return ', '.join(map(flag, names))


def refuse_without(owner: str, typed: Sequence[str]) -> None:
    """Raises ValueError where some options came. owner: the one that they belong to, which did not; all as typed."""
    if typed:
        raise ValueError(
            '{} came without {}, to which it belongs. Add that, or leave it out.'.format(', '.join(typed), owner)
        )
