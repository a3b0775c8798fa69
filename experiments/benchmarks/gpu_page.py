"""The page of gpu.py: what was measured as bars, and of which machine."""

from collections.abc import Callable, Mapping
from typing import Any

from fcnn.report import Bar, Section, draw_bars
from fcnn.report.page import render_page
from fcnn.report.style import encode_png

STOCK = "stock flax.linen"


def render(found: Mapping[str, Any]) -> str:
    """Returns the HTML of what `gpu.main` measured."""
    drawn = (draw(found["training"]) for draw in (_speed, _start, _memory))
    sections = [section for section in drawn if section is not None]
    facts = _headline(found["training"]) | found["facts"]
    for network, errors in found["goldens"].items():
        facts[f"golden of {network}"] = _joined(errors, "{:.1e}", "relative difference, ")
    for network, times in found["input"].items():
        facts[f"input, {network}"] = _joined(times, "{:.2f}", "ms a step, overlap as a share: ")
    facts["time"] = f"{found.get('seconds', 0):.0f} s"
    facts["left out"] = "; ".join(found["left_out"]) or "nothing"
    return render_page("Training on a GPU", facts, sections)


def _headline(training):
    ratios = [
        row["measured"]["fcnn"]["median"] / row["measured"][STOCK]["median"]
        for row in training
        if all("median" in row["measured"].get(name, {}) for name in ("fcnn", STOCK))
    ]
    if not ratios:
        return {"was measured of fcnn beside stock Flax": "nothing"}
    return {f"times the speed of stock Flax at worst, {max(ratios):.2f} at best": f"{min(ratios):.2f}"}


def _joined(values, text, before):
    if "left_out" in values:
        return values["left_out"]
    return before + ", ".join(f"{name} {text.format(value)}" for name, value in values.items())


def _speed(training):
    def bar_of(row, others):
        base = others.get(STOCK, {}).get("median")
        if "median" not in row or base is None:
            return None
        ratio = row["median"] / base
        return Bar(ratio, f"{ratio:.2f}   {row['median']:,.0f} images/s")

    text = "Images a second of training steps, over those of stock Flax; medians of rounds in turn."
    return _section("speed", "Speed", text, training, bar_of, "times stock flax.linen", reference=1.0)


def _start(training):
    def bar_of(row, _):
        if "first_step_seconds" not in row:
            return None
        create, first = row["create_state_seconds"], row["first_step_seconds"]
        return Bar(create + first, f"{create:.1f} + {first:.1f} s")

    text = "Seconds to make the state and to do the first step, with nothing compiled before; imports are not counted."
    return _section("start", "To the first step", text, training, bar_of, "seconds")


def _memory(training):
    def bar_of(row, _):
        return Bar(row["peak_mib"], f"{row['peak_mib']:,.0f} MiB") if row.get("peak_mib") else None

    text = "The most memory in use at any time; what the compiler tries out is counted, where it takes it from JAX."
    return _section("memory", "Memory", text, training, bar_of, "MiB")


def _section(
    name: str,
    heading: str,
    text: str,
    training: list,
    bar_of: Callable[[Mapping, Mapping], Bar | None],
    quantity: str,
    reference: float | None = None,
) -> Section | None:
    groups = {}
    for row in training:
        bars = {who: bar_of(measured, row["measured"]) for who, measured in row["measured"].items()}
        bars = {who: bar for who, bar in bars.items() if bar is not None}
        if bars:
            groups[f"{row['network']}, {row['precision']}, {row['batch_size']} images a step"] = bars
    if not groups:
        return None
    figure = draw_bars(groups, quantity, ours="fcnn", reference=reference)
    return Section(name, heading, text, encode_png(figure))
