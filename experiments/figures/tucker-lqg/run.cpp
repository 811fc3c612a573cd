// The variance of a step's gradient estimate taken apart (Tucker et al. 2018, figure 1): a point mass under
// an open-loop Gaussian policy, at four moments of its training; Sigma_tau with and without GAE, Sigma_a with
// and without a state baseline, Sigma_s, against the step. Exact, by Gaussian moments; beside it a sampled
// estimate that shares nothing with them but V inside GAE, and what the authors' own code gives.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "algorithms/exact/decomposition.h"
#include "core/parallel.h"
#include "core/random.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

constexpr int T = 100, n = 4, m = 2;
constexpr double dt = 0.05, gamma_ = 0.99, sigma = 1e-2, noise_variance = 1e-5, action_cost = 0.01;
constexpr double lambdas[] = {1, 0.99, 0};
constexpr int updates[] = {0, 150, 300, 600};
constexpr int sampled_at[] = {0, 10, 50, 90, 98};
constexpr std::uint64_t seed = 0;

/// sqrt(0.3) N(0, 1) as numpy.random.seed(3) and randn give them: the polar method on the Mersenne Twister.
std::vector<double> initial_means() {
  std::mt19937 twister(3);
  const auto uniform = [&] {
    const double high = static_cast<double>(twister() >> 5), low = static_cast<double>(twister() >> 6);
    return (high * 0x1p26 + low) * 0x1p-53;
  };
  std::vector<double> out;
  while (out.size() < T * m) {
    const double x = 2 * uniform() - 1, y = 2 * uniform() - 1, r = x * x + y * y;
    if (r >= 1 || r == 0) continue;
    const double scale = std::sqrt(-2 * std::log(r) / r) * std::sqrt(0.3);
    out.push_back(scale * y), out.push_back(scale * x);
  }
  return out;
}

AffineLqg point_mass() {
  const auto diagonal = [](int size, double x) {
    Array<double> D = zeros<double>(size, size);
    for (int i = 0; i < size; ++i) D(i, i) = x;
    return D;
  };
  AffineLqg p{{diagonal(n, 1), zeros<double>(n, m), zeros<double>(n, n), diagonal(m, action_cost),
               diagonal(n, noise_variance), diagonal(n, noise_variance), gamma_, T},
              diagonal(n, 1),
              {3, 4, 0.5, -0.5},
              {},
              {std::log(sigma), std::log(sigma)}};
  for (int i = 0; i < m; ++i) p.world.A(i, m + i) = dt, p.world.B(m + i, i) = dt;
  const std::vector<double> mean = initial_means();
  for (std::size_t t = 0; t < T; ++t) {
    p.gain.push_back(zeros<double>(m, 1 + n));
    for (std::size_t i = 0; i < m; ++i) p.gain[t](i, 0) = mean[m * t + i];
  }
  return p;
}
const AffineParameters means{{0}};

/// Gradient ascent with momentum, as there: each mean by the gradient of the return from its own step on.
void train(AffineLqg& p, int steps, std::vector<double>& momentum) {
  const Forms none(T + 1, zeros<double>(1 + n, 1 + n));
  for (int k = 0; k < steps; ++k) {
    const AdvantageForms Q = advantage_forms(p, none, 1);
    const auto states = state_distributions(p);
    std::vector<double> g;
    for (int t = 0; t < T; ++t)
      for (const double x : step_gradient(p, Q, states[static_cast<std::size_t>(t)], t, means))
        g.push_back(x);
    if (momentum.empty()) momentum = g;
    for (std::size_t i = 0; i < g.size(); ++i) {
      momentum[i] = 0.1 * momentum[i] + 0.9 * g[i];
      p.gain[i / m](i % m, 0) += 1e-3 * momentum[i];
    }
  }
}

// ---- As the authors' code has it ----

