"""From a classifier's logits on a set of examples, and the run's folder, to its report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Integer, UInt8

from fcnn.errors import InputError
from fcnn.report.classification.mistakes import Mistakes
from fcnn.report.classification.output import output_layer
from fcnn.report.classification.predictions import Predictions
from fcnn.report.classification.sections import confusion_section, mistakes_section, predictions_section
from fcnn.report.curves import LOSS, Panel
from fcnn.report.feature_maps import FeatureMap
from fcnn.report.page import Section
from fcnn.report.run import report_task

PANELS = (LOSS, Panel("Error", "top1", error=True, unit="%"))


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
    """Writes the report of a classifier into its folder, from `metrics.jsonl`, `config.json` and what is given here.

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
    if logits.shape[-1] != len(class_names):
        raise InputError(f"the network tells {logits.shape[-1]} classes apart, got the names of {len(class_names)}")
    accuracy = np.mean(logits.argmax(axis=-1) == labels)
    return report_task(
        folder,
        title=title,
        panels=PANELS,
        headline={f"of {len(labels):,} {examined} right": f"{accuracy:.2%}"},
        facts=facts,
        sections=classification_sections(class_names, images, labels, logits, shown=shown, examined=examined),
        kernels=kernels,
        example=images[0],
        feature_maps=feature_maps,
        layers=output_layer(feature_maps or {}, class_names),
        reading="The output shows each class's logit, and below it the probability, from 0.1 % up.",
        training="; where labels are mixed, against the class with the larger share",
    )


def classification_sections(
    class_names: Sequence[str],
    images: UInt8[np.ndarray, "n height width channel"],
    labels: Integer[np.ndarray, " n"],
    logits: Float[np.ndarray, "n class"],
    *,
    shown: int,
    examined: str,
) -> list[Section]:
    """Returns confusion matrix, some predictions and the mistakes; without those of which there are none.

    Args:
        class_names: names of the classes.
        images: the examples that were evaluated.
        labels: their classes.
        logits: what the network gives for them.
        shown: number of examples to show with their predictions, evenly spaced in the set.
        examined: what the examples are.
    """
    confusion = confusion_matrix(labels, logits.argmax(axis=-1), len(class_names))
    sections = [confusion_section(confusion, class_names)]
    rows = np.linspace(0, len(labels) - 1, min(shown, len(labels))).round().astype(int)
    if len(rows):
        predictions = Predictions(images[rows], labels[rows], logits[rows])
        sections.append(predictions_section(predictions, class_names, examined))
    mistakes = find_mistakes(images, labels, logits)
    if len(mistakes.labels):
        sections.append(mistakes_section(mistakes, len(labels), class_names, examined))
    return sections


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
