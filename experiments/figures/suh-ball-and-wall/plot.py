"""Draws suh-ball-and-wall: plot.py DIR reads DIR/suh-ball-and-wall.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

ID = "suh-ball-and-wall"
HEIGHT = 6.0
FIRST, ZEROTH, MIXED = style.VERMILLION, style.BLUE, style.GREEN
WALL = (0.693204, 1.199343)  # angles between which the ball clears the wall
REACH = (0.314663, 1.256133)  # angles between which it reaches the wall


def shade(ax):
    for low, high in ((REACH[0], WALL[0]), (WALL[1], REACH[1])):
        ax.axvspan(low, high, color=style.PALE, linewidth=0, zorder=0)


def draw(rows):
    fig = style.page(HEIGHT, "A ball over a wall: where first-order gradients stop",
                     r"Cost $-x_T^2$ of a throw at angle $\theta+w$. Where it is grey the ball falls at the foot of the wall: "
                     "no slope there leads over it.")
    style.key(fig, [(FIRST, "first order"), (ZEROTH, "zeroth order, baseline f(θ)"), (MIXED, "their α-order mix"),
                    (style.GREY, "dots: batches of 100 samples, mean and 95 %")])
    cost, gradient = style.panel(fig, 0.72, 1.2, 3.05, 1.72), style.panel(fig, 4.72, 1.2, 3.05, 1.72)
    variance, descent = style.panel(fig, 0.72, 3.85, 3.05, 1.65), style.panel(fig, 4.72, 3.85, 3.05, 1.65)
    curve = [row for row in rows if row["part"] == "curve"]
    sampled = [row for row in rows if row["part"] == "sampled"]
    theta = style.column(curve, "theta")

    cost.plot(theta, style.column(curve, "f"), color=style.GREY, linewidth=0.9)
    cost.plot(theta, style.column(curve, "F"), color=style.INK, linewidth=1.4)
    cost.text(0.3, -0.0017, "without noise", fontsize=style.SMALL, color=style.GREY)
    cost.text(0.44, -0.0085, "smoothed by\n$\\sigma$ = 0.05", fontsize=style.SMALL, color=style.INK, ha="center",
              linespacing=1.3)
    cost.set_ylim(-0.0112, 0.0004)
    cost.yaxis.set_major_locator(FixedLocator([0, -0.005, -0.01]))

    gradient.axhline(0, color=style.GREY, linewidth=0.6)
    gradient.plot(theta, style.column(curve, "gradient"), color=ZEROTH, linewidth=1.4)
    gradient.plot(theta, style.column(curve, "first"), color=FIRST, linewidth=1.4)
    for name, colour in (("zeroth", ZEROTH), ("first", FIRST)):
        at, value, se = style.columns(sampled, "theta", f"{name}_sampled", f"{name}_se")
        style.draw_points(gradient, at, value, se, colour)
    gradient.yaxis.set_major_locator(FixedLocator([-0.04, -0.02, 0, 0.02]))

    variance.set_yscale("log")
    for column, colour in (("zeroth_variance", ZEROTH), ("first_variance", FIRST)):
        variance.plot(theta, style.column(curve, column), color=colour, linewidth=1.4)
    variance.set_ylim(1e-7, 2e-2)
    variance.yaxis.set_major_locator(FixedLocator([1e-6, 1e-4, 1e-2]))
    variance.yaxis.set_major_formatter(FuncFormatter(style.plain))
    variance.yaxis.set_minor_locator(NullLocator())

    for ax in (cost, gradient, variance):
        shade(ax)
        ax.set_xlim(0, 1.5708)
        ax.set_xlabel(r"angle $\theta$", labelpad=1)
        ax.xaxis.set_major_locator(FixedLocator([0, 0.5, 1, 1.5]))
        ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    for ax in (cost, gradient):
        ax.yaxis.set_major_formatter(FuncFormatter(style.plain))

    descent.axhspan(REACH[0], WALL[0], color=style.PALE, linewidth=0, zorder=0)
    for order, colour, name, up in (("first", FIRST, "first order: stays at the wall", -0.085),
                                    ("zeroth", ZEROTH, "zeroth order", 0.045), ("mixed", MIXED, "mixed", -0.15)):
        of = [row for row in rows if row["part"] == "descent" and row["order"] == order]
        t, middle, low, high = style.columns(of, "t", "angle", "angle_low", "angle_high")
        descent.plot(t, middle, color=colour, linewidth=1.4, zorder=4)
        descent.fill_between(t, low, high, color=colour, alpha=0.2, linewidth=0)
        descent.text(995, middle[-1] + up, name, fontsize=style.SMALL, color=colour, ha="right", va="center")
    descent.set_xlim(0, 1000)
    descent.set_ylim(0, 1)
    descent.set_xlabel("steps of descent", labelpad=1)
    descent.set_ylabel(r"angle $\theta$", labelpad=2)
    descent.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    descent.yaxis.set_major_formatter(FuncFormatter(style.plain))
    descent.xaxis.set_major_locator(FixedLocator([0, 250, 500, 750, 1000]))

    style.name_panel(cost, "cost")
    style.name_panel(gradient, "gradient")
    style.name_panel(variance, "variance of one sample")
    style.name_panel(descent, "descent", r"$\sigma$ = 0.1, 50 samples a step; median and middle 80 %")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
