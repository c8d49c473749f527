"""Converts HDR video, as telephones record it, to the range of standard video, on which networks are trained."""

import logging
import re
import subprocess
from typing import List, NamedTuple, Optional

from helpers.video_files.ffmpeg import ffmpeg_command

_LOGGER = logging.getLogger(__name__)

# ffmpeg's names of the curves of ITU-R BT.2100.
_CURVES = {'smpte2084': 'PQ', 'arib-std-b67': 'HLG'}

# In cd/m2: white by ITU-R BT.2408, and the brightest light that is kept, that of the displays for which HLG is made.
_WHITE = 203
_PEAK = 1000


class HighDynamicRange(NamedTuple):
    """ffmpeg's names of the colours of a video: matrix between YUV and RGB, primaries, and one of `_CURVES`."""

    matrix: str
    primaries: str
    curve: str


def high_dynamic_range(log: str) -> Optional[HighDynamicRange]:
    """Finds PQ or HLG video by ffmpeg's log of the file; None for standard video."""
    streams = re.findall(r'^\[info\] +Stream #0:\S+ Video: (.*)', log, re.MULTILINE)
    pictures = [line for line in streams if '(attached pic)' not in line]
    found = re.search(r'[(, ]([\w-]+)/([\w-]+)/({})\b'.format('|'.join(_CURVES)), pictures[0]) if pictures else None
    return None if found is None else HighDynamicRange(*found.groups())


def tone_mapping(path: str, colors: HighDynamicRange, binary: str) -> List[str]:
    """Returns the filters that convert frames to BT.709, as in standard video; none, with a warning, if `binary` lacks
    them.
    """
    there = _filters(binary)
    missing = [name for name in ('zscale', 'tonemap') if name not in there]
    if missing:
        _LOGGER.warning(
            '%s is HDR video (%s), and ffmpeg (%s) lacks %s, which brings it to the range of usual video: its frames '
            'are pale, and networks trained on usual video see them badly. Name an ffmpeg that has it in '
            'FFMPEG_BINARY, or convert the video to SDR first.',
            *(path, _CURVES[colors.curve], binary, ' and '.join(missing)),
        )
        return []
    return [
        *_named(colors),
        # Colour at full resolution, since zscale otherwise refuses odd sizes. Computed in linear light, as floats.
        'format=yuv444p10le|gbrp10le',
        'zscale=t=linear:npl={}'.format(_WHITE),
        'format=gbrpf32le',
        'zscale=p=bt709',
        # Values below 0.3 of white are unchanged; the range above is compressed. `mobius` is the name of the formula.
        'tonemap=mobius:desat=0:peak={:.3f}'.format(_PEAK / _WHITE),
        'zscale=t=bt709:m=gbr:r=pc',
        'format=gbrp',
    ]


def _named(colors: HighDynamicRange) -> List[str]:
    """The filter that declares what a file leaves out: both curves imply the colours of BT.2020 (BT.2100, table 2).

    zscale has no bt2020c, which ffmpeg's own scale treats as bt2020nc.
    """
    said = ['colorspace=bt2020nc'] * (colors.matrix in ('unknown', 'bt2020c'))
    said += ['color_primaries=bt2020'] * (colors.primaries == 'unknown')
    return ['setparams=' + ':'.join(said)] if said else []


def _filters(binary: str) -> List[str]:
    """The names of the filters of an ffmpeg."""
    done = subprocess.run(
        ffmpeg_command(binary, ['-hide_banner', '-filters'], 'error'),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return re.findall(r'^ *\S+ +(\w+) ', done.stdout.decode('utf-8', 'replace'), re.MULTILINE)
