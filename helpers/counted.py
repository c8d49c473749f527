"""Numbers with their nouns."""

from typing import Any


def counted(number: Any, noun: str) -> str:
    """Returns a number and its noun as a message has them: '1 batch', '2 batches', '0 images'.

    number: a number, or one as text, such as '0.5'. noun: in the singular; its plural is regular.
    """
    ending = '' if str(number) == '1' else 'es' if noun.endswith(('s', 'tch')) else 's'
    return '{} {}{}'.format(number, noun, ending)
