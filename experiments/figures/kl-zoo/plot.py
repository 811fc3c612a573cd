"""Draws kl-zoo: plot.py DIR reads DIR/kl-zoo.csv and writes the SVG and the PNG."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import style  # noqa: E402  (sets matplotlib up, so it comes first)
from matplotlib.ticker import FixedLocator, FuncFormatter  # noqa: E402

ID = "kl-zoo"
HEIGHT = 4.7
TOP, TALL = 1.32, 3.05  # inches of the panels
GROUPS = [
    ("in the reward", [("k1-reward", "$k_1$, of the whole answer"), ("k1-togo", "$k_1$, to go"),
                       ("k1-togo-value", "$k_1$, to go, minus its value"), ("k3-togo", "$k_3$, to go")]),
    ("in the loss", [("k1-loss", "$k_1$"), ("k2-loss", "$k_2$, and V3.2's $k_3\\,\\times$ ratio"),
                     ("k3-loss", "$k_3$ of each token (GRPO)"), ("k3-loss-sequence", "$k_3$ of the whole answer")]),
    ("over the vocabulary", [("full-vocabulary", "each token's own KL"),
                             ("rao-blackwell", "with later tokens' (Rao-Blackwell)")]),
]
GAP = 0.75  # rows between groups


def colour_of(row):
    bias = style.number(row, "relative_bias")
    return style.GREEN if bias < 1e-9 else style.ORANGE if bias < 0.5 else style.VERMILLION


def places():
    """(y, variant, label) of each row, and (y, name) of each group."""
    rows, heads, y = [], [], 0
    for name, variants in GROUPS:
        heads.append((y, name))
        y += 1
        for variant, label in variants:
            rows.append((y, variant, label))
            y += 1
        y += GAP - 1 + 0.3
    return rows, heads


def draw_bars(ax, of, column, most, ticks, rows):
    for y, variant, _ in rows:
        row = of[variant]
        x = style.number(row, column)
        ax.barh(y, max(x, 0), height=0.62, color=colour_of(row), linewidth=0)
        sampled, se = style.number(row, "trace_cov_sampled"), style.number(row, "trace_cov_se")
        end = x
        if column == "trace_cov" and sampled is not None:
            ax.plot([sampled - 1.96 * se, sampled + 1.96 * se], [y, y], color=style.INK, **style.INTERVAL)
            ax.plot(sampled, y, color=style.INK, **{**style.POINT, "markersize": 2.8})
            end = max(end, sampled + 1.96 * se)
        text = "0" if x < 1e-9 else f"{x:.3f}" if x < 0.9995 else f"{x:.2f}"
        ax.text(end + most * 0.03, y, text, fontsize=style.SMALL - 0.4, va="center_baseline", color=style.INK)
    ax.set_xlim(0, most)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain))
    ax.set_ylim(rows[-1][0] + 0.6, 0.4)
    ax.yaxis.set_major_locator(FixedLocator([]))
    ax.grid(axis="x", color=style.PALE, linewidth=0.6)
    ax.spines["left"].set_color(style.GREY)


def remark(ax, rows, of, variant, text, colour):
    y = next(y for y, name, _ in rows if name == variant)
    ax.annotate(text, (style.number(of[variant], "trace_cov"), y), xytext=(30, 0), textcoords="offset points",
                fontsize=style.SMALL - 0.4, color=colour, va="center_baseline")


def draw(data):
    fig = style.page(HEIGHT, "One divergence, ten gradients: four are right, one points away",
                     r"What is followed where KL$(\pi\,\Vert\,\mathrm{ref})$ is put into training, one answer a sample. "
                     "Bars are exact, points sampled, with 95 % intervals.")
    rows, heads = places()
    cases = [("bandit", "softmax", 2.02, "Bandit, five arms", 0.98, 1.25, 1.32, [0, 0.5, 1]),
             ("seq-31", "tied", 4.82, "SEQ-31, answers of up to four tokens", 1.15, 1.62, 2.3, [0, 0.5, 1, 1.5, 2])]
    for world, policy, left, name, wide, wider, most, ticks in cases:
        of = {row["variant"]: row for row in data if row["part"] == "gradient" and row["world"] == world and
              row["policy"] == policy}
        bias = style.panel(fig, left, TOP, wide, TALL)
        spread = style.panel(fig, left + wide + 0.14, TOP, wider, TALL)
        draw_bars(bias, of, "relative_bias", 1.42, [0, 0.5, 1], rows)
        draw_bars(spread, of, "trace_cov", most, ticks, rows)
        style.write(bias, 0, 0.36, name, fontsize=9.5, weight="bold", va="baseline")
        style.write(bias, 0, 0.1, r"bias / $\Vert\nabla$KL$\Vert$", fontsize=8, va="baseline")
        style.write(spread, 0, 0.1, r"variance  $\mathrm{tr\,Cov}(g)$", fontsize=8, va="baseline")
        if world == "bandit":
            for y, _, label in rows:
                bias.text(-0.07, y, label, transform=bias.get_yaxis_transform(), ha="right", va="center_baseline",
                          fontsize=8)
            for y, head in heads:
                bias.annotate(head, (0, y), xycoords=bias.get_yaxis_transform(), xytext=(-(left - style.MARGIN) * 72, 0),
                              textcoords="offset points", fontsize=8, weight="bold", va="center_baseline",
                              annotation_clip=False)
        else:
            cosine, less = style.number(of["k3-togo"], "cosine"), 1 / style.number(of["rao-blackwell"], "over_to_go")
            remark(spread, rows, of, "k3-togo", f"points away, cosine {style.plain(round(cosine, 2))}", style.VERMILLION)
            remark(spread, rows, of, "rao-blackwell", f"{less:.1f} times below $k_1$ to go", style.GREEN)
    x = style.MARGIN
    for colour, text in ((style.GREEN, "unbiased"), (style.ORANGE, "biased"),
                         (style.VERMILLION, "the bias is about as long as the gradient")):
        fig.text(x / style.WIDTH, 1 - 0.7 / HEIGHT, "■", color=colour, fontsize=9, va="baseline")
        fig.text(x / style.WIDTH + 0.018, 1 - 0.7 / HEIGHT, text, fontsize=8, va="baseline")
        x += style.text_width(text, 8) + 0.35
    return fig


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: plot.py DIR")
    style.save(draw(style.read_csv(pathlib.Path(sys.argv[1]) / f"{ID}.csv")), sys.argv[1], ID)
