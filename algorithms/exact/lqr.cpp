#include "algorithms/exact/lqr.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "algorithms/estimators/names.h"
#include "algorithms/exact/matrices.h"
#include "core/parallel.h"

namespace lowvar {

using namespace dense;

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

double quadratic_form(std::span<const double> x, const Matrix& M, std::span<const double> y) {
  expect(x.size() == M.shape(0) && y.size() == M.shape(1), "a quadratic form of shape ", text(shape(M)),
         " cannot take vectors of ", x.size(), " and ", y.size());
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * dot(&M(i, 0), y.data(), y.size());
  return sum;
}

double largest(const Matrix& A) {
  double x = 0;
  for (const double a : values(A)) x = std::max(x, std::abs(a));
  return x;
}

/// M^-1 Y for a positive definite M.
Matrix solve(const Matrix& M, Matrix Y) {
  const Matrix L = lower_factor(M, "Q_a + B'N B");
  const int n = shape(M).rows;
  for (int i = 0; i < n; ++i) expect(L(i, i) > 0, "Q_a + B'N B must be positive definite");
  for (int c = 0; c < shape(Y).cols; ++c) {
    for (int i = 0; i < n; ++i) {
      for (int k = 0; k < i; ++k) Y(i, c) -= L(i, k) * Y(k, c);
      Y(i, c) /= L(i, i);
    }
    for (int i = n - 1; i >= 0; --i) {
      for (int k = i + 1; k < n; ++k) Y(i, c) -= L(k, i) * Y(k, c);
      Y(i, c) /= L(i, i);
    }
  }
  return Y;
}

/// X = sum_k F'^k M F^k by doubling; F is stable.
Matrix lyapunov(Matrix F, const Matrix& M) {
  Matrix X = M;
  while (largest(F) > 1e-30) {
    X = add(X, sandwich(F, X, F));
    F = product(F, F);
  }
  return symmetric_part(X);
}

/// f(i) for i in [0, n), in parallel where the work, in multiplications, is worth waking the threads for.
template <class F>
void for_each(int n, double work, F&& f) {
  if (work > 1e7)
    parallel_for(n, f);
  else
    for (int i = 0; i < n; ++i) f(i);
}

void require_finite(std::span<const double> numbers, std::string_view what) {
  for (const double x : numbers)
    if (!std::isfinite(x))
      throw NumericalFault(join(what, " of the linear system overflow double precision"));
}

// ----------------------------------------------------------------------------------------------------------
// The closed loop, driven by u_t = (e_t, w_t) ~ N(0, I):  s' = F s + H u,  a = K s + E u.

struct ClosedLoop {
  Matrix F;         // [n x n], A + B K
  Matrix H;         // [n x q], (B sigma, factor of Sigma_w), q = m, or m + n with process noise
  Matrix E;         // [m x q], (sigma, 0)
  Matrix factor_0;  // [n x n], of Sigma_0
  int q;
};

ClosedLoop close_loop(const Lqg& world, const LinearGaussianPolicy& policy) {
  check_lqg(world);
  check_policy(world, policy);
  const int n = world.n(), m = world.m(), q = largest(world.Sigma_w) > 0 ? m + n : m;
  ClosedLoop loop{add(world.A, product(world.B, policy.K)), zeros<double>(n, q), zeros<double>(m, q),
                  lower_factor(world.Sigma_0, "Sigma_0"), q};
  const Matrix factor_w = lower_factor(world.Sigma_w, "Sigma_w");
  for (int i = 0; i < m; ++i) loop.E(i, i) = std::exp(policy.log_std[at(i)]);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < q; ++j) loop.H(i, j) = j < m ? world.B(i, j) * loop.E(j, j) : factor_w(i, j - m);
  return loop;
}

/// s'^T N s' + a^T Q_a a = s'ss s + 2 s'su u + u'uu u.
struct StepForm {
  Matrix ss, su, uu;
};

StepForm step_form(const Lqg& world, const LinearGaussianPolicy& policy, const ClosedLoop& loop,
                   const Matrix& N) {
  const Matrix NF = product(N, loop.F), NH = product(N, loop.H);
  return {symmetric_part(add(product(loop.F, NF, true), sandwich(policy.K, world.Q_a, policy.K))),
          add(product(loop.F, NH, true), sandwich(policy.K, world.Q_a, loop.E)),
          symmetric_part(add(product(loop.H, NH, true), sandwich(loop.E, world.Q_a, loop.E)))};
}

/// N = Q_s + gamma P.
Matrix cost_of_next(const Lqg& world, const Matrix& P) { return add(world.Q_s, P, world.gamma); }

