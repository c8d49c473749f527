import os
import shutil

import pytest

from helpers.tables import (
    align_columns,
    columns_of,
    cut_end,
    cut_start,
    fit_names,
    one_line,
    screen_columns,
    spreadsheet_text,
)


def test_text_begins_and_numbers_end_below_each_other():
    assert align_columns([['class', 'IoU', ''], ['road', '100.00', '7'], ['a', '-', '12']]) == [
        'class     IoU',
        'road   100.00   7',
        'a           -  12',
    ]
    assert align_columns([['1', 'road', 'x'], ['10', 'sky', 'yy']], left=(1, 2)) == [' 1  road  x', '10  sky   yy']


def test_names_stay_in_their_line():
    assert one_line('a\nb\tc\x1b[31m \u3000\u9053\udcff') == 'a\\x0ab\\x09c\x1b[31m \u3000\u9053\udcff'
    assert align_columns([['a\nb', '1'], ['c', '22']]) == ['a\\x0ab   1', 'c       22']


def test_no_rows_are_no_lines():
    assert align_columns([]) == []


def test_wide_characters_take_two_columns_and_accents_none():
    assert [columns_of(text) for text in ('road', '\u9053\u8def', 'a\u0301', '')] == [4, 4, 1, 0]
    assert align_columns([['\u9053\u8def', '1'], ['sky', '2']]) == ['\u9053\u8def  1', 'sky   2']


def test_texts_are_cut_to_columns():
    assert (cut_end('abcdef', 6), cut_end('abcdefg', 6), cut_start('abcdefg', 6)) == ('abcdef', 'abc...', '...efg')
    assert cut_end('\u9053\u8def\u6a39', 6) == '\u9053\u8def\u6a39'
    assert (cut_end('\u9053\u8def\u6a39', 5), cut_start('\u9053\u8def\u6a39', 5)) == ('\u9053...', '...\u6a39')


def test_names_are_cut_so_that_lines_fit_into_the_screen():
    rows = [['1', 40 * 'ab', '2.5'], ['2', 'sky', '10']]
    lines = align_columns(fit_names(rows, 1, 40), left=(1,))
    assert lines == ['1  {}...  2.5'.format(14 * 'ab' + 'a'), '2  sky' + 32 * ' ' + '10'.rjust(2)]
    assert {len(line) for line in lines} == {40}
    assert fit_names([['a' * 20, '1' * 90]], 0) == [['a' * 13 + '...', '1' * 90]]  # a name is still one


def test_formulas_are_text_in_a_spreadsheet():
    formulas = ['=1+1', '+1', '-1', '@sum(a1)', '\t=1', '\r=1']
    assert [spreadsheet_text(text) for text in formulas] == ["'" + text for text in formulas]
    assert [spreadsheet_text(text) for text in ('road', "'=1", '1=1', '')] == ['road', "'=1", '1=1', '']


@pytest.mark.parametrize('terminal, columns', [(60, 60), (200, 80), (0, 80)])
def test_tables_fit_the_terminal_and_at_most_80_columns(terminal, columns, monkeypatch):
    monkeypatch.setattr(shutil, 'get_terminal_size', lambda: os.terminal_size((terminal, 24)))
    assert screen_columns() == columns
