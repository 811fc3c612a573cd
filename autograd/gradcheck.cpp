#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/random.h"

namespace lowvar {

std::string GradcheckReport::text() const {
  std::string out;
  for (const Line& l : lines) {
    out += join("order ", l.order, ": <v, derivative> = ", l.analytic, ", central difference = ", l.numeric,
                "\n");
    if (l.kink)
      out += join("order ", l.order, ": a kink within ", l.within, " of x: slopes along v are ", l.left,
                  " and ", l.right, " on its sides; move x\n");
  }
  return out + wrong + join(ok ? "agree" : "DISAGREE", " within ", tolerance, " of their scale\n");
}

namespace detail {
namespace {

using Arrays = std::vector<Array<double>>;

/// Differences of a function of one number at distance h from 0.
struct Differences {
  double h, central, left, right;

  double scale() const { return std::max({std::abs(central), std::abs(left), std::abs(right)}); }
  double jump() const { return std::abs(right - left); }
};

/// Five-point central, with an error of O(h^4); and to one side, of O(h).
Differences differences(auto&& phi, double h) {
  const double p1 = phi(h), m1 = phi(-h), p2 = phi(2 * h), m2 = phi(-2 * h);
  return {h, (8 * (p1 - m1) - (p2 - m2)) / (12 * h), (m1 - m2) / h, (p2 - p1) / h};
}

struct Slope {
  Differences at;  // the larger of two distances at which they agree, or else those that agree best
  bool kink;       // the slopes on either side of 0 do not approach each other
  double error;    // of `central`, as far as it is known
};

/// The slope at 0 of phi, whose values are known up to `rounding`, from distances of at most `step`.
Slope slope(auto&& phi, double step, double tolerance, double rounding) {
  constexpr int distances = 7;
  Differences wide = differences(phi, step), near = differences(phi, step / 10);
  Slope best{wide, true, 0};
  double least = std::numeric_limits<double>::infinity();
  for (int k = 2;; ++k) {
    const double gap = std::abs(wide.central - near.central), noise = rounding / near.h;
    const bool curved = near.jump() <= 0.5 * wide.jump() + tolerance * near.scale() + noise;
    if (gap <= 0.1 * tolerance * wide.scale()) return {wide, !curved, gap + rounding / step};
    const bool lost =
        gap <= 0.1 * tolerance * wide.scale() + noise;  // in rounding: smaller steps find no more
    if (gap + noise < least) {
      best = lost ? Slope{wide, !curved, gap + noise} : Slope{wide, true, 0};
      least = gap + noise;
    }
    if (lost || k == distances) return best;
    wide = near;
    near = differences(phi, wide.h / 10);
  }
}

double inner(const Arrays& a, const Arrays& b) {
  double out = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < a[i].size(); ++j) out += a[i].data()[j] * b[i].data()[j];
  return out;
}
double length(const Arrays& v) { return std::sqrt(inner(v, v)); }

std::size_t count(const Arrays& x) {
  std::size_t out = 0;
  for (const auto& each : x) out += each.size();
  return out;
}

/// x + t v.
Arrays moved(Arrays x, double t, const Arrays& v) {
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t j = 0; j < x[i].size(); ++j) x[i].data()[j] += t * v[i].data()[j];
  return x;
}

double value_at(const TapedLoss& f, const Arrays& x) {
  Tape<double> tape;
  return f(tape, tape.parameters(borrow(x))).item();
}

/// Where v has no entries but those from `begin` on and before `end`, counted through all arrays.
Arrays part(Arrays v, std::size_t begin, std::size_t end) {
  std::size_t k = 0;
  for (auto& each : v)
    for (double& e : values(each)) {
      if (k < begin || k >= end) e = 0;
      ++k;
    }
  return v;
}

/// A line on an entry of the gradient g of f at x that is off: where v finds it further off, half after half.
std::string wrong_entry(const TapedLoss& f, const Arrays& x, const Arrays& g, const Arrays& v, double h) {
  const auto difference = [&](const Arrays& along) {
    const double t = h / length(along);
    return differences([&](double times) { return value_at(f, moved(x, times, along)); }, t).central;
  };
  const auto off = [&](std::size_t begin, std::size_t end) {
    const Arrays along = part(v, begin, end);
    return std::abs(inner(g, along) - difference(along));
  };
  std::size_t begin = 0, end = count(x);
  while (end - begin > 1) {
    const std::size_t middle = begin + (end - begin) / 2;
    (off(begin, middle) >= off(middle, end) ? end : begin) = middle;
  }
  std::size_t i = 0, j = begin;
  while (j >= x[i].size()) j -= x[i++].size();
  const std::size_t cols = x[i].shape(1);
  const double numeric = difference(part(v, begin, end)) / v[i].data()[j];
  return join("off: d/dx[", i, "](", j / cols, ", ", j % cols, ") = ", g[i].data()[j],
              ", central difference = ", numeric, "\n");
}

}  // namespace

GradcheckReport gradcheck(const TapedLoss& f, const Arrays& x, GradcheckOptions options) {
  GradcheckReport report{{}, options.tolerance};
  // An entry of x of the usual size, if that is above 1: a derivative is about as much smaller than f.
  const double typical = std::max(1.0, length(x) / std::sqrt(static_cast<double>(count(x)) + 1e-300));
  for (int trial = 0; trial < options.projections; ++trial) {
    Rng rng(options.seed, "gradcheck", static_cast<std::uint32_t>(trial));
    const auto direction = [&] {
      Arrays v;
      for (const auto& each : x) {
        v.push_back(zeros_like(each));
        for (double& e : values(v.back())) e = rng.normal();
      }
      return v;
    };
    TapedLoss target = f;
    double magnitude = 0;  // of what the target is computed from
    for (int order = 1; order <= options.orders; ++order) {
      const Arrays v = direction();
      const double v_length = length(v);
      Tape<double> tape;
      const auto parameters = tape.parameters(borrow(x));
      const Var<double> y = target(tape, parameters);
      Arrays g = zero_value_and_grad(x).grad;
      if (y.node().needs_gradient) grad_into(g, y, parameters);
      const double analytic = inner(g, v);
      // Along v, a distance of h from x is one of h / |v| in t.
      magnitude = std::max(magnitude / typical, std::abs(y.item()));
      const double rounding = 16 * std::numeric_limits<double>::epsilon() * magnitude;
      const auto [at, kink, error] =
          slope([&](double t) { return value_at(target, moved(x, t, v)); },
                options.step / std::max(v_length, 1e-300), options.tolerance, rounding);
      const double scale = std::max({std::abs(analytic), length(g), at.scale()});
      const bool agree = std::abs(analytic - at.central) <= options.tolerance * scale + error;
      report.lines.push_back(
          {order, analytic, at.central, agree, !agree && kink, at.h * v_length, at.left, at.right});
      report.ok = report.ok && agree;
      if (!agree && !kink && order == 1 && report.wrong.empty())
        report.wrong = wrong_entry(f, x, g, v, at.h * v_length);
      magnitude = std::max(magnitude, length(g));
      // The next order's target: the recorded gradient along a random direction.
      target = [target, u = direction()](Tape<double>& t, const std::vector<Var<double>>& p) {
        const Var<double> z = target(t, p);
        if (!z.node().needs_gradient) return z * 0;
        return dot(grad_graph(z, p), u);
      };
    }
  }
  return report;
}

}  // namespace detail
}  // namespace lowvar
