#include "algorithms/exact/tabular.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "algorithms/estimators/names.h"
#include "core/blas.h"
#include "core/parallel.h"

namespace lowvar {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

void require_finite(std::span<const double> numbers, std::string_view what) {
  for (double x : numbers)
    if (!std::isfinite(x)) throw NumericalFault(join(what, " of the MDP overflow double precision"));
}

void expect_storable(const Mdp& mdp) {
  expect((mdp.T + 1.0) * mdp.S <= 2.5e8, "a table of ", mdp.T, " time steps by ", mdp.S,
         " states is too large");
}

// ----------------------------------------------------------------------------------------------------------
// The state process under pi: for each state its distinct successors, and the probability of each outcome.

struct Process {
  std::vector<double> weight;       // [outcome], pi(a|s) P(s'|s,a)
  std::vector<std::size_t> offset;  // [S+1] into next and probability
  std::vector<int> next;            // distinct successors of a state
  std::vector<double> probability;  // sum of the weights of the outcomes that lead there
  std::vector<std::size_t> link;    // [outcome], which successor it leads to, counted from the state's first
  std::size_t most_links = 0;       // over states
  std::size_t most_outcomes = 0;    // over states
  std::vector<std::size_t> first_outcome;  // [S+1]
};

Process make_process(const Mdp& mdp, const Array<double>& pi) {
  Process process;
  process.weight.resize(mdp.outcome_list.size());
  process.link.resize(mdp.outcome_list.size());
  process.offset.push_back(0);
  process.first_outcome.push_back(0);
  std::vector<int> position(at(mdp.S), -1);
  for (int s = 0; s < mdp.S; ++s) {
    const std::size_t begin = process.next.size();
    std::size_t i = process.first_outcome.back();
    for (int a = 0; a < mdp.A; ++a)
      for (const Outcome& o : mdp.outcomes(s, a)) {
        if (position[at(o.next)] < 0) {
          position[at(o.next)] = static_cast<int>(process.next.size() - begin);
          process.next.push_back(o.next);
          process.probability.push_back(0);
        }
        process.link[i] = at(position[at(o.next)]);
        process.weight[i] = pi(s, a) * o.probability;
        process.probability[begin + process.link[i]] += process.weight[i];
        ++i;
      }
    for (std::size_t k = begin; k < process.next.size(); ++k) position[at(process.next[k])] = -1;
    process.most_links = std::max(process.most_links, process.next.size() - begin);
    process.most_outcomes = std::max(process.most_outcomes, i - process.first_outcome.back());
    process.offset.push_back(process.next.size());
    process.first_outcome.push_back(i);
  }
  return process;
}

/// x of every outcome of s at time t: r + gamma v(t+1, s') - v(t, s).
void step_terms(const Mdp& mdp, const Process& process, const Array<double>& v, int t, int s,
                std::vector<double>& x) {
  const std::size_t begin = process.first_outcome[at(s)];
  const std::size_t end = process.first_outcome[at(s) + 1];
  for (std::size_t i = begin; i < end; ++i) {
    const Outcome& o = mdp.outcome_list[i];
    x[i - begin] = o.reward + mdp.gamma * v(t + 1, o.next) - v(t, s);
  }
}

// ----------------------------------------------------------------------------------------------------------
// Moments are carried for blocks of parameters, one lane each. The score of a parameter of row s vanishes in
// every other state, where only the process matters: that is the inner loop. Each block repeats the work
// without parameters.

constexpr int kLanes = 32;
using Lanes = std::array<double, kLanes>;

/// The parameters [first, first + count), and of those the lanes [low, high) of row s.
struct Block {
  int first;
  int count;
  std::pair<int, int> lanes_of(const Mdp& mdp, int s) const {
    return {std::clamp(s * mdp.A - first, 0, count), std::clamp((s + 1) * mdp.A - first, 0, count)};
  }
  int action(const Mdp& mdp, int lane) const { return (first + lane) % mdp.A; }
};

template <class F>
void for_each_block(const Mdp& mdp, F&& f) {
  const int parameters = mdp.S * mdp.A;
  parallel_for((parameters + kLanes - 1) / kLanes, [&](int i) {
    const int first = i * kLanes;
    f(Block{first, std::min(kLanes, parameters - first)});
  });
}

// ----------------------------------------------------------------------------------------------------------
// Causal estimators: G_t = z_t (A_t - b) + c G_{t+1}. Source: the recursion of first and second moments of
// (A, G) given the state, in its centred form (law of total variance over the first step), so that nothing
// cancels.
//
// A_t = x_t + kappa A_{t+1} needs one carried A. A sum of K terms needs K of them, A^(j) = the first j terms:
// A^(j)_t = x_t + kappa A^(j-1)_{t+1}, A^(0) = 0, and weighs z_t by A^(K)_t = x_t + kappa A^(K-1)_{t+1}.
// In that last step kappa may be another number, `first`.

struct Windows {
  int count;   // how many A are carried; the last one enters the weight
  bool shift;  // A^(j) continues with A^(j-1) instead of itself
  int lowest() const { return shift ? 1 : 0; }
  int rest(int j) const { return shift ? j - 1 : j; }
};

/// Moments given the state at one time. Everything is zero where the episode is over.
struct CausalState {
  std::vector<double> a;    // [S x windows], E A
  std::vector<double> C;    // [S x windows x windows], Cov(A, A)
  std::vector<Lanes> cell;  // [S x (2 + windows)]: E G, Var G, Cov(A, G)
};

void causal_block(const Mdp& mdp, const Array<double>& pi, const Process& process, const CausalEstimator& e,
                  const Windows& windows, const Block& block, double* mean, double* variance) {
  const int m = windows.count;
  const double c = e.undiscounted ? 1 : mdp.gamma;
  const double kappa = e.kappa, first = e.first.value_or(kappa);
  const auto fresh = [&] {
    return CausalState{std::vector<double>(at(mdp.S) * at(m)), std::vector<double>(at(mdp.S) * at(m) * at(m)),
                       std::vector<Lanes>(at(mdp.S) * at(2 + m), Lanes{})};
  };
  CausalState now = fresh(), next = fresh();
  std::vector<double> x(process.most_outcomes), d(at(m)), link_d(process.most_links * at(m));

  for (int t = mdp.T - 1; t >= 0; --t) {
    std::swap(now, next);
    for (int s = 0; s < mdp.S; ++s) {
      if (mdp.terminal[at(s)]) continue;
      const std::size_t begin = process.first_outcome[at(s)], end = process.first_outcome[at(s) + 1];
      const std::size_t links = process.offset[at(s)], links_end = process.offset[at(s) + 1];
      step_terms(mdp, process, e.critic, t, s, x);

      double* a = &now.a[at(s) * at(m)];
      std::fill_n(a, m, 0.0);
      for (std::size_t i = begin; i < end; ++i) {
        const double* a_next = &next.a[at(mdp.outcome_list[i].next) * at(m)];
        for (int j = windows.lowest(); j < m; ++j)
          a[j] += process.weight[i] * (x[i - begin] + kappa * a_next[windows.rest(j)]);
      }
      double* C = &now.C[at(s) * at(m) * at(m)];
      std::fill_n(C, m * m, 0.0);
      std::fill(link_d.begin(), link_d.end(), 0.0);
      for (std::size_t i = begin; i < end; ++i) {
        const int to = mdp.outcome_list[i].next;
        const double* a_next = &next.a[at(to) * at(m)];
        const double* C_next = &next.C[at(to) * at(m) * at(m)];
        const double w = process.weight[i];
        for (int j = windows.lowest(); j < m; ++j) {
          d[at(j)] = x[i - begin] + kappa * a_next[windows.rest(j)] - a[j];
          link_d[process.link[i] * at(m) + at(j)] += w * d[at(j)];
        }
        for (int j = windows.lowest(); j < m; ++j)
          for (int k = windows.lowest(); k < m; ++k)
            C[j * m + k] +=
                w * (d[at(j)] * d[at(k)] + kappa * kappa * C_next[windows.rest(j) * m + windows.rest(k)]);
      }

      // No score: G_t = c G_{t+1}.
      Lanes* cell = &now.cell[at(s) * at(2 + m)];
      std::fill_n(cell, 2 + m, Lanes{});
      for (std::size_t k = links; k < links_end; ++k) {
        const Lanes& G = next.cell[at(process.next[k]) * at(2 + m)];
        const double p = c * process.probability[k];
        for (int l = 0; l < kLanes; ++l) cell[0][at(l)] += p * G[at(l)];
      }
      for (std::size_t k = links; k < links_end; ++k) {
        const Lanes* after = &next.cell[at(process.next[k]) * at(2 + m)];
        const double p = process.probability[k];
        Lanes h;
        for (int l = 0; l < kLanes; ++l) {
          h[at(l)] = c * after[0][at(l)] - cell[0][at(l)];
          cell[1][at(l)] += p * (h[at(l)] * h[at(l)] + c * c * after[1][at(l)]);
        }
        for (int j = windows.lowest(); j < m; ++j) {
          const double dj = link_d[(k - links) * at(m) + at(j)];
          const Lanes& H = after[2 + windows.rest(j)];
          for (int l = 0; l < kLanes; ++l) cell[2 + j][at(l)] += dj * h[at(l)] + kappa * c * p * H[at(l)];
        }
      }

      // The row of s itself: G_t = z (A_t - b) + c G_{t+1}, once more from the start.
      const auto [low, high] = block.lanes_of(mdp, s);
      const double b = e.baseline(t, s);
      for (int l = low; l < high; ++l) {
        const int parameter = block.action(mdp, l);
        const auto for_each_outcome = [&](auto&& f) {
          std::size_t i = begin;
          for (int action = 0; action < mdp.A; ++action) {
            const double z = (action == parameter ? 1.0 : 0.0) - pi(s, parameter);
            for (const Outcome& o : mdp.outcomes(s, action)) {
              const double A = x[i - begin] + first * next.a[at(o.next) * at(m) + at(m - 1)];
              const Lanes* after = &next.cell[at(o.next) * at(2 + m)];
              f(i, o.next, z, z * (A - b) + c * after[0][at(l)], after);
              ++i;
            }
          }
        };
        for (int q = 0; q < 2 + m; ++q) cell[q][at(l)] = 0;
        for_each_outcome([&](std::size_t i, int, double, double G, const Lanes*) {
          cell[0][at(l)] += process.weight[i] * G;
        });
        for_each_outcome([&](std::size_t i, int to, double z, double G, const Lanes* after) {
          const double w = process.weight[i];
          const double h = G - cell[0][at(l)];
          const double* a_next = &next.a[at(to) * at(m)];
          const double* C_top = &next.C[at(to) * at(m) * at(m) + at(m - 1) * at(m)];
          cell[1][at(l)] += w * (h * h + z * z * first * first * C_top[m - 1] +
                                 2 * z * first * c * after[2 + m - 1][at(l)] + c * c * after[1][at(l)]);
          for (int j = windows.lowest(); j < m; ++j) {
            const int r = windows.rest(j);
            const double dj = x[i - begin] + kappa * a_next[r] - a[j];
            cell[2 + j][at(l)] +=
                w * (dj * h + z * kappa * first * C_top[r] + kappa * c * after[2 + r][at(l)]);
          }
        });
      }
    }
  }

  for (int l = 0; l < block.count; ++l) {
    const auto cell = [&](int s, int q) { return now.cell[at(s) * at(2 + m) + at(q)][at(l)]; };
    double mu = 0, var = 0;
    for (int s = 0; s < mdp.S; ++s) mu += mdp.start[at(s)] * cell(s, 0);
    for (int s = 0; s < mdp.S; ++s)
      var += mdp.start[at(s)] * ((cell(s, 0) - mu) * (cell(s, 0) - mu) + cell(s, 1));
    mean[block.first + l] = mu;
    variance[block.first + l] = var;
  }
}

// ----------------------------------------------------------------------------------------------------------
// REINFORCE: M_pq(s) = E[S_i^p R^q | s]. With x_t = r_t + gamma V_{t+1} - V_t in place of the reward (V
// exact), R loses its mean V_0(s_0) in every state, so M_10 = M_01 = 0 and R near a constant loses no digits.

/// Moments of S_i and R - J, [S*A] each.
struct ReturnMoments {
  double J;
  std::vector<double> S2, SR, S2R, S2R2;
};

void return_block(const Mdp& mdp, const Array<double>& pi, const Process& process, const Array<double>& V,
                  const Block& block, ReturnMoments& out) {
  enum { S2, SR, S2R, SR2, S2R2, kMoments };
  using Cell = std::array<Lanes, kMoments>;
  const double g = mdp.gamma;
  std::vector<Cell> now(at(mdp.S), Cell{}), next = now;
  std::vector<double> R2(at(mdp.S)), R2_next = R2;
  std::vector<double> x(process.most_outcomes), link_x(process.most_links), link_x2(process.most_links);

  for (int t = mdp.T - 1; t >= 0; --t) {
    std::swap(now, next);
    std::swap(R2, R2_next);
    for (int s = 0; s < mdp.S; ++s) {
      if (mdp.terminal[at(s)]) continue;
      const std::size_t begin = process.first_outcome[at(s)], end = process.first_outcome[at(s) + 1];
      const std::size_t links = process.offset[at(s)], links_end = process.offset[at(s) + 1];
      step_terms(mdp, process, V, t, s, x);
      R2[at(s)] = 0;
      std::fill(link_x.begin(), link_x.end(), 0.0);
      std::fill(link_x2.begin(), link_x2.end(), 0.0);
      for (std::size_t i = begin; i < end; ++i) {
        const double w = process.weight[i], xi = x[i - begin];
        link_x[process.link[i]] += w * xi;
        link_x2[process.link[i]] += w * xi * xi;
        R2[at(s)] += w * (xi * xi + g * g * R2_next[at(mdp.outcome_list[i].next)]);
      }

      // No score: S = S', R = x + gamma R'.
      Cell& cell = now[at(s)];
      cell = Cell{};
      for (std::size_t k = links; k < links_end; ++k) {
        const Cell& after = next[at(process.next[k])];
        const double p = process.probability[k], px = link_x[k - links], px2 = link_x2[k - links];
        for (std::size_t l = 0; l < kLanes; ++l) {
          cell[S2][l] += p * after[S2][l];
          cell[SR][l] += g * p * after[SR][l];
          cell[S2R][l] += px * after[S2][l] + g * p * after[S2R][l];
          cell[SR2][l] += 2 * g * px * after[SR][l] + g * g * p * after[SR2][l];
          cell[S2R2][l] += px2 * after[S2][l] + 2 * g * px * after[S2R][l] + g * g * p * after[S2R2][l];
        }
      }

      // The row of s: S = z + S' adds the terms with z.
      const auto [low, high] = block.lanes_of(mdp, s);
      for (int lane = low; lane < high; ++lane) {
        const std::size_t l = at(lane);
        const int parameter = block.action(mdp, lane);
        std::size_t i = begin;
        for (int action = 0; action < mdp.A; ++action) {
          const double z = (action == parameter ? 1.0 : 0.0) - pi(s, parameter);
          for (const Outcome& o : mdp.outcomes(s, action)) {
            const Cell& after = next[at(o.next)];
            const double w = process.weight[i], xi = x[i - begin], r2 = xi * xi + g * g * R2_next[at(o.next)];
            cell[S2][l] += w * z * z;
            cell[SR][l] += w * z * xi;
            cell[S2R][l] += w * z * (z * xi + 2 * g * after[SR][l]);
            cell[SR2][l] += w * z * r2;
            cell[S2R2][l] += w * z * (z * r2 + 4 * g * xi * after[SR][l] + 2 * g * g * after[SR2][l]);
            ++i;
          }
        }
      }
    }
  }

  for (std::size_t l = 0; l < at(block.count); ++l) {
    const std::size_t i = at(block.first) + l;
    for (std::size_t s = 0; s < at(mdp.S); ++s) {
      const double p = mdp.start[s], v = V(0, s) - out.J;
      out.S2[i] += p * now[s][S2][l];
      out.SR[i] += p * now[s][SR][l];
      out.S2R[i] += p * (now[s][S2R][l] + v * now[s][S2][l]);
      out.S2R2[i] += p * (now[s][S2R2][l] + 2 * v * now[s][S2R][l] + v * v * now[s][S2][l]);
    }
  }
}

ReturnMoments return_moments(const Mdp& mdp, const Array<double>& pi) {
  const Array<double> V = state_values(mdp, pi);
  const Process process = make_process(mdp, pi);
  const std::vector<double> zero(at(mdp.S) * at(mdp.A));
  ReturnMoments out{expected_return(mdp, pi), zero, zero, zero, zero};
  for_each_block(mdp, [&](const Block& block) { return_block(mdp, pi, process, V, block, out); });
  return out;
}

double ratio(double numerator, double denominator) { return denominator == 0 ? 0 : numerator / denominator; }

double sum(const std::vector<double>& x) { return std::accumulate(x.begin(), x.end(), 0.0); }

/// b* and the b_i, less J where the denominator is not zero.
double optimal_baseline(const ReturnMoments& m) { return sum(m.S2) == 0 ? 0 : m.J + sum(m.S2R) / sum(m.S2); }

std::vector<double> optimal_baselines(const ReturnMoments& m) {
  std::vector<double> b(m.S2.size());
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = m.S2[i] == 0 ? 0 : m.J + m.S2R[i] / m.S2[i];
  return b;
}

/// Moments of (R - b_i) S_i.
ExactMoments with_baseline(const ReturnMoments& m, const std::vector<double>& b) {
  ExactMoments out{m.SR, std::vector<double>(m.SR.size())};
  for (std::size_t i = 0; i < b.size(); ++i) {
    const double shift = m.J - b[i];
    const double second = m.S2R2[i] + 2 * shift * m.S2R[i] + shift * shift * m.S2[i];
    out.variance[i] = second - m.SR[i] * m.SR[i];
  }
  require_finite(out.mean, "moments");
  require_finite(out.variance, "moments");
  for (double& x : out.variance) x = std::max(x, 0.0);
  return out;
}

std::vector<double> mean_returns_to_go(const Mdp& mdp, const Array<double>& pi) {
  const Array<double> V = state_values(mdp, pi), d = state_distribution(mdp, pi);
  std::vector<double> mean;
  for (int t = 0; t < mdp.T; ++t) {
    double running = 0, total = 0;
    for (int s = 0; s < mdp.S; ++s) {
      running += d(t, s);
      total += d(t, s) * V(t, s);
    }
    mean.push_back(ratio(total, running));
  }
  return mean;
}

}  // namespace

