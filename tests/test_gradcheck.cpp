// The checker of derivatives: right ones pass, kinks and narrow curves or not; planted faults are caught.
#include <gtest/gtest.h>

#include "autograd/gradcheck.h"
#include "autograd/primitive.h"
#include "core/random.h"
#include "nn/mlp.h"

namespace lowvar {
namespace {

// ---- Faults, to be planted: all but the first are near the identity ----

struct Negated {
  static constexpr const char* name = "negated";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return x; }
  static auto rule(auto g, auto, auto) { return -g; }
};
struct Scaled {
  static constexpr const char* name = "scaled";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return x; }
  static auto rule(auto g, auto, auto) { return g * (1 + 1e-4); }
};
struct Incomplete {
  static constexpr const char* name = "incomplete";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return x + 0.01 * sin(x); }
  static auto rule(auto g, auto, auto) { return g; }
};
template <class X>
X held(X x) {
  if constexpr (is_var_v<X>)
    return stop_gradient(x);
  else
    return x;
}
struct WrongSecond {
  static constexpr const char* name = "wrong_second";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return x + 0.05 * x * x; }
  static auto rule(auto g, auto, auto x) { return g * (1 + 0.1 * held(x)); }
};
struct RightSecond {
  static constexpr const char* name = "right_second";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return WrongSecond::value(x); }
  static auto rule(auto g, auto, auto x) { return g * (1 + 0.1 * x); }
};

using Through = Var<double> (*)(Var<double>);
template <class D>
Var<double> through(Var<double> x) {
  return record<D>(Operand<double>(x));
}
Var<double> identity(Var<double> x) { return x; }

struct Planted {
  const char* name;
  Through f;
  bool right = false;
};
constexpr Planted planted[] = {{"identity", identity, true},
                               {"right second derivative", through<RightSecond>, true},
                               {"sign", through<Negated>},
                               {"factor", through<Scaled>},
                               {"missing term", through<Incomplete>},
                               {"wrong second derivative", through<WrongSecond>}};

Array<double> normal(int rows, int cols, std::string_view name, double scale = 1) {
  Rng rng(3, name);
  Array<double> out = zeros<double>(rows, cols);
  for (double& v : values(out)) v = scale * rng.normal();
  return out;
}

// ---- Losses, each with a place for a fault ----

struct Case {
  const char* name;
  std::vector<Array<double>> x;
  Array<double> data;
  std::function<Var<double>(const std::vector<Var<double>>&, Var<double>, Through)> loss;
};

Case network(const char* name, const Mlp& mlp, int rows, double scale) {
  Rng rng(1, name);
  const Array<double> y = normal(rows, mlp.sizes.back(), "y");
  return {name, initialise_uniform(mlp, rng), normal(rows, mlp.sizes.front(), "x"),
          [=](const std::vector<Var<double>>& p, Var<double> x, Through f) {
            return mse(f(forward(mlp, p, x)), y) * scale;
          }};
}

/// QR-DQN's loss (Dabney et al. 2018, eq. 10) of 11 quantiles against 11 targets, rows being pairs.
Var<double> quantile_huber(Var<double> theta, const Array<double>& targets, Through f) {
  const int n = theta.cols(), m = static_cast<int>(targets.shape(1));
  std::vector<int> pair, of;
  Array<double> tau = zeros<double>(n * m, 1), target = tau;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < m; ++j) {
      tau(i * m + j, 0) = (i + 0.5) / n;
      target(i * m + j, 0) = targets(0, static_cast<std::size_t>(j));
      of.push_back(i);
    }
  const Var<double> u = target - gather(transpose(theta), of);
  return mean(abs(tau - (u < 0)) * huber(f(u), 0.5));
}

/// -log of a mixture of normals of width sigma at the rows of x.
Case mixture(const char* name, double sigma) {
  return {name,
          {normal(1, 5, "means"), normal(1, 5, "logits")},
          normal(20, 1, "draws"),
          [=](const std::vector<Var<double>>& p, Var<double> x, Through f) {
            const Var<double> z = (x - f(p[0])) / sigma;
            return -mean(logsumexp(log_softmax(p[1]) - 0.5 * square(z)));
          }};
}

