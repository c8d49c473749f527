"""Makes the tables and plots of benchmarks/README.md from the results of benchmarks/run.py.

    python benchmarks/tables.py results.json [results-OTHER.json ...] [--readme benchmarks/README.md]

What stands between the two marks in the README is replaced, by a section for each file, which is that of a machine.
Plots are SVG files in a folder `plots` beside it; those of `results-OTHER.json` are called `...-OTHER.svg`. A cell has
the median, with least and most in brackets, and what it is of this library's median.
"""

import argparse
import functools
import os
import sys

from suite.results import ResultsError, read

BEGIN, END = '<!-- figures: made by tables.py -->', '<!-- end of figures -->'
OURS = 'fcn8s'
# The candidate to which ratios refer, if it is not this library.
BASES = {'evaluation': 'prediction', 'generator': 'decoding alone', 'video': 'frames in memory'}
UNITS = {
    'prediction': 'seconds an image',
    'training': 'seconds an image, of a step of Adam',
    'evaluation': 'seconds an image',
    'generator': 'seconds a pair',
    'video': 'seconds a frame',
    'start-up': 'seconds of a whole process',
    'growth': 'seconds an image, or until the first batch',
}
# Axes of the plots of growth: across, a number from the settings of a case; upwards, seconds.
ALONG = {
    'area': ('pixels of an image', lambda settings: settings['size'][0] * settings['size'][1], 'seconds an image'),
    'batch': ('images of a batch', lambda settings: settings['batch'], 'seconds an image'),
    'classes': ('classes', lambda settings: settings['classes'], 'seconds an image'),
    'dataset': ('pairs of the dataset', lambda settings: settings['pairs'], 'seconds until the first batch'),
}


def in_words(settings):
    """The settings of a case, without the usual ones."""
    usual = {'classes': 20, 'width_divisor': 1}
    words = ['{}x{}'.format(*settings['size'])] if 'size' in settings else []
    for name, value in settings.items():
        if name in ('what', 'along', 'precision'):
            words.append(str(value))
        elif name != 'size' and usual.get(name) != value:
            words.append('{} {}'.format(name.replace('_', ' '), value))
    return ', '.join(words)


def in_order(part, cases):
    """The cases of a part, the smaller ones first; a file has them in the order in which they were measured."""

    def place(case):
        settings = case['settings']
        if part == 'growth':
            return list(ALONG).index(settings['along']), ALONG[settings['along']][1](settings), settings['what']
        return settings['size'], settings.get('precision') != 'float32', settings['batch']

    return sorted(cases, key=place) if part in ('growth', 'prediction', 'training') else cases


def number(value):
    """Formats a number with three digits, without an exponent."""
    return '{:.3f}'.format(value) if value >= 0.1 else '{:.5f}'.format(value)


def cell(numbers):
    """The median, with least and most if there were several rounds."""
    if numbers['min'] == numbers['max']:
        return number(numbers['median'])
    return '{} ({} to {})'.format(*(number(numbers[name]) for name in ('median', 'min', 'max')))


def rows_of_case(case):
    """One row per candidate."""
    base = case['candidates'].get(BASES.get(case['part'], OURS), {}).get('seconds')
    for name, metrics in case['candidates'].items():
        words = [in_words(case['settings']), name]
        if 'error' in metrics:
            yield words + ['failed', '', '', '']
            continue
        ratio = number(metrics['seconds']['median'] / base['median']) if base else ''
        others = [number(metrics[key]['median']) if key in metrics else '' for key in ('cpu_seconds', 'peak_gb')]
        yield words + [cell(metrics['seconds']), ratio] + others


def table(header, rows):
    lines = ['| {} |'.format(' | '.join(header)), '|{}'.format(' --- |' * len(header))]
    return '\n'.join(lines + ['| {} |'.format(' | '.join(row)) for row in rows])


def table_of_part(part, cases):
    header = ['what', 'candidate', UNITS[part], 'of ' + BASES.get(part, OURS), 'of all CPUs', 'peak GB']
    return table(header, [row for case in cases for row in rows_of_case(case)])


def table_of_limits(cases):
    header = ['what', 'G multiply-adds/s', 'GB/s', 'prediction at that rate, s', 'step at that rate, s']
    rows = []
    for case in cases:
        found = {name: numbers['median'] for name, numbers in case['candidates']['machine'].items()}
        rows.append(
            [
                in_words(case['settings']),
                '{:.0f}'.format(found['multiply_adds_per_s'] / 1e9),
                '{:.1f}'.format(found['bytes_per_s'] / 1e9),
                number(max(found['predict_floor_s_per_image'], found['predict_bytes_s_per_image'])),
                number(max(found['train_floor_s_per_image'], found['train_bytes_s_per_image'])),
            ]
        )
    return table(header, rows)


def machine_in_words(content, cases):
    machine = content['machine']
    loads = [load for case in cases for load in case['load']]
    lines = [
        '{cores} cores, {memory_gb} GB; {system}.'.format(**machine),
        'Flags: {}.'.format(' '.join(machine['flags'])),
        'Load average before and after the cases: {} to {}.'.format(min(loads), max(loads)),
        'Commits: {}.'.format(', '.join(sorted({str(case['commit']) for case in cases}))),
    ]
    for environment, versions in sorted(content['versions'].items()):
        lines.append('{}: {}.'.format(environment, ', '.join(' '.join(item) for item in sorted(versions.items()))))
    return '\n'.join('- ' + line for line in lines)