void check_policy(const Mdp& mdp, const Array<double>& pi) {
  expect(shape(pi) == Shape{mdp.S, mdp.A},
         "the policy must be [states x actions] = ", text(Shape{mdp.S, mdp.A}), ", got ", text(shape(pi)));
  for (int s = 0; s < mdp.S; ++s) {
    if (mdp.terminal[at(s)]) continue;
    double total = 0;
    for (int a = 0; a < mdp.A; ++a) {
      expect(std::isfinite(pi(s, a)) && pi(s, a) >= 0, "the policy's probability of action ", a, " in state ",
             s, " is ", pi(s, a));
      total += pi(s, a);
    }
    expect(std::abs(total - 1) <= 1e-9, "the policy's probabilities in state ", s, " sum to ", total,
           ", not to 1");
  }
}

void check_values(const Mdp& mdp, const Array<double>& values) {
  expect(shape(values) == Shape{mdp.T + 1, mdp.S},
         "the values must be [horizon+1 x states] = ", text(Shape{mdp.T + 1, mdp.S}), ", got ",
         text(shape(values)));
  for (int t = 0; t <= mdp.T; ++t)
    for (int s = 0; s < mdp.S; ++s)
      expect(std::isfinite(values(t, s)), "the value of state ", s, " at time ", t, " is ", values(t, s));
}

