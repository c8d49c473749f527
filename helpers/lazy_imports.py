"""Public names that load their module when they are first used, and old import paths that go on working.

A package that imports everything when it is imported makes `--help` wait for TensorFlow.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Tuple


def lazy_names(package: str, places: Dict[str, str]) -> Tuple[Callable[[str], Any], Callable[[], List[str]]]:
    """Makes the `__getattr__` and `__dir__` of a package whose names live in other modules.

    Args:
        package: Name of the package, for messages.
        places: Public name -> 'module:attribute', or 'module' where the name is that module.

    Returns:
        Two functions to be bound to `__getattr__` and `__dir__` in the package.
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
        # The module has run long since. The import system has only put the spec of the old name into it.
        module.__spec__ = module.__spec__.loader_state if module.__spec__ else None


def keep_moved_modules(places: Dict[str, str]) -> None:
    """Lets `import OLD` and `from OLD import ...` go on working; places: old module name -> new module name."""
    sys.meta_path.append(_MovedModules(places))
