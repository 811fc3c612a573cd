// Composites: their values where the naive formula overflows, and their derivatives.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "autograd/gradcheck.h"
#include "core/random.h"

namespace lowvar {
namespace {

Array<double> random_array(int rows, int cols, std::string_view name) {
  Rng rng(5, name);
  Array<double> out = zeros<double>(rows, cols);
  for (double& v : values(out)) v = 2 * rng.normal();
  return out;
}

template <class T>
Array<T> row_of(std::initializer_list<double> x) {
  std::vector<T> v;
  for (const double each : x) v.push_back(static_cast<T>(each));
  return from_values<T>(1, static_cast<int>(v.size()), std::span<const T>(v));
}

/// f(x) as numbers.
template <class T, class F>
Array<T> value_of(F&& f, const Array<T>& x) {
  Tape<T> tape;
  return f(tape.parameter(x)).value();
}

template <class T>
class Functions : public testing::Test {
 protected:
  static constexpr T epsilon = std::numeric_limits<T>::epsilon();
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Functions, Scalars);

TYPED_TEST(Functions, LogsumexpStandsTheExtremes) {
  using T = TypeParam;
  const auto of = [](std::initializer_list<double> x) {
    return value_of<T>([](Var<T> v) { return logsumexp(v); }, row_of<T>(x))(0, 0);
  };
  EXPECT_EQ(of({1e3}), T(1e3));
  EXPECT_EQ(of({-1e3}), T(-1e3));
  EXPECT_EQ(of({1e3, -1e3}), T(1e3));
  EXPECT_EQ(of({1e3, 1e3}), T(1e3) + std::log(T(2)));
  EXPECT_EQ(of({-1e3, -1e3, -1e3, -1e3}), T(-1e3) + std::log(T(4)));
  EXPECT_NEAR(of({1, 2, 3}), std::log(std::exp(1.0) + std::exp(2.0) + std::exp(3.0)), 4 * this->epsilon);
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(of({-inf, 0}), 0);  // an action that is masked out
}

TYPED_TEST(Functions, LogSoftmaxStandsTheExtremes) {
  using T = TypeParam;
  const auto of = [](std::initializer_list<double> x) {
    return value_of<T>([](Var<T> v) { return log_softmax(v); }, row_of<T>(x));
  };
  EXPECT_EQ(of({1e3, -1e3}), row_of<T>({0, -2e3}));
  // What the logits have in common costs no digits.
  EXPECT_EQ(of({-1e3, -1e3}), full<T>(1, 2, -std::log(T(2))));
  EXPECT_EQ(of({1e3, 1e3}), full<T>(1, 2, -std::log(T(2))));
  EXPECT_EQ(of({7}), row_of<T>({0}));
}

TYPED_TEST(Functions, SoftmaxSumsToOne) {
  using T = TypeParam;
  for (const double scale : {0.0, 1.0, 30.0, 1e3}) {
    const Array<T> x(scale * random_array(20, 7, "logits"));
    const auto p = value_of<T>([](Var<T> v) { return softmax(v); }, x);
    for (int r = 0; r < 20; ++r) {
      double total = 0;
      for (const T each : row(p, r)) {
        EXPECT_GE(each, 0);
        total += static_cast<double>(each);
      }
      EXPECT_NEAR(total, 1, 8 * static_cast<double>(this->epsilon)) << scale;
    }
  }
  EXPECT_EQ(value_of<T>([](Var<T> v) { return softmax(v); }, row_of<T>({1e3, -1e3})), row_of<T>({1, 0}));
}

TYPED_TEST(Functions, ExtremesHaveFiniteDerivatives) {
  using T = TypeParam;
  const auto x = row_of<T>({1e3, -1e3, 0});
  const auto g = grad([](Var<T> v) { return sum(softplus(v)); }, x);
  EXPECT_EQ(g, row_of<T>({1, 0, 0.5}));
  const auto curvature = hvp([](Var<T> v) { return sum(softplus(v)); }, x, full<T>(1, 3, T(1)));
  EXPECT_EQ(curvature, row_of<T>({0, 0, 0.25}));
  EXPECT_EQ(grad([](Var<T> v) { return sum(logsumexp(v)); }, x), row_of<T>({1, 0, 0}));
  EXPECT_EQ(hvp([](Var<T> v) { return sum(logsumexp(v)); }, x, row_of<T>({1, 2, 3})), row_of<T>({0, 0, 0}));
}

TYPED_TEST(Functions, SoftplusStandsTheExtremes) {
  using T = TypeParam;
  const auto y = value_of<T>([](Var<T> v) { return softplus(v); }, row_of<T>({1e3, -1e3, 0, 1, -1, 30}));
  EXPECT_EQ(y(0, 0), T(1e3));
  EXPECT_EQ(y(0, 1), 0);
  EXPECT_NEAR(y(0, 2), std::log(2.0), 2 * this->epsilon);
  EXPECT_NEAR(y(0, 3), std::log1p(std::exp(1.0)), 4 * this->epsilon);
  EXPECT_NEAR(y(0, 4), std::log1p(std::exp(-1.0)), 2 * this->epsilon);
  EXPECT_NEAR(y(0, 5), 30 + std::exp(-30.0), 64 * this->epsilon);
}

TEST(Functions, SumsAndMeans) {
  const auto x = from_values<double>(2, 3, std::vector<double>{1, 2, 3, 4, 5, 6});
  Tape<double> tape;
  const auto v = tape.parameter(x);
  EXPECT_EQ(sum(v).item(), 21);
  EXPECT_EQ(mean(v).item(), 3.5);
  EXPECT_EQ(sum_rows(v).value(), from_values<double>(2, 1, std::vector<double>{6, 15}));
  EXPECT_EQ(dot(v, x).item(), 91);
  EXPECT_EQ(dot(v, v).item(), 91);
  EXPECT_EQ(mse(v, zeros_like(x)).item(), 91 / 6.0);
  EXPECT_THROW(mse(v, zeros<double>(3, 2)), Error);
}

TEST(Functions, DerivativesOfOrdersOneAndTwo) {
  const auto x = random_array(4, 3, "x"), w = random_array(4, 3, "w"), target = random_array(4, 3, "target");
  const Array<double> column = random_array(4, 1, "column");
  const std::vector<int> label{2, 0, 1, 1}, groups{0, 1, 4};
  const std::vector<std::pair<const char*, std::function<Var<double>(Var<double>)>>> losses = {
      {"sum", [](auto v) { return square(sum(square(v))); }},
      {"sum_rows", [](auto v) { return sum(square(sum_rows(square(v)))); }},
      {"mean", [](auto v) { return square(mean(v * v)); }},
      {"dot", [&](auto v) { return dot(square(v), w) + dot(v, tanh(v)); }},
      {"logsumexp", [&](auto v) { return dot(logsumexp(v), column); }},
      {"log_softmax", [&](auto v) { return dot(log_softmax(v), w); }},
      {"softmax", [&](auto v) { return dot(softmax(v), w); }},
      {"softplus", [&](auto v) { return dot(softplus(v), w); }},
      {"mse", [&](auto v) { return mse(square(v), target); }},
      {"sum_columns", [](auto v) { return sum(square(sum_columns(square(v)))); }},
      {"mean_rows", [](auto v) { return sum(square(mean_rows(square(v)))); }},
      {"mean_columns", [](auto v) { return sum(square(mean_columns(square(v)))); }},
      {"max_rows", [&](auto v) { return dot(square(max_rows(v)), column); }},
      {"max_columns", [](auto v) { return sum(exp(max_columns(square(v)))); }},
      {"max", [](auto v) { return square(max(v * v)); }},
      {"logsumexp_columns", [](auto v) { return sum(square(logsumexp_columns(v))); }},
      {"logsumexp_all", [](auto v) { return square(logsumexp_all(v)); }},
      {"norm", [](auto v) { return norm(v) * sum(v); }},
      {"row_slice", [](auto v) { return sum(square(row_slice(v, 1, 3)) * row_slice(v, 2, 4)); }},
      {"column_slice", [](auto v) { return sum(square(column_slice(v, 1, 3)) * column_slice(v, 0, 2)); }},
      {"concatenate_rows",
       [](auto v) {
         return norm(concatenate_rows<double>({v, square(v), v}));
       }},
      {"concatenate_columns",
       [](auto v) {
         return norm(concatenate_columns<double>({v, exp(v)}));
       }},
      {"entropy", [&](auto v) { return dot(entropy(log_softmax(v)), column); }},
      {"kl", [&](auto v) { return dot(kl(log_softmax(v), log_softmax(v * w)), column); }},
      {"cross_entropy", [&](auto v) { return cross_entropy(v, label); }},
      {"gaussian_log_density", [&](auto v) { return dot(gaussian_log_density(target, v, tanh(v)), w); }},
      {"huber", [](auto v) { return sum(huber(v, 0.7)); }},
      {"var", [](auto v) { return square(var(v)); }},
      {"var_rows", [&](auto v) { return dot(var_rows(square(v), false), column); }},
      {"stddev", [](auto v) { return stddev(square(v)); }},
      {"stddev_rows", [&](auto v) { return dot(stddev_rows(v), column); }},
      {"stddev_columns", [](auto v) { return sum(exp(stddev_columns(v, false))); }},
      {"min_rows", [&](auto v) { return dot(square(min_rows(v)), column); }},
      {"min_columns", [](auto v) { return sum(exp(min_columns(square(v)))); }},
      {"min", [](auto v) { return square(min(v * v)); }},
      {"cumulative_sum", [&](auto v) { return dot(square(cumulative_sum(v)), w); }},
      {"cumulative_product", [&](auto v) { return dot(cumulative_product(v), w); }},
      {"top_k", [&](auto v) { return dot(square(top_k(v, 2).values), column_slice(v, 0, 2)); }},
      {"sort_rows", [&](auto v) { return dot(square(sort_rows(v).values), w); }},
      {"reshape",
       [](auto v) {
         return sum(exp(matmul(reshape(v, {2, 6}), reshape(v, {6, 2})) * 0.1));
       }},
      {"gather_columns",
       [&](auto v) { return dot(square(gather_columns(v, label)), exp(gather_columns(v, label))); }},
      {"segment_sum", [&](auto v) { return sum(square(segment_sum(square(v), groups))); }},
      {"segment_mean", [&](auto v) { return sum(square(segment_mean(square(v), groups))); }},
      {"segment_max", [&](auto v) { return sum(exp(segment_max(square(v), groups) * 0.3)); }},
      {"spread", [&](auto v) { return dot(square(spread(segment_sum(v, groups), groups)), w); }},
      {"segment_log_softmax", [&](auto v) { return dot(segment_log_softmax(v, groups), w); }},
      {"segment_softmax", [&](auto v) { return dot(segment_softmax(v, groups), w); }},
      {"softmax of groups",
       [&](auto v) {
         return dot(reshape(softmax(reshape(v, {2, 6}), 3), {4, 3}), w);
       }},
      {"determinant", [](auto v) { return log_det(matmul_tn(v, v)); }},
      {"least squares",
       [&](auto v) { return sum(square(solve(matmul_tn(v, v), matmul_tn(v, tanh(v) * w)))); }},
      {"returns", [&](auto v) { return dot(square(discounted_sum(v, 0.9, groups)), w); }},
  };
  for (const auto& [name, loss] : losses) {
    const auto report = gradcheck(loss, x, {.orders = 2, .tolerance = 1e-7});
    EXPECT_TRUE(report.ok) << name << "\n" << report.text();
    EXPECT_NE(report.lines.front().analytic, 0) << name;
  }
}

/// Operations with kinks, on either side of each.
TEST(Functions, DerivativesOnBothSidesOfKinks) {
  Array<double> x = random_array(6, 4, "x"), w = random_array(6, 4, "w");
  for (double& v : values(x)) v += v < 0 ? -0.1 : 0.1;
  for (std::size_t i = 0; i < w.size(); ++i)
    if (std::abs(w.data()[i] - x.data()[i]) < 0.1) w.data()[i] += 0.5;
  const std::vector<std::pair<const char*, std::function<Var<double>(Var<double>)>>> losses = {
      {"relu", [&](auto v) { return dot(square(relu(v)), w); }},
      {"elu", [&](auto v) { return dot(square(elu(v)), w); }},
      {"abs", [&](auto v) { return dot(exp(-abs(v)), w); }},
      {"minimum",
       [&](auto v) { return sum(square(minimum(v, v * 0 + w))) + sum(tanh(minimum(v * 0 + w, v))); }},
      {"maximum",
       [&](auto v) { return sum(square(maximum(v, v * 0 + w))) + sum(tanh(maximum(v * 0 + w, v))); }},
      {"clip", [&](auto v) { return sum(square(clip(v, -0.05, 0.05) + v)); }},
      {"modulo", [&](auto v) { return sum(square(modulo(v, 0.05))) + dot(tanh(modulo(v * 3.0, 6.0)), w); }},
      {"where", [&](auto v) { return dot(square(where(greater(v, 0), v * w, exp(v))), w); }},
  };
  for (const auto& [name, loss] : losses) {
    const auto report = gradcheck(loss, x, {.orders = 2, .tolerance = 1e-7});
    EXPECT_TRUE(report.ok) << name << "\n" << report.text();
  }
}

/// xtensor has functions of the same names, which must not be taken for these beside an array of any kind.
TEST(Functions, OfAVarAndAnArray) {
  const auto x = row_of<double>({1, 2, 3}), two = row_of<double>({2, 2, 2});
  Array<double> plain = two;
  const auto rvalue = [&] { return two; };
  Tape<double> tape;
  const Var<double> v = tape.parameter(x);
  for (const auto& y : {minimum(v, two), minimum(v, plain), minimum(v, rvalue()), minimum(v, 2)})
    EXPECT_EQ(y.value(), row_of<double>({1, 2, 2}));
  for (const auto& y : {maximum(v, two), maximum(v, plain), maximum(v, rvalue()), maximum(v, 2)})
    EXPECT_EQ(y.value(), row_of<double>({2, 2, 3}));
  for (const auto& y : {greater(v, two), greater(v, plain), greater(v, rvalue())})
    EXPECT_EQ(y.value(), row_of<double>({0, 0, 1}));
  for (const auto& y : {less_equal(v, two), less_equal(v, plain), less_equal(v, rvalue())})
    EXPECT_EQ(y.value(), row_of<double>({1, 1, 0}));
  for (const auto& y : {clip(v, two, plain), clip(v, rvalue(), two), clip(v, 2, plain)})
    EXPECT_EQ(y.value(), two);
  for (const auto& y : {where(greater(v, two), v, two), where(greater(v, plain), v, plain)})
    EXPECT_EQ(y.value(), row_of<double>({2, 2, 3}));
  for (const auto& y : {pow(v, two), pow(v, plain), pow(v, 2)})
    for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(y.values()[i], x.data()[i] * x.data()[i], 1e-14);
}

TEST(Functions, DerivativesAtKinksAreAsStated) {
  const auto at = row_of<double>({0});
  const auto slope = [&](const std::function<Var<double>(Var<double>)>& f) {
    return grad([&](Var<double> v) { return sum(f(v)); }, at)(0, 0);
  };
  EXPECT_EQ(slope([](auto v) { return relu(v); }), 0);
  EXPECT_EQ(slope([](auto v) { return abs(v); }), 0);
  EXPECT_EQ(slope([](auto v) { return elu(v); }), 1);
  EXPECT_EQ(slope([](auto v) { return minimum(v, 0); }), 1);
  EXPECT_EQ(slope([](auto v) { return maximum(v, 0); }), 1);
  EXPECT_EQ(slope([](auto v) { return minimum(stop_gradient(v), v); }), 0);
  EXPECT_EQ(slope([](auto v) { return maximum(stop_gradient(v), v); }), 0);
  EXPECT_EQ(slope([](auto v) { return clip(v, 0, 1); }), 1);
  EXPECT_EQ(slope([](auto v) { return clip(v, -1, 0); }), 1);
  EXPECT_EQ(slope([](auto v) { return clip(v, 0.5, 1); }), 0);
}

TEST(Functions, VariancesAndOrder) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const Array<double> x{{1, 5, 5, 2}, {4, -2, 0, 4}};
  Tape<double> tape;
  const auto v = tape.parameter(x);
  EXPECT_EQ(var_rows(v).value(), (Array<double>{{12.75 / 3}, {27 / 3.0}}));
  EXPECT_EQ(var_rows(v, false).value(), (Array<double>{{12.75 / 4}, {27 / 4.0}}));
  EXPECT_EQ(var_columns(v).value(), (Array<double>{{4.5, 24.5, 12.5, 2}}));
  EXPECT_EQ(stddev_columns(v, false).value(), (Array<double>{{1.5, 3.5, 2.5, 1}}));
  EXPECT_NEAR(square(stddev(v)).item(), var(v).item(), 1e-14);
  EXPECT_EQ(grad(stddev(tape.constant(x) * 0 + sum(v)), v), zeros<double>(2, 4));  // equal numbers
  EXPECT_EQ(min_rows(v).value(), (Array<double>{{1}, {-2}}));
  EXPECT_EQ(min_columns(v).value(), (Array<double>{{1, -2, 0, 2}}));
  EXPECT_EQ(min(v).item(), -2);
  EXPECT_EQ(grad(min(-v), v), (Array<double>{{0, -1, 0, 0}, {0, 0, 0, 0}}));  // the first of equal ones
  const auto sorted = sort_rows(v);
  EXPECT_EQ(sorted.values.value(), (Array<double>{{5, 5, 2, 1}, {4, 4, 0, -2}}));
  EXPECT_EQ(sorted.index, (std::vector<int>{1, 2, 3, 0, 0, 3, 2, 1}));
  const auto best = top_k(v, 1);
  EXPECT_EQ(best.values.value(), max_rows(v).value());
  EXPECT_EQ(grad(sum(best.values), v), (Array<double>{{0, 1, 0, 0}, {1, 0, 0, 0}}));
  const Array<double> odd{{-inf, nan, inf, 0}};
  EXPECT_EQ(sort_rows(tape.constant(odd)).index, (std::vector<int>{1, 2, 3, 0}));
  EXPECT_EQ(top_k(v, 0).values.shape(), (Shape{2, 0}));
}

TEST(Functions, Cumulative) {
  const Array<double> x{{1, 5, 0, 2, 3}, {4, -2, 0, 0, 1}};
  Tape<double> tape;
  const auto v = tape.parameter(x);
  EXPECT_EQ(cumulative_sum(v).value(), (Array<double>{{1, 6, 6, 8, 11}, {4, 2, 2, 2, 3}}));
  EXPECT_EQ(reverse_cumulative_sum(v).value(), (Array<double>{{11, 10, 5, 5, 3}, {3, -1, 1, 1, 1}}));
  EXPECT_EQ(cumulative_product(v).value(), (Array<double>{{1, 5, 0, 0, 0}, {4, -8, 0, 0, 0}}));
  // A product's derivative is that of the others, also where it is 0.
  EXPECT_EQ(grad(sum(column_slice(cumulative_product(v), 4, 5)), v),
            (Array<double>{{0, 0, 30, 0, 0}, {0, 0, 0, 0, 0}}));
  EXPECT_EQ(
      hvp([](auto u) { return sum(column_slice(cumulative_product(u), 4, 5)); }, x, full<double>(2, 5, 1.0)),
      (Array<double>{{30, 6, 6 + 30 + 15 + 10, 15, 10}, {0, 0, -8, -8, 0}}));
  const Array<float> ones = full<float>(1, 3'000'000, 0.1f);
  Tape<float> single;
  EXPECT_NEAR(cumulative_sum(single.constant(ones)).values().back(), 3e6 * static_cast<double>(0.1f), 0.02);
}

TEST(Functions, Segments) {
  const double inf = std::numeric_limits<double>::infinity();
  const Array<double> x{{1, 2}, {3, 0}, {-1, 3}, {-1, 1}, {5, 5}};
  const std::vector<int> offset{0, 2, 2, 5}, filled{0, 2, 5};
  Tape<double> tape;
  const auto v = tape.parameter(x);
  EXPECT_EQ(segment_sum(v, offset).value(), (Array<double>{{4, 2}, {0, 0}, {3, 9}}));
  EXPECT_EQ(segment_mean(v, filled).value(), (Array<double>{{2, 1}, {1, 3}}));
  EXPECT_EQ(segment_max(v, filled).value(), (Array<double>{{3, 2}, {5, 5}}));
  EXPECT_EQ(grad(sum(segment_max(-v, filled)), v),
            (Array<double>{{-1, 0}, {0, -1}, {-1, 0}, {0, -1}, {0, 0}}));
  EXPECT_EQ(spread(segment_sum(v, offset), offset).value(),
            (Array<double>{{4, 2}, {4, 2}, {3, 9}, {3, 9}, {3, 9}}));
  for (const auto& y : {segment_mean(v, filled), cumulative_product(v)})  // of parameters alone
    EXPECT_EQ(y.node().data_rows, Node<double>::no_data);
  const auto p = segment_softmax(v, offset), log_p = segment_log_softmax(v, offset);
  for (const auto& [begin, end] : {std::pair{0, 2}, {2, 5}}) {  // as softmax of a row
    const auto row = transpose(row_slice(v, begin, end));
    EXPECT_NEAR(max(abs(transpose(row_slice(p, begin, end)) - softmax(row))).item(), 0, 1e-15);
    EXPECT_NEAR(max(abs(transpose(row_slice(log_p, begin, end)) - log_softmax(row))).item(), 0, 1e-15);
  }
  const Array<double> far{{1e3, -inf}, {-1e3, 0}};  // one is masked
  EXPECT_EQ(segment_softmax(tape.constant(far), std::vector<int>{0, 2}).value(),
            (Array<double>{{1, 0}, {0, 1}}));
  EXPECT_EQ(segment_sum(row_slice(v, 0, 0), std::vector<int>{0}).shape(), (Shape{0, 2}));
  EXPECT_EQ(segment_softmax(row_slice(v, 0, 0), std::vector<int>{0, 0}).shape(), (Shape{0, 2}));
  const Array<double> heads{{1, 2, 3, 4}};
  const auto h = tape.constant(heads);
  EXPECT_EQ(softmax(h, 2).value(), reshape(softmax(reshape(h, {2, 2})), {1, 4}).value());
  EXPECT_EQ(softmax(h, 4).value(), softmax(h).value());
}

TEST(Functions, MseCarriesNoGradientToItsTarget) {
  const auto x = random_array(2, 3, "x"), target = random_array(2, 3, "target");
  const auto g = grad([&](Var<double> v) { return mse(v, target); }, x);
  for (std::size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(g.data()[i], 2 * (x.data()[i] - target.data()[i]) / 6, 1e-15);
}

TEST(Functions, PartsAndExtremes) {
  const auto x = from_values<double>(2, 3, std::vector<double>{1, 5, 5, 4, -2, 0});
  Tape<double> tape;
  const auto v = tape.parameter(x);
  const auto of = [](int rows, int cols, const std::vector<double>& numbers) {
    return from_values<double>(rows, cols, numbers);
  };
  EXPECT_EQ(sum_columns(v).value(), of(1, 3, {5, 3, 5}));
  EXPECT_EQ(mean_columns(v).value(), of(1, 3, {2.5, 1.5, 2.5}));
  EXPECT_EQ(max_rows(v).value(), of(2, 1, {5, 4}));
  EXPECT_EQ(max_columns(v).value(), of(1, 3, {4, 5, 5}));
  EXPECT_EQ(max(v).item(), 5);
  EXPECT_EQ(grad(max(v), v), of(2, 3, {0, 1, 0, 0, 0, 0}));  // the first of equal ones
  EXPECT_EQ(norm(v).item(), std::sqrt(71.0));
  EXPECT_EQ(transpose(v).value(), of(3, 2, {1, 4, 5, -2, 5, 0}));
  EXPECT_EQ(row_slice(v, 1, 2).value(), of(1, 3, {4, -2, 0}));
  EXPECT_EQ(column_slice(v, 1, 3).value(), of(2, 2, {5, 5, -2, 0}));
  EXPECT_EQ(concatenate_rows<double>({row_slice(v, 1, 2), row_slice(v, 0, 1)}).value(),
            of(2, 3, {4, -2, 0, 1, 5, 5}));
  EXPECT_EQ(concatenate_columns<double>({column_slice(v, 2, 3), column_slice(v, 0, 2)}).value(),
            of(2, 3, {5, 1, 5, 0, 4, -2}));
  EXPECT_THROW(concatenate_rows<double>({v, transpose(v)}), Error);
  EXPECT_THROW(concatenate_columns<double>({v, transpose(v)}), Error);
  EXPECT_THROW(concatenate_columns<double>({}), Error);
  EXPECT_EQ(huber(v, 2).value(), of(2, 3, {0.5, 8, 8, 6, 2, 0}));
  EXPECT_EQ(modulo(v, 3).value(), of(2, 3, {1, 2, 2, 1, 1, 0}));
  EXPECT_EQ(floor(v * 0.5).value(), of(2, 3, {0, 2, 2, 2, -1, 0}));
  const std::vector<int> groups{0, 2, 2, 5};
  const auto r = of(5, 1, {1, 2, 3, 4, 5});
  EXPECT_EQ(discounted_sum(tape.constant(r), 0.5, groups).value(), of(5, 1, {2, 2, 6.25, 6.5, 5}));
  EXPECT_EQ(discounted_sum_forward(tape.constant(r), 0.5, groups).value(), of(5, 1, {1, 2.5, 3, 5.5, 7.75}));
  const auto A = of(2, 2, {2, 1, 0, -4}), b = of(2, 1, {4, 8});
  EXPECT_EQ(solve(tape.constant(A), tape.constant(b)).value(), of(2, 1, {3, -2}));
  EXPECT_EQ(solve_transposed(tape.constant(A), tape.constant(b)).value(), of(2, 1, {2, -1.5}));
  EXPECT_NEAR(log_det(tape.constant(A)).item(), std::log(8.0), 1e-15);
}

}  // namespace
}  // namespace lowvar
