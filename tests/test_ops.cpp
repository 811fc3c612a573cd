// Every listed operation, on every broadcast pattern, at orders 1 and 2 (3 too: every rule here is made of
// listed operations). An operation that is not on the list does not exist; one that is cannot escape.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include "autograd/gradcheck.h"
#include "autograd/op_list.h"
#include "core/random.h"

namespace lowvar {
namespace {

std::vector<Array<double>> sample(const OpEntry<double>& op, const std::vector<Shape>& shapes,
                                  std::uint32_t index) {
  Rng rng(7, op.name, index);
  std::vector<Array<double>> x;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    x.push_back(zeros<double>(shapes[i].rows, shapes[i].cols));
    const Domain& d = op.domain[i];
    for (double& v : values(x.back()))
      v = d.binary ? (rng.uniform() < 0.5 ? d.low : d.high) : rng.uniform(d.low, d.high);
  }
  return x;
}

/// The number under test: a random combination of the entries of the result. Operands without a rule are held
/// fixed.
GradcheckReport check(const OpEntry<double>& op, const std::vector<Shape>& shapes, std::uint32_t index,
                      int orders) {
  const auto all = sample(op, shapes, index);
  const auto fixed = [&](std::size_t i) {
    return std::find(op.without_rule.begin(), op.without_rule.end(), static_cast<int>(i)) !=
           op.without_rule.end();
  };
  std::vector<Array<double>> x;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (!fixed(i)) x.push_back(all[i]);
  const Loss loss = [&](const std::vector<Var<double>>& p) {
    std::vector<Operand<double>> operands;
    std::size_t next = 0;
    for (std::size_t i = 0; i < all.size(); ++i)
      operands.push_back(fixed(i) ? Operand<double>(all[i]) : Operand<double>(p[next++]));
    const Var<double> y = op.apply(operands);
    Rng rng(8, op.name, index);
    Array<double> w = zeros<double>(y.rows(), y.cols());
    for (double& v : values(w)) v = rng.normal();
    return dot(y, w);
  };
  return gradcheck(loss, x, {.orders = orders, .tolerance = 1e-7});
}

TEST(Ops, EveryListedOperationPassesAtEveryOrder) {
  int checked = 0;
  for (const auto& op : all_ops<double>()) {
    if (op.piecewise_constant) continue;
    for (std::uint32_t i = 0; i < op.shapes.size(); ++i, ++checked) {
      const auto report = check(op, op.shapes[i], i, 3);
      EXPECT_TRUE(report.ok) << op.name << " pattern " << i << "\n" << report.text();
    }
  }
  EXPECT_GT(checked, 100);
}

TEST(Ops, FloatRunsTheSameValuesAndRules) {
  const auto singles = all_ops<float>();
  const auto doubles = all_ops<double>();
  ASSERT_EQ(singles.size(), doubles.size());
  for (std::size_t k = 0; k < doubles.size(); ++k) {
    if (doubles[k].piecewise_constant) continue;
    const auto x = sample(doubles[k], doubles[k].shapes[0], 0);
    std::vector<Array<float>> x32(x.begin(), x.end());
    if (!doubles[k].without_rule.empty()) continue;  // covered in double
    const auto run = [&]<class T>(const OpEntry<T>& op, const std::vector<Array<T>>& at) {
      return grad(
          [&](const std::vector<Var<T>>& p) {
            return sum(square(op.apply(std::vector<Operand<T>>(p.begin(), p.end()))));
          },
          at);
    };
    const auto g = run(doubles[k], x);
    const auto g32 = run(singles[k], x32);
    for (std::size_t i = 0; i < g.size(); ++i)
      for (std::size_t j = 0; j < g[i].size(); ++j)
        EXPECT_NEAR(g32[i].data()[j], g[i].data()[j], 2e-5 * std::max(1.0, std::abs(g[i].data()[j])))
            << doubles[k].name;
  }
}

/// tanh with a slip of the pen: y for y * y.
struct WrongTanh {
  static constexpr const char* name = "wrong_tanh";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return tanh(x); }
  static auto rule(auto g, auto y, auto) { return g * (1 - y); }
};

