// Every listed operation, on every broadcast pattern, at orders 1 and 2 (3 too: every rule here is made of
// listed operations). An operation that is not on the list does not exist; one that is cannot escape.
#include <gtest/gtest.h>

#include "autograd/gradcheck.h"
#include "autograd/primitive.h"

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

}  // namespace
}  // namespace lowvar