Array<double> state_values(const Mdp& mdp, const Array<double>& pi) {
  check_policy(mdp, pi);
  expect_storable(mdp);
  Array<double> V = zeros<double>(mdp.T + 1, mdp.S);
  for (int t = mdp.T - 1; t >= 0; --t)
    for (int s = 0; s < mdp.S; ++s)
      for (int a = 0; a < mdp.A; ++a)
        for (const Outcome& o : mdp.outcomes(s, a))
          V(t, s) += pi(s, a) * o.probability * (o.reward + mdp.gamma * V(t + 1, o.next));
  require_finite(values(std::as_const(V)), "values");
  return V;
}

Array<double> action_values(const Mdp& mdp, const Array<double>& pi) {
  const Array<double> V = state_values(mdp, pi);
  expect(1.0 * mdp.T * mdp.S * mdp.A <= 2.5e8, "a table of ", mdp.T, " time steps by ", mdp.S, " states by ",
         mdp.A, " actions is too large");
  Array<double> Q = zeros<double>(mdp.T * mdp.S, mdp.A);
  for (int t = 0; t < mdp.T; ++t)
    for (int s = 0; s < mdp.S; ++s)
      for (int a = 0; a < mdp.A; ++a)
        for (const Outcome& o : mdp.outcomes(s, a))
          Q(t * mdp.S + s, a) += o.probability * (o.reward + mdp.gamma * V(t + 1, o.next));
  return Q;
}

