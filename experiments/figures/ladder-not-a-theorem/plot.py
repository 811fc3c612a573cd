"""Draws how far the ladder is from a theorem: plot.py DIR reads DIR/ladder-not-a-theorem.csv and writes the .svg and
.png there."""
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter  # noqa: E402

STEPS, ACROSS, RATIO = style.SKY, style.ORANGE, style.BLUE
THEOREMS = {("reinforce-mean", "reinforce-optimal"), ("reinforce-optimal", "reinforce-per-parameter"),
            ("togo-optimal-state", "togo-optimal")}
RUNGS = {"reinforce": "REINFORCE", "togo": "reward to go", "togo-value": "minus V(s)",
         "togo-optimal-state": "minus b*(s)", "togo-optimal": "minus the best b(s)"}
EXAMPLES = {"A": ("2 states: across time", ("togo-value", "togo-optimal-state")),
            "B": ("1 state: in each step", ("togo", "togo-value")),
            "C": ("2 states: in each step", ("reinforce", "togo"))}
LINES = {("reinforce", "reinforce-mean"): (style.GREEN, "s", "minus E R"), ("togo", "togo-value"): (style.BLUE, "o", "minus V(s)"),
         ("togo-value", "togo-optimal-state"): (style.VERMILLION, "^", "minus b*(s)"),
         ("reinforce", "togo"): (style.BLACK, "v", "reward to go")}

# Inches.
ROW = 0.205
TOP = 1.22
LABELS = 2.2        # the column of names
RATIO_WIDTH, GAP, SHARE_WIDTH = 2.5, 0.3, 2.6
LOWER_ROW = 0.3
LABEL_APART = 3.6   # percent of MDPs, on the axis of the horizons


def pairs_of(rows, part):
    """{(above, rung): {quantity: row}} in order, for one horizon each if there are several: a list of T too."""
    out = {}
    for row in rows:
        if row["part"] == part:
            out.setdefault((row["above"], row["rung"]), {}).setdefault(int(row["T"]), {})[row["quantity"]] = row
    return out


def value(of, quantity):
    return style.number(of[quantity], "value") if quantity in of else None


def draw_ratios(ax, pairs):
    ax.axvspan(1, 1e3, color="#FBEDE5", linewidth=0, zorder=0)
    ax.axvline(1, color=style.INK, linewidth=0.6, zorder=1)
    for y, of in pairs:
        ax.plot([value(of, "ratio_0.05"), value(of, "ratio_0.95")], [y, y], color=RATIO, linewidth=0.9,
                solid_capstyle="butt")
        ax.plot([value(of, "ratio_0.25"), value(of, "ratio_0.75")], [y, y], color=RATIO, linewidth=3.4,
                solid_capstyle="butt")
        ax.plot(value(of, "ratio_0.5"), y, marker="o", markersize=4.6, markerfacecolor="white", markeredgecolor=RATIO,
                markeredgewidth=1.1)
    ax.set_xscale("log")
    ax.set_xlim(0.29, 1.55)
    ax.xaxis.set_major_locator(FixedLocator([0.3, 0.5, 0.7, 1, 1.5]))
    ax.xaxis.set_major_formatter(style.plain)
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("variance, to that of the rung above", color=RATIO)


def draw_shares(ax, pairs):
    for y, (pair, of) in pairs:
        more, across = value(of, "more"), value(of, "across_time") or 0
        low, high, n = (style.number(of["more"], name) for name in ("low", "high", "n"))
        ax.barh(y, 100 * more * (1 - across), height=0.5, color=STEPS, zorder=2)
        ax.barh(y, 100 * more * across, left=100 * more * (1 - across), height=0.5, color=ACROSS, zorder=2)
        if more:
            ax.plot([100 * low, 100 * high], [y, y], color=style.INK, linewidth=0.9, solid_capstyle="butt", zorder=4)
        text = ("never: a theorem" if pair in THEOREMS else f"none of {n:,.0f}") if not more else f"{100 * more:.2g} %"
        ax.annotate(text, (100 * (high if more else 0), y), (4, 0), textcoords="offset points", fontsize=style.SMALL,
                    va="center_baseline", color=style.INK if more else style.GREY,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    ax.set_xlim(0, 40)
    ax.xaxis.set_major_locator(FixedLocator([0, 10, 20, 30, 40]))
    ax.set_xlabel("more variance than the rung above, % of MDPs")


def draw_horizons(ax, pairs):
    labels = []
    for pair, (colour, marker, label) in LINES.items():
        of = pairs[pair]
        T = sorted(of)
        share = [100 * value(of[t], "more") for t in T]
        ax.plot(T, share, color=colour, linewidth=0.8, zorder=3)
        for t in T:
            ends = [100 * style.number(of[t]["more"], name) for name in ("low", "high")]
            ax.plot([t, t], ends, color=colour, zorder=4, **style.INTERVAL)
        ax.plot(T, share, color=colour, linestyle="none", marker=marker, markersize=4, markeredgewidth=0, zorder=5,
                clip_on=False)
        labels.append((share[-1], label, colour))
    at = -math.inf
    for share, label, colour in sorted(labels):  # apart from each other
        at = max(at + LABEL_APART, share)
        ax.annotate(label, (16, at), (6, 0), textcoords="offset points", fontsize=style.SMALL, color=colour,
                    va="center_baseline")
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator([1, 2, 4, 8, 16]))
    ax.xaxis.set_major_formatter(style.plain)
    ax.xaxis.set_minor_locator(FixedLocator([]))
    ax.set_ylim(0, None)
    ax.set_xlabel("horizon T")
    ax.set_ylabel("more variance, % of MDPs")


