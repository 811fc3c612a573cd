"""Draws action-dimension: plot.py DIR reads DIR/action-dimension.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: E402

ID = "action-dimension"
SMALL = 7.2
WIDTH, HEIGHT = 8.0, 4.1
LINES = [("none", "no baseline", style.GREY, "-", 1.4), ("state", "state baseline", style.BLUE, "-", 1.4),
         ("factorised mean", "factorised, mean", style.ORANGE, "-", 2.8),
         ("factorised optimal", "factorised, optimal", style.INK, (0, (3, 2)), 1.0),
         ("pathwise", "pathwise", style.VERMILLION, "-", 1.4)]


def draw(rows):
    fig = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    variance, noise = fig.subplots(1, 2, gridspec_kw={"left": 0.085, "right": 0.905, "bottom": 0.12, "top": 0.75,
                                                      "wspace": 0.62})
    for ax, column, title in ((variance, "variance_exact", r"variance  $\mathrm{tr\,Cov}(g)$"),
                              (noise, "nsr", r"noise to signal  $\mathrm{tr\,Cov}(g)\,/\,\Vert\nabla J\Vert^2$")):
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlim(1, 2000)
        ax.set_xlabel("action dimension $m$")
        ax.set_title(title, fontsize=9.5, loc="left", pad=8)
        ax.grid(axis="y", color=style.PALE, linewidth=0.6)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_locator(LogLocator(numticks=8))
        ax.yaxis.set_minor_formatter(NullFormatter())
        for name, _, colour, dash, width in LINES:
            of = [row for row in rows if row["estimator"] == name]
            ax.plot([style.number(row, "m") for row in of], [style.number(row, column) for row in of], color=colour,
                    linestyle=dash, linewidth=width, zorder=3)
            for row in of:
                v, se = style.number(row, "variance"), style.number(row, "variance_se")
                if v is None:
                    continue
                scale = 1 if column == "variance_exact" else 1 / style.number(row, "gradient_norm_sq")
                m = style.number(row, "m")
                ax.plot([m, m], [(v - 1.96 * se) * scale, (v + 1.96 * se) * scale], color=colour, linewidth=1.4,
                        zorder=4)
                ax.plot(m, v * scale, "o", color=colour, markersize=4, markeredgecolor="white", markeredgewidth=0.5,
                        zorder=5, clip_on=False)
    variance.set_ylim(0.3, 1e13)
    noise.set_ylim(3e-3, 1e9)

    last = {row["estimator"]: row for row in rows if row["m"] == "2000"}
    for ax, column, notes in ((variance, "variance_exact", {"none": "$O(m^3)$", "state": "$O(m^2)$",
                                                            "factorised mean": "$O(m)$", "pathwise": "$O(m)$"}),
                              (noise, "nsr", {"none": "$O(m^2)$", "state": "$O(m)$", "factorised mean": "constant",
                                              "pathwise": "constant"})):
        for name, _, colour, _, _ in LINES:
            if name in notes:
                ax.annotate(notes[name], (2000, style.number(last[name], column)), xytext=(7, 0),
                            textcoords="offset points", va="center", fontsize=8, annotation_clip=False,
                            color=colour)
    low, high = style.number(last["factorised mean"], "variance_exact"), style.number(last["state"], "variance_exact")
    variance.annotate("", (1500, low * 1.5), xytext=(1500, high / 1.9),
                      arrowprops={"arrowstyle": "<->", "color": style.GREY, "linewidth": 0.7})
    variance.text(1250, (low * high) ** 0.5 / 1.3, f"÷ {high / low:,.0f}", fontsize=SMALL, color=style.GREY, ha="right",
                  va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8}, zorder=6)

    fig.text(0.015, 1 - 0.24 / HEIGHT, "Baselines and the dimension of the action", fontsize=12, weight="bold",
             va="baseline")
    fig.text(0.015, 1 - 0.44 / HEIGHT, r"Quadratic bandit, $a\sim\mathcal{N}(\theta,I_m/4)$. $g$ is one sample's "
             r"estimate of the gradient in $\theta$. Lines are exact, points sampled, with 95 % intervals.",
             color=style.GREY, va="baseline")
    handles = [Line2D([], [], color=c, linestyle=d, linewidth=w) for _, _, c, d, w in LINES]
    fig.legend(handles, [label for _, label, _, _, _ in LINES], loc="upper left", ncol=5,
               bbox_to_anchor=(0.015, 1 - 0.53 / HEIGHT), borderpad=0, borderaxespad=0, columnspacing=1.6,
               handlelength=1.8, handletextpad=0.6)
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
