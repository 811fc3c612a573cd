"""Draws ppo-table-1: plot.py DIR reads DIR/ppo-table-1.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.lines import Line2D  # noqa: E402

ID = "ppo-table-1"
FAMILIES = [("no clipping", style.VERMILLION), ("clip", style.BLUE), ("adaptive KL", style.GREEN), ("fixed KL", style.ORANGE)]

# Inches.
TOP, ROW, GAP, LEFT, PANEL = 1.12, 0.24, 0.1, 1.75, 3.0


def colour(setting):
    return next(c for family, c in FAMILIES if setting.startswith(family))


def draw(rows):
    table = [row for row in rows if row["part"] == "table"]
    runs = [row for row in rows if row["part"] == "run"]
    worlds = list(dict.fromkeys(row["world"] for row in runs))
    seeds = len({row["seed"] for row in runs})
    at, y = [], TOP
    for i, row in enumerate(table):
        if i and colour(row["setting"]) != colour(table[i - 1]["setting"]):
            y += GAP
        at.append(y + ROW / 2)
        y += ROW
    height = y + 0.55
    fig = style.page(height, "PPO's surrogates, scored",
                     f"Mean return of the last 100 episodes, 0 for the untrained policy and 1 for the best setting of a world; {len(worlds)} "
                     f"worlds × {seeds} seeds, 95 % intervals")
    ax = style.panel(fig, LEFT, TOP, PANEL, y - TOP)
    ax.set_ylim(y, TOP)
    ax.axvline(0, color="#C8C8C8", linewidth=0.6, zorder=0.5)
    best = next(row for row in table if row["setting"] == "clip 0.2")
    ax.axvspan(style.number(best, "low"), style.number(best, "high"), color="#F1F1F1", linewidth=0, zorder=0)
    for row, place in zip(table, at):
        c = colour(row["setting"])
        ax.plot([style.number(row, "low"), style.number(row, "high")], [place, place], color=c, zorder=4, **style.INTERVAL)
        ax.plot(style.number(row, "score"), place, color=c, linestyle="none", zorder=5, **style.POINT)
        ax.plot(style.number(row, "paper"), place, zorder=6, **{**style.EXACT, "markersize": 4.4})
        fig.text((LEFT - 0.1) / style.WIDTH, 1 - place / height, row["setting"], ha="right", va="center",
                 weight="bold" if row is best else "normal")
    ax.set_yticks([])
    ax.set_xlabel("normalised score")
    ax.grid(axis="x", color=style.PALE, linewidth=0.6)
    ax.spines["left"].set_visible(False)

    columns = ["all", "paper", *worlds]
    x = LEFT + PANEL + 0.42
    step = (style.WIDTH - style.MARGIN - x) / (len(columns) - 0.5)
    for k, name in enumerate(columns):
        left = x + k * step
        fig.text(left / style.WIDTH, 1 - (TOP - 0.07) / height, style.wrap(name.replace("-", " "), style.SMALL, step - 0.05), ha="center",
                 va="bottom", fontsize=style.SMALL, color=style.GREY)
        for row, place in zip(table, at):
            of = row if k < 2 else next(r for r in rows if r["part"] == "world" and r["world"] == name and r["setting"] == row["setting"])
            value = style.number(of, "paper" if k == 1 else "score")
            fig.text(left / style.WIDTH, 1 - place / height, f"{value:.2f}".replace("-", "−"), ha="center", va="center",
                     fontsize=style.SMALL, color=style.INK if k == 0 else style.GREY)
    marks = [Line2D([], [], linestyle="none", color=style.BLUE, **style.POINT), Line2D([], [], **{**style.EXACT, "markersize": 4.4})]
    fig.legend(marks, ["measured here", "table 1 of the paper, seven worlds of MuJoCo"], loc="upper left", ncol=2,
               bbox_to_anchor=(style.MARGIN / style.WIDTH, 1 - 0.58 / height), borderpad=0, borderaxespad=0, handletextpad=0.4,
               columnspacing=1.4, handlelength=1.0)
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
