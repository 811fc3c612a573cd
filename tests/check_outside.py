"""check_outside.py BUILD SOURCE: installs the library of BUILD to a temporary prefix, builds SOURCE, a project outside the
tree, against it, and uses its command line; then SOURCE/loss, which needs the engine alone."""
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile

build, source = sys.argv[1:]


def run(*command, status=0, **environment):
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    if done.returncode != status:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}, not {status}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout + done.stderr


def expect(ok, what):
    if not ok:
        sys.exit(f"not so: {what}")


with tempfile.TemporaryDirectory(prefix="lowvar_outside_") as scratch:
    prefix, out = pathlib.Path(scratch) / "prefix", pathlib.Path(scratch) / "out"
    run("cmake", "--install", build, "--prefix", prefix)
    run("cmake", "-S", source, "-B", out, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release",
        "-DCMAKE_CXX_COMPILER_LAUNCHER=")
    run("cmake", "--build", out)
    program = out / "outside"
    run(out / "losses")

    expect("\nwalk " in run(program, "list", "envs"), "list envs shows walk")
    expect("CartPole-v1" in run(program, "list", "envs"), "list envs still shows CartPole-v1")
    expect("next:K" in run(program, "list", "estimators"), "list estimators shows next:K")
    expect("tests/outside" in run(program, "explain", "next:3"), "explain knows next:3")
    expect("walk" in run(program, "variance", "--env", "nowhere", "--estimators", "togo", "--out", out / "no", status=2),
           "an unknown world is answered with the known ones, walk among them")

    expect("K must be" in run(program, "explain", "next:x", status=2), "bad parameters are bad input")

    run(program, "variance", "--env", "walk", "--estimators", "togo,next:3", "--trajectories", "400", "--seed", "1",
        "--out", out / "variance")
    with open(out / "variance" / "moments.csv") as file:
        trace = {row["estimator"]: float(row["value"]) for row in csv.DictReader(file) if row["quantity"] == "trace_cov"}
    expect(0 < trace["next:3"] < trace["togo"], f"three rewards vary less than all of them: {trace}")
    run(program, "variance", "--env", "chain", "--estimators", "togo,next:3", "--trajectories", "200", "--out",
        out / "chain")

    weighed = "grpo:4+token-mean+clip-above:0.28"
    expect("+clip-above:HI" in run(program, "list", "estimators"), "list estimators shows +clip-above:HI")
    expect("r_t, but 0 where A > 0" in run(program, "explain", weighed), "explain knows +clip-above")
    expect("HI must be" in run(program, "explain", "grpo:4+clip-above:0", status=2), "bad numbers of a suffix are bad input")
    off = ["--env", "seq-31", "--policy", "kappa:2", "--behaviour", "reference", "--estimators"]
    exact = {name: json.loads(run(program, "exact", *off, name, "--json"))["estimators"][name]["trace_cov"]
             for name in (weighed, "grpo:4+token-mean+clip:0.2:0.28", "grpo:4+token-mean+clip:1:0.28")}
    expect(exact[weighed] == exact["grpo:4+token-mean+clip:1:0.28"] != exact["grpo:4+token-mean+clip:0.2:0.28"],
           f"a clip that is wide below is one from above: {exact}")
    run(program, "variance", *off, weighed, "--trajectories", "40000", "--seed", "1", "--out", out / "weighed")
    with open(out / "weighed" / "moments.csv") as file:
        row = next(row for row in csv.DictReader(file) if row["quantity"] == "trace_cov")
    expect(float(row["exact"]) == exact[weighed] and
           abs(float(row["value"]) - exact[weighed]) < 6 * float(row["se"]), f"sampled as it is exactly: {row}")
    run(program, "train", "ppo", "--env", "seq-31", "--set", f"estimator={weighed}", "--steps", "4000", "--seeds", "0..0",
        "--out", out / "with-weight")

    run(program, "env", "rollout", "--env", "walk", "--policy", "random", "--seed", "1")
    run(program, "train", "ppo", "--env", "walk", "--steps", "4000", "--seeds", "0..1", "--out", out / "train")
    summary = json.loads((out / "train" / "summary.json").read_text())
    expect(len(summary["seeds"]) == 2 and summary["iqm"] > 0, f"two seeds were trained: {summary}")

    installed = prefix / "bin" / "lowvar"
    expect("\nwalk " not in run(installed, "list", "envs"), "the installed lowvar is as it was")
    expect((prefix / "share/lowvar/experiments/figures/ladder/plot.py").is_file(), "the scripts that draw are installed")
    run(installed, "env", "render", "--env", "four-rooms", "--out", out / "rooms.png")

    # Wherever it is moved to, and whatever else would be loaded: the same OpenBLAS, and the same bytes.
    def outputs(of, **environment):
        run(of, "train", "ppo", "--env", "CartPole-v1", "--steps", "4096", "--seeds", "0..1", "--evaluation-episodes", "2",
            "--overwrite", "--out", out / "moved", **environment)
        machine = json.loads((out / "moved" / "machine.json").read_text())
        expect(machine["blas_flavour"] == "openmp", f"{of} finds the OpenMP flavour of OpenBLAS: {machine}")
        hashes = json.loads((out / "moved" / "outputs.json").read_text())["xxh64"]
        return {name: value for name, value in hashes.items()
                if name != "manifest.json" and not name.startswith("checkpoints/")}  # which name the program

    right = outputs(pathlib.Path(build) / "lowvar")
    prefix = prefix.rename(prefix.with_name("moved prefix"))
    installed = prefix / "bin" / "lowvar"
    for of in installed, program:
        for threads in "1", "2", "3":
            other = "/usr/lib/x86_64-linux-gnu/openblas-pthread"
            expect(outputs(of, OMP_NUM_THREADS=threads, LD_LIBRARY_PATH=other) == right,
                   f"{of} with {threads} threads gives the bytes of the build tree")

    # The engine without what the command line needs.
    loss, engine = pathlib.Path(source) / "loss", out / "engine"
    hidden = [f"-DCMAKE_DISABLE_FIND_PACKAGE_{package}=ON" for package in ["fmt", "nlohmann_json", "CLI11", "tomlplusplus"]]
    configure = ["cmake", "-S", loss, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release",
                 "-DCMAKE_CXX_COMPILER_LAUNCHER=", *hidden]
    run(*configure, "-B", engine)
    run("cmake", "--build", engine)
    run(engine / "loss")
    expect("DISABLE_FIND_PACKAGE" in run(*configure, "-B", out / "all", "-DLOWVAR_COMPONENTS=autograd;command", status=1),
           "the command line needs packages that are hidden")
    expect("lowvar has no component 'optimal'; it has options, core, autograd" in
           " ".join(run(*configure, "-B", out / "unknown", "-DLOWVAR_COMPONENTS=optimal", status=1).split()),
           "an unknown component is answered with the known ones")
