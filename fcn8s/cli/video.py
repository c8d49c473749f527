"""`fcn8s video`: the segmented video of a video, a folder of frames or a camera."""

import argparse
import contextlib
import os
from typing import Any, Iterator, Optional

from fcn8s.cli.inputs.prediction import check_models, models_of, open_predictor
from fcn8s.cli.options.prediction import (
    add_also_argument,
    add_drawing_arguments,
    add_model_argument,
    add_prediction_arguments,
    add_temperature_argument,
    check_drawing,
    check_predictor_arguments,
    check_temperature_argument,
    temperature_of,
)
from helpers.counted import counted

DESCRIPTION = """Writes a segmented MP4 (H.264, plays in browsers) of a video, a folder of frames or a camera. The first
sound track is kept. If it is interrupted (Ctrl-C, a broken frame, a full disk), what was done is left as
NAME.partial.mp4 (numbered if that exists), which plays; a camera records until Ctrl-C."""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser('video', help='render a segmented video', description=DESCRIPTION)
    add_model_argument(parser)
    parser.add_argument('source', metavar='IN', help='a video, a folder of frames (in natural order), or camera:0')
    parser.add_argument('out', metavar='OUT.mp4', help='the video to write; an existing one is replaced at the end')
    add_also_argument(parser)
    parser.add_argument('--frame-rate', type=float, metavar='FPS', help='for a folder of frames (default: 30)')
    parser.add_argument(
        '--smoothing',
        type=float,
        default=0.0,
        metavar='S',
        help="share of earlier frames in each frame's soft-max, against flicker, 0 to below 1 (default: 0)",
    )
    parser.add_argument(
        '--clockwork',
        type=int,
        default=1,
        metavar='K',
        help='predict only every K-th frame (and those that cannot be followed), and warp the prediction along the '
        'motion to the frames between: up to K times as fast; start with 3 (default: 1, every frame)',
    )
    drawing = add_drawing_arguments(parser)
    drawing.add_argument(
        '--layout',
        default='overlay',
        metavar='LAYOUT',
        help='overlay (default); side-by-side or stacked, the frame and its overlay; or map, the colours alone',
    )
    drawing.add_argument(
        '--confidence', action='store_true', help='add a picture of where the network doubts (dark: it is sure)'
    )
    add_temperature_argument(drawing, 'the picture of --confidence')
    parser.add_argument(
        '--compare',
        metavar='RUN_B',
        help='another run or model, shown to the right of MODEL',
    )
    add_prediction_arguments(parser)
    parser.set_defaults(run=run)


def _rules(args: argparse.Namespace) -> Any:
    """How the frames of a folder are read: as in training. Raises ValueError where two networks differ in that."""
    from fcn8s.saving.descriptions import read_description
    from fcn8s.saving.runs import resolve_model

    models = models_of(args) + ([] if args.compare is None else [args.compare])
    rules = [read_description(resolve_model(model)).settings.image_rules for model in models]
    for model, others in zip(models, rules):
        if others != rules[0] and (os.path.isdir(args.source) or others.channels != rules[0].channels):
            raise ValueError(
                '{} reads images by {}, and {} by {}. Show networks beside each other that read alike.'.format(
                    models[0], rules[0], model, others
                )
            )
    return rules[0]


def _check_by_rules(args: argparse.Namespace, rules: Any) -> None:
    """Raises ValueError or FileNotFoundError where source or --show does not fit how the network reads images."""
    from helpers.image_rules import check_frames, check_show
    from helpers.video import check_source

    if args.show is not None:
        check_show(args.show, rules.channels)
    if os.path.isdir(args.source):
        check_source(args.source, args.frame_rate, rules)
    else:
        check_frames(args.source, rules)


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from fcn8s.prediction.drawing import OF_OVERLAYS, Style, check_style
    from fcn8s.prediction.video import check_clockwork, check_places, check_smoothing, render_video
    from helpers.image_rules import ImageRules

    check_predictor_arguments(args)
    style = Style(
        args.layout,
        args.alpha,
        args.contours,
        args.legend,
        args.zoom,
        confidence=args.confidence,
        show=None if args.show is None else tuple(args.show),
        palette=args.palette,
    )
    if args.layout == 'map':
        why = '{is_} about the frame below the colours, which --layout map leaves out. Leave one of them out.'
        check_drawing(args, OF_OVERLAYS if args.confidence else OF_OVERLAYS + ('show',), why)
    check_style(style)
    check_temperature_argument(args, args.confidence, 'Add --confidence', second='compare')
    check_smoothing(args.smoothing)
    check_clockwork(args.clockwork, args.smoothing)
    # Reports a wrong name before any model is opened. The models know the rules; these find all kinds of files.
    check_places(args.source, args.out, args.frame_rate, ImageRules(bands=(1, 2, 3)))
    check_models(args)
    rules = _rules(args)
    _check_by_rules(args, rules)
    with open_predictor(args) as (model, predictor), _compared(args, style) as compare:
        rendered = render_video(
            predictor,
            args.source,
            args.out,
            label_space=model.label_space,
            style=style,
            smoothing=args.smoothing,
            frame_rate=args.frame_rate,
            progress=lambda frames, count: tqdm(frames, 'video', count, unit='frame'),
            compare=compare,
            caption='' if compare is None else ' + '.join(name_of(model) for model in models_of(args)),
            clockwork=args.clockwork,
            temperature=temperature_of(args),
            image_rules=rules,
        )
    print(
        '{}: {} in {:.1f} s, {:.2f} frames/s from reading to the finished file'.format(
            rendered.path, counted(rendered.num_frames, 'frame'), rendered.seconds, rendered.frames_per_second
        )
    )
    return 0


@contextlib.contextmanager
def _compared(args: argparse.Namespace, style: Any) -> Iterator[Optional[Any]]:
    """The view of the other network, or None."""
    from fcn8s.prediction.video import View

    if args.compare is None:
        yield None
        return
    with open_predictor(argparse.Namespace(**dict(vars(args), model=args.compare, also=[]))) as (model, predictor):
        yield View(predictor, model.label_space, style, args.smoothing, name_of(args.compare), args.clockwork)


def name_of(model: str) -> str:
    """Returns the name of a run or model in a picture: the last part of its path."""
    return os.path.basename(os.path.abspath(model))
