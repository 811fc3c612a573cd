"""Draws the variance ladder: plot.py DIR reads DIR/ladder.csv and writes DIR/ladder.svg and DIR/ladder.png."""
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.legend_handler import HandlerTuple  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter  # noqa: E402

VARIANCE, BIAS = style.BLUE, style.VERMILLION
POINT = {"marker": "o", "markersize": 3.8, "markeredgewidth": 0}
EXACT = {"marker": "D", "markersize": 5.8, "markerfacecolor": "none", "markeredgecolor": style.INK,
         "markeredgewidth": 0.75, "linestyle": "none"}
INTERVAL = {"linewidth": 1.4, "solid_capstyle": "butt"}
SMALL = 7.2  # points

# Inches.
WIDTH = 8.0
MARGIN = 0.12
HEAD = 0.6         # the title of the figure
TITLE = 0.46       # the name and the note of a world
ROW = 0.2          # from one rung to the next
AXIS = 0.62        # ticks and axis label
CAPTION = 0.36     # where a world has one
COLUMN_GAP = 0.25
RATIO = 0.56       # the column between variance and bias
BIAS_SHARE = 0.38  # of what the column leaves

CAPTIONS = {
    "four-rooms": "As in FrozenLake, all reward arrives on the last step: the reward-to-go from every step is the "
                  "whole return, so it equals REINFORCE.",
}


def rungs_and_labels(worlds):
    """The rungs of all worlds from top to bottom, each world's in its own order, and their printable names."""
    order, labels = [], {}
    for rows in worlds.values():
        place = 0
        for row in rows:
            if row["rung"] in labels:
                place = order.index(row["rung"]) + 1
            else:
                order.insert(place, row["rung"])
                labels[row["rung"]] = row["label"]
                place += 1
    return order, labels


def family(rung):
    """Rungs of one family stand between two separating lines."""
    name = rung.split(":")[0].split("-")[0]
    return "critic" if name in ("nstep", "gae", "td") else name


def ratio_text(ratio):
    """A variance over REINFORCE's, as the number REINFORCE's is divided (or multiplied) by."""
    sign, factor = ("÷", 1 / ratio) if ratio < 1.05 else ("×", ratio)
    return f"{sign} {factor:.1f}" if factor < 9.95 else f"{sign} {factor:,.0f}"


def tick_text(x, _):
    if x == 0 or 1e-4 < abs(x) < 1e4:
        return f"{x:.10g}"
    mantissa, exponent = f"{x:.0e}".split("e")
    return ("$10^{%d}$" if mantissa == "1" else "$" + mantissa + r"\cdot 10^{%d}$") % int(exponent)


def best(row, quantity):
    """The sampled value, else the exact one, else None."""
    value = style.number(row, quantity)
    return style.number(row, quantity + "_exact") if value is None else value


def draw_estimates(ax, rows, y, quantity, colour, floor):
    """Exact values, points and their 95 % intervals (cut off at floor). Returns all numbers drawn."""
    drawn = []
    for row in rows:
        at = y[row["rung"]]
        value, se, exact = (style.number(row, quantity + suffix) for suffix in ("", "_se", "_exact"))
        if exact is not None:
            ax.plot(exact, at, zorder=4, clip_on=False, **EXACT)
            drawn.append(exact)
        if value is not None:
            ends = [max(value - 1.96 * (se or 0), floor), value + 1.96 * (se or 0)]
            ax.plot(ends, [at, at], color=colour, zorder=5, **INTERVAL)
            ax.plot(value, at, color=colour, zorder=6, clip_on=False, **POINT)
            drawn += ends
    return drawn


def draw_variance(ax, rows, y):
    ax.set_xscale("log")
    ax.set_xlabel(r"variance  $\mathrm{tr\,Cov}(g)$", color=VARIANCE)
    ladder = [(best(row, "trace_cov"), y[row["rung"]]) for row in rows if (best(row, "trace_cov") or 0) > 0]
    if not ladder:
        return
    ax.plot(*zip(*ladder), color=VARIANCE, alpha=0.3, linewidth=1.2, zorder=3)
    drawn = draw_estimates(ax, rows, y, "trace_cov", VARIANCE, floor=min(ladder)[0] / 2)
    drawn = [x for x in drawn if x > 0]
    low, high = min(drawn) / 1.5, max(drawn) * 1.5
    ax.set_xlim(low, high)
    decades = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
    steps = (1,) if decades > 2 else (1, 3) if high / low > 10 else (1, 2, 5)
    ax.xaxis.set_major_locator(LogLocator(subs=steps, numticks=6))
    ax.xaxis.set_major_formatter(FuncFormatter(tick_text))
    ax.xaxis.set_minor_formatter(NullFormatter())


def draw_bias(ax, rows, y, labels):
    for row in rows:
        if best(row, "bias") is not None:
            ax.plot([0, best(row, "bias")], [y[row["rung"]]] * 2, color=BIAS, alpha=0.3, linewidth=2.8,
                    solid_capstyle="butt", zorder=3)
    high = max(draw_estimates(ax, rows, y, "bias", BIAS, floor=0), default=0) or 1
    ax.set_xlim(-0.05 * high, 1.08 * high)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(tick_text))

    reference = next((row["bias_of"] for row in rows if row["bias_of"]), "gradient")
    if reference == "gradient":
        ax.set_xlabel(r"bias  $\Vert\mathrm{E}\,g-\nabla J\Vert$", color=BIAS)
        return
    ax.set_xlabel("difference of $\\mathrm{E}\\,g$ to\n" + labels.get(reference, reference), color=BIAS, ha="right",
                  x=1)
    for row in rows:
        if row["rung"] == reference and best(row, "bias") is None:
            ax.text(0, y[reference], "the reference", fontsize=SMALL, color=style.GREY, va="center_baseline",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})


