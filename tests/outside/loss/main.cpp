// The engine from outside: a regression, its gradient checked and followed.
#include <iostream>
#include <xtensor/xmath.hpp>

#include "autograd/gradcheck.h"
#include "core/random.h"

using namespace lowvar;

int main() {
  Rng rng(1, "outside");
  Array<double> x = zeros<double>(64, 3), w = zeros<double>(3, 1);
  for (double& each : values(x)) each = rng.normal();
  const Array<double> target = xt::sum(x, {1}, xt::keep_dims) - 0.5;

  const auto loss = [](Var<double> w, Var<double> x, Var<double> y) { return mse(matmul(x, w) - 0.5, y); };
  if (!gradcheck(loss, w, x, target).ok) return 1;
  for (int step = 0; step < 200; ++step) w -= 0.2 * grad(loss, w, x, target);
  std::cout << w(0, 0) << " " << w(1, 0) << " " << w(2, 0) << "\n";  // 1 1 1
  return std::abs(w(0, 0) - 1) + std::abs(w(1, 0) - 1) + std::abs(w(2, 0) - 1) < 1e-6 ? 0 : 1;
}
