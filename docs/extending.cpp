// The code of docs/extending.md, between the marks: operations, losses, layers, distributions. Fails if one
// of them does not do what the page says.
#include <cmath>
#include <iostream>

#include "autograd/primitive.h"
#include "nn/nn.h"

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
  return mean(where(error > 0, tau, 1 - tau) * square(error));
}
// [a loss]

// [GSPO]
/// GSPO (Zheng et al. 2025, eqs. 5 and 7), a number for each answer [G x 1]: the clipped surrogate of the
/// geometric mean s of the ratios pi / mu of its tokens. Rows of log_pi and log_mu are tokens, cut into
/// answers by `offset` [G+1].
template <class T>
Var<T> gspo(Var<T> log_pi, const Array<T>& log_mu, const Array<T>& advantage, std::span<const int> offset) {
  const Var<T> s = exp(segment_mean(log_pi - log_mu, offset));
  return -minimum(s * advantage, clip(s, T(1 - 3e-4), T(1 + 4e-4)) * advantage);
}
// [GSPO]

// [attention]
/// A layer of a transformer, norms before layers, on B sequences x [B L x d], one below another.
struct Transformer {
  MultiHeadAttention attention;
  Mlp mlp;
};
template <class T>
Var<T> forward(const Transformer& layer, const std::vector<Var<T>>& theta, Var<T> x, int sequences) {
  const auto part = [&](int begin, int end) {
    return std::vector<Var<T>>(theta.begin() + begin, theta.begin() + end);
  };
  x += forward(layer.attention, part(2, 6), layer_norm(x, theta[0], theta[1]), sequences);
  return x + forward(layer.mlp, part(8, 12), layer_norm(x, theta[6], theta[7]));
}
// [attention]

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
  // [data in a loss]
  const auto of_data = [&](const std::vector<Var<double>>& p, Var<double> rows) {
    return expectile(forward(mlp, p, rows), y, 0.9);
  };
  const std::vector<Array<double>> g = grad(of_data, w, x);  // x reaches the loss as a Var, a row a sample
  const bool right = gradcheck(of_data, w, x).ok;
  // [data in a loss]
  check(right && g.size() == w.size(), "the gradient of a loss of data is right");
  check(after < 0.5 * before, "training with the loss lowers it");
  Tape<double> tape;
  const auto v = forward(mlp, tape.parameters(w), tape.data(x)).value();
  int below = 0;
  for (int r = 0; r < 512; ++r) below += y(r, 0) < v(r, 0);
  check(below > 0.75 * 512 && below < 0.95 * 512, "the 0.9 expectile of a normal lies above 80.5 % of it");
}

void masked_policy() {
  const Array<double> theta = {{0.3, 5, -0.2}, {0.1, 0.2, 0.3}}, advantage = {{1}, {-0.5}};
  const std::vector<int> action = {2, 1};
  // [a masked policy]
  const Array<double> legal = {{1, 0, 1}, {1, 1, 1}};  // a row a state
  const auto loss = [&](Var<double> logits) {
    const auto pi = Categorical<double>::masked(logits, legal);
    return -mean(pi.log_prob(action) * advantage + 0.01 * pi.entropy());
  };
  const Array<double> g = grad(loss, theta);  // 0 where an action is illegal
  // [a masked policy]
  check(g(0, 1) == 0 && g(0, 0) != 0 && gradcheck(loss, theta).ok, "illegal actions have no gradient");
}

void groups() {
  Rng rng(0, "groups");
  const Mlp mlp{.sizes = {4, 8, 5}};
  const std::vector<Array<double>> w = initialise(mlp, rng);
  Array<double> seen = zeros<double>(9, 4), log_mu = zeros<double>(9, 1);
  for (double& x : values(seen)) x = rng.normal();
  for (double& x : values(log_mu)) x = -1.6 + 0.1 * rng.normal();
  const std::vector<int> token = {0, 3, 1, 1, 4, 2, 0, 3, 2};
  const Array<double> advantage = {{1.2}, {-0.4}, {-0.8}};
  // [grouped gradients]
  const std::vector<int> answers = {0, 3, 4, 9};  // three of them, of 3, 1 and 5 tokens
  Tape<double> tape;
  const auto parameters = tape.parameters(w);
  const auto pi = Categorical<double>::from_logits(forward(mlp, parameters, tape.data(seen)));
  const Var<double> loss = gspo(pi.log_prob(token), log_mu, advantage, answers);
  const std::vector<int> each = {0, 1, 2, 3};                                             // a group an answer
  const Array<double> g = grouped_grad(loss, parameters, each, full<double>(3, 1, 1.0));  // [3 x d]
  // [grouped gradients]
  double off = 0;
  for (int k = 0; k < 3; ++k) {
    const double* of_group = row(g, k).data();
    for (const Array<double>& part : grad(row_slice(loss, k, k + 1), parameters))
      for (const double e : part) off = std::max(off, std::abs(e - *of_group++));
  }
  check(off < 1e-14, "gradients of answers are those of each alone");
}

