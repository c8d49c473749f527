"""YAML from others: keys with texts, lists and tables; every value is read as text, and nothing is executed."""

from typing import Any, Dict, List, Set, Union

import yaml

Value = Union[str, List[Any], Dict[str, Any]]

# The longest text that is read, in characters: a data.yaml of a thousand classes has about ten thousand.
_LONGEST = 2**20


class _Loader(yaml.BaseLoader):
    """Reads every value as text, since 'no' and 1e3 may be names, and refuses repeated keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: Set[str] = set()
        for key, _ in node.value:
            is_text = isinstance(key, yaml.ScalarNode)
            if not is_text or key.value in seen:
                problem = '{!r:.40} is there twice'.format(key.value) if is_text else 'a key is a list or a table'
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.end_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def entries_of(text: str) -> Dict[str, Value]:
    """Returns the table in a file's first non-empty document; an empty table if that is none.

    Raises:
        ValueError: It is no YAML, repeats a key, or is longer than any table of classes.
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
    except (yaml.YAMLError, OverflowError, ValueError) as error:  # for an invalid character
        raise ValueError(' '.join(str(error).split())) from error
    return document if isinstance(document, dict) else {}
