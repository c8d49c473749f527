"""YAML of others: keys with texts, lists and tables, whatever their types; nothing in a file is executed."""

from typing import Any, Dict, List, Union

import yaml

Value = Union[str, List[Any], Dict[str, Any]]

# Characters of the longest text that is read: a data.yaml of a thousand classes has some ten thousand.
_LONGEST = 2**20


class _Loader(yaml.BaseLoader):
    """Takes every value for a text, as 'no' and 1e3 may be names, and refuses a key that is there twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                problem='{!r:.40} is there twice'.format(twice), problem_mark=node.end_mark
            )
        return super().construct_mapping(node, deep)


def entries_of(text: str) -> Dict[str, Value]:
    """Returns the table of a file's first document that is not empty; an empty one where that is no table.

    Raises:
        ValueError: It is no YAML, has a key twice, or is longer than any table of classes.
    """
    if len(text) > _LONGEST:
        raise ValueError('it has {} characters, and at most {} are read'.format(len(text), _LONGEST))
    try:
        document: Any = next((one for one in yaml.load_all(text, _Loader) if one), {})
    except yaml.MarkedYAMLError as error:
        line = '' if error.problem_mark is None else ' (line {})'.format(error.problem_mark.line + 1)
        raise ValueError(str(error.problem) + line) from error
    except RecursionError as error:
        raise ValueError('it has too many lists in lists') from error
    except (yaml.YAMLError, OverflowError, ValueError) as error:  # a character that there is not
        raise ValueError(' '.join(str(error).split())) from error
    return document if isinstance(document, dict) else {}