Array<double> per_state_baseline(const Mdp& mdp, const Array<double>& pi) {
  const Array<double> V = state_values(mdp, pi);
  Array<double> b = zeros<double>(mdp.T, mdp.S);
  for (int s = 0; s < mdp.S; ++s) {
    if (mdp.terminal[at(s)]) continue;
    double norm = 0;
    for (int a = 0; a < mdp.A; ++a) norm += pi(s, a) * pi(s, a);
    const double scores = 1 - norm;  // E|z|^2, for |z|^2 = 1 - 2 pi(a) + sum pi^2
    for (int t = 0; t < mdp.T; ++t) {
      double weighted = 0;
      for (int a = 0; a < mdp.A; ++a) {
        const double w = pi(s, a) * (1 - 2 * pi(s, a) + norm);
        for (const Outcome& o : mdp.outcomes(s, a))
          weighted += w * o.probability * (o.reward + mdp.gamma * V(t + 1, o.next));
      }
      b(t, s) = scores > 0 ? weighted / scores : 0;
    }
  }
  return b;
}

std::vector<double> linear_baseline(const Mdp& mdp, const Array<double>& pi) {
  const Array<double> V = state_values(mdp, pi), d = state_distribution(mdp, pi);
  const int n = mdp.S + 3;
  expect(n <= 2000, "the fit of a linear baseline to ", mdp.S, " states is too large");
  Array<double> XX = zeros<double>(n, n), Xy = zeros<double>(n, 1);
  for (int t = 0; t < mdp.T; ++t) {
    const double tau = t / 100.0;
    const std::array powers{tau, tau * tau, tau * tau * tau};
    for (int s = 0; s < mdp.S; ++s) {
      XX(s, s) += d(t, s);
      Xy(s, 0) += d(t, s) * V(t, s);
      for (int j = 0; j < 3; ++j) {
        XX(s, mdp.S + j) += d(t, s) * powers[at(j)];
        XX(mdp.S + j, s) += d(t, s) * powers[at(j)];
        Xy(mdp.S + j, 0) += d(t, s) * powers[at(j)] * V(t, s);
        for (int k = 0; k < 3; ++k) XX(mdp.S + j, mdp.S + k) += d(t, s) * powers[at(j)] * powers[at(k)];
      }
    }
  }
  double ridge = 1e-300;
  for (int j = 0; j < n; ++j) ridge += 1e-10 * XX(j, j) / n;
  for (int j = 0; j < n; ++j) XX(j, j) += ridge;
  solve(n, 1, XX.data(), Xy.data());
  return {Xy.begin(), Xy.end()};
}