/// Q_a K + B'N F: minus half the slope of Q_t(s, a) at a = K s is this times s.
Matrix gain_residual(const Lqg& world, const LinearGaussianPolicy& policy, const ClosedLoop& loop,
                     const Matrix& N) {
  return add(product(world.Q_a, policy.K), sandwich(world.B, N, loop.F));
}

/// Adds -2 weight (Q_a K + B'N F) covariance and -2 log_std_weight diag(Sigma (Q_a + B'N B)).
void add_gradient(const Lqg& world, const LinearGaussianPolicy& policy, const ClosedLoop& loop,
                  const Matrix& N, const Matrix& covariance, double weight, double log_std_weight,
                  std::vector<double>& gradient) {
  const Matrix K = product(gain_residual(world, policy, loop, N), covariance);
  const Matrix BNB = sandwich(world.B, N, world.B);
  for (std::size_t i = 0; i < K.size(); ++i) gradient[i] -= 2 * weight * K.data()[i];
  for (int i = 0; i < world.m(); ++i)
    gradient[K.size() + at(i)] -=
        2 * log_std_weight * loop.E(i, i) * loop.E(i, i) * (world.Q_a(i, i) + BNB(i, i));
}

void check_values(const Lqg& world, const QuadraticValues& values) {
  expect(values.P.size() == at(world.T + 1) && values.c.size() == at(world.T + 1),
         "the values must have T + 1 = ", world.T + 1, " time steps, got ", values.P.size(), " and ",
         values.c.size());
  for (const Matrix& P : values.P) {
    expect(shape(P) == Shape{world.n(), world.n()}, "P must be [n x n] = ", text(Shape{world.n(), world.n()}),
           ", got ", text(shape(P)));
    for (int i = 0; i < world.n(); ++i)
      for (int j = 0; j < world.n(); ++j)
        expect(std::isfinite(P(i, j)) && std::abs(P(i, j) - P(j, i)) <= 1e-12 * largest(P),
               "P must be finite and symmetric");
  }
  for (const double c : values.c) expect(std::isfinite(c), "the constants of the values must be finite");
}

// ----------------------------------------------------------------------------------------------------------
// Moments. All noise of a trajectory is stacked into x = (s_0's, u_0, ..., u_{T-1}) ~ N(0, I), of length D.
// Rewards, TD errors and scores are x'A x + c; a score's matrix has rank two:
//   W_t = (h k' + k h') / 2,  h the unit vector of e_{t,i},  k = row j of s_t over sigma_i (K) or h (log_std)
// All scores have mean zero. With joint cumulants of quadratic forms,
//   kappa(A_1 .. A_k) = 2^(k-1) sum over orderings of {2..k} of tr(A_1 A_.. ... A_..),
// the first one with its constant added, every moment is a sum over partitions.

struct Stack {
  ClosedLoop loop;
  int n, m, q, T, D;
  Matrix s;     // [(T+1) n x D], rows t n .. of it are s_t
  Matrix unit;  // [T m x D], rows t m .. of it are e_t

  int noise(int t) const { return n + t * q; }  // the first column of u_t
  const double* state(int t, int j) const { return &s(t * n + j, 0); }
  const double* action(int t, int i) const { return &unit(t * m + i, 0); }
};

Stack stack(const Lqg& world, const LinearGaussianPolicy& policy) {
  Stack x{close_loop(world, policy), world.n(), world.m(), 0, world.T, 0, {}, {}};
  for (const double l : policy.log_std) expect(std::isfinite(l), "scores need a finite log_std, got ", l);
  x.q = x.loop.q;
  expect(1.0 * x.T * x.q <= 1e5, "a horizon of ", x.T, " is too long for exact moments");
  x.D = x.n + x.T * x.q;
  expect(1.0 * x.D * x.D * x.T <= 2.5e8, "the exact moments of ", x.T, " steps with ", x.q,
         " noises each need too much memory");
  x.s = zeros<double>((x.T + 1) * x.n, x.D);
  x.unit = zeros<double>(x.T * x.m, x.D);
  for (int i = 0; i < x.n; ++i)
    for (int j = 0; j < x.n; ++j) x.s(i, j) = x.loop.factor_0(i, j);
  for (int t = 0; t < x.T; ++t) {
    gemm(false, false, x.n, x.D, x.n, x.loop.F.data(), x.state(t, 0), 0, &x.s((t + 1) * x.n, 0));
    for (int i = 0; i < x.n; ++i)
      for (int j = 0; j < x.q; ++j) x.s((t + 1) * x.n + i, x.noise(t) + j) = x.loop.H(i, j);
    for (int i = 0; i < x.m; ++i) x.unit(t * x.m + i, x.noise(t) + i) = 1;
  }
  return x;
}

