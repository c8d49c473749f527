"""Numbers with their nouns."""

from typing import Any


def counted(number: Any, noun: str) -> str:
    """Returns a number with its noun: '1 batch', '2 batches', '0 images'.

    number: a number, or its text, such as '0.5'. noun: in the singular; its plural has to be regular.
    """
    ending = '' if str(number) == '1' else 'es' if noun.endswith(('s', 'tch')) else 's'
    return '{} {}{}'.format(number, noun, ending)
