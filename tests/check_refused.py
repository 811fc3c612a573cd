"""check_refused.py COMPILER SOURCE: what does not compile is refused with one error, a line that says what to write."""

import subprocess
import sys

compiler, source = sys.argv[1:]

BEGIN = """
#include "autograd/autograd.h"
using namespace lowvar;
void f(Var<double> v, Var<float> u, const Array<double>& A, const Array<float>& B) {
"""
ACCEPTED = ["maximum(v, A - A);", "maximum(u, B - B);", "max(v);"]  # the same without the mistake
REFUSED = {
    "v * B;": "write Array<T>(x) with the T of the Var<T>",
    "B - v;": "write Array<T>(x) with the T of the Var<T>",
    "u * (A + A);": "write Array<T>(x) with the T of the Var<T>",
    "minimum(v, B);": "write Array<T>(x) with the T of the Var<T>",
    "where(v > 0, B, v);": "write Array<T>(x) with the T of the Var<T>",
    "mse(v, B);": "write Array<T>(x) with the T of the Var<T>",
    "v * u;": "record both on tapes of one type",
    "u - v;": "record both on tapes of one type",
    "minimum(v, u);": "record both on tapes of one type",
    "minimum(u, v);": "record both on tapes of one type",
    "max(v, 0.0);": "use maximum(a, b)",
    "max(A, v);": "use maximum(a, b)",
    "max(v, v);": "use maximum(a, b)",
    "min(v, 0.0);": "use minimum(a, b)",
    "min(A, v);": "use minimum(a, b)",
}


def errors(lines):
    """The lines of errors that the compiler prints for these in a function of Vars and Arrays."""
    done = subprocess.run([compiler, "-std=c++20", "-fopenmp", "-march=x86-64-v3", "-fsyntax-only", "-I", source, "-x", "c++", "-"],
                          input=BEGIN + "\n".join(lines) + "\n}\n", capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if "error: " in line]


problems = [f"{' '.join(ACCEPTED)} is refused: {line}" for line in errors(ACCEPTED)]
for code, remedy in REFUSED.items():
    found = errors([code])
    if len(found) != 1 or remedy not in found[0]:
        problems.append("\n  ".join([f"{code} has to be refused with one line on '{remedy}', got:"] + (found or ["nothing"])))
print("\n".join(problems + [f"{len(REFUSED)} mistakes, {len(problems)} problems"]))
sys.exit(1 if problems else 0)