/// A += factor * s_t' M s_t.
void add_state_form(const Stack& x, int t, const Matrix& M, double factor, Matrix& A) {
  Matrix s = zeros<double>(x.n, x.D);
  std::copy_n(x.state(t, 0), s.size(), s.data());
  const Matrix Ms = product(times(factor, M), s);
  gemm(true, false, x.D, x.D, x.n, s.data(), Ms.data(), 1, A.data());
}

/// A -= the step's form at time t in s_t and u_t.
void subtract_step(const Stack& x, int t, const StepForm& form, Matrix& A) {
  add_state_form(x, t, form.ss, -1, A);
  const int first = x.noise(t);
  for (int c = 0; c < x.q; ++c)
    for (int i = 0; i < first; ++i) {
      double su = 0;
      for (int j = 0; j < x.n; ++j) su += x.s(t * x.n + j, i) * form.su(j, c);
      A(i, first + c) -= su;
      A(first + c, i) -= su;
    }
  for (int b = 0; b < x.q; ++b)
    for (int c = 0; c < x.q; ++c) A(first + b, first + c) -= form.uu(b, c);
}

/// A parameter: row i of K or log_std, column j of K or -1; its score is scale * x'W_t x (less 1).
struct Parameter {
  int i;
  int j;
  double scale;
};

std::vector<Parameter> parameters(const Stack& x, LqgParameters which) {
  std::vector<Parameter> out;
  if (which != LqgParameters::log_std)
    for (int i = 0; i < x.m; ++i)
      for (int j = 0; j < x.n; ++j) out.push_back({i, j, 1 / x.loop.E(i, i)});
  if (which != LqgParameters::K)
    for (int i = 0; i < x.m; ++i) out.push_back({i, -1, 1});
  return out;
}

/// The vectors h and k of W_t, the scale left out.
const double* h_of(const Stack& x, const Parameter& p, int t) { return x.action(t, p.i); }
const double* k_of(const Stack& x, const Parameter& p, int t) {
  return p.j < 0 ? x.action(t, p.i) : x.state(t, p.j);
}

double discount(double c, int t) { return std::pow(c, t); }

// REINFORCE: S = x'W x, R = x'A x.

/// Moments of S_i and R - J, [d] each.
struct ReturnMoments {
  double J = 0;
  std::vector<double> S2, SR, S2R, S2R2;
};

ReturnMoments return_moments(const Lqg& world, const LinearGaussianPolicy& policy, LqgParameters which) {
  const Stack x = stack(world, policy);
  Matrix R = zeros<double>(x.D, x.D);
  const StepForm reward = step_form(world, policy, x.loop, world.Q_s);
  for (int t = x.T - 1; t >= 0; --t) {
    R = times(world.gamma, std::move(R));
    subtract_step(x, t, reward, R);
  }
  // Horner's rule has discounted by time already: R is the return of the whole trajectory.
  const std::vector<Parameter> all = parameters(x, which);
  ReturnMoments out{trace(R), std::vector<double>(all.size()), {}, {}, {}};
  out.SR = out.S2R = out.S2R2 = out.S2;
  const double R2 = 2 * inner(R, R);
  const double work = static_cast<double>(all.size()) * x.D * x.D * x.D;
  for_each(static_cast<int>(all.size()), work, [&](int number) {
    const Parameter& p = all[at(number)];
    Matrix W = zeros<double>(x.D, x.D);
    for (int t = 0; t < x.T; ++t) {
      const double* h = h_of(x, p, t);
      const double* k = k_of(x, p, t);
      const int row = x.noise(t) + p.i;  // h is its unit vector
      for (int c = 0; c < x.D; ++c) {
        W(row, c) += 0.5 * p.scale * h[row] * k[c];
        W(c, row) += 0.5 * p.scale * h[row] * k[c];
      }
    }
    const Matrix WR = product(W, R);
    double WRWR = 0;
    for (int r = 0; r < x.D; ++r)
      for (int c = 0; c < x.D; ++c) WRWR += WR(r, c) * WR(c, r);
    const std::size_t i = at(number);
    out.S2[i] = 2 * inner(W, W);
    out.SR[i] = 2 * inner(W, R);
    out.S2R[i] = 8 * inner(W, WR);
    out.S2R2[i] = 16 * (2 * inner(WR, WR) + WRWR) + out.S2[i] * R2 + 2 * out.SR[i] * out.SR[i];
  });
  return out;
}

