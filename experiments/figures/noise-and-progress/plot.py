"""Draws noise-and-progress: plot.py DIR reads DIR/noise-and-progress.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter  # noqa: E402

ID = "noise-and-progress"
HEIGHT = 3.95
UNBIASED, SCALED, TURNED = style.BLUE, style.SKY, style.VERMILLION

# Names in the left panel: eta, and points to its right and up.
NAMED = {"constant b*": (36, 0, 7, "center"), "GRPO": (93, -1, 7, "center"), "RLOO": (40, 0, -8, "center"),
         "ReMax": (6.5, 0, 7, "center"), "exact gradient": (15, -8, 3, "right")}
# And in the right one, in points.
BESIDE = {"constant b*": (7, 0, "left"), "constant b = J": (7, 0, "left"), "GRPO": (7, 0, "left"),
          "REINFORCE": (0, 8, "center"), "MaxRL": (0, -9, "center"), "REINFORCE++": (0, -9, "center"),
          "OPO": (7, -1, "left"), "token mean": (-6, 5, "right"), "GRPO without 1/length": (-7, -5, "right"),
          "RLOO": (0, -11, "center"), "GPG": (6, 5, "left")}
FAR = 2.1  # noise to signal beyond which an estimator is named at the edge


def colour(row):
    if row["estimator"] == "exact":
        return style.INK
    if style.number(row, "cosine") < 1 - 1e-9:
        return TURNED
    return UNBIASED if abs(style.number(row, "signal") / SIGNAL[0] - 1) < 1e-9 else SCALED


SIGNAL = [0.0]  # |grad J|^2


def draw_gains(ax, rows, summaries):
    for row in summaries:
        of = [each for each in rows if each["part"] == "curve" and each["estimator"] == row["estimator"]]
        x, y = [style.number(each, "eta") for each in of], [style.number(each, "gain") for each in of]
        c, name = colour(row), row["label"]
        strong = name in NAMED
        ax.plot(x, y, color=c, linewidth=1.5 if strong else 0.9, alpha=1 if strong else 0.55, zorder=5 if strong else 3)
        if strong:
            at, dx, dy, ha = NAMED[name]
            k = min(range(len(x)), key=lambda i: abs(x[i] - at))
            ax.annotate(name, (x[k], y[k]), xytext=(dx, dy), textcoords="offset points", fontsize=style.SMALL,
                        color=c, ha=ha, va="center", zorder=7)
    ax.set_xscale("log")
    ax.set_xlim(0.5, 120)
    ax.set_ylim(0, 0.75)
    ax.xaxis.set_major_locator(FixedLocator([0.5, 1, 3, 10, 30, 100]))
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6]))
    ax.yaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)
    ax.set_xlabel(r"step $\eta$, where $\Vert\eta\,\mathrm{E}\,g\Vert=\eta\,\Vert\nabla J\Vert$")


def draw(rows):
    summaries = [row for row in rows if row["part"] == "summary"]
    SIGNAL[0] = next(style.number(row, "signal") for row in summaries if row["estimator"] == "exact")
    rank = next(style.number(row, "gain") for row in rows if row["part"] == "rank")
    fig = style.page(HEIGHT, "The less noise to signal, the further one best step gets",
                     r"What a step gains, $\mathrm{E}\,J(\theta+\eta g)-J(\theta)$, summed over all 46,376 groups of "
                     "four answers. Exact.")
    style.key(fig, [(UNBIASED, "unbiased"), (SCALED, "the gradient's direction, rescaled"),
                    (TURNED, "another direction")])
    left, right = style.panel(fig, 0.42, 1.12, 3.25, 2.3), style.panel(fig, 4.3, 1.12, 3.45, 2.3)
    draw_gains(left, rows, summaries)
    style.name_panel(left, "Gain against the step")
    for row in summaries:
        if row["estimator"] == "exact":
            continue
        name, c = row["label"], colour(row)
        at, gain = style.number(row, "nsr"), style.number(row, "best_gain")
        if at > FAR:
            right.annotate(f"{name}: {gain:.2f} at {at:.1f}", (1, 0), xycoords="axes fraction", xytext=(-14, 7),
                           textcoords="offset points", fontsize=style.SMALL, color=c, ha="right", va="center")
            right.annotate("", (1, 0), xycoords="axes fraction", xytext=(-11, 11), textcoords="offset points",
                           arrowprops={"arrowstyle": "-|>", "color": c, "linewidth": 0.8, "mutation_scale": 7})
            continue
        right.plot(at, gain, "o", markersize=5.4, color=c, markeredgecolor="white", markeredgewidth=0.6, zorder=4)
        dx, dy, ha = BESIDE[name]
        right.annotate(name, (at, gain), xytext=(dx, dy), textcoords="offset points", fontsize=style.SMALL,
                       color=c, ha=ha, va="center")
    right.set_xlim(0.98, FAR)
    right.set_ylim(0.365, 0.485)
    right.xaxis.set_major_locator(FixedLocator([1, 1.2, 1.4, 1.6, 1.8, 2]))
    right.xaxis.set_major_formatter(FuncFormatter(style.plain))
    right.yaxis.set_major_locator(FixedLocator([0.38, 0.4, 0.42, 0.44, 0.46, 0.48]))
    right.yaxis.set_major_formatter(FuncFormatter(style.plain))
    right.grid(axis="y", color=style.PALE, linewidth=0.6)
    right.set_xlabel(r"noise to signal  $\mathrm{tr\,Cov}(g)\,/\,\Vert\mathrm{E}\,g\Vert^2$")
    style.name_panel(right, "The best step's gain", right=f"rank correlation −{rank:.2f}")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
