"""Draws vineppo: plot.py DIR reads DIR/vineppo.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

ID = "vineppo"
HEIGHT = 3.75
BARS = [("advantage", "", "exact advantages", style.GREEN), ("value", "", "minus exact $V$", style.INK),
        ("none", "", "no baseline", style.INK), ("rloo:16", "", "RLOO-16", style.BLUE), ("rloo:4", "", "RLOO-4", style.BLUE),
        ("vine", "1", "VinePPO, $K$ = 1", style.VERMILLION), ("vine", "2", "$K$ = 2", style.VERMILLION),
        ("vine", "3", "$K$ = 3", style.VERMILLION), ("vine", "9", "$K$ = 9", style.VERMILLION)]


def log_axis(axis, ticks):
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(style.plain))
    axis.set_minor_locator(NullLocator())


def draw(rows):
    fig = style.page(HEIGHT, "VinePPO at equal tokens",
                     "Variance of one answer's gradient times the tokens it takes, with $K$ fresh rollouts from every prefix. "
                     "Less is better.")
    bars = style.panel(fig, 1.35, 1.0, 2.75, 2.25)
    chain = style.panel(fig, 4.85, 1.0, 2.2, 2.25)
    bars.set_xscale("log")
    bars.set_xlim(0.15, 12)
    bars.set_ylim(len(BARS) - 0.4, -0.6)
    log_axis(bars.xaxis, [0.2, 0.5, 1, 2, 5, 10])
    bars.yaxis.set_major_locator(FixedLocator(range(len(BARS))))
    bars.set_yticklabels([name for _, _, name, _ in BARS])
    bars.tick_params(axis="y", length=0)
    bars.grid(axis="x", color=style.PALE, linewidth=0.6)
    seq = [r for r in rows if r["world"] == "SEQ-31"]
    for i, (method, K, _, colour) in enumerate(BARS):
        row = next(r for r in seq if r["method"] == method and r["K"] == K)
        cost = style.number(row, "cost")
        bars.plot([0.15, cost], [i, i], color=colour, linewidth=0.8, alpha=0.4, zorder=2)
        bars.plot(cost, i, color=colour, linestyle="none", zorder=4, **{**style.POINT, "markersize": 5})
        bars.text(cost * 1.13, i, f"{cost:.2f}", fontsize=style.SMALL, va="center", color=colour)
        sampled = style.number(row, "variance_sampled")
        if sampled is not None:
            bars.plot(sampled * style.number(row, "tokens_sampled"), i, zorder=5, **style.EXACT)
    bars.set_xlabel("tr Cov × tokens")

    chain.set_xscale("log")
    chain.set_yscale("log")
    chain.set_xlim(2, 256)
    log_axis(chain.xaxis, [2, 4, 16, 64, 256])
    log_axis(chain.yaxis, [0.1, 1, 10, 100, 1e3, 1e4, 1e5])
    for method, K, name, colour in (("none", "", "no baseline", style.INK), ("advantage", "", "exact\nadvantages", style.GREEN),
                                    ("vine", "1", "$K$ = 1", style.VERMILLION), ("vine", "9", "$K$ = 9", style.VERMILLION)):
        of = [r for r in rows if r["method"] == method and r["K"] == K and r["J"] == "0.3"]
        L, cost = ([style.number(r, c) for r in of] for c in ("L", "cost"))
        chain.plot(L, cost, color=colour, linewidth=1.4)
        chain.text(280, cost[-1], name, fontsize=style.SMALL, color=colour, va="center", linespacing=1.3)
    chain.set_xlabel("steps of an answer $L$")

    style.name_panel(bars, "SEQ-31", "dots exact, diamonds sampled with real rollouts")
    style.name_panel(chain, "chains of right steps", "tr Cov × tokens, $p$ = .3")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
