"""Draws the frontier of GAE: plot.py DIR reads DIR/gae-frontier.csv and writes the .svg and .png there."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.lines import Line2D  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter  # noqa: E402

VARIANCE, BIAS = style.BLUE, style.VERMILLION
CRITICS = {"V": "exact critic, $V_t(s)$", "V/2": "wrong critic, $V_t(s)\\,/\\,2$"}
NOTES = {"chain": "γ = 0.95, horizon 20", "four-rooms": "γ = 0.99, horizon 100"}
SHOWN_N = (10, 100, 1000, 10000)
LOWEST = {"chain": 4e-6, "four-rooms": 1e-6}

# Inches.
LEFT, GAP, LAST_GAP, RIGHT = 0.68, 0.46, 1.08, 0.2
PANEL = 2.2
TOP, DOWN = 1.12, 3.14  # of the first row of panels, and from one to the next
HEIGHT = TOP + DOWN + PANEL + 0.5


def spread_lambda(axis_of, name):
    """A scale on which the lambdas near 1 have room."""
    getattr(axis_of, f"set_{name}scale")("function", functions=(
        lambda x: 1 - np.sqrt(np.maximum(0, 1 - np.asarray(x))), lambda u: 1 - (1 - np.asarray(u)) ** 2))
    axis = getattr(axis_of, name + "axis")
    axis.set_major_locator(FixedLocator([0, 0.5, 0.8, 0.9, 0.95, 0.99, 1]))
    axis.set_major_formatter(lambda x, _: style.plain(x) if name == "y" or x in (0, 0.5, 0.9, 1) else "")
    getattr(axis_of, f"set_{name}lim")(0, 1)


def draw_errors(ax, rows, world):
    """Variance, squared bias and the mean squared error of averages, against lambda."""
    curve = [row for row in rows if row["part"] == "curve"]
    x, bias, variance = style.column(curve, "lambda"), style.column(curve, "bias_sq_exact"), style.column(curve, "variance_exact")
    best = {int(row["n"]): row for row in rows if row["part"] == "best"}
    for N in SHOWN_N:
        ax.plot(x, [b + v / N for b, v in zip(bias, variance)], color=style.GREY, linewidth=0.7, zorder=2)
        ax.plot(style.number(best[N], "lambda"), style.number(best[N], "mse_exact"), marker="v", markersize=4.2,
                markeredgewidth=0, color=style.INK, zorder=7, clip_on=False)
    ax.plot(x, variance, color=VARIANCE, linewidth=1.1, zorder=3)
    if max(bias) > LOWEST[world]:
        ax.plot(*zip(*[(xi, max(bi, LOWEST[world] / 10)) for xi, bi in zip(x, bias)]), color=BIAS, linewidth=1.1,
                zorder=3)
    else:
        ax.text(0.03, 0.94, r"$|\mathrm{bias}|^2 = 0$ at every λ", transform=ax.transAxes, color=BIAS,
                fontsize=style.SMALL)

    sampled = [row for row in rows if row["part"] == "sampled"]
    at = style.column(sampled, "lambda")
    for name, colour in ("variance", VARIANCE), ("bias_sq", BIAS):
        if name == "bias_sq" and max(bias) < LOWEST[world]:
            continue
        shown = [row for row in sampled if style.number(row, name + "_exact") > LOWEST[world]]
        style.draw_points(ax, style.column(shown, "lambda"), style.column(shown, name), style.column(shown, name + "_se"), colour,
                          floor=LOWEST[world] / 10)
        ax.plot(style.column(shown, "lambda"), style.column(shown, name + "_exact"), zorder=4, clip_on=False, **style.EXACT)
    ax.set_yscale("log")
    spread_lambda(ax, "x")
    ax.set_ylim(LOWEST[world], 3)
    ax.yaxis.set_major_locator(LogLocator(numticks=8))
    ax.yaxis.set_minor_formatter(NullFormatter())
    return variance, bias


def draw_best(ax, rows):
    """lambda* against N, a line a critic."""
    for critic, colour, fill in ("V/2", style.INK, style.INK), ("V", style.GREY, "white"):
        best = [row for row in rows if row["part"] == "best" and row["critic"] == critic]
        ax.plot(style.column(best, "n"), style.column(best, "lambda"), color=colour, linewidth=0.9, marker="v", markersize=4.2,
                markerfacecolor=fill, markeredgewidth=0.8, clip_on=False, zorder=4)
    ax.set_xscale("log")
    ax.set_xlim(0.8, 1.25e5)
    spread_lambda(ax, "y")
    ax.xaxis.set_major_locator(LogLocator(numticks=7))
    ax.xaxis.set_minor_formatter(NullFormatter())


def draw(rows):
    worlds = {}
    for row in rows:
        worlds.setdefault(row["world"], []).append(row)
    fig = style.page(HEIGHT, "GAE trades bias for variance",
                     "The estimate from one trajectory, and an average over $N$.   Points: sampled, 95 % intervals; lines and "
                     "diamonds: exact.")
    width = (style.WIDTH - LEFT - RIGHT - GAP - LAST_GAP) / 3
    for i, (world, of_world) in enumerate(worlds.items()):
        top = TOP + i * DOWN
        panels = []
        for j, critic in enumerate(CRITICS):
            ax = style.panel(fig, LEFT + j * (width + GAP), top, width, PANEL)
            of_critic = [row for row in of_world if row["critic"] == critic]
            variance, bias = draw_errors(ax, of_critic, world)
            n = next(style.number(row, "n") for row in of_critic if row["part"] == "sampled")
            style.name_panel(ax, *((world, CRITICS[critic]) if j == 0 else
                                   ("", CRITICS[critic], f"{NOTES[world]};  {n:,.0f} trajectories")))
            ax.set_xlabel("λ")
            if j:
                ax.tick_params(labelleft=False)
            for N in SHOWN_N:
                ax.annotate(f"$N$ = {N}" if N == SHOWN_N[0] else f"{N:,}", (1, bias[-1] + variance[-1] / N), (4, 0),
                            textcoords="offset points", fontsize=6.6, color=style.GREY, va="center_baseline")
            panels.append(ax)
        panels[0].set_ylabel("variance and $|\\mathrm{bias}|^2$")
        ax = style.panel(fig, LEFT + 2 * width + GAP + LAST_GAP, top, width, PANEL)
        draw_best(ax, of_world)
        best_of_exact = next(style.number(row, "lambda") for row in of_world
                             if row["part"] == "best" and row["critic"] == "V")
        ax.set_xlabel("$N$, trajectories averaged")
        ax.set_ylabel(r"best λ for $N$,  $\lambda^*(N)$")
        style.name_panel(ax, "", "the λ of least mean squared error")
        for critic, at, place in ("V/2", (1e5, 0.99), (0, -9)), ("V", (1e5, best_of_exact), (0, 6)):
            ax.annotate(f"critic ${critic}$", at, place, textcoords="offset points", fontsize=style.SMALL, ha="right",
                        va="top" if place[1] < 0 else "bottom", color=style.INK if critic == "V/2" else style.GREY)

    error = Line2D([], [], color=style.GREY, linewidth=0.7, marker="v", markersize=4.2, markeredgewidth=0,
                   markerfacecolor=style.INK)
    fig.legend([Line2D([], [], color=VARIANCE), Line2D([], [], color=BIAS), error],
               ["variance", r"$|\mathrm{bias}|^2$", r"$|\mathrm{bias}|^2 +$ variance$\,/N$ and its minimum"],
               loc="upper right", ncol=3, bbox_to_anchor=(1 - style.MARGIN / style.WIDTH, 1 - 0.1 / HEIGHT),
               borderpad=0, borderaxespad=0, columnspacing=1.6, handletextpad=0.7, handlelength=2.4)
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / "gae-frontier.csv")), sys.argv[1], "gae-frontier")