double expected_return(const Mdp& mdp, const Array<double>& pi) {
  const Array<double> V = state_values(mdp, pi);
  double J = 0;
  for (int s = 0; s < mdp.S; ++s) J += mdp.start[at(s)] * V(0, s);
  return J;
}

Array<double> state_distribution(const Mdp& mdp, const Array<double>& pi) {
  check_policy(mdp, pi);
  expect_storable(mdp);
  Array<double> d = zeros<double>(mdp.T, mdp.S);
  for (int s = 0; s < mdp.S; ++s)
    if (!mdp.terminal[at(s)]) d(0, s) = mdp.start[at(s)];
  for (int t = 0; t + 1 < mdp.T; ++t)
    for (int s = 0; s < mdp.S; ++s) {
      if (d(t, s) == 0) continue;
      for (int a = 0; a < mdp.A; ++a)
        for (const Outcome& o : mdp.outcomes(s, a))
          if (!mdp.terminal[at(o.next)]) d(t + 1, o.next) += d(t, s) * pi(s, a) * o.probability;
    }
  return d;
}

std::vector<double> policy_gradient(const Mdp& mdp, const Array<double>& pi) {
  const Array<double> V = state_values(mdp, pi), d = state_distribution(mdp, pi);
  std::vector<double> gradient(at(mdp.S) * at(mdp.A));
  double discount = 1;
  for (int t = 0; t < mdp.T; ++t, discount *= mdp.gamma)
    for (int s = 0; s < mdp.S; ++s) {
      if (d(t, s) == 0) continue;
      for (int a = 0; a < mdp.A; ++a) {
        double advantage = 0;
        for (const Outcome& o : mdp.outcomes(s, a))
          advantage += o.probability * (o.reward + mdp.gamma * V(t + 1, o.next) - V(t, s));
        gradient[at(s) * at(mdp.A) + at(a)] += discount * d(t, s) * pi(s, a) * advantage;
      }
    }
  require_finite(gradient, "gradient components");
  return gradient;
}

