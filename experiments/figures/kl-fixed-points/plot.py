"""Draws kl-fixed-points: plot.py DIR reads DIR/kl-fixed-points.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator  # noqa: E402

ID = "kl-fixed-points"
HEIGHT = 4.0
TOP, TALL = 1.0, 2.55  # inches of the panels
VARIANTS = [("optimum", style.GREEN, "optimum"), ("partial", style.ORANGE, "V3.2, $k_2$ loss"),
            ("k3", style.BLUE, "$k_3$ loss (GRPO)")]
RUN_OFF = style.VERMILLION
MARKED = {"0.1": "0.1", "0.2": "0.2", "0.5": "0.5", "1": "1"}
SHADES = {"0.05": 0.35, "0.1": 0.6, "0.2": 1.0}


def of(rows, part, variant=None, **more):
    return [row for row in rows if row["part"] == part and variant in (None, row["variant"]) and
            all(row[key] == value for key, value in more.items())]


def draw_front(ax, rows):
    for name, colour, label in VARIANTS:
        curve = of(rows, "curve", name)
        ax.plot(style.column(curve, "KL"), style.column(curve, "J"), color=colour, linewidth=1.6, zorder=4)
        path = of(rows, "path", name, beta="0.2")
        ax.plot(style.column(path, "KL"), style.column(path, "J"), color=colour, linewidth=0.8, linestyle=(0, (1, 1.2)), zorder=3)
        for beta in MARKED:
            (row,) = of(rows, "rest", name, beta=beta)
            ax.plot(style.number(row, "KL"), style.number(row, "J"), "o", color=colour, markersize=4.2,
                    markeredgecolor="white", markeredgewidth=0.6, zorder=6)
    for beta in MARKED:
        (row,) = of(rows, "rest", "optimum", beta=beta)
        ax.annotate(rf"$\beta={beta}$" if beta == "1" else beta, (style.number(row, "KL"), style.number(row, "J")),
                    xytext=(12, -7) if beta == "1" else (-5, 3), textcoords="offset points", fontsize=style.SMALL,
                    color=style.GREEN, ha="left" if beta == "1" else "right")
    (start,) = of(rows, "reference", "reference")
    ax.plot(style.number(start, "KL"), style.number(start, "J"), "o", color=style.INK, markersize=4.5, zorder=7,
            clip_on=False)
    ax.annotate("reference", (0, style.number(start, "J")), xytext=(8, -3), textcoords="offset points",
                fontsize=style.SMALL)
    (none,) = of(rows, "flow", "no penalty")
    x, y = style.number(none, "KL"), style.number(none, "J")
    ax.plot(x, y, "X", color=RUN_OFF, markersize=7, markeredgecolor="white", markeredgewidth=0.7, zorder=8, clip_on=False)
    ax.annotate(f"no penalty, and $k_3$ in\nthe reward: KL → {x:.2f}", (x, y), xytext=(14, 14), textcoords="offset points",
                fontsize=style.SMALL, color=RUN_OFF, ha="right", linespacing=1.35, annotation_clip=False)
    (worst,) = of(rows, "rest", "partial", beta="0.05")
    ax.annotate(f"→ {style.number(worst, 'KL'):.2f}", (style.number(worst, "KL"), 1), xytext=(0, 8),
                textcoords="offset points", fontsize=style.SMALL, color=style.ORANGE, ha="center", annotation_clip=False)
    ax.text(2.28, 0.84, "$k_2$ loss,\nV3.2", fontsize=style.SMALL, color=style.ORANGE, linespacing=1.3)
    ax.text(1.28, 0.7, "$k_3$ loss (GRPO)", fontsize=style.SMALL, color=style.BLUE, ha="left", va="center")
    ax.text(0.84, 0.74, "optimum", fontsize=style.SMALL, color=style.GREEN, ha="right", va="center")
    ax.set_xlim(0, 3.1)
    ax.set_ylim(0.1, 1.02)
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.yaxis.set_major_locator(FixedLocator([0.2, 0.4, 0.6, 0.8, 1]))
    ax.set_xlabel(r"KL$(\pi\,\Vert\,\mathrm{ref})$ at rest (nat)")
    ax.grid(color=style.PALE, linewidth=0.6)


def draw_gap(ax, rows):
    ax.set_xscale("log")
    low, high = (style.number(of(rows, "crossing", name)[0], "at") for name in
                 ("partial falls below k3", "partial rises above k3"))
    ax.axvspan(low, high, color=style.PALE, alpha=0.55, linewidth=0)
    for name, colour, label in [*VARIANTS[1:], ("no penalty", RUN_OFF, "no penalty")]:
        curve = of(rows, "curve", name)
        ax.plot(style.column(curve, "beta"), style.column(curve, "gap"), color=colour, linewidth=1.6 if name != "no penalty" else 1,
                linestyle="-" if name != "no penalty" else (0, (3, 2)))
    ax.text(0.34, 0.148, "$k_2$ loss,\nV3.2", fontsize=style.SMALL, color=style.ORANGE, va="center", linespacing=1.3)
    ax.text(0.021, 0.075, "$k_3$ loss", fontsize=style.SMALL, color=style.BLUE, va="center")
    ax.text(0.37, 0.187, "no penalty", fontsize=style.SMALL, color=RUN_OFF, va="center")
    ax.text(low * 1.08, 0.196, f"$k_2$ below $k_3$:\n{low:.3f} to {high:.2f}", fontsize=style.SMALL, color=style.GREY,
            va="top", linespacing=1.3)
    ax.set_xlim(0.02, 2)
    ax.set_ylim(0, 0.2)
    ax.xaxis.set_major_locator(FixedLocator([0.02, 0.1, 0.5, 2]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.yaxis.set_major_locator(FixedLocator([0, 0.05, 0.1, 0.15, 0.2]))
    ax.yaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.set_xlabel(r"$\beta$")
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)


def draw_trees(ax, rows):
    ends = {"0.05": 0, "0.1": 0, "0.2": 0, "0.5": 0}
    for beta in ends:
        trees = of(rows, "trees", V="2", beta=beta)
        colour = style.PURPLE if beta == "0.5" else style.BLUE
        alpha = SHADES.get(beta, 1)
        x, y = style.column(trees, "L"), style.column(trees, "share")
        ax.plot(x, y, color=colour, alpha=alpha, linewidth=1.2, linestyle="-" if beta != "0.5" else (0, (3, 2)))
        style.draw_points(ax, x, y, style.column(trees, "share_se"), colour, floor=0, alpha=alpha)
        ends[beta] = y[-1]
        ax.annotate(rf"$\beta={beta}$" if beta == "0.2" else beta, (x[-1], y[-1]), xytext=(6, 0), textcoords="offset points",
                    fontsize=style.SMALL, color=colour, alpha=max(alpha, 0.6), va="center", annotation_clip=False)
    ax.set_xlim(0.8, 8)
    ax.set_ylim(0, 1)
    ax.xaxis.set_major_locator(FixedLocator([1, 2, 4, 6, 8]))
    ax.yaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
    ax.set_xlabel("tokens of an answer, $L$")
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)


def draw(rows):
    fig = style.page(HEIGHT, "A partial KL gradient can end farther from the reference than no penalty",
                     r"Where updates for $J-\beta\,$KL$(\pi\,\Vert\,\mathrm{ref})$ come to rest, by how the KL is put in. Exact; "
                     r"dotted, flows from the reference at $\beta=0.2$.")
    front = style.panel(fig, 0.42, TOP, 3.15, TALL)
    gap = style.panel(fig, 4.07, TOP, 1.65, TALL)
    trees = style.panel(fig, 6.22, TOP, 1.28, TALL)
    draw_front(front, rows)
    draw_gap(gap, rows)
    draw_trees(trees, rows)
    style.name_panel(front, "SEQ-31", "$J$ at rest")
    style.name_panel(gap, "Value lost", "below the optimum")
    style.name_panel(trees, "Random trees", "share where $k_2$ ends below $k_3$")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
