// What differentiates losses takes data beside what is differentiated.
#include <gtest/gtest.h>

#include "autograd/autograd.h"
#include "core/random.h"

namespace lowvar {
namespace {

template <class T>
Array<T> normal(int rows, int cols, std::string_view name) {
  Rng rng(4, name);
  Array<T> out = zeros<T>(rows, cols);
  for (T& v : values(out)) v = static_cast<T>(rng.normal());
  return out;
}

template <class T>
class Data : public testing::Test {
 protected:
  const Array<T> w_ = normal<T>(3, 2, "w"), b_ = normal<T>(1, 2, "b"), x_ = normal<T>(5, 3, "x"),
                 y_ = normal<T>(5, 2, "y"), vw_ = normal<T>(3, 2, "vw"), vb_ = normal<T>(1, 2, "vb");
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Data, Scalars);

/// Each against the same loss with its data made Vars by hand.
TYPED_TEST(Data, ReachTheLossAsFurtherVars) {
  using T = TypeParam;
  using Vars = std::vector<Var<T>>;
  const std::vector<Array<T>> at = {this->w_, this->b_}, v = {this->vw_, this->vb_};
  const auto log_p = [](const Vars& p, Var<T> x) { return log_softmax(linear(x, p[0], p[1])); };
  const auto loss = [&](const Vars& p, Var<T> x, Var<T> y) { return mean(square(log_p(p, x) - y)); };

  Tape<T> tape;
  const auto parameters = tape.parameters(at);
  const Var<T> by_hand = loss(parameters, tape.data(this->x_), tape.data(this->y_));
  const auto want = grad(by_hand, parameters);
  EXPECT_EQ(grad(loss, at, this->x_, this->y_), want);
  const auto both = value_and_grad(loss, at, this->x_, this->y_);
  EXPECT_EQ(both.value, by_hand.item());
  EXPECT_EQ(both.grad, want);
  auto Hv = v;
  hvp_into(Hv, by_hand, parameters, v);
  EXPECT_EQ(hvp(loss, at, v, this->x_, this->y_), Hv);

  const auto captured = [&](const Vars& p) { return log_p(p, stop_gradient(sum(p[0]) * 0) + this->x_); };
  EXPECT_EQ(fisher_vector_product(log_p, at, v, this->x_), fisher_vector_product(captured, at, v));
  const auto of_outputs = [&](Var<T> z) { return mse(z, this->y_); };
  EXPECT_EQ(gauss_newton_product(log_p, of_outputs, at, v, this->x_),
            gauss_newton_product(captured, of_outputs, at, v));
}

TYPED_TEST(Data, ReachForwardDerivatives) {
  using T = TypeParam;
  const auto f = [](Var<T> w, Var<T> x) { return tanh(matmul(x, w)); };
  const auto captured = [&](Var<T> w) { return f(w, stop_gradient(sum(w) * 0) + this->x_); };
  EXPECT_EQ(jvp(f, this->w_, this->vw_, this->x_).tangent, jvp(captured, this->w_, this->vw_).tangent);
  EXPECT_EQ(jacobian(f, this->w_, this->x_), jacobian(captured, this->w_));
  const auto loss = [&](Var<T> w, Var<T> x) { return sum(f(w, x)); };
  const auto loss_captured = [&](Var<T> w) { return sum(captured(w)); };
  EXPECT_EQ(hessian(loss, this->w_, this->x_), hessian(loss_captured, this->w_));
}

TYPED_TEST(Data, OfALossOfOneArray) {
  using T = TypeParam;
  const auto loss = [](Var<T> w, Var<T> x, Var<T> y) { return mean(square(tanh(matmul(x, w)) - y)); };
  const auto of_vector = [&](const std::vector<Var<T>>& p, Var<T> x, Var<T> y) { return loss(p[0], x, y); };
  const std::vector<Array<T>> at = {this->w_}, v = {this->vw_};
  EXPECT_EQ(grad(loss, this->w_, this->x_, this->y_), grad(of_vector, at, this->x_, this->y_).front());
  EXPECT_EQ(hvp(loss, this->w_, this->vw_, this->x_, this->y_),
            hvp(of_vector, at, v, this->x_, this->y_).front());
}

/// Rows of data are samples: those of a loss that is a sum over them stay apart.
TYPED_TEST(Data, RowsAreSamples) {
  using T = TypeParam;
  grad(
      [](Var<T> w, Var<T> x) {
        EXPECT_NE(x.node().data_rows, Node<T>::no_data);
        EXPECT_FALSE(x.node().needs_gradient);
        return sum(matmul(x, w));
      },
      this->w_, this->x_);
}

}  // namespace
}  // namespace lowvar
