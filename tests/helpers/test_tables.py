from helpers.tables import align_columns


def test_text_begins_and_numbers_end_below_each_other():
    assert align_columns([['class', 'IoU', ''], ['road', '100.00', '7'], ['a', '-', '12']]) == [
        'class     IoU',
        'road   100.00   7',
        'a           -  12',
    ]
    assert align_columns([['1', 'road', 'x'], ['10', 'sky', 'yy']], left=(1, 2)) == [' 1  road  x', '10  sky   yy']


def test_no_rows_are_no_lines():
    assert align_columns([]) == []