double ratio(double numerator, double denominator) { return denominator == 0 ? 0 : numerator / denominator; }

double total(const std::vector<double>& x) { return std::accumulate(x.begin(), x.end(), 0.0); }

double optimal_baseline(const ReturnMoments& m) { return m.J + ratio(total(m.S2R), total(m.S2)); }

std::vector<double> optimal_baselines(const ReturnMoments& m) {
  std::vector<double> b;
  for (std::size_t i = 0; i < m.S2.size(); ++i) b.push_back(m.S2[i] == 0 ? 0 : m.J + m.S2R[i] / m.S2[i]);
  return b;
}

/// Moments of (R - b_i) S_i.
ExactMoments with_baseline(const ReturnMoments& m, const std::vector<double>& b) {
  ExactMoments out{m.SR, {}};
  for (std::size_t i = 0; i < b.size(); ++i) {
    const double shift = m.J - b[i];
    out.variance.push_back(m.S2R2[i] - m.SR[i] * m.SR[i] + 2 * shift * m.S2R[i] + shift * shift * m.S2[i]);
  }
  require_finite(out.mean, "moments");
  require_finite(out.variance, "moments");
  return out;
}

// Causal estimators. For A_t = x'A_t x + const of mean a_t, and scores z of mean zero,
//   Cov(z_t A_t, z_p A_p) = kappa(z_t, z_p, A_t, A_p) + a_t kappa(z_t, z_p, A_p) + a_p kappa(z_t, z_p, A_t)
//     + kappa(z_t, z_p) (kappa(A_t, A_p) + a_t a_p) + kappa(z_t, A_p) kappa(z_p, A_t).

struct Weights {
  std::vector<Matrix> A;  // [T] of [D x D]
  std::vector<double> a;  // [T], E A_t
};

Weights weights(const Lqg& world, const LinearGaussianPolicy& policy, const Stack& x,
                const CausalLqgEstimator& e) {
  Weights w{std::vector<Matrix>(at(x.T)), std::vector<double>(at(x.T))};
  Matrix A = zeros<double>(x.D, x.D);
  double constant = 0;
  std::vector<double> constants(at(x.T));
  for (int t = x.T - 1; t >= 0; --t) {
    StepForm form = step_form(world, policy, x.loop, cost_of_next(world, e.critic.P[at(t + 1)]));
    form.ss = add(form.ss, e.critic.P[at(t)], -1);
    A = times(e.kappa, std::move(A));
    subtract_step(x, t, form, A);
    constant = e.kappa * constant + e.critic.c[at(t)] - world.gamma * e.critic.c[at(t + 1)];
    w.A[at(t)] = A;
    constants[at(t)] = constant;
  }
  // The first `steps` terms are all of them less those from t + steps on.
  const double cut = e.steps < x.T ? std::pow(e.kappa, e.steps) : 0;
  for (int t = 0; t < x.T; ++t) {
    const std::size_t i = at(t);
    if (cut != 0 && t + e.steps < x.T) {
      w.A[i] = add(w.A[i], w.A[at(t + e.steps)], -cut);
      constants[i] -= cut * constants[at(t + e.steps)];
    }
    if (largest(e.baseline.P[i]) > 0) add_state_form(x, t, e.baseline.P[i], 1, w.A[i]);
    w.a[i] = trace(w.A[i]) + constants[i] + e.baseline.c[i];
  }
  return w;
}

/// What the covariances of one time with all later ones are made of, shared by all parameters.
struct Products {
  std::vector<Matrix> As;  // [T] of [(T+1) n x D], rows are A_t times those of s
  Matrix AA;               // [T x T], <A_t, A_p>
};

Products products(const Stack& x, const Weights& w) {
  Products out{std::vector<Matrix>(at(x.T)), zeros<double>(x.T, x.T)};
  for_each(x.T, 1.0 * x.T * x.T * (x.n + 1) * x.D * x.D, [&](int t) {
    out.As[at(t)] = product(x.s, w.A[at(t)]);
    for (int p = t; p < x.T; ++p) out.AA(t, p) = out.AA(p, t) = inner(w.A[at(t)], w.A[at(p)]);
  });
  return out;
}

