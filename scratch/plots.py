"""Pictures of a run, drawn to files: no window is opened, so they work on any machine.

    curve("loss.png", {"training": losses}, "epoch", "loss (nats per character)")

Read next: `program.py`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from scratch.files import replacing


def curve(
    path: str | Path,
    lines: Mapping[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    levels: Mapping[str, float] | None = None,
) -> None:
    """Draw each list of numbers as a line over 1, 2, 3, ..., and each level (chance, say) as a dashed one."""
    # The figure is made without pyplot, which would choose a window system for the whole program.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    for label, values in lines.items():
        axes.plot(range(1, len(values) + 1), values, label=label, marker="." if len(values) < 20 else "")
    for label, level in (levels or {}).items():
        axes.axhline(level, linestyle="--", linewidth=1, color="gray", label=label)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.margins(y=0.08)
    if min(min(values) for values in lines.values()) >= 0:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as file:
        FigureCanvasAgg(figure).print_png(file)
