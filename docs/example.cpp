// A loss, its gradient, its Hessian times a vector, and the check of both: the example of README.md, between
// the markers. Prints the report; fails if a derivative is wrong.
#include <iostream>
#include <vector>

#include "autograd/gradcheck.h"

using namespace lowvar;

int main() {
  // [readme]
  const std::vector<int> state = {0, 1, 1}, action = {2, 0, 1};  // three steps of a trajectory,
  const Array<double> G = {{1.0}, {-0.5}, {2.0}};                // and the return that followed each
  const auto loss = [&](Var<double> logits) {                    // REINFORCE: -sum_t G_t log pi(a_t|s_t)
    return -sum(G * pick(log_softmax(gather(logits, state)), action));
  };
  const Array<double> theta = {{0.1, -0.3, 0.2}, {0.0, 0.5, -0.1}};  // logits of two states and three actions
  const Array<double> g = grad(loss, theta);                         // dloss/dtheta, of theta's shape
  const Array<double> Hg = hvp(loss, theta, g);                      // its Hessian times g
  const GradcheckReport report = gradcheck(loss, theta);             // both against finite differences
  std::cout << report.text();
  // [readme]
  return report.ok && shape(g) == shape(theta) && shape(Hg) == shape(theta) ? 0 : 1;
}
