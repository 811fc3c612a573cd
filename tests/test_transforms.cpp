// Jacobians, tangents, Hessians and subgraphs that are run again, against what they are made of.
#include <gtest/gtest.h>

#include <cmath>

#include "autograd/gradcheck.h"
#include "nn/mlp.h"
#include "tests/arrays.h"

namespace lowvar {
namespace {

template <class T>
void expect_near(const Array<T>& a, const Array<T>& b, double tolerance = 1e-12) {
  ASSERT_EQ(shape(a), shape(b));
  for (std::size_t j = 0; j < a.size(); ++j)
    EXPECT_NEAR(a.data()[j], b.data()[j], tolerance * std::max(1.0, std::abs(double(b.data()[j]))));
}

TEST(Transforms, JacobianOfALinearMapIsItsMatrix) {
  const Array<double> x = random_array<double>(1, 3, "x"), A = random_array<double>(4, 3, "A");
  const auto linear_map = [&](const std::vector<Var<double>>& p) { return matmul_nt(p[0], p[1]); };
  const Array<double> J = jacobian(linear_map, std::vector<Array<double>>{x, A});
  ASSERT_EQ(shape(J), (Shape{4, 15}));
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 3; ++j) {
      EXPECT_EQ(J(i, j), A(i, j));
      for (int k = 0; k < 4; ++k) EXPECT_EQ(J(i, 3 + 3 * k + j), k == i ? x(0, j) : 0);
    }
}

TEST(Transforms, TangentIsTheJacobianTimesTheDirection) {
  const Mlp mlp{.sizes = {3, 5, 2}};
  Rng rng(1, "init");
  auto w = initialise(mlp, rng);
  w.push_back(random_array<double>(4, 3, "x"));
  std::vector<Array<double>> v;
  for (const auto& each : w) v.push_back(random_array<double>(shape(each).rows, shape(each).cols, "v"));
  const auto f = [&](const std::vector<Var<double>>& p) {
    return exp(forward(mlp, {p.begin(), p.end() - 1}, p.back()));
  };
  const Array<double> J = jacobian(f, w);
  const auto [value, tangent] = jvp(f, w, v);
  ASSERT_EQ(shape(tangent), (Shape{4, 2}));
  std::vector<double> flat;
  for (const auto& each : v) flat.insert(flat.end(), values(each).begin(), values(each).end());
  for (std::size_t i = 0; i < tangent.size(); ++i) {
    double Jv = 0;
    for (std::size_t j = 0; j < flat.size(); ++j) Jv += J(i, j) * flat[j];
    EXPECT_NEAR(tangent.data()[i], Jv, 1e-12 * std::max(1.0, std::abs(Jv)));
  }
  Tape<double> tape;
  EXPECT_EQ(value, f(tape.parameters(w)).value());
  // Of what does not depend on x.
  const auto constant = [](const std::vector<Var<double>>& p) { return stop_gradient(p[0]); };
  EXPECT_EQ(jvp(constant, w, v).tangent, zeros_like(w[0]));
  EXPECT_EQ(jacobian(constant, w), zeros<double>(15, 44));
}

TEST(Transforms, HessianOfARosenbrock) {
  const Array<double> x = {{0.7, -1.3}};
  const auto f = [](Var<double> v) {
    const auto a = column_slice(v, 0, 1), b = column_slice(v, 1, 2);
    return square(1 - a) + 100 * square(b - square(a));
  };
  const Array<double> expected = {{2 - 400 * (-1.3 - 3 * 0.49), -400 * 0.7}, {-400 * 0.7, 200}};
  expect_near(hessian(f, x), expected);
  EXPECT_EQ(hessian([](Var<double> v) { return sum(v * 3); }, x), zeros<double>(2, 2));
}

// ---- Rematerialise ----

class Rematerialised : public testing::Test {
 protected:
  Rematerialised() {
    Rng rng(1, "init");
    w_ = initialise(mlp_, rng);
    w_.push_back(random_array<double>(6, 3, "x"));
  }
  Var<double> network(const std::vector<Var<double>>& p) const {
    return forward(mlp_, {p.begin(), p.end() - 1}, p.back());
  }
  Var<double> loss(const std::vector<Var<double>>& p, bool again) const {
    const auto f = [this](const std::vector<Var<double>>& q) { return tanh(network(q)) * seen_; };
    // The parameters come in from several sides.
    const Var<double> y = again ? rematerialise<double>(f, p) : f(p);
    return mean(square(y - 0.3)) + sum(square(p[0])) * 0.1 + mean(p.back() * y);
  }

  const Mlp mlp_{.sizes = {3, 8, 3}};
  std::vector<Array<double>> w_;
  const Array<double> seen_ = random_array<double>(6, 3, "seen");
};

TEST_F(Rematerialised, HasTheSameDerivatives) {
  const auto run = [&](bool again) {
    return [this, again](const std::vector<Var<double>>& p) { return loss(p, again); };
  };
  EXPECT_EQ(value_and_grad(run(true), w_).value, value_and_grad(run(false), w_).value);
  const auto g = grad(run(true), w_), expected = grad(run(false), w_);
  for (std::size_t k = 0; k < g.size(); ++k) expect_near(g[k], expected[k]);
  const auto Hv = hvp(run(true), w_, expected), Hv_expected = hvp(run(false), w_, expected);
  for (std::size_t k = 0; k < g.size(); ++k) expect_near(Hv[k], Hv_expected[k]);
  EXPECT_TRUE(gradcheck(run(true), w_, {.orders = 3}).ok);
}

TEST_F(Rematerialised, KeepsTheResultAlone) {
  Tape<double> tape;
  const auto p = tape.parameters(w_);
  const int before = p.back().index();
  const auto y = rematerialise<double>([&](const auto& q) { return network(q); }, p);
  EXPECT_EQ(y.index(), before + 1);
}

TEST_F(Rematerialised, RefusesWhatItCannotRunAgain) {
  Tape<double> tape;
  const auto p = tape.parameters(w_);
  EXPECT_THROW(rematerialise<double>([&](const auto& q) { return q[0] * p[0]; }, p), Error);
  EXPECT_THROW(rematerialise<double>([](const auto& q) { return q[0]; }, std::vector<Var<double>>{}), Error);
  const auto x = tape.data(w_.back());
  const auto y = sum_rows(rematerialise<double>([](const auto& q) { return matmul(q[1], q[0]); },
                                                std::vector<Var<double>>{p[0], x}));
  const std::vector<int> offset{0, 3, 6};
  EXPECT_THROW(grouped_grad(y, {p[0]}, std::span<const int>(offset), full<double>(6, 1, 1.0)), Error);
  int calls = 0;
  const auto moody =
      rematerialise<double>([&](const auto& q) { return ++calls == 1 ? q[0] : q[0] * 2 + q[2]; },
                            std::vector<Var<double>>{p[0], p[1], p[2]});
  EXPECT_THROW(grad(sum(moody), p[0]), Error);
}

}  // namespace
}  // namespace lowvar