/// Mean of z_t A_t, and the sum over p >= t of c^(t+p) Cov(z_t A_t, z_p A_p), twice where p > t.
std::pair<double, double> causal_term(const Stack& x, const Weights& w, const Products& products,
                                      const Parameter& parameter, double c, int t) {
  const std::size_t D = at(x.D);
  // A_time h for the unit vector h of `row`, and A_time k_p.
  const auto A = [&](int time, int row) { return &w.A[at(time)](row, 0); };
  const auto Ak = [&](int time, int p) {
    return parameter.j < 0 ? A(time, x.noise(p) + parameter.i)
                           : &products.As[at(time)](p * x.n + parameter.j, 0);
  };
  const int h = x.noise(t) + parameter.i;
  const double* k = k_of(x, parameter, t);
  const double* Atk = Ak(t, t);
  const double* Ath = A(t, h);
  double covariance = 0;
  for (int p = t; p < x.T; ++p) {
    const int f = x.noise(p) + parameter.i;
    const double* y = k_of(x, parameter, p);
    const double* Aty = Ak(t, p);
    const double* Apk = Ak(p, t);
    const double* Apy = Ak(p, p);
    const double* Atf = A(t, f);
    const double* Aph = A(p, h);
    const double* Apf = A(p, f);
    // W_t = (h k' + k h')/2 and W_p = (f y' + y f')/2, h and f unit vectors.
    const double kf = k[f], yh = y[h], ky = dot(k, y, D), hf = h == f ? 1 : 0;
    const auto second = [&](double yAh, double fAh, double yAk, double fAk) {  // 4 tr(W_t W_p A), A symmetric
      return kf * yAh + ky * fAh + hf * yAk + yh * fAk;
    };
    const double zz = kf * yh + ky * hf;                                     // kappa(z_t, z_p)
    const double zzAt = 2 * second(Aty[h], Ath[f], dot(y, Atk, D), Atk[f]);  // kappa(z_t, z_p, A_t)
    const double zzAp = 2 * second(Apy[h], Aph[f], dot(y, Apk, D), Apk[f]);
    const double ztAp = 2 * Apk[h], zpAt = 2 * Aty[f];  // kappa(z_t, A_p), kappa(z_p, A_t)
    const double together = second(dot(Aty, Aph, D) + dot(Apy, Ath, D), dot(Atf, Aph, D) + dot(Apf, Ath, D),
                                   dot(Aty, Apk, D) + dot(Apy, Atk, D), dot(Atf, Apk, D) + dot(Apf, Atk, D));
    const double crossed =
        Atk[f] * Apy[h] + dot(k, Aty, D) * Apf[h] + Ath[f] * dot(y, Apk, D) + Aty[h] * Apk[f];
    const double a_t = w.a[at(t)], a_p = w.a[at(p)];
    const double cov = 4 * (together + crossed) + a_t * zzAp + a_p * zzAt +
                       zz * (2 * products.AA(t, p) + a_t * a_p) + ztAp * zpAt;
    covariance += (p == t ? 1 : 2) * discount(c, t + p) * cov;
  }
  return {parameter.scale * discount(c, t) * 2 * Atk[h], parameter.scale * parameter.scale * covariance};
}

std::vector<double> mean_returns_to_go(const Lqg& world, const LinearGaussianPolicy& policy) {
  const QuadraticValues V = state_values(world, policy);
  const std::vector<Matrix> covariance = state_covariances(world, policy);
  std::vector<double> mean;
  for (int t = 0; t < world.T; ++t) mean.push_back(-(inner(V.P[at(t)], covariance[at(t)]) + V.c[at(t)]));
  return mean;
}

}  // namespace

// ----------------------------------------------------------------------------------------------------------

void check_lqg(const Lqg& world) {
  const int n = world.n(), m = world.m();
  expect(n >= 1 && m >= 1, "a linear system needs at least one state and one action; B is ",
         text(shape(world.B)));
  const auto check = [](const Matrix& M, Shape wanted, const char* name) {
    expect(shape(M) == wanted, name, " must be ", text(wanted), ", got ", text(shape(M)));
    for (const double x : values(M)) expect(std::isfinite(x), name, " must be finite");
  };
  check(world.A, {n, n}, "A");
  check(world.B, {n, m}, "B");
  check(world.Q_s, {n, n}, "Q_s");
  check(world.Q_a, {m, m}, "Q_a");
  check(world.Sigma_0, {n, n}, "Sigma_0");
  check(world.Sigma_w, {n, n}, "Sigma_w");
  const auto symmetric = [](const Matrix& M, const char* name) {
    for (int i = 0; i < shape(M).rows; ++i)
      for (int j = 0; j < i; ++j) expect(M(i, j) == M(j, i), name, " must be symmetric");
  };
  symmetric(world.Q_s, "Q_s");
  symmetric(world.Q_a, "Q_a");
  lower_factor(world.Sigma_0, "Sigma_0");
  lower_factor(world.Sigma_w, "Sigma_w");
  expect(world.gamma >= 0 && world.gamma <= 1, "gamma must lie in [0, 1], got ", world.gamma);
  expect(world.T >= 1, "the horizon must be at least 1, got ", world.T);
}

