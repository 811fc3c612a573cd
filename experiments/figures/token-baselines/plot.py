"""Draws token-baselines: plot.py DIR reads DIR/token-baselines.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter  # noqa: E402

ID = "token-baselines"
HEIGHT = 3.8
FAMILIES = {"none": (style.GREY, ""), "constant": (style.BLUE, "one number"),
            "position": (style.GREEN, "one for\neach position"),
            "prefix": (style.PURPLE, "one for\neach prefix"), "critic": (style.VERMILLION, "exact critic")}
NUMBERS = {"J": ("mean J", style.BLUE, (0, (1.2, 1.2))), "length": ("mean by length", style.BLUE, (0, (4, 1.6))),
           "constant": ("best constant", style.BLUE, "-"), "otb": ("OTB", style.GREEN, (0, (4, 1.6))),
           "position": ("best for each", style.GREEN, "-")}


def draw_variances(ax, rows):
    tied = [row for row in rows if row["policy"] == "tied"]
    prefix = {row["baseline"]: row for row in rows if row["policy"] == "prefix"}
    y, family, spans = 0, None, {}
    best = next(style.number(row, "trace_cov") for row in tied if row["baseline"] == "constant")
    ax.axvline(best, color=style.BLUE, linewidth=0.7, alpha=0.5, zorder=1)
    ticks = []
    for row in tied:
        y += 0.45 if family not in (None, row["family"]) else 0
        family = row["family"]
        c = FAMILIES[family][0]
        v, w = style.number(row, "trace_cov"), style.number(prefix[row["baseline"]], "trace_cov")
        ax.axhline(y, color=style.PALE, linewidth=0.5, zorder=0)
        ax.plot([0, v], [y, y], color=c, linewidth=4.4, alpha=0.3, solid_capstyle="butt", zorder=2)
        ax.plot(v, y, "o", markersize=4.8, color=c, markeredgewidth=0, zorder=4)
        ax.plot(w, y, "o", markersize=4.2, markerfacecolor="white", markeredgecolor=c, markeredgewidth=0.9, zorder=3)
        ax.text(1.015, y, f"{v:.4f}", transform=ax.get_yaxis_transform(), fontsize=style.SMALL, color=c, va="center")
        spans.setdefault(family, []).append(y)
        ticks.append((y, row["label"], c))
        y += 1
    ax.set_ylim(y - 0.4, -0.6)
    ax.set_xlim(0, 0.3)
    ax.set_yticks([t[0] for t in ticks], [t[1] for t in ticks], fontsize=style.SMALL)
    for label, (_, _, c) in zip(ax.get_yticklabels(), ticks):
        label.set_color(c)
    ax.tick_params(axis="y", length=0, pad=4)
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(FixedLocator([0, 0.1, 0.2, 0.3]))
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.set_xlabel(r"variance  $\mathrm{tr\,Cov}(g)$ of one answer")
    return spans


def draw_numbers(ax, rows):
    ends = []
    for name, (label, c, dash) in NUMBERS.items():
        of = [row for row in rows if row["policy"] == "tied" and row["baseline"] == name]
        x, b = [style.number(row, "position") for row in of], [style.number(row, "b") for row in of]
        ax.plot(x, b, color=c, linestyle=dash, linewidth=1.4, zorder=4)
        if c == style.GREEN:
            ax.plot(x, b, "o", color=c, markersize=3.6, markeredgewidth=0, zorder=4, clip_on=False)
        ends.append((b[-1], label, c))
    for b, label, c in ends:
        ax.annotate(label, (4, b), xytext=(6, 0), textcoords="offset points", fontsize=style.SMALL, color=c,
                    va="center")
    ax.set_xlim(0.9, 4)
    ax.set_ylim(0, 0.31)
    ax.xaxis.set_major_locator(FixedLocator([1, 2, 3, 4]))
    ax.yaxis.set_major_locator(FixedLocator([0, 0.1, 0.2, 0.3]))
    ax.yaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)
    ax.set_xlabel("token")


def draw(rows):
    variances = [row for row in rows if row["part"] == "variance"]
    fig = style.page(HEIGHT, "Beyond a constant, one number a position saves little, an exact critic most",
                     "Baselines of one answer that is paid at its end. Exact, with oracle baselines, on a world of 31 "
                     "answers.")
    left = style.panel(fig, 2.42, 1.0, 2.25, 2.3)
    spans = draw_variances(left, variances)
    style.name_panel(left, "Variance", note="●  logits shared by prefixes      ○  each prefix its own")
    low, high = left.get_ylim()
    for family, ys in spans.items():
        colour, text = FAMILIES[family]
        middle = 1.0 + 2.3 * (0.5 * (ys[0] + ys[-1]) - high) / (low - high)
        fig.text(style.MARGIN / style.WIDTH, 1 - middle / HEIGHT, text, fontsize=style.SMALL, color=colour, va="center",
                 weight="bold", linespacing=1.25)
    right = style.panel(fig, 5.5, 1.0, 1.3, 2.3)
    draw_numbers(right, [row for row in rows if row["part"] == "numbers"])
    style.name_panel(right, "What is subtracted", note="where logits are shared")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
