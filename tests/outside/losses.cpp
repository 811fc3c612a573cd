// Losses of papers, a function each, with the public API alone. Each gives a number for each row of its
// samples, of which the loss is the mean; each is checked against differences, and its gradients of groups
// against a loop.
#include <cmath>
#include <iostream>
#include <numeric>

#include "nn/nn.h"

using namespace lowvar;
using V = Var<double>;
using A = Array<double>;
using Vars = std::vector<V>;

namespace {

// ---- Answers of a language model: tokens are rows, offset [G+1] cuts them into answers ----

/// DAPO (Yu et al. 2025, arXiv 2503.14476, eq. 8), a row a token: min(r A, clip(r, 1 - low, 1 + high) A) of
/// the ratio r = pi / mu; the mean over the tokens of all answers.
V dapo(V log_pi, V log_mu, V advantage, double low = 0.2, double high = 0.28) {
  const V r = exp(log_pi - log_mu);
  return -minimum(r * advantage, clip(r, 1 - low, 1 + high) * advantage);
}

/// GSPO (Zheng et al. 2025, arXiv 2507.18071, eqs. 5 and 7), a row an answer: the same of s = the geometric
/// mean of the ratios of its tokens. The advantage is that of the answer, [G x 1].
V gspo(V log_pi, V log_mu, const A& advantage, std::span<const int> offset, double low = 3e-4,
       double high = 4e-4) {
  const V s = exp(segment_mean(log_pi - log_mu, offset));
  return -minimum(s * advantage, clip(s, 1 - low, 1 + high) * advantage);
}

/// CISPO (MiniMax 2025, arXiv 2506.13585, eqs. 4 and 5), a row a token: the ratio is clipped and held fixed,
/// and every token keeps its gradient.
V cispo(V log_pi, V log_mu, V advantage, double high = 0.28) {
  const V r = stop_gradient(minimum(exp(log_pi - log_mu), 1 + high));
  return -r * advantage * log_pi;
}

// ---- Control ----

/// tanh(u) of u = mean + sigma noise, and its log density (Haarnoja et al. 2018, arXiv 1812.05905, app. C):
/// log N(u) - sum_i log(1 - tanh(u_i)^2), with log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u)).
struct Squashed {
  V action, log_prob;
};
Squashed squashed_gaussian(V mean, V log_std, V noise) {
  const V u = mean + exp(log_std) * noise;
  const V log_slope = 2 * (std::log(2.0) - u - softplus(-2 * u));
  return {tanh(u), sum_rows(gaussian_log_density(u, mean, log_std) - log_slope)};
}

/// SAC's actor (eq. 9 there): alpha log pi(a|s) - min_k Q_k(s, a).
V sac_actor(const Mlp& actor, const Vars& theta, const Mlp& critic, const Vars& q1, const Vars& q2, V state,
            V noise, double alpha = 0.2) {
  const V out = forward(actor, theta, state);
  const int m = noise.cols();
  const auto [action, log_prob] =
      squashed_gaussian(column_slice(out, 0, m), clip(column_slice(out, m, 2 * m), -20, 2), noise);
  const V in = concatenate_columns({state, action});
  return alpha * log_prob - minimum(forward(critic, q1, in), forward(critic, q2, in));
}

/// SAC's critics (eq. 5 there): (Q_k(s, a) - y)^2 / 2 with y = r + gamma (min_k Q'_k(s', a') - alpha log
/// pi(a'|s')), a number.
V sac_critic(const Mlp& critic, const Vars& q1, const Vars& q2, V state_action, V y) {
  return 0.5 *
         (square(forward(critic, q1, state_action) - y) + square(forward(critic, q2, state_action) - y));
}

/// Targets v_s and advantages of V-trace (Espeholt et al. 2018, eq. 1 and sec. 4.2) of one trajectory, whose
/// last value is of the state after it: numbers, from values [n + 1], rewards and ratios [n].
struct VTrace {
  A target, advantage;  // [n x 1]
};
VTrace vtrace(std::span<const double> value, std::span<const double> reward, std::span<const double> ratio,
              double gamma) {
  const int n = static_cast<int>(reward.size());
  VTrace out{zeros<double>(n, 1), zeros<double>(n, 1)};
  double next = value[reward.size()];  // v_{s+1}
  for (int s = n; s-- > 0;) {
    const auto i = static_cast<std::size_t>(s);
    const double rho = std::min(1.0, ratio[i]), c = rho,
                 delta = rho * (reward[i] + gamma * value[i + 1] - value[i]);
    out.advantage(i, 0) = rho * (reward[i] + gamma * next - value[i]);
    next = out.target(i, 0) = value[i] + delta + gamma * c * (next - value[i + 1]);
  }
  return out;
}
/// IMPALA's actor-critic (sec. 4.2 there): -A log pi + (v - V)^2 / 2 - 0.01 H(pi).
V vtrace_actor_critic(const Categorical<double>& pi, V value, std::span<const int> action, V target,
                      V advantage) {
  return 0.5 * square(target - value) - advantage * pi.log_prob(action) - 0.01 * pi.entropy();
}

/// V-MPO (Song et al. 2020, arXiv 1909.12238, eqs. 3 to 5) on the better half of the samples, n rows: pi
/// imitates them with weights psi = softmax(A / eta), numbers; eta is fitted by its dual; alpha holds the KL
/// to the old policy near epsilon, and rises where it is larger.
struct VMpo {
  V policy, temperature, multiplier;  // [n x 1], 1x1, [n x 1]: the loss is the sum of their means
};
VMpo v_mpo(const Categorical<double>& pi, const Categorical<double>& old, std::span<const int> action,
           V advantage, V psi, V eta, V alpha, double epsilon_eta = 0.1, double epsilon = 0.01) {
  const int n = advantage.rows();
  const V apart = kl(old, pi);
  return {stop_gradient(alpha) * apart - n * psi * pi.log_prob(action),
          eta * (epsilon_eta + logsumexp_all(advantage / eta) - std::log(n)),
          alpha * (epsilon - stop_gradient(apart))};
}

/// MPO (Abdolmaleki et al. 2018, arXiv 1806.06920, eqs. 7 and 8), a row a state: of M actions of each state,
/// whose values Q are [n x M], pi is fitted to those weighted by softmax(Q / eta), held fixed, and eta by its
/// dual.
V mpo(V log_pi, V Q, V eta, double epsilon = 0.1) {
  const V weight = stop_gradient(softmax(Q / eta));
  const V dual = eta * (epsilon + logsumexp(Q / eta) - std::log(Q.cols()));
  return dual - sum_rows(weight * log_pi);
}

/// QR-DQN (Dabney et al. 2018, arXiv 1710.10044, eqs. 9 and 10; algorithm 1): rho_tau_i(target_j - theta_i)
/// summed over the N quantiles theta [n x N] and averaged over the targets [n x N], tau_i = (i + 1/2) / N.
V qr_dqn(V theta, V target, double kappa = 1) {
  const int N = theta.cols();
  std::vector<int> i, j;
  A tau = zeros<double>(1, N * N);
  for (int k = 0; k < N * N; ++k) i.push_back(k / N), j.push_back(k % N), tau(0, k) = (k / N + 0.5) / N;
  const V u = gather_columns(target, j) - gather_columns(theta, i);
  return sum_rows(where(u < 0, 1 - tau, tau) * huber(u, kappa)) * (1.0 / N);
}

// ---- Sequences of equal length, one below another ----

/// The policy gradient -A log pi(a_t | o_1 ... o_t) of a recurrent policy (Wierstra et al. 2010, eq. 9):
/// logits are h W + b of a GRU's state, theta = {the GRU's 4 arrays, W, b}.
V recurrent_policy(const Gru& gru, const Vars& theta, V x, int sequences, std::span<const int> action,
                   V advantage) {
  const V h = unroll(gru, {theta.begin(), theta.begin() + 4}, x, sequences);
  const auto pi = Categorical<double>::from_logits(linear(h, theta[4], theta[5]));
  return -advantage * pi.log_prob(action);
}

/// The same of a block of a transformer before its head (Vaswani et al. 2017, sec. 3; norms before layers as
/// Xiong et al. 2020): theta = {gain, bias, attention's 4 arrays, gain, bias, W0, b0, W1, b1, W, b}.
V attention_policy(const MultiHeadAttention& layer, const Mlp& mlp, const Vars& theta, V x, int sequences,
                   std::span<const int> action, V advantage) {
  x += forward(layer, {theta.begin() + 2, theta.begin() + 6}, layer_norm(x, theta[0], theta[1]), sequences);
  x += forward(mlp, {theta.begin() + 8, theta.begin() + 12}, layer_norm(x, theta[6], theta[7]));
  const auto pi = Categorical<double>::from_logits(linear(x, theta[12], theta[13]));
  return -advantage * pi.log_prob(action);
}

// ---- Losses of minimisers ----

/// MAML (Finn et al. 2017, eq. 1): the loss at theta - alpha d train(theta) / d theta.
V maml(auto&& train, auto&& test, const Vars& theta, double alpha) {
  const Vars g = grad_graph(train(theta), theta);
  Vars adapted;
  for (std::size_t k = 0; k < theta.size(); ++k) adapted.push_back(theta[k] - alpha * g[k]);
  return test(adapted);
}

/// Ridge regression by its normal equations, (X'X + e^l I) w = X'y, differentiable in l and X.
V ridge(V X, V y, V l) {
  A identity = zeros<double>(X.cols(), X.cols());
  for (int i = 0; i < X.cols(); ++i) identity(i, i) = 1;
  return solve(matmul_tn(X, X) + exp(l) * identity, matmul_tn(X, y));
}

/// dF(w*)/dl for the minimiser w*(l) of f(w, l), by the implicit function theorem (Bengio 2000, sec. 2):
/// -(d^2 f / dl dw) H^-1 dF/dw with the Hessian H of f in w.
A hypergradient(auto&& f, auto&& F, const A& w, const A& l) {
  Tape<double> tape;
  const V at = tape.parameter(w), hyper = tape.parameter(l);
  const V u = solve(tape.constant(hessian(f, w, l)), grad(F(at), at));
  return grad(-dot(grad_graph(f(at, hyper), at), u), hyper);
}

// ---- Checks ----

bool failed = false;
void say(bool ok, std::string_view what, std::string_view more = "") {
  std::cout << (ok ? "ok      " : "FAILED  ") << what << "\n" << more;
  failed = failed || !ok;
}

using Arrays = std::vector<A>;
using Offset = std::vector<int>;

double apart(const A& a, const A& b) {
  double off = 0, size = 1e-300;
  for (std::size_t j = 0; j < a.size(); ++j) {
    off = std::max(off, std::abs(a.data()[j] - b.data()[j]));
    size = std::max(size, std::abs(b.data()[j]));
  }
  return off / size;
}

/// That the mean of y(theta, data...) [n x 1] has the derivatives of differences, and y's rows, cut by offset
/// if there is one, the gradients that they have group by group.
template <class... D>
void check(const std::string& name, const Arrays& theta, auto&& y, const Offset& offset, const D&... data) {
  const auto loss = [&](const Vars& p, auto... d) { return mean(y(p, d...)); };
  const auto report = gradcheck(loss, theta, GradcheckOptions{}, data...);
  say(report.ok, name, report.ok ? "" : report.text());
  if (offset.empty()) return;
  Tape<double> tape;
  const Vars p = tape.parameters(theta);
  const V column = y(p, tape.data(data)...);
  const A g = grouped_grad(column, p, offset, full<double>(column.rows(), 1, 1.0));
  A loop = zeros_like(g);
  for (std::size_t k = 0; k + 1 < offset.size(); ++k) {
    double* to = row(loop, static_cast<int>(k)).data();
    for (const A& each : grad(sum(row_slice(column, offset[k], offset[k + 1])), p))
      to = std::copy(each.begin(), each.end(), to);
  }
  say(apart(g, loop) < 1e-12, name + ", in groups");
}

/// Normal draws, and whole numbers below a limit.
struct Draws {
  Rng rng{0, "losses"};
  A normal(int rows, int cols, double scale = 1) {
    A out = zeros<double>(rows, cols);
    for (double& v : values(out)) v = scale * rng.normal();
    return out;
  }
  std::vector<int> below(int limit, int n) {
    std::vector<int> out;
    for (int i = 0; i < n; ++i) out.push_back(static_cast<int>(rng.bits() % static_cast<unsigned>(limit)));
    return out;
  }
  Arrays network(const Mlp& mlp) { return initialise_uniform(mlp, rng); }
};

Offset singles(int n) {
  Offset out(static_cast<std::size_t>(n) + 1);
  std::iota(out.begin(), out.end(), 0);
  return out;
}
Vars part(const Vars& p, std::ptrdiff_t begin, std::ptrdiff_t end) {
  return {p.begin() + begin, p.begin() + end};
}
Arrays operator+(Arrays a, const Arrays& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
/// Rows of x from the segment that each belongs to.
A spread_out(const A& x, const Offset& offset) {
  Tape<double> tape;
  return spread(tape.constant(x), offset).value();
}

void language_models(Draws draw) {
  const Offset answers{0, 3, 4, 9};
  const int n = answers.back(), vocabulary = 5;
  const A features = draw.normal(n, 4), W = draw.normal(4, vocabulary, 0.3), of_answer = draw.normal(3, 1);
  const auto token = draw.below(vocabulary, n);
  const auto log_pi = [&](const Vars& p, V x) { return pick(log_softmax(matmul(x, p[0])), token); };
  Tape<double> tape;
  const A log_mu = log_pi({tape.constant(W)}, tape.constant(features)).value() + draw.normal(n, 1, 0.2);
  const A advantage = spread_out(of_answer, answers);
  check(
      "DAPO", {W}, [&](const Vars& p, V x, V mu, V a) { return dapo(log_pi(p, x), mu, a); }, answers,
      features, log_mu, advantage);
  check(
      "GSPO", {W},
      [&](const Vars& p, V x, V mu) { return gspo(log_pi(p, x), mu, of_answer, answers, 0.2, 0.3); },
      singles(3), features, log_mu);
  // CISPO's gradient is that of its weights held where they are.
  const A r = minimum(exp(log_pi({tape.parameter(W)}, tape.constant(features)) - log_mu), 1.28).value();
  const auto fixed = [&](const Vars& p, V x, V weight) { return -weight * log_pi(p, x); };
  check("CISPO", {W}, fixed, answers, features, A(r * advantage));
  const auto stopped = [&](V w, V x, V mu, V a) { return sum(cispo(log_pi({w}, x), mu, a)); };
  const auto held = [&](V w, V x, V weight) { return sum(fixed({w}, x, weight)); };
  say(apart(grad(stopped, W, features, log_mu, advantage), grad(held, W, features, A(r * advantage))) < 1e-14,
      "CISPO holds its weights");
}

void control(Draws draw) {
  const int n = 6, o = 3, m = 2, actions = 4;
  const Mlp actor{.sizes = {o, 8, 2 * m}}, critic{.sizes = {o + m, 8, 1}},
      choices{.sizes = {o, 8, actions + 1}};
  const A state = draw.normal(n, o), noise = draw.normal(n, m), target = draw.normal(n, 1);
  const Arrays critics = draw.network(critic) + draw.network(critic);
  check(
      "SAC's actor", draw.network(actor) + critics,
      [&](const Vars& p, V s, V e) {
        return sac_actor(actor, part(p, 0, 4), critic, part(p, 4, 8), part(p, 8, 12), s, e);
      },
      singles(n), state, noise);
  check(
      "SAC's critic", critics,
      [&](const Vars& p, V in, V y) { return sac_critic(critic, part(p, 0, 4), part(p, 4, 8), in, y); },
      singles(n), draw.normal(n, o + m), target);

  const auto action = draw.below(actions, n);
  const Arrays theta = draw.network(choices);
  const auto heads = [&](const Vars& p, V s) {
    const V out = forward(choices, p, s);
    return std::pair{Categorical<double>::from_logits(column_slice(out, 0, actions)),
                     column_slice(out, actions, actions + 1)};
  };
  const double V_of[] = {0.1, -0.4, 0.3, 0.8, 0.2, -0.1, 0.5}, reward[] = {1, 0, -1, 2, 0.5, 1},
               ratio[] = {0.5, 1.7, 1, 0.9, 3, 0.2};
  const VTrace numbers = vtrace(V_of, reward, ratio, 0.9);
  double product = 1, direct = V_of[0];  // eq. 1 as it stands
  for (std::size_t t = 0; t < 6; ++t) {
    direct += product * std::min(1.0, ratio[t]) * (reward[t] + 0.9 * V_of[t + 1] - V_of[t]);
    product *= 0.9 * std::min(1.0, ratio[t]);
  }
  say(std::abs(numbers.target(0, 0) - direct) < 1e-14, "V-trace's recursion is its sum");
  check(
      "V-trace actor-critic", theta,
      [&](const Vars& p, V s, V v, V a) {
        const auto [pi, value] = heads(p, s);
        return vtrace_actor_critic(pi, value, action, v, a);
      },
      {0, 4, n}, state, numbers.target, numbers.advantage);

  const A advantage = draw.normal(n, 1), old = draw.normal(n, actions), eta = {{0.7}}, alpha = {{0.3}};
  Tape<double> tape;
  const A psi = softmax(transpose(tape.constant(advantage)) / 0.7).value();
  const auto all = [&](const Vars& p, V s, V a, V weight, V logits, V temperature, V multiplier) {
    return v_mpo(heads(p, s).first, Categorical<double>::from_logits(logits), action, a,
                 reshape(weight, {n, 1}), temperature, multiplier);
  };
  check(
      "V-MPO's policy", theta, [&](const Vars& p, auto... d) { return all(p, d...).policy; }, singles(n),
      state, advantage, psi, old, eta, alpha);
  const auto dual = [&](const Vars& p, V s, V a, V weight, V logits) {
    const VMpo loss = all(part(p, 0, 4), s, a, weight, logits, p[4], p[5]);
    return loss.temperature + loss.multiplier;
  };
  Tape<double> duals;
  const Vars p = duals.parameters(theta + Arrays{eta, alpha});
  const V loss = mean(dual(p, duals.data(state), duals.data(advantage), duals.data(psi), duals.data(old)));
  say(grad(loss, part(p, 0, 4)) ==
          Arrays{zeros_like(theta[0]), zeros_like(theta[1]), zeros_like(theta[2]), zeros_like(theta[3])},
      "V-MPO's duals leave the policy alone");
  check(
      "V-MPO's duals", {eta, alpha},
      [&](const Vars& q, V s, V a, V weight, V logits, V W0, V b0, V W1, V b1) {
        return dual({W0, b0, W1, b1, q[0], q[1]}, s, a, weight, logits);
      },
      {}, state, advantage, psi, old, theta[0], theta[1], theta[2], theta[3]);

  const int M = 5;  // actions of each state
  const A Q = draw.normal(n, M), W = draw.normal(o, 2 * m, 0.4), taken = draw.normal(n, M * m);
  const auto log_pi = [&](const Vars& q, V s, V chosen) {  // of the M actions of each state, [n x M]
    const V out = matmul(s, q[0]);
    Vars columns;
    for (int k = 0; k < M; ++k) {
      const DiagGaussian<double> pi{column_slice(out, 0, m), column_slice(out, m, 2 * m)};
      columns.push_back(pi.log_prob(column_slice(chosen, k * m, (k + 1) * m)));
    }
    return concatenate_columns(columns);
  };
  check(
      "MPO's policy", {W},
      [&](const Vars& q, V s, V t, V value, V temperature) {
        return mpo(log_pi(q, s, t), value, temperature);
      },
      singles(n), state, taken, Q, eta);
  const A zero = zeros<double>(n, M);
  check(
      "MPO's temperature", {eta}, [&](const Vars& q, V value, V none) { return mpo(none, value, q[0]); },
      singles(n), Q, zero);

  const int N = 7;
  const Mlp quantiles{.sizes = {o, 8, N}};
  const Arrays of_quantiles = draw.network(quantiles);
  check(
      "QR-DQN", of_quantiles,
      [&](const Vars& q, V s, V t) { return qr_dqn(forward(quantiles, q, s), t, 0.8); }, singles(n), state,
      draw.normal(n, N));
  {
    Tape<double> one;
    const A at = {{-1, 0.5}}, to = {{0.2, 2}};  // tau 1/4 and 3/4; u of 1.2, 3, -0.3, 1.5
    const double by_hand =
        (0.25 * (1.2 - 0.5) + 0.25 * (3 - 0.5) + 0.25 * 0.3 * 0.3 / 2 + 0.75 * (1.5 - 0.5)) / 2;
    say(std::abs(qr_dqn(one.parameter(at), one.data(to)).item() - by_hand) < 1e-15, "QR-DQN by hand");
  }
}

void sequences(Draws draw) {
  const int B = 3, L = 4, d = 4, actions = 3;
  const A x = draw.normal(B * L, d), advantage = draw.normal(B * L, 1);
  const auto action = draw.below(actions, B * L);
  const Offset offset{0, L, 2 * L, 3 * L};
  const Gru gru{.inputs = d, .hidden = 5};
  const Mlp head{.sizes = {5, actions}}, mlp{.sizes = {d, 8, d}}, out{.sizes = {d, actions}};
  check(
      "GRU policy", initialise(gru, draw.rng) + draw.network(head),
      [&](const Vars& p, V rows, V a) { return recurrent_policy(gru, p, rows, B, action, a); }, offset, x,
      advantage);
  const MultiHeadAttention layer{.width = d, .heads = 2, .to = Attend::to_past};
  const Arrays norm{full<double>(1, d, 1.0), zeros<double>(1, d)};
  check(
      "attention policy", norm + initialise(layer, draw.rng) + norm + draw.network(mlp) + draw.network(out),
      [&](const Vars& p, V rows, V a) { return attention_policy(layer, mlp, p, rows, B, action, a); }, offset,
      x, advantage);
}

void minimisers(Draws draw) {
  const int n = 6, d = 3;
  const A X = draw.normal(n, d), y = draw.normal(n, 1), w = draw.normal(d, 1), X2 = draw.normal(n, d),
          y2 = draw.normal(n, 1);
  check(
      "MAML", {w},
      [&](const Vars& theta, V a, V b, V a2, V b2) {
        return maml([&](const Vars& p) { return mean(softplus(-b * matmul(a, p[0]))); },
                    [&](const Vars& p) { return mean(softplus(-b2 * matmul(a2, p[0]))); }, theta, 0.5);
      },
      {}, X, y, X2, y2);
  const A l = {{-0.5}};
  check(
      "ridge regression", {l},
      [&](const Vars& p, V a, V b, V a2, V b2) { return mse(matmul(a2, ridge(a, b, p[0])), b2); }, {}, X, y,
      X2, y2);

  const auto f = [&](V at, V log_weight) {
    return mean(softplus(-y * matmul(X, at))) + 0.5 * exp(log_weight) * sum(square(at));
  };
  const auto F = [&](V at) { return mean(softplus(-y2 * matmul(X2, at))); };
  const auto minimiser = [&](const A& log_weight) {  // by Newton
    A at = zeros<double>(d, 1);
    for (int step = 0; step < 20; ++step) {
      Tape<double> tape;
      at -= solve(tape.constant(hessian(f, at, log_weight)), grad(f, at, log_weight)).value();
    }
    return at;
  };
  const auto value = [&](double shift) {
    Tape<double> tape;
    return F(tape.constant(minimiser(l + shift))).item();
  };
  const double h = 1e-4, numeric = (value(h) - value(-h)) / (2 * h);
  say(std::abs(hypergradient(f, F, minimiser(l), l)(0, 0) - numeric) < 1e-8 * std::abs(numeric) + 1e-10,
      "hypergradient of logistic regression");
}

}  // namespace

int main() {
  language_models({});
  control({});
  sequences({});
  minimisers({});
  return failed ? 1 : 0;
}