void check_policy(const Lqg& world, const LinearGaussianPolicy& policy) {
  const Shape wanted{world.m(), world.n()};
  expect(shape(policy.K) == wanted, "K must be ", text(wanted), ", got ", text(shape(policy.K)));
  for (const double k : values(policy.K)) expect(std::isfinite(k), "K must be finite");
  expect(policy.log_std.size() == at(world.m()), "log_std must have ", world.m(), " entries, got ",
         policy.log_std.size());
  for (const double l : policy.log_std)
    expect(l < std::numeric_limits<double>::infinity(), "log_std must be below infinity, got ", l);
}

QuadraticValues state_values(const Lqg& world, const LinearGaussianPolicy& policy) {
  const ClosedLoop loop = close_loop(world, policy);
  QuadraticValues V = zero_values(world);
  for (int t = world.T - 1; t >= 0; --t) {
    const StepForm form = step_form(world, policy, loop, cost_of_next(world, V.P[at(t + 1)]));
    V.P[at(t)] = form.ss;
    V.c[at(t)] = trace(form.uu) + world.gamma * V.c[at(t + 1)];
    require_finite(values(std::as_const(V.P[at(t)])), "values");
  }
  require_finite(V.c, "values");
  return V;
}

QuadraticValues scaled(QuadraticValues V, double factor) {
  for (Matrix& P : V.P) P = times(factor, std::move(P));
  for (double& c : V.c) c *= factor;
  return V;
}

QuadraticValues zero_values(const Lqg& world) {
  return {std::vector<Matrix>(at(world.T + 1), zeros<double>(world.n(), world.n())),
          std::vector<double>(at(world.T + 1))};
}

double value(const QuadraticValues& V, int t, std::span<const double> s) {
  return -(quadratic_form(s, V.P.at(at(t)), s) + V.c.at(at(t)));
}

QuadraticActionValues action_values(const Lqg& world, const LinearGaussianPolicy& policy) {
  const QuadraticValues V = state_values(world, policy);
  QuadraticActionValues Q;
  for (int t = 0; t < world.T; ++t) {
    const Matrix N = cost_of_next(world, V.P[at(t + 1)]);
    Q.ss.push_back(sandwich(world.A, N, world.A));
    Q.sa.push_back(sandwich(world.A, N, world.B));
    Q.aa.push_back(add(world.Q_a, sandwich(world.B, N, world.B)));
    Q.c.push_back(inner(N, world.Sigma_w) + world.gamma * V.c[at(t + 1)]);
  }
  return Q;
}

double value(const QuadraticActionValues& Q, int t, std::span<const double> s, std::span<const double> a) {
  const std::size_t i = at(t);
  return -(quadratic_form(s, Q.ss.at(i), s) + 2 * quadratic_form(s, Q.sa.at(i), a) +
           quadratic_form(a, Q.aa.at(i), a) + Q.c.at(i));
}

double advantage(const QuadraticActionValues& Q, const LinearGaussianPolicy& policy, int t,
                 std::span<const double> s, std::span<const double> a) {
  const Matrix& sa = Q.sa.at(at(t));
  const Matrix& aa = Q.aa.at(at(t));
  std::vector<double> deviation(a.begin(), a.end());
  double noise = 0;
  for (int i = 0; i < shape(aa).rows; ++i) {
    deviation[at(i)] -= dot(&policy.K(i, 0), s.data(), s.size());
    noise += std::exp(2 * policy.log_std[at(i)]) * aa(i, i);
  }
  const Matrix slope = add(sa, product(policy.K, aa, true));  // [n x m]
  return -(2 * quadratic_form(s, slope, deviation) + quadratic_form(deviation, aa, deviation) - noise);
}

std::vector<Matrix> state_covariances(const Lqg& world, const LinearGaussianPolicy& policy) {
  const ClosedLoop loop = close_loop(world, policy);
  const Matrix noise = product(loop.H, loop.H, false, true);
  std::vector<Matrix> out{world.Sigma_0};
  for (int t = 0; t < world.T; ++t)
    out.push_back(symmetric_part(add(product(loop.F, product(out.back(), loop.F, false, true)), noise)));
  return out;
}

double expected_return(const Lqg& world, const LinearGaussianPolicy& policy) {
  const QuadraticValues V = state_values(world, policy);
  return -(inner(V.P[0], world.Sigma_0) + V.c[0]);
}

