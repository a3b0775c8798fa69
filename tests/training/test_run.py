import dataclasses
import json
import os

import pytest

import fcnn
from fcnn.training.run import write_atomically


@dataclasses.dataclass(frozen=True)
class Config:
    rate: float = 0.1
    seed: int = 0


def test_a_new_run_records_where_it_comes_from(tmp_path):
    folder = fcnn.open_run(tmp_path / "runs" / "one", Config(rate=0.2))
    record = json.loads((folder / "config.json").read_text())
    assert record["config"] == {"rate": 0.2, "seed": 0}
    assert record["versions"]["jax"]
    assert "pytest" in record["command"] or "python" in record["command"]
    assert "git_commit" in record


def test_a_run_is_not_overwritten_unasked(tmp_path):
    folder = fcnn.open_run(tmp_path / "one", Config())
    (folder / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(fcnn.InputError, match="holds a run.*--resume.*--overwrite"):
        fcnn.open_run(folder, Config())
    assert (folder / "metrics.jsonl").exists()
    fcnn.open_run(folder, Config(rate=0.3), overwrite=True)
    assert not (folder / "metrics.jsonl").exists()


def test_resuming_takes_the_same_config_only(tmp_path):
    folder = fcnn.open_run(tmp_path / "one", Config())
    assert fcnn.open_run(folder, Config(), resume=True) == folder
    with pytest.raises(fcnn.InputError, match=r"rate was 0.1, now 0.3"):
        fcnn.open_run(folder, Config(rate=0.3), resume=True)


def test_resuming_begins_a_run_where_there_is_none(tmp_path):
    assert (fcnn.open_run(tmp_path / "new", Config(), resume=True) / "config.json").exists()


def test_resume_and_overwrite_exclude_each_other(tmp_path):
    with pytest.raises(fcnn.InputError, match="exclude each other"):
        fcnn.open_run(tmp_path / "one", Config(), resume=True, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_something_else_is_left_alone(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(fcnn.InputError, match="holds no run"):
        fcnn.open_run(tmp_path, Config(), overwrite=overwrite)
    assert (tmp_path / "thesis.tex").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(fcnn.InputError, match="cannot be written") as error:
        fcnn.open_run(tmp_path / "file" / "run", Config())
    assert "\n" not in str(error.value)


def test_writing_leaves_the_old_file_where_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no room")))
    with pytest.raises(OSError, match="no room"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