def draw_bars(cases, path, title):
    """Draws the medians of a part as bars, with black lines from least to most."""
    figure, axes = _new_figure(len(cases), (8, 0.6 + 1.9 * len(cases)))
    for axis, case in zip(axes[:, 0], cases):
        shown = {name: one['seconds'] for name, one in case['candidates'].items() if 'seconds' in one}
        medians = [one['median'] for one in shown.values()]
        errors = [
            [one['median'] - one['min'] for one in shown.values()],
            [one['max'] - one['median'] for one in shown.values()],
        ]
        colors = ['#2f6f9f' if name.startswith(OURS) else '#b8c4ce' for name in shown]
        axis.barh(range(len(shown)), medians, xerr=errors, color=colors)
        axis.set_yticks(range(len(shown)), list(shown))
        axis.invert_yaxis()
        axis.set_title(in_words(case['settings']), fontsize=9)
    axes[-1, 0].set_xlabel('{}; black lines: from least to most'.format(title), fontsize=9)
    _save(figure, path)


def draw_growth(cases, along, path):
    """Draws seconds against what grows, one line per candidate, on logarithmic axes."""
    label, value_of, seconds = ALONG[along]
    figure, ((axis,),) = _new_figure(1, (6, 4))
    lines = {}
    for case in cases:
        for name, one in case['candidates'].items():
            if 'seconds' in one:
                point = value_of(case['settings']), one['seconds']['median']
                lines.setdefault((case['settings']['what'], name), []).append(point)
    for (what, name), points in lines.items():
        # Dashes as well, because not everybody can tell the colours apart.
        style = 'o-' if name.startswith(OURS) else 's--'
        axis.loglog(*zip(*sorted(points)), style, label='{}, {}'.format(what, name))
    axis.set_xlabel(label)
    axis.set_ylabel(seconds)
    axis.set_title(in_words(in_common(cases)), fontsize=9)
    axis.legend(fontsize=8)
    _save(figure, path)


def in_common(cases):
    """The settings that are those of all cases."""
    settings = [case['settings'] for case in cases]
    return {
        name: value
        for name, value in settings[0].items()
        if name != 'along' and all(other.get(name) == value for other in settings)
    }


def _new_figure(rows, size):
    """(figure, axes), for drawing into a file only."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    return pyplot.subplots(rows, 1, figsize=size, squeeze=False)


def _save(figure, path):
    """Saves a plot without a date and with fixed ids, so that the same figures make the same file."""
    from matplotlib import pyplot, rc_context

    figure.tight_layout()
    with rc_context({'svg.hashsalt': OURS}):
        figure.savefig(path, metadata={'Date': None})
    pyplot.close(figure)


def figures(content, folder, suffix=''):
    """The Markdown of a results file; writes its plots, with names that end with `suffix`, into `folder`."""
    cases = content['cases']
    if not cases:
        raise ResultsError('The results file has no cases yet; run benchmarks/run.py first.')
    os.makedirs(folder, exist_ok=True)
    text = ['### ' + content['machine']['processor'], machine_in_words(content, cases)]

    def plot(name, draw, seen):
        file_name = '{}{}.svg'.format(name, suffix)
        draw(os.path.join(folder, file_name))
        text.append('![{}](plots/{})'.format(seen, file_name))

    for part in ['limits'] + list(UNITS):
        found = in_order(part, [case for case in cases if case['part'] == part])
        if not found:
            continue
        text += [
            '#### {}'.format(part.capitalize()),
            table_of_limits(found) if part == 'limits' else table_of_part(part, found),
        ]
        if part in ('prediction', 'training'):
            seen = '{}: the medians of the table above as bars, {}; those of {} are blue, the others grey'
            bars = functools.partial(draw_bars, found, title=UNITS[part])
            plot(part, bars, seen.format(part.capitalize(), UNITS[part], OURS))
        for along in ALONG if part == 'growth' else ():
            grown = [case for case in found if case['settings']['along'] == along]
            if grown:
                seen = 'How {} grow with the {}: the medians of the table above as lines, both axes logarithmic'
                label, _, seconds = ALONG[along]
                plot('growth-' + along, functools.partial(draw_growth, grown, along), seen.format(seconds, label))
    return '\n\n'.join(text)


def suffix_of(path):
    """The part of a results file's name from the first hyphen: '-zen4' for results-zen4.json, '' for results.json."""
    _, hyphen, label = os.path.splitext(os.path.basename(path))[0].partition('-')
    return hyphen + label


def put_into(readme, text):
    """Replaces the text between the marks of a file."""
    with open(readme, encoding='utf-8') as file:
        old = file.read()
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        raise ResultsError('{} has to have the lines {!r} and {!r}, once and in this order.'.format(readme, BEGIN, END))
    before, after = old.split(BEGIN)[0], old.split(END)[1]
    beside = '{}.{}.partial'.format(readme, os.getpid())
    with open(beside, 'w', encoding='utf-8') as file:
        file.write('{}{}\n\n{}\n\n{}{}'.format(before, BEGIN, text, END, after))
    os.replace(beside, readme)


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', nargs='+', metavar='RESULTS.json')
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument('--readme', default=os.path.join(here, 'README.md'), metavar='FILE')
    args = parser.parse_args(words)
    try:
        if not os.path.isfile(args.readme):
            raise ResultsError('--readme is {}; there is no such file.'.format(args.readme))
        folder = os.path.join(os.path.dirname(os.path.abspath(args.readme)), 'plots')
        suffixes = [suffix_of(path) for path in args.results]
        if len(set(suffixes)) < len(suffixes):
            raise ResultsError(
                'The files {} would write the same plots. Call them results.json, results-NAME.json and so on.'.format(
                    ', '.join(args.results)
                )
            )
        sections = [figures(read(path), folder, suffix) for path, suffix in zip(args.results, suffixes)]
        put_into(args.readme, '\n\n'.join(sections))
    except ResultsError as error:
        sys.exit(str(error))


if __name__ == '__main__':
    main()
