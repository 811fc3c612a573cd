"""Draws ppo-figure-3: plot.py DIR reads DIR/ppo-figure-3.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402

ID = "ppo-figure-3"
METHODS = {"ppo": ("PPO", style.BLUE), "a2c": ("A2C", style.ORANGE), "trpo": ("TRPO", style.GREEN)}
SOURCES = {"Schulman 2017": "D", "CleanRL": "o", "Baselines": "s", "Tianshou, best": "^"}

# Inches.
COLUMNS, LEFT, TOP, WIDE, HIGH, ACROSS, DOWN = 4, 0.52, 1.12, 1.42, 1.12, 0.42, 0.62


def draw_world(ax, rows):
    """The curves, and beside them what others have at a million steps."""
    for method, (_, colour) in METHODS.items():
        of = [row for row in rows if row["method"] == method and row["part"] in ("curve", "end")]
        x = style.column(of, "step")
        ax.fill_between(x, style.column(of, "least"), style.column(of, "most"), color=colour, alpha=0.2, linewidth=0)
        ax.plot(x, style.column(of, "return"), color=colour)
    end = max(int(row["step"]) for row in rows if row["part"] == "end")
    ax.set_xlim(0, end * 1.16)
    for row in rows:
        if row["part"] != "published":
            continue
        place = end * (1.04 + 0.045 * list(METHODS).index(row["method"]))
        ax.plot(place, style.number(row, "return"), marker=SOURCES[row["source"]], markersize=3.4, markerfacecolor="white", markeredgewidth=0.8,
                color=METHODS[row["method"]][1], linestyle="none", clip_on=False, zorder=5)
    ax.set_xticks([0, end])
    ax.xaxis.set_major_formatter(lambda v, _: f"{v / 1e6:.3g} M" if v >= 1e6 else f"{v / 1e3:.0f} k" if v else "0")
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_formatter(style.plain)


def draw(rows):
    worlds = list(dict.fromkeys(row["world"] for row in rows if row["part"] == "end"))
    ends = [row for row in rows if row["part"] == "end"]
    steps, seeds = int(ends[0]["step"]), ends[0]["n"]
    height = TOP + -(-len(worlds) // COLUMNS) * (HIGH + DOWN) + 0.05
    length = "a million steps" if steps == 1_000_000 else f"the first {steps:,} of a million steps"
    fig = style.page(height, "PPO, A2C and TRPO on MuJoCo",
                     f"Mean return of the last 100 episodes over {length}; lines: mean of {seeds} seeds, bands: least to most")
    for i, world in enumerate(worlds):
        ax = style.panel(fig, LEFT + i % COLUMNS * (WIDE + ACROSS), TOP + i // COLUMNS * (HIGH + DOWN), WIDE, HIGH)
        draw_world(ax, [row for row in rows if row["world"] == world])
        ax.set_title(world, fontsize=8 if len(world) < 25 else 7, weight="bold", loc="left")
    style.key(fig, [(colour, name) for name, colour in METHODS.values()])
    marks = [Line2D([], [], marker=m, markersize=3.4, markerfacecolor="white", markeredgewidth=0.8, color=style.GREY, linestyle="none")
             for m in SOURCES.values()]
    fig.legend(marks, [f"{name}, at 1 M" for name in SOURCES], loc="upper right", ncol=4, fontsize=style.SMALL,
               bbox_to_anchor=(1 - style.MARGIN / style.WIDTH, 1 - 0.56 / height), borderpad=0, borderaxespad=0, handletextpad=0.2,
               columnspacing=1.0, handlelength=1.2)
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
