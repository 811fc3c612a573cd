"""Draws learning curves: learning_curve.py OUT RUN... reads RUN/episodes.csv and RUN/manifest.json of `lowvar train` and
writes OUT/learning_curve.svg and .png. Each curve is the interquartile mean over seeds of the mean return of the last
100 episodes, in a 95 % bootstrap band."""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import style  # noqa: E402

POINTS = 101  # along the steps
WINDOW = 100  # episodes in a mean
RESAMPLINGS = 500
COLOURS = (style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY, style.BLACK)


def iqm(x):
    """Interquartile mean over the first axis."""
    x = np.sort(x, axis=0)
    cut = len(x) // 4
    return x[cut:len(x) - cut].mean(axis=0)


def curves(run, steps):
    """The mean return of the last WINDOW episodes at each of `steps`, a row a seed; NaN before the first episode."""
    seeds = {}
    for row in style.read_csv(os.path.join(run, "episodes.csv")):
        seeds.setdefault(row["seed"], []).append((int(row["step"]), float(row["return"])))
    out = []
    for episodes in seeds.values():
        at = np.array([step for step, _ in episodes])
        total = np.concatenate(([0.0], np.cumsum([value for _, value in episodes])))
        n = np.searchsorted(at, steps, side="right")
        low = np.maximum(n - WINDOW, 0)
        with np.errstate(invalid="ignore"):
            out.append((total[n] - total[low]) / (n - low))
    return np.array(out)


def main(out, runs):
    manifests = [json.load(open(os.path.join(run, "manifest.json"), encoding="utf-8"))["config"] for run in runs]
    world = manifests[0]["env"]
    fig = style.page(4.2, "Learning curves: " + style.plain_name(world).replace("$", r"\$"),
                     "Mean return of the last 100 episodes; interquartile mean over seeds, 95 % bootstrap bands")
    axes = style.panel(fig, 0.75, 0.75, 5.4, 2.85)
    ends = []
    for run, manifest, colour in zip(runs, manifests, COLOURS * len(runs)):
        steps = np.linspace(0, manifest["steps"], POINTS)[1:]
        each = curves(run, steps)
        known = ~np.isnan(each).any(axis=0)
        if not known.any():
            continue
        steps, each = steps[known], each[:, known]
        middle = iqm(each)
        axes.plot(steps, middle, color=colour)
        if len(each) > 1:
            rng = np.random.default_rng(0)
            draws = np.array([iqm(each[rng.integers(len(each), size=len(each))]) for _ in range(RESAMPLINGS)])
            low, high = np.quantile(draws, (0.025, 0.975), axis=0)
            axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        # A run alone goes by its algorithm, so that the drawing does not depend on where the run is kept.
        name = manifest["algorithm"] if len(runs) == 1 else os.path.basename(os.path.normpath(run))
        ends.append((f"{style.plain_name(name)} (n = {len(each)})", colour))
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return")
    axes.margins(x=0)
    for i, (label, colour) in enumerate(ends):
        axes.text(1.03, 0.97 - 0.075 * i, label, color=colour, transform=axes.transAxes, fontsize=style.SMALL, va="top",
                  parse_math=False)
    style.save(fig, out, "learning_curve")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
