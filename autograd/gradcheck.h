// Is this derivative right? Random projections against finite differences, at every order asked for.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/autograd.h"

namespace lowvar {

struct GradcheckReport {
  struct Line {
    int order;          // 1: the gradient; 2: the gradient of <u, gradient>; ...
    double analytic;    // <v, derivative>
    double numeric;     // central difference along v
    bool agree = true;  // up to tolerance and rounding
    bool kink = false;  // they differ, and so do the slopes on either side: there is nothing to compare with
    double within = 0;  // of x lies the kink
    double left = 0, right = 0;  // slopes along v on either side of x
  };
  std::vector<Line> lines;
  double tolerance;
  bool ok = true;          // whether all agree
  std::string wrong = {};  // where the gradient disagrees, one of its entries that is off
  /// A table, one line a check, with the verdict.
  std::string text() const;
};

struct GradcheckOptions {
  int orders = 2;
  double tolerance = 1e-6;  // of the largest of |analytic|, |numeric| and the length of the derivative
  double step = 1e-3;       // the largest distance to x at which differences are taken, but for a factor of 2
  int projections = 2;
  std::uint64_t seed = 0;
};

using Loss = std::function<Var<double>(const std::vector<Var<double>>&)>;

namespace detail {

/// A loss that may put data on the tape of its parameters.
using TapedLoss = std::function<Var<double>(Tape<double>&, const std::vector<Var<double>>&)>;

GradcheckReport gradcheck(const TapedLoss& f, const std::vector<Array<double>>& x, GradcheckOptions options);

}  // namespace detail

/// Checks the derivatives of f: vector<Var<double>> -> 1x1 Var at x; arrays of `data` are passed to f as by
/// `grad`. Each order differentiates the recorded gradient of the one before, projected on a random
/// direction, so both lives of a rule are under test.
///
/// Differences are five-point central ones at two distances to x, `step` and a tenth of it, which have to
/// agree; else both are divided by ten. So kinks of relu and the like do no harm unless x lies on one, which
/// the report says. The analytic value has no part in that choice.
template <class F, std::same_as<Array<double>>... D>
GradcheckReport gradcheck(F&& f, const std::vector<Array<double>>& x, GradcheckOptions options = {},
                          const D&... data) {
  return detail::gradcheck(
      [&](Tape<double>& tape, const std::vector<Var<double>>& p) -> Var<double> {
        return f(p, tape.data(borrow(data))...);
      },
      x, options);
}
template <class F, std::same_as<Array<double>>... D>
GradcheckReport gradcheck(F&& f, const std::vector<Array<double>>& x, const Array<double>& data,
                          const D&... more) {
  return gradcheck(f, x, GradcheckOptions(), data, more...);
}

/// One array, one Var.
template <class F, std::same_as<Array<double>>... D>
GradcheckReport gradcheck(F&& f, const Array<double>& x, GradcheckOptions options = {}, const D&... data) {
  return gradcheck(detail::of_one<double>(f), std::vector<Array<double>>{x}, options, data...);
}
template <class F, std::same_as<Array<double>>... D>
GradcheckReport gradcheck(F&& f, const Array<double>& x, const Array<double>& data, const D&... more) {
  return gradcheck(f, x, GradcheckOptions(), data, more...);
}

}  // namespace lowvar