/// Right to first order, wrong to second: the rule loses its dependence on y when it is recorded.
struct CutTanh {
  static constexpr const char* name = "cut_tanh";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return tanh(x); }
  static double rule(double g, double y, double) { return g * (1 - y * y); }
  static Var<double> rule(Var<double> g, Var<double> y, Var<double>) { return g * stop_gradient(1 - y * y); }
};

TEST(Ops, PlantedWrongRulesAreCaughtAtTheirOrder) {
  EXPECT_FALSE(check(detail::entry<WrongTanh, double>(), {{3, 4}}, 0, 1).ok);
  EXPECT_TRUE(check(detail::entry<CutTanh, double>(), {{3, 4}}, 0, 1).ok);
  EXPECT_FALSE(check(detail::entry<CutTanh, double>(), {{3, 4}}, 0, 2).ok);
}

TEST(Ops, MissingDerivativeThrowsByName) {
  const auto x = full<double>(1, 1, 0.5), low = full<double>(1, 1, -1.0);
  Tape<double> tape;
  const auto y = clip(tape.constant(x), tape.parameter(low), 1.0);
  try {
    grad(y, y);
    grad(clip(y, 0.0, y), y);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("clip: no derivative with respect to operand"), std::string::npos)
        << e.what();
  }
}

TEST(Ops, ShapeErrorNamesOperationShapesAndPlace) {
  const auto a = zeros<double>(3, 4), b = zeros<double>(2, 4);
  Tape<double> tape;
  const auto x = tape.parameter(a), y = tape.parameter(b);
  try {
    x + y;
    FAIL() << "no error";
  } catch (const Error& e) {
    const std::string what = e.what();
    EXPECT_NE(what.find("add: shapes 3x4, 2x4 do not broadcast"), std::string::npos) << what;
    EXPECT_NE(what.find("test_ops.cpp"), std::string::npos) << what;
  }
  EXPECT_THROW(matmul(x, y), Error);
  EXPECT_THROW(linear(x, y, y), Error);
  EXPECT_THROW(pick(x, std::vector<int>{0, 1, 4}), Error);
  EXPECT_THROW(pick(x, std::vector<int>{0, 1}), Error);
  EXPECT_THROW(gather(x, std::vector<int>{3}), Error);
  EXPECT_THROW(sum_to(x, {2, 4}), Error);
}

