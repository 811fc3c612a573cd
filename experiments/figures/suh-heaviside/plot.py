"""Draws suh-heaviside: plot.py DIR reads DIR/suh-heaviside.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

ID = "suh-heaviside"
HEIGHT = 5.95
FIRST, ZEROTH, NONE, TRUTH = style.VERMILLION, style.BLUE, style.SKY, style.INK


def draw(rows):
    fig = style.page(HEIGHT, "A step has no slope: first- and zeroth-order gradients of a discontinuity",
                     r"Gradients of $F(\theta)=\mathrm{E}\,f(\theta+w)$, $w\sim\mathcal{N}(0,\sigma^2)$, $\sigma=0.2$, for a "
                     r"step and for a ramp of width $\nu$. Lines: exact.")
    style.key(fig, [(FIRST, "first order"), (ZEROTH, "zeroth order, baseline f(θ)"),
                    (NONE, "zeroth order, no baseline"), (style.GREY, "dots: sampled")])
    objective, gradient = style.panel(fig, 0.55, 1.2, 3.2, 1.72), style.panel(fig, 4.55, 1.2, 3.2, 1.72)
    variance, width = style.panel(fig, 0.55, 3.8, 3.2, 1.65), style.panel(fig, 4.55, 3.8, 3.2, 1.65)

    def of(part, kind):
        return [row for row in rows if row["part"] == part and row["objective"] == kind]

    step, ramp = of("curve", "step"), of("curve", "ramp")
    theta = style.column(step, "theta")
    nu = style.number(ramp[0], "nu")
    objective.plot([theta[0], 0, 0, theta[-1]], [0, 0, 1, 1], color=style.GREY, linewidth=1.2)
    objective.plot([theta[0], -nu / 2, nu / 2, theta[-1]], [0, 0, 1, 1], color=style.ORANGE, linewidth=1.2)
    objective.plot(theta, style.column(step, "F"), color=TRUTH, linewidth=1.4)
    objective.set_ylim(-0.06, 1.1)
    objective.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    for x, y, text, colour in ((-0.04, 0.93, "step", style.GREY), (0.06, 0.14, f"ramp, $\\nu$ = {nu:g}", style.ORANGE),
                               (0.29, 0.8, "$F$ of the step", TRUTH)):
        objective.text(x, y, text, fontsize=style.SMALL, color=colour, ha="right" if x < 0 else "left")

    for name, kind, dash in (("first", "step", "-"), ("first", "ramp", (0, (4, 1.5)))):
        gradient.plot(theta, style.column(of("curve", kind), name), color=FIRST, linewidth=1.4, linestyle=dash, zorder=3)
    gradient.plot(theta, style.column(step, "gradient"), color=ZEROTH, linewidth=1.4, zorder=2)
    for name, kind, colour in (("first", "step", FIRST), ("first", "ramp", FIRST), ("zeroth", "step", ZEROTH)):
        at, value, se = style.columns(of("sampled", kind), "theta", f"{name}_sampled", f"{name}_se")
        style.draw_points(gradient, at, value, se, colour)
    gradient.set_ylim(-0.12, 2.3)
    gradient.yaxis.set_major_locator(FixedLocator([0, 1, 2]))
    gradient.text(-0.78, 0.2, "first order\nof the step: 0", fontsize=style.SMALL, color=FIRST, linespacing=1.3)
    gradient.text(0.22, 1.75, "zeroth order of the step,\nfirst order of the ramp\n(dashed)", fontsize=style.SMALL,
                  color=style.INK, va="center", linespacing=1.3)

    for column, colour in (("zeroth_none", NONE), ("zeroth_variance", ZEROTH)):
        variance.plot(theta, style.column(step, column), color=colour, linewidth=1.4)
    variance.plot(theta, style.column(step, "first_variance"), color=FIRST, linewidth=1.4)
    variance.plot(theta, style.column(ramp, "first_variance"), color=FIRST, linewidth=1.4, linestyle=(0, (4, 1.5)))
    variance.set_ylim(-1, 29)
    variance.yaxis.set_major_locator(FixedLocator([0, 10, 20]))
    variance.text(-0.78, 2.2, "first order\nof the step: 0", fontsize=style.SMALL, color=FIRST, linespacing=1.3)
    variance.text(-0.12, 14.5, "of the ramp", fontsize=style.SMALL, color=FIRST, ha="right")

    for ax in (objective, gradient, variance):
        ax.set_xlim(-0.8, 0.8)
        ax.set_xlabel(r"$\theta$", labelpad=1)
        ax.xaxis.set_major_locator(FixedLocator([-0.8, -0.4, 0, 0.4, 0.8]))
        ax.xaxis.set_major_formatter(FuncFormatter(style.plain))

    of_width = of("width", "ramp")
    x, first, zeroth, silent, silent_sampled = style.columns(of_width, "nu", "first_variance", "zeroth_variance", "silent",
                                                             "silent_sampled")
    width.set_xscale("log")
    width.set_yscale("log")
    width.plot(x, first, color=FIRST, linewidth=1.4, marker="o", markersize=2.5)
    width.plot(x, zeroth, color=ZEROTH, linewidth=1.4, marker="o", markersize=2.5)
    width.set_xlim(1.2, 0.0008)
    width.set_ylim(0.3, 4000)
    width.xaxis.set_major_locator(FixedLocator([1, 0.1, 0.01, 0.001]))
    width.yaxis.set_major_locator(FixedLocator([1, 10, 100, 1000]))
    for axis in (width.xaxis, width.yaxis):
        axis.set_major_formatter(FuncFormatter(style.plain))
        axis.set_minor_locator(NullLocator())
    width.set_xlabel(r"width of the ramp $\nu$, $\theta$ = 0", labelpad=1)
    twin = width.twinx()
    twin.plot(x, silent, color=style.GREY, linewidth=1.1, linestyle=(0, (1, 1.5)))
    twin.plot(x, silent_sampled, color=style.GREY, marker="o", markersize=3, linestyle="none")
    twin.set_ylim(0, 1.02)
    twin.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    twin.yaxis.set_major_formatter(FuncFormatter(style.plain))
    twin.spines["right"].set_visible(True)
    twin.tick_params(axis="y", labelcolor=style.GREY, labelsize=7.5)
    width.text(0.075, 700, "first order\n" + r"$\approx 1/(\sqrt{2\pi}\,\sigma\nu)$", fontsize=style.SMALL, color=FIRST,
               ha="left", va="center", linespacing=1.4)
    width.text(0.9, 14, "zeroth order", fontsize=style.SMALL, color=ZEROTH)
    twin.text(0.0125, 0.3, "no sample of 100\nmeets the ramp (right)", fontsize=style.SMALL, color=style.GREY, ha="right",
              linespacing=1.3)

    style.name_panel(objective, "objective")
    style.name_panel(gradient, "gradient")
    style.name_panel(variance, "variance of one sample")
    style.name_panel(width, "variance against the width")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
