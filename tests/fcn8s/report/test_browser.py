"""The report in a browser: no error, nothing fetched, and what can be clicked does what it says."""

import json
import re
import shutil
import subprocess
import time
from urllib.parse import unquote

import pytest
from made_up_evaluations import CONFIG, HOSTILE, SPACE, evaluated, record, scores
from thorough import ran_once

from fcn8s.report.pictures import not_counted_color
from fcn8s.report.run_report import write_report
from fcn8s.saving import runs
from helpers.color_vision import with_palette
from helpers.label_spaces import generic_label_space

pytestmark = ran_once
CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')

# Runs in the page after its own script, and writes what it found to the console, where the test waits for it: a page that is dumped
# after a given time may not have come to its end on a busy machine. (The page may not send anything anywhere: its policy forbids it.)
ACTIONS = """
<script>
const found = { errors: [] };
window.addEventListener('error', (event) => found.errors.push(event.message));
function column(table, number) { return Array.from(table.tBodies[0].rows, (row) => row.cells[number].textContent.trim()); }
const classes = document.querySelector('#classes table');
const headings = classes.querySelectorAll('th button');
headings[1].click(); found.byIou = column(classes, 1);
headings[1].click(); found.byIouAscending = column(classes, 1);
headings[0].click(); found.byName = column(classes, 0);
const slider = document.querySelector('#gallery input[type=range]');
const top_ = slider.parentElement.querySelector('.stack img + img');
const before = getComputedStyle(top_).clipPath;
found.bars = [slider.parentElement.querySelector('.stack i').hidden];
slider.value = 60; slider.dispatchEvent(new Event('input'));
found.clip = [before, getComputedStyle(top_).clipPath];
found.bars.push(slider.parentElement.querySelector('.stack i').hidden);
found.captions = Array.from(document.querySelector('#gallery .pictures').children, (e) => e.querySelector('figcaption').textContent);
found.worst = Array.from(document.querySelectorAll('#gallery h3'), (e) => e.textContent);
document.querySelector('#gallery-sides button[value=best]').click();
found.best = Array.from(document.querySelectorAll('#gallery h3'), (e) => e.textContent);
document.getElementById('gallery-class').value = '1';
document.getElementById('gallery-class').dispatchEvent(new Event('change'));
found.ofClass = document.querySelectorAll('#gallery .card').length;
const cell = document.querySelector('#matrix button[data-truth="0"][data-predicted="1"]');
cell.click();
found.cell = [cell.textContent, document.getElementById('cell-name').textContent, document.querySelectorAll('#cell-images .card').length];
found.dense = document.getElementById('matrix').classList.contains('dense');
found.doubts = document.querySelectorAll('#doubts .card .mark').length;
found.changed = document.querySelectorAll('#gained .card, #lost .card').length;
const truth = document.querySelectorAll('#gallery img')[1];
function pixelsOf(image) {
  const canvas = Object.assign(document.createElement('canvas'), { width: image.naturalWidth, height: image.naturalHeight });
  canvas.getContext('2d').drawImage(image, 0, 0);
  const values = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data, seen = new Set();
  for (let i = 0; i < values.length; i += 4) seen.add([values[i], values[i + 1], values[i + 2]].join());
  return Array.from(seen);
}
const swatch = document.querySelector('#classes .swatch'), button = document.getElementById('distinct');
const fixed = () => Array.from(document.querySelectorAll('.swatch.fixed'), (e) => getComputedStyle(e).backgroundColor);
found.swatches = [getComputedStyle(swatch).backgroundColor];
found.fixed = [fixed()];
const repainted = truth.decode().then(() => {
  found.own = pixelsOf(truth);
  button.click();
  found.swatches.push(getComputedStyle(swatch).backgroundColor);
  found.fixed.push(fixed());
  return new Promise((resolve) => truth.addEventListener('load', resolve, { once: true }));
}).then(() => truth.decode()).then(() => {
  found.distinct = pixelsOf(truth);
  button.click();
  found.swatches.push(getComputedStyle(swatch).backgroundColor);
});
found.wider = document.documentElement.scrollWidth - document.documentElement.clientWidth;
found.fetched = performance.getEntriesByType('resource').map((e) => e.name).filter((name) => !name.startsWith('data:'));
repainted.then(() => Promise.all(Array.from(document.images, (image) => image.decode().then(() => image.naturalWidth, () => 0)))).then((widths) => {
  found.widths = widths;
  console.info('ANSWER ' + encodeURIComponent(JSON.stringify(found)) + ' END');
});
</script>
"""


