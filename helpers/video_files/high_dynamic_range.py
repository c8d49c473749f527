"""Video of high dynamic range, as telephones record it: brought to the range of usual video, which networks know."""

import logging
import re
import subprocess
from typing import List, NamedTuple, Optional

from helpers.video_files.ffmpeg import ffmpeg_command

_LOGGER = logging.getLogger(__name__)

# ffmpeg's names of the curves of ITU-R BT.2100.
_CURVES = {'smpte2084': 'PQ', 'arib-std-b67': 'HLG'}

# In cd/m2: where ITU-R BT.2408 puts white, and the brightest light that is kept, of the displays which HLG is made for.
_WHITE = 203
_PEAK = 1000


class HighDynamicRange(NamedTuple):
    """ffmpeg's names of the colours of a video: the matrix between YUV and RGB, primaries, and one of `_CURVES`."""

    matrix: str
    primaries: str
    curve: str


def high_dynamic_range(log: str) -> Optional[HighDynamicRange]:
    """Says whether the pictures of a file are PQ or HLG, by what ffmpeg logs of it; None for usual video."""
    streams = re.findall(r'^\[info\] +Stream #0:\S+ Video: (.*)', log, re.MULTILINE)
    pictures = [line for line in streams if '(attached pic)' not in line]
    found = re.search(r'[(, ]([\w-]+)/([\w-]+)/({})\b'.format('|'.join(_CURVES)), pictures[0]) if pictures else None
    return None if found is None else HighDynamicRange(*found.groups())


def tone_mapping(path: str, colors: HighDynamicRange, binary: str) -> List[str]:
    """Returns the filters that bring frames to BT.709, which is what usual video has; none, and a warning, where
    `binary` lacks them.
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
        # Colour at full resolution: zscale refuses odd sizes otherwise. Light is added up in linear floats.
        'format=yuv444p10le|gbrp10le',
        'zscale=t=linear:npl={}'.format(_WHITE),
        'format=gbrpf32le',
        'zscale=p=bt709',
        # Below 0.3 of white all stays; what is brighter than white gets room. The name is that of the formula.
        'tonemap=mobius:desat=0:peak={:.3f}'.format(_PEAK / _WHITE),
        'zscale=t=bt709:m=gbr:r=pc',
        'format=gbrp',
    ]


def _named(colors: HighDynamicRange) -> List[str]:
    """The filter that says what a file does not: both curves come with the colours of BT.2020 (BT.2100, table 2).

    zscale has no bt2020c, which ffmpeg's own scale takes for bt2020nc.
    """
    said = ['colorspace=bt2020nc'] * (colors.matrix in ('unknown', 'bt2020c'))
    said += ['color_primaries=bt2020'] * (colors.primaries == 'unknown')
    return ['setparams=' + ':'.join(said)] if said else []


def _filters(binary: str) -> List[str]:
    """The names of the filters that an ffmpeg has."""
    done = subprocess.run(
        ffmpeg_command(binary, ['-hide_banner', '-filters'], 'error'),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return re.findall(r'^ *\S+ +(\w+) ', done.stdout.decode('utf-8', 'replace'), re.MULTILINE)
