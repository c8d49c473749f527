"""The ops that a network needs. A foreign graph may hold only these: TensorFlow has ops that read and write files, run
Python and call other machines, and a graph that holds them uses them without notice.

This is a list of what is permitted; every other op is refused, whatever it does.
"""

import functools
import operator
from collections import Counter
from typing import Any, Dict, Iterable, List, Mapping, Sequence

from fcn8s.backend import Graph, GraphDef, NodeDef, tf
from fcn8s.graph.graph_defs import called_functions, functions_of, needed_nodes
from helpers.counted import join_and_count

_STRUCTURE = """
Const Placeholder PlaceholderV2 PlaceholderWithDefault Identity IdentityN NoOp StopGradient PreventGradient Snapshot
Assert CheckNumerics EnsureShape
If StatelessIf While StatelessWhile Case StatelessCase PartitionedCall StatefulPartitionedCall SymbolicGradient
Enter RefEnter Exit RefExit NextIteration RefNextIteration LoopCond Merge RefMerge Switch RefSwitch ControlTrigger
TensorArrayV3 TensorArrayReadV3 TensorArrayWriteV3 TensorArrayGatherV3 TensorArrayScatterV3 TensorArraySizeV3
TensorArrayCloseV3 TensorArraySplitV3 TensorArrayConcatV3 TensorArrayGradV3
TensorListReserve TensorListStack TensorListSetItem TensorListGetItem TensorListFromTensor TensorListPushBack
TensorListPopBack EmptyTensorList TensorListLength TensorListElementShape TensorListConcatV2
StackV2 StackPushV2 StackPopV2
"""

_VARIABLES = """
VarHandleOp VariableV2 Variable ReadVariableOp VariableShape Assign AssignAdd AssignSub AssignVariableOp
AssignAddVariableOp AssignSubVariableOp VarIsInitializedOp IsVariableInitialized DestroyResourceOp
TemporaryVariable DestroyTemporaryVariable ResourceGather Gather GatherV2 GatherNd ScatterNd ScatterUpdate
ResourceScatterUpdate ResourceScatterAdd
"""

_ARRAYS = """
Shape ShapeN Size Rank Reshape ExpandDims Squeeze Transpose ConjugateTranspose InvertPermutation Pack Unpack Concat
ConcatV2 ConcatOffset Split SplitV Slice StridedSlice StridedSliceGrad Tile BroadcastTo BroadcastArgs
BroadcastGradientArgs Fill ZerosLike OnesLike Range LinSpace Pad PadV2 MirrorPad MirrorPadGrad ReverseV2
ReverseSequence Cast Bitcast Where Select SelectV2 OneHot Diag DiagPart MatrixDiag MatrixDiagPart MatrixDiagV3
MatrixSetDiag MatrixSetDiagV3 MatrixBandPart SpaceToBatchND BatchToSpaceND SpaceToBatch BatchToSpace SpaceToDepth
DepthToSpace ExtractImagePatches DynamicStitch DynamicPartition Unique UniqueV2 ListDiff Roll TensorScatterUpdate
"""

_MATHS = """
Add AddV2 AddN AccumulateNV2 Sub Mul MulNoNan Div DivNoNan RealDiv TruncateDiv FloorDiv FloorMod Mod TruncateMod Neg
Abs Sign Square Sqrt Rsqrt SqrtGrad RsqrtGrad Reciprocal ReciprocalGrad Inv InvGrad Exp Expm1 Log Log1p Pow Maximum
Minimum SquaredDifference Round Rint Floor Ceil Sin Cos Tan Asin Acos Atan Atan2 Sinh Cosh Tanh TanhGrad Erf Erfc
Lgamma Digamma Sigmoid SigmoidGrad Equal NotEqual ApproximateEqual Less LessEqual Greater GreaterEqual LogicalAnd
LogicalOr LogicalNot IsNan IsInf IsFinite ClipByValue Sum Mean Prod Max Min All Any ArgMax ArgMin Cumsum Cumprod
SegmentSum UnsortedSegmentSum Bincount DenseBincount Bucketize HistogramFixedWidth MatMul BatchMatMul BatchMatMulV2
BatchMatMulV3 Einsum L2Loss InTopK InTopKV2 TopK TopKV2 BitwiseAnd BitwiseOr BitwiseXor Invert LeftShift RightShift
Xdivy Xlogy
"""