TEST(Ops, RowAndMatrixErrorsNameOperationShapesAndPlace) {
  const auto a = full<double>(3, 2, 1.0), b = full<double>(4, 2, 1.0);
  Tape<double> tape;
  const auto x = tape.parameter(a), y = tape.parameter(b);
  const std::vector<int> short_groups{0, 2};
  const std::vector<std::pair<const char*, std::function<void()>>> mistakes = {
      {"matmul: shapes 3x2 and 4x2", [&] { matmul(x, y); }},
      {"matmul_tn: shapes 3x2 and 4x2", [&] { matmul_tn(x, y); }},
      {"matmul_nt: shapes 3x2 and 4x1",
       [&] {
         matmul_nt(x, sum_to(y, Shape{4, 1}));
       }},
      {"linear: x 3x2, W 4x2", [&] { linear(x, y, x); }},
      {"solve: A 3x2 must be square with as many rows as B 4x2", [&] { solve(x, y); }},
      {"solve_transposed: A 3x2", [&] { solve_transposed(x, x); }},
      {"log_det: needs a square matrix, got 3x2", [&] { log_det(x); }},
      {"log_softmax: needs at least one column, got 3x0",
       [&] {
         log_softmax(block(x, 0, 0, Shape{3, 0}));
       }},
      {"logsumexp: needs at least one column",
       [&] {
         logsumexp(block(x, 0, 0, Shape{3, 0}));
       }},
      {"sum_to: cannot sum 3x2 to 2x2",
       [&] {
         sum_to(x, Shape{2, 2});
       }},
      {"broadcast_to: cannot repeat 3x2 to 6x2",
       [&] {
         broadcast_to(x, Shape{6, 2});
       }},
      {"pick: needs one index a row, 3, got 2", [&] { pick(x, short_groups); }},
      {"place: needs one column, got 3x2", [&] { place(x, short_groups, 2); }},
      {"gather: index 3 at 0 is not one of the 3 rows", [&] { gather(x, std::vector{3}); }},
      {"scatter_add: needs one index a row, 3, got 2", [&] { scatter_add(x, short_groups, 5); }},
      {"block: no 2x2 at row 2, column 0 of 3x2",
       [&] {
         block(x, 2, 0, Shape{2, 2});
       }},
      {"pad: 3x2 does not fit at row 1, column 0 of 3x2",
       [&] {
         pad(x, 1, 0, Shape{3, 2});
       }},
      {"discounted_sum: offset must rise from 0 to the 3 rows of 3x2",
       [&] { discounted_sum(x, 1, short_groups); }},
      {"discounted_sum_forward: offset", [&] { discounted_sum_forward(x, 1, std::vector<int>{}); }},
      {"clip: shapes 3x2, 4x2, 1x1 do not broadcast", [&] { clip(x, y, 1); }},
      {"reshape: 3x2 has 6 entries, not those of 4x2",
       [&] {
         reshape(x, Shape{4, 2});
       }},
      {"pick_columns: needs one index a row, 3, got 4",
       [&] {
         pick_columns(x, std::vector{0, 1, 1, 0});
       }},
      {"place_columns: index 2 at 1 is not one of the 2 columns",
       [&] {
         place_columns(x, std::vector{0, 2, 1, 0, 0, 0}, 2);
       }},
      {"gather_columns: index 2 at 0 is not one of the 2 columns",
       [&] { gather_columns(x, std::vector{2}); }},
      {"scatter_add_columns: needs one index a column, 2, got 1",
       [&] { scatter_add_columns(x, std::vector{2}, 4); }},
      {"segment_sum: offset must rise from 0 to the 3 rows of 3x2", [&] { segment_sum(x, short_groups); }},
      {"spread: needs 4 offsets for the rows of 3x2, got 2", [&] { spread(x, short_groups); }},
      {"spread: offset must rise from 0",
       [&] {
         spread(x, std::vector{0, 2, 1, 3});
       }},
      {"segment_max: segment 1 of 3 is empty",
       [&] {
         segment_max(x, std::vector{0, 2, 2, 3});
       }},
      {"segment_mean: segment 1 of 3 is empty",
       [&] {
         segment_mean(x, std::vector{0, 2, 2, 3});
       }},
      {"segment_log_softmax: offset must rise", [&] { segment_softmax(x, short_groups); }},
      {"log_softmax: the 2 columns of 3x2 are not groups of 3", [&] { softmax(x, 3); }},
      {"top_k: k = 3 of the 2 columns of 3x2", [&] { top_k(x, 3); }},
      {"var_rows: needs at least 2 numbers",
       [&] {
         var_rows(pick(x, std::vector{0, 0, 0}));
       }},
      {"max_rows: needs at least one column",
       [&] {
         max_rows(block(x, 0, 0, Shape{3, 0}));
       }},
  };
  for (const auto& [part, mistake] : mistakes) {
    try {
      mistake();
      FAIL() << part << ": no error";
    } catch (const Error& e) {
      const std::string what = e.what();
      EXPECT_NE(what.find(part), std::string::npos) << what;
      EXPECT_NE(what.find("test_ops.cpp"), std::string::npos) << what;
    }
  }
}

// ---- At edges ----

/// The sum of the result and its gradient, in one line; what is thrown instead.
std::string outcome(const OpEntry<double>& op, const std::vector<Array<double>>& x, bool differentiate) {
  try {
    Tape<double> tape;
    std::vector<Var<double>> parameters;
    std::vector<Operand<double>> operands;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const bool fixed = std::find(op.without_rule.begin(), op.without_rule.end(), static_cast<int>(i)) !=
                         op.without_rule.end();
      operands.push_back(fixed ? tape.constant(x[i]) : tape.parameter(x[i]));
      if (!fixed) parameters.push_back(operands.back().var);
    }
    const auto y = sum(op.apply(operands));
    if (differentiate && y.node().needs_gradient) grad(y, parameters);
    return "a value";
  } catch (const Error& e) {
    return e.what();
  }
}

