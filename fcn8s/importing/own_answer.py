"""How a program answers from its logits: if something changes them first, other layers follow them.

The graph is read as data and not run. Loss, gradients and summaries follow the logits, too, but are no answer: they
need labels, or end in a summary.
"""

from typing import Any, Dict, List, Optional, Set

from fcn8s.backend import GraphDef
from fcn8s.graph.graph_defs import node_name
from fcn8s.graph.permitted_ops import NETWORK_OPS

_HANDING_ON = """
Identity IdentityN Reshape Squeeze ExpandDims Transpose Cast StopGradient PreventGradient Snapshot CheckNumerics
EnsureShape Pack Unpack Split SplitV Slice StridedSlice Gather GatherV2 GatherNd Concat ConcatV2 Print Switch Merge
Enter Exit
"""
_LOOKING = """
Shape ShapeN Rank Size ZerosLike OnesLike Equal NotEqual Less LessEqual Greater GreaterEqual IsNan IsInf IsFinite
Assert PrintV2
"""
# Ops that pass on all or some of their numbers, perhaps in another order or precision.
_HANDS_ON = frozenset(_HANDING_ON.split())
# Ops that pass on none of their numbers.
_LOOKS_AT = frozenset(_LOOKING.split())
_SOFTMAXES = ('Softmax', 'LogSoftmax', 'SoftmaxCrossEntropyWithLogits', 'SparseSoftmaxCrossEntropyWithLogits')
# These end an answer, too, unless a soft-max follows.
_PROBABILITIES = ('Softmax', 'Sigmoid')
_ENDS = (*_SOFTMAXES, *_PROBABILITIES, 'ArgMax', 'TopK', 'TopKV2', 'InTopK', 'InTopKV2')
_VALUES = ('Const', 'VarHandleOp', 'VariableV2', 'Variable')


def layer_behind(graph_def: GraphDef, logits: str) -> Optional[str]:
    """Returns the op, with its name, that changes the logits before the program answers; None if none does.

    logits: the name of the logits' node.
    """
    graph = _Links(graph_def)
    sources = graph.sources(logits)
    seen = {logits}
    waiting = [logits]
    while waiting:
        for node in graph.consumers(waiting.pop()):
            if node.name in seen or graph.ends(node):
                continue
            seen.add(node.name)
            if node.op in _HANDS_ON or _adds_the_same_to_all(node, graph.nodes):
                waiting.append(node.name)
            elif not graph.sources(node.name) - sources and graph.leads_to_answer(node, sources):
                return '{} ({!r})'.format(node.op, node.name)
    return None


def _adds_the_same_to_all(node: Any, nodes: Dict[str, Any]) -> bool:
    """Whether the node adds a scalar constant, which does not change a soft-max."""
    operands = [nodes.get(node_name(source)) for source in node.input] if node.op in ('Add', 'AddV2') else []
    constants = [operand for operand in operands if operand is not None and operand.op == 'Const']
    return any(not constant.attr['value'].tensor.tensor_shape.dim for constant in constants)


class _Links:
    """The nodes of a graph by name, and their consumers; control inputs do not count."""

    def __init__(self, graph_def: GraphDef) -> None:
        self.nodes: Dict[str, Any] = {node.name: node for node in graph_def.node}
        self._consumers: Dict[str, List[Any]] = {}
        for node in graph_def.node:
            for source in _data_inputs(node):
                self._consumers.setdefault(node_name(source), []).append(node)

    def consumers(self, name: str) -> List[Any]:
        return self._consumers.get(name, [])

    def ends(self, node: Any) -> bool:
        """Whether an answer may end with a node."""
        if node.op in _PROBABILITIES:
            return not any(behind.op in _SOFTMAXES for behind in self._all_behind(node.name))
        return node.op in _LOOKS_AT or node.op in _ENDS

    def leads_to_answer(self, node: Any, sources: Set[str]) -> bool:
        """Whether a node that needs only these sources leads to an answer, and not to a loss or a summary."""
        seen = {node.name}
        waiting = [node]
        while waiting:
            consumers = self.consumers(waiting.pop().name)
            if any(consumer.op in _ENDS for consumer in consumers):
                return True
            for consumer in consumers:
                is_loss = consumer.op in _LOOKS_AT or self.sources(consumer.name) - sources
                if consumer.name not in seen and not is_loss:
                    seen.add(consumer.name)
                    waiting.append(consumer)
        return any(self._is_last(self.nodes[name]) for name in seen)

    def _is_last(self, node: Any) -> bool:
        return not self.consumers(node.name) and not node.op.endswith(('Summary', 'SummaryV2'))

    def _all_behind(self, name: str) -> List[Any]:
        found: Dict[str, Any] = {}
        waiting = [name]
        while waiting:
            for node in self.consumers(waiting.pop()):
                if node.name not in found:
                    found[node.name] = node
                    waiting.append(node.name)
        return list(found.values())

    def sources(self, name: str) -> Set[str]:
        """The tensors that a node needs from outside the network: images, labels, switches."""
        found: Set[str] = set()
        seen: Set[str] = set()
        waiting = [name]
        while waiting:
            tensor = waiting.pop()
            node = self.nodes.get(node_name(tensor))
            if node is None or tensor in seen:
                continue
            seen.add(tensor)
            inputs = _data_inputs(node)
            if node.op not in NETWORK_OPS or not inputs and node.op not in _VALUES:
                found.add(tensor)  # images and labels may be two tensors of one queue
            else:
                waiting += inputs
        return found


def _data_inputs(node: Any) -> List[str]:
    return [source[: -len(':0')] if source.endswith(':0') else source for source in node.input if source[:1] != '^']