def draw_world(fig, left, bottom, width, world, rows, order, labels, with_labels):
    """Variance, ratios and bias, side by side; the bottom is that of the lowest rung's row."""
    height = ROW * len(order)
    bias_width = BIAS_SHARE * (width - RATIO)
    variance_width = width - RATIO - bias_width
    fig_width, fig_height = fig.get_size_inches()
    y = {rung: -i for i, rung in enumerate(order)}

    def axes(x, w):
        ax = fig.add_axes([x / fig_width, bottom / fig_height, w / fig_width, height / fig_height])
        ax.set_ylim(0.5 - len(order), 0.5)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        for i, rung in enumerate(order):
            ax.axhline(-i, color=style.PALE, linewidth=0.6, zorder=0)
            if i and family(rung) != family(order[i - 1]):
                ax.axhline(0.5 - i, color="#B0B0B0", linewidth=0.6, zorder=0)
        return ax

    variance, bias = axes(left, variance_width), axes(left + width - bias_width, bias_width)
    draw_variance(variance, rows, y)
    draw_bias(bias, rows, y, labels)
    for ax in variance, bias:
        ax.xaxis.set_label_coords(ax.xaxis.label.get_position()[0], -0.25 / height)
    if with_labels:
        variance.set_yticks([y[rung] for rung in order], [labels[rung] for rung in order])
        variance.tick_params(axis="y", length=0, pad=6)

    def text(x, up, words, **how):
        """Inches from the upper left corner of the variance axis."""
        fig.text((left + x) / fig_width, (bottom + height + up) / fig_height, words, **how)

    for row in rows:
        ratio = style.number(row, "ratio")
        if ratio and row["rung"] != "reinforce":
            text(variance_width + RATIO / 2, ROW * (y[row["rung"]] - 0.5), ratio_text(ratio), fontsize=SMALL,
                 color=style.GREY, ha="center", va="center_baseline")
    note = style.wrap(rows[0]["note"] or "", SMALL, width)
    text(0, 0.09, note, fontsize=SMALL, color=style.GREY, va="baseline")
    name_at = 0.26 + 0.12 * note.count("\n") if note else 0.09
    text(0, name_at, world, fontsize=9.5, weight="bold", va="baseline")
    n = max((style.number(row, "n") or 0 for row in rows), default=0)
    if n:
        text(width, name_at, f"{n:,.0f} trajectories", fontsize=SMALL, color=style.GREY, ha="right", va="baseline")
    if world in CAPTIONS:
        text(0, -height - AXIS + 0.14, style.wrap(CAPTIONS[world], SMALL, width), fontsize=SMALL, style="italic",
             color=style.GREY, va="top", linespacing=1.3)


def draw(rows):
    worlds = {}
    for row in rows:
        worlds.setdefault(row["world"], []).append(row)
    order, labels = rungs_and_labels(worlds)

    columns = min(2, len(worlds))
    names = list(worlds)
    lines = [names[i:i + columns] for i in range(0, len(names), columns)]
    feet = [AXIS + (CAPTION if any(world in CAPTIONS for world in line) else 0) for line in lines]
    fig_height = HEAD + sum(feet) + len(lines) * (TITLE + ROW * len(order)) + MARGIN
    fig = Figure(figsize=(WIDTH, fig_height), facecolor="white")

    label_width = max(style.text_width(label, 8) for label in labels.values()) + 0.1 + MARGIN
    width = (WIDTH - label_width - MARGIN - COLUMN_GAP * (columns - 1)) / columns
    top = fig_height - HEAD
    for line, foot in zip(lines, feet):
        bottom = top - TITLE - ROW * len(order)
        for i, world in enumerate(line):
            draw_world(fig, label_width + i * (width + COLUMN_GAP), bottom, width, world, worlds[world], order, labels,
                       with_labels=i == 0)
        top = bottom - foot

    fig.text(MARGIN / WIDTH, 1 - 0.24 / fig_height, "The variance ladder, from REINFORCE to PPO", fontsize=12,
             weight="bold", va="baseline")
    fig.text(MARGIN / WIDTH, 1 - 0.44 / fig_height, "$g$ is the gradient estimate from one trajectory.   "
             "÷ 24: a variance 24 times smaller than REINFORCE's.", color=style.GREY, va="baseline")
    sampled = tuple(Line2D([], [], color=colour, **POINT, **INTERVAL) for colour in (VARIANCE, BIAS))
    fig.legend([sampled, Line2D([], [], **EXACT)], ["sampled, 95 % interval", "exact"], loc="upper right", ncol=2,
               bbox_to_anchor=(1 - MARGIN / WIDTH, 1 - 0.12 / fig_height), borderpad=0, borderaxespad=0,
               columnspacing=1.6, handletextpad=0.7, handlelength=3.4,
               handler_map={tuple: HandlerTuple(ndivide=None, pad=0.6)})
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / "ladder.csv")), sys.argv[1], "ladder")
