"""Draws group-size: plot.py DIR reads DIR/group-size.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

ID = "group-size"
HEIGHT = 3.95
CURVES = {"rloo": style.BLUE, "grpo without length": style.ORANGE, "grpo": style.VERMILLION, "maxrl": style.GREEN,
          "none": style.INK}


def axes(fig, left, width, most):
    ax = style.panel(fig, left, 1.0, width, 2.4)
    ax.set_xscale("log")
    ax.set_xlim(2, most)
    ax.xaxis.set_major_locator(FixedLocator([2, 3, 4, 6, 8, 16, 32]))
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.set_xlabel("answers to a prompt $G$")
    return ax


def label(ax, x, y, text, colour=style.INK, **how):
    ax.text(x, y, text, fontsize=style.SMALL, color=colour, **{"ha": "left", "va": "center", "linespacing": 1.3,
                                                               "zorder": 8, **how})


def draw(rows):
    fig = style.page(HEIGHT, "The best size of a group does not depend on the budget",
                     "$n$ answers are $n/G$ prompts drawn by chance with $G$ answers to each; four prompts on SEQ-31 "
                     "($p$ = .05 … .28).")
    sums, noise = axes(fig, 0.55, 3.2, 16), axes(fig, 4.5, 3.2, 32)

    best = next(r for r in rows if r["part"] == "best")
    of = [r for r in rows if r["part"] == "sum" and style.number(r, "G") <= 16]
    G, outcome, sampled, between = style.columns(of, "G", "outcome", "sampled", "between")
    middle = [a + b for a, b in zip(outcome, between)]
    total = [a + b for a, b in zip(middle, sampled)]
    for low, high, colour, alpha in (([0] * len(G), outcome, style.SKY, 0.35),
                                     (outcome, middle, style.GREEN, 0.35),
                                     (middle, total, style.ORANGE, 0.4)):
        sums.fill_between(G, low, high, color=colour, alpha=alpha, linewidth=0)
    for name in "rloo", "none":
        g, v = style.columns([r for r in rows if r["part"] == "curve" and r["method"] == name and style.number(r, "G") <= 16],
                       "G", "n_trace_cov")
        sums.plot(g, v, color=CURVES[name], linewidth=1.6, zorder=4)
        if name == "rloo":
            sums.plot(g, v, color=CURVES[name], linestyle="none", zorder=5, **style.POINT)
    star = style.number(best, "G")
    sums.plot([star, star], [0, 0.6], color=style.INK, linewidth=0.7, linestyle=(0, (3, 2)), zorder=6)
    sums.set_ylim(0, 0.56)
    label(sums, star * 1.03, 0.53, f"$G^*$ = {star:.2f}, in closed form", ha="left")
    label(sums, 2.12, 0.5, "RLOO", style.BLUE)
    label(sums, 2.08, 0.198, "no baseline")
    label(sums, 5.6, 0.08, "noise of answers, $p$ known", style.BLUE)
    label(sums, 13.5, 0.27, "few prompts: $G\\,\\mathrm{tr\\,Var}\\,\\nabla J_q$", "#00664d", ha="right")
    label(sums, 2.12, 0.312, "$p$ guessed from\nthe group: 1/($G$ − 1)", "#8a5f00")

    noise.set_yscale("log")
    noise.yaxis.set_major_locator(FixedLocator([70, 100, 150, 200, 300]))
    noise.yaxis.set_major_formatter(FuncFormatter(style.plain))
    noise.yaxis.set_minor_locator(NullLocator())
    noise.set_ylim(65, 330)
    for name, colour in CURVES.items():
        g, v = style.columns([r for r in rows if r["part"] == "curve" and r["method"] == name and style.number(r, "G") <= 32],
                       "G", "n_nsr")
        noise.plot(g, v, color=colour, linewidth=1.4, zorder=3, linestyle=(0, (3, 2)) if "without" in name else "-")
        least = min(range(len(v)), key=v.__getitem__)
        noise.plot(g[least], v[least], color=colour, linestyle="none", zorder=5, **{**style.POINT, "markersize": 5})
    label(noise, 5.4, 216, "GRPO, with 1/length", style.VERMILLION, va="top")
    label(noise, 2.05, 160, "RLOO; std only\n(dashed)", style.BLUE, va="bottom")
    label(noise, 6.6, 122, "MaxRL", style.GREEN, ha="right", va="bottom")
    label(noise, 3.4, 78, "no baseline", style.INK, va="top")

    style.name_panel(sums, "variance per answer, and what it is made of", "$n$ tr Cov; the points are exact")
    style.name_panel(noise, "noise to signal, times $n$", "dots: where each is least")
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
