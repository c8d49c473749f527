"""The tutorial: what is saved in it, and what it computes when it is executed."""

import importlib.util
import json
import os
import re
import shutil

import numpy as np
import pytest
from thorough import THOROUGH, ran_once

# Imported where it is needed: every process that shares the tests reads this file, and importing takes seconds.
pytestmark = pytest.mark.skipif(importlib.util.find_spec('nbformat') is None, reason='nbformat is not installed')

NOTEBOOK = 'fcn8s_tutorial.ipynb'
# Every cell runs, with the notebook's own switch for a short training unless the tests are thorough: these train as long
# as a reader does, and compare every score that the text quotes.
MAX_BYTES = 3 * 1024 * 1024
# What is only printed is of fewer images and steps, besides.
FEW_CELLS = ('((6 if QUICK else 24, train_data), (12, val_data))', '((2, train_data), (2, val_data))')
SHORTER = [
    ('QUICK = False', 'QUICK = True'),
    ('num_drive_frames=60', 'num_drive_frames=21'),
    FEW_CELLS,
]

# Whose directories and machines have no place in a saved page.
MACHINE_PATH = re.compile(r'/(?:tmp|home|root|Users|work|var|opt|usr)/|site-packages|[A-Z]:\\')

# Every score that the text quotes: where, what it is in the notebook's own names, and by how many points it may differ
# on another machine. Training differs; what is computed from the ground truth alone does not.
QUOTES = [
    (r'reach a mean IoU of only ([\d.]+) %', 'np.nanmean(class_iou(some_labels, fitted[32]))', 0.5),
    (r'At stride 8\sit is ([\d.]+) %', 'np.nanmean(class_iou(some_labels, fitted[8]))', 0.5),
    (r'A mean IoU of ([\d.]+) %', "100 * result['mean_iou']", 4),
    (r'pixel accuracy of ([\d.]+) %', "100 * result['accuracy']", 3),
]
# The same for the answers to the exercises, whose code is executed behind the notebook.
ANSWERS = [
    (r'FCN-32s \|.*\| ([\d.]+) %', "mean_of(order['32s'])", 3),
    (r'FCN-16s \|.*\| ([\d.]+) %', "mean_of(order['16s'])", 3),
    (r'FCN-8s \|.*\| ([\d.]+) %', "mean_of(order['8s'])", 3),
    (r'([\d.]+) % over the same classes', 'mean_of(void_as_class)', 3),
    (r'([\d.]+) % with the scales of the paper', 'mean_of(with_scales)', 3),
]


@pytest.fixture(scope='module')
def notebook(root_dir):
    import nbformat

    return nbformat.read(os.path.join(root_dir, NOTEBOOK), as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == 'code']


def text_of(notebook):
    return '\n\n'.join(cell.source for cell in notebook.cells if cell.cell_type == 'markdown')


def exercises_of(notebook):
    text = text_of(notebook)
    return text[text.index('## Exercises') : text.index('## For teachers')]


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
        saved = float(re.search(r'^{} +([\d.]+) %$'.format(name), outputs, re.MULTILINE).group(1))
        assert quoted(text, pattern) == pytest.approx(saved, abs=0.06)


def test_every_picture_says_what_it_shows(notebook):
    pictures = [
        output
        for cell in code_cells(notebook)
        for output in cell.outputs
        if {'image/png', 'image/jpeg'} & set(output.get('data', {}))
    ]
    for output in pictures:
        (mime,) = [mime for mime in output.data if mime.startswith('image/')]
        assert len(output.metadata[mime]['alt']) > 10
        assert output.data['text/plain'] == output.metadata[mime]['alt']  # not the size of a figure


def test_every_section_is_there_and_questions_are_folded(notebook):
    text = text_of(notebook)
    assert [int(number) for number in re.findall(r'^## (\d+)\.', text, re.MULTILINE)] == list(range(1, 13))
    assert re.findall(r'^## (\D.*)', text, re.MULTILINE) == ['Exercises', 'For teachers']
    teachers = notebook.cells[-1].source
    assert teachers.count('<details>') == teachers.count('</details>') == 10
    assert "pip install '.[tutorial]'" in code_cells(notebook)[0].source


def checker(notebook):
    """The function of the notebook that corrects answers."""
    namespace = {'np': np}
    (source,) = [cell.source for cell in code_cells(notebook) if cell.source.startswith('def check(')]
    exec(source, namespace)
    return namespace['check']


def right_iou(matrix, c):
    return matrix[c, c] / (matrix[c].sum() + matrix[:, c].sum() - matrix[c, c])


def right_cross_entropy(scores, c):
    return np.log(np.exp(scores).sum()) - scores[c]


@pytest.mark.parametrize(
    'exercise, answer',
    [
        ('iou', right_iou),
        ('cross-entropy', right_cross_entropy),
        ('sizes', [(4, 10), (7, 19), (13, 38)]),
    ],
)
def test_the_checker_takes_right_answers(notebook, exercise, answer):
    assert checker(notebook)(exercise, answer) == 'right'


