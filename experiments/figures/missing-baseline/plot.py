"""Draws missing-baseline: plot.py DIR reads DIR/missing-baseline.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import LogLocator, NullFormatter  # noqa: E402

ID = "missing-baseline"
WIDTH, HEIGHT = 8.0, 4.0
LINES = [("reinforce", "REINFORCE", style.BLUE), ("reinforce-optimal", "with optimal constant b*", style.SKY),
         ("togo", "reward to go", style.ORANGE), ("togo-value", "reward to go minus $V_t(s)$", style.VERMILLION)]
NOTES = [("var_K_exact", {"reinforce": (4e-3, 2e7, r"$\propto\sigma^{-2}$"), "togo-value": (4e-3, 25, "flat")}),
         ("nsr_l", {"reinforce": (4e-3, 2e11, r"$\propto\sigma^{-4}$"),
                    "togo-value": (1.2e-3, 60, r"$\propto\sigma^{-2}$")})]


def draw(rows):
    fig = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    axes = fig.subplots(1, 2, gridspec_kw={"left": 0.075, "right": 0.98, "bottom": 0.12, "top": 0.74, "wspace": 0.22})
    titles = (r"gain: variance  $\mathrm{tr\,Cov}(g_K)$",
              r"log-std: noise to signal  $\mathrm{Var}(g_\ell)\,/\,(\partial J/\partial\ell)^2$")
    for ax, (column, notes), title in zip(axes, NOTES, titles):
        ax.set_xscale("log")
        ax.set_yscale("log")
        for name, _, colour in LINES:
            of = [row for row in rows if row["estimator"] == name]
            curve = [row for row in of if row["part"] == "curve"]
            ax.plot([style.number(row, "sigma2") for row in curve], [style.number(row, column) for row in curve],
                    color=colour, linewidth=1.5, zorder=3)
            for row in of:
                v, se = style.number(row, "var_K"), style.number(row, "var_K_se")
                if row["part"] == "table" and column == "var_K_exact":
                    at = style.number(row, "sigma2")
                    ax.plot([at, at], [v - 1.96 * se, v + 1.96 * se], color=colour, linewidth=1.4, zorder=4)
                    ax.plot(at, v, "o", color=colour, markersize=4.2, markeredgecolor="white", markeredgewidth=0.5,
                            zorder=5, clip_on=False)
            if name in notes:
                x, y, text = notes[name]
                ax.text(x, y, text, color=colour, fontsize=8.5, ha="center", va="center")
        ax.set_title(title, fontsize=9.5, loc="left", pad=8)
        ax.set_xlim(1e-4, 10)
        ax.set_xlabel(r"action variance $\sigma^2$")
        ax.grid(axis="y", color=style.PALE, linewidth=0.6)
        ax.yaxis.set_major_locator(LogLocator(numticks=8))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylim(1, 1e9)
    axes[1].set_ylim(1, 1e14)

    fig.text(0.015, 1 - 0.24 / HEIGHT, "The blow-up at small exploration is a missing state baseline", fontsize=12,
             weight="bold", va="baseline")
    fig.text(0.015, 1 - 0.44 / HEIGHT, r"Double integrator, $T=10$, $K=(-1,-3)$. Lines are exact, points sampled, with "
             "95 % intervals.", color=style.GREY, va="baseline")
    fig.legend([Line2D([], [], color=colour, linewidth=1.5) for _, _, colour in LINES],
               [label for _, label, _ in LINES], loc="upper left", ncol=4, bbox_to_anchor=(0.015, 1 - 0.53 / HEIGHT),
               borderpad=0, borderaxespad=0, columnspacing=1.8, handlelength=1.8, handletextpad=0.6)
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
