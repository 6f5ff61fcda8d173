"""Pictures of part 1, a network learns: learning rates, initial weights, schedules."""

import random
from functools import cache
from typing import Any

import numpy
from company_names import COMPANIES
from matplotlib.patches import Ellipse
from style import MINUS, Ink, page, quiet

import scratch as book
from scratch.initial import random_tensor
from scratch.optimizers import Adam, GradientDescent, Momentum, Optimizer, RMSProp
from scratch.schedules import cosine_decay, step_decay, triangle

START, STEPS = (-2.0, 5.0), 40


@cache
def vowels() -> tuple[numpy.ndarray, numpy.ndarray]:
    """Of each of the 100 company names: its length in tens of characters, and its number of vowels."""
    names = [name.strip() for name in COMPANIES.split(",")]
    counts = [sum(letter in "aeiou" for letter in name.lower()) for name in names]
    return numpy.array([[len(name) / 10] for name in names]), numpy.array([[float(count)] for count in counts])


def path(optimizer: Optimizer, steps: int = STEPS) -> numpy.ndarray:
    """The weight and the bias of a Linear(1, 1) before each step, and after the last: (steps + 1, 2)."""
    x, y = vowels()
    model, loss = book.Linear(1, 1), book.MSE()
    model.w.data[...], model.b.data[...] = START
    places = []
    for _ in range(steps):
        places.append((model.w.data.item(), model.b.data.item()))
        model.backward(loss.gradient(model.forward(x), y))
        optimizer.step(model)
    return numpy.array([*places, (model.w.data.item(), model.b.data.item())])


def rates(ink: Ink) -> Any:
    """A Linear(1, 1) with the loss MSE learns the number of vowels in a company name from the name's length (the 100
    names of examples/company_names.py): 40 steps of the whole list, each from the same start."""
    x, y = vowels()
    figure, axes = page(6.4, 4.6, 2, 3, sharex=True, sharey=True)
    # The loss is quadratic, so its contours are ellipses: along the eigenvectors of the matrix of second derivatives.
    best = numpy.polyfit(x[:, 0], y[:, 0], 1)
    inputs = numpy.hstack([x, numpy.ones_like(x)])
    curvatures, axes_of = numpy.linalg.eigh(inputs.T @ inputs / len(x))
    angle = numpy.degrees(numpy.arctan2(*axes_of[::-1, 0]))
    for ax, (name, optimizer, colour) in zip(axes.flat, (
        ("rate 0.02: too small", GradientDescent(0.02), ink.orange), ("rate 0.5", GradientDescent(0.5), ink.blue),
        ("rate 0.62: too large", GradientDescent(0.62), ink.orange), ("Momentum, 2", Momentum(2.0), ink.blue),
        ("RMSProp, 0.2", RMSProp(0.2), ink.blue), ("Adam, 0.2", Adam(0.2), ink.blue),
    ), strict=True):
        for excess in numpy.geomspace(0.04, 80, 9):
            width, height = 2 * numpy.sqrt(excess / curvatures)
            ax.add_patch(Ellipse(best, width, height, angle=angle, fill=False, edgecolor=ink.faint, linewidth=1))
        places = path(optimizer)
        ax.plot(*places.T, "o-", color=colour, markersize=2.5, linewidth=1.1)
        ax.plot(*best, "+", color=ink.text, markersize=9, markeredgewidth=1.5)
        last = ((places[-1, 0] * x + places[-1, 1] - y) ** 2).mean()
        ax.set_title(name, loc="left", size=11)
        ax.text(0.97, 0.95, f"loss {last:.2f}", transform=ax.transAxes, ha="right", va="top", size=10)
        ax.set(xlim=(-3, 8), ylim=(-3.2, 6))
        quiet(ax, ink)
    for ax in axes[1]:
        ax.set_xlabel("weight")
    for ax in axes[:, 0]:
        ax.set_ylabel("bias")
    return figure


@cache
def activities(init: str, scale: float) -> list[numpy.ndarray]:
    """The outputs of ten layers, Linear(256, 256) and Tanh, for 200 random rows of mean 0 and variance 1 (seed 0)."""
    random.seed(0)
    x, found = random_tensor(200, 256), []
    for _ in range(10):
        linear, tanh = book.Linear(256, 256, init=init), book.Tanh()
        linear.w.data *= scale
        x = tanh.forward(linear.forward(x))
        found.append(x)
    return found


def initial(ink: Ink) -> Any:
    """Ten layers of 256 tanh units with weights of three scales, on random input, untrained: their outputs (seed 0)."""
    figure, axes = page(6.4, 3.4, 1, 3, sharey=True)
    edges = numpy.linspace(-1, 1, 42)
    for ax, (title, scale, colour) in zip(axes, (
        ("half of xavier", 0.5, ink.orange), ("xavier", 1, ink.blue), ("four times xavier", 4, ink.orange),
    ), strict=True):
        for k, outputs in enumerate(activities("xavier", scale)):
            heights, _ = numpy.histogram(outputs, edges)
            places = [-1, *(edges[1:] + edges[:-1]) / 2, 1]
            ax.fill(places, [k, *k - 0.9 * heights / heights.max(), k], color=colour, linewidth=0, alpha=0.8)
        ax.set_title(title, loc="left", size=11)
        ax.set_xticks([-1, 0, 1], [MINUS + "1", "0", "1"])
        ax.set(ylim=(9.2, -1.1), xlabel=f"deviation at the end: {activities('xavier', scale)[-1].std():.1g}")
        quiet(ax, ink, "left")
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks([-0.3 + k for k in range(10)], ["layer 1", *map(str, range(2, 11))])
    return figure


def schedules(ink: Ink) -> Any:
    """The three functions of scratch/schedules.py over 100 steps."""
    figure, axes = page(6.4, 2.2, 1, 3, sharey=True)
    steps = range(101)
    for ax, (title, values) in zip(axes, (
        ("step_decay, at 50 and 80", [step_decay(step, at=(50, 80)) for step in steps]),
        ("cosine_decay, warmup 10", [cosine_decay(step, 100, warmup=10) for step in steps]),
        ("triangle, 0.2 to 1 to 0.07", [triangle(step, 100, 0.2, 0.23, 0.07) for step in steps]),
    ), strict=True):
        ax.plot(steps, values, color=ink.blue, drawstyle="steps-post" if title.startswith("step") else "default")
        ax.set_title(title, loc="left", size=11)
        ax.set(ylim=(0, 1.08), xlim=(0, 100), xlabel="step")
        ax.set_xticks([0, 50, 100])
        ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        quiet(ax, ink)
    axes[0].set_ylabel("factor of the rate")
    return figure


ALL = {"rates": rates, "initial": initial, "schedules": schedules}
ALT = {
    "rates": "Six paths of 40 steps over the same elliptic contours of a loss. At rate 0.02 gradient descent hardly "
    "moves, at 0.5 it nears the minimum, at 0.62 it oscillates across the valley and ends with a loss of 3.50. "
    "Momentum, RMSProp and Adam reach 0.53, 0.56 and 0.52.",
    "initial": "Histograms of the outputs of ten tanh layers. With half of Xavier's weights they shrink to 0, with "
    "Xavier's they stay spread, with four times Xavier's nearly all are close to -1 or 1.",
    "schedules": "The factor of the learning rate over 100 steps: step_decay falls to a tenth twice, cosine_decay "
    "rises for 10 steps and falls along a cosine, triangle rises to 1 and falls linearly.",
}
