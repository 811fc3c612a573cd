// Values that are evaluated late are the values, and their gradients the gradients: what is large enough to
// be left for later is held to the same under the trap, which leaves nothing.
#include <gtest/gtest.h>

#include "autograd/autograd.h"
#include "autograd/op_list.h"
#include "core/random.h"
#include "nn/mlp.h"

namespace lowvar {
namespace {

template <class T>
Array<T> random_array(Shape shape, std::string_view name, Domain domain = {}) {
  Rng rng(7, name);
  Array<T> out = zeros<T>(shape.rows, shape.cols);
  for (T& v : values(out)) {
    const double u = rng.uniform(domain.low, domain.high);
    v = static_cast<T>(!domain.binary ? u : u < (domain.low + domain.high) / 2 ? domain.low : domain.high);
  }
  return out;
}

template <class T>
void expect_near(const Array<T>& a, const Array<T>& b, const std::string& what) {
  ASSERT_EQ(shape(a), shape(b)) << what;
  const double tolerance = sizeof(T) == 4 ? 2e-5 : 2e-13;
  double scale = 0, off = 0;
  for (std::size_t j = 0; j < a.size(); ++j) {
    scale = std::max<double>(scale, std::abs(b.data()[j]));
    off = std::max<double>(off, std::abs(a.data()[j] - b.data()[j]));
  }
  EXPECT_LE(off, tolerance * scale) << what;
}

template <class T>
struct Results {
  std::vector<Array<T>> values, gradients;
};

/// The values of f(x) and the gradients of a sum of their entries weighted.
template <class T>
Results<T> results(const auto& f, const std::vector<Array<T>>& x, Trap trap) {
  Tape<T> tape(trap);
  const auto parameters = tape.parameters(x);
  const std::vector<Var<T>> ys = f(tape, parameters);
  Results<T> out;
  Var<T> total;
  for (const Var<T>& y : ys) {
    Array<T> weights = zeros<T>(y.rows(), y.cols());
    for (std::size_t j = 0; j < weights.size(); ++j)
      weights.data()[j] = static_cast<T>(1 + 0.5 * std::cos(0.7 * static_cast<double>(j)));
    const auto each = sum(y * tape.constant(weights));
    total = total.record() ? total + each : each;
  }
  if (total.node().needs_gradient) out.gradients = grad(total, parameters);
  for (const Var<T>& y : ys) out.values.push_back(y.value());
  return out;
}

template <class T>
void expect_same_late(const auto& f, const std::vector<Array<T>>& x, const std::string& what) {
  const auto late = results<T>(f, x, Trap::off), at_once = results<T>(f, x, Trap::on);
  ASSERT_EQ(late.values.size(), at_once.values.size());
  for (std::size_t k = 0; k < late.values.size(); ++k) EXPECT_EQ(late.values[k], at_once.values[k]) << what;
  ASSERT_EQ(late.gradients.size(), at_once.gradients.size());
  for (std::size_t k = 0; k < late.gradients.size(); ++k)
    expect_near(late.gradients[k], at_once.gradients[k], join(what, ", gradient ", k));
}

template <class T>
class Chain : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Chain, Types);

TYPED_TEST(Chain, EveryOperationOfEntriesInEveryPattern) {
  using T = TypeParam;
  const int rows = 7001, cols = 5;
  for (const auto& op : all_ops<T>()) {
    if (op.shapes != detail::broadcast_patterns(static_cast<int>(op.domain.size()))) continue;
    for (const auto& shapes : op.shapes) {
      std::vector<Array<T>> x;
      for (std::size_t k = 0; k < shapes.size(); ++k)
        x.push_back(random_array<T>({shapes[k].rows == 1 ? 1 : rows, shapes[k].cols == 1 ? 1 : cols},
                                    join(op.name, k), op.domain[k]));
      if (x.front().shape(0) == 1 && x.back().shape(0) == 1) continue;
      // All operands parameters; then each alone, and a consumer that looks at no value.
      for (int alone = -1; alone < static_cast<int>(x.size()); ++alone) {
        const auto f = [&](Tape<T>& tape, const std::vector<Var<T>>& p) {
          std::vector<Operand<T>> operands;
          for (std::size_t k = 0; k < p.size(); ++k) {
            const int i = static_cast<int>(k);
            const bool constant = std::ranges::count(op.without_rule, i) || (alone >= 0 && alone != i);
            operands.push_back(constant ? tape.constant(x[k]) : p[k]);
          }
          const Var<T> y = op.apply(operands);
          if (alone >= 0) return std::vector<Var<T>>{sum_rows(y)};
          return std::vector<Var<T>>{y, y * y};
        };
        expect_same_late<T>(f, x, join(op.name, " of ", shapes.front(), " and ", shapes.back(), ", ", alone));
      }
    }
  }
}

TYPED_TEST(Chain, OfRowsAndMapsOfRows) {
  using T = TypeParam;
  const std::vector<Array<T>> x{random_array<T>({9000, 6}, "x"), random_array<T>({1, 6}, "b")};
  std::vector<int> column(9000);
  for (std::size_t r = 0; r < column.size(); ++r) column[r] = static_cast<int>(r % 6);
  const auto f = [&](Tape<T>&, const std::vector<Var<T>>& p) {
    const Var<T> log_p = log_softmax(tanh(p[0]) + p[1]);
    const Var<T> chosen = pick(log_p, column);
    const Var<T> z = logsumexp(p[0] * 2) - sum_rows(exp(log_p) * log_p);
    const Var<T> back = place(chosen * z, column, 6) + broadcast_to(z, {9000, 6});
    return std::vector<Var<T>>{chosen, sum_columns(back), block(back, 0, 1, {9000, 3}) * chosen};
  };
  expect_same_late<T>(f, x, "rows");
}

// Sums of a chain that the chain itself needs, small results in between, and matrices.
TYPED_TEST(Chain, EndsWhereItMust) {
  using T = TypeParam;
  const std::vector<Array<T>> x{random_array<T>({9000, 6}, "x"), random_array<T>({6, 6}, "W"),
                                random_array<T>({1, 6}, "b"), random_array<T>({1, 1}, "c")};
  const auto f = [&](Tape<T>& tape, const std::vector<Var<T>>& p) {
    const Var<T> scale = exp(p[3]), shift = sin(p[2]) * scale;
    const Var<T> h = tanh(linear(p[0] * scale + shift, p[1], p[2]));
    const Var<T> centred = h - mean_columns(h);                 // a sum at once
    const Var<T> var = mean_columns(square(centred)) + T(0.1);  // a sum, and small results behind it
    const Var<T> normal = centred / sqrt(var) * exp(mean(centred * p[0]));
    const Var<T> g = matmul(normal, p[1]) * sigmoid(h) + tape.data(x[0]);
    return std::vector<Var<T>>{normal, g, softplus(g) * normal, mean(g), shift * mean_columns(g)};
  };
  expect_same_late<T>(f, x, "mixed");
}

TYPED_TEST(Chain, WhatIsAskedForInBetweenChangesNothing) {
  using T = TypeParam;
  const std::vector<Array<T>> x{random_array<T>({40'000, 1}, "x")};
  const auto run = [&](int asked) {
    Tape<T> tape;
    const auto p = tape.parameters(x);
    Var<T> v = p[0];
    double seen = 0;
    for (int k = 0; k < 12; ++k) {
      v = sin(v * T(1.1) + T(0.3));
      if (asked && k % asked == 0) seen += v.values()[17] + sum(v).item();
    }
    const Var<T> y = sum(v * v);
    const auto g = grad(y, p);
    return std::tuple(y.item(), g[0], v.value(), seen);
  };
  const auto [y, g, v, none] = run(0);
  for (const int asked : {1, 2, 5}) {
    const auto [y2, g2, v2, some] = run(asked);
    EXPECT_EQ(y2, y);
    EXPECT_EQ(g2, g);
    EXPECT_EQ(v2, v);
    EXPECT_NE(some, 0);
  }
}

TYPED_TEST(Chain, GradientsOfItsPartsAndHigherOnes) {
  using T = TypeParam;
  const Array<T> x = random_array<T>({40'000, 1}, "x"), v = random_array<T>({40'000, 1}, "v");
  const auto run = [&](Trap trap) {
    Tape<T> tape(trap);
    const auto p = tape.parameter(x);
    const auto a = exp(p * T(0.3)), b = sin(a) * p, c = b * b + a;
    const auto y = sum(c * a);
    std::vector<Array<T>> out = grad(y, std::vector<Var<T>>{a, b, c, p, a});
    std::vector<Array<T>> Hv{zeros_like(x)};
    hvp_into(Hv, y, {p}, {v});
    out.push_back(Hv[0]);
    out.push_back(grad(sum(square(grad_graph(y, p))), p));
    hvp_into(Hv, y, {p}, {v});  // what was evaluated for the first is evaluated again
    out.push_back(Hv[0]);
    out.push_back(a.value());
    return out;
  };
  const auto late = run(Trap::off), at_once = run(Trap::on);
  for (std::size_t k = 0; k < late.size(); ++k) expect_near(late[k], at_once[k], join("result ", k));
}

TYPED_TEST(Chain, GradientsOfGroupsOfItsRows) {
  using T = TypeParam;
  const int n = 40'000;
  const Array<T> w = random_array<T>({1, 2}, "w"), x = random_array<T>({n, 2}, "x"),
                 weights = random_array<T>({n, 2}, "weights");
  const std::vector<int> offset{0, 10, 10, 20'000, n};
  const auto run = [&](Trap trap) {
    Tape<T> tape(trap);
    const auto p = tape.parameter(w);
    const auto y = sum_rows(tanh(tape.data(x) * p) * x);
    return grouped_grad(y, {p}, std::span<const int>(offset), weights);
  };
  expect_near(run(Trap::off), run(Trap::on), "groups");
}

TEST(Chain, StoresItsEndAlone) {
  // A chain of a thousand results of 8 MB each would need 8 GB.
  Tape<double> tape;
  const auto p = tape.parameter(full<double>(1'000'000, 1, 0.5));
  Var<double> v = p;
  for (int k = 0; k < 1000; ++k) v = v * 1.0001;
  const auto y = sum(v);
  EXPECT_NEAR(y.item(), 500'000 * std::pow(1.0001, 1000), 1e-4);
}

}  // namespace
}  // namespace lowvar
