"""Draws score-pathwise-measure: plot.py DIR reads DIR/score-pathwise-measure.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter  # noqa: E402

ID = "score-pathwise-measure"
NOTE = {"fontsize": 7.2, "color": style.GREY, "va": "top", "linespacing": 1.3,
        "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1}}
WIDTH, HEIGHT = 8.0, 5.5
LINES = [("score", "score function", style.BLUE, "-"),
         ("score_optimal", "score function, optimal b*", style.SKY, "-"),
         ("pathwise", "pathwise", style.VERMILLION, "-"),
         ("measure_valued", "measure-valued, coupled", style.GREEN, "-")]
FAMILIES = [("quadratic", r"$f(x)=(x-k)^2$", [-3, -2, -1, 0, 1, 2, 3]),
            ("exp", r"$f(x)=\exp(-k x^2)$", [0.1, 0.3, 1, 3, 10]),
            ("cos", r"$f(x)=\cos(k x)$", [0.5, 1, 2, 5])]
LIMITS = {("quadratic", "mu"): (0.5, 2000), ("quadratic", "sigma"): (0.5, 3000), ("exp", "mu"): (1.2e-3, 20),
          ("exp", "sigma"): (3e-3, 20), ("cos", "mu"): (4e-3, 30), ("cos", "sigma"): (3e-2, 30)}


def draw(rows):
    fig = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    axes = fig.subplots(2, 3, gridspec_kw={"left": 0.085, "right": 0.985, "bottom": 0.09, "top": 0.8, "wspace": 0.25,
                                           "hspace": 0.2})
    for line, theta in zip(axes, ("mu", "sigma")):
        for ax, (family, formula, ticks) in zip(line, FAMILIES):
            of = [row for row in rows if row["family"] == family and row["theta"] == theta]
            curve = [row for row in of if row["part"] == "curve"]
            k = [style.number(row, "k") for row in curve]
            low, high = LIMITS[family, theta]
            ax.set_yscale("log")
            if family != "quadratic":
                ax.set_xscale("log")
            for column, _, colour, dash in LINES:
                y = [max(style.number(row, column), low / 10) for row in curve]
                ax.plot(k, y, color=colour, linestyle=dash, linewidth=1.5)
            for row in of:
                if row["part"].startswith("crossing"):
                    at, v = style.number(row, "crossing"), style.number(row, "pathwise")
                    face = style.SKY if "b*" in row["part"] else style.BLUE
                    ax.plot([at, at], [low, v], color=style.GREY, linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)
                    ax.plot(at, v, "o", markersize=5, color=face, markeredgecolor=style.INK, markeredgewidth=0.7,
                            zorder=5)
            crossings = {row["part"]: style.number(row, "crossing") for row in of if row["part"].startswith("cross")}
            if crossings:
                ax.text(0.03, 0.965, f"pathwise loses\nfrom $k$ = {crossings['crossing']:.3f}\n"
                        f"or {crossings['crossing, b*']:.3f} with b*",
                        transform=ax.transAxes, **NOTE)
            else:
                ax.text(0.97, 0.965, "no crossing: pathwise\nbelow at every $k$", transform=ax.transAxes, ha="right", **NOTE)
            ax.set_ylim(low, high)
            ax.set_xlim(k[0], k[-1])
            ax.xaxis.set_major_locator(FixedLocator(ticks))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.yaxis.set_major_locator(LogLocator(numticks=8))
            ax.yaxis.set_minor_formatter(NullFormatter())
            ax.grid(axis="y", color=style.PALE, linewidth=0.6)
            if theta == "mu":
                ax.set_title(formula, fontsize=9.5, loc="left", pad=7)
            else:
                ax.set_xlabel("$k$")
        line[0].set_ylabel({"mu": r"variance, gradient in $\mu$", "sigma": r"variance, gradient in $\sigma$"}[theta])

    fig.text(0.015, 1 - 0.24 / HEIGHT, "Score function, pathwise and measure-valued gradients", fontsize=12,
             weight="bold", va="baseline")
    fig.text(0.015, 1 - 0.44 / HEIGHT, r"Exact variance of one sample's estimate of the gradient of "
             r"$\mathrm{E}\,f(x)$,  $x\sim\mathcal{N}(\mu,\sigma^2)$,  at $\mu=\sigma=1$.", color=style.GREY,
             va="baseline")
    handles = [Line2D([], [], color=colour, linestyle=dash, linewidth=1.5) for _, _, colour, dash in LINES]
    handles.append(Line2D([], [], linestyle="none", marker="o", markersize=5, color="white",
                          markeredgecolor=style.INK, markeredgewidth=0.7))
    fig.legend(handles, [label for _, label, _, _ in LINES] + ["crossing"], loc="upper left", ncol=5,
               bbox_to_anchor=(0.015, 1 - 0.52 / HEIGHT), borderpad=0, borderaxespad=0, columnspacing=1.6,
               handlelength=1.8, handletextpad=0.6)
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
