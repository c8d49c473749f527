"""The tutorial: what is saved in it, and what it computes when it is executed."""

import json
import os
import re

import pytest

nbformat = pytest.importorskip('nbformat')

NOTEBOOK = 'fcn8s_tutorial.ipynb'
MAX_BYTES = 3 * 1024 * 1024

# Whose directories and machines have no place in a saved page.
MACHINE_PATH = re.compile(r'/(?:tmp|home|root|Users|work|var|opt|usr)/|site-packages|[A-Z]:\\')

# Every score that the text quotes: where, what it is in the notebook's own names, and by how many points it may differ
# on another machine. Training differs; what is computed from the ground truth alone does not.
QUOTES = [
    (r'worth no more than a mean IoU of ([\d.]+) %', 'class_iou(val_labels, limits[32]).mean()', 0.5),
    (r'Stride 8 has room for\s([\d.]+) %', 'class_iou(val_labels, limits[8]).mean()', 0.5),
    (r'A mean IoU of ([\d.]+) %', "100 * result['mean_iou']", 4),
    (r'pixel accuracy of ([\d.]+) %', "100 * result['accuracy']", 3),
]
# The same for the answers to the exercises, whose code is executed behind the notebook.
ANSWERS = [
    (r'Mean IoU ([\d.]+) % without skips', "100 * without_skips['mean_iou']", 6),
    (r'([\d.]+) % with both', "100 * with_skips['mean_iou']", 6),
    (r'([\d.]+) % over the same classes', "100 * void_as_class['mean_iou']", 6),
    (r'([\d.]+) % with the scales of the paper', "100 * with_scales['mean_iou']", 6),
]


@pytest.fixture(scope='module')
def notebook(root_dir):
    return nbformat.read(os.path.join(root_dir, NOTEBOOK), as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == 'code']


def text_of(notebook):
    return '\n\n'.join(cell.source for cell in notebook.cells if cell.cell_type == 'markdown')


def texts_of_outputs(notebook):
    """Everything in the outputs that is text; base64 of pictures is not."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            yield output.get('text', '')
            for mime, content in output.get('data', {}).items():
                if mime.startswith('text/'):
                    yield re.sub(r'data:[\w/]+;base64,[A-Za-z0-9+/=]+', '', content)


def quoted(text, pattern):
    matches = re.findall(pattern, text)
    assert len(matches) == 1, '{!r} is found {} times'.format(pattern, len(matches))
    return float(matches[0])


def check_outputs(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != 'error', output
            assert output.get('name') != 'stderr', output['text']
    for text in texts_of_outputs(notebook):
        assert not MACHINE_PATH.search(text), text


def test_is_small(root_dir):
    assert os.path.getsize(os.path.join(root_dir, NOTEBOOK)) <= MAX_BYTES


def test_saved_outputs_hold_no_error_no_noise_and_no_path_of_a_machine(notebook):
    check_outputs(notebook)


def test_was_saved_after_one_run_from_top_to_bottom(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert notebook.metadata.kernelspec.name == 'python3'


def test_figures_and_a_video_are_saved(notebook):
    kinds = [mime for cell in code_cells(notebook) for output in cell.outputs for mime in output.get('data', {})]
    assert kinds.count('image/png') + kinds.count('image/jpeg') >= 15
    assert any(
        'data:video/mp4;base64,' in output.get('data', {}).get('text/html', '')
        for cell in code_cells(notebook)
        for output in cell.outputs
    )


def test_links_to_sections_lead_somewhere(notebook):
    text = text_of(notebook)
    titles = {title.strip().replace(' ', '-') for title in re.findall(r'^#+ (.*)$', text, re.MULTILINE)}
    targets = re.findall(r'\]\(#([^)]*)\)', text)
    assert len(targets) >= 14
    assert set(targets) <= titles


def test_every_score_in_the_text_is_compared(notebook):
    text = text_of(notebook)
    compared = [quoted(text, pattern) for pattern, _, _ in QUOTES + ANSWERS]
    assert {float(score) for score in re.findall(r'(\d+\.\d+) %', text)} == set(compared)


def test_scores_in_the_text_are_those_of_the_saved_outputs(notebook):
    text, outputs = text_of(notebook), '\n'.join(texts_of_outputs(notebook))
    for name, pattern in (('mean IoU', QUOTES[2][0]), ('pixel accuracy', QUOTES[3][0])):
        saved = float(re.search(r'^{} +([\d.]+)$'.format(name), outputs, re.MULTILINE).group(1))
        assert quoted(text, pattern) == pytest.approx(saved, abs=0.06)


def test_answers_are_folded(notebook):
    exercises = notebook.cells[-1].source
    assert exercises.count('<details>') == exercises.count('</details>') == 3
    for pattern, _, _ in ANSWERS:
        answers = ''.join(re.findall(r'<details>.*?</details>', exercises, re.DOTALL))
        assert re.search(pattern, answers)


@pytest.mark.slow
def test_executes_and_gives_the_scores_of_its_text(notebook, tmp_path):
    """The notebook, then the code of the exercises, then the expressions behind the quotes, all in one kernel."""
    nbclient = pytest.importorskip('nbclient')
    text = text_of(notebook)
    answers = re.findall(r'```python\n(.*?)```', notebook.cells[-1].source, re.DOTALL)
    quotes = QUOTES + ANSWERS
    scores = 'print(json.dumps([{}]))'.format(', '.join('float({})'.format(expression) for _, expression, _ in quotes))
    executed = nbformat.v4.new_notebook(
        cells=list(notebook.cells) + [nbformat.v4.new_code_cell(source) for source in answers + [scores]],
        metadata=notebook.metadata,
    )
    nbclient.NotebookClient(executed, timeout=3600, resources={'metadata': {'path': str(tmp_path)}}).execute()
    check_outputs(executed)
    assert len(nbformat.writes(executed)) <= MAX_BYTES
    assert os.listdir(str(tmp_path)) == ['tutorial']
    for (pattern, _, tolerance), score in zip(quotes, json.loads(executed.cells[-1].outputs[0]['text'])):
        assert quoted(text, pattern) == pytest.approx(score, abs=tolerance), pattern
