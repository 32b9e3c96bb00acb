"""attributes.csv: words as they stand there, and one sentence for each way in which the table can be wrong."""

import os

import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.attributes import read_attributes


def save(folder, content):
    path = folder / "attributes.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_words_by_identity(tmp_path):
    text = 'identity,shoes,hair\n1,red,"long, blond\n hair"\n\n 2 ,blue,\n3,,\n'
    expected = {1: {"shoes": "red", "hair": "long, blond hair"}, 2: {"shoes": "blue"}, 3: {}}
    assert read_attributes(save(tmp_path, text)) == expected
    spreadsheet = "\ufeff" + text.replace("\n", "\r\n")
    assert read_attributes(save(tmp_path, spreadsheet)) == expected


def test_a_line_separator_inside_a_cell_ends_no_line(tmp_path):
    assert read_attributes(save(tmp_path, "identity,shoes\n1,red\u2028ones\n")) == {1: {"shoes": "red ones"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "first line .* one of them identity"),
        ("person,shoes\n1,red\n", "'person,shoes'.* one of them identity"),
        ("identity,shoes,shoes\n1,red,blue\n", "each column once"),
        ("identity,identity\n1,2\n", "each column once"),
        ("identity,shoes\nx,red\n", "Line 2 .*'x' in the column identity"),
        ("identity,shoes\n1.5,red\n", "Line 2 .*'1.5'"),
        ("identity,shoes\n-1,red\n", "Line 2 .*'-1'"),
        ("identity,shoes\n1,red\n,red\n", "Line 3 .*'' in the column identity"),
        (f"identity\n{'9' * 5000}\n", "Line 2 .*no whole number"),
        (f"identity\n{1 << 63}\n", "Line 2 .*no whole number"),
        ("identity,shoes\n1,red, or blue\n", "Line 2 .* 3 cells and the first line 2"),
        ("identity,shoes\n1,red\n1,blue\n", "Line 3 .* second one of identity 1"),
        (f"identity,shoes\n1,{'r' * 200_000}\n", "Line 2 .*field larger"),
        ('identity,shoes\n1,"red\n', "can't be read as CSV"),
        (b"identity,shoes\n1,r\xffd\n", "no UTF-8 at byte 18"),
        ("identity,shoes\n\x1b[31m,red\n", "Line 2"),
    ],
)
def test_a_table_that_is_wrong(tmp_path, content, message):
    with pytest.raises(UsageError, match=message) as error:
        read_attributes(save(tmp_path, content))
    assert str(error.value).isprintable()


def test_no_table_and_a_pipe(tmp_path):
    with pytest.raises(UsageError, match=r"absent\.csv.*Choose another"):
        read_attributes(tmp_path / "absent.csv", "Choose another.")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UsageError, match="no plain file"):
        read_attributes(tmp_path / "pipe.csv")
