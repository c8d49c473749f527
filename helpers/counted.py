"""Numbers with their nouns, and lists of which messages show the beginning."""

from typing import Any, Sequence


def counted(number: Any, noun: str) -> str:
    """Returns a number with its noun: '1 batch', '2 batches', '0 images'.

    number: a number, or its text, such as '0.5'. noun: in the singular; its plural has to be regular.
    """
    ending = '' if str(number) == '1' else 'es' if noun.endswith(('s', 'tch')) else 's'
    return '{} {}{}'.format(number, noun, ending)


def join_and_count(texts: Sequence[str], most: int) -> str:
    """Joins the first `most` texts with commas, and says how many others there are: 'a, b and 3 more'."""
    return ', '.join(texts[:most]) + (' and {} more'.format(len(texts) - most) if len(texts) > most else '')


def join_and_dots(texts: Sequence[str], most: int) -> str:
    """Joins the first `most` texts with commas, and says whether there are others: 'a, b, ...'."""
    return ', '.join(texts[:most]) + (', ...' if len(texts) > most else '')