TEST(OpsAtEdges, DifferentiatingThrowsOnlyWhereTheValueDoes) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const double edges[] = {nan, -inf, inf, -3, -1, -0.0, 0, 1e-320, 1, 3, 1e308, -1e308};
  int thrown = 0;
  for (const auto& op : all_ops<double>())
    for (const auto& shapes : op.shapes)
      for (std::uint32_t trial = 0; trial < 6; ++trial) {
        Rng rng(9, op.name, trial);
        std::vector<Array<double>> x;
        for (const Shape s : shapes) {
          const bool mask = op.name == std::string("where") && x.empty();
          x.push_back(zeros<double>(s.rows, s.cols));
          for (double& v : values(x.back()))
            v = mask ? static_cast<double>(rng.bits() % 2) : edges[rng.bits() % std::size(edges)];
        }
        const std::string value = outcome(op, x, false);
        EXPECT_EQ(outcome(op, x, true), value) << op.name;
        thrown += value != "a value";
      }
  EXPECT_EQ(thrown, 0);  // these are never exactly singular
  const auto singular = Array<double>{{1, 2}, {2, 4}}, b = Array<double>{{1}, {1}};
  Tape<double> tape;
  const auto A = tape.parameter(singular), B = tape.parameter(b);
  for (const auto& [name, f] : std::vector<std::pair<const char*, std::function<void()>>>{
           {"solve", [&] { solve(A, B); }},
           {"solve_transposed", [&] { solve_transposed(A, B); }},
           {"log_det", [&] { log_det(A); }}}) {
    try {
      f();
      FAIL() << name << ": no error";
    } catch (const Error& e) {
      const std::string what = e.what();
      EXPECT_NE(what.find(join(name, ": a linear system of 2 equations is singular")), std::string::npos)
          << what;
      EXPECT_NE(what.find("test_ops.cpp"), std::string::npos) << what;
    }
  }
}

TEST(OpsAtEdges, NaNInNaNOut) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const auto& op : all_ops<double>()) {
    const std::string name = op.name;
    for (std::size_t i = 0; i < op.domain.size(); ++i) {
      if (name == "where" && i == 0) continue;  // a mask is 0 or 1
      auto x = sample(op, op.shapes[0], 0);
      x[i].fill(nan);
      Tape<double> tape;
      std::vector<Operand<double>> operands;
      for (const auto& each : x) operands.push_back(tape.parameter(each));
      const auto y = op.apply(operands);
      if (op.piecewise_constant && name != "floor") {
        for (const double v : y.values()) EXPECT_EQ(v, 0) << name;
      } else if (name == "where") {
        for (std::size_t j = 0; j < x[0].size(); ++j)
          EXPECT_EQ(std::isnan(y.values()[j]), (x[0].data()[j] != 0) == (i == 1));
      } else if (name == "pad" || name == "place" || name == "scatter_add" || name == "scatter_add_columns" ||
                 name == "segment_place" || name == "segment_sum" || name == "tril" || name == "triu") {
        EXPECT_TRUE(std::any_of(y.values().begin(), y.values().end(), [](double v) { return std::isnan(v); }))
            << name;
      } else {
        for (const double v : y.values()) EXPECT_TRUE(std::isnan(v)) << name << " operand " << i;
      }
    }
  }
  const auto one = full<double>(1, 1, 1.0), bad = full<double>(1, 1, nan);
  Tape<double> tape;
  EXPECT_EQ(pow(tape.constant(bad), 0).item(), 1);
  EXPECT_EQ(pow(tape.constant(one), bad).item(), 1);
}

