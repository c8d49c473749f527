"""Writes `report.html`: one self-contained page that shows a run and an evaluation of its model."""

import os
from typing import Any, Dict, Optional

from fcn8s.evaluation.bootstrap import NUM_RESAMPLES
from fcn8s.report.charts import Chart
from fcn8s.report.page import Evaluated, Recorded, page_context
from fcn8s.saving import runs
from fcn8s.saving.model_files import library_versions
from helpers.files import atomic_path


def write_report(
    run_dir: str,
    evaluated: Optional[Evaluated] = None,
    against: Optional[Evaluated] = None,
    path: Optional[str] = None,
    command: str = '',
    resamples: int = NUM_RESAMPLES,
    palette: str = 'dataset',
) -> str:
    """Writes the report of a run directory, or of a saved FCN-8s; returns its path.

    Args:
        run_dir: A run with the records for the curves; with `evaluated`, any model directory.
        evaluated: The evaluation that the report shows; None for only the curves and last scores of the training.
        against: An evaluation of another model on the same images.
        path: The file; None for `report.html` in `run_dir`.
        command: The command that was typed.
        resamples: Number of resamples of the bootstrap.
        palette: Colours for the classes of the training, 'dataset' or 'color-blind'; an evaluation has its own colours.

    Raises:
        FileNotFoundError: The directory holds no run, and there is no evaluation to show.
        ValueError: The records are damaged, or `path` is None and the `report.html` of the run is a link.
    """
    run = runs.Run(run_dir)
    if path is None:
        runs.check_report_is_no_link(run)
    recorded = None
    if os.path.isfile(run.config_path) or evaluated is None:
        recorded = read_records(run_dir)
    path = run.report_path if path is None else path
    title = os.path.basename(os.path.abspath(run_dir))
    page = render(page_context(title, recorded, evaluated, against, library_versions(), command, resamples, palette))
    with atomic_path(path) as temporary, open(temporary, 'w', encoding='utf-8', errors='replace') as file:
        file.write(page)
    return path


def read_records(run_dir: str) -> Recorded:
    """Reads what a report shows of a run; raises FileNotFoundError or ValueError where it is missing or damaged."""
    run = runs.open_run(run_dir)
    return Recorded(_config_of(run), runs.read_metrics(run))


def _config_of(run: runs.Run) -> Dict[str, Any]:
    """The settings of a run. Raises ValueError where the file lacks what the report shows."""
    config = runs.read_config(run)
    lacking = [name for name in ('model', 'versions') if not isinstance(config.get(name), dict)]
    if lacking:
        raise ValueError(
            '{} is damaged: it does not say {}. Give the directory that training wrote.'.format(
                run.config_path, ' and '.join(lacking)
            )
        )
    if config['model'].get('label_space') is not None and not _says_classes(config['model']['label_space']):
        raise ValueError(
            '{} is damaged: it does not say the names and colours of the classes. Give the directory that training '
            'wrote.'.format(run.config_path)
        )
    return config


def _says_classes(space: Any) -> bool:
    names, colors = (space.get('class_names'), space.get('colors')) if isinstance(space, dict) else (None, None)
    return isinstance(names, list) and isinstance(colors, list) and len(names) == len(colors)


def write_chart(path: str, chart: Chart) -> None:
    """Writes a chart as an SVG file."""
    with atomic_path(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
        file.write(_environment().get_template('chart.svg').render(alone=chart).strip() + '\n')


def render(context: Dict[str, Any]) -> str:
    """Returns the page; every name and value in it is escaped."""
    return _environment().get_template('report.html').render(context)


def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.join(os.path.dirname(__file__), 'templates')),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
