// The code of docs/extending.md, between the marks: an operation, a loss, a distribution. Fails if one of
// them does not do what the page says.
#include <iostream>

#include "autograd/gradcheck.h"
#include "autograd/primitive.h"
#include "nn/mlp.h"
#include "nn/optim.h"

using namespace lowvar;

// [an operation]
namespace mine {
using lowvar::exp;  // of numbers: the engine's own, whose bits depend on nothing but x

struct Bump {
  static constexpr const char* name = "bump";
  static constexpr Domain domain[] = {{}};                               // where tests sample x
  static auto value(auto x) { return exp(-x * x); }                      // on numbers
  static auto rule(auto g, auto y, auto x) { return g * (-2 * x * y); }  // cotangent, result, operand
};

template <class T>
Var<T> bump(Var<T> x, At at = At::current()) {
  return record<Bump>(Operand<T>(x, at));
}
}  // namespace mine
// [an operation]

// [a loss]
/// Expectile regression (Newey & Powell 1987, eq. 2.1): the mean squared error, weighted by tau where the
/// target is above the prediction and by 1 - tau where it is below. The target carries no gradient.
template <class T>
Var<T> expectile(Var<T> prediction, const Array<T>& target, T tau) {
  const Var<T> error = target - prediction;
  return mean(where(greater(error, 0), tau, 1 - tau) * square(error));
}
// [a loss]

// [a distribution]
/// C independent coins, a row a sample: log-density, entropy and KL as Vars, sampling on numbers.
template <class T>
struct Coins {
  Var<T> logits;  // [n x C], log of p / (1 - p)

  /// log pi of each row of zeros and ones [n x C], [n x 1].
  Var<T> log_prob(const Array<T>& heads) const { return sum_rows(heads * logits - softplus(logits)); }
  /// [n x 1].
  Var<T> entropy() const { return sum_rows(softplus(logits) - sigmoid(logits) * logits); }
};

/// KL(p || q) of each row, [n x 1].
template <class T>
Var<T> kl(const Coins<T>& p, const Coins<T>& q) {
  const Var<T> apart = sigmoid(p.logits) * (p.logits - q.logits);
  return sum_rows(apart - softplus(p.logits) + softplus(q.logits));
}

/// Heads are 1, one draw for each logit in order.
template <class T>
void sample_coins(std::span<const T> logits, Rng& rng, std::span<T> heads) {
  for (std::size_t i = 0; i < heads.size(); ++i) heads[i] = rng.uniform() * (1 + exp(-logits[i])) < 1;
}
// [a distribution]

namespace {

bool failed = false;
void check(bool ok, const char* what) {
  std::cout << (ok ? "ok      " : "FAILED  ") << what << "\n";
  failed = failed || !ok;
}

void operation() {
  // [checking an operation]
  const Array<double> x = {{0.3, -1.2, 0.7}, {1.5, 0.1, -0.4}};
  const auto loss = [](Var<double> v) { return mean(mine::bump(v) * v); };
  const GradcheckReport report = gradcheck(loss, x, {.orders = 3});
  std::cout << report.text();
  // [checking an operation]
  check(report.ok, "bump agrees with finite differences to third order");
}

void loss_in_a_step() {
  Rng rng(0, "extending");
  Array<double> x = zeros<double>(512, 1), y = x;
  for (int r = 0; r < 512; ++r) x(r, 0) = rng.normal(), y(r, 0) = x(r, 0) + rng.normal();
  // [a training step]
  const Mlp mlp{.sizes = {1, 16, 1}};
  std::vector<Array<double>> w = initialise(mlp, rng);
  AdamState<double> adam;
  double before = 0, after = 0;
  for (int step = 0; step < 300; ++step) {
    Tape<double> tape;
    const auto parameters = tape.parameters(w);
    const Var<double> loss = expectile(forward(mlp, parameters, tape.data(x)), y, 0.9);
    (step == 0 ? before : after) = loss.item();
    adam_step(w, grad(loss, parameters), adam, {.learning_rate = 1e-2});
  }
  // [a training step]
  check(after < 0.5 * before, "training with the loss lowers it");
  Tape<double> tape;
  const auto v = forward(mlp, tape.parameters(w), tape.data(x)).value();
  int below = 0;
  for (int r = 0; r < 512; ++r) below += y(r, 0) < v(r, 0);
  check(below > 0.75 * 512 && below < 0.95 * 512, "the 0.9 expectile of a normal lies above 80.5 % of it");
}

void distribution() {
  const Array<double> p = {{0.4, -1.1}}, q = {{-0.3, 0.8}};
  double total = 0, entropy = 0, apart = 0;
  Tape<double> tape;
  const Coins<double> P{tape.parameter(p)}, Q{tape.parameter(q)};
  for (const Array<double>& heads : {Array<double>{{0., 0.}}, {{0., 1.}}, {{1., 0.}}, {{1., 1.}}}) {
    const double l = P.log_prob(heads).item(), m = Q.log_prob(heads).item();
    total += std::exp(l), entropy -= std::exp(l) * l, apart += std::exp(l) * (l - m);
  }
  check(std::abs(total - 1) < 1e-14, "probabilities sum to one");
  check(std::abs(P.entropy().item() - entropy) < 1e-14, "the entropy is the mean of -log pi");
  check(std::abs(kl(P, Q).item() - apart) < 1e-14, "the KL is the mean of log p/q");
  Rng rng(0, "coins");
  Array<double> heads = zeros<double>(1, 2);
  double first = 0;
  for (int i = 0; i < 10000; ++i) sample_coins<double>(row(p, 0), rng, row(heads, 0)), first += heads(0, 0);
  check(std::abs(first / 10000 - 1 / (1 + std::exp(-0.4))) < 0.025, "heads come as often as they should");
  // [using a distribution]
  const auto loss = [&](Var<double> logits) { return -sum(Coins<double>{logits}.log_prob(heads) * 0.7); };
  const Array<double> g = grad(loss, p);
  // [using a distribution]
  check(gradcheck(loss, p).ok && shape(g) == shape(p), "the policy gradient of coins is right");
}

}  // namespace

int main() {
  operation();
  loss_in_a_step();
  distribution();
  return failed ? 1 : 0;
}
