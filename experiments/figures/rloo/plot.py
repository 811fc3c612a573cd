"""Draws rloo: plot.py DIR reads DIR/rloo.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter  # noqa: E402

ID = "rloo"
SMALL = 7.2
WIDTH, HEIGHT = 8.0, 3.75
METHODS = [("rloo", "leave-one-out (RLOO)", style.BLUE), ("group mean", "minus group mean (Dr. GRPO)", style.GREEN),
           ("grpo", "and over its standard deviation (GRPO)", style.VERMILLION)]
SHADES = {"2": 0.25, "4": 0.4, "8": 0.55, "16": 0.75, "64": 1.0}


def draw(rows):
    fig = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    variance, bias, weight = fig.subplots(1, 3, gridspec_kw={"left": 0.065, "right": 0.94, "bottom": 0.125, "top": 0.72,
                                                             "wspace": 0.27, "width_ratios": [1, 1, 1.15]})
    for ax in variance, bias:
        ax.set_xscale("log")
        ax.set_xlim(1.85, 70)
        ax.xaxis.set_major_locator(FixedLocator([2, 4, 8, 16, 32, 64]))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        ax.xaxis.set_minor_locator(FixedLocator([]))
        ax.set_xlabel("samples in a group, $N$")
    variance.set_yscale("log")
    variance.yaxis.set_major_locator(FixedLocator([0.01, 0.03, 0.1, 0.3, 1]))
    variance.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    variance.yaxis.set_minor_formatter(NullFormatter())
    for name, _, colour in METHODS:
        of = [row for row in rows if row["part"] == "bandit" and row["method"] == name]
        n = [style.number(row, "N") for row in of]
        variance.plot(n, [style.number(row, "variance_exact") for row in of], color=colour, linewidth=1.4)
        bias.plot(n, [style.number(row, "bias") for row in of], color=colour, linewidth=1.4, clip_on=False, zorder=3)
        for row in of:
            at, v, se = style.number(row, "N"), style.number(row, "variance"), style.number(row, "variance_se")
            variance.plot([at, at], [v - 1.96 * se, v + 1.96 * se], color=colour, linewidth=1.4)
            variance.plot(at, v, "o", color=colour, markersize=3.8, markeredgewidth=0)
    bias.set_ylim(0, 0.22)
    bias.yaxis.set_major_locator(FixedLocator([0, 0.05, 0.1, 0.15, 0.2]))
    bias.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))

    for name, _, colour in METHODS[:1]:
        weight.axhline(1, color=colour, linewidth=1.4, zorder=3)
    edges = {}  # the weight at the largest p
    for n, shade in SHADES.items():
        of = [row for row in rows if row["part"] == "weight" and row["method"] == "grpo" and row["N"] == n]
        p, w = [style.number(row, "p") for row in of], [style.number(row, "weight") for row in of]
        edges[n] = w[-1]
        weight.plot(p, w, color=METHODS[2][2], alpha=shade, linewidth=1.4, zorder=2)
    limit = [row for row in rows if row["N"] == "infinite"]
    weight.plot([style.number(row, "p") for row in limit], [style.number(row, "weight") for row in limit],
                color=style.INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=5)
    for n, w in edges.items():
        if n != "2" and w < 6:
            weight.text(1.015, w, f"$N={n}$", fontsize=SMALL, color=METHODS[2][2], va="center")
    weight.text(0.5, 0.8, "RLOO, and GRPO with $N=2$", fontsize=SMALL, color=METHODS[0][2], ha="center", va="center")
    weight.text(0.5, 3.6, "$N=64$, and the limit\n" + r"$1/\sqrt{p(1-p)}$ (dashed)", fontsize=SMALL, color=style.INK,
                ha="center", va="center", linespacing=1.4)
    weight.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    weight.set_xlim(0, 1)
    weight.set_ylim(0, 6)
    weight.set_xlabel("probability of success $p$")
    for ax, title in ((variance, r"variance  $\mathrm{tr\,Cov}(g)$"), (bias, r"bias  $\Vert\mathrm{E}\,g-\nabla J\Vert$"),
                      (weight, r"weight  $\mathrm{E}\,g\,/\,\nabla p$,  rewards 0 and 1")):
        ax.set_title(title, fontsize=9.5, loc="left", pad=8)
        ax.grid(axis="y", color=style.PALE, linewidth=0.6)

    fig.text(0.015, 1 - 0.24 / HEIGHT, "Baselines from a group of samples", fontsize=12, weight="bold", va="baseline")
    fig.text(0.015, 1 - 0.44 / HEIGHT, "$g$ is the mean gradient estimate of a group. Left and middle: a bandit of four "
             "arms. Lines are exact, points sampled.", color=style.GREY, va="baseline")
    fig.legend([Line2D([], [], color=colour, linewidth=1.4) for _, _, colour in METHODS],
               [label for _, label, _ in METHODS], loc="upper left", ncol=3, bbox_to_anchor=(0.015, 1 - 0.53 / HEIGHT),
               borderpad=0, borderaxespad=0, columnspacing=1.8, handlelength=1.8, handletextpad=0.6)
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
