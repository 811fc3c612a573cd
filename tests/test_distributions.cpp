// Distributions against their closed forms, their derivatives, and their samples. Sampled numbers are held to
// exact ones at a family-wise error of 1e-6; the seeds are fixed.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>

#include "autograd/gradcheck.h"
#include "autograd/op.h"
#include "nn/distributions.h"
#include "statistics.h"

namespace lowvar {
namespace {

constexpr double many = 1e12;  // degrees of freedom of a known standard error

Array<double> random_array(int rows, int cols, std::string_view name, double scale = 1) {
  Rng rng(6, name);
  Array<double> out = zeros<double>(rows, cols);
  for (double& v : values(out)) v = scale * rng.normal();
  return out;
}

/// Row r of softmax(logits).
std::vector<double> softmax_row(const Array<double>& logits, int r) {
  std::vector<double> p;
  double total = 0;
  for (const double each : row(logits, r)) p.push_back(std::exp(each)), total += p.back();
  for (double& each : p) each /= total;
  return p;
}

// ---- Categorical ----

TEST(Categorical, ClosedForms) {
  const auto a = random_array(6, 4, "a"), b = random_array(6, 4, "b");
  const std::vector<int> action{0, 1, 2, 3, 3, 0};
  Tape<double> tape;
  const auto p = Categorical<double>::from_logits(tape.parameter(a));
  const auto q = Categorical<double>::from_logits(tape.parameter(b));
  const auto log_prob = p.log_prob(action).value(), entropy = p.entropy().value(),
             divergence = kl(p, q).value();
  for (int r = 0; r < 6; ++r) {
    const auto pi = softmax_row(a, r), rho = softmax_row(b, r);
    double H = 0, D = 0;
    for (std::size_t j = 0; j < 4; ++j) H -= pi[j] * std::log(pi[j]), D += pi[j] * std::log(pi[j] / rho[j]);
    const auto taken = static_cast<std::size_t>(action[static_cast<std::size_t>(r)]);
    EXPECT_NEAR(log_prob(r, 0), std::log(pi[taken]), 1e-14);
    EXPECT_NEAR(entropy(r, 0), H, 1e-14);
    EXPECT_NEAR(divergence(r, 0), D, 1e-14);
    EXPECT_GE(divergence(r, 0), 0);
  }
  EXPECT_EQ(kl(p, p).value(), zeros<double>(6, 1));
}

TEST(Categorical, UniformAndCertain) {
  const auto same = zeros<double>(1, 8);
  const auto certain = from_values<double>(1, 2, std::vector<double>{1e3, -1e3});
  Tape<double> tape;
  const auto u = Categorical<double>::from_logits(tape.parameter(same));
  EXPECT_NEAR(u.entropy().item(), std::log(8.0), 1e-15);
  const auto c = Categorical<double>::from_logits(tape.parameter(certain));
  EXPECT_EQ(c.entropy().item(), 0);
  EXPECT_EQ(c.log_prob(std::vector<int>{0}).item(), 0);
  EXPECT_EQ(c.log_prob(std::vector<int>{1}).item(), -2e3);
  EXPECT_THROW(u.log_prob(std::vector<int>{8}), Error);
  EXPECT_THROW(u.log_prob(std::vector<int>{0, 0}), Error);
}

TEST(Categorical, Derivatives) {
  const std::vector<Array<double>> logits{random_array(5, 3, "a"), random_array(5, 3, "b")};
  const std::vector<int> action{0, 2, 1, 1, 0};
  const auto w = random_array(5, 1, "w");
  using P = const std::vector<Var<double>>&;
  const auto of = [](Var<double> x) { return Categorical<double>::from_logits(x); };
  const std::vector<std::pair<const char*, Loss>> losses = {
      {"log_prob", [&](P p) { return dot(of(p[0]).log_prob(action), w); }},
      {"entropy", [&](P p) { return dot(of(p[0]).entropy(), w); }},
      {"kl", [&](P p) { return dot(kl(of(p[0]), of(p[1])), w); }},
  };
  for (const auto& [name, loss] : losses) {
    const auto report = gradcheck(loss, logits, {.orders = 2, .tolerance = 1e-7});
    EXPECT_TRUE(report.ok) << name << "\n" << report.text();
  }
}

/// An action that is masked, or has a logit of -infinity, is as if it did not exist.
TEST(Categorical, MaskedActionsDoNotExist) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const auto few = random_array(3, 2, "few"), other = random_array(3, 2, "other"),
             w = random_array(3, 1, "w");
  const Array<double> mask{{1, 0, 1, 0}};
  const std::vector<int> action{0, 1, 1}, among_many{0, 2, 2};
  const auto spread = [](const Array<double>& x, double illegal) {
    Array<double> out = full<double>(3, 4, illegal);
    for (int r = 0; r < 3; ++r) out(r, 0) = x(r, 0), out(r, 2) = x(r, 1);
    return out;
  };
  using Pi = Categorical<double>;
  const auto loss = [&](const Pi& p, const Pi& q, const std::vector<int>& a) {
    return dot(p.log_prob(a) + p.entropy() * 2 + kl(p, q) * 3, w);
  };
  const auto reduced = [&](Var<double> x) {
    return loss(Pi::from_logits(x), Pi::from_logits(operand_var<double>(*x.record(), other)), action);
  };
  const auto g = grad(reduced, few);
  const auto Hv = hvp(reduced, few, other);
  const std::vector<std::pair<double, std::function<Pi(Var<double>)>>> ways = {
      {0.3, [&](Var<double> x) { return Pi::masked(x, mask); }},
      {1e3, [&](Var<double> x) { return Pi::masked(x, Array<double>(mask + zeros<double>(3, 1))); }},
      {nan, [&](Var<double> x) { return Pi::masked(x, mask); }},
      {-inf, [&](Var<double> x) { return Pi::from_logits(x); }},
  };
  for (const auto& [illegal, of] : ways) {
    const auto x = spread(few, illegal);
    const auto whole = [&, &of = of, fixed = spread(other, illegal)](Var<double> v) {
      return loss(of(v), of(operand_var<double>(*v.record(), fixed)), among_many);
    };
    Tape<double> tape;
    const auto v = tape.parameter(x), u = tape.constant(few);
    EXPECT_EQ(of(v).entropy().value(), Pi::from_logits(u).entropy().value()) << illegal;
    EXPECT_EQ(of(v).log_prob(among_many).value(), Pi::from_logits(u).log_prob(action).value()) << illegal;
    EXPECT_EQ(of(v).log_prob(std::vector<int>{1, 3, 1}).value(), full<double>(3, 1, -inf)) << illegal;
    EXPECT_EQ(kl(of(v), of(v)).value(), zeros<double>(3, 1)) << illegal;
    EXPECT_EQ(grad(sum(kl(of(v), of(v))), v), zeros<double>(3, 4)) << illegal;
    const auto near = [&, &illegal = illegal](const Array<double>& wide, const Array<double>& narrow) {
      for (int r = 0; r < 3; ++r)
        for (int j = 0; j < 4; ++j)
          EXPECT_NEAR(wide(r, j), j % 2 ? 0 : narrow(r, j / 2), 1e-14) << illegal << " column " << j;
    };
    near(grad(whole, x), g);
    near(hvp(whole, x, spread(other, 5)), Hv);
  }
  const auto report = gradcheck(
      [&](Var<double> v) { return loss(Pi::masked(v, mask), Pi::masked(tanh(v), mask), among_many); },
      spread(few, 0.7), {.orders = 3, .tolerance = 1e-7});
  EXPECT_TRUE(report.ok) << report.text();
}

TEST(Categorical, MasksThatCannotBeMeant) {
  const auto logits = random_array(3, 2, "logits");
  Tape<double> tape;
  const auto x = tape.parameter(logits);
  const std::vector<std::pair<Array<double>, const char*>> wrong = {
      {{{1, 0}, {0, 0}, {1, 1}}, "masked: row 1 of the mask has no legal action"},
      {{{1, 0}, {0, 1}}, "masked: the mask is 2x2, where logits 3x2"},
      {{{1}, {1}, {1}}, "masked: the mask is 3x1"},
      {{{1, 2}}, "where: the mask is 2 at row 0, column 1 of 1x2"},
  };
  for (const auto& [mask, part] : wrong) {
    try {
      Categorical<double>::masked(x, mask);
      FAIL() << part << ": no error";
    } catch (const Error& e) {
      const std::string what = e.what();
      EXPECT_NE(what.find(part), std::string::npos) << what;
      EXPECT_NE(what.find("test_distributions.cpp"), std::string::npos) << what;
    }
  }
}

TEST(Categorical, TheScoreHasMeanZero) {
  const auto logits = random_array(3, 5, "logits");
  Tape<double> tape;
  const auto x = tape.parameter(logits);
  const auto pi = Categorical<double>::from_logits(x);
  Array<double> mean = zeros_like(logits), fisher = zeros_like(logits);
  for (int a = 0; a < 5; ++a) {
    const auto score = grad(sum(pi.log_prob(std::vector<int>(3, a))), x);
    for (int r = 0; r < 3; ++r) {
      const double p = softmax_row(logits, r)[static_cast<std::size_t>(a)];
      for (int j = 0; j < 5; ++j)
        mean(r, j) += p * score(r, j), fisher(r, j) += p * score(r, j) * score(r, j);
    }
  }
  for (int r = 0; r < 3; ++r)
    for (int j = 0; j < 5; ++j) {
      const double p = softmax_row(logits, r)[static_cast<std::size_t>(j)];
      EXPECT_NEAR(mean(r, j), 0, 1e-15);
      EXPECT_NEAR(fisher(r, j), p * (1 - p), 1e-15);
    }
}

TEST(Categorical, SampleFrequencies) {
  const auto logits = random_array(8, 6, "logits");
  constexpr int N = 200000;
  for (int r = 0; r < 8; ++r) {
    const auto p = softmax_row(logits, r);
    Rng rng(1, "categorical", static_cast<std::uint32_t>(r));
    std::vector<int> count(6);
    for (int i = 0; i < N; ++i) ++count[static_cast<std::size_t>(rng.categorical(p))];
    for (std::size_t j = 0; j < 6; ++j) {
      const double se = std::sqrt(p[j] * (1 - p[j]) / N);
      EXPECT_LE(std::abs(count[j] / double(N) - p[j]), limit(8 * 6, many) * se) << r << ", " << j;
    }
  }
}

// ---- MultiCategorical ----

/// Each component as a categorical of its own.
TEST(MultiCategorical, IsItsComponentsSideBySide) {
  const std::vector<int> levels{3, 1, 2};
  const auto a = random_array(4, 6, "a"), b = random_array(4, 6, "b");
  const Array<double> action{{0, 0, 1}, {2, 0, 0}, {1, 0, 1}, {2, 0, 1}};
  Tape<double> tape;
  const auto of = [&](const Array<double>& x) {
    return MultiCategorical<double>::from_logits(tape.parameter(x), levels);
  };
  const auto p = of(a), q = of(b);
  const auto log_prob = p.log_prob(tape.data(action)).value(), H = p.entropy().value(), D = kl(p, q).value();
  for (int r = 0; r < 4; ++r) {
    double log_pi = 0, entropy = 0, divergence = 0;
    int first = 0;
    for (std::size_t j = 0; j < levels.size(); first += levels[j++]) {
      Array<double> logits = zeros<double>(1, levels[j]), others = logits;
      for (int k = 0; k < levels[j]; ++k) logits(0, k) = a(r, first + k), others(0, k) = b(r, first + k);
      const auto pi = softmax_row(logits, 0), rho = softmax_row(others, 0);
      log_pi += std::log(pi[static_cast<std::size_t>(action(static_cast<std::size_t>(r), j))]);
      for (std::size_t k = 0; k < pi.size(); ++k)
        entropy -= pi[k] * std::log(pi[k]), divergence += pi[k] * std::log(pi[k] / rho[k]);
    }
    EXPECT_NEAR(log_prob(r, 0), log_pi, 1e-14);
    EXPECT_NEAR(H(r, 0), entropy, 1e-14);
    EXPECT_NEAR(D(r, 0), divergence, 1e-14);
  }
}

TEST(MultiCategorical, Derivatives) {
  const std::vector<int> levels{3, 2};
  const std::vector<Array<double>> logits{random_array(4, 5, "a"), random_array(4, 5, "b")};
  const Array<double> action{{0, 1}, {2, 0}, {1, 1}, {2, 1}};
  const auto w = random_array(4, 1, "w");
  using P = const std::vector<Var<double>>&;
  const auto of = [&](Var<double> x) { return MultiCategorical<double>::from_logits(x, levels); };
  const std::vector<std::pair<const char*, std::function<Var<double>(P, Var<double>)>>> losses = {
      {"log_prob", [&](P p, Var<double> a) { return dot(of(p[0]).log_prob(a), w); }},
      {"entropy", [&](P p, Var<double>) { return dot(of(p[0]).entropy(), w); }},
      {"kl", [&](P p, Var<double>) { return dot(kl(of(p[0]), of(p[1])), w); }},
  };
  for (const auto& [name, loss] : losses) {
    const auto report = gradcheck(loss, logits, {.orders = 2, .tolerance = 1e-7}, action);
    EXPECT_TRUE(report.ok) << name << "\n" << report.text();
  }
}

TEST(MultiCategorical, ActionsThatAreNoneAreRefused) {
  const Array<double> logits = zeros<double>(1, 5);
  Tape<double> tape;
  const auto pi = MultiCategorical<double>::from_logits(tape.parameter(logits), {3, 2});
  for (const double wrong : {2.0, -1.0, 0.5, std::nan("")})
    EXPECT_THROW(pi.log_prob(tape.data(Array<double>{{0, wrong}})), Error) << wrong;
  EXPECT_THROW(pi.log_prob(tape.data(Array<double>{{0}})), Error);
}

// ---- Gaussian ----

struct Gaussians {
  Array<double> mean = random_array(6, 3, "mean"), log_std = random_array(6, 3, "log_std", 0.5);
  Array<double> other_mean = random_array(6, 3, "other mean"), shared = random_array(1, 3, "shared", 0.5);
};

TEST(DiagGaussian, ClosedForms) {
  const Gaussians g;
  const auto action = random_array(6, 3, "action");
  Tape<double> tape;
  const DiagGaussian<double> p{tape.parameter(g.mean), tape.parameter(g.log_std)};
  const DiagGaussian<double> q{tape.parameter(g.other_mean), tape.parameter(g.shared)};
  const auto log_prob = p.log_prob(action).value(), log_prob_q = q.log_prob(action).value();
  const auto entropy = p.entropy().value(), entropy_q = q.entropy().value();
  const auto divergence = kl(p, q).value(), back = kl(q, p).value();
  const double log_2_pi = std::log(2 * std::numbers::pi);
  const auto log_normal = [&](double x, double mu, double s) {
    return -0.5 * (x - mu) * (x - mu) / (s * s) - std::log(s) - 0.5 * log_2_pi;
  };
  const auto divergence_of = [](double m1, double s1, double m2, double s2) {
    return std::log(s2 / s1) + (s1 * s1 + (m1 - m2) * (m1 - m2)) / (2 * s2 * s2) - 0.5;
  };
  for (int r = 0; r < 6; ++r) {
    double l = 0, lq = 0, H = 0, Hq = 0, D = 0, B = 0;
    for (int j = 0; j < 3; ++j) {
      const double m1 = g.mean(r, j), m2 = g.other_mean(r, j);
      const double s1 = std::exp(g.log_std(r, j)), s2 = std::exp(g.shared(0, j));
      l += log_normal(action(r, j), m1, s1), lq += log_normal(action(r, j), m2, s2);
      H += std::log(s1) + 0.5 * (1 + log_2_pi), Hq += std::log(s2) + 0.5 * (1 + log_2_pi);
      D += divergence_of(m1, s1, m2, s2), B += divergence_of(m2, s2, m1, s1);
    }
    EXPECT_NEAR(log_prob(r, 0), l, 1e-13 * std::abs(l));
    EXPECT_NEAR(log_prob_q(r, 0), lq, 1e-13 * std::abs(lq));
    EXPECT_NEAR(entropy(r, 0), H, 1e-13);
    EXPECT_NEAR(entropy_q(r, 0), Hq, 1e-13);
    EXPECT_NEAR(divergence(r, 0), D, 1e-13 * D);
    EXPECT_NEAR(back(r, 0), B, 1e-13 * B);
    EXPECT_GE(divergence(r, 0), 0);
    EXPECT_GE(back(r, 0), 0);
  }
  EXPECT_EQ(kl(p, p).value(), zeros<double>(6, 1));
  EXPECT_EQ(kl(q, q).value(), zeros<double>(6, 1));
}

TEST(DiagGaussian, Derivatives) {
  const Gaussians g;
  const auto action = random_array(6, 3, "action"), w = random_array(6, 1, "w");
  const std::vector<Array<double>> x{g.mean, g.log_std, g.other_mean, g.shared};
  using P = const std::vector<Var<double>>&;
  const auto p_of = [](P v) { return DiagGaussian<double>{v[0], v[1]}; };
  const auto q_of = [](P v) { return DiagGaussian<double>{v[2], v[3]}; };
  const std::vector<std::pair<const char*, Loss>> losses = {
      {"log_prob", [&](P v) { return dot(p_of(v).log_prob(action), w); }},
      {"log_prob, shared", [&](P v) { return dot(q_of(v).log_prob(action), w); }},
      {"entropy", [&](P v) { return dot(square(p_of(v).entropy()), w); }},
      {"entropy, shared", [&](P v) { return dot(square(q_of(v).entropy()), w); }},
      {"kl", [&](P v) { return dot(kl(p_of(v), q_of(v)), w); }},
      {"kl, back", [&](P v) { return dot(kl(q_of(v), p_of(v)), w); }},
  };
  for (const auto& [name, loss] : losses) {
    const auto report = gradcheck(loss, x, {.orders = 2, .tolerance = 1e-7});
    EXPECT_TRUE(report.ok) << name << "\n" << report.text();
  }
}

TEST(DiagGaussian, SampleMeanVarianceAndScore) {
  const std::vector<double> mean{-1, 0, 3}, log_std{-2, 0, 1};
  constexpr int N = 200000;
  Rng rng(2, "gaussian");
  std::vector<double> sum(3), squares(3), products(3);
  for (int i = 0; i < N; ++i) {
    std::vector<double> z(3);
    sample_gaussian(mean, log_std, rng, z);
    for (std::size_t j = 0; j < 3; ++j) {
      z[j] = (z[j] - mean[j]) / std::exp(log_std[j]);
      sum[j] += z[j], squares[j] += z[j] * z[j];
    }
    for (std::size_t j = 0; j < 3; ++j) products[j] += z[j] * z[(j + 1) % 3];
  }
  const double most = limit(9, many);
  for (std::size_t j = 0; j < 3; ++j) {
    EXPECT_LE(std::abs(sum[j] / N), most * std::sqrt(1.0 / N)) << j;
    EXPECT_LE(std::abs(squares[j] / N - 1), most * std::sqrt(2.0 / N)) << j;
    EXPECT_LE(std::abs(products[j] / N), most * std::sqrt(1.0 / N)) << j;
  }
}

}  // namespace
}  // namespace lowvar
