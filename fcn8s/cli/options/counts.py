"""Arguments of options that count something."""

import argparse

# Larger numbers are typing mistakes, and would use up memory or time without a message.
LARGEST_COUNT = 10**9
LARGEST_BATCH = 4096


def count(text: str, largest: int = LARGEST_COUNT) -> int:
    """Parses the argument of an option that counts something: a whole number from 1 to `largest`."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= largest:
        rule = 'of at least 1' if number < 1 else 'from 1 to {}'.format(largest)
        raise argparse.ArgumentTypeError('{!r} came; it has to be a whole number {}'.format(text, rule))
    return number


def batch_size(text: str) -> int:
    """Parses the argument of an option for the number of images in memory at once: from 1 to LARGEST_BATCH."""
    return count(text, LARGEST_BATCH)