@pytest.mark.parametrize(
    'exercise, answer',
    [
        ('iou', lambda matrix, c: matrix[c, c] / matrix[c].sum()),  # recall
        ('iou', lambda matrix, c: matrix[c, c] / matrix[:, c].sum()),  # precision
        ('iou', lambda matrix, c: matrix[c, c] / (matrix[c].sum() + matrix[:, c].sum())),  # the middle counted twice
        ('iou', lambda matrix, c: 2 * matrix[c, c] / (matrix[c].sum() + matrix[:, c].sum())),  # Dice
        ('iou', lambda matrix, c: 100 * right_iou(matrix, c)),
        ('iou', lambda matrix, c: np.diag(matrix).sum() / matrix.sum()),  # accuracy
        ('cross-entropy', lambda scores, c: -scores[c]),
        ('cross-entropy', lambda scores, c: -np.log(scores.clip(0.001)[c] / scores.clip(0.001).sum())),
        ('cross-entropy', lambda scores, c: -right_cross_entropy(scores, c)),
        ('cross-entropy', lambda scores, c: right_cross_entropy(scores, c) / np.log(2)),  # bits
        ('cross-entropy', lambda scores, c: right_cross_entropy(scores, 0)),
        ('sizes', [(3, 9), (6, 18), (12, 37)]),  # rounded down
        ('sizes', [(13, 38), (7, 19), (4, 10)]),  # the other order
        ('sizes', [(10, 4), (19, 7), (38, 13)]),  # width first
    ],
)
def test_the_checker_kills_wrong_answers(notebook, exercise, answer):
    assert checker(notebook)(exercise, answer).startswith('not yet')


def test_answers_are_folded(notebook):
    exercises = exercises_of(notebook)
    assert exercises.count('<details>') == exercises.count('</details>') == 4
    for pattern, _, _ in ANSWERS:
        answers = ''.join(re.findall(r'<details>.*?</details>', exercises, re.DOTALL))
        assert re.search(pattern, answers)


def changed(notebook, changes):
    """A copy of the cells in which texts of the code are others: (old, new) texts, each of which is in one cell."""
    import nbformat

    cells = [nbformat.from_dict(dict(cell)) for cell in notebook.cells]
    for old, new in changes:
        (cell,) = [cell for cell in cells if cell.cell_type == 'code' and old in cell.source]
        cell.source = cell.source.replace(old, new)
    return cells


@pytest.mark.slow
def test_executes_and_gives_the_scores_of_its_text(notebook, tmp_path):
    """The notebook, then the code of the exercises, then the expressions behind the quotes, all in one kernel."""
    nbclient = pytest.importorskip('nbclient')
    import nbformat

    cells = changed(notebook, [] if THOROUGH else SHORTER)
    text = text_of(notebook)
    answers = re.findall(r'```python\n(.*?)```', exercises_of(notebook), re.DOTALL)
    quotes = QUOTES + ANSWERS
    mean_of = "mean_of = lambda results: 100 * np.mean([result['mean_iou'] for result in results])"
    scores = 'print(json.dumps([{}]))'.format(', '.join('float({})'.format(expression) for _, expression, _ in quotes))
    executed = nbformat.v4.new_notebook(
        cells=cells + [nbformat.v4.new_code_cell(source) for source in answers + [mean_of, scores]],
        metadata=notebook.metadata,
    )
    nbclient.NotebookClient(executed, timeout=3600, resources={'metadata': {'path': str(tmp_path)}}).execute()
    check_outputs(executed)
    assert len(nbformat.writes(executed)) <= MAX_BYTES
    assert os.listdir(str(tmp_path)) == ['tutorial']
    found = json.loads(executed.cells[-1].outputs[0]['text'])
    in_order = found[len(QUOTES) :][:3]  # 32s, 16s, 8s
    assert not THOROUGH or sorted(set(in_order)) == in_order
    for (pattern, _, tolerance), score in zip(quotes, found):
        if THOROUGH or tolerance < 1:  # computed from the ground truth alone
            assert quoted(text, pattern) == pytest.approx(score, abs=tolerance), pattern
        else:  # one class everywhere has at most a mean IoU of 5 %
            assert 8 < score < quoted(text, pattern) + tolerance, pattern


@ran_once
@pytest.mark.slow
def test_the_cell_for_cityscapes_runs_on_a_miniature_that_lacks_a_class_in_val(notebook, tmp_path, tiny_encoder):
    """Val has no car, no score becomes NaN, and every cell up to the exercises runs."""
    from data_generator.street_scenes import write_dataset
    from helpers.images import read_labels, write_labels

    nbclient = pytest.importorskip('nbclient')
    import nbformat

    root = str(tmp_path / 'cityscapes')
    write_dataset(root, 6, 3, 4, (64, 128))
    for folder, _, names in os.walk(os.path.join(root, 'gtFine', 'val')):
        for name in names:
            labels = read_labels(os.path.join(folder, name))
            write_labels(os.path.join(folder, name), np.where(labels == 26, 0, labels).astype(np.uint8))
    shutil.copytree(tiny_encoder, str(tmp_path / 'VGG16'))
    os.renames(
        os.path.join(root, 'drive', 'leftImg8bit'), os.path.join(root, 'leftImg8bit', 'demoVideo', 'stuttgart_00')
    )
    of_miniature = [
        ('CITYSCAPES_ROOT = None', 'CITYSCAPES_ROOT = {!r}'.format(root)),
        ('(512, 1024), 2, 1487, 30', '(64, 128), 2, 3, 4'),
        ('SMALL_STEPS = 300', 'SMALL_STEPS = 3'),
        FEW_CELLS,
    ]
    cells = changed(notebook, of_miniature)
    mean = "print('mean', np.isfinite(100 * result['mean_iou']), sorted(void_scores.values()), near_edges[-1])"
    executed = nbformat.v4.new_notebook(cells=cells + [nbformat.v4.new_code_cell(mean)], metadata=notebook.metadata)
    nbclient.NotebookClient(executed, timeout=3600, resources={'metadata': {'path': str(tmp_path)}}).execute()
    printed = '\n'.join(texts_of_outputs(executed))
    assert 'mean True' in printed and 'nan' not in printed.split('mean True')[1]
    assert 'nan' not in re.sub(r'[a-z]nan|nan[a-z]', '', printed.split('Scores on')[0])
