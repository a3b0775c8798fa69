"""The folder of a run, read and written: settings, logs, checkpoints. It knows no network and no task."""

from fcnn.runs.checkpoints import load_checkpoint
from fcnn.runs.settings import open_run, read_record, settle_run

__all__ = ["load_checkpoint", "open_run", "read_record", "settle_run"]