std::vector<double> policy_gradient(const Lqg& world, const LinearGaussianPolicy& policy) {
  const ClosedLoop loop = close_loop(world, policy);
  const QuadraticValues V = state_values(world, policy);
  const std::vector<Matrix> covariance = state_covariances(world, policy);
  std::vector<double> gradient(at(world.m() * (world.n() + 1)));
  for (int t = 0; t < world.T; ++t) {
    const double weight = discount(world.gamma, t);
    add_gradient(world, policy, loop, cost_of_next(world, V.P[at(t + 1)]), covariance[at(t)], weight, weight,
                 gradient);
  }
  require_finite(gradient, "gradient components");
  return gradient;
}

QuadraticValue infinite_horizon_value(const Lqg& world, const LinearGaussianPolicy& policy) {
  const ClosedLoop loop = close_loop(world, policy);
  const Matrix F = times(std::sqrt(world.gamma), loop.F);
  const double radius = spectral_radius(F);
  expect(radius < 1, "the infinite horizon needs sqrt(gamma) (A + B K) to be stable; its spectral radius is ",
         radius);
  QuadraticValue V{lyapunov(F, step_form(world, policy, loop, world.Q_s).ss), 0};
  const double noise = trace(step_form(world, policy, loop, cost_of_next(world, V.P)).uu);
  expect(noise == 0 || world.gamma < 1, "with gamma = 1 the infinite horizon admits no noise, which costs ",
         noise, " a step");
  if (noise != 0) V.c = noise / (1 - world.gamma);
  return V;
}

double infinite_horizon_return(const Lqg& world, const LinearGaussianPolicy& policy) {
  const QuadraticValue V = infinite_horizon_value(world, policy);
  return -(inner(V.P, world.Sigma_0) + V.c);
}

std::vector<double> infinite_horizon_gradient(const Lqg& world, const LinearGaussianPolicy& policy) {
  const QuadraticValue V = infinite_horizon_value(world, policy);
  const ClosedLoop loop = close_loop(world, policy);
  // sum_t gamma^t Cov(s_t) = Sigma_0 + gamma F (..) F' + gamma / (1 - gamma) H H'
  Matrix source = world.Sigma_0, F_transposed = loop.F;
  const bool noisy = largest(loop.H) > 0;
  const double forever = noisy ? 1 / (1 - world.gamma) : 0;
  if (noisy) source = add(source, product(loop.H, loop.H, false, true), world.gamma * forever);
  for (int i = 0; i < world.n(); ++i)
    for (int j = 0; j < world.n(); ++j) F_transposed(i, j) = std::sqrt(world.gamma) * loop.F(j, i);
  const Matrix covariance = lyapunov(F_transposed, source);
  std::vector<double> gradient(at(world.m() * (world.n() + 1)));
  add_gradient(world, policy, loop, cost_of_next(world, V.P), covariance, 1, forever, gradient);
  require_finite(gradient, "gradient components");
  return gradient;
}

RiccatiOptimum riccati_optimum(const Lqg& world) {
  check_lqg(world);
  const auto greedy = [&](const Matrix& P) {
    const Matrix N = cost_of_next(world, P);
    const Matrix BNB = symmetric_part(add(world.Q_a, sandwich(world.B, N, world.B)));
    return times(-1, solve(BNB, sandwich(world.B, N, world.A)));
  };
  LinearGaussianPolicy policy{greedy(zeros<double>(world.n(), world.n())),
                              std::vector<double>(at(world.m()), -std::numeric_limits<double>::infinity())};
  Lqg quiet = world;
  quiet.Sigma_w = zeros<double>(world.n(), world.n());
  Matrix P = zeros<double>(world.n(), world.n());
  for (int i = 0; i < 1'000'000; ++i) {
    policy.K = greedy(P);
    const Matrix next = step_form(quiet, policy, close_loop(quiet, policy), cost_of_next(world, P)).ss;
    const double change = largest(add(next, P, -1));
    P = next;
    if (!(change > 1e-10 * largest(P))) break;
  }
  for (int i = 0; i < 5; ++i) {
    policy.K = greedy(P);
    P = infinite_horizon_value(quiet, policy).P;
  }
  return {greedy(P), P};
}

// ----------------------------------------------------------------------------------------------------------

BaselineConstants baseline_constants(const Lqg& world, const LinearGaussianPolicy& policy,
                                     LqgParameters which) {
  const ReturnMoments m = return_moments(world, policy, which);
  return {m.J, optimal_baseline(m), optimal_baselines(m), mean_returns_to_go(world, policy)};
}

