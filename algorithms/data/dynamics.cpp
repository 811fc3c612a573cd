#include "algorithms/data/dynamics.h"

namespace lowvar {
namespace {

using Columns = Dynamics::Columns;

/// The values of columns, a row a trajectory.
Array<double> rows_of(const Columns& x) {
  Array<double> out = zeros<double>(x.front().rows(), side(x.size()));
  for (std::size_t j = 0; j < x.size(); ++j) {
    const auto column = x[j].values();
    for (std::size_t i = 0; i < column.size(); ++i) out(i, j) = column[i];
  }
  return out;
}

/// f of rows of numbers, [N x k] to [N x outputs], as columns whose derivative is f's central difference in
/// each number.
template <class F>
Columns by_differences(const Columns& x, double h, F&& f) {
  const Array<double> at = rows_of(x), base = f(at);
  const int N = shape(base).rows, outputs = shape(base).cols;
  Columns out(static_cast<std::size_t>(outputs));
  for (std::size_t j = 0; j < x.size(); ++j) {
    Array<double> up = at, down = at, moved = zeros<double>(N, 1);
    for (int i = 0; i < N; ++i) up(i, j) += h, down(i, j) -= h, moved(i, 0) = at(i, j);
    const Var<double> by = x[j] - moved;
    const Array<double> above = f(up), below = f(down);
    for (int k = 0; k < outputs; ++k) {
      Array<double> slope = zeros<double>(N, 1), value = zeros<double>(N, 1);
      for (int i = 0; i < N; ++i) {
        slope(i, 0) = (above(i, k) - below(i, k)) / (2 * h);
        value(i, 0) = base(i, k);
      }
      Var<double>& y = out[static_cast<std::size_t>(k)];
      y = j ? y + by * slope : by * slope + value;
    }
  }
  return out;
}

template <class X>
Array<double> observed(const States& states) {
  Array<X> seen = zeros<X>(states.size(), states.spaces().observation);
  states.observe(0, states.size(), seen.data());
  return Array<double>(seen);
}

}  // namespace

Array<double> observations(const States& states) {
  switch (states.spaces().observed) {
    case Spaces::Number::float32:
      return observed<float>(states);
    case Spaces::Number::float64:
      return observed<double>(states);
    default:
      return observed<std::uint8_t>(states);
  }
}

Dynamics dynamics_by_differences(const Spaces& spaces, MakeStates make) {
  const int n = spaces.numbers, m = spaces.m;
  const auto at = [make, n](const Array<double>& rows) {
    auto states = make(shape(rows).rows);
    for (int i = 0; i < shape(rows).rows; ++i)
      states->set_numbers(i, row(rows, i).first(static_cast<std::size_t>(n)));
    return states;
  };
  const auto step = [at, n, m](const Array<double>& rows) {
    const int N = shape(rows).rows;
    const auto states = at(rows);
    Array<double> action = zeros<double>(N, m), out = zeros<double>(N, n + 1);
    for (int i = 0; i < N; ++i) std::copy_n(row(rows, i).begin() + n, m, row(action, i).begin());
    std::vector<double> reward(static_cast<std::size_t>(N));
    std::vector<char> terminated(reward.size());
    const Rng unused(0, "unused");
    for (int begin = 0; begin < N; begin += States::block)
      states->step(begin, std::min(N, begin + States::block), {nullptr, action.data() + begin * m},
                   {.stream = &unused}, reward.data() + begin, terminated.data() + begin);
    for (int i = 0; i < N; ++i) {
      const std::vector<double> led = states->numbers(i);
      std::copy(led.begin(), led.end(), row(out, i).begin());
      out(i, n) = reward[static_cast<std::size_t>(i)];
    }
    return out;
  };
  const bool exact = spaces.observed == Spaces::Number::float64;
  const auto look = [at](const Array<double>& rows) { return observations(*at(rows)); };
  return {.n = n,
          .low = spaces.any_action ? std::vector<double>() : spaces.action_low,
          .high = spaces.any_action ? std::vector<double>() : spaces.action_high,
          .next =
              [step](const Columns& s, const Columns& a) {
                Columns both = s;
                both.insert(both.end(), a.begin(), a.end());
                return by_differences(both, 1e-6, step);
              },
          // Rounding to float32 is of a relative 6e-8, which a difference must exceed.
          .sight = [look, h = exact ? 1e-6 : 1e-3](const Columns& s) { return by_differences(s, h, look); }};
}

}  // namespace lowvar