TEST(OpsAtEdges, DerivativesAreTheLimitsOfTheirRules) {
  const double inf = std::numeric_limits<double>::infinity();
  const auto slope = [](auto f, double at) {
    return grad([&](Var<double> v) { return f(v); }, full<double>(1, 1, at))(0, 0);
  };
  EXPECT_EQ(slope([](auto v) { return sqrt(v); }, 0), inf);
  EXPECT_EQ(slope([](auto v) { return log(v); }, 0), inf);
  EXPECT_EQ(slope([](auto v) { return log1p(v); }, -1), inf);
  EXPECT_EQ(slope([](auto v) { return pow(v, 2); }, 0), 0);
  EXPECT_EQ(slope([](auto v) { return pow(v, 2); }, -3), -6);
  EXPECT_TRUE(std::isnan(slope([](auto v) { return sqrt(v); }, -1)));
  EXPECT_EQ(slope([](auto v) { return softplus(v); }, inf), 1);
  EXPECT_EQ(slope([](auto v) { return softplus(v); }, -inf), 0);
  EXPECT_EQ(slope([](auto v) { return huber(v, 2); }, inf), 2);
  EXPECT_EQ(slope([](auto v) { return huber(v, 2); }, -inf), -2);
  EXPECT_EQ(slope([](auto v) { return elu(v); }, inf), 1);
  for (const auto& f : std::vector<std::function<Var<double>(Var<double>)>>{
           [](auto v) { return silu(v); }, [](auto v) { return gelu(v); },
           [](auto v) { return normal_cdf(v) + v; }, [](auto v) { return erf(v) + v; },
           [](auto v) { return v - log_sigmoid(v); }}) {
    EXPECT_EQ(slope(f, inf), 1);
    EXPECT_EQ(slope(f, 1e300), 1);
  }
  for (const double x : {-inf, -1e300}) {
    EXPECT_EQ(slope([](auto v) { return silu(v); }, x), 0);
    EXPECT_EQ(slope([](auto v) { return gelu(v); }, x), 0);
    EXPECT_EQ(slope([](auto v) { return log_sigmoid(v); }, x), 1);
    EXPECT_EQ(slope([](auto v) { return logaddexp(v, 0); }, x), 0);
    EXPECT_EQ(slope([](auto v) { return logaddexp(0 * stop_gradient(v) / v, v); }, -1e300), 0);
  }
  EXPECT_EQ(slope([&](auto v) { return logaddexp(v, -inf); }, -inf), 0.5);
  EXPECT_EQ(slope([](auto v) { return logsumexp(v); }, -inf), 0);
  EXPECT_EQ(slope([](auto v) { return xlogy(v, 0); }, 0), 0);
  EXPECT_EQ(slope([](auto v) { return xlogy(0, v); }, 0), 0);
  EXPECT_EQ(slope([](auto v) { return xlogy(v, 0); }, 1), -inf);
  EXPECT_EQ(slope([](auto v) { return lgamma(v); }, 0), -inf);
}

TEST(OpsAtEdges, ValuesAreTheirLimits) {
  const double inf = std::numeric_limits<double>::infinity();
  const auto of = [](auto f, double at) {
    const auto x = full<double>(1, 1, at);
    Tape<double> tape;
    return f(tape.constant(x)).item();
  };
  for (const double x : {inf, 1e308, 1e3}) {
    EXPECT_EQ(of([](auto v) { return silu(v); }, x), x);
    EXPECT_EQ(of([](auto v) { return silu(v); }, -x), 0);
    EXPECT_EQ(of([](auto v) { return gelu(v); }, x), x);
    EXPECT_EQ(of([](auto v) { return gelu(v); }, -x), 0);
    EXPECT_EQ(of([](auto v) { return log_sigmoid(v); }, x), 0);
    EXPECT_EQ(of([](auto v) { return log_sigmoid(v); }, -x), -x);
    EXPECT_EQ(of([](auto v) { return logaddexp(v, -v); }, x), x);
    EXPECT_EQ(of([](auto v) { return logaddexp(v, v); }, -x), -x + std::log(2.0));
    EXPECT_EQ(of([](auto v) { return xlogy(0, v); }, x), 0);
    EXPECT_EQ(of([](auto v) { return xlogy(0, v); }, -x), 0);
    EXPECT_EQ(of([](auto v) { return lgamma(v); }, inf), inf);
    EXPECT_EQ(of([](auto v) { return huber(v, 2); }, -x), 2 * (x - 1));
  }
  EXPECT_EQ(of([](auto v) { return xlogy(v, 0); }, 0), 0);
  EXPECT_NEAR(of([](auto v) { return gelu(v); }, -10) / -7.6198530241605e-23, 1, 1e-13);  // no cancellation
}