/// Their rollouts, which Sigma_tau = E[(A^2 - Q^2) |z|^2] is taken from, add noise of the covariance that the
/// state has at that time in place of the transition's.
AffineLqg with_noise_of_states(AffineLqg p, const std::vector<Gaussian>& states) {
  for (int t = 0; t < T; ++t) {
    const Array<double>& C = states[static_cast<std::size_t>(std::min(t + 1, T - 1))].covariance;
    Array<double>& noise = p.noise.emplace_back(zeros<double>(n, n));
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) noise(i, j) = C(1 + i, 1 + j);
  }
  return p;
}

/// E |g|^2 of what their Sigma_a subtracts for E[A z|s]: -(P_sa's + P_aa mu), where it is -(P_sa's + 2 P_aa
/// mu
/// + p_a). In the form F of Q in (1, s, u), P_aa is -F_uu / sigma^2 and P_sa' -2 F_us / sigma.
double their_gradient_sq(const AffineLqg& p, const AdvantageForms& A, const Gaussian& x, int t) {
  const Array<double>& F = A.mean[static_cast<std::size_t>(t)];
  Array<double> square = zeros<double>(1 + n, 1 + n);
  for (int i = 0; i < m; ++i) {
    std::vector<double> of_x(1 + n);
    for (int j = 0; j < m; ++j)
      of_x[0] += F(1 + n + i, 1 + n + j) * p.gain[static_cast<std::size_t>(t)](j, 0) / (sigma * sigma);
    for (int j = 1; j <= n; ++j) of_x[static_cast<std::size_t>(j)] = 2 * F(1 + n + i, j) / sigma;
    for (int j = 0; j <= n; ++j)
      for (int k = 0; k <= n; ++k)
        square(j, k) += of_x[static_cast<std::size_t>(j)] * of_x[static_cast<std::size_t>(k)];
  }
  return expected_product({&square}, x);
}

// ---- Sampled ----

/// In the plane.
struct Point {
  std::array<double, m> at, speed;
};
using Push = std::array<double, m>;

double cost(const Point& s, const Push& a) {
  double sum = 0;
  for (std::size_t i = 0; i < m; ++i)
    sum += s.at[i] * s.at[i] + s.speed[i] * s.speed[i] + action_cost * a[i] * a[i];
  return sum;
}
Point moved(const Point& s, const Push& a) {
  Point next = s;
  for (std::size_t i = 0; i < m; ++i) next.at[i] += dt * s.speed[i], next.speed[i] += dt * a[i];
  return next;
}

/// The world and the policy step by step, without a matrix.
class Simulation {
 public:
  Simulation(const AffineLqg& p, const Forms& V) : V_(V) {
    for (const auto& G : p.gain) mean_.push_back({G(0, 0), G(1, 0)});
    // Of a state that is known k steps before: the expected squares of its deviations, all four together.
    double at = 0, both = 0, speed = 0;
    for (int k = 0; k < T; ++k) {
      spread_.push_back(m * (at + speed));
      at += 2 * dt * both + dt * dt * speed + noise_variance, both += dt * speed;
      speed += noise_variance + (k > 0 ? dt * dt * sigma * sigma : 0);  // the first action is known
    }
  }

  const Push& mean(int t) const { return mean_[static_cast<std::size_t>(t)]; }
  Push act(int t, Rng& rng) const {
    Push a = mean(t);
    for (double& x : a) x += sigma * rng.normal();
    return a;
  }
  Point start(Rng& rng) const { return noisy({{3, 4}, {0.5, -0.5}}, rng); }
  Point step(const Point& s, const Push& a, Rng& rng) const { return noisy(moved(s, a), rng); }
  Point at(int t, Rng& rng) const {
    Point s = start(rng);
    for (int k = 0; k < t; ++k) s = step(s, act(k, rng), rng);
    return s;
  }

