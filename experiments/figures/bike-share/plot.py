"""Draws bike-share: plot.py DIR reads DIR/bike-share.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)

ID = "bike-share"
METHODS = {"nothing": style.GREY, "random": style.ORANGE, "PPO": style.BLUE, "planner": style.GREEN}
# Empty is red and full is blue, as in the talk.
CLASSES = {"empty": "#B2182B", "nearly empty": "#F4A582", "balanced": "#F0F0F0", "nearly full": "#92C5DE", "full": "#2166AC"}

# Inches.
LEFT, TOP, GAP, DAY, STACK, BARS = 0.62, 1.12, 0.28, 1.55, 1.15, 1.15
WIDE = style.WIDTH - LEFT - style.MARGIN - 0.05


def hours(ax, every):
    ax.set_xlim(0, 24)
    ax.set_xticks(every, [f"{h}:00" for h in every])


def draw_day(fig, rows):
    ax = style.panel(fig, LEFT, TOP, WIDE * 0.58, DAY)
    for method, colour in METHODS.items():
        of = [row for row in rows if row["part"] == "half hour" and row["method"] == method]
        ax.stairs([2 * style.number(row, "lost") for row in of], [k / 2 for k in range(len(of) + 1)], color=colour, linewidth=1.2)
    hours(ax, range(0, 25, 3))
    ax.set_ylim(bottom=0)
    ax.set_ylabel("trips lost an hour")
    ax.grid(axis="y", color=style.PALE, linewidth=0.6)
    style.name_panel(ax, "The day")


def draw_lost(fig, rows):
    left = LEFT + WIDE * 0.58 + 0.78
    ax = style.panel(fig, left, TOP, style.WIDTH - left - style.MARGIN - 0.45, DAY)
    of = {row["method"]: row for row in rows if row["part"] == "lost"}
    for i, (method, colour) in enumerate(METHODS.items()):
        row = of[method]
        ax.barh(i, style.number(row, "lost"), color=colour, height=0.62, alpha=0.85)
        ax.plot([style.number(row, "low"), style.number(row, "high")], [i, i], color=style.INK, **style.INTERVAL)
        ax.annotate(f"{style.number(row, 'percent'):.1f} %", (style.number(row, "high"), i), (4, 0), textcoords="offset points", va="center",
                    fontsize=style.SMALL, annotation_clip=False)
    ax.set_yticks(range(len(METHODS)), METHODS)
    ax.set_ylim(len(METHODS) - 0.4, -0.6)
    ax.set_xlabel("trips lost a day")
    ax.grid(axis="x", color=style.PALE, linewidth=0.6)
    style.name_panel(ax, "Lost, of all trips")


def draw_classes(fig, rows, top):
    wide = (WIDE - 2 * GAP) / 3
    for i, method in enumerate(["nothing", "PPO", "planner"]):
        ax = style.panel(fig, LEFT + i * (wide + GAP), top, wide, STACK)
        below = None
        for name, colour in CLASSES.items():
            of = [style.number(row, "stations") for row in rows if row["part"] == "stations" and row["method"] == method and row["class"] == name]
            below = below or [0] * len(of)
            above = [b + x for b, x in zip(below, of)]
            ax.stairs(above, [k / 2 for k in range(len(of) + 1)], baseline=below, fill=True, color=colour)
            below = above
        hours(ax, range(6, 24, 6))
        ax.set_ylim(0, max(below))
        if i:
            ax.tick_params(labelleft=False)
        else:
            ax.set_ylabel("stations")
        style.name_panel(ax, method)
    return top + STACK


def draw_hours(fig, rows, top):
    ax = style.panel(fig, LEFT + 0.2, top, WIDE - 0.2, BARS)
    for i, method in enumerate(METHODS):
        at = 0
        for name, colour in CLASSES.items():
            row = next(r for r in rows if r["part"] == "class" and r["method"] == method and r["class"] == name)
            x = style.number(row, "hours")
            ax.barh(i, x, left=at, color=colour, height=0.7, edgecolor="white", linewidth=0.4)
            if x > 75:
                dark = name in ("empty", "full")
                half = (style.number(row, "high") - style.number(row, "low")) / 2
                ax.text(at + x / 2, i, f"{x:.0f} ± {half:.0f}", ha="center", va="center", fontsize=style.SMALL, color="white" if dark else style.INK)
            at += x
        ax.set_xlim(0, at)
    ax.set_yticks(range(len(METHODS)), METHODS)
    ax.set_ylim(len(METHODS) - 0.5, -0.5)
    ax.set_xlabel("station-hours a day")
    ax.spines["left"].set_visible(False)
    ax.tick_params(left=False)
    style.name_panel(ax, "Station-hours by class")


def draw(rows):
    n = next(row["n"] for row in rows if row["part"] == "lost")
    classes = TOP + DAY + 0.85
    bars = classes + STACK + 0.72
    fig = style.page(bars + BARS + 0.5, "Trucks for hired bicycles: nothing, a planner, PPO", f"30 days of {n} seeds, 95 % intervals" if n == "10"
                     else f"10 days of {n} seeds, 95 % intervals")
    style.key(fig, [(colour, name) for name, colour in METHODS.items()])
    draw_day(fig, rows)
    draw_lost(fig, rows)
    draw_classes(fig, rows, classes)
    draw_hours(fig, rows, bars)
    height = fig.get_size_inches()[1]
    x = style.WIDTH - style.MARGIN - 0.05
    for name, colour in reversed(CLASSES.items()):
        x -= style.text_width(name, style.SMALL) + 0.05
        fig.text(x / style.WIDTH, 1 - (bars - 0.09) / height, name, fontsize=style.SMALL, color=style.GREY, va="baseline")
        x -= 0.13
        fig.text(x / style.WIDTH, 1 - (bars - 0.09) / height, "■", fontsize=style.SMALL, color=colour if name != "balanced" else "#D0D0D0",
                 va="baseline")
        x -= 0.14
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
