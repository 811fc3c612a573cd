"""What the campaigns share: the runs that are attacked, how they are started, and how what they leave is judged."""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
GROWING = {"progress.csv", "episodes.csv"}  # by whole lines, while a run goes on
MAY_DIFFER = {"machine.json", ".lock"}


@dataclass(frozen=True)
class Run:
    name: str
    arguments: tuple
    draws: bool = False  # a picture too, where there is matplotlib

    def __init__(self, name, arguments, draws=False):
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", tuple(arguments.split()))
        object.__setattr__(self, "draws", draws)


@dataclass
class Call:
    """A line of the shim's log."""
    number: int
    name: str
    offset: int
    size: int
    path: str  # below the directory; "" is the directory
    other: str
    data: bytes = b""


class Campaign:
    """The options of a campaign, its scratch directory, and its counts. Use as a context."""

    def __init__(self, description, configure=lambda parser: None):
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--quick", action="store_true", help="the short form: less than a minute")
        parser.add_argument("--seed", type=int, default=1, help="of everything that is random")
        parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release", help="a build of the tree")
        configure(parser)
        self.options = parser.parse_args()
        self.lowvar = self.options.build.resolve() / "lowvar"
        if not self.lowvar.exists():
            parser.error(f"there is no {self.lowvar}; build it, or give --build")
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="lowvar_campaign_"))
        self.no_drawing = self.scratch / "no_drawing"
        self.no_drawing.mkdir()
        (self.no_drawing / "matplotlib.py").write_text("raise ImportError('left out')\n")
        self.cases, self.faults, self.sentences, self.began = 0, 0, {}, time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for sentence, count in sorted(self.sentences.items(), key=lambda each: -each[1]):
            print(f"  {count:5} x {sentence}")
        seconds = time.monotonic() - self.began
        print(f"{self.cases - self.faults} of {self.cases} cases as they should be, in {seconds:.0f} s")
        if self.faults:
            print(f"what they left is in {self.scratch}")
        else:
            shutil.rmtree(self.scratch)
        if kind is None:
            sys.exit(1 if self.faults or not self.cases else 0)

    def case(self, name, faults, directory=None):
        """Counts a case; `faults` says what is wrong, or is empty. What a good one left is removed."""
        self.cases += 1
        if faults:
            self.faults += 1
            print(f"FAULT {name}" + (f" ({directory})" if directory else ""))
            for fault in faults:
                print(f"      {fault}")
        elif directory:
            shutil.rmtree(directory, ignore_errors=True)
        sys.stdout.flush()

    def heard(self, text):
        """Collects what was said on standard error, with its numbers left out, to be shown at the end."""
        for line in text.splitlines():
            line = line.replace(str(self.scratch), "")
            line = "".join("#" if c.isdigit() else c for c in line)
            while "##" in line:
                line = line.replace("##", "#")
            self.sentences[line[:200]] = self.sentences.get(line[:200], 0) + 1

    def progress(self, text):
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", flush=True)

    # ---- starting ----

    def environment(self, run, threads, more={}):
        out = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "OPENBLAS_", "FAULTS_"))}
        out["OMP_NUM_THREADS"] = str(threads)
        if not run.draws:
            out["PYTHONPATH"] = str(self.no_drawing)
        return out | more

    def command(self, run, directory):
        return [self.lowvar, *(each.format(directory=directory) for each in run.arguments), "--out", directory]

    def going_on(self, run, directory, again=False):
        """What a stopped run goes on by: `resume`, or its own command where nothing was begun or where that is
        asked for."""
        begun = all((directory / name).exists() for name in ("manifest.json", "machine.json"))
        return [self.lowvar, "resume", directory] if begun and not again else self.command(run, directory)

    def start(self, run, command, threads=1, more={}, before=()):
        return subprocess.Popen([*before, *map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
                                env=self.environment(run, threads, more))

    def finish(self, *arguments, **options):
        """Starts and waits: exit code (negative of a signal), standard output, standard error."""
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err

    def whole(self, run, directory, **options):
        """An uninterrupted run: its files, and how long it took."""
        began = time.monotonic()
        code, _, err = self.finish(run, self.command(run, directory), **options)
        if code != 0:
            sys.exit(f"the uninterrupted run '{run.name}' ended with {code}: {err}")
        return files(directory), time.monotonic() - began

    # ---- calls that change files, by faults.c ----

    def shim(self, directory, **settings):
        """The environment of a run whose calls below a directory are noted, or go wrong."""
        return {"LD_PRELOAD": str(self.options.build.resolve() / "tests" / "libfaults.so"),
                "FAULTS_UNDER": str(directory)} | {f"FAULTS_{k.upper()}": str(v) for k, v in settings.items()}

    def noted(self, run, directory):
        """An uninterrupted run: its files and its calls."""
        log, data = self.scratch / "log", self.scratch / "data"
        for each in (log, data):
            each.unlink(missing_ok=True)
        expected, _ = self.whole(run, directory, more=self.shim(directory, log=log, data=data))
        return expected, calls_of(log, data.read_bytes(), directory)

    # ---- going on ----

    def end(self, run, directory, expected, threads=1, again=False, torn=False, **options):
        """Lets a run that was stopped go on to its end; what is wrong with what it says or leaves. `torn` where
        its checkpoints were."""
        if is_finished(directory):
            return differences(expected, files(directory))
        command = self.going_on(run, directory, again)
        code, _, err = self.finish(run, command, threads=threads, **options)
        self.heard(err)
        faults = [] if code == 0 else [f"{command[1]} ended with {code}: {err.strip()}"]
        if not torn and "is not used" in err:
            faults.append(f"a checkpoint was not whole: {err.strip()}")
        return faults + differences(expected, files(directory))


def calls_of(log, data, directory):
    """The calls in the shim's log, of one thread."""
    calls, at = [], 0
    for line in log.read_text().splitlines():
        number, name, offset, size, path, other = line.split("\t")
        below = [os.path.relpath(p, directory) if p else "" for p in (path, other)]
        call = Call(int(number), name, int(offset), int(size), *["" if p == "." else p for p in below])
        if name == "write":
            call.data = data[at:at + call.size]
            at += call.size
        calls.append(call)
    return calls


def kill(process, number=signal.SIGKILL):
    """Sends a signal and waits: exit code, standard output, standard error."""
    process.send_signal(number)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


# ---- judging ----


def files(directory):
    """Every file below a directory that results are compared by."""
    return {str(path.relative_to(directory)): path.read_bytes()
            for path in sorted(pathlib.Path(directory).rglob("*"))
            if path.is_file() and path.name not in MAY_DIFFER}


def is_finished(directory):
    return (directory / "outputs.json").exists()


def differences(expected, found):
    """Sentences: which files are missing, too many, or of other bytes."""
    out = [f"{name} is missing" for name in expected if name not in found]
    out += [f"{name} should not be there" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        a, b = expected[name], found[name]
        if a != b:
            at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            out.append(f"{name} differs from byte {at} on ({len(a)} bytes, {len(b)} found)")
    return out


def one_sentence(err):
    """What is wrong with the standard error of a run that was stopped."""
    lines = err.strip().splitlines()
    said = [line for line in lines if line.startswith("lowvar: ")]
    if len(said) == 1 and lines[-1] == said[0]:
        return []
    return [f"standard error is no single sentence at its end: {err.strip()!r}"]


def half_written(expected, directory):
    """What a stopped run of one seed shows under a final name and is not whole."""
    found = files(directory)
    out = []
    for name, bytes_ in found.items():
        if name.endswith(".partial") or name.startswith("checkpoints/"):
            continue  # checkpoints are judged by those who read them
        if name in GROWING and "outputs.json" not in found:
            whole = bytes_[:bytes_.rfind(b"\n") + 1]
            if not expected[name].startswith(whole):
                out.append(f"{name} has lines that the run does not write")
        elif name not in expected:
            out.append(f"{name} is none of the run's files")
        elif bytes_ != expected[name]:
            out.append(f"{name} is half-written ({len(bytes_)} of {len(expected[name])} bytes)")
    if "outputs.json" in found:
        out += [f"outputs.json is there, and {name} is not" for name in expected if name not in found]
    return out
