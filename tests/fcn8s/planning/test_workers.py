"""What several workers gain, against sums that are written out."""

import math
import re

import pytest

from fcn8s import cli
from fcn8s.planning import plan
from fcn8s.planning.workers import (
    ExchangeFactors,
    epoch_steps,
    estimate_gain,
    exchange_seconds,
    format_gain,
    wire_bytes,
)


def simulated_ring(count, chunks):
    """Sends the chunks of a buffer around a ring until everybody has the sums; the bytes that the first one sends."""
    sent = 0
    for phase in ('reduce', 'gather'):
        for step in range(count - 1):
            sent += chunks[(0 - step + (phase == 'gather')) % count]
    return sent


@pytest.mark.parametrize('count', [2, 3, 4, 8])
def test_bytes_are_those_of_a_ring(count):
    assert wire_bytes(count, 1000.0 * count) == simulated_ring(count, [1000.0] * count)


def test_an_exchange_adds_up():
    factors = ExchangeFactors(wire=1.25, handling=2e-9, round=0.001)
    # 4 workers send 1.5 times the size: 150 MB, 1.2 Gbit, at 2 Gbit/s.
    expected = 1.25 * 0.6 + 150e6 * 2e-9 + 6 * 0.001
    assert exchange_seconds(4, 100e6, 2.0, factors) == pytest.approx(expected)
    assert exchange_seconds(4, 100e6, math.inf, factors) == pytest.approx(expected - 1.25 * 0.6)


def test_an_incomplete_step_belongs_to_the_next_epoch():
    assert [epoch_steps(images, 2, accumulate=4, workers=3) for images in (1, 24, 25, 42, 43, 48)] == [1, 1, 1, 1, 2, 2]


def test_gain_and_the_number_beyond_which_workers_do_not_pay():
    wire_alone = ExchangeFactors(1.0, 0.0, 0.0)
    gain = estimate_gain(2, 1.0, 125e6, 1.0, wire_alone)  # 1 Gbit sent in 1 s
    assert gain.exchange == pytest.approx(1.0) and gain.seconds == pytest.approx(2.0)
    assert gain.efficiency == pytest.approx(0.5)
    assert gain.most_workers == 2  # two do just as much as one; of three each does less than half
    assert estimate_gain(2, 0.99, 125e6, 1.0, wire_alone).most_workers == 1
    cheap = estimate_gain(2, 1.0, 125e4, 1.0, wire_alone)
    assert cheap.most_workers is None and cheap.efficiency == pytest.approx(1 / 1.01)
    gain = estimate_gain(4, 1.0, 1e6, 1.0, ExchangeFactors(0.0, 0.0, 0.01))
    assert gain.most_workers == 51  # 50 times two rounds of 0.01 s are as long as the step
    text = format_gain(gain, 4, 1.0, 2)
    assert '4 workers      1.06 s a step, of them 0.06 s for the gradients at 1 Gbit/s' in text
    assert 'together       7.55 images/s, efficiency 94 %' in text and 'up to {};'.format(gain.most_workers) in text


@pytest.mark.parametrize(
    'words, message',
    [
        (['--workers', '1', '--bandwidth', '1'], '--workers is 1; it has to be from 2 to 1024.'),
        (['--workers', '2'], '--bandwidth is None; it has to be a number above 0, in Gbit/s, for example 10.'),
        (['--workers', '2', '--bandwidth', '0'], '--bandwidth is 0.0; it has to be a number above 0'),
        (['--workers', '2', '--bandwidth', 'nan'], '--bandwidth is nan; it has to be'),
        (['--bandwidth', '1'], '--bandwidth came without --workers N, to which it belongs. Add that'),
        (['--workers', '2', '--bandwidth', '1', '--seconds', '0'], '--workers needs the seconds of a step'),
        (['--images', '5', '--seconds', '0'], '--images is for the time of an epoch, and --seconds 0 measures none'),
    ],
)
def test_plans_for_several_workers_refuse_what_does_not_go_together(words, message, capsys):
    assert cli.main(['plan', '--size', '32', '32', '--classes', '3'] + words) == 2
    assert message in capsys.readouterr().err


def test_the_command_prints_it(monkeypatch, capsys):
    monkeypatch.setattr(plan, 'measure_step_seconds', lambda *_: 2.0)
    words = ['plan', '--size', '32', '32', '--classes', '3', '--batch', '3', '--width-divisor', '16']
    assert cli.main(words + ['--workers', '4', '--bandwidth', '10', '--images', '2975']) == 0
    out = capsys.readouterr().out
    assert '4 workers      2' in out and 'efficiency 99 %' in out and 'workers pay    up to' in out
    # 2975 images, 12 a step: 248 steps, and one worker alone takes 992 of 2 s.
    assert '\nepoch          33.1 min for 2975 images' in out
    assert re.search(r'their epoch    8\.[2-9]\d? min for 2975 images', out)
