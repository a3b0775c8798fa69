"""From a network's logits on a test set, and the run's folder, to what a report shows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Integer, UInt8

from fcnn.errors import InputError
from fcnn.report.feature_maps import FeatureMap
from fcnn.report.metrics import read_metrics
from fcnn.report.mistakes import Mistakes
from fcnn.report.predictions import Predictions
from fcnn.report.write import write_report


def report_run(
    folder: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    class_names: Sequence[str],
    images: UInt8[np.ndarray, "n height width channel"],
    labels: Integer[np.ndarray, " n"],
    logits: Float[np.ndarray, "n class"],
    kernels: Float[np.ndarray, "kernel_height kernel_width in_channel out_channel"] | None,
    feature_maps: Mapping[str, FeatureMap] | None,
    shown: int = 0,
    examined: str = "test images",
) -> Path:
    """Writes the report of a run into its folder, from its `metrics.jsonl`, its `config.json` and what is given here.

    Args:
        folder: the run's folder.
        title: the run's name.
        facts: what to know beside accuracy, duration, command and versions.
        class_names: names of the classes.
        images: the examples that were evaluated.
        labels: their classes.
        logits: what the network gives for them.
        kernels: the first layer's.
        feature_maps: the layers' outputs for the first image, by name, from first to last.
        shown: number of examples to show with their predictions, evenly spaced in the set.
        examined: what the examples are.

    Returns:
        The path of `report.html`.

    Raises:
        InputError: if the metrics cannot be read, the classes have too few names, or the folder cannot be written.
    """
    metrics = read_metrics(folder)
    rows = np.linspace(0, len(labels) - 1, min(shown, len(labels))).round().astype(int)
    config = folder / "config.json"
    record = json.loads(config.read_text()) if config.exists() else None
    if logits.shape[-1] != len(class_names):
        raise InputError(f"the network tells {logits.shape[-1]} classes apart, got the names of {len(class_names)}")
    predictions = logits.argmax(axis=-1)
    headline = {f"of {len(labels):,} {examined} right": f"{np.mean(predictions == labels):.2%}"}
    seconds = sum(row["seconds"] for row in metrics)
    speed = f"{metrics[-1]['images_per_second']:,.0f} images a second"
    return write_report(
        folder,
        title=title,
        facts={
            **headline,
            "Training": f"{len(metrics)} epochs in {seconds:.0f} s, {speed} in the last",
            **facts,
            **({} if record is None else _origin(record)),
        },
        metrics=metrics,
        class_names=class_names,
        confusion=confusion_matrix(labels, predictions, len(class_names)),
        predictions=Predictions(images[rows], labels[rows], logits[rows]),
        mistakes=find_mistakes(images, labels, logits),
        kernels=kernels,
        digit=images[0],
        feature_maps=feature_maps,
    )


def _origin(record: Mapping) -> dict[str, str]:
    """Returns what a run's `config.json` says of where it comes from."""
    return {
        "Command": record["command"],
        "Versions": ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
        "Git commit": record["git_commit"] or "not in a git checkout",
    }


def confusion_matrix(
    labels: Integer[np.ndarray, " n"], predictions: Integer[np.ndarray, " n"], num_classes: int
) -> Int[np.ndarray, "label prediction"]:
    """Returns how many examples of each class were taken for each class."""
    counts = np.bincount(labels.astype(np.int64) * num_classes + predictions, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def find_mistakes(
    images: UInt8[np.ndarray, "n height width channel"],
    labels: Integer[np.ndarray, " n"],
    logits: Float[np.ndarray, "n class"],
) -> Mistakes:
    """Returns the examples whose largest logit is not their label's, the most confident mistake first."""
    predictions = logits.argmax(axis=-1)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    confidence = 1 / exponentials.sum(axis=-1)
    wrong = np.flatnonzero(predictions != labels)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    return Mistakes(images[wrong], labels[wrong], predictions[wrong], confidence[wrong])
