"""Putting off a package that is slow to load."""

import gc
import importlib
import sys

import pytest

from helpers.process.lazy_imports import put_off, without_garbage_collection


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of a package that can be imported and is not loaded."""
    (tmp_path / 'slow_package').mkdir()
    (tmp_path / 'slow_package' / '__init__.py').write_text('from slow_package.part import VALUE')
    (tmp_path / 'slow_package' / 'part.py').write_text('VALUE = 3')
    monkeypatch.syspath_prepend(str(tmp_path))
    yield 'slow_package'
    for name in ('slow_package', 'slow_package.part'):
        sys.modules.pop(name, None)


def test_a_package_that_is_put_off_is_found_and_not_loaded(package):
    with put_off(package, 'nobody'):
        assert importlib.util.find_spec(package).origin.endswith('__init__.py')
        for name in (package, package + '.part'):
            with pytest.raises(ImportError, match='slow_package is not loaded yet; import it again'):
                importlib.import_module(name)
        assert importlib.import_module('json')
    assert importlib.import_module(package + '.part').VALUE == 3
    assert importlib.import_module(package).VALUE == 3


def test_nothing_is_put_off_that_is_loaded_or_whose_importer_is(package):
    finders = list(sys.meta_path)
    with put_off(package, 'sys'):
        assert sys.meta_path == finders
    importlib.import_module(package)
    with put_off(package, 'nobody'):
        assert sys.meta_path == finders


def test_a_package_that_is_not_installed_is_missing_as_ever():
    with put_off('not_installed', 'nobody'):
        assert importlib.util.find_spec('not_installed') is None
        with pytest.raises(ModuleNotFoundError, match='not_installed'):
            importlib.import_module('not_installed')


@pytest.mark.parametrize('is_enabled', [True, False])
def test_the_garbage_collector_is_off_for_a_while_and_then_as_it_was(is_enabled):
    before = gc.isenabled()
    try:
        (gc.enable if is_enabled else gc.disable)()
        with pytest.raises(KeyError), without_garbage_collection():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() == is_enabled
    finally:
        (gc.enable if before else gc.disable)()


@pytest.fixture
def nothing_frozen():
    """The garbage collector as programs begin with it: tests/conftest.py takes from it what was imported."""
    was_frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    yield
    gc.unfreeze()
    if was_frozen:
        gc.freeze()


def test_what_was_made_without_the_garbage_collector_is_old_for_it(nothing_frozen):
    """And what a program has taken from the collector stays taken."""
    assert gc.get_freeze_count() == 0
    with without_garbage_collection():
        made = [[] for _ in range(5)]
    assert gc.get_freeze_count() == 0
    old = {id(thing) for thing in gc.get_objects(2)} if sys.version_info >= (3, 8) else set(map(id, made))
    assert old.issuperset(map(id, made))
    gc.freeze()
    before = gc.get_freeze_count()
    with without_garbage_collection():
        pass
    assert gc.get_freeze_count() > before / 2  # some of them may have ended
