"""Graphs looked into, and those of saved models changed."""

import os

from fcn8s.backend import SavedModel


def ops_before(fetch):
    """All ops that an op waits for, itself included."""
    found, waiting = set(), [fetch]
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [tensor.op for tensor in op.inputs] + list(op.control_inputs)
    return found


def edit_graph(directory, change):
    """Applies `change` to the meta graph of a saved model in place."""
    path = os.path.join(directory, 'saved_model.pb')
    saved_model = SavedModel()
    with open(path, 'rb') as file:
        saved_model.ParseFromString(file.read())
    change(saved_model.meta_graphs[0])
    with open(path, 'wb') as file:
        file.write(saved_model.SerializeToString())