std::vector<Case> cases() {
  const Array<double> none = zeros<double>(1, 1);
  return {
      network("relu network", {.sizes = {4, 32, 2}, .activation = Activation::relu}, 16, 1),
      network("deep relu network", {.sizes = {4, 16, 16, 16, 2}, .activation = Activation::relu}, 64, 1),
      network("large relu network", {.sizes = {20, 240, 20}, .activation = Activation::relu}, 64, 1),
      network("tiny loss", {.sizes = {4, 32, 2}, .activation = Activation::relu}, 16, 1e-12),
      network("huge loss", {.sizes = {4, 32, 2}, .activation = Activation::tanh}, 16, 1e12),
      {"quantile Huber",
       {normal(1, 11, "theta")},
       normal(1, 7, "targets"),
       [](const std::vector<Var<double>>& p, Var<double> y, Through f) {
         return quantile_huber(p[0], y.value(), f);
       }},
      mixture("mixture", 0.7),
      mixture("narrow mixture", 0.01),
      {"tiny parameters",
       {normal(3, 3, "w", 1e-6)},
       none,
       [](const std::vector<Var<double>>& p, Var<double>, Through f) {
         return mean(exp(f(tanh(p[0] * 1e6))));
       }},
      {"large parameters",
       {normal(3, 3, "w", 1e4)},
       none,
       [](const std::vector<Var<double>>& p, Var<double>, Through f) {
         return mean(square(f(p[0] * 1e-4) + 1));
       }},
  };
}

TEST(Gradcheck, RightDerivativesPassAndPlantedFaultsDoNot) {
  for (const Case& each : cases())
    for (const Planted& fault : planted) {
      const auto loss = [&](const std::vector<Var<double>>& p, Var<double> x) {
        return each.loss(p, x, fault.f);
      };
      const auto report = gradcheck(loss, each.x, each.data);
      EXPECT_EQ(report.ok, fault.right) << each.name << ", " << fault.name << "\n" << report.text();
    }
}

/// Where a derivative is 0, rounding is all there is to see.
TEST(Gradcheck, DerivativesOfZeroPass) {
  const Array<double> x = normal(5, 3, "x");
  const Array<double> p = normal(5, 3, "p");
  const std::vector<std::pair<const char*, std::function<Var<double>(Var<double>)>>> losses = {
      {"linear", [&](Var<double> v) { return dot(v, p); }},
      {"constant", [&](Var<double> v) { return sum(v - v) + 3; }},
      {"no gradient", [&](Var<double> v) { return sum(v > 0); }},
      {"probabilities", [&](Var<double> v) { return sum(softmax(v)); }},
      {"divergence from itself",
       [&](Var<double> v) { return sum(kl(log_softmax(stop_gradient(v * 0) + x), log_softmax(v))); }},
      {"square at 0", [&](Var<double> v) { return sum(square(v - x)); }},
      {"fourth power at 0", [&](Var<double> v) { return sum(square(square(v - x))); }},
  };
  for (const auto& [name, loss] : losses) {
    const auto report = gradcheck(loss, x, {.orders = 3});
    EXPECT_TRUE(report.ok) << name << "\n" << report.text();
  }
}

TEST(Gradcheck, SaysWhereAKinkIsMet) {
  const auto check = [](double x) {
    return gradcheck([](Var<double> v) { return sum(relu(v)) + sum(v); }, full<double>(1, 1, x),
                     {.orders = 1});
  };
  for (const double x : {0.0, 1e-14}) {
    const auto report = check(x);
    EXPECT_FALSE(report.ok);
    for (const auto& line : report.lines) EXPECT_TRUE(line.kink);
    EXPECT_NE(report.text().find("a kink within "), std::string::npos) << report.text();
    EXPECT_NEAR(report.lines[0].right / report.lines[0].left, report.lines[0].numeric > 0 ? 2 : 0.5, 1e-6);
  }
  for (const double x : {1e-2, 1e-4, -1e-4, 3e-6, -1e-7}) {
    const auto report = check(x);
    EXPECT_TRUE(report.ok) << x << "\n" << report.text();
  }
}

TEST(Gradcheck, NumbersThatAreNoneDisagree) {
  const auto report = gradcheck([](Var<double> v) { return sum(log(v)); }, full<double>(1, 1, -1));
  EXPECT_FALSE(report.ok);
  // Near the end of a domain, where large steps leave it, small ones serve.
  EXPECT_TRUE(gradcheck([](Var<double> v) { return sum(log(v)); }, full<double>(1, 1, 1e-4)).ok);
}

TEST(Gradcheck, TakesData) {
  const Array<double> w = normal(3, 2, "w"), b = normal(1, 2, "b"), x = normal(5, 3, "x"),
                      y = normal(5, 2, "y");
  int rows = 0;
  const auto one = [&](Var<double> p, Var<double> at, Var<double> target) {
    rows = at.rows();
    return mean(square(tanh(matmul(at, p)) - target));
  };
  const auto two = [&](const std::vector<Var<double>>& p, Var<double> at) {
    return sum(tanh(linear(at, p[0], p[1])));
  };
  EXPECT_TRUE(gradcheck(one, w, x, y).ok);
  EXPECT_EQ(rows, 5);
  const auto third = gradcheck(one, w, {.orders = 3}, x, y);
  EXPECT_TRUE(third.ok);
  EXPECT_EQ(third.lines.size(), 6u);
  EXPECT_TRUE(gradcheck(two, {w, b}, x).ok);
  EXPECT_TRUE(gradcheck(two, {w, b}, {.orders = 1}, x).ok);
}

}  // namespace
}  // namespace lowvar
