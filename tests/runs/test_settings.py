import dataclasses
import json
import os

import pytest

import fcnn
from fcnn.files import write_file
from fcnn.runs import settle_run


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
    write_file(path, "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no room")))
    with pytest.raises(OSError, match="no room"):
        write_file(path, "new")
    assert path.read_text() == "old"


def test_the_run_that_was_overwritten_comes_back_if_the_new_one_never_began(tmp_path):
    folder = fcnn.open_run(tmp_path / "one", Config())
    (folder / "metrics.jsonl").write_text("{}\n")
    fcnn.open_run(folder, Config(rate=0.3), overwrite=True)
    settle_run(folder)
    assert (folder / "metrics.jsonl").exists()
    assert json.loads((folder / "config.json").read_text())["config"]["rate"] == 0.1
    fcnn.open_run(folder, Config(rate=0.3), overwrite=True)
    (folder / "checkpoints" / "10").mkdir(parents=True)
    settle_run(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one"]
    assert not (folder / "metrics.jsonl").exists()


def test_a_run_that_never_began_leaves_no_folder(tmp_path):
    settle_run(fcnn.open_run(tmp_path / "one", Config()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", ["[]", "null", '{"model": "gpt"}', '{"config": null, "command": "", "versions": 0}']
)
@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_config_of_something_else_is_left_alone(tmp_path, content, how):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(fcnn.InputError, match="not the config of a run of fcnn"):
        fcnn.open_run(tmp_path, Config(), **how)
    assert (tmp_path / "config.json").read_text() == content


def test_runs_within_a_run_are_not_overwritten_with_it(tmp_path):
    fcnn.open_run(tmp_path, Config())
    fcnn.open_run(tmp_path / "seed_0", Config())
    with pytest.raises(fcnn.InputError, match="other runs too .seed_0."):
        fcnn.open_run(tmp_path, Config(), overwrite=True)
    assert (tmp_path / "seed_0" / "config.json").exists()


@pytest.mark.parametrize("unfinished", [".config.json.4711.5f0e", "config.json.tmp"])
def test_a_run_that_was_killed_before_it_had_a_config_begins(tmp_path, unfinished):
    (tmp_path / unfinished).write_text("{")
    assert (fcnn.open_run(tmp_path, Config(), resume=True) / "config.json").exists()


def test_a_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    fcnn.open_run(tmp_path / "runs", Config())
    fcnn.open_run(tmp_path / "runs", Config(rate=0.3), overwrite=True)
    assert (tmp_path / "runs").is_symlink()
    assert (tmp_path / "disk" / "config.json").exists()


def test_a_good_run_outlives_two_that_never_began(tmp_path):
    folder = fcnn.open_run(tmp_path / "one", Config())
    (folder / "metrics.jsonl").write_text("{}\n")
    for rate in (0.3, 0.4):  # killed: nobody settles
        fcnn.open_run(folder, Config(rate=rate), overwrite=True)
    settle_run(folder)
    assert (folder / "metrics.jsonl").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one"]
