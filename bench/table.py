"""bench/table.py engine|chains|environments ROWS [--json FILE] [--docs FILE] [--context TEXT]: what was measured, as a table.

ROWS is what bench_engine and bench_chains, or bench_environments wrote: a row of JSON on each line, or Google Benchmark's JSON. Prints
the table (Markdown) or puts it between the markers of --docs, and writes the rows as one JSON list.
"""
import argparse
import json
import pathlib
import statistics
import sys

BEGIN, END = "<!-- bench/run --docs begins -->\n", "<!-- bench/run --docs ends -->\n"


def time(us):
    if us is None:
        return ""
    value, unit = (us, "µs") if us < 1e3 else (us / 1e3, "ms") if us < 1e6 else (us / 1e6, "s")
    return f"{value:.3g} {unit}"


def ratio(a, b):
    return "" if a is None or b is None else f"{a / b:.2f}"


def both(row, column):
    """The median and, in brackets, the fastest round."""
    us = row.get(column)
    return "" if us is None else f"{time(us)} ({time(row['fastest'][column])})"


def section(head, rows, cells):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join([f"`{row['name']}`", *cells(row)]) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def engine(rows):
    theme = lambda name: [row for row in rows if row["name"].startswith(name + "/")]
    gradients, out = theme("policy_gradient"), []
    out.append(section(
        ["row", "ours", "by hand", "its products and tanh alone", "LibTorch", "ours / by hand", "by hand / products and tanh", "LibTorch / ours"],
        gradients,
        lambda r: [both(r, "ours_us"), both(r, "hand_us"), both(r, "kernels_us"), both(r, "libtorch_us"),
                   ratio(r["ours_us"], r["hand_us"]), ratio(r["hand_us"], r["kernels_us"]),
                   ratio(r["libtorch_us"], r["ours_us"])]))
    size = lambda r: int(r["name"].split("/b")[1].split("/")[0])
    flat = [r for r in gradients if "/4-64-64-2/" in r["name"] and r["name"].endswith("/t1") and size(r) >= 1000]
    out.append(section(["row", "ours, ns a row", "by hand, ns a row"], flat,
                       lambda r: [f"{1e3 * r[c] / size(r):.0f}" for c in ("ours_us", "hand_us")]))
    out.append(section(["row", "ours, 1 thread", "ours, 2", "by hand, 1 thread", "by hand, 2", "ours, faster by",
                        "by hand, faster by"], theme("scaling"),
                       lambda r: [both(r, c) for c in ("ours_t1_us", "ours_us", "hand_t1_us", "hand_us")]
                       + [f"{r['ours_scaling']:.2f}", f"{r['hand_scaling']:.2f}"]))
    out.append(section(["row", "ours", "LibTorch", "LibTorch / ours"], theme("hvp"),
                       lambda r: [both(r, "ours_us"), both(r, "libtorch_us"), ratio(r["libtorch_us"], r["ours_us"])]))
    out.append(section(["row", "ours", "plain stores", "ours / stores"], theme("per_sample"),
                       lambda r: [both(r, "ours_us"), both(r, "store_us"), ratio(r["ours_us"], r["store_us"])]))
    out.append(section(["row", "ours", "plain gradient", "ours / plain"], theme("moments"),
                       lambda r: [both(r, "ours_us"), both(r, "plain_us"), ratio(r["ours_us"], r["plain_us"])]))
    out.append(chains(theme("chain")))
    return "\n".join(out)


def chains(rows):
    return section(["row", "ours", "loop by hand", "LibTorch", "ours / by hand (at most 2)", "LibTorch / ours (at least 1)"], rows,
                   lambda r: [both(r, "ours_us"), both(r, "hand_us"), both(r, "libtorch_us"),
                              ratio(r["ours_us"], r["hand_us"]), ratio(r["libtorch_us"], r["ours_us"])])


# Steps a second of one environment in Gymnasium 1.3.0 on a Xeon, prebuilt actions.
GYMNASIUM = {"CartPole-v1": 93e3, "Acrobot-v1": 14.5e3, "MountainCarContinuous-v0": 90e3, "Pendulum-v1": 32e3,
             "FrozenLake-v1": 111e3}
WAYS = {"plain_loop": "loop", "at_once": "ours_t1", "at_once_2_threads": "ours_t2"}


def environment_rows(report):
    """Steps a second of each repetition; a row for each world and number of worlds."""
    rows = {}
    place = lambda run: (run["family_index"], run["per_family_instance_index"])  # they are written in random order
    for run in sorted(report["benchmarks"], key=place):
        if run["run_type"] == "iteration":
            way, *world, n, _ = run["run_name"].split("/")  # ids of worlds may have slashes; the last is real_time
            world = "/".join(world)
            row = rows.setdefault((world, n), {"name": f"step/{world}/n{n}"})
            row.setdefault(WAYS[way], []).append(run["items_per_second"])
    return list(rows.values())


def environments(rows):
    """Rates in millions of steps; how much faster two threads are, of means over the CPUs that one ran on."""
    both = lambda rates: f"{statistics.median(rates) / 1e6:.3g} [{max(rates) / 1e6:.3g}]"
    faster = lambda row: statistics.mean(row["ours_t2"]) / statistics.mean(row["ours_t1"])

    def cells(row):
        gymnasium = GYMNASIUM.get(row["name"].split("/")[1])
        return ([both(row[way]) for way in WAYS.values()]
                + [f"{faster(row):.2f}", f"{statistics.median(row['ours_t1']) / gymnasium:.0f}" if gymnasium else ""])

    return section(["row", "plain loop with libm", "`Stepper`, 1 thread", "2 threads", "2 threads / 1",
                    "1 thread / Gymnasium's one environment"], rows, cells)


parser = argparse.ArgumentParser()
parser.add_argument("theme", choices=["engine", "chains", "environments"])
parser.add_argument("rows", type=pathlib.Path)
parser.add_argument("--json", type=pathlib.Path)
parser.add_argument("--docs", type=pathlib.Path)
parser.add_argument("--context", default="")
arguments = parser.parse_args()
measured = arguments.rows.read_text()
if arguments.theme == "environments":
    rows = environment_rows(json.loads(measured))
    text = environments(rows)
else:
    rows = [json.loads(line) for line in measured.splitlines()]
    text = engine(rows) if arguments.theme == "engine" else chains(rows)
if arguments.json:
    arguments.json.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
if arguments.docs:
    page = arguments.docs.read_text()
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        sys.exit(f"bench/table.py: {arguments.docs} needs the markers {BEGIN.strip()} and {END.strip()}, once each")
    page = page[: page.index(BEGIN) + len(BEGIN)] + f"{arguments.context}\n\n{text}" + page[page.index(END):]
    arguments.docs.write_text(page)
else:
    print("\n" + text)
