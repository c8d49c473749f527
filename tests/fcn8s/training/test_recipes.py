import json
import shlex

import pytest

from fcn8s.cli import build_parser
from fcn8s.cli.options import resolving
from fcn8s.training import recipes
from fcn8s.training.schedules import parse_schedule

VALID = {
    'name': 'mine',
    'description': 'd',
    'command': 'fcn8s train --recipe mine',
    'arguments': {'epochs': 3},
    'target': {'score': 'mean IoU', 'value': 50.0, 'tolerance': 1.0, 'on': 'val'},
    'measured': False,
}


def as_typed(arguments):
    """The arguments of a recipe as a person would type them."""
    words = []
    for name, value in arguments.items():
        words.append('--' + name.replace('_', '-'))
        if value is not True:
            words += [str(item) for item in value] if isinstance(value, list) else [str(value)]
    return words


@pytest.mark.parametrize('name', recipes.recipe_names())
def test_what_ships_can_be_typed(name):
    """Every argument of a recipe is an option of the command, and of its type and choices."""
    recipe = recipes.read_recipe(name)
    assert recipe.name == name
    parsed = vars(build_parser().parse_args(['train'] + as_typed(recipe.arguments)))
    assert {argument: parsed[argument] for argument in recipe.arguments} == recipe.arguments
    parse_schedule(recipe.arguments['rate'], 1000)
    typed = {'recipe': name, 'data': 'D', 'encoder': 'E', 'run_dir': 'R'}
    assert resolving.resolve(typed, parsed['defaults']).epochs == recipe.arguments['epochs']
    command = vars(build_parser().parse_args(shlex.split(recipe.command)[1:]))
    assert command['recipe'] == name and {'data', 'encoder'} <= set(command)
    build_parser().parse_args(['evaluate', 'RUN', *recipe.evaluation])


@pytest.mark.parametrize('name', recipes.recipe_names())
def test_only_what_was_measured_shows_a_curve(name):
    recipe = recipes.read_recipe(name)
    assert set(recipe.target) == {'score', 'value', 'tolerance', 'on'}
    text = recipes.format_recipes()
    assert '{}: {}'.format(name, recipe.description) in text
    if recipe.measured:
        assert abs(max(recipe.curve) - recipe.target['value']) <= recipe.target['tolerance']


def test_the_recipe_of_the_authors_solver_takes_its_steps_with_fixed_upsampling():
    """max_iter of voc-fcn8s-atonce/solver.prototxt, on the images of PASCAL VOC 2012; its deconvolutions do not learn."""
    arguments = recipes.read_recipe('voc-atonce').arguments
    assert abs(arguments['epochs'] * 1464 - 300000) < 1464 and arguments['upsampling'] == 'bilinear'


def test_a_recipe_of_ones_own(tmp_path):
    path = tmp_path / 'mine.json'
    path.write_text(json.dumps(VALID))
    assert recipes.read_recipe(str(path)).arguments == {'epochs': 3}
    path.write_text(json.dumps(dict(VALID, measured=True, curve=[10.0, 49.5])))
    assert recipes.read_recipe(str(path)).curve == [10.0, 49.5]


@pytest.mark.parametrize('name', ['minutes', 'folds', 'fold', 'workers', 'overfit_one_batch', 'resume'])
def test_what_a_command_does_is_no_part_of_a_recipe(tmp_path, name):
    """It would be passed over: the command has decided before it reads the recipe."""
    arguments = dict(VALID['arguments'], threads=2, **{name: 2})
    (tmp_path / 'mine.json').write_text(json.dumps(dict(VALID, arguments=arguments)))
    defaults = vars(build_parser().parse_args(['train']))['defaults']
    typed = {'recipe': str(tmp_path / 'mine.json'), 'data': 'D', 'encoder': 'E', 'run_dir': str(tmp_path / 'run')}
    flag = '--' + name.replace('_', '-')
    with pytest.raises(ValueError, match='{} in a recipe; say {} 2 in the command'.format(name, flag)):
        resolving.resolve(typed, defaults)


def test_a_recipe_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="there is no recipe 'carmvid'. Choose one of .*camvid, .*demo"):
        recipes.read_recipe('carmvid')


@pytest.mark.parametrize(
    'content, message',
    [
        ('{"name": ', 'is no recipe: .*needs the fields name, description'),
        ('[]', 'is no recipe'),
        (json.dumps({'name': 'mine'}), 'is no recipe: .*missing'),
        (json.dumps(dict(VALID, speed=3)), "is no recipe: .*unexpected keyword argument 'speed'"),
        (json.dumps(dict(VALID, measured=True)), 'says measured=True and has no curve'),
        (json.dumps(dict(VALID, curve=[1.0])), 'says measured=False and has a curve'),
        (
            json.dumps(dict(VALID, measured=True, curve=[])),
            "curve is '\\[\\]'; it has to be a list of numbers in per cent",
        ),
        (json.dumps(dict(VALID, evaluation='--mirror')), "evaluation is '--mirror'"),
        (json.dumps(dict(VALID, evaluation=[1])), 'evaluation is'),
        (json.dumps(dict(VALID, measured=True, curve=[1, 'a'])), 'it has to be a list of numbers in per cent'),
        (json.dumps(dict(VALID, measured=True, curve=[1], target={'score': 'x'})), 'a score and a tolerance in points'),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path, content, message):
    path = tmp_path / 'mine.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        recipes.read_recipe(str(path))