_LAYERS = """
Conv2D Conv2DBackpropInput Conv2DBackpropFilter Conv3D DepthwiseConv2dNative DepthwiseConv2dNativeBackpropInput
DepthwiseConv2dNativeBackpropFilter Dilation2D BiasAdd BiasAddV1 BiasAddGrad MaxPool MaxPoolV2 MaxPoolGrad
MaxPoolGradV2 MaxPoolGradGrad MaxPoolWithArgmax AvgPool AvgPoolGrad FractionalMaxPool FractionalAvgPool Relu ReluGrad
Relu6 Relu6Grad LeakyRelu LeakyReluGrad Elu EluGrad Selu SeluGrad Softplus SoftplusGrad Softsign SoftsignGrad Softmax
LogSoftmax SoftmaxCrossEntropyWithLogits SparseSoftmaxCrossEntropyWithLogits FusedBatchNorm FusedBatchNormV2
FusedBatchNormV3 FusedBatchNormGrad FusedBatchNormGradV2 FusedBatchNormGradV3 BatchNormWithGlobalNormalization LRN
LRNGrad ResizeBilinear ResizeBilinearGrad ResizeNearestNeighbor ResizeNearestNeighborGrad ResizeBicubic ResizeArea
CropAndResize RGBToHSV HSVToRGB AdjustContrastv2 AdjustHue AdjustSaturation
QuantizeAndDequantizeV2 FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel
"""

_RANDOM = """
RandomUniform RandomUniformInt RandomStandardNormal TruncatedNormal RandomShuffle Multinomial StatelessRandomUniform
StatelessRandomUniformV2 StatelessRandomUniformInt StatelessRandomNormal StatelessRandomNormalV2
StatelessTruncatedNormal StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomGetAlg
"""

# A saved model may hold the training that made it, which is never run from there.
_TRAINING = """
ApplyAdam ApplyMomentum ApplyGradientDescent ApplyRMSProp ApplyCenteredRMSProp ApplyAdagrad ApplyAdadelta ApplyFtrl
ResourceApplyAdam ResourceApplyMomentum ResourceApplyGradientDescent ResourceApplyRMSProp ResourceApplyKerasMomentum
ResourceApplyCenteredRMSProp ResourceApplyAdagrad ResourceApplyAdadelta ResourceApplyFtrl
ScalarSummary MergeSummary HistogramSummary ImageSummary TensorSummary TensorSummaryV2 ConfusionMatrix
"""

NETWORK_OPS = frozenset(' '.join((_STRUCTURE, _VARIABLES, _ARRAYS, _MATHS, _LAYERS, _RANDOM, _TRAINING)).split())
# Every SavedModel has these for `tf.train.Saver`. They read and write files, so no node that is run may need them.
SAVER_OPS = frozenset(('SaveV2', 'RestoreV2', 'MergeV2Checkpoints', 'ShardedFilename', 'StringJoin', 'SaveSlices'))
SAVER_OPS |= frozenset(('StaticRegexFullMatch', 'RegexFullMatch'))
SAVER_OPS |= frozenset(('RestoreSlice', 'Save', 'Restore', 'DisableCopyOnRead'))
# The signature `encoded` of an export decodes the image files fed to it, and encodes class IDs. It touches no file.
IMAGE_FILE_OPS = frozenset(('DecodePng', 'DecodeJpeg', 'DecodeImage', 'EncodePng'))

# The longest chain of functions that call one another; nested branches and loops make chains of a few.
_DEEPEST_CALLS = 50

# A file may store a constant of equal values as one value and a shape. All constants of a network together may have
# this many values that the file does not hold, as many as the filters of VGG-16's fc7.
MOST_REPEATED = 4096 * 4096
# Types of which TensorFlow makes all values before it looks at the content.
_NO_NUMBERS = tuple(dtype.as_datatype_enum for dtype in (tf.string, tf.resource, tf.variant))
# The most values of a tensor that a graph makes by itself: more than twice those of the filters of VGG-16's fc6. And of
# one that is computed from images of a fixed size: 64 channels for each pixel of four images of 3840x2160.
MOST_VALUES = 2**28
_MOST_VALUES_OF_IMAGES = 2**31
# The most nodes of a prediction; TensorFlow takes about a millisecond for each. ResNet-152 has 3,000.
MOST_NODES = 20000


def check_ops(graph_def: GraphDef, what: str, saver: bool = False, image_files: bool = False) -> None:
    """Raises ValueError where a graph, or a function of its library, holds an op that a network does not need.

    Args:
        graph_def: A GraphDef.
        what: What messages call it, with its path.
        saver: Whether the ops of a `tf.train.Saver` may be in the graph itself; in a function they may not.
        image_files: Whether ops that decode and encode image files may be in the graph and in its functions.
    """
    permitted = NETWORK_OPS | (IMAGE_FILE_OPS if image_files else frozenset())
    refused = _other_than(permitted | (SAVER_OPS if saver else frozenset()), graph_def.node)
    functions = {function.signature.name for function in graph_def.library.function}
    for function in graph_def.library.function:
        refused += _other_than(permitted, function.node_def)
    # A node may call a function by its name, but a function named like an op of TensorFlow does not permit that op.
    called = {name for name in functions if not hasattr(tf.raw_ops, name)}
    refused = [text for text in dict.fromkeys(refused) if text.split(' ')[0] not in called]
    if not refused:
        refused = _too_deep(graph_def.library.function)
    if refused:
        text = 'its graph holds {}, which a network does not need and which may reach outside it'
        raise _refused(what, text, join_and_count(refused, 6))


