"""Draws engstrom-toggles: plot.py DIR reads DIR/engstrom-toggles.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import MaxNLocator  # noqa: E402

ID = "engstrom-toggles"
COLOURS = {"PPO": style.BLUE, "PPO-M": style.SKY, "PPO-NoClip": style.VERMILLION, "TRPO": style.ORANGE, "TRPO+": style.GREEN}

# Inches.
LEFT, WIDE, ACROSS, TOP, RATIO, KL, TABLE, NAMES = 0.62, 3.13, 0.74, 1.12, 1.3, 0.95, 0.215, 1.02


def draw_updates(fig, left, world, rows):
    ratio = style.panel(fig, left, TOP, WIDE, RATIO)
    kl = style.panel(fig, left, TOP + RATIO + 0.14, WIDE, KL, sharex=ratio)
    for ax, column in (ratio, "max_ratio"), (kl, "kl"):
        ax.set_yscale("log")
        for name, colour in COLOURS.items():
            of = [row for row in rows if row["part"] == "update" and row["variant"] == name]
            known = [(int(row["update"]) + 1, style.number(row, column)) for row in of]
            known = [(x, y) for x, y in known if y is not None and y > 0]
            ax.plot([x for x, _ in known], [y for _, y in known], color=colour, linewidth=0.9)
        ax.grid(axis="y", color=style.PALE, linewidth=0.6)
    ratio.axhline(1.2, color=style.INK, linewidth=0.8, linestyle=(0, (4, 2)))
    ratio.annotate(r"$1+\epsilon$", (1, 1.2), (2, 0), xycoords=ratio.get_yaxis_transform(), textcoords="offset points", fontsize=style.SMALL,
                   va="center")
    ratio.tick_params(labelbottom=False)
    ratio.margins(x=0)
    kl.set_xlabel("update")
    style.name_panel(ratio, world)
    return ratio, kl


def draw_returns(fig, left, top, rows):
    of = [row for row in rows if row["part"] in ("table", "toggle")]
    ax = style.panel(fig, left + NAMES, top, WIDE - NAMES, TABLE * len(of))
    ax.set_ylim(len(of) - 0.5, -0.5)
    for i, row in enumerate(of):
        colour = COLOURS.get(row["variant"], style.GREY)
        ax.plot([style.number(row, "low"), style.number(row, "high")], [i, i], color=colour, **style.INTERVAL)
        ax.plot(style.number(row, "return"), i, color=colour, linestyle="none", **style.POINT)
        for theirs in rows:
            if theirs["part"] == "published" and theirs["variant"] == row["variant"] and row["part"] == "table":
                ax.plot(style.number(theirs, "return"), i, **{**style.EXACT, "markersize": 4.4})
    ax.set_yticks(range(len(of)), [row["variant"] for row in of], fontsize=style.SMALL)
    ax.axhline(sum(row["part"] == "table" for row in of) - 0.5, color=style.PALE, linewidth=0.8)
    ax.grid(axis="x", color=style.PALE, linewidth=0.6)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.set_xlabel("return of the last 100 episodes")
    algorithm, code = (next(style.number(row, "return") for row in rows if row["part"] == "gaps" and row["variant"] == which)
                       for which in ("algorithm", "code"))
    ax.set_title(f"largest difference: of algorithms {algorithm:.0f}, of code {code:.0f}", fontsize=style.SMALL, color=style.GREY, loc="left")
    return len(of)


def draw(rows):
    worlds = list(dict.fromkeys(row["world"] for row in rows if row["part"] == "table"))
    n = next(row["n"] for row in rows if row["part"] == "table")
    variants = sum(row["part"] in ("table", "toggle") and row["world"] == worlds[0] for row in rows)
    below = TOP + RATIO + 0.14 + KL + 0.78
    fig = style.page(below + TABLE * variants + 0.5, "The clip does not bound the ratio; and what the code adds",
                     f"Above: the largest ratio of each update's batch, and its mean divergence, in one run.  Below: mean returns of {n} seeds, "
                     "95 % intervals")
    for i, world in enumerate(worlds):
        left = LEFT + i * (WIDE + ACROSS)
        of = [row for row in rows if row["world"] == world]
        ratio, kl = draw_updates(fig, left, world, of)
        draw_returns(fig, left, below, of)
        if i == 0:
            ratio.set_ylabel(r"$\max_t\ \pi/\mu$")
            kl.set_ylabel("mean KL")
    style.key(fig, [(colour, name) for name, colour in COLOURS.items()])
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
