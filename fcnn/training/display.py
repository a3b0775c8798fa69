"""What a person sees while a network trains."""

from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from fcnn.training.contracts import TaskContract
from fcnn.training.metrics import shown


class _ImagesPerSecond(ProgressColumn):
    def render(self, task):
        rate = (task.speed or 0) * task.fields["batch_size"]
        return Text(f"{rate:,.0f} img/s" if rate else "compiling")


class TrainingBar(Progress):
    """A progress bar over the steps of a run, with metrics, images a second and time left."""

    def __init__(self, console: Console | None, *, steps: int, done: int, epoch: int, batch_size: int):
        """Makes the bar, which is shown while its context is open.

        Args:
            console: where to print; None prints nothing.
            steps: number of steps of the whole run.
            done: how many of them are done.
            epoch: the epoch that begins or goes on, from 1.
            batch_size: images a step.
        """
        super().__init__(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.fields[metrics]}"),
            _ImagesPerSecond(),
            TimeRemainingColumn(),
            console=console or Console(quiet=True),
            transient=True,
        )
        self._run = self.add_task("train", total=steps, completed=done, epoch=epoch, batch_size=batch_size, metrics="")

    def show_steps(self, steps: int, text: str) -> None:
        """Moves the bar on by some steps, and shows their metrics.

        Args:
            steps: how many were done.
            text: their metrics.
        """
        self.update(self._run, advance=steps, metrics=f"{text} ")

    def show_epoch(self, epoch: int) -> None:
        """Shows the epoch that begins, from 1."""
        self.update(self._run, epoch=epoch)


def epoch_line(task: TaskContract | None, row: Mapping[str, float], epochs: int) -> str:
    """Returns a line about a finished epoch.

    Args:
        task: the task, which says what is shown; None shows everything.
        row: its row of the metrics.
        epochs: number of epochs of the run.
    """
    parts = [f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"]
    for split in ("train", "validation"):
        metrics = {name.removeprefix(f"{split}_"): row[name] for name in row if name.startswith(f"{split}_")}
        if metrics:
            parts.append(f"{split} {shown(task, metrics)}")
    parts.append(f"{row['images_per_second']:,.0f} img/s")
    return "  ".join(parts)