def browse(html, width, tmp_path):
    page, log = tmp_path / 'page.html', tmp_path / 'chromium.log'
    page.write_text(html.replace('</body>', ACTIONS + '</body>'), encoding='utf-8')
    command = [CHROMIUM, '--headless=new', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr', '--log-level=0']
    command += ['--user-data-dir={}'.format(tmp_path / 'profile'), '--window-size={},2000'.format(width), page.as_uri()]
    with log.open('w') as stderr:
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        return answer_in(log, browser)
    finally:
        browser.terminate()
        browser.wait(timeout=30)


def answer_in(log, browser, seconds=120):
    end, found = time.monotonic() + seconds, None
    while not found and time.monotonic() < end and browser.poll() is None:
        time.sleep(0.1)
        text = log.read_text(errors='replace')
        found = re.search('ANSWER ([^ ]*) END', text)
    assert found, text[-2000:]
    lines = [line for line in text.splitlines() if 'CONSOLE' in line and 'ANSWER' not in line]
    return json.loads(unquote(found.group(1))), lines


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium, which is Debian's package")
@pytest.mark.parametrize('width', [1280, 500])
def test_the_report_works_in_a_browser(width, tmp_path):
    run = runs.create_run(str(tmp_path / 'run'), CONFIG)
    for epoch in (record(10, 2.0, scores(0.25)), record(20, 1.0, scores(0.5))):
        runs.append_metrics(run, epoch)
    first, second = evaluated(), evaluated(seed=9)
    path = write_report(run.directory, first, second, command='fcn8s report run')
    with open(path, encoding='utf-8') as file:
        found, console = browse(file.read(), width, tmp_path)
    assert console == [] and found['errors'] == [] and found['fetched'] == []
    shares = [float(text.split()[0]) for text in found['byIou']]
    assert shares == sorted(shares, reverse=True)
    assert [float(text.split()[0]) for text in found['byIouAscending']] == shares[::-1]
    assert found['byName'] == [HOSTILE, '<sky>', 'road']
    assert '100%' in found['clip'][0] and '40%' in found['clip'][1]
    assert len(found['worst']) == 5 and found['best'] == found['worst'][::-1]
    assert found['ofClass'] > 0 and found['cell'][2] > 0 and 'road taken for <sky>' in found['cell'][1]
    assert found['doubts'] > 0 and found['changed'] > 0 and not found['dense']
    spaces = (SPACE, with_palette(SPACE, 'color-blind'))
    own, distinct = ({','.join(map(str, color)) for color in space.colors[:3]} for space in spaces)
    void = {','.join(map(str, not_counted_color(SPACE)))}
    assert set(found['own']) <= own | void and set(found['distinct']) <= distinct | void
    assert len(found['own']) == len(found['distinct']) > 2
    assert found['swatches'][0] == found['swatches'][2] != found['swatches'][1]
    assert found['fixed'][0] == found['fixed'][1] and len(found['fixed'][0]) == 3
    assert found['bars'] == [True, False]
    assert found['captions'][2:] == [
        'prediction, and the truth over it',
        'prediction of the other model',
        'wrong pixels',
    ]
    assert found['wider'] <= 0  # wide tables scroll in their own box
    assert len(found['widths']) > 20 and min(found['widths']) > 0


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium, which is Debian's package")
def test_few_classes_of_many_have_numbers_in_the_confusions(tmp_path):
    run = runs.create_run(str(tmp_path / 'run'), CONFIG)
    space = generic_label_space(45)
    path = write_report(run.directory, evaluated(space=space), evaluated(seed=9, space=space))
    with open(path, encoding='utf-8') as file:
        found, console = browse(file.read(), 1280, tmp_path)
    assert console == [] and not found['dense'] and float(found['cell'][0]) > 0