void transformer() {
  Rng rng(0, "transformer");
  const int d = 4;
  const Array<double> one = full<double>(1, d, 1.0), zero = zeros<double>(1, d);
  Array<double> x = zeros<double>(2 * 3, d);
  for (double& e : values(x)) e = rng.normal();
  // [using attention]
  const Transformer layer{.attention = {.width = d, .heads = 2, .to = Attend::to_past},
                          .mlp = {.sizes = {d, 16, d}}};
  std::vector<Array<double>> theta = {one, zero};  // gain and bias
  for (const auto& arrays : {initialise(layer.attention, rng), {one, zero}, initialise(layer.mlp, rng)})
    theta.insert(theta.end(), arrays.begin(), arrays.end());
  const auto loss = [&](const std::vector<Var<double>>& p, Var<double> X) {
    return mean(square(forward(layer, p, X, 2)));
  };
  const std::vector<Array<double>> g = grad(loss, theta, x);
  // [using attention]
  check(g.size() == 12 && gradcheck(loss, theta, x).ok, "attention");
  // [rematerialise]
  const auto cheap = [&](const std::vector<Var<double>>& p, Var<double> X) {
    std::vector<Var<double>> inputs = p;
    inputs.push_back(X);
    const Var<double> h = rematerialise(
        [&](const std::vector<Var<double>>& v) { return forward(layer, v, v.back(), 2); }, inputs);
    return mean(square(h));
  };
  // [rematerialise]
  const std::vector<Array<double>> again = grad(cheap, theta, x);
  bool same = true;
  for (std::size_t k = 0; k < g.size(); ++k)
    for (std::size_t j = 0; j < g[k].size(); ++j)
      same = same && std::abs(g[k].data()[j] - again[k].data()[j]) < 1e-15;
  check(same, "what is recorded again has the same gradient");
}

void convolution() {
  Rng rng(0, "convolution");
  Array<double> images = zeros<double>(3, 12 * 12);
  for (double& x : values(images)) x = rng.normal();
  // [a convolution]
  const Window filters{.image = {12, 12, 1}, .height = 3, .width = 3, .stride = 2};     // 5 x 5 places
  const Window pool{.image = filters.result(8), .height = 2, .width = 2, .stride = 2};  // 2 x 2
  const std::vector<Array<double>> theta = {orthogonal(filters.size(), 8, 1, rng), zeros<double>(1, 8)};
  const auto features = [&](const std::vector<Var<double>>& p, Var<double> x) {
    return max_pool2d(relu(conv2d(x, p[0], p[1], filters)), pool);  // [n x 2 * 2 * 8]
  };
  const auto loss = [&](const std::vector<Var<double>>& p, Var<double> x) {
    return mean(square(features(p, x)));
  };
  const std::vector<Array<double>> g = grad(loss, theta, images);
  // [a convolution]
  check(shape(g[0]) == Shape{9, 8} && gradcheck(loss, theta, images).ok, "a convolution");
}

void borrowed() {
  std::vector<Array<float>> w = {full<float>(100, 100, 0.01f)};
  const Array<float> x = full<float>(50, 100, 1.f);
  // [borrow]
  Tape<float> tape;
  const auto parameters = tape.parameters(borrow(w));
  const Var<float> loss = mean(square(matmul(tape.data(borrow(x)), parameters[0])));
  const auto g = grad(loss, parameters);
  sgd_step(w, g, 0.1);  // grad(loss, parameters) throws from here on: w was written to
  // [borrow]
  bool thrown = false;
  try {
    grad(loss, parameters);
  } catch (const Error&) {
    thrown = true;
  }
  check(thrown, "what is borrowed and written to is noticed");
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
  masked_policy();
  groups();
  transformer();
  convolution();
  borrowed();
  distribution();
  return failed ? 1 : 0;
}