def check_constants(graph_def: GraphDef, outputs: Sequence[str], what: str) -> None:
    """Raises ValueError where constants that are needed take memory for far more values than the file holds, or where
    more nodes are needed than a network has.

    outputs: names of the nodes that are to be run. What they do not need, such as initial values, takes no memory.
    graph_def: passed `check_ops`, which refuses functions that call themselves.
    """
    needed = needed_nodes(graph_def, outputs)
    nodes = [node for node in graph_def.node if node.name in needed]
    functions = {name: f.node_def for name, f in called_functions(graph_def.library, nodes).items()}
    parts = [(nodes, 1)] + [(functions[name], times) for name, times in _calls(nodes, functions).items()]
    count = sum(len(part) * times for part, times in parts)
    if count > MOST_NODES:
        raise _refused(what, 'it predicts by {:,} nodes, and a network has at most {:,}', count, MOST_NODES)
    left = MOST_REPEATED
    for node, times in ((node, times) for part, times in parts for node in part if node.op == 'Const'):
        shape = [dim.size for dim in node.attr['value'].tensor.tensor_shape.dim]
        left -= times * _repeated(node.attr['value'].tensor, shape)
        if left < 0:
            text = 'its constant {!r:.100} is of the shape {}, of which the file holds a few values'
            raise _refused(what, text, node.name, shape)


def check_known_sizes(graph: Graph, what: str) -> None:
    """Raises ValueError where a `tf.Graph` makes a tensor that is larger than in any network, such as `Fill` with
    dimensions from the file. Sizes that depend on the images are not known until the graph runs.
    """
    fed = set()
    for operation in graph.get_operations():
        if operation.type.startswith('Placeholder') or any(tensor.op in fed for tensor in operation.inputs):
            fed.add(operation)
        most = _MOST_VALUES_OF_IMAGES if operation in fed else MOST_VALUES
        for shape in (output.shape for output in operation.outputs):
            if shape.is_fully_defined() and functools.reduce(operator.mul, shape.as_list(), 1) > most:
                text = 'its {} {!r:.100} makes an array of the shape {}'
                raise _refused(what, text, operation.type, operation.name, shape.as_list())


def _refused(what: str, text: str, *values: Any) -> ValueError:
    return ValueError(
        '{} is refused, and nothing of it was run: {}. Get it from a source that you trust; --trust (trust=True in '
        'Python) opens it all the same.'.format(what, text.format(*values))
    )


def _repeated(tensor: Any, shape: Sequence[int]) -> int:
    """How many values of a TensorProto it does not hold: TensorFlow repeats the last that it holds."""
    if tensor.tensor_content and tensor.dtype not in _NO_NUMBERS:
        return 0
    held = sum(len(values) for field, values in tensor.ListFields() if field.name.endswith('_val'))
    return max(0, int(functools.reduce(operator.mul, shape, 1)) - held)


def _calls(nodes: Iterable[NodeDef], functions: Mapping[str, Iterable[NodeDef]]) -> Dict[str, int]:
    """How often each function is called, also by others: TensorFlow puts its nodes into the place of each call."""

    def called(by: Iterable[NodeDef]) -> 'Counter[str]':
        return Counter(name for node in by for name in functions_of(node) if name in functions)

    within = {name: called(function) for name, function in functions.items()}
    calls: Counter[str] = Counter()
    level = called(nodes)
    while level:
        calls.update(level)
        deeper: Counter[str] = Counter()
        for name, times in level.items():
            deeper.update({other: times * count for other, count in within[name].items()})
        level = deeper
    return calls


def _too_deep(functions: Iterable[Any]) -> List[str]:
    """The functions that call themselves, directly or through others, or too long a chain of functions: TensorFlow
    follows the calls, overflows its stack and ends the process.
    """
    calls = {f.signature.name: {name for node in f.node_def for name in functions_of(node)} for f in functions}
    for _ in range(_DEEPEST_CALLS):
        left = set(calls)
        calls = {name: called & left for name, called in calls.items() if called & left}
    return ['the function {!r}, which calls itself or too deep a chain of others'.format(name) for name in calls]


def _other_than(permitted: Iterable[str], nodes: Iterable[Any]) -> List[str]:
    return ['{} ({!r})'.format(node.op, node.name) for node in nodes if node.op not in permitted]