  /// Q_t(s, a): along the mean path, and what deviations from it cost.
  double Q(int t, Point s, Push a) const {
    double sum = 0, discount = 1;
    for (int k = 0; t + k < T; ++k) {
      if (k > 0) a = mean(t + k);
      sum -= discount * (cost(s, a) + spread_[static_cast<std::size_t>(k)] +
                         (k > 0 ? m * action_cost * sigma * sigma : 0));
      s = moved(s, a), discount *= gamma_;
    }
    return sum;
  }
  /// E_a[Q z | s] and V(s), by differences, which of a quadratic function are exact.
  std::pair<Push, double> slope_and_value(int t, const Point& s) const {
    Push slope;
    double value = Q(t, s, mean(t));
    const double middle = value;
    for (std::size_t i = 0; i < m; ++i) {
      Push up = mean(t), down = up;
      up[i] += sigma, down[i] -= sigma;
      const double a = Q(t, s, up), b = Q(t, s, down);
      slope[i] = (a - b) / (2 * sigma), value += (a - 2 * middle + b) / 2;
    }
    return {slope, value};
  }
  /// A_t + V(s) after s and a, for each of `lambdas`.
  std::array<double, std::size(lambdas)> follow(int t, Point s, Push a, Rng& rng) const {
    std::array<double, std::size(lambdas)> sum{}, discount;
    discount.fill(1);
    for (int k = t; k < T; ++k) {
      if (k > t) a = act(k, rng);
      const double V = k > t ? value(k, s) : 0, r = -cost(s, a);
      s = step(s, a, rng);
      const double next = value(k + 1, s);
      for (std::size_t l = 0; l < sum.size(); ++l) {
        sum[l] += discount[l] * (r + gamma_ * next - V);
        discount[l] *= gamma_ * lambdas[l];
      }
    }
    return sum;
  }

 private:
  static Point noisy(Point s, Rng& rng) {
    for (double& x : s.at) x += std::sqrt(noise_variance) * rng.normal();
    for (double& x : s.speed) x += std::sqrt(noise_variance) * rng.normal();
    return s;
  }
  double value(int t, const Point& s) const {
    const double x[] = {1, s.at[0], s.at[1], s.speed[0], s.speed[1]};
    const Array<double>& F = V_[static_cast<std::size_t>(t)];
    double sum = 0;
    for (std::size_t i = 0; i < 1 + n; ++i)
      for (std::size_t j = 0; j < 1 + n; ++j) sum += x[i] * F(i, j) * x[j];
    return sum;
  }

  const Forms& V_;
  std::vector<Push> mean_;
  std::vector<double> spread_;
};

/// In the order of `terms`.
using Terms = std::vector<double>;
constexpr const char* terms[] = {"tau", "tau, GAE(0.99)", "tau, GAE(0)", "a, no baseline", "a, V(s)", "s"};

double squared_norm(const Push& x) { return x[0] * x[0] + x[1] * x[1]; }

/// One draw of each term.
Terms draw(const Simulation& world, int t, Rng rng) {
  const Point s = world.at(t, rng), other = world.at(t, rng);
  const Push a = world.act(t, rng);
  Push z, apart;
  for (std::size_t i = 0; i < m; ++i) z[i] = (a[i] - world.mean(t)[i]) / (sigma * sigma);
  const auto one = world.follow(t, s, a, rng), two = world.follow(t, s, a, rng);
  const auto [slope, V] = world.slope_and_value(t, s);
  const auto [other_slope, other_V] = world.slope_and_value(t, other);
  for (std::size_t i = 0; i < m; ++i) apart[i] = slope[i] - other_slope[i];
  const double Q = world.Q(t, s, a);
  Terms out(std::size(terms));
  for (std::size_t l = 0; l < one.size(); ++l) out[l] = std::pow(one[l] - two[l], 2) / 2 * squared_norm(z);
  out[3] = Q * Q * squared_norm(z) - squared_norm(slope);
  out[4] = (Q - V) * (Q - V) * squared_norm(z) - squared_norm(slope);
  out[5] = squared_norm(apart) / 2;
  return out;
}

