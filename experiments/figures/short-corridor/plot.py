"""Draws short-corridor: plot.py DIR reads DIR/short-corridor.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

ID = "short-corridor"
HEIGHT = 3.85
ESTIMATORS = [("reinforce", "REINFORCE", style.INK), ("reinforce, b = J", "$b=J$", style.SKY),
              ("reinforce, b*", "best $b$", style.BLUE), ("to go", "reward to go", style.ORANGE),
              ("to go, V(s)", "to go, minus $V(s)$", style.VERMILLION), ("to go, constant", "to go, minus $J$", style.GREEN)]
CURVES = [("2^-14", r"$\alpha=2^{-14}$", style.SKY), ("2^-13", r"$2^{-13}$", style.BLUE), ("2^-12", r"$2^{-12}$", style.INK),
          ("baseline", "with a baseline, $2^{-9}$, $2^{-6}$", style.GREEN)]


def label(ax, x, y, text, colour, **how):
    ax.text(x, y, text, fontsize=style.SMALL, color=colour, **{"ha": "left", "va": "center", "linespacing": 1.3, **how})


def draw(rows):
    fig = style.page(HEIGHT, "The short corridor, with its variances",
                     "Sutton & Barto's example 13.1. The true $V(s)$ is a worse baseline than the constant $J$, at every $p$ "
                     "drawn.")
    noise = style.panel(fig, 0.62, 1.0, 2.25, 2.35)
    ratio = style.panel(fig, 4.25, 1.0, 1.15, 2.35)
    learning = style.panel(fig, 5.85, 1.0, 1.9, 2.35)

    curve = [r for r in rows if r["part"] == "curve"]
    noise.set_yscale("log")
    noise.set_xlim(0, 1)
    noise.set_ylim(150, 3e5)
    noise.yaxis.set_major_locator(FixedLocator([1e3, 1e4, 1e5]))
    noise.yaxis.set_major_formatter(FuncFormatter(style.plain))
    noise.yaxis.set_minor_locator(NullLocator())
    ends = {}
    for name, _, colour in ESTIMATORS:
        p, v = style.columns([r for r in curve if r["estimator"] == name and float(r["p"]) <= 0.95], "p", "variance")
        noise.plot(p, v, color=colour, linewidth=1.4, linestyle=(0, (3, 1.5)) if name == "to go, V(s)" else "-")
        ends[name] = v[-1]
    y = None
    for name in sorted(ends, key=ends.get, reverse=True):
        y = ends[name] if y is None else min(ends[name], y / 1.65)
        text, colour = next((t, c) for n, t, c in ESTIMATORS if n == name)
        label(noise, 0.985, y, text, colour)
    for ax in noise, ratio:
        ax.xaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
        ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    noise.set_xlabel("probability of right $p$")

    of = {name: [r for r in curve if r["estimator"] == name] for name in ("to go, V(s)", "to go, constant")}
    p, of_value = style.columns(of["to go, V(s)"], "p", "variance")
    _, of_constant = style.columns(of["to go, constant"], "p", "variance")
    ratio.plot(p, [100 * (a / b - 1) for a, b in zip(of_value, of_constant)], color=style.VERMILLION, linewidth=1.4)
    ratio.axhline(0, color=style.GREY, linewidth=0.7)
    ratio.set_xlim(0, 1)
    ratio.set_ylim(-0.6, 8)
    ratio.yaxis.set_major_locator(FixedLocator([0, 2, 4, 6, 8]))
    ratio.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+.0f} %" if x else "0"))
    best = next(r for r in rows if r["part"] == "table" and r["p"] == "0.5858")
    ratio.plot([float(best["p"])] * 2, [-0.6, 8], color=style.GREY, linewidth=0.7, linestyle=(0, (3, 2)))
    label(ratio, 0.6, 7.6, "best $p$", style.GREY)
    ratio.set_xlabel("$p$")

    for name, text, colour in CURVES:
        e, v = style.columns([r for r in rows if r["part"] == "learning" and r["curve"] == name], "episode", "value")
        learning.plot(e, v, color=colour, linewidth=1.2)
    J = style.number(best, "J")
    learning.axhline(J, color=style.GREY, linewidth=0.7, linestyle=(0, (3, 2)))
    learning.set_xlim(0, 1000)
    learning.set_ylim(-82, -4)
    learning.xaxis.set_major_locator(FixedLocator([0, 500, 1000]))
    learning.yaxis.set_major_formatter(FuncFormatter(style.plain))
    learning.set_xlabel("episode")
    for (_, text, colour), (x, y) in zip(CURVES, ((330, -30), (330, -36), (330, -42), (45, -7.5))):
        label(learning, x, y, text, colour)

    style.name_panel(noise, "variance of an episode", "one shared logit, exact")
    style.name_panel(ratio, "$V(s)$ against $J$", "variance, to go")
    style.name_panel(learning, "learning", "mean return of the runs, ten episodes")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
