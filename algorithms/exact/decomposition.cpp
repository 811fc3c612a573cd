#include "algorithms/exact/decomposition.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "algorithms/exact/lqr.h"
#include "algorithms/exact/matrices.h"

namespace lowvar {

using namespace dense;

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

double squared_norm(std::span<const double> x) {
  return std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
}

// ---- Linear worlds, with x = (1, s) and y = (1, s, u) ----

/// What a step does, of y.
struct Move {
  Matrix next;   // [(1 + n) x (1 + n + m)]: x' is this times y, plus noise
  Matrix noise;  // [(1 + n) x (1 + n)], the covariance of that
  Matrix cost;   // -r is y'cost y, without what is paid on the next state,
  Matrix paid;   // and that is x''paid x'
};

Move move_of(const AffineLqg& p, int t) {
  const int n = p.world.n(), m = p.world.m(), x = 1 + n;
  const Matrix& G = p.gain[at(t)];
  Matrix acts = zeros<double>(m, x + m);  // a of y
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < x; ++j) acts(i, j) = G(i, j);
    acts(i, x + i) = std::exp(p.log_std[at(i)]);
  }
  const Matrix moved = product(p.world.B, acts);
  Move out{zeros<double>(x, x + m), zeros<double>(x, x), sandwich(acts, p.world.Q_a, acts),
           zeros<double>(x, x)};
  const Matrix& noise = p.noise.empty() ? p.world.Sigma_w : p.noise[at(t)];
  out.next(0, 0) = 1;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < x + m; ++j) out.next(1 + i, j) = moved(i, j);
    for (int j = 0; j < n; ++j) {
      out.next(1 + i, 1 + j) += p.world.A(i, j);
      out.cost(1 + i, 1 + j) += p.Q_now(i, j);
      out.noise(1 + i, 1 + j) = noise(i, j);
      out.paid(1 + i, 1 + j) = p.world.Q_s(i, j);
    }
  }
  return out;
}

Matrix block(const Matrix& F, int row, int col, int rows, int cols) {
  Matrix out = zeros<double>(rows, cols);
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < cols; ++j) out(i, j) = F(row + i, col + j);
  return out;
}

/// A form of x as one of y, in the corner of zeros.
Matrix widened(const Matrix& F, int size) {
  Matrix out = zeros<double>(size, size);
  for (int i = 0; i < shape(F).rows; ++i)
    for (int j = 0; j < shape(F).rows; ++j) out(i, j) = F(i, j);
  return out;
}

/// Mean and variance of v'F v where v is `of` times w, plus N(0, C): forms of w, whose first entry is 1.
Matrix mean_form(const Matrix& F, const Matrix& of, const Matrix& C) {
  Matrix out = sandwich(of, F, of);
  out(0, 0) += inner(F, C);
  return out;
}
Matrix variance_form(const Matrix& F, const Matrix& of, const Matrix& C) {
  const Matrix FC = product(F, C), FCF = product(FC, F);
  Matrix out = times(4, sandwich(of, FCF, of));
  double trace_sq = 0;
  for (int i = 0; i < shape(FC).rows; ++i)
    for (int j = 0; j < shape(FC).rows; ++j) trace_sq += FC(i, j) * FC(j, i);
  out(0, 0) += 2 * trace_sq;
  return out;
}

/// Of a form of y, its mean and variance over u: forms of x.
struct OverActions {
  Matrix inclusion, noise;  // y is inclusion x + N(0, noise)
  OverActions(int x, int m) : inclusion(zeros<double>(x + m, x)), noise(zeros<double>(x + m, x + m)) {
    for (int i = 0; i < x; ++i) inclusion(i, i) = 1;
    for (int i = 0; i < m; ++i) noise(x + i, x + i) = 1;
  }
  Matrix mean(const Matrix& F) const { return mean_form(F, inclusion, noise); }
  Matrix variance(const Matrix& F) const { return variance_form(F, inclusion, noise); }
};

/// E[A_t g|s] is 2/sigma_i (F_ux x)_i x_j for the entry i, j of a gain: F_ux.
Matrix slope(const Matrix& mean, int x, int m) { return block(mean, x, 0, m, x); }

}  // namespace

double StepVariance::s() const { return of_state - squared_norm(gradient); }

StepVariance mixed(std::span<const StepVariance> steps, std::span<const double> probability) {
  StepVariance out;
  out.gradient.resize(steps.front().gradient.size());
  for (std::size_t k = 0; k < steps.size(); ++k) {
    const double p = probability[k];
    out.tau += p * steps[k].tau, out.second_none += p * steps[k].second_none;
    out.second_value += p * steps[k].second_value, out.second_exact += p * steps[k].second_exact;
    out.of_state += p * steps[k].of_state;
    for (std::size_t i = 0; i < out.gradient.size(); ++i) out.gradient[i] += p * steps[k].gradient[i];
  }
  return out;
}

