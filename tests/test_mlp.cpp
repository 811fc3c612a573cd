// Networks: their initialisation, and their forward pass against a loop by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "autograd/gradcheck.h"
#include "nn/mlp.h"

namespace lowvar {
namespace {

TEST(Orthogonal, TheFewerSideIsOrthonormal) {
  const std::vector<Shape> shapes{{4, 64}, {64, 4}, {64, 64}, {1, 5}, {5, 1}, {1, 1}, {17, 256}};
  for (const Shape s : shapes) {
    Rng rng(0, "init");
    const double gain = 1.5;
    const auto W = orthogonal(s.rows, s.cols, gain, rng);
    ASSERT_EQ(shape(W), s);
    const int vectors = std::min(s.rows, s.cols), length = std::max(s.rows, s.cols);
    const auto entry = [&](int vector, int k) { return s.rows <= s.cols ? W(vector, k) : W(k, vector); };
    for (int i = 0; i < vectors; ++i)
      for (int j = 0; j < vectors; ++j) {
        double inner = 0;
        for (int k = 0; k < length; ++k) inner += entry(i, k) * entry(j, k);
        EXPECT_NEAR(inner, i == j ? gain * gain : 0.0, 1e-14) << text(s) << " " << i << " " << j;
      }
  }
}

TEST(Orthogonal, DependsOnTheStreamAlone) {
  Rng a(0, "init"), b(0, "init"), c(1, "init");
  const auto W = orthogonal(5, 3, 1, a);
  EXPECT_EQ(orthogonal(5, 3, 1, b), W);
  EXPECT_NE(orthogonal(5, 3, 1, c), W);
  EXPECT_NE(orthogonal(5, 3, 1, a), W);  // the stream has moved on
}

TEST(Mlp, NamesAndShapes) {
  const Mlp mlp{.sizes = {4, 64, 32, 2}, .output_gain = 0.01};
  EXPECT_EQ(mlp.layers(), 3);
  EXPECT_EQ(mlp.names(), (std::vector<std::string>{"W0", "b0", "W1", "b1", "W2", "b2"}));
  Rng rng(0, "init");
  const auto theta = initialise(mlp, rng);
  const std::vector<Shape> shapes{{4, 64}, {1, 64}, {64, 32}, {1, 32}, {32, 2}, {1, 2}};
  ASSERT_EQ(theta.size(), shapes.size());
  for (std::size_t i = 0; i < theta.size(); ++i) EXPECT_EQ(shape(theta[i]), shapes[i]);
  for (const std::size_t bias : {1u, 3u, 5u}) EXPECT_EQ(theta[bias], zeros<double>(1, shapes[bias].cols));
  double hidden = 0, output = 0;
  for (int j = 0; j < 64; ++j) hidden += theta[0](0, j) * theta[0](0, j);
  for (int i = 0; i < 32; ++i) output += theta[4](i, 0) * theta[4](i, 0);
  EXPECT_NEAR(hidden, 2, 1e-14);
  EXPECT_NEAR(output, 1e-4, 1e-18);
}

TEST(Mlp, WithoutHiddenLayersIsLinear) {
  const Mlp mlp{.sizes = {3, 2}};
  Rng rng(0, "init");
  auto theta = initialise(mlp, rng);
  theta[1](0, 0) = 5;
  const auto x = from_values<double>(1, 3, std::vector<double>{1, -2, 3});
  Tape<double> tape;
  const auto y = forward(mlp, tape.parameters(theta), tape.data(x));
  for (int j = 0; j < 2; ++j)
    EXPECT_NEAR(y.value()(0, j), theta[0](0, j) - 2 * theta[0](1, j) + 3 * theta[0](2, j) + theta[1](0, j),
                1e-14);
}

/// The same layers, one number at a time.
std::vector<double> by_hand(const Mlp& mlp, const std::vector<Array<double>>& theta, std::vector<double> x) {
  for (int l = 0; l < mlp.layers(); ++l) {
    const auto& W = theta[static_cast<std::size_t>(2 * l)];
    const auto& b = theta[static_cast<std::size_t>(2 * l + 1)];
    std::vector<double> next;
    for (int j = 0; j < shape(W).cols; ++j) {
      double z = b(0, j);
      for (int i = 0; i < shape(W).rows; ++i) z += x[static_cast<std::size_t>(i)] * W(i, j);
      const bool last = l + 1 == mlp.layers();
      next.push_back(last ? z : mlp.activation == Activation::tanh ? std::tanh(z) : std::max(z, 0.0));
    }
    x = next;
  }
  return x;
}

struct Network {
  Mlp mlp;
  std::vector<Array<double>> theta;
  Array<double> x;

  explicit Network(Activation activation, std::vector<int> sizes, int rows)
      : mlp{.sizes = std::move(sizes), .activation = activation}, x(zeros<double>(rows, mlp.sizes.front())) {
    Rng rng(4, "network");
    theta = initialise(mlp, rng);
    for (std::size_t i = 1; i < theta.size(); i += 2)
      for (double& b : values(theta[i])) b = 0.3 * rng.normal();
    for (double& v : values(x)) v = rng.normal();
  }
};

TEST(Mlp, ForwardMatchesALoopByHand) {
  for (const Activation activation : {Activation::tanh, Activation::relu})
    for (const int rows : {1, 7, 70}) {
      const Network net(activation, {4, 64, 33, 2}, rows);
      Tape<double> tape;
      const auto y = forward(net.mlp, tape.parameters(net.theta), tape.data(net.x)).value();
      const std::vector<Array<float>> theta32(net.theta.begin(), net.theta.end());
      const Array<float> x32(net.x);
      Tape<float> tape32;
      const auto y32 = forward(net.mlp, tape32.parameters(theta32), tape32.data(x32)).value();
      ASSERT_EQ(shape(y), (Shape{rows, 2}));
      for (int r = 0; r < rows; ++r) {
        const auto in = row(net.x, r);
        const auto expected = by_hand(net.mlp, net.theta, {in.begin(), in.end()});
        for (int j = 0; j < 2; ++j) {
          EXPECT_NEAR(y(r, j), expected[static_cast<std::size_t>(j)], 1e-13);
          EXPECT_NEAR(y32(r, j), expected[static_cast<std::size_t>(j)], 1e-5);
        }
      }
    }
}

TEST(Mlp, Derivatives) {
  for (const Activation activation : {Activation::tanh, Activation::relu}) {
    const Network net(activation, {3, 5, 4, 2}, 6);
    const auto target = full<double>(6, 2, 0.5);
    // The input is the last of the arrays, so that the derivative with respect to it is checked too.
    auto all = net.theta;
    all.push_back(net.x);
    const Loss loss = [&](const std::vector<Var<double>>& p) {
      return mse(forward(net.mlp, {p.begin(), p.end() - 1}, p.back()), target);
    };
    const auto report = gradcheck(loss, all, {.orders = 2, .tolerance = 1e-7});
    EXPECT_TRUE(report.ok) << report.text();
  }
}

TEST(Mlp, WrongNumberOfParametersThrows) {
  const Network net(Activation::tanh, {3, 5, 2}, 4);
  Tape<double> tape;
  auto theta = tape.parameters(net.theta);
  theta.pop_back();
  EXPECT_THROW(forward(net.mlp, theta, tape.data(net.x)), Error);
}

}  // namespace
}  // namespace lowvar