BaselineConstants baseline_constants(const Mdp& mdp, const Array<double>& pi) {
  const ReturnMoments m = return_moments(mdp, pi);
  return {m.J, optimal_baseline(m), optimal_baselines(m), mean_returns_to_go(mdp, pi)};
}

ExactMoments reinforce_moments(const Mdp& mdp, const Array<double>& pi, const std::vector<double>& baseline) {
  expect(baseline.size() == at(mdp.S) * at(mdp.A), "the baselines must be one per parameter, ",
         at(mdp.S) * at(mdp.A), ", got ", baseline.size());
  return with_baseline(return_moments(mdp, pi), baseline);
}

ExactMoments causal_moments(const Mdp& mdp, const Array<double>& pi, const CausalEstimator& estimator) {
  check_policy(mdp, pi);
  check_values(mdp, estimator.critic);
  check_values(mdp, estimator.baseline);
  expect(std::isfinite(estimator.kappa), "kappa must be finite, got ", estimator.kappa);
  expect(estimator.steps >= 1, "the number of steps must be at least 1, got ", estimator.steps);
  const bool whole = estimator.steps >= mdp.T || estimator.kappa == 0;
  const Windows windows{whole ? 1 : estimator.steps, !whole};
  expect(1.0 * mdp.S * windows.count * (windows.count + kLanes) <= 1.25e8, "the exact moments of a sum of ",
         estimator.steps, " steps over ", mdp.S, " states need too much memory");
  const Process process = make_process(mdp, pi);
  ExactMoments out{std::vector<double>(at(mdp.S) * at(mdp.A)), std::vector<double>(at(mdp.S) * at(mdp.A))};
  for_each_block(mdp, [&](const Block& block) {
    causal_block(mdp, pi, process, estimator, windows, block, out.mean.data(), out.variance.data());
  });
  require_finite(out.mean, "moments");
  require_finite(out.variance, "moments");
  return out;
}

