"""Draws noise-to-signal: plot.py DIR reads DIR/noise-to-signal.csv and writes the SVG and the PNG."""
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.colors import LogNorm  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: E402

ID = "noise-to-signal"
SMALL = 7.2
WIDTH, HEIGHT = 8.0, 7.75
FOOT = 2.75  # inches of it for the panels over the horizon
ESTIMATORS = {"reinforce": ("REINFORCE", style.BLUE), "reinforce-optimal": ("with optimal constant b*", style.SKY),
              "togo": ("reward to go", style.ORANGE), "togo-value": ("reward to go minus $V_t(s)$", style.VERMILLION),
              "td": ("TD error of the exact $V_t$", style.GREEN)}
MARKS = dict(zip(("large, large", "large, small", "small, small", "small, large"), "ABCD"))


UP = (0.355 * 5 + FOOT) / HEIGHT


def power(x):
    """A number with four digits, with a power of ten where it is long."""
    if 1e-3 <= x < 1e4:
        return f"{x:.4g}"
    exponent = math.floor(math.log10(x))
    return r"$%.3f\times10^{%d}$" % (x / 10**exponent, exponent)


def draw_horizon(fig, rows):
    """Three panels, a system each: the variance of the gradient in K against the horizon."""
    titles = {"0.9": "stable", "1": "marginal", "1.118": "unstable"}
    for i, (rho, title) in enumerate(titles.items()):
        ax = fig.add_axes([0.08 + 0.315 * i, 0.5 / HEIGHT, 0.27, 1.45 / HEIGHT])
        ax.set_yscale("log")
        for name, (_, colour) in ESTIMATORS.items():
            curve = [row for row in rows if row["rho"] == rho and row["name"] == name]
            ax.plot([int(row["T"]) for row in curve], [style.number(row, "var_K") for row in curve], color=colour,
                    linewidth=1.3)
        ax.set_xlim(1, 25)
        ax.set_ylim(10, 1e13)
        ax.set_xticks([1, 5, 10, 15, 20, 25])
        ax.yaxis.set_major_locator(LogLocator(numticks=8))
        ax.minorticks_off()
        ax.grid(axis="y", color=style.PALE, linewidth=0.6)
        ax.set_xlabel("horizon $T$")
        if i == 0:
            ax.set_ylabel(r"variance $\mathrm{tr\,Cov}(g_K)$")
        ax.set_title(rf"{title}, $\rho={rho}$", fontsize=9.5, loc="left", pad=5)
        if rho == "1.118":
            ax.plot([13, 25], [5e12 / float(rho) ** 72, 5e12], color=style.GREY, linewidth=0.7, linestyle=(0, (3, 2)))
            ax.text(16.5, 8e10, r"$\rho^{6T}$", fontsize=SMALL, color=style.GREY, ha="right")
    fig.text(0.015, 2.62 / HEIGHT, r"Against the horizon, in $K$ alone: a state that turns by half a radian and grows by "
             r"$\rho$ each step, $\sigma^2=0.1$, $\Sigma_0=I$, $K=0$. Exact.", color=style.GREY, va="baseline")
    fig.legend([Line2D([], [], color=colour, linewidth=1.3) for _, colour in ESTIMATORS.values()],
               [label for label, _ in ESTIMATORS.values()], loc="upper left", ncol=5, fontsize=SMALL,
               bbox_to_anchor=(0.015, 2.44 / HEIGHT), borderpad=0, borderaxespad=0, columnspacing=1.5,
               handlelength=1.6, handletextpad=0.5)