// ---- Rows that meet ----

/// Op::regroup of the node y.
std::optional<std::vector<int>> regroup(const Var<double>& y, const std::vector<int>& of_y) {
  const Node<double>& node = y.node();
  std::vector<int> of_x(of_y.size());
  const Node<double>* operand[] = {&(*y.record())[y.record()->operands(y.index())[0]]};
  const Frame<double> f{&node, operand, nullptr};
  if (!node.op->regroup(f, 0, of_y, of_x)) return {};
  return of_x;
}

TEST(Ops, RegroupLeadsFromRowsOfTheResultToThoseOfTheOperand) {
  using Offsets = std::vector<int>;
  const auto rows = full<double>(6, 2, 1.0), segments = full<double>(4, 2, 1.0);
  const Offsets offset{0, 2, 2, 5, 6};
  Tape<double> tape;
  const auto x = tape.data(rows), s = tape.data(segments);
  const auto total = segment_sum(x, offset);
  EXPECT_EQ(regroup(total, {0, 1, 4}), (Offsets{0, 2, 6}));
  EXPECT_EQ(regroup(total, {0, 2, 3, 4}), (Offsets{0, 2, 5, 6}));
  const auto most = segment_max(x, std::vector<int>{0, 2, 5, 6});
  EXPECT_EQ(regroup(most, {0, 2, 3}), (Offsets{0, 5, 6}));
  const auto wide = spread(s, offset);
  EXPECT_EQ(regroup(wide, {0, 2, 6}), (Offsets{0, 1, 4}));
  EXPECT_EQ(regroup(wide, {0, 5, 6}), (Offsets{0, 3, 4}));
  EXPECT_EQ(regroup(wide, {0, 3, 6}), std::nullopt);
  const auto p = tape.parameter(rows);
  const auto placed = grad_graph(sum(segment_max(p, std::vector<int>{0, 2, 5, 6})), p);
  EXPECT_EQ(std::string(placed.node().op->name), "segment_place");
  EXPECT_EQ(regroup(placed, {0, 2, 6}), (Offsets{0, 1, 3}));
  EXPECT_EQ(regroup(placed, {0, 1, 6}), std::nullopt);
  EXPECT_EQ(regroup(reshape(x, {12, 1}), {0, 4, 12}), (Offsets{0, 2, 6}));
  EXPECT_EQ(regroup(reshape(x, {12, 1}), {0, 3, 12}), std::nullopt);
  EXPECT_EQ(regroup(reshape(x, {3, 4}), {0, 1, 3}), (Offsets{0, 2, 6}));
  EXPECT_EQ(regroup(reshape(x, {4, 3}), {0, 2, 4}), (Offsets{0, 3, 6}));
  EXPECT_EQ(regroup(reshape(x, {4, 3}), {0, 1, 4}), std::nullopt);
}

/// The derivatives of orders 1 to 3 of f at x, each that of the recorded one before; 0 where there is none.
std::array<double, 3> derivatives(const std::function<Var<double>(Var<double>)>& f, double x) {
  std::array<double, 3> out{};
  const auto at = full<double>(1, 1, x);
  Tape<double> tape;
  const auto v = tape.parameter(at);
  auto y = f(v);
  for (double& each : out) {
    if (!y.node().needs_gradient) break;
    y = grad_graph(y, v);
    each = y.item();
  }
  return out;
}

using Derivatives = std::array<double, 3>;

