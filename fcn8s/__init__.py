"""FCN-8s for semantic segmentation (Shelhamer, Long, Darrell, TPAMI 2017) as a graph-mode TensorFlow library.

`from fcn8s import FCN8s` is the way in. TensorFlow is loaded when `FCN8s` is first asked for, so that the command
line's help and the version are instant.
"""

__version__ = '1.0.0'
__all__ = ['FCN8s', '__version__']


def __getattr__(name: str):
    if name == 'FCN8s':
        from fcn8s.model import FCN8s

        return FCN8s
    raise AttributeError("module 'fcn8s' has no attribute {!r}".format(name))
