"""Recipes: training settings that ship as small files, each with the score to expect and whether it was measured.

A recipe is a JSON file: name, description, command, arguments (options of `fcn8s train`), target (score, tolerance in
points, on what), measured (true, with a curve, only if this library produced the score), and optionally evaluation, the
options of `fcn8s evaluate` that give the highest score.
"""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from helpers.json_files import is_number, read_json

HERE = os.path.dirname(os.path.abspath(__file__))


class Recipe(NamedTuple):
    """target: {'score', 'value' in per cent, 'tolerance' in points, 'on'}; curve: per cent after each evaluation.

    evaluation: options of `fcn8s evaluate`, word by word; target and curve were measured without them.
    """

    name: str
    description: str
    command: str
    arguments: Dict[str, Any]
    target: Dict[str, Any]
    measured: bool
    curve: Optional[List[float]] = None
    evaluation: Sequence[str] = ()


def recipe_names() -> List[str]:
    """Returns the names of the recipes that ship with the library."""
    return sorted(name[: -len('.json')] for name in os.listdir(HERE) if name.endswith('.json'))


def read_recipe(name: str) -> Recipe:
    """Reads a shipped recipe by name, or one of your own by path.

    Raises FileNotFoundError for neither, ValueError for a file that is no recipe.
    """
    path = os.path.join(HERE, name + '.json') if name in recipe_names() else name
    if not os.path.isfile(path):
        raise FileNotFoundError(
            'there is no recipe {!r}. Choose one of {}, or give the path of a file.'.format(
                name, ', '.join(recipe_names())
            )
        )
    try:
        recipe = Recipe(**read_json(path))
    except (TypeError, ValueError) as error:
        raise ValueError(
            '{} is no recipe: {}. It needs the fields {}.'.format(path, error, ', '.join(Recipe._fields))
        ) from error
    _check_fields(recipe, path)
    if recipe.measured != (recipe.curve is not None):
        raise ValueError(
            '{} says measured={} and has {} curve; a recipe has a curve exactly where its score was measured.'.format(
                path, recipe.measured, 'no' if recipe.curve is None else 'a'
            )
        )
    _check_curve(recipe, path)
    return recipe


def _check_fields(recipe: Recipe, path: str) -> None:
    kinds = dict(name=str, description=str, command=str, arguments=dict, target=dict, measured=bool)
    wrong = [field for field, kind in kinds.items() if not isinstance(getattr(recipe, field), kind)]
    if not isinstance(recipe.curve, (list, type(None))):
        wrong.append('curve')
    if not isinstance(recipe.evaluation, (list, tuple)) or not all(isinstance(w, str) for w in recipe.evaluation):
        wrong.append('evaluation')
    if wrong:
        raise ValueError(
            '{} is no recipe: {} is {!r:.60}. fcn8s train --list-recipes shows what belongs there.'.format(
                path, wrong[0], str(getattr(recipe, wrong[0]))
            )
        )


def _check_curve(recipe: Recipe, path: str) -> None:
    """Raises ValueError where runs could not be compared with the measured curve."""
    if not recipe.measured:
        return
    if not recipe.curve or not all(map(is_number, recipe.curve)):
        raise ValueError(
            '{} is no recipe: curve is {!r:.60}; it has to be a list of numbers in per cent, one for each '
            'evaluation.'.format(path, str(recipe.curve))
        )
    target = recipe.target
    if 'score' not in target or not is_number(target.get('tolerance')) or target['tolerance'] < 0:
        raise ValueError(
            '{} is no recipe: target is {!r:.60}; where it was measured it has to have a score and a tolerance in '
            'points, 0 or more.'.format(path, str(target))
        )


def format_recipes() -> str:
    """Formats what `fcn8s train --list-recipes` prints."""
    return '\n\n'.join(_format(read_recipe(name)) for name in recipe_names())


def _format(recipe: Recipe) -> str:
    target = recipe.target
    score = 'expected {}: {} % (+- {}) on {}; {}'.format(
        target['score'],
        target['value'],
        target['tolerance'],
        target['on'],
        'measured' if recipe.measured else 'not measured with this library',
    )
    lines = ['{}: {}'.format(recipe.name, recipe.description), '  ' + recipe.command, '  ' + score]
    if recipe.curve:
        lines.append('  curve: ' + ' '.join('{:.1f}'.format(value) for value in recipe.curve))
    if recipe.evaluation:
        lines.append('  highest score: fcn8s evaluate RUN ... ' + ' '.join(recipe.evaluation))
    return '\n'.join(lines)
