"""The report of a run of any task, from its folder: what all have, around the sections that are a task's own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, UInt8

from fcnn.report.curves import Panel
from fcnn.report.feature_maps import DrawLayer, FeatureMap
from fcnn.report.metrics import METRICS, read_metrics
from fcnn.report.page import Section
from fcnn.report.sections import curves_section, feature_maps_section, kernels_section
from fcnn.report.write import write_report


def report_task(
    folder: Path,
    *,
    title: str,
    panels: Sequence[Panel],
    headline: Mapping[str, str] = MappingProxyType({}),
    facts: Mapping[str, str] = MappingProxyType({}),
    sections: Sequence[Section] = (),
    kernels: Float[np.ndarray, "kernel_height kernel_width in_channel out_channel"] | None = None,
    example: UInt8[np.ndarray, "height width channel"] | None = None,
    feature_maps: Mapping[str, FeatureMap] | None = None,
    layers: Mapping[str, DrawLayer] = MappingProxyType({}),
    reading: str = "",
    training: str = "",
) -> Path:
    """Writes the report of a run into its folder, from its `metrics.jsonl`, its `config.json` and what is given here.

    What is None or empty is left out. A task that the library does not know needs its `panels` and no more: those of
    `metric_panels("-mean_angle_error")`, say.

    Args:
        folder: the run's folder.
        title: the run's name.
        panels: what the learning curves show.
        headline: what the run reached, as {of what: value}; without it, the last panel's last value.
        facts: what to know beside headline, duration, command and versions.
        sections: the task's own, between the curves and the kernels.
        kernels: the first layer's.
        example: the image of the feature maps.
        feature_maps: the layers' outputs for `example`, by name, from first to last.
        layers: what draws a layer in the task's own way; see `draw_feature_maps`.
        reading: a sentence on how to read those.
        training: half a sentence that says more of how training numbers are measured.

    Returns:
        The path of `report.html`.

    Raises:
        InputError: if the metrics cannot be read or the folder cannot be written.
    """
    # A network that is only evaluated has not written any.
    metrics = read_metrics(folder) if (folder / METRICS).exists() else []
    drawn = [curves_section(metrics, panels, training)] if metrics else []
    drawn += sections
    if kernels is not None and kernels.size:
        drawn.append(kernels_section(kernels))
    if example is not None and feature_maps:
        drawn.append(feature_maps_section(example, feature_maps, layers, reading))
    all_facts = {**(headline or _reached(metrics, panels[-1])), **_training(metrics), **facts, **_origin(folder)}
    return write_report(folder, title=title, facts=all_facts, sections=drawn)


def _reached(metrics: Sequence[Mapping[str, int | float]], panel: Panel) -> dict[str, str]:
    """Returns the metric after the last epoch that has it, on held-out examples if there are any."""
    for name in ("validation", "test", "train"):
        values = [row[f"{name}_{panel.metric}"] for row in metrics if f"{name}_{panel.metric}" in row]
        if values:
            examples = "training" if name == "train" else name
            metric = panel.metric.replace("_", " ")
            number = f"{values[-1]:.2%}" if panel.unit == "%" else f"{values[-1]:.4g} {panel.unit}".strip()
            return {f"{metric} in {examples}, last epoch": number}
    return {}


def _training(metrics: Sequence[Mapping[str, int | float]]) -> dict[str, str]:
    """Returns how long the epochs took, as far as the rows tell."""
    if not metrics or "seconds" not in metrics[-1]:
        return {}
    seconds = sum(row.get("seconds", 0) for row in metrics)
    text = f"{len(metrics)} epochs in {seconds:.0f} s"
    if "images_per_second" in metrics[-1]:
        text += f", {metrics[-1]['images_per_second']:,.0f} images a second in the last"
    return {"Training": text}


def _origin(folder: Path) -> dict[str, str]:
    """Returns what a run's `config.json` says of where it comes from."""
    config = folder / "config.json"
    if not config.exists():
        return {}
    record = json.loads(config.read_text())
    return {
        "Command": record["command"],
        "Versions": ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
        "Git commit": record["git_commit"] or "not in a git checkout",
    }
