// Is this derivative right? Random projections against finite differences, at every order asked for.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

#include "autograd/autograd.h"
#include "core/random.h"

namespace lowvar {

struct GradcheckReport {
  struct Line {
    int order;        // 1: the gradient; 2: the gradient of <u, gradient>; ...
    double analytic;  // <v, derivative>
    double numeric;   // central difference along v
  };
  std::vector<Line> lines;
  double tolerance;
  bool ok = true;
  std::string worst = {};  // where the gradient disagrees, which entry is furthest off
  /// A table, one line a check, with the verdict.
  std::string text() const {
    std::string out;
    for (const Line& l : lines)
      out += join("order ", l.order, ": <v, derivative> = ", l.analytic, ", central difference = ", l.numeric,
                  "\n");
    return out + worst + join(ok ? "agree" : "DISAGREE", " within ", tolerance, " of their scale\n");
  }
};

struct GradcheckOptions {
  int orders = 2;
  double tolerance = 1e-6;  // of max(1, |analytic|, |numeric|)
  double step = 1e-3;       // of the five-point central difference, whose error is O(step^4)
  int projections = 2;
  std::uint64_t seed = 0;
};

using Loss = std::function<Var<double>(const std::vector<Var<double>>&)>;

namespace detail {

/// A line on the entry of the gradient of f at x that is furthest from its central difference.
inline std::string worst_entry(const Loss& f, const std::vector<Array<double>>& x, double h) {
  const auto g = grad(f, x);
  const auto value_at = [&](std::size_t i, std::size_t j, double by) {
    auto moved = x;
    moved[i].data()[j] += by;
    Tape<double> tape;
    return f(tape.parameters(moved)).item();
  };
  std::string out;
  double most = -1;
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t j = 0; j < x[i].size(); ++j) {
      const double numeric =
          (8 * (value_at(i, j, h) - value_at(i, j, -h)) - (value_at(i, j, 2 * h) - value_at(i, j, -2 * h))) /
          (12 * h);
      const double off = std::abs(g[i].data()[j] - numeric);
      if (off <= most) continue;
      most = off;
      const std::size_t cols = x[i].shape(1);
      out = join("furthest off: d/dx[", i, "](", j / cols, ", ", j % cols, ") = ", g[i].data()[j],
                 ", central difference = ", numeric, "\n");
    }
  return out;
}

}  // namespace detail

/// Checks the derivatives of f: vector<Var<double>> -> 1x1 Var at x. Each order differentiates the recorded
/// gradient of the one before, projected on a random direction, so both lives of a rule are under test.
inline GradcheckReport gradcheck(const Loss& f, const std::vector<Array<double>>& x,
                                 GradcheckOptions options = {}) {
  GradcheckReport report{{}, options.tolerance, true};
  for (int trial = 0; trial < options.projections; ++trial) {
    Rng rng(options.seed, "gradcheck", static_cast<std::uint32_t>(trial));
    const auto direction = [&] {
      std::vector<Array<double>> v;
      for (const auto& each : x) {
        v.push_back(zeros_like(each));
        for (double& e : values(v.back())) e = rng.normal();
      }
      return v;
    };
    Loss target = f;
    for (int order = 1; order <= options.orders; ++order) {
      const auto v = direction();
      const auto value_at = [&](double h) {
        auto moved = x;
        for (std::size_t i = 0; i < x.size(); ++i)
          for (std::size_t j = 0; j < x[i].size(); ++j) moved[i].data()[j] += h * v[i].data()[j];
        Tape<double> tape;
        return target(tape.parameters(moved)).item();
      };
      const double h = options.step;
      const double numeric =
          (8 * (value_at(h) - value_at(-h)) - (value_at(2 * h) - value_at(-2 * h))) / (12 * h);
      double analytic = 0;
      Tape<double> tape;
      const auto parameters = tape.parameters(x);
      if (const auto y = target(parameters); y.node().needs_gradient) {
        const auto g = grad(y, parameters);
        for (std::size_t i = 0; i < x.size(); ++i)
          for (std::size_t j = 0; j < x[i].size(); ++j) analytic += g[i].data()[j] * v[i].data()[j];
      }
      report.lines.push_back({order, analytic, numeric});
      const double scale = std::max({1.0, std::abs(analytic), std::abs(numeric)});
      const bool agree = std::abs(analytic - numeric) <= options.tolerance * scale;
      report.ok = report.ok && agree;
      if (!agree && order == 1 && report.worst.empty()) report.worst = detail::worst_entry(f, x, h);
      // The next order's target: the recorded gradient along a random direction.
      target = [target, u = direction()](const std::vector<Var<double>>& p) {
        const Var<double> y = target(p);
        if (!y.node().needs_gradient) return y * 0;
        const auto g = grad_graph(y, p);
        return detail::dot(g, u);
      };
    }
  }
  return report;
}

inline GradcheckReport gradcheck(const std::function<Var<double>(Var<double>)>& f, const Array<double>& x,
                                 GradcheckOptions options = {}) {
  return gradcheck([&f](const std::vector<Var<double>>& p) { return f(p.front()); },
                   std::vector<Array<double>>{x}, options);
}

}  // namespace lowvar
