// What is asked of every operation at once: infinities behind a mask, no rows, one row, numbers at the ends
// of their range. And whole programs whose arrays change or end while a tape is in use.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "autograd/op_list.h"
#include "core/random.h"
#include "nn/nn.h"

namespace lowvar {
namespace {

template <class T>
class Inputs : public testing::Test {
 protected:
  static constexpr T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN(),
                     most = std::numeric_limits<T>::max();
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Inputs, Scalars);

template <class T>
bool differentiable(const OpEntry<T>& op, std::size_t i) {
  return std::ranges::find(op.without_rule, static_cast<int>(i)) == op.without_rule.end();
}

/// In the domain of operand i.
template <class T>
Array<T> sample(const OpEntry<T>& op, std::size_t i, Shape shape, Rng& rng) {
  Array<T> out = zeros<T>(shape.rows, shape.cols);
  const Domain& d = op.domain[i];
  for (T& v : values(out))
    v = static_cast<T>(d.binary ? (rng.bits() % 2 ? d.high : d.low) : rng.uniform(d.low, d.high));
  return out;
}

// ---- Masks ----

/// Makes `edge` of an x that is `at`, by cutting it off.
template <class T>
struct Cut {
  const char* name;
  T at, edge;
  std::function<Var<T>(Var<T>)> f;
};

/// Of the derivatives of orders 1 to 3 of the sum of the result, the operands being f(x), on numbers and
/// recorded: names one in what is cut that is not 0, or nothing.
template <class T>
std::string leak(const OpEntry<T>& op, const std::vector<Shape>& shapes, const Cut<T>& c, Rng& rng) {
  Tape<T> tape;
  std::vector<Operand<T>> operands;
  std::vector<Var<T>> xs;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    Array<T> x = sample(op, i, shapes[i], rng);
    if (!differentiable(op, i)) {
      operands.push_back(tape.constant(x));
      continue;
    }
    const bool some = std::string_view(c.name) == "where" && rng.bits() % 2 == 0;  // it lets others through
    for (T& v : values(x))
      if (!some || rng.bits() % 2 == 0) v = c.at;
    xs.push_back(tape.parameter(x));
    operands.push_back(c.f(xs.back()));
  }
  if (xs.empty()) return {};
  Var<T> y;
  try {
    y = sum(op.apply(operands));
  } catch (const Error&) {  // singular
    return {};
  }
  for (int order = 1; order <= 3 && y.node().needs_gradient; ++order) {
    const auto numbers = grad(y, xs);
    const auto recorded = grad_graph(y, xs);
    y = sum(recorded[0]);
    for (std::size_t k = 1; k < xs.size(); ++k) y += sum(recorded[k]);
    for (std::size_t k = 0; k < xs.size(); ++k)
      for (std::size_t j = 0; j < numbers[k].size(); ++j) {
        if (xs[k].values()[j] != c.at) continue;
        if (numbers[k].data()[j] != 0 || recorded[k].values()[j] != 0)
          return join(op.name, " of ", static_cast<double>(c.edge), " by ", c.name, ", order ", order, ": ",
                      static_cast<double>(numbers[k].data()[j]), ", recorded ",
                      static_cast<double>(recorded[k].values()[j]));
      }
  }
  return {};
}

TYPED_TEST(Inputs, WhatAMaskCutsHasNoDerivativeBehindAnyOperation) {
  using T = TypeParam;
  std::vector<Cut<T>> cuts = {{"relu", -9, 0, [](Var<T> x) { return relu(x); }},
                              {"abs", 0, 0, [](Var<T> x) { return abs(x); }}};
  for (const T e : {T(0), T(-0.0), T(1), this->most, -this->most, this->inf, -this->inf, this->nan}) {
    cuts.push_back({"where", 9, e, [e](Var<T> x) { return where(equal(x, 9), e, x); }});
    if (e >= 0) {
      cuts.push_back({"maximum", -9, e, [e](Var<T> x) { return maximum(x, e); }});
      cuts.push_back({"clip, from below", -9, e, [e](Var<T> x) { return clip(x, e, 2 * e + 1); }});
    }
    if (e <= 0) {
      cuts.push_back({"minimum", 9, e, [e](Var<T> x) { return minimum(x, e); }});
      cuts.push_back({"clip, from above", 9, e, [e](Var<T> x) { return clip(x, 2 * e - 1, e); }});
    }
  }
  for (const auto& op : all_ops<T>()) {
    Rng rng(1, op.name);
    for (std::size_t k = 0; k < std::min<std::size_t>(op.shapes.size(), 6); ++k)
      for (const auto& cut : cuts) EXPECT_EQ(leak(op, op.shapes[k], cut, rng), "");
  }
  // A mask that multiplies cuts no infinite slope.
  const Cut<T> product{"product", -9, 0, [](Var<T> x) { return greater(x, 0) * x; }};
  const auto sqrt_entry = detail::entry<Sqrt, T>();
  Rng rng(1, "planted");
  EXPECT_NE(leak(sqrt_entry, {{3, 4}}, product, rng), "");
}

// ---- Rows ----

/// Whether it is elementwise or of rows, and so of any shape.
template <class T>
bool of_any_shape(const OpEntry<T>& op) {
  using namespace detail;
  static const auto elementwise = elementwise_entries<T>(ElementwiseOps());
  static const auto rows = row_entries<T>(RowOps());
  const auto named = [&](const OpEntry<T>& each) { return std::string_view(each.name) == op.name; };
  return std::ranges::any_of(elementwise, named) || std::ranges::any_of(rows, named);
}

/// y, and the gradient of the sum of its squares in the operands that have one.
template <class T>
std::pair<Array<T>, std::vector<Array<T>>> value_and_gradient(const OpEntry<T>& op,
                                                              const std::vector<Array<T>>& x) {
  Tape<T> tape;
  std::vector<Operand<T>> operands;
  std::vector<Var<T>> xs;
  for (std::size_t i = 0; i < x.size(); ++i) {
    operands.push_back(differentiable(op, i) ? tape.parameter(x[i]) : tape.constant(x[i]));
    if (differentiable(op, i)) xs.push_back(operands.back().var);
  }
  const Var<T> y = op.apply(operands);
  return {y.value(), y.node().needs_gradient ? grad(sum(square(y)), xs) : std::vector<Array<T>>()};
}

TYPED_TEST(Inputs, OneRowHasTheBitsOfThatRowAmongMany) {
  using T = TypeParam;
  const int n = 5, cols = 37;
  int checked = 0;
  for (const auto& op : all_ops<T>()) {
    if (!of_any_shape(op)) continue;
    Rng rng(2, op.name);
    std::vector<Array<T>> x;
    for (std::size_t i = 0; i < op.domain.size(); ++i) x.push_back(sample(op, i, {n, cols}, rng));
    const auto [y, g] = value_and_gradient(op, x);
    for (int r = 0; r < n; ++r, ++checked) {
      std::vector<Array<T>> alone;
      for (const auto& each : x) alone.push_back(from_values<T>(1, cols, row(each, r)));
      const auto [y_r, g_r] = value_and_gradient(op, alone);
      EXPECT_TRUE(std::ranges::equal(row(y, r), values(y_r))) << op.name;
      ASSERT_EQ(g.size(), g_r.size());
      for (std::size_t k = 0; k < g.size(); ++k)
        EXPECT_TRUE(std::ranges::equal(row(g[k], r), values(g_r[k]))) << op.name << " operand " << k;
    }
  }
  EXPECT_GT(checked, 100);
}

TYPED_TEST(Inputs, NoRowsHaveNoGradientAndNeitherHasWhatTheyWouldMeet) {
  using T = TypeParam;
  for (const auto& op : all_ops<T>()) {
    if (!of_any_shape(op)) continue;
    for (const auto& shapes : op.shapes) {
      std::vector<Array<T>> x;
      Rng rng(3, op.name);
      bool none = false;
      for (std::size_t i = 0; i < shapes.size(); ++i) {
        none = none || shapes[i].rows == 3;
        x.push_back(sample(op, i, {shapes[i].rows == 3 ? 0 : shapes[i].rows, shapes[i].cols}, rng));
      }
      if (!none) continue;
      const auto [y, g] = value_and_gradient(op, x);
      EXPECT_EQ(shape(y).rows, 0) << op.name;
      for (const auto& each : g) EXPECT_EQ(each, zeros_like(each)) << op.name;
    }
  }
  // Where rows meet others.
  const std::vector<int> none, offset{0}, empty{0, 0, 0};
  using V = Var<T>;
  const std::vector<std::pair<Shape, std::function<V(V nothing, V W)>>> cases = {
      {{1, 3}, [](V x, V W) { return sum_columns(matmul(x, W)); }},
      {{1, 1}, [](V x, V W) { return sum(linear(x, W, sum_columns(W))); }},
      {{4, 3}, [](V x, V W) { return matmul_tn(x, matmul(x, W)); }},
      {{0, 4}, [](V x, V W) { return matmul_nt(matmul(x, W), W); }},
      {{4, 3}, [](V x, V W) { return batched_matmul_tn(x, matmul(x, W), 1); }},
      {{0, 3}, [&](V, V W) { return gather(W, none); }},
      {{5, 3}, [&](V x, V W) { return scatter_add(matmul(x, W), none, 5); }},
      {{2, 3},
       [](V x, V W) {
         return pad(matmul(x, W), 1, 0, {2, 3});
       }},
      {{3, 0}, [](V x, V W) { return transpose(matmul(x, W)); }},
      {{0, 1}, [&](V x, V W) { return pick(matmul(x, W), none); }},
      {{0, 5}, [&](V x, V W) { return place(sum_rows(matmul(x, W)), none, 5); }},
      {{0, 3}, [&](V x, V W) { return discounted_sum(matmul(x, W), T(0.9), empty); }},
      {{2, 3}, [&](V x, V W) { return segment_sum(matmul(x, W), empty); }},
      {{0, 3}, [&](V x, V W) { return segment_softmax(matmul(x, W), empty); }},
      {{0, 3}, [&](V x, V W) { return segment_max(matmul(x, W), offset); }},
      {{0, 3}, [](V x, V W) { return cumulative_product(cumulative_sum(matmul(x, W))); }},
      {{0, 3}, [](V x, V W) { return sort_rows(matmul(x, W)).values; }},
      {{0, 1}, [](V x, V W) { return entropy(log_softmax(matmul(x, W))); }},
      {{0, 3}, [](V x, V W) { return layer_norm(matmul(x, W), sum_columns(W), sum_columns(W)); }},
  };
  for (std::size_t k = 0; k < cases.size(); ++k) {
    Tape<T> tape;
    const V x = tape.parameter(zeros<T>(0, 4)), W = tape.parameter(full<T>(4, 3, T(0.5)));
    const V y = cases[k].second(x, W);
    EXPECT_EQ(y.shape(), cases[k].first) << k;
    EXPECT_EQ(y.value(), zeros<T>(y.rows(), y.cols())) << k;
    const auto g = grad(sum(exp(y)), {x, W});
    EXPECT_EQ(shape(g[0]), (Shape{0, 4})) << k;
    EXPECT_EQ(g[1], zeros_like(g[1])) << k;
  }
}

// ---- The ends of the range ----

TYPED_TEST(Inputs, DerivativesOfWhatHasALimitAreNumbersAtEveryOrder) {
  using T = TypeParam;
  const std::string_view without[] = {"sin", "cos"};                          // a limit
  const std::string_view of_positive[] = {"log", "sqrt", "log1p", "lgamma"};  // numbers
  const auto is_of = [](const auto& names, std::string_view name) {
    return std::ranges::find(names, name) != std::end(names);
  };
  for (const auto& op : detail::elementwise_entries<T>(ElementwiseOps())) {
    if (op.domain.size() != 1 || is_of(without, op.name)) continue;
    for (const T at : {-this->inf, -this->most / 8, T(-1e3), T(0), T(1e3), this->most / 8, this->inf}) {
      if (at <= 0 && is_of(of_positive, op.name)) continue;
      Tape<T> tape;
      const Var<T> x = tape.parameter(full<T>(1, 1, at));
      const std::vector<Operand<T>> operands{x};
      Var<T> y = op.apply(operands);
      for (int order = 0; order <= 3; ++order) {
        EXPECT_FALSE(std::isnan(y.item())) << op.name << " at " << at << ", order " << order;
        if (!y.node().needs_gradient) break;
        y = grad_graph(y, x);
      }
    }
  }
}

// ---- Arrays that change or end ----

TEST(Programs, AStepBetweenTheGradientsOfTwoLosses) {
  std::vector<Array<double>> critic{full<double>(1, 1, 2.0)};
  const std::vector<Array<double>> actor{full<double>(1, 1, 3.0)};
  Tape<double> tape;
  const auto c = tape.parameters(critic), a = tape.parameters(actor);
  const auto critic_loss = sum(square(c[0])), actor_loss = sum(square(c[0] * a[0]));
  sgd_step(critic, grad(critic_loss, c), 0.25);
  EXPECT_EQ(critic[0](0, 0), 1);
  EXPECT_EQ(grad(actor_loss, a)[0](0, 0), 24);  // 2 c^2 a at the critic of the loss
}

TEST(Programs, AMinibatchThatEndsBeforeTheGradientIsTaken) {
  const std::vector<Array<double>> w{full<double>(3, 3, 1.0)};
  const Array<double> x = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
  const std::vector<int> shuffled{2, 0, 1};
  const auto loss = [&](Tape<double>& tape, const std::vector<Var<double>>& p, int begin, int end) {
    Array<double> batch = zeros<double>(end - begin, 3);
    std::vector<int> label;
    for (int r = begin; r < end; ++r) {
      std::ranges::copy(row(x, shuffled[static_cast<std::size_t>(r)]), row(batch, r - begin).begin());
      label.push_back(r % 3);
    }
    const Array<double> scale = full<double>(1, 3, 2.0);
    return sum(matmul(tape.data(batch), p[0]) * scale) + 0 * sum(pick(matmul(batch, p[0]), label));
  };
  for (const int shard : {1, 2, 3}) {
    const auto g = sharded_value_and_grad(loss, w, 3, shard).grad[0];
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) EXPECT_EQ(g(i, j), 2 * (12 + 3 * i));
  }
}

}  // namespace
}  // namespace lowvar