ExactMoments leave_one_out_moments(const Mdp& mdp, const Array<double>& pi, int N) {
  expect(N >= 2, "leaving one out of a group needs at least 2, got ", N);
  const Array<double> V = state_values(mdp, pi);
  // Var R given the start: sum_t gamma^(2t) E[x_t^2], the x_t being martingale differences.
  std::vector<double> R2(at(mdp.S)), R2_next = R2;
  for (int t = mdp.T - 1; t >= 0; --t) {
    std::swap(R2, R2_next);
    for (int s = 0; s < mdp.S; ++s) {
      R2[at(s)] = 0;
      for (int a = 0; a < mdp.A; ++a)
        for (const Outcome& o : mdp.outcomes(s, a)) {
          const double x = o.reward + mdp.gamma * V(t + 1, o.next) - V(t, s);
          R2[at(s)] += pi(s, a) * o.probability * (x * x + mdp.gamma * mdp.gamma * R2_next[at(o.next)]);
        }
    }
  }
  const std::size_t n = at(mdp.S) * at(mdp.A);
  ExactMoments out{std::vector<double>(n), std::vector<double>(n)};
  std::vector<double> second(n);
  for (int s = 0; s < mdp.S; ++s) {
    if (mdp.start[at(s)] == 0 || mdp.terminal[at(s)]) continue;
    Mdp from = mdp;
    std::fill(from.start.begin(), from.start.end(), 0.0);
    from.start[at(s)] = 1;
    const ReturnMoments m = return_moments(from, pi);
    for (std::size_t i = 0; i < n; ++i) {
      const double square = m.SR[i] * m.SR[i];
      const double variance = (m.S2R2[i] - square + (R2[at(s)] * m.S2[i] + square) / (N - 1)) / N;
      out.mean[i] += mdp.start[at(s)] * m.SR[i];
      out.variance[i] += mdp.start[at(s)] * variance;
      second[i] += mdp.start[at(s)] * square;
    }
  }
  for (std::size_t i = 0; i < n; ++i) out.variance[i] += std::max(0.0, second[i] - out.mean[i] * out.mean[i]);
  require_finite(out.variance, "moments");
  return out;
}

ExactMoments action_value_moments(const Mdp& mdp, const Array<double>& pi, const Array<double>& Q,
                                  bool all_actions, bool undiscounted) {
  check_policy(mdp, pi);
  expect(shape(Q) == Shape{mdp.T * mdp.S, mdp.A},
         "the action values must be [horizon*states x actions] = ", text(Shape{mdp.T * mdp.S, mdp.A}),
         ", got ", text(shape(Q)));
  const double c = undiscounted ? 1 : mdp.gamma;
  const std::size_t n = at(mdp.S) * at(mdp.A);
  ExactMoments out{std::vector<double>(n), std::vector<double>(n)};
  parallel_for(static_cast<int>(n), [&](int i) {
    const int row_of = i / mdp.A, parameter = i % mdp.A;
    std::vector<double> M(at(mdp.S)), M_next = M, W = M, W_next = M;  // mean and variance given the state
    for (int t = mdp.T - 1; t >= 0; --t) {
      std::swap(M, M_next);
      std::swap(W, W_next);
      for (int s = 0; s < mdp.S; ++s) {
        const auto term = [&](int a) {
          if (s != row_of) return 0.0;
          if (!all_actions) return ((a == parameter) - pi(s, parameter)) * Q(t * mdp.S + s, a);
          double expected = 0;
          for (int b = 0; b < mdp.A; ++b)
            expected += pi(s, b) * ((b == parameter) - pi(s, parameter)) * Q(t * mdp.S + s, b);
          return expected;
        };
        M[at(s)] = W[at(s)] = 0;
        for (int a = 0; a < mdp.A; ++a)
          for (const Outcome& o : mdp.outcomes(s, a))
            M[at(s)] += pi(s, a) * o.probability * (term(a) + c * M_next[at(o.next)]);
        for (int a = 0; a < mdp.A; ++a)
          for (const Outcome& o : mdp.outcomes(s, a)) {
            const double away = term(a) + c * M_next[at(o.next)] - M[at(s)];
            W[at(s)] += pi(s, a) * o.probability * (away * away + c * c * W_next[at(o.next)]);
          }
      }
    }
    double mean = 0, variance = 0;
    for (int s = 0; s < mdp.S; ++s) mean += mdp.start[at(s)] * M[at(s)];
    for (int s = 0; s < mdp.S; ++s)
      variance += mdp.start[at(s)] * ((M[at(s)] - mean) * (M[at(s)] - mean) + W[at(s)]);
    out.mean[at(i)] = mean;
    out.variance[at(i)] = variance;
  });
  require_finite(out.variance, "moments");
  return out;
}

