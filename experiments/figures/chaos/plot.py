"""Draws chaos: plot.py DIR reads DIR/chaos.csv and writes the SVG and the PNG."""
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator  # noqa: E402

ID = "chaos"
HEIGHT = 3.75
PATH, SCORE, BEST, MIX = style.VERMILLION, style.BLUE, style.SKY, style.GREEN
LIMITS = {"0.5": (8, 1e6), "2": (8, 1e15), "6": (8, 1e40)}


def draw(rows):
    fig = style.page(HEIGHT, "Pathwise gradients explode, in chaos and before it",
                     r"Variance of one trajectory's gradient in $\theta$ after $H$ steps of "
                     r"$x' = x + \theta + \frac{K}{2\pi}\sin 2\pi x + \sigma\xi$ on a circle; at the right of each $K$, how "
                     r"neighbours part.")
    style.key(fig, [(PATH, "pathwise"), (SCORE, "score function"), (BEST, "with the best baseline"),
                    (MIX, "pathwise and score, mixed by inverse variance"), (style.GREY, "dots: sampled")])
    for i, (K, limits) in enumerate(LIMITS.items()):
        ax = style.panel(fig, 0.62 + 2.52 * i, 1.22, 2.1, 2.05)
        of = [row for row in rows if row["K"] == K and row["part"] == "step"]
        H = style.column(of, "H")
        ax.set_yscale("log")
        for column, colour, width in (("mix", MIX, 2.6), ("score_optimal", BEST, 1.4), ("score", SCORE, 1.4),
                                      ("pathwise", PATH, 1.4)):
            ax.plot(H, style.column(of, column), color=colour, linewidth=width, zorder=3,
                    alpha=0.55 if column == "mix" else 1)
        for column, colour in (("score_sampled", SCORE), ("pathwise_sampled", PATH)):
            ax.plot(H[1::2], style.column(of, column)[1::2], color=colour, marker="o", markersize=3,
                    markeredgecolor="white", markeredgewidth=0.4, linestyle="none", zorder=5)
        row = next(row for row in rows if row["K"] == K and row["part"] == "crossing")
        crossing, growth = style.number(row, "crossing"), math.exp(style.number(row, "lyapunov"))
        ax.set_xlim(0, 30.5)
        ax.set_ylim(*limits)
        ax.xaxis.set_major_locator(FixedLocator([1, 10, 20, 30]))
        exponents = {"0.5": (1, 2, 3, 4, 5, 6), "2": (1, 3, 6, 9, 12, 15), "6": (1, 10, 20, 30, 40)}[K]
        ax.yaxis.set_major_locator(FixedLocator([10.0 ** e for e in exponents]))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: "10" if y == 10 else f"$10^{{{round_log(y)}}}$"))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.grid(axis="y", color=style.PALE, linewidth=0.6)
        ax.set_xlabel("steps $H$")
        style.name_panel(ax, f"$K$ = {K}", f"pathwise loses from {crossing:.0f} steps on", f"× {growth:.2f} a step")
    return fig


def round_log(y):
    return len(f"{y:.0f}") - 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