ExactMoments reinforce_moments(const Lqg& world, const LinearGaussianPolicy& policy,
                               const std::vector<double>& baseline, LqgParameters which) {
  const ReturnMoments m = return_moments(world, policy, which);
  expect(baseline.size() == m.S2.size(), "the baselines must be one per parameter, ", m.S2.size(), ", got ",
         baseline.size());
  return with_baseline(m, baseline);
}

ExactMoments causal_moments(const Lqg& world, const LinearGaussianPolicy& policy, const CausalLqgEstimator& e,
                            LqgParameters which) {
  const Stack x = stack(world, policy);
  check_values(world, e.critic);
  check_values(world, e.baseline);
  expect(std::isfinite(e.kappa), "kappa must be finite, got ", e.kappa);
  expect(e.steps >= 1, "the number of steps must be at least 1, got ", e.steps);
  const Weights w = weights(world, policy, x, e);
  const Products shared = products(x, w);
  const std::vector<Parameter> all = parameters(x, which);
  const double c = e.undiscounted ? 1 : world.gamma;
  std::vector<std::pair<double, double>> terms(all.size() * at(x.T));
  const double work = 10.0 * static_cast<double>(terms.size()) * x.T * x.D;
  for_each(static_cast<int>(terms.size()), work,
           [&](int i) { terms[at(i)] = causal_term(x, w, shared, all[at(i / x.T)], c, i % x.T); });
  ExactMoments out{std::vector<double>(all.size()), std::vector<double>(all.size())};
  for (std::size_t i = 0; i < terms.size(); ++i) {
    out.mean[i / at(x.T)] += terms[i].first;
    out.variance[i / at(x.T)] += terms[i].second;
  }
  require_finite(out.mean, "moments");
  require_finite(out.variance, "moments");
  return out;
}

ExactMoments exact_moments(std::string_view estimator, const Lqg& world, const LinearGaussianPolicy& policy,
                           const QuadraticValues& critic, LqgParameters which) {
  const EstimatorName name = parse_estimator(estimator);
  for (const UsedSuffix& used : name.suffixes)
    expect(used.suffix->kind == SuffixKind::discount, "with ", used.suffix->name(),
           " there is no recursion of moments");
  check_lqg(world);
  check_values(world, critic);
  const QuadraticValues none = zero_values(world);
  const auto causal = [&](const QuadraticValues& V, const QuadraticValues& baseline, double kappa,
                          int steps = std::numeric_limits<int>::max()) {
    return causal_moments(world, policy, {V, baseline, kappa, steps, name.undiscounted()}, which);
  };
  const auto reinforce = [&](auto&& baselines_of) {
    const ReturnMoments m = return_moments(world, policy, which);
    return with_baseline(m, baselines_of(m));
  };
  const auto constant = [](double b, const ReturnMoments& m) { return std::vector<double>(m.S2.size(), b); };
  switch (name.id()) {
    case FamilyId::reinforce:
      return reinforce([&](const ReturnMoments& m) { return constant(0, m); });
    case FamilyId::reinforce_mean:
      return reinforce([&](const ReturnMoments& m) { return constant(m.J, m); });
    case FamilyId::reinforce_optimal:
      return reinforce([&](const ReturnMoments& m) { return constant(optimal_baseline(m), m); });
    case FamilyId::reinforce_per_parameter:
      return reinforce(optimal_baselines);
    case FamilyId::togo:
      return causal(none, none, world.gamma);
    case FamilyId::togo_time: {
      QuadraticValues mean = none;
      const std::vector<double> G = mean_returns_to_go(world, policy);
      for (int t = 0; t < world.T; ++t) mean.c[at(t)] = -G[at(t)];
      return causal(none, mean, world.gamma);
    }
    case FamilyId::togo_value: {
      // sum_{k >= t} gamma^(k-t) delta_k = G_t - V_t(s_t) where V_T = 0
      QuadraticValues ends_at_zero = critic;
      ends_at_zero.P.back() = none.P.back();
      ends_at_zero.c.back() = 0;
      return causal(ends_at_zero, none, world.gamma);
    }
    case FamilyId::td:
      return causal(critic, none, 0);
    case FamilyId::nstep:
      return causal(critic, none, world.gamma, static_cast<int>(name.arguments[0]));
    case FamilyId::gae:
      return causal(critic, none, world.gamma * name.arguments[0]);
    case FamilyId::ppo_clip:
      return causal(critic, none, world.gamma * 0.95);
    case FamilyId::vtrace:
      if (std::min(name.arguments[0], name.arguments[1]) >= 1) return causal(critic, none, world.gamma);
      break;
    default:
      break;
  }
  throw Error(join("estimator \"", estimator, "\" has no exact moments"));
}

}  // namespace lowvar