def draw_example(ax, of, worse):
    """The steps' variances, what their covariances add or take away, and the sum."""
    y = {rung: -i for i, rung in enumerate(RUNGS)}
    for rung, at in y.items():
        total, steps = value(of[rung], "variance"), value(of[rung], "of_steps")
        ax.barh(at + 0.14, steps, height=0.28, color=STEPS, zorder=2)
        ax.barh(at - 0.14, total - steps, left=steps, height=0.28, color=ACROSS, zorder=2)
        ax.plot(total, at, zorder=5, clip_on=False, **style.EXACT)
    ends = [value(of[rung], "variance") for rung in worse]
    ax.annotate("", (ends[1], y[worse[1]]), (ends[0], y[worse[0]]), zorder=4,
                arrowprops={"arrowstyle": "-|>", "color": style.VERMILLION, "linewidth": 1, "shrinkA": 5, "shrinkB": 5,
                            "mutation_scale": 8})
    ax.set_ylim(0.5 - len(y), 0.5)
    ax.set_xlim(0, None)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.axvline(0, color=style.GREY, linewidth=0.6, zorder=3)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
    ax.xaxis.set_major_formatter(style.plain)
    return y


def draw(rows):
    ladder = {pair: next(iter(of.values())) for pair, of in pairs_of(rows, "ladder").items()}
    upper = ROW * len(ladder)
    lower_top = TOP + upper + 1.2
    lower = LOWER_ROW * len(RUNGS)
    height = lower_top + lower + 0.55
    n = style.number(next(iter(ladder.values()))["more"], "n")
    fig = style.page(height, "The ladder is not a theorem",
                     "The MDPs are drawn at random (3 states, 2 actions, horizon 4 unless said otherwise), the variances on each "
                     "are exact.")
    ratios = style.panel(fig, LABELS, TOP, RATIO_WIDTH, upper)
    shares = style.panel(fig, LABELS + RATIO_WIDTH + GAP, TOP, SHARE_WIDTH, upper)
    for ax in ratios, shares:
        ax.set_ylim(0.5 - len(ladder), 0.5)
        ax.set_yticks([])
        for i in range(len(ladder)):
            ax.axhline(-i, color=style.PALE, linewidth=0.6, zorder=0.5)
    ratios.spines["left"].set_visible(False)
    ratios.set_yticks([-i for i in range(len(ladder))], [of["more"]["label"] for of in ladder.values()])
    ratios.tick_params(axis="y", length=0, pad=6)
    draw_ratios(ratios, [(-i, of) for i, of in enumerate(ladder.values())])
    draw_shares(shares, [(-i, item) for i, item in enumerate(ladder.items())])
    style.write(ratios, -LABELS + style.MARGIN, 0.12, f"{n:,.0f} random MDPs", fontsize=9.5, weight="bold", va="baseline")
    style.write(ratios, 0, 0.12, "median, 50 % and 90 % of the MDPs", fontsize=style.SMALL, color=style.GREY, va="baseline")
    style.write(shares, 0, 0.12, "with the 95 % interval of the share", fontsize=style.SMALL, color=style.GREY,
                va="baseline")

    horizons = style.panel(fig, 0.56, lower_top, 1.6, lower)
    draw_horizons(horizons, pairs_of(rows, "horizon"))
    style.write(horizons, -0.56 + style.MARGIN, 0.27, "By horizon", fontsize=9.5, weight="bold", va="baseline")

    examples = {}
    for row in rows:
        if row["part"] == "example" and row["label"] in EXAMPLES:
            examples.setdefault(row["label"], {}).setdefault(row["rung"], {})[row["quantity"]] = row
    left, gap = 4.3, 0.24
    width = (style.WIDTH - left - style.MARGIN - gap * (len(examples) - 1)) / len(examples)
    for i, (name, of) in enumerate(examples.items()):
        ax = style.panel(fig, left + i * (width + gap), lower_top, width, lower)
        words, worse = EXAMPLES[name]
        y = draw_example(ax, of, worse)
        style.write(ax, 0, 0.27, f"MDP {name}", fontsize=9.5, weight="bold", va="baseline")
        style.write(ax, 0, 0.1, words, fontsize=style.SMALL, color=style.GREY, va="baseline")
        ax.set_xlabel("variance")
        if i == 0:
            ax.set_yticks([y[rung] for rung in RUNGS], list(RUNGS.values()))
            ax.tick_params(axis="y", length=0, pad=6)
    fig.legend([Patch(color=STEPS), Patch(color=ACROSS)],
               ["in the variances of the steps, too", "in their covariances across time only"], loc="lower left",
               bbox_to_anchor=((LABELS + RATIO_WIDTH + GAP) / style.WIDTH, 1 - (TOP - 0.3) / height), ncol=1,
               borderpad=0, borderaxespad=0, labelspacing=0.3, handletextpad=0.6, handlelength=1.2,
               fontsize=style.SMALL)
    fig.legend([Patch(color=STEPS), Patch(color=ACROSS), Line2D([], [], **style.EXACT)],
               ["variances of the steps", "covariances across time", "their sum: the variance"], loc="lower right", ncol=3,
               bbox_to_anchor=(1 - style.MARGIN / style.WIDTH, 1 - (lower_top - 0.52) / height), borderpad=0,
               borderaxespad=0, columnspacing=1.4, handletextpad=0.6, handlelength=1.2, fontsize=style.SMALL)
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / "ladder-not-a-theorem.csv")), sys.argv[1],
               "ladder-not-a-theorem")