std::array<Estimate, std::size(terms)> sampled(const Simulation& world, int update, int t, int samples) {
  std::array<std::vector<double>, std::size(terms)> all;
  const Rng stream(seed, fmt::format("tucker-lqg {} {}", update, t));
  constexpr int shard = 100;  // draws, of which each takes next to no time
  ordered_reduce(
      samples / shard,
      [&](int i) {
        std::vector<Terms> drawn;
        for (int k = i * shard; k < (i + 1) * shard; ++k)
          drawn.push_back(draw(world, t, stream.of(static_cast<std::uint32_t>(k), 0)));
        return drawn;
      },
      [&](int, const std::vector<Terms>& drawn) {
        for (const Terms& x : drawn)
          for (std::size_t k = 0; k < x.size(); ++k) all[k].push_back(x[k]);
      });
  std::array<Estimate, std::size(terms)> out;
  for (std::size_t k = 0; k < all.size(); ++k) out[k] = mean_of(all[k]);
  return out;
}

}  // namespace

Reproduction run_tucker_lqg(Effort effort, bool check, const std::filesystem::path& out) {
  const auto samples = static_cast<int>(choose(effort, 1000, 4000, 100'000));
  OutputDirectory directory(out, {{"figure", "tucker-lqg"}, {"seed", seed}, {"samples", samples}});
  std::string text;
  Csv csv({"part", "update", "t", "term", "value", "log", "log_coded", "sampled", "sampled_se", "n"});
  Parts parts(directory);
  AffineLqg p = point_mass();
  std::vector<double> momentum;
  int trained = 0;
  for (const int update : updates)
    parts(csv, text, [&] {
      train(p, update - trained, momentum);
      trained = update;
      AffineLqg undiscounted = p;
      undiscounted.world.gamma = 1;
      const auto states = state_distributions(p);
      const double J = expected_product({&state_values(undiscounted).front()}, states.front());
      csv.add_some({{"part", "return"}, {"update", update}, {"value", J}});

      const Forms V = state_values(p);
      const AffineLqg coded = with_noise_of_states(p, states);
      const Simulation world(p, V);
      std::vector<AdvantageForms> A, A_coded;
      for (const double lambda : lambdas) {
        A.push_back(advantage_forms(p, V, lambda));
        A_coded.push_back(advantage_forms(coded, V, lambda));
      }
      double least = INFINITY;  // of Sigma_tau over Sigma_a^V
      for (int t = 0; t < T - 1; ++t) {
        const Gaussian& x = states[static_cast<std::size_t>(t)];
        Terms exact(std::size(terms)), as_coded = exact;
        StepVariance right;
        for (std::size_t l = 0; l < A.size(); ++l) {
          right = step_variance(p, A[l], V, x, t, means);
          const StepVariance theirs = step_variance(coded, A_coded[l], V, x, t, means);
          exact[l] = right.tau, as_coded[l] = theirs.tau + theirs.second_none - right.second_none;
        }
        const double subtracted = their_gradient_sq(p, A.front(), x, t);
        exact[3] = right.a_none(), as_coded[3] = right.second_none - subtracted;
        exact[4] = right.a_value(), as_coded[4] = right.second_value - subtracted;
        exact[5] = as_coded[5] = right.s();
        least = std::min(least, exact[0] / exact[4]);
        const bool draws = std::find(std::begin(sampled_at), std::end(sampled_at), t) != std::end(sampled_at);
        std::array<Estimate, std::size(terms)> drawn;
        drawn.fill({NAN, NAN});
        if (draws) drawn = sampled(world, update, t, samples);
        for (std::size_t k = 0; k < exact.size(); ++k)
          csv.add_some({{"part", "curve"},
                        {"update", update},
                        {"t", t},
                        {"term", terms[k]},
                        {"value", exact[k]},
                        {"log", std::log(exact[k])},
                        {"log_coded", std::log(std::abs(as_coded[k]))},
                        {"sampled", drawn[k].value},
                        {"sampled_se", drawn[k].se},
                        {"n", draws ? samples : 0}});
      }
      csv.add_some({{"part", "least"}, {"update", update}, {"value", least}, {"log", std::log(least)}});
      text +=
          fmt::format("update {:<3} return {:9.2f}; Sigma_tau is at least {:.4g} times Sigma_a with V(s)\n",
                      update, J, least);
    });
  return publish("tucker-lqg", directory, csv, check, std::move(text));
}

}  // namespace lowvar