// ---- Tabular worlds ----

std::vector<double> visits(const Mdp& mdp, const Array<double>& pi, int T) {
  std::vector<double> now = mdp.start, sum(at(mdp.S));
  for (int t = 0; t < T; ++t) {
    std::vector<double> next(at(mdp.S));
    for (int s = 0; s < mdp.S; ++s) {
      if (mdp.terminal[at(s)]) continue;
      sum[at(s)] += now[at(s)];
      for (int a = 0; a < mdp.A; ++a)
        for (const Outcome& o : mdp.outcomes(s, a)) next[at(o.next)] += now[at(s)] * pi(s, a) * o.probability;
    }
    now = std::move(next);
  }
  const double all = std::accumulate(sum.begin(), sum.end(), 0.0);
  expect(all > 0, "no step is taken where every start is terminal");
  for (double& p : sum) p /= all;
  return sum;
}

StepVariance step_variance(const Mdp& mdp, const Array<double>& pi, std::span<const double> visits,
                           std::span<const double> V, double lambda, int steps) {
  expect(visits.size() == at(mdp.S) && V.size() == at(mdp.S), "visits and V must have ", mdp.S,
         " entries, got ", visits.size(), " and ", V.size());
  expect(steps >= 1, "at least one step is looked at, got ", steps);
  const double kappa = mdp.gamma * lambda;
  // Mean and variance of A at (s, a) and at s, the sum being of k terms.
  Array<double> mean = zeros<double>(mdp.S, mdp.A), variance = mean;
  std::vector<double> E(at(mdp.S)), W(at(mdp.S));
  for (int k = 0; k < steps; ++k) {
    std::vector<double> next_E(at(mdp.S)), next_W(at(mdp.S));
    for (int s = 0; s < mdp.S; ++s) {
      if (mdp.terminal[at(s)]) continue;
      for (int a = 0; a < mdp.A; ++a) {
        double first = 0, second = 0, after = 0;
        for (const Outcome& o : mdp.outcomes(s, a)) {
          const double x = o.reward + mdp.gamma * V[at(o.next)] - V[at(s)] + kappa * E[at(o.next)];
          first += o.probability * x, second += o.probability * x * x;
          after += o.probability * W[at(o.next)];
        }
        mean(s, a) = first, variance(s, a) = second - first * first + kappa * kappa * after;
        next_E[at(s)] += pi(s, a) * first;
      }
      for (int a = 0; a < mdp.A; ++a)
        next_W[at(s)] += pi(s, a) * (variance(s, a) + std::pow(mean(s, a) - next_E[at(s)], 2));
    }
    E = std::move(next_E), W = std::move(next_W);
  }
  StepVariance out;
  out.gradient.resize(mean.size());
  for (int s = 0; s < mdp.S; ++s) {
    if (visits[at(s)] == 0) continue;
    double p_sq = 0;
    for (int a = 0; a < mdp.A; ++a) p_sq += pi(s, a) * pi(s, a);
    for (int a = 0; a < mdp.A; ++a) {
      const double p = visits[at(s)] * pi(s, a), z_sq = 1 - 2 * pi(s, a) + p_sq;
      out.tau += p * variance(s, a) * z_sq;
      out.second_none += p * std::pow(mean(s, a) + V[at(s)], 2) * z_sq;
      out.second_value += p * std::pow(mean(s, a), 2) * z_sq;
      out.second_exact += p * std::pow(mean(s, a) - E[at(s)], 2) * z_sq;
      const double g = pi(s, a) * (mean(s, a) - E[at(s)]);  // of its logit, at s
      out.of_state += visits[at(s)] * g * g;
      out.gradient[at(s * mdp.A + a)] = visits[at(s)] * g;
    }
  }
  return out;
}

// ---- Linear worlds ----

