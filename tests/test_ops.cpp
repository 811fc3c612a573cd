// Every listed operation, on every broadcast pattern, at orders 1 and 2 (3 too: every rule here is made of
// listed operations). An operation that is not on the list does not exist; one that is cannot escape.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "autograd/gradcheck.h"
#include "autograd/op_list.h"

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
          x.push_back(zeros<double>(s.rows, s.cols));
          for (double& v : values(x.back())) v = edges[rng.bits() % std::size(edges)];
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
      auto x = sample(op, op.shapes[0], 0);
      x[i].fill(nan);
      Tape<double> tape;
      std::vector<Operand<double>> operands;
      for (const auto& each : x) operands.push_back(tape.parameter(each));
      const auto y = op.apply(operands);
      if (op.piecewise_constant) {
        for (const double v : y.values()) EXPECT_EQ(v, 0) << name;
      } else if (name == "where" && i > 0) {
        for (std::size_t j = 0; j < x[0].size(); ++j)
          EXPECT_EQ(std::isnan(y.values()[j]), (x[0].data()[j] != 0) == (i == 1));
      } else if (name == "where") {
        continue;  // a mask is 0 or 1
      } else if (name == "pad" || name == "place" || name == "scatter_add") {
        EXPECT_TRUE(
            std::any_of(y.values().begin(), y.values().end(), [](double v) { return std::isnan(v); }));
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
}

}  // namespace
}  // namespace lowvar
