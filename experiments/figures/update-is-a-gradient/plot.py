"""Draws update-is-a-gradient: plot.py DIR reads DIR/update-is-a-gradient.csv and writes the SVG and the PNG."""
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.colors import LinearSegmentedColormap  # noqa: E402
from matplotlib.patches import Circle, FancyArrowPatch  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter  # noqa: E402

ID = "update-is-a-gradient"
HEIGHT = 6.05
YES, NO = style.BLUE, style.VERMILLION
LOOP = style.BLUE
CURLS = LinearSegmentedColormap.from_list("curls", ["#C04A00", "#EE9A5E", "#FBDFC8", "#FFFFFF"])
MAPS = [("rloo:4", "RLOO", "no curl anywhere"), ("grpo:4+seq-mean", "GRPO", "curl in colour")]


def draw_map(ax, rows, update, work, largest):
    of = [row for row in rows if row["part"] == "map" and row["update"] == update]
    xs, ys = sorted({float(row["x"]) for row in of}), sorted({float(row["y"]) for row in of})
    table = {(float(row["x"]), float(row["y"])): float(row["curl_xy"]) for row in of}
    image = ax.imshow([[table[x, y] for x in xs] for y in ys], origin="lower", cmap=CURLS, vmin=-largest, vmax=0,
                      extent=(-2, 2, -2, 2), interpolation="bilinear", zorder=0)
    arrows = [row for row in rows if row["part"] == "arrows" and row["update"] == update]
    x, y, u, v = ([float(row[name]) for row in arrows] for name in ("x", "y", "F_x", "F_y"))
    longest = max(math.hypot(a, b) for a, b in zip(u, v))
    ax.quiver(x, y, [0.37 * a / longest for a in u], [0.37 * b / longest for b in v], angles="xy", scale_units="xy",
              scale=1, width=0.007, headwidth=3.8, headlength=4, headaxislength=3.6, pivot="mid", color="#555555",
              zorder=3)
    ax.add_patch(Circle((0, 0), 1, fill=False, edgecolor=LOOP, linewidth=1.5, zorder=4))
    for turn in 45, 135, 225, 315:
        at = [(math.cos(math.radians(turn + more)), math.sin(math.radians(turn + more))) for more in (-4, 4)]
        ax.add_patch(FancyArrowPatch(*at, arrowstyle="-|>", mutation_scale=8, color=LOOP, linewidth=0, zorder=5))
    ax.text(0, 0, f"work\n{work}", fontsize=style.SMALL, color=LOOP, ha="center", va="center", zorder=6,
            linespacing=1.3, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.6, "alpha": 0.85})
    ax.set_xlim(-2, 2)
    ax.set_ylim(-2, 2)
    for axis in ax.xaxis, ax.yaxis:
        axis.set_major_locator(FixedLocator([-2, -1, 0, 1, 2]))
        axis.set_major_formatter(FuncFormatter(style.plain))
    ax.set_ylabel("change of the logit of the end after b", labelpad=2)
    for side in "top", "right":
        ax.spines[side].set_visible(True)
    return image


def draw_bars(asymmetry, work, updates):
    ys, names, y = [], [], 0
    previous = None
    for row in updates:
        group = (row["gradient"], row["update"].startswith("kl:"))
        y += 0.55 if previous and group != previous else 0
        previous = group
        ys.append(y)
        names.append(row["label"])
        y += 1
    for ax in asymmetry, work:
        ax.set_ylim(y - 0.4, -0.6)
        ax.spines["left"].set_visible(False)
        ax.set_yticks([])
    asymmetry.set_yticks(ys, names, fontsize=style.SMALL)
    asymmetry.tick_params(axis="y", length=0, pad=5)
    asymmetry.set_xlim(0, 0.5)
    asymmetry.xaxis.set_major_locator(FixedLocator([0, 0.2, 0.4]))
    asymmetry.xaxis.set_major_formatter(FuncFormatter(style.plain))
    work.set_xlim(-0.16, 0.16)
    work.axvline(0, color="#B0B0B0", linewidth=0.6, zorder=0)
    work.xaxis.set_major_locator(FixedLocator([-0.05, 0, 0.05]))
    work.xaxis.set_major_formatter(FuncFormatter(style.plain))
    for i, (row, at) in enumerate(zip(updates, ys)):
        a, w = style.number(row, "asymmetry_engine"), style.number(row, "work")
        c = YES if row["gradient"] == "yes" else NO
        asymmetry.get_yticklabels()[i].set_color(c)
        for ax, value, text in ((asymmetry, a, f"{a:.3f}"), (work, w, f"{w:+.4f}".replace("-", "−"))):
            zero = abs(value) < 1e-8
            if not zero:
                ax.plot([0, value], [at, at], color=c, linewidth=4.6, solid_capstyle="butt", zorder=3)
            else:
                ax.plot(0, at, "o", markersize=3.4, color=c, markeredgewidth=0, zorder=3, clip_on=False)
            left = value < 0 and not zero
            if ax is asymmetry or not zero:
                ax.annotate("0" if zero else text, (0 if zero else value, at), xytext=(-4 if left else 5, 0),
                            textcoords="offset points", fontsize=6.8, color=c, va="center",
                            ha="right" if left else "left")


def draw(rows):
    updates = [row for row in rows if row["part"] == "updates" and row["policy"] == "tied"]
    order = {("yes", False): 0, ("no", False): 1, ("yes", True): 2, ("no", True): 3}
    updates.sort(key=lambda row: order[row["gradient"], row["update"].startswith("kl:")])
    largest = max(abs(float(row["curl_xy"])) for row in rows if row["part"] == "map")
    fig = style.page(HEIGHT, "GRPO's update is nobody's gradient",
                     "Expected updates as fields over a policy's logits. A gradient's Jacobian is symmetric, and no "
                     "loop does any work. Exact.")
    style.key(fig, [(YES, "the gradient of some function"), (NO, "of no function")])
    for k, (update, name, note) in enumerate(MAPS):
        ax = style.panel(fig, 0.5, 1.13 + 2.4 * k, 2.1, 2.1)
        work = next(style.number(row, "work") for row in updates if row["update"] == update)
        image = draw_map(ax, rows, update, f"{work:.4f}".replace("-", "−") if abs(work) > 1e-8 else "0", largest)
        style.name_panel(ax, name, right=note)
        if k == 0:
            ax.set_xticklabels([])
    ax.set_xlabel("change of the logit of a at the start")
    bar = style.panel(fig, 2.68, 1.13 + 2.4, 0.07, 2.1)
    fig.colorbar(image, cax=bar)
    bar.tick_params(labelsize=6.8, length=2, pad=2)
    bar.yaxis.set_major_locator(FixedLocator([-0.004, -0.002, 0]))
    bar.yaxis.set_major_formatter(FuncFormatter(style.plain))
    bar.spines["outline"].set_visible(False)

    asymmetry, work = style.panel(fig, 4.64, 1.13, 1.3, 4.5), style.panel(fig, 6.28, 1.13, 1.62, 4.5)
    draw_bars(asymmetry, work, updates)
    style.name_panel(asymmetry, "Asymmetry")
    style.remark(asymmetry, "Asymmetry", 9.5, r"$\Vert J-J^\mathsf{T}\Vert\,/\,2\Vert J\Vert$")
    style.name_panel(work, "Work")
    style.remark(work, "Work", 9.5, "round the circle")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