void check_affine(const AffineLqg& p) {
  check_lqg(p.world);
  const int n = p.world.n(), m = p.world.m();
  expect(shape(p.Q_now) == Shape{n, n}, "Q_now must be ", text(Shape{n, n}), ", got ", text(shape(p.Q_now)));
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j)
      expect(std::isfinite(p.Q_now(i, j)) && p.Q_now(i, j) == p.Q_now(j, i),
             "Q_now must be finite and symmetric");
  expect(p.start.size() == at(n), "the mean start must have ", n, " entries, got ", p.start.size());
  expect(p.gain.size() == at(p.world.T), "there must be a gain for each of ", p.world.T, " steps, got ",
         p.gain.size());
  for (const Matrix& G : p.gain)
    expect(shape(G) == Shape{m, 1 + n}, "a gain must be ", text(Shape{m, 1 + n}), ", got ", text(shape(G)));
  expect(p.noise.empty() || p.noise.size() == at(p.world.T), "there must be noise for each of ", p.world.T,
         " steps, or for none, got ", p.noise.size());
  for (const Matrix& C : p.noise) {
    expect(shape(C) == Shape{n, n}, "noise must be ", text(Shape{n, n}), ", got ", text(shape(C)));
    lower_factor(C, "noise");
  }
  expect(p.log_std.size() == at(m), "log_std must have ", m, " entries, got ", p.log_std.size());
  for (const double l : p.log_std) expect(std::isfinite(l), "scores need a finite log_std, got ", l);
}

Forms state_values(const AffineLqg& p) {
  const int x = 1 + p.world.n();
  const AdvantageForms Q = advantage_forms(p, Forms(at(p.world.T + 1), zeros<double>(x, x)), 1);
  Forms V;
  const OverActions over(x, p.world.m());
  for (const Matrix& of_step : Q.mean) V.push_back(over.mean(of_step));
  V.push_back(zeros<double>(x, x));
  return V;
}

AdvantageForms advantage_forms(const AffineLqg& p, const Forms& V, double lambda) {
  check_affine(p);
  const int x = 1 + p.world.n(), m = p.world.m(), T = p.world.T;
  expect(V.size() == at(T + 1), "V must have T + 1 = ", T + 1, " forms, got ", V.size());
  const double gamma = p.world.gamma, kappa = gamma * lambda;
  const OverActions over(x, m);
  AdvantageForms out{Forms(at(T)), Forms(at(T))};
  Matrix E = zeros<double>(x, x), W = E;  // of A_{t+1} given the state
  for (int t = T - 1; t >= 0; --t) {
    const Move step = move_of(p, t);
    const Matrix then = add(add(times(kappa, E), V[at(t + 1)], gamma), step.paid, -1);  // of x'
    Matrix& mean = out.mean[at(t)];
    Matrix& variance = out.variance[at(t)];
    mean = symmetric_part(
        add(add(mean_form(then, step.next, step.noise), step.cost, -1), widened(V[at(t)], x + m), -1));
    variance = symmetric_part(
        add(variance_form(then, step.next, step.noise), mean_form(W, step.next, step.noise), kappa * kappa));
    E = over.mean(mean);
    W = add(over.variance(mean), over.mean(variance));
  }
  return out;
}

std::vector<Gaussian> state_distributions(const AffineLqg& p) {
  check_affine(p);
  const int n = p.world.n(), m = p.world.m(), x = 1 + n;
  Gaussian now{std::vector<double>(at(x), 1), zeros<double>(x, x)};
  std::copy(p.start.begin(), p.start.end(), now.mean.begin() + 1);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) now.covariance(1 + i, 1 + j) = p.world.Sigma_0(i, j);
  std::vector<Gaussian> out;
  for (int t = 0; t < p.world.T; ++t) {
    out.push_back(now);
    const Move step = move_of(p, t);
    const Matrix F = block(step.next, 0, 0, x, x), H = block(step.next, 0, x, x, m);
    for (int i = 0; i < x; ++i) now.mean[at(i)] = dot(&F(i, 0), out.back().mean.data(), at(x));
    now.covariance = symmetric_part(add(
        add(product(F, product(now.covariance, F, false, true)), product(H, H, false, true)), step.noise));
  }
  return out;
}

