"""How modules are loaded: public names on first use, moved modules under their old names, and TensorFlow without Keras.

If a package imported everything at once, `--help` would wait for TensorFlow.
"""

import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple


def lazy_names(package: str, places: Dict[str, str]) -> Tuple[Callable[[str], Any], Callable[[], List[str]]]:
    """Makes the `__getattr__` and `__dir__` of a package whose names live in other modules.

    Args:
        package: Name of the package, for messages.
        places: Public name -> 'module:attribute', or 'module' if the name stands for the module itself.

    Returns:
        Two functions to assign to `__getattr__` and `__dir__` of the package.
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError('module {!r} has no attribute {!r}'.format(package, name))
        module, _, attribute = places[name].partition(':')
        found = importlib.import_module(module)
        return getattr(found, attribute) if attribute else found

    def names() -> List[str]:
        return sorted(set(places) | set(vars(sys.modules[package])))

    return get, names


class _MovedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under the name that it had before it moved; it is the same module, not a copy."""

    def __init__(self, places: Dict[str, str]) -> None:
        self._places = places

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        return importlib.machinery.ModuleSpec(fullname, self) if fullname in self._places else None

    def create_module(self, spec: Any) -> Optional[ModuleType]:
        module = importlib.import_module(self._places[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The module has been executed before. The import system only gave it the spec of the old name.
        module.__spec__ = module.__spec__.loader_state if module.__spec__ else None


def keep_moved_modules(places: Dict[str, str]) -> None:
    """Keeps `import OLD` and `from OLD import ...` working; places: old module name -> new module name."""
    sys.meta_path.append(_MovedModules(places))


class _PutOff(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a package as usual, but refuses to load it."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[importlib.machinery.ModuleSpec]:
        if name != self._package:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        if found is not None:
            found.loader = self
        return found

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Optional[ModuleType]:
        return None

    def exec_module(self, module: ModuleType) -> None:
        raise ImportError('{} is not loaded yet; import it again.'.format(self._package))


@contextlib.contextmanager
def put_off(package: str, importer: str) -> Iterator[None]:
    """Makes importing `package` raise ImportError within the context, as if it were broken; afterwards it works.

    Meant for the import of `importer`, which loads the package but can do without it. If either of them is loaded
    already, nothing happens.
    """
    if package in sys.modules or importer in sys.modules:
        yield
        return
    finder = _PutOff(package)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Switches garbage collection off within the context; afterwards the collector is as before.

    Meant for an import that makes hundreds of thousands of permanent objects, which the collector would traverse again
    and again. Afterwards they are in its oldest generation, which it rarely traverses.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            # Together they move all objects to the oldest generation without traversing them.
            gc.freeze()
            gc.unfreeze()
        if was_enabled:
            gc.enable()
