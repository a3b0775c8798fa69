"""What a person sees while a network trains."""

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text


class _ImagesPerSecond(ProgressColumn):
    def render(self, task):
        rate = (task.speed or 0) * task.fields["batch_size"]
        return Text(f"{rate:,.0f} img/s" if rate else "compiling")


def progress_bar(console: Console) -> Progress:
    """Returns a progress bar over steps with loss, accuracy, images a second and time left."""
    return Progress(
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        TextColumn("{task.fields[metrics]}"),
        _ImagesPerSecond(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def epoch_line(row: dict[str, float], epochs: int) -> str:
    """Returns a line about a finished epoch.

    Args:
        row: its row of the metrics.
        epochs: number of epochs of the run.
    """
    parts = [f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"]
    parts.append(f"train loss {row['train_loss']:.4f} top-1 {row['train_top1']:.2%}")
    if "test_top1" in row:
        parts.append(f"test loss {row['test_loss']:.4f} top-1 {row['test_top1']:.2%}")
    parts.append(f"{row['images_per_second']:,.0f} img/s")
    return "  ".join(parts)