double expected_product(const std::vector<const Array<double>*>& A, const Gaussian& y) {
  const int k = side(A.size());
  const std::size_t q = y.mean.size();
  expect(k >= 1 && k <= 4, "products of one to four forms are known, got ", k);
  std::vector<Matrix> AC;               // A_i C
  std::vector<std::vector<double>> Am;  // A_i mean
  for (const Matrix* form : A) {
    AC.push_back(product(*form, y.covariance));
    auto& to = Am.emplace_back(q);
    for (std::size_t i = 0; i < q; ++i) to[i] = dot(&(*form)(i, 0), y.mean.data(), q);
  }
  std::vector<double> kappa(std::size_t{1} << k);  // by set of forms
  for (unsigned set = 1; set < kappa.size(); ++set) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < at(k); ++i)
      if (set >> i & 1) order.push_back(i);
    double sum = 0;
    auto all = order;
    do {
      std::vector<double> v = Am[all.back()];  // mean'A C A C ... A mean
      for (std::size_t i = all.size() - 1; i-- > 0;) {
        std::vector<double> w(q);
        for (std::size_t r = 0; r < q; ++r) w[r] = dot(&AC[all[i]](r, 0), v.data(), q);
        v = std::move(w);
      }
      sum += dot(y.mean.data(), v.data(), q);
    } while (std::next_permutation(all.begin(), all.end()));
    do {
      Matrix P = AC[order.front()];
      for (std::size_t i = 1; i < order.size(); ++i) P = product(P, AC[order[i]]);
      sum += trace(P);
    } while (std::next_permutation(order.begin() + 1, order.end()));
    kappa[set] = std::ldexp(sum, side(order.size()) - 1);
  }
  // E of a set is the sum, over the part that its first form is in, of that part's kappa times E of the rest.
  std::vector<double> moment(kappa.size(), 1);
  for (unsigned set = 1; set < kappa.size(); ++set) {
    const unsigned first = set & (~set + 1), others = set ^ first;
    moment[set] = 0;
    for (unsigned with = others;; with = (with - 1) & others) {
      moment[set] += kappa[first | with] * moment[others ^ with];
      if (with == 0) break;
    }
  }
  return moment.back();
}

std::vector<double> step_gradient(const AffineLqg& p, const AdvantageForms& A, const Gaussian& state, int t,
                                  const AffineParameters& parameters) {
  const int x = 1 + p.world.n(), m = p.world.m();
  const Matrix F = slope(A.mean[at(t)], x, m);
  std::vector<double> g;
  for (int i = 0; i < m; ++i)
    for (const int j : parameters.columns) {
      double sum = 0;  // (F E[x x'])_ij
      for (int k = 0; k < x; ++k)
        sum += F(i, k) * (state.covariance(k, j) + state.mean[at(k)] * state.mean[at(j)]);
      g.push_back(2 * std::exp(-p.log_std[at(i)]) * sum);
    }
  for (int i = 0; parameters.log_std && i < m; ++i) g.push_back(2 * A.mean[at(t)](x + i, x + i));
  return g;
}

StepVariance step_variance(const AffineLqg& p, const AdvantageForms& A, const Forms& V, const Gaussian& state,
                           int t, const AffineParameters& parameters) {
  const int x = 1 + p.world.n(), m = p.world.m(), q = x + m;
  Gaussian y{state.mean, widened(state.covariance, q)};
  y.mean.resize(at(q));
  Matrix noise = zeros<double>(q, q), features = noise, D = zeros<double>(m, m);
  for (int i = 0; i < m; ++i) {
    y.covariance(x + i, x + i) = 1;
    D(i, i) = noise(x + i, x + i) = std::exp(-2 * p.log_std[at(i)]);
  }
  for (const int j : parameters.columns) features(j, j) = 1;
  std::vector<Matrix> log_std_scores;  // u_i^2 - 1
  for (int i = 0; parameters.log_std && i < m; ++i) {
    log_std_scores.push_back(zeros<double>(q, q));
    log_std_scores.back()(x + i, x + i) = 1, log_std_scores.back()(0, 0) = -1;
  }
  // E [... |z|^2], |z|^2 = (sum_i u_i^2 / sigma_i^2) (sum_j x_j^2) + sum_i (u_i^2 - 1)^2.
  const auto times_score_sq = [&](std::vector<const Matrix*> forms) {
    const auto with = [&](const Matrix& a, const Matrix& b) {
      auto all = forms;
      all.push_back(&a), all.push_back(&b);
      return expected_product(all, y);
    };
    double sum = with(noise, features);
    for (const Matrix& each : log_std_scores) sum += with(each, each);
    return sum;
  };
  const Matrix& mean = A.mean[at(t)];
  const Matrix without = add(mean, widened(V[at(t)], q)),
               exact = add(mean, widened(OverActions(x, m).mean(mean), q), -1);
  StepVariance out;
  out.tau = times_score_sq({&A.variance[at(t)]});
  out.second_value = times_score_sq({&mean, &mean});
  out.second_none = times_score_sq({&without, &without});
  out.second_exact = times_score_sq({&exact, &exact});
  const Matrix F = slope(mean, x, m), slope_sq = times(4, sandwich(F, D, F));
  const Matrix of_features = block(features, 0, 0, x, x);
  out.of_state = expected_product({&slope_sq, &of_features}, state);
  for (int i = 0; parameters.log_std && i < m; ++i) out.of_state += std::pow(2 * mean(x + i, x + i), 2);
  out.gradient = step_gradient(p, A, state, t, parameters);
  return out;
}

}  // namespace lowvar
