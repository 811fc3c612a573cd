"""Draws the baseline parabola: plot.py DIR reads DIR/baseline-parabola.csv and writes the .svg and .png there."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402

VARIANCE, FLOOR = style.BLUE, style.VERMILLION
NOTES = {"bandit": "four arms, one step", "chain": "γ = 0.95, horizon 20", "four-rooms": "γ = 0.99, horizon 100"}

# Inches.
HEIGHT = 4.66
LEFT, GAP = 0.68, 0.48
PANEL, BELOW = 2.25, 0.55  # heights
TOP = 1.3


def by_name(rows, name):
    return next(row for row in rows if row["rung"] == name)


def draw_marks(axes, rows):
    """Lines at b = 0, E R and b*, named above the upper axes."""
    at = {name: style.number(by_name(rows, rung), "b")
          for name, rung in {"0": "b = 0", r"$\mathrm{E}\,R$": "b = E R", "$b^*$": "b = b*"}.items()}
    low, high = axes[0].get_xlim()
    width = axes[0].get_position().width * style.WIDTH
    names = sorted(at, key=at.get)
    for i, name in enumerate(names):
        for ax in axes:
            ax.axvline(at[name], color="#C8C8C8", linewidth=0.6, zorder=0)
        x = (at[name] - low) / (high - low) * width
        side = "center" if i == 0 else "right" if i == 1 else "left"  # the last two may be close together
        style.write(axes[0], x + {"center": 0, "right": 0.01, "left": -0.01}[side], 0.06, name, fontsize=style.SMALL,
                    ha=side, va="baseline")


def draw_world(fig, left, width, world, rows):
    ax = style.panel(fig, left, TOP, width, PANEL)
    residual = style.panel(fig, left, TOP + PANEL + 0.16, width, BELOW)
    curve = [row for row in rows if row["rung"] == "curve"]
    floor = by_name(rows, "one for each parameter")
    sampled = [row for row in rows if row["rung"].startswith("point") or row["rung"] == "b = E R"]
    b = [style.number(row, "b") for row in sampled]
    values, ses, exact = ([style.number(row, "trace_cov" + suffix) for row in sampled] for suffix in ("", "_se", "_exact"))

    ax.plot([style.number(row, "b") for row in curve], [style.number(row, "trace_cov_exact") for row in curve],
            color=style.INK, linewidth=0.9, zorder=3)
    style.draw_points(ax, b, values, ses, VARIANCE)
    for name in "b = 0", "b = E R", "b = b*":
        row = by_name(rows, name)
        ax.plot(style.number(row, "b"), style.number(row, "trace_cov_exact"), zorder=4, **style.EXACT)
    lowest = style.number(floor, "trace_cov_exact")
    ax.axhline(lowest, color=FLOOR, linewidth=0.9, linestyle=(0, (4, 2)), zorder=2)
    middle = style.number(by_name(rows, "b = b*"), "b")
    ax.plot(middle, lowest, zorder=4, **style.EXACT)
    style.draw_points(ax, [middle], [style.number(floor, "trace_cov")], [style.number(floor, "trace_cov_se")], FLOOR)

    ends = [style.number(row, "b") for row in curve]
    edge = 0.06 * (ends[-1] - ends[0])
    for each in ax, residual:
        each.set_xlim(ends[0] - edge, ends[-1] + edge)
        each.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        each.xaxis.set_major_formatter(style.plain)
        each.yaxis.set_major_formatter(style.plain)
    ax.set_ylim(0, 1.08 * max(style.number(row, "trace_cov_exact") for row in curve))
    ax.tick_params(labelbottom=False)
    none, best = (style.number(by_name(rows, name), "trace_cov_exact") for name in ("b = 0", "b = b*"))
    ax.annotate(f"÷ {none / best:.2g}", (middle, best), (0, 7), textcoords="offset points", fontsize=style.SMALL,
                color=VARIANCE, ha="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    ax.annotate(f"a baseline for each\nparameter: ÷ {none / lowest:.2g}", (1, lowest), (-2, -4),
                xycoords=ax.get_yaxis_transform(), textcoords="offset points", fontsize=style.SMALL, color=FLOOR,
                ha="right", va="top", linespacing=1.15, zorder=1.5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})

    residual.axhline(0, color=style.INK, linewidth=0.9, zorder=3)
    style.draw_points(residual, b, [100 * (v / e - 1) for v, e in zip(values, exact)],
                      [100 * s / e for s, e in zip(ses, exact)], VARIANCE)
    most = max(abs(v / e - 1) + 1.96 * s / e for v, s, e in zip(values, ses, exact)) * 110
    residual.set_ylim(-most, most)
    residual.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10], symmetric=True))
    residual.set_xlabel("baseline  $b$")
    draw_marks((ax, residual), rows)

    style.name_panel(ax, world, NOTES[world], f"{style.number(floor, 'n'):,.0f} trajectories", up=0.28)
    return ax, residual


def draw(rows):
    worlds = {}
    for row in rows:
        worlds.setdefault(row["world"], []).append(row)
    fig = style.page(HEIGHT, "A constant baseline: the variance is a parabola",
                     r"$g = (R - b)\,\Sigma_t \nabla \log \pi(a_t | s_t)$ from one trajectory; the points of a world share "
                     "their trajectories.   ÷ 3.9: 3.9 times less variance than with $b = 0$.")
    width = (style.WIDTH - LEFT - style.MARGIN - GAP * (len(worlds) - 1)) / len(worlds)
    panels = [draw_world(fig, LEFT + i * (width + GAP), width, world, rows_of)
              for i, (world, rows_of) in enumerate(worlds.items())]
    panels[0][0].set_ylabel(r"variance  $\mathrm{tr\,Cov}(g)$", color=VARIANCE)
    panels[0][1].set_ylabel("sampled −\nexact, %", color=VARIANCE)
    for ax, away in zip(panels[0], (0.42, 0.34)):
        ax.yaxis.set_label_coords(-away / width, 0.5)
    fig.legend([Line2D([], [], color=VARIANCE, **style.POINT, **style.INTERVAL), Line2D([], [], color=style.INK, linewidth=0.9, **{**style.EXACT, "linestyle": "-"})],
               ["sampled, 95 % interval", "exact"], loc="upper right", ncol=2,
               bbox_to_anchor=(1 - style.MARGIN / style.WIDTH, 1 - 0.12 / HEIGHT), borderpad=0, borderaxespad=0,
               columnspacing=1.6, handletextpad=0.7, handlelength=2.4)
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / "baseline-parabola.csv")), sys.argv[1], "baseline-parabola")
