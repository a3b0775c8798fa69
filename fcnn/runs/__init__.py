"""The folder of a run, read and written: settings, logs, checkpoints. It knows no network and no task."""

from typing import TYPE_CHECKING

from fcnn.lazy import lazy_exports

if TYPE_CHECKING:
    from fcnn.runs.checkpoints import load_checkpoint
    from fcnn.runs.settings import open_run, read_record, settle_run

__all__ = ["load_checkpoint", "open_run", "read_record", "settle_run"]

__getattr__, __dir__ = lazy_exports(__name__)