ExactMoments exact_moments(std::string_view estimator, const Mdp& mdp, const Array<double>& pi,
                           const Array<double>& values, const Array<double>& Q) {
  const EstimatorName name = parse_estimator(estimator);
  check_values(mdp, values);
  for (const UsedSuffix& used : name.suffixes)
    expect(used.suffix->kind == SuffixKind::discount, "with ", used.suffix->name(),
           " there is no recursion of moments");
  const Array<double> none = zeros<double>(mdp.T + 1, mdp.S);
  const auto causal = [&](const Array<double>& critic, const Array<double>& baseline, double kappa,
                          int steps = std::numeric_limits<int>::max()) {
    return causal_moments(mdp, pi, {critic, baseline, kappa, steps, name.undiscounted()});
  };
  const auto reinforce = [&](auto&& baselines_of) {
    const ReturnMoments m = return_moments(mdp, pi);
    return with_baseline(m, baselines_of(m));
  };
  const std::size_t parameters = at(mdp.S) * at(mdp.A);
  switch (name.id()) {
    case FamilyId::reinforce:
      return reinforce([&](const ReturnMoments&) { return std::vector<double>(parameters, 0.0); });
    case FamilyId::reinforce_mean:
      return reinforce([&](const ReturnMoments& m) { return std::vector<double>(parameters, m.J); });
    case FamilyId::reinforce_optimal:
      return reinforce(
          [&](const ReturnMoments& m) { return std::vector<double>(parameters, optimal_baseline(m)); });
    case FamilyId::reinforce_per_parameter:
      return reinforce(optimal_baselines);
    case FamilyId::togo:
      return causal(none, none, mdp.gamma);
    case FamilyId::togo_time: {
      const std::vector<double> mean = mean_returns_to_go(mdp, pi);
      Array<double> baseline = none;
      for (int t = 0; t < mdp.T; ++t)
        for (double& b : row(baseline, t)) b = mean[at(t)];
      return causal(none, baseline, mdp.gamma);
    }
    case FamilyId::togo_value:
      return causal(none, values, mdp.gamma);
    case FamilyId::td:
      return causal(values, none, 0);
    case FamilyId::nstep:
      return causal(values, none, mdp.gamma, static_cast<int>(name.arguments[0]));
    case FamilyId::gae:
      return causal(values, none, mdp.gamma * name.arguments[0]);
    case FamilyId::ppo_clip:
      return causal(values, none, mdp.gamma * 0.95);
    case FamilyId::togo_linear: {
      const std::vector<double> w = linear_baseline(mdp, pi);
      Array<double> baseline = none;
      for (int t = 0; t < mdp.T; ++t)
        for (int s = 0; s < mdp.S; ++s)
          baseline(t, s) = w[at(s)] + w[at(mdp.S)] * t / 1e2 + w[at(mdp.S) + 1] * t * t / 1e4 +
                           w[at(mdp.S) + 2] * t * t * t / 1e6;
      return causal(none, baseline, mdp.gamma);
    }
    case FamilyId::togo_optimal: {
      const Array<double> b = per_state_baseline(mdp, pi);
      Array<double> baseline = none;
      for (int t = 0; t < mdp.T; ++t)
        for (int s = 0; s < mdp.S; ++s) baseline(t, s) = b(t, s);
      return causal(none, baseline, mdp.gamma);
    }
    case FamilyId::q_value:
    case FamilyId::all_action:
      return action_value_moments(mdp, pi, Q, name.family->kind == EstimatorKind::all_action,
                                  name.undiscounted());
    case FamilyId::rloo:
      return leave_one_out_moments(mdp, pi, static_cast<int>(name.arguments[0]));
    case FamilyId::vtrace: {
      const double rho = std::min(1.0, name.arguments[0]), c = std::min(1.0, name.arguments[1]);
      ExactMoments m = causal_moments(mdp, pi,
                                      {values, none, mdp.gamma * c, std::numeric_limits<int>::max(),
                                       name.undiscounted(), mdp.gamma * rho});
      for (double& x : m.mean) x *= rho;
      for (double& x : m.variance) x *= rho * rho;
      return m;
    }
    default:
      break;
  }
  throw Error(join("estimator \"", estimator, "\" has no exact moments"));
}

double trace(const ExactMoments& moments) { return sum(moments.variance); }

double bias_norm(const ExactMoments& moments, const std::vector<double>& gradient) {
  expect(gradient.size() == moments.mean.size(), "the gradient must have ", moments.mean.size(),
         " components, got ", gradient.size());
  double squared = 0;
  for (std::size_t i = 0; i < gradient.size(); ++i)
    squared += (moments.mean[i] - gradient[i]) * (moments.mean[i] - gradient[i]);
  return std::sqrt(squared);
}

}  // namespace lowvar
