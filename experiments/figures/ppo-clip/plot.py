"""Draws PPO's clipped surrogate: plot.py DIR reads DIR/ppo-clip.csv and writes the .svg and .png there."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import FixedLocator  # noqa: E402

VALUE, SLOPE = style.BLUE, style.VERMILLION
EXACT = {"color": style.INK, "linewidth": 0.9, "zorder": 3}

# Inches.
LEFT, GAP = 0.68, 0.6
TOP, PANEL, BETWEEN, BELOW = 1.08, 1.75, 0.2, 0.8
HEIGHT = TOP + PANEL + BETWEEN + BELOW + 0.55


def draw_sign(fig, left, width, A, rows):
    value, slope = (style.panel(fig, left, top, width, height)
                    for top, height in ((TOP, PANEL), (TOP + PANEL + BETWEEN, BELOW)))
    line = [row for row in rows if row["part"] == "line"]
    points = [row for row in rows if row["part"] == "point"]
    corners = style.column(line, "r")[1:3]
    for ax in value, slope:
        ax.axvspan(*((corners[1], 2) if A > 0 else (0, corners[0])), color="#F1F1F1", linewidth=0, zorder=0)
        ax.axhline(0, color="#C8C8C8", linewidth=0.6, zorder=0.5)
        ax.axvline(1, color="#C8C8C8", linewidth=0.6, zorder=0.5)
        ax.set_xlim(0, 2)
    value.plot(style.column(line, "r"), style.column(line, "unclipped"), color=style.GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=2)
    value.plot(style.column(line, "r"), style.column(line, "L_expected"), **EXACT)
    value.plot(style.column(points, "r"), style.column(points, "L"), linestyle="none", color=VALUE, zorder=4,
               **{**style.POINT, "markersize": 2.6})
    one = next(row for row in points if row["r"] == "1")
    value.plot(1, style.number(one, "L"), marker="o", markersize=6.5, markeredgewidth=0, color=VALUE, zorder=5)
    for region in "free", "clipped":
        of = [row for row in points if row["region"] == region]
        slope.plot(style.column(of, "r"), style.column(of, "slope_expected"), **EXACT)
    slope.plot(style.column(points, "r"), style.column(points, "slope"), linestyle="none", color=SLOPE, zorder=4, clip_on=False,
               **{**style.POINT, "markersize": 2.6})

    flat = style.number(line[2 if A > 0 else 1], "L_expected")
    value.annotate(r"$(1+\epsilon)\,A$" if A > 0 else r"$(1-\epsilon)\,A$", (1.62 if A > 0 else 0.38, flat), (0, -4),
                   textcoords="offset points", ha="center", va="top", fontsize=style.SMALL)
    end = 1.62 if A > 0 else 0.38
    value.annotate("$rA$", (end, end * A), (-4, 3) if A > 0 else (4, 4), textcoords="offset points", ha="right" if A > 0 else "left",
                   va="bottom", fontsize=style.SMALL, color=style.GREY)
    value.set_ylim(*((0, 2) if A > 0 else (-2, 0)))
    value.yaxis.set_major_locator(FixedLocator([0, 0.5, 1, 1.5, 2] if A > 0 else [-2, -1.5, -1, -0.5, 0]))
    slope.set_ylim(*((-0.25, 1.25) if A > 0 else (-1.25, 0.25)))
    slope.yaxis.set_major_locator(FixedLocator([0, 1] if A > 0 else [-1, 0]))
    for ax in value, slope:
        ax.xaxis.set_major_locator(FixedLocator([0, corners[0], 1, corners[1], 2]))
        ax.xaxis.set_major_formatter(lambda x, _: {corners[0]: r"$1-\epsilon$", corners[1]: r"$1+\epsilon$"}.get(x, style.plain(x)))
        ax.yaxis.set_major_formatter(style.plain)
    value.tick_params(labelbottom=False)
    slope.set_xlabel(r"probability ratio  $r = \pi(a|s)\,/\,\mu(a|s)$")
    style.name_panel(value, f"A {'>' if A > 0 else '<'} 0", "better than expected: nothing to gain beyond 1 + ε" if A > 0 else
                     "worse than expected: nothing to gain below 1 − ε")
    return value, slope


def draw(rows):
    fig = style.page(HEIGHT, "PPO's clipped surrogate, one term",
                     r"$L(r) = \min(rA,\ \mathrm{clip}(r, 1-\epsilon, 1+\epsilon)\,A)$, with $A = \pm 1$ and "
                     r"$\epsilon = 0.2$.   The slope is zero where the background is grey, and nowhere else.")
    width = (style.WIDTH - LEFT - GAP - style.MARGIN - 0.04) / 2
    panels = [draw_sign(fig, LEFT + i * (width + GAP), width, A, [row for row in rows if float(row["A"]) == A])
              for i, A in enumerate((1, -1))]
    panels[0][0].set_ylabel("$L(r)$", color=VALUE)
    panels[0][1].set_ylabel(r"$\mathrm{d}L/\mathrm{d}r$", color=SLOPE)
    for ax in panels[0]:
        ax.yaxis.set_label_coords(-0.42 / width, 0.5)
    dots = [Line2D([], [], linestyle="none", color=colour, **{**style.POINT, "markersize": 3.2}) for colour in (VALUE, SLOPE)]
    fig.legend([*dots, Line2D([], [], **EXACT)], ["the code's surrogate", "its derivative, by autodiff", "expected"], loc="upper right", ncol=3,
               bbox_to_anchor=(1 - style.MARGIN / style.WIDTH, 1 - 0.12 / HEIGHT), borderpad=0, borderaxespad=0,
               columnspacing=1.4, handletextpad=0.6, handlelength=1.4)
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / "ppo-clip.csv")), sys.argv[1], "ppo-clip")
