"""Reading metrics.jsonl."""

import pytest

from fcnn.errors import InputError
from fcnn.report import read_metrics


def test_rows_are_read_in_order(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "train_loss": 0.5}\n{"epoch": 2, "test_top1": 0.99}\n')

    assert read_metrics(tmp_path) == [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "test_top1": 0.99}]


@pytest.mark.parametrize("line", ['{"epoch": 2, "tra', "[1, 2]", '{"epoch": "two"}', '{"epoch": true}', ""])
def test_corrupt_line_is_named(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{{"epoch": 1}}\n{line}\n')

    with pytest.raises(InputError, match=r"metrics\.jsonl line 2 is corrupt") as raised:
        read_metrics(tmp_path)
    assert "\n" not in str(raised.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"metrics\.jsonl does not exist"):
        read_metrics(tmp_path)


def test_file_that_is_no_text(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(InputError, match="cannot be read"):
        read_metrics(tmp_path)