TEST(OpsAtEdges, WhatIsCutOffContributesZeroAtEveryOrder) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  struct Case {
    const char* name;
    double at;
    std::function<Var<double>(Var<double>)> f;
  };
  const std::vector<Case> cases = {
      {"relu", -1, [](auto x) { return sqrt(relu(x)); }},
      {"abs", 0, [](auto x) { return log(abs(x)); }},
      {"maximum", -1, [](auto x) { return sqrt(maximum(x, 0)); }},
      {"maximum, b", -1, [](auto x) { return log(maximum(stop_gradient(x) * 0, x)); }},
      {"minimum", 1, [](auto x) { return sqrt(minimum(x, 0)); }},
      {"minimum, b", 1, [](auto x) { return sqrt(minimum(stop_gradient(x) * 0, x)); }},
      {"clip, low", -1, [](auto x) { return log(clip(x, 0, 1)); }},
      {"clip, high", 3, [](auto x) { return log1p(-clip(x, 0, 1)); }},
      {"where, a", 1, [](auto x) { return sqrt(where(greater(x, 5), x, 0)); }},
      {"where, b", 1, [](auto x) { return sqrt(where(less(x, 5), 0, x)); }},
      {"where, a slope of infinity", 1, [&](auto x) { return where(greater(x, 5), x, 0) * inf; }},
      {"where, a slope of NaN", 1, [&](auto x) { return where(greater(x, 5), x, 0) * nan; }},
      {"elu", inf, [](auto x) { return elu(x) - x; }},
      {"huber", inf, [](auto x) { return huber(x, 1) - x; }},
      {"exp_times, l", -1, [&](auto x) { return exp_times(x * 1e3, stop_gradient(x) * inf); }},
      {"exp_times, b", -1, [&](auto x) { return exp_times(-1e3 * exp(stop_gradient(x) * 0), x) * inf; }},
      {"exp_times, slope", -1, [&](auto x) { return exp_times(x * 1e3, x) * inf; }},
      {"norm", 0, [](auto x) { return norm(x); }},
  };
  for (const auto& [name, at, f] : cases) EXPECT_EQ(derivatives(f, at), Derivatives{}) << name;
}

TEST(OpsAtEdges, PowersAtZeroArePolynomials) {
  for (const double zero : {0.0, -0.0, 1e-320}) {
    const auto of = [&](double b) { return derivatives([&](auto x) { return pow(x, b); }, zero); };
    EXPECT_EQ(of(0), (Derivatives{0, 0, 0}));
    EXPECT_EQ(of(1), (Derivatives{1, 0, 0}));
    EXPECT_EQ(of(2), (Derivatives{2 * zero, 2, 0}));
    EXPECT_EQ(of(3), (Derivatives{0, 6 * zero, 6}));
  }
  for (const double b : {0.0, 0.5, 1.0, 2.0})
    EXPECT_EQ(derivatives([](auto x) { return pow(stop_gradient(x) * 0, x); }, b), Derivatives{}) << b;
  // With respect to both operands: d2 (a^b) / da db = a^(b-1) (1 + b log a), also where b = 0.
  const auto a = full<double>(1, 1, 0.5), b = full<double>(1, 1, 0.0);
  Tape<double> tape;
  const auto x = tape.parameter(a), y = tape.parameter(b), p = pow(x, y);
  EXPECT_EQ(grad(p, x)(0, 0), 0);
  EXPECT_EQ(grad(p, y)(0, 0), log(0.5));
  EXPECT_EQ(grad(grad_graph(p, x), y)(0, 0), 2);
  EXPECT_EQ(grad(grad_graph(p, y), x)(0, 0), 2);
}

TEST(OpsAtEdges, AMaskIsZeroOrOne) {
  const auto x = full<double>(2, 2, 3.0);
  Tape<double> tape;
  const auto a = tape.parameter(x), either = greater(a, 0) + greater(a, 1);
  const std::vector<std::pair<Var<double>, const char*>> wrong = {
      {either, "where: the mask is 2 at row 0, column 0 of 2x2"},
      {tape.constant(x) - Array<double>{{3, 2}, {3, 2.5}},
       "where: the mask is 0.5 at row 1, column 1 of 2x2, where it must be 0 or 1; greater(mask, 0)"},
      {log(-a), "where: the mask is"},  // NaN
  };
  for (const auto& [mask, part] : wrong) {
    try {
      where(mask, a, 0);
      FAIL() << part << ": no error";
    } catch (const Error& e) {
      const std::string what = e.what();
      EXPECT_NE(what.find(part), std::string::npos) << what;
      EXPECT_NE(what.find("test_ops.cpp"), std::string::npos) << what;
    }
  }
  EXPECT_EQ(where(greater(either, 0), a, 0).value(), x);
  EXPECT_EQ(where(greater(a, 0) * less(a, 9), a, 0).value(), x);  // a product of masks is one
}

}  // namespace
}  // namespace lowvar