def draw(rows):
    fig = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    cells = [row for row in rows if row["part"] == "map"]
    x = sorted({style.number(row, "sigma2") for row in cells})
    y = sorted({style.number(row, "sigma0_2") for row in cells})
    value = {(row["sigma2"], row["sigma0_2"]): style.number(row, "nsr") for row in cells}
    names_x = sorted({row["sigma2"] for row in cells}, key=float)
    names_y = sorted({row["sigma0_2"] for row in cells}, key=float)
    z = [[value[a, b] for a in names_x] for b in names_y]

    ax = fig.add_axes([0.08, UP, 0.36, 0.36 * WIDTH / HEIGHT * 0.83])
    ax.set_xscale("log")
    ax.set_yscale("log")
    norm = LogNorm(10, 1e12)
    mesh = ax.pcolormesh(x, y, z, norm=norm, cmap="viridis", shading="gouraud", rasterized=True)
    ax.contour(x, y, z, levels=[10.0**i for i in range(2, 12)], colors="white", linewidths=0.6)
    ax.set_xlabel(r"action variance $\sigma^2$")
    ax.set_ylabel(r"variance of the initial state $\sigma_0^2$")
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    for side in ("top", "right"):
        ax.spines[side].set_visible(True)
    table = [row for row in rows if row["part"] == "table"]
    for row in table:
        ax.plot(style.number(row, "sigma2"), style.number(row, "sigma0_2"), "o", markersize=9.5, color="white",
                markeredgecolor=style.INK, markeredgewidth=0.7)
        ax.text(style.number(row, "sigma2"), style.number(row, "sigma0_2") * 0.97, MARKS[row["name"]], fontsize=6.5,
                ha="center", va="center_baseline", weight="bold")
    bar = fig.colorbar(mesh, cax=fig.add_axes([0.455, UP, 0.014, 0.36 * WIDTH / HEIGHT * 0.83]))
    bar.set_ticks([10.0**i for i in range(1, 13, 2)])
    bar.minorticks_off()
    bar.outline.set_visible(False)
    ax.set_title("Noise to signal, a contour per decade", fontsize=9.5, loc="left", pad=8)

    line = fig.add_axes([0.605, UP, 0.375, 0.36 * WIDTH / HEIGHT * 0.83])
    line.set_xscale("log")
    line.set_yscale("log")
    points = {(f"{style.number(row, 'sigma0_2') / style.number(row, 'sigma2'):.9g}", f"{style.number(row, 'nsr'):.9g}")
              for row in cells}  # those of a diagonal are one
    points = sorted((float(at), float(v)) for at, v in points)
    line.plot(*zip(*points), "o", markersize=3, markeredgewidth=0, color=style.BLUE)
    low = 18.5
    line.axhline(low, color=style.GREY, linewidth=0.7, linestyle=(0, (3, 2)), zorder=1)
    line.text(1e7, low * 1.25, "18.5", fontsize=SMALL, color=style.GREY, va="bottom", ha="right")
    line.plot([1e2, 1e8], [4038e2, 4038e8], color=style.GREY, linewidth=0.7, linestyle=(0, (3, 2)), zorder=4)
    line.text(2e3, 1.2e8, r"slope 1", fontsize=SMALL, color=style.GREY, ha="right")
    for row in table:
        at, v = style.number(row, "sigma0_2") / style.number(row, "sigma2"), style.number(row, "nsr")
        line.plot(at, v, "o", markersize=9.5, color="white", markeredgecolor=style.INK, markeredgewidth=0.7, zorder=5)
        line.text(at, v * 0.95, MARKS[row["name"]], fontsize=6.5, ha="center", va="center_baseline", weight="bold",
                  zorder=6)
    line.set_xlim(1e-8, 1e8)
    line.set_ylim(3, 3e12)
    line.grid(axis="y", color=style.PALE, linewidth=0.6)
    line.set_xlabel(r"$\sigma_0^2\,/\,\sigma^2$")
    line.set_title("All cells of the map, against one ratio", fontsize=9.5, loc="left", pad=8)
    for each in ax, line:
        each.xaxis.set_major_locator(LogLocator(numticks=6))
        each.yaxis.set_major_locator(LogLocator(numticks=8))
        each.xaxis.set_minor_formatter(NullFormatter())
        each.yaxis.set_minor_formatter(NullFormatter())
        each.minorticks_off()

    columns = [(0.03, "", None, "left"), (0.2, r"$\sigma^2$", None, "right"), (0.28, r"$\sigma_0^2$", "sigma0_2", "right"),
               (0.43, r"$\mathrm{Var}\,g_K$", "var_K", "right"), (0.55, r"$\mathrm{Var}\,g_\ell$", "var_l", "right"),
               (0.7, r"$\Vert\nabla_K J\Vert$", "norm_K", "right"),
               (0.84, r"$\Vert\nabla_\ell J\Vert$", "norm_l", "right"), (0.97, "NSR", "nsr", "right")]
    top, step = (1.08 + FOOT) / HEIGHT, 0.19 / HEIGHT
    for at, head, column, where in columns:
        fig.text(at, top, head, ha=where, va="baseline", color=style.GREY)
        for i, row in enumerate(table):
            text = (MARKS[row["name"]] if where == "left" else power(style.number(row, column)) if column
                    else f"$e^{{{math.log(style.number(row, 'sigma2')):.0f}}}$")
            fig.text(at, top - (i + 1.15) * step, text, ha=where, va="baseline",
                     weight="bold" if where == "left" else "normal")
    for up in (top - 0.42 * step, top - 4.6 * step):
        fig.add_artist(Line2D(
            [0.03, 0.97], [up, up], color="#B0B0B0", linewidth=0.6))

    draw_horizon(fig, [row for row in rows if row["part"] == "horizon"])
    fig.text(0.015, 1 - 0.24 / HEIGHT, "Noise to signal of REINFORCE in linear-quadratic control", fontsize=12,
             weight="bold", va="baseline")
    fig.text(0.015, 1 - 0.44 / HEIGHT, r"NSR $=\mathrm{tr\,Cov}(g)\,/\,\Vert\nabla J\Vert^2$ of one trajectory's estimate in "
             r"$K$ and $\ell=\log\sigma$, double integrator, $T=1$, $K=(-1,-3)$. Exact.", color=style.GREY,
             va="baseline")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
