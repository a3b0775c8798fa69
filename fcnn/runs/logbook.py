"""What a run keeps while it trains: its metrics, TensorBoard events and checkpoints, in its folder."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fcnn import parallel
from fcnn.runs.settings import cannot_write, write_metrics
from fcnn.runs.state import State, StateT

Rows = list[dict[str, float]]


class Progress(NamedTuple):
    """Where a run stands, beside its state.

    Attributes:
        rows: the metrics of each epoch that is over.
        sums: of the metrics over the steps of the epoch that has begun.
        seconds: of training in that epoch.
        steps_per_epoch: of the run; 0 before it is known.
    """

    rows: Rows
    sums: dict[str, float]
    seconds: float
    steps_per_epoch: int = 0


class Logbook(NamedTuple):
    """The books of a run; nothing is written where there is no folder.

    Attributes:
        folder: folder of the run.
        checkpoints: where the states are saved: Orbax's manager, or None.
        events: what TensorBoard reads, written by one process only: a `SummaryWriter`, or None.
    """

    folder: Path | None = None
    checkpoints: Any = None
    events: Any = None

    def record(self, rows: Rows) -> None:
        """Writes the metrics of all epochs, the last of which is new."""
        if self.folder is None or self.events is None:
            return
        write_metrics(self.folder, rows)
        for name, value in rows[-1].items():
            self.events.add_scalar(name, value, int(rows[-1]["step"]))

    def save(self, state: State, progress: Progress, score: float | None = None) -> None:
        """Saves a checkpoint; see `save_checkpoint`."""
        if self.checkpoints is not None:
            from fcnn.runs.checkpoints import save_checkpoint

            save_checkpoint(self.checkpoints, state, progress._asdict(), score)


@contextmanager
def open_logbook(run_folder: str | Path | None, state: StateT) -> Iterator[tuple[Logbook, StateT, Progress]]:
    """Yields the books of a run, and where it stands: at its last checkpoint, or at the beginning.

    Args:
        run_folder: folder of the run; None keeps no books.
        state: the state that a run begins with.

    Raises:
        InputError: if the checkpoint does not fit the state.
    """
    beginning = Progress([], {}, 0.0)
    if run_folder is None:
        yield Logbook(), state, beginning
        return
    # Only a run with a folder waits for the import of Orbax and TensorBoard.
    from tensorboardX import SummaryWriter

    from fcnn.runs.checkpoints import open_checkpoints, restore_checkpoint

    with ExitStack() as stack:
        try:
            Path(run_folder).mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=run_folder).close()
        except OSError as error:
            raise cannot_write(run_folder, error) from error
        checkpoints = stack.enter_context(open_checkpoints(Path(run_folder)))
        restored = restore_checkpoint(checkpoints, state)
        state, progress = (state, beginning) if restored is None else (restored[0], Progress(**restored[1]))
        events = None
        if parallel.is_main_process():
            # Events of steps that were taken after the checkpoint are taken again.
            events = stack.enter_context(SummaryWriter(str(run_folder), purge_step=int(state.step) or None))
        yield Logbook(Path(run_folder), checkpoints, events), state, progress
