// What a tape promises: a Var is live or it throws, gradients are right at any order and through shared
// subexpressions, arrays and Vars mix, and a step that repeats allocates nothing new.
#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>

#include "autograd/gradcheck.h"
#include "core/random.h"
#include "nn/mlp.h"
#include "tests/arrays.h"

namespace {

std::atomic<long> allocations{0};

void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  const std::size_t whole = (size + alignment - 1) / alignment * alignment;
  if (void* p = std::aligned_alloc(alignment, whole ? whole : alignment)) return p;
  throw std::bad_alloc();
}

[[gnu::noinline]] void release(void* p) noexcept { std::free(p); }  // inlined, it draws a false warning

}  // namespace

void* operator new(std::size_t n) { return counted(n, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new[](std::size_t n) { return counted(n, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new(std::size_t n, std::align_val_t a) { return counted(n, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return counted(n, static_cast<std::size_t>(a)); }
void operator delete(void* p) noexcept { release(p); }
void operator delete[](void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t) noexcept { release(p); }
void operator delete(void* p, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { release(p); }

namespace lowvar {
namespace {

/// The message of the Error that f throws.
std::string refusal(const auto& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

void expect_mentions(const std::string& what, const char* part) {
  EXPECT_NE(what.find(part), std::string::npos) << what;
}

// ---- A Var is live or it throws ----

TEST(Tape, StaleVarThrows) {
  const auto a = full<double>(1, 1, 2.0);
  Var<double> stale;
  {
    Tape<double> tape;
    stale = square(tape.parameter(a));
  }
  expect_mentions(refusal([&] { stale.values(); }), "after its tape had ended");
  EXPECT_THROW(stale.shape(), Error);
  EXPECT_THROW(stale.item(), Error);
  EXPECT_THROW(stale + 1, Error);
  EXPECT_THROW(sum(stale), Error);
  EXPECT_THROW(grad(stale, stale), Error);
  // The next tape reuses the storage; that does not bring the old Var to life.
  Tape<double> next;
  const auto live = square(next.parameter(a));
  EXPECT_EQ(live.item(), 4);
  EXPECT_THROW(stale.item(), Error);
  EXPECT_THROW(live + stale, Error);
  EXPECT_THROW(grad(live, stale), Error);
}

TEST(Tape, VarOfAnotherTapeThrows) {
  const auto a = full<double>(1, 1, 2.0);
  Tape<double> one, other;
  const auto x = one.parameter(a), y = other.parameter(a);
  const auto what = refusal([&] { x* y; });
  expect_mentions(what, "multiply: operands are of different tapes");
  expect_mentions(what, "test_tape.cpp");
  EXPECT_THROW(matmul(x, y), Error);
  EXPECT_THROW(linear(x, x, y), Error);
  EXPECT_THROW(clip(x, y, x), Error);
  expect_mentions(refusal([&] { grad(square(x), y); }), "y and x are of different tapes");
  EXPECT_THROW(grad_graph(square(x), y), Error);
  EXPECT_THROW(grad(square(x), std::vector<Var<double>>{x, y}), Error);
}

TEST(Tape, NeverRecordedVarThrows) {
  const auto a = full<double>(1, 1, 2.0);
  Tape<double> tape;
  const auto x = tape.parameter(a);
  const Var<double> nothing;
  expect_mentions(refusal([&] { nothing.values(); }), "never recorded");
  EXPECT_THROW(x + nothing, Error);
  EXPECT_THROW(nothing * 2, Error);
  EXPECT_THROW(tanh(nothing), Error);
  EXPECT_THROW(matmul(x, nothing), Error);
  EXPECT_THROW(sum(nothing), Error);
  EXPECT_THROW(pick(nothing, std::vector<int>{0}), Error);
  EXPECT_THROW(gather(nothing, std::vector<int>{0}), Error);
  EXPECT_THROW(stop_gradient(nothing), Error);
  EXPECT_THROW(grad(nothing, x), Error);
  EXPECT_THROW(grad(x, nothing), Error);
}

// ---- What gradients are taken of, and for ----

TEST(Tape, GradientOfWhatDoesNotDependOnXIsZero) {
  const auto a = random_array(2, 3, "a"), b = random_array(1, 3, "b");
  Tape<double> tape;
  const auto x = tape.parameter(a), z = tape.parameter(b);
  const auto y = sum(square(z));
  const auto later = tape.parameter(a);
  EXPECT_EQ(grad(y, x), zeros_like(a));
  EXPECT_EQ(grad(y, later), zeros_like(a));
  EXPECT_EQ(grad_graph(y, x).value(), zeros_like(a));
  EXPECT_EQ(grad(sum(square(stop_gradient(z))), z), zeros_like(b));
  EXPECT_EQ(grad(sum(tape.data(a)), x), zeros_like(a));
  const auto both = grad(y, {x, z});
  EXPECT_EQ(both[0], zeros_like(a));
  EXPECT_NE(both[1], zeros_like(b));
}

TEST(Tape, XThatIsNotAParameterThrows) {
  const auto a = random_array(2, 3, "a");
  Tape<double> tape;
  const auto w = tape.parameter(a), d = tape.data(a), c = tape.constant(a);
  const auto y = sum(w * d * c);
  expect_mentions(refusal([&] { grad(y, d); }), "x is neither a parameter nor computed from one");
  EXPECT_THROW(grad(y, c), Error);
  EXPECT_THROW(grad(y, stop_gradient(w)), Error);
  EXPECT_THROW(grad_graph(y, d), Error);
}

TEST(Tape, OnlyAScalarHasAGradient) {
  const auto a = random_array(2, 3, "a");
  Tape<double> tape;
  const auto x = tape.parameter(a);
  expect_mentions(refusal([&] { grad(square(x), x); }), "y must be a 1x1, got 2x3");
  expect_mentions(refusal([&] { x.item(); }), "item: needs a 1x1, got 2x3");
}

TEST(Tape, GradientsReachIntermediateValuesAndRepeatedOnes) {
  const auto a = full<double>(1, 1, 3.0);
  Tape<double> tape;
  const auto x = tape.parameter(a);
  const auto h = square(x);
  const auto y = h * h;
  EXPECT_EQ(grad(y, h)(0, 0), 18);
  const auto g = grad(y, {x, h, x, y});
  EXPECT_EQ(g[0](0, 0), 108);
  EXPECT_EQ(g[1](0, 0), 18);
  EXPECT_EQ(g[2](0, 0), 108);
  EXPECT_EQ(g[3](0, 0), 1);
  EXPECT_EQ(grad(x, x)(0, 0), 1);
}

TEST(Tape, GradMutatesNothing) {
  const auto a = random_array(3, 3, "a");
  Tape<double> tape;
  const auto x = tape.parameter(a);
  const auto y = sum(tanh(matmul(x, x)));
  const auto g = grad(y, x);
  EXPECT_EQ(grad(y, x), g);
  const auto z = y * 2;
  EXPECT_EQ(grad(y, x), g);
  EXPECT_EQ(grad(z, x), Array<double>(2 * g));
}

TEST(Tape, DiamondsAreLinearInTheirDepth) {
  const auto a = full<double>(1, 1, 3.0);
  Tape<double> tape;
  const auto x = tape.parameter(a);
  auto y = x;
  for (int i = 0; i < 60; ++i) y = 0.5 * (y + y);  // 2^60 paths
  EXPECT_LE(y.index(), 60 * 3);
  EXPECT_EQ(y.item(), 3);
  EXPECT_EQ(grad(y, x)(0, 0), 1);
  EXPECT_EQ(grad_graph(y * y, x).item(), 6);
}

// ---- Higher orders ----

TEST(Tape, DerivativesOfAPolynomialAreExactToTheThirdAndBeyond) {
  const auto a = full<double>(1, 1, 3.0);
  Tape<double> tape;
  const auto x = tape.parameter(a);
  const auto p = 2 * x * x * x * x - 5 * square(x) * x + 7 * x - 1;
  EXPECT_EQ(p.item(), 2 * 81 - 5 * 27 + 7 * 3 - 1);
  const auto first = grad_graph(p, x);
  EXPECT_EQ(first.item(), 8 * 27 - 15 * 9 + 7);
  const auto second = grad_graph(first, x);
  EXPECT_EQ(second.item(), 24 * 9 - 30 * 3);
  const auto third = grad_graph(second, x);
  EXPECT_EQ(third.item(), 48 * 3 - 30);
  const auto fourth = grad_graph(third, x);
  EXPECT_EQ(fourth.item(), 48);
  EXPECT_EQ(grad(fourth, x)(0, 0), 0);
}

/// A loss of two arrays that is curved in each and across them.
Var<double> curved(const std::vector<Var<double>>& p) {
  const auto h = tanh(matmul(p[0], p[1]));
  return sum(square(h)) + logsumexp(sum_to(p[0], {1, p[0].cols()})) + dot(exp(p[1]), p[1]);
}

TEST(Tape, HessianVectorProductMatchesFiniteDifferencesOfTheGradient) {
  const std::vector<Array<double>> x{random_array(3, 2, "x0"), random_array(2, 4, "x1")};
  const std::vector<Array<double>> v{random_array(3, 2, "v0"), random_array(2, 4, "v1")};
  const auto Hv = hvp(curved, x, v);
  const double h = 1e-3;
  const auto moved = [&](double by) {
    auto out = x;
    for (std::size_t i = 0; i < x.size(); ++i) out[i] += by * v[i];
    return grad(curved, out);
  };
  const auto p2 = moved(2 * h), p1 = moved(h), m1 = moved(-h), m2 = moved(-2 * h);
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t j = 0; j < x[i].size(); ++j) {
      const double numeric =
          (8 * (p1[i].data()[j] - m1[i].data()[j]) - (p2[i].data()[j] - m2[i].data()[j])) / (12 * h);
      EXPECT_NEAR(Hv[i].data()[j], numeric, 1e-8 * std::max(1.0, std::abs(numeric)));
    }
}

TEST(Tape, HessianVectorProductIsSymmetric) {
  const std::vector<Array<double>> x{random_array(3, 2, "x0"), random_array(2, 4, "x1")};
  const std::vector<Array<double>> u{random_array(3, 2, "u0"), random_array(2, 4, "u1")};
  const std::vector<Array<double>> v{random_array(3, 2, "v0"), random_array(2, 4, "v1")};
  const auto Hu = hvp(curved, x, u), Hv = hvp(curved, x, v);
  double uHv = 0, vHu = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t j = 0; j < x[i].size(); ++j) {
      uHv += u[i].data()[j] * Hv[i].data()[j];
      vHu += v[i].data()[j] * Hu[i].data()[j];
    }
  EXPECT_NEAR(uHv, vHu, 1e-12 * std::abs(uHv));
}

TEST(Tape, HessianVectorProductOfAnAffineLossIsZero) {
  const auto a = random_array(2, 3, "a"), w = random_array(2, 3, "w"), v = random_array(2, 3, "v");
  EXPECT_EQ(hvp([&](Var<double> x) { return sum(x * w) + 1; }, a, v), zeros_like(a));
  EXPECT_EQ(hvp([&](Var<double> x) { return sum(stop_gradient(x)); }, a, v), zeros_like(a));
  EXPECT_THROW(hvp([](const std::vector<Var<double>>& p) { return sum(p[0]); }, std::vector<Array<double>>{a},
                   std::vector<Array<double>>{}),
               Error);
}

void expect_near(const std::vector<Array<double>>& a, const std::vector<Array<double>>& b) {
  for (std::size_t i = 0; i < b.size(); ++i)
    for (std::size_t j = 0; j < b[i].size(); ++j)
      EXPECT_NEAR(a[i].data()[j], b[i].data()[j], 1e-12 * std::max(1.0, std::abs(b[i].data()[j])));
}

/// Layers whose parameters hvp needs no gradient of, one of them twice; one that meets its bias as a result,
/// one whose weights are penalised too, and one whose weights are its input.
Var<double> layers(const std::vector<Var<double>>& p) {
  const auto &W = p[0], &b = p[1], &V = p[2], &c = p[3];
  const auto h = tanh(linear(tanh(linear(W, W, b)), W, b * b));
  return sum(square(linear(h, V, c))) + sum(exp(V)) + sum(linear(exp(b), V, c)) * sum(c);
}

TEST(Tape, HessianVectorProductIsTheGradientOfTheRecordedGradientAlongIt) {
  const std::vector<Array<double>> x{random_array(3, 3, "W"), random_array(1, 3, "b"),
                                     random_array(3, 2, "V"), random_array(1, 2, "c")};
  std::vector<Array<double>> v;
  for (const auto& each : x) v.push_back(random_array(shape(each).rows, shape(each).cols, "direction"));
  Tape<double> tape;
  const auto p = tape.parameters(x);
  const auto g = grad_graph(layers(p), p);
  auto directional = dot(g[0], v[0]);
  for (std::size_t i = 1; i < g.size(); ++i) directional = directional + dot(g[i], v[i]);
  expect_near(hvp(layers, x, v), grad(directional, p));
  // Of some of the parameters only, one of them computed.
  const std::vector<Var<double>> some{p[2], p[0] * 2};
  const auto y = layers({some[1], p[1], some[0], p[3]});
  const auto of_some = grad_graph(y, some);
  std::vector<Array<double>> out{zeros_like(x[2]), zeros_like(x[0])};
  hvp_into(out, y, some, {v[2], v[0]});
  expect_near(out, grad(dot(of_some[0], v[2]) + dot(of_some[1], v[0]), some));
  EXPECT_THROW(hvp_into(out, y, {p[0], p[0]}, {v[0], v[0]}), Error);
}

TEST(Tape, ShardedHessianVectorProductIsTheSum) {
  const std::vector<Array<double>> w{random_array(3, 2, "w"), random_array(1, 2, "b")};
  const std::vector<Array<double>> v{random_array(3, 2, "v"), random_array(1, 2, "vb")};
  const auto x = random_array(30, 3, "x");
  const auto loss = [&](Tape<double>& tape, const std::vector<Var<double>>& p, int begin, int end) {
    return sum(square(tanh(linear(tape.data(x, begin, end), p[0], p[1]))));
  };
  expect_near(sharded_hvp(loss, w, v, 30, 7), sharded_hvp(loss, w, v, 30, 30));
}

/// Log-probabilities of three actions for five states under a small network.
Var<double> small_policy(const std::vector<Var<double>>& p) { return log_softmax(matmul(tanh(p[0]), p[1])); }

TEST(Tape, FisherIsTheHessianOfTheMeanKlAndNotThatOfTheLikelihood) {
  const std::vector<Array<double>> x{random_array(5, 4, "x0"), random_array(4, 3, "x1")};
  const std::vector<Array<double>> v{random_array(5, 4, "v0"), random_array(4, 3, "v1")};
  const auto mean_kl = [](const std::vector<Var<double>>& p) {
    const auto log_p = small_policy(p);
    return mean(kl(stop_gradient(log_p), log_p));
  };
  expect_near(fisher_vector_product(small_policy, x, v), hvp(mean_kl, x, v));
}

TEST(Tape, GaussNewtonDropsTheCurvatureOfTheOutputs) {
  const std::vector<Array<double>> x{random_array(5, 4, "x0"), random_array(4, 3, "x1")};
  const std::vector<Array<double>> v{random_array(5, 4, "v0"), random_array(4, 3, "v1")};
  const auto target = random_array(5, 3, "target");
  const auto f = [](const std::vector<Var<double>>& p) { return tanh(matmul(p[0], p[1])); };
  const auto loss = [&](Var<double> z) { return mse(z, target); };
  const auto product = gauss_newton_product(f, loss, x, v);
  // The same with the outputs linearised by hand: J v by central differences, then J' (2/15) J v.
  const double h = 1e-4;
  const auto at = [&](double by) {
    auto moved = x;
    for (std::size_t i = 0; i < x.size(); ++i) moved[i] += by * v[i];
    Tape<double> tape;
    return f(tape.parameters(moved)).value();
  };
  const Array<double> Jv = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
  Tape<double> tape;
  const auto p = tape.parameters(x);
  const auto expected = grad(dot(f(p), Jv) * (2.0 / 15), p);
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t j = 0; j < x[i].size(); ++j)
      EXPECT_NEAR(product[i].data()[j], expected[i].data()[j], 1e-9);
  // Where the outputs are linear it is the Hessian itself.
  const auto linear_f = [](const std::vector<Var<double>>& q) { return q[0] * 3; };
  const auto full_loss = [&](const std::vector<Var<double>>& q) { return sum(exp(q[0] * 3)); };
  expect_near({gauss_newton_product(
                  linear_f, [](Var<double> z) { return sum(exp(z)); }, std::vector<Array<double>>{x[0]},
                  std::vector<Array<double>>{v[0]})},
              {hvp(full_loss, std::vector<Array<double>>{x[0]}, std::vector<Array<double>>{v[0]})});
  EXPECT_THROW(gauss_newton_product(f, loss, x, std::vector<Array<double>>{v[0]}), Error);
}

TEST(Gradcheck, NamesAnEntryThatIsOff) {
  const std::vector<Array<double>> x{random_array(2, 2, "a"), random_array(3, 2, "b")};
  const Loss wrong = [](const std::vector<Var<double>>& p) {  // forgets one entry of the second array
    return sum(square(p[0])) + sum(square(p[1])) + sum(square(stop_gradient(block(p[1], 2, 1, {1, 1})))) * 5;
  };
  const auto report = gradcheck(wrong, x);
  EXPECT_FALSE(report.ok);
  expect_mentions(report.text(), "off: d/dx[1](2, 1) = ");
  expect_mentions(report.text(), "DISAGREE");
}

// ---- Arrays and Vars mix ----

template <class T>
class Mixed : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Mixed, Scalars);

template <class T>
void expect_values(const Var<T>& y, T (*f)(T, T), const Array<T>& a, const Array<T>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(y.values()[i], f(a.data()[i], b.data()[i]));
}

TYPED_TEST(Mixed, OperatorsTakeArraysOfEveryKind) {
  using T = TypeParam;
  const Array<T> a(random_array(2, 3, "a")), b(random_array(2, 3, "b"));
  Array<T> mutable_b = b;
  Tape<T> tape;
  const Var<T> x = tape.parameter(a);
  const auto rvalue = [&] { return b; };
#define LOWVAR_CHECK(symbol)                                           \
  {                                                                    \
    T (*const f)(T, T) = [](T l, T r) { return l symbol r; };          \
    static_assert(std::same_as<decltype(x symbol b), Var<T>> &&        \
                  std::same_as<decltype(x symbol rvalue()), Var<T>> && \
                  std::same_as<decltype(mutable_b symbol x), Var<T>>); \
    expect_values<T>(x symbol b, f, a, b);                             \
    expect_values<T>(x symbol mutable_b, f, a, b);                     \
    expect_values<T>(x symbol rvalue(), f, a, b);                      \
    expect_values<T>(b symbol x, f, b, a);                             \
    expect_values<T>(mutable_b symbol x, f, b, a);                     \
    expect_values<T>(rvalue() symbol x, f, b, a);                      \
    expect_values<T>(x symbol 2, f, a, full<T>(2, 3, T(2)));           \
    expect_values<T>(0.5 symbol x, f, full<T>(2, 3, T(0.5)), a);       \
    expect_values<T>(x symbol x, f, a, a);                             \
  }
  LOWVAR_CHECK(+)
  LOWVAR_CHECK(-)
  LOWVAR_CHECK(*)
  LOWVAR_CHECK(/)
#undef LOWVAR_CHECK
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ((-x).values()[i], -a.data()[i]);
}

TYPED_TEST(Mixed, AnArrayIsCopiedWhenRecorded) {
  using T = TypeParam;
  const Array<T> a(random_array(2, 3, "a"));
  Array<T> b(random_array(2, 3, "b"));
  Tape<T> tape;
  const Var<T> x = tape.parameter(a);
  const Var<T> y = sum(x * b);
  const Array<T> before = b;
  b.fill(T(0));
  EXPECT_EQ(grad(y, x), before);
}

// ---- Rows and shards of data ----

TEST(Tape, RowsOfDataAreDataOfTheirOwn) {
  const auto a = random_array(5, 3, "a");
  Tape<double> tape;
  const auto rows = tape.data(a, 1, 4);
  EXPECT_EQ(rows.shape(), (Shape{3, 3}));
  for (int r = 0; r < 3; ++r)
    for (int j = 0; j < 3; ++j) EXPECT_EQ(rows.value()(r, j), a(r + 1, j));
  EXPECT_EQ(tape.data(a, 0, 5).value(), a);
  EXPECT_EQ(tape.data(a, 5, 5).shape(), (Shape{0, 3}));
  EXPECT_THROW(tape.data(a, -1, 2), Error);
  EXPECT_THROW(tape.data(a, 3, 2), Error);
  EXPECT_THROW(tape.data(a, 0, 6), Error);
}

TEST(Shards, SumToTheWholeWithTheSameBitsForAnyNumberOfThreads) {
  const std::vector<Array<double>> w{random_array(3, 2, "w"), random_array(1, 2, "b")};
  const int before = omp_get_max_threads();
  for (const int rows : {0, 1, 7, 8, 9, 100}) {
    const auto x = random_array(rows, 3, "x");
    const auto loss = [&](Tape<double>& tape, const std::vector<Var<double>>& p, int begin, int end) {
      return sum(square(tanh(linear(tape.data(x, begin, end), p[0], p[1]))));
    };
    std::vector<ValueAndGrad<double>> results;
    for (const int threads : {1, 2, 3, 7}) {
      omp_set_num_threads(threads);
      results.push_back(sharded_value_and_grad(loss, w, rows, 8));
    }
    for (const auto& each : results) {
      EXPECT_EQ(each.value, results[0].value);
      EXPECT_EQ(each.grad, results[0].grad);
    }
    Tape<double> tape;
    const auto p = tape.parameters(w);
    const auto whole = loss(tape, p, 0, rows);
    const auto g = grad(whole, p);
    EXPECT_NEAR(results[0].value, whole.item(), 1e-13 * whole.item());
    for (std::size_t i = 0; i < w.size(); ++i)
      for (std::size_t j = 0; j < w[i].size(); ++j)
        EXPECT_NEAR(results[0].grad[i].data()[j], g[i].data()[j], 1e-13 * std::max(1.0, whole.item()));
  }
  omp_set_num_threads(before);
}

// ---- A step at rest ----

struct Step {
  Mlp mlp{.sizes = {4, 64, 64, 2}};
  std::vector<Array<double>> theta;
  Array<double> x;

  explicit Step(int rows) : x(random_array(rows, 4, "observations")) {
    Rng rng(0, "init");
    theta = initialise(mlp, rng);
  }
};

/// Calls of operator new in f, the last of five times.
template <class F>
long allocations_of(F&& f) {
  long count = 0;
  for (int i = 0; i < 5; ++i) {
    const long before = allocations;
    f();
    count = allocations - before;
  }
  return count;
}

TEST(Allocations, RecordingAnMlpAllocatesNothing) {
  const Step step(300);
  long forward_alone = -1;
  const long whole = allocations_of([&] {
    Tape<double> tape;
    const auto p = tape.parameters(step.theta);
    const auto x = tape.data(step.x);
    const long before = allocations;
    const auto y = sum(square(forward(step.mlp, p, x)));
    forward_alone = allocations - before;
    ASSERT_TRUE(std::isfinite(y.item()));
  });
  EXPECT_EQ(forward_alone, 0);
  EXPECT_EQ(whole, 1);  // the vector of six parameters
}

TEST(Allocations, AGradientAllocatesItsResults) {
  const auto of = [](int rows) {
    const Step step(rows);
    long of_grad = 0;
    allocations_of([&] {
      Tape<double> tape;
      const auto p = tape.parameters(step.theta);
      const auto y = sum(square(forward(step.mlp, p, tape.data(step.x))));
      const long before = allocations;
      const auto g = grad(y, p);
      of_grad = allocations - before;
      ASSERT_EQ(g.size(), p.size());
    });
    return of_grad;
  };
  EXPECT_EQ(of(1), 7);  // six arrays and their vector
  EXPECT_EQ(of(300), 7);
  EXPECT_LE(of(9000), 40);  // and what a chain of large results is listed in
}

TEST(Allocations, StepsAtRestStayAtRest) {
  const Step step(300);
  const auto pass = [&] {
    Tape<double> tape;
    const auto p = tape.parameters(step.theta);
    const auto y = mean(log_softmax(forward(step.mlp, p, tape.data(step.x))));
    grad(y, p);
  };
  const long at_first = allocations_of(pass);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(allocations_of(pass), at_first);
  EXPECT_EQ(at_first, 8);  // the two above
}

TEST(Allocations, AStepThatKeepsItsResultsAllocatesNothing) {
  const Step step(300);
  std::vector<Array<double>> g;
  for (const auto& each : step.theta) g.push_back(zeros_like(each));
  Tape<double> outer;
  std::vector<Var<double>> p = outer.parameters(step.theta);  // the vector is the caller's, too
  const auto pass = [&] {
    Tape<double> tape;
    for (std::size_t i = 0; i < p.size(); ++i) p[i] = tape.parameter(step.theta[i]);
    grad_into(g, mean(log_softmax(forward(step.mlp, p, tape.data(step.x)))), p);
  };
  EXPECT_EQ(allocations_of(pass), 0);
}

TEST(Tape, GradIntoWritesTheGradientAndRefusesOtherShapes) {
  const auto a = random_array(2, 3, "a"), b = random_array(1, 3, "b");
  Tape<double> tape;
  const auto x = tape.parameter(a), z = tape.parameter(b), unused = tape.parameter(b);
  const auto y = sum(tanh(x * z));
  const auto g = grad(y, {x, z, x, unused});
  std::vector<Array<double>> out{full<double>(2, 3, 7.0), full<double>(1, 3, 7.0), full<double>(2, 3, 7.0),
                                 full<double>(1, 3, 7.0)};
  grad_into(out, y, {x, z, x, unused});
  EXPECT_EQ(out, g);
  EXPECT_EQ(out[3], zeros_like(b));
  expect_mentions(refusal([&] {
                    grad_into(out, y, {z, x, x, unused});
                  }),
                  "the result of x 0 is 2x3, not 1x3");
  expect_mentions(refusal([&] { grad_into(out, y, {x}); }), "needs a result for each of the 1 xs, got 4");
}

TEST(Tape, ResultsAreNotWrittenOverWhatTheyAreTakenAt) {
  std::vector<Array<double>> a{random_array(2, 3, "a"), random_array(2, 3, "b")}, v = a;
  Tape<double> tape;
  const auto p = tape.parameters(borrow(a));
  const auto y = sum(square(p[0] * p[1]));
  expect_mentions(refusal([&] { grad_into(a, y, p); }), "the result of x 0 would be written over x 0");
  EXPECT_THROW(hvp_into(a, y, p, v), Error);
  const auto expected = hvp([](const std::vector<Var<double>>& q) { return sum(square(q[0] * q[1])); }, a, v);
  hvp_into(v, y, p, v);  // over the direction it may
  EXPECT_EQ(v, expected);
}

/// Whether a tape takes a temporary anywhere. Templates, for what they ask may be ill-formed.
template <class A>
concept Lent = requires(A&& a) {
  borrow(std::forward<A>(a));
};

TEST(Tape, WhatIsBorrowedIsNoTemporary) {
  using A = Array<double>;
  static_assert(Lent<const A&> && Lent<const std::vector<A>&> && Lent<std::span<const A>>);
  static_assert(!Lent<A> && !Lent<const A> && !Lent<std::vector<A>>);
}

TEST(Tape, OwnsWhatItIsGiven) {
  const std::vector<Array<double>> w{random_array(3, 3, "w")};
  const Array<double> x = random_array(3, 3, "x"), expected = grad(
                                                       [&](const std::vector<Var<double>>&p) {
                                                         return sum(square(matmul(p[0], p[0])) * x);
                                                       },
                                                       w)[0];
  Tape<double> tape;
  Var<double> p, c, d, e;
  {
    auto w_then = w;
    Array<double> x_then = x;
    p = tape.parameters(w_then)[0];
    c = tape.constant(x_then);
    d = tape.data(x_then);
    e = tape.data(x_then, 1, 3);
    for (double& v : values(x_then)) v = 1e9;
    for (double& v : values(w_then[0])) v = 1e9;
  }
  EXPECT_EQ(tape.parameter(2 * x).value(), Array<double>(2 * x));
  EXPECT_EQ(e.value()(0, 0), x(1, 0));
  EXPECT_EQ(c.value(), d.value());
  EXPECT_EQ(grad(sum(square(matmul(p, p)) * c), p), expected);
}

// A tape reads the array of a parameter, of data, behind a chain that is evaluated late, behind
// stop_gradient.
TEST(Tape, WhatIsBorrowedAndWrittenIsNoticed) {
  for (const int rows : {1, 40'000, 400'000}) {  // the last is hashed in parts, and written as steps write
    Array<float> w = full<float>(rows, 1, 0.5f), x = full<float>(rows, 1, 2.f);
    for (Array<float>* written : {&w, &x})
      for (const bool stopped : {false, true}) {
        Tape<float> tape;
        const auto p = tape.parameter(borrow(w)), d = tape.data(borrow(x));
        const auto y = sum(tanh(p) * (stopped ? stop_gradient(d) : d) * (stopped ? stop_gradient(p) : p));
        const Array<float> before = grad(y, p);
        EXPECT_EQ(grad(y, p), before);
        for (float& v : values(*written)) v *= 1.5f;
        EXPECT_THROW(grad(y, p), Error);
        EXPECT_THROW(grad_graph(y, p), Error);
        std::vector<Array<float>> out{before};
        EXPECT_THROW(hvp_into(out, y, {p}, {before}), Error);
        for (float& v : values(*written)) v /= 1.5f;
        EXPECT_EQ(grad(y, p), before);
      }
  }
  // One number of many.
  Array<double> w = full<double>(150, 150, 0.5);
  Tape<double> tape;
  const auto q = tape.parameter(borrow(w));
  const auto y = sum(square(q));
  for (const std::size_t j : {std::size_t{0}, std::size_t{1}, std::size_t{11'000}, w.size() - 1}) {
    w.data()[j] = std::nextafter(0.5, 1.0);
    EXPECT_THROW(grad(y, q), Error);
    w.data()[j] = 0.5;
  }
  EXPECT_NO_THROW(grad(y, q));
}

TEST(Tape, GradientOfASmallPartCostsThatPart) {
  Tape<double> tape;
  auto v = tape.parameter(full<double>(1, 1, 0.3));
  const auto early = v * 3;
  for (int i = 0; i < 1'000'000; ++i) v = sin(v);
  const auto z = tape.parameter(full<double>(1, 1, 0.3));
  const auto late = z * 2;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(grad(late, z)(0, 0), 2);
    EXPECT_EQ(grad(early * 1, early)(0, 0), 1);
  }
  // A pass over all nodes takes milliseconds; these take microseconds.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(500));
}

TEST(Tape, MemoryIsGivenBackAndEndedVarsAreStillKnown) {
  Var<double> stale;
  {
    Tape<double> tape;
    stale = exp(tape.parameter(full<double>(1000, 1000, 0.5)));
    stale.values();
  }
  release_tape_memory();
  EXPECT_THROW(stale.value(), Error);
  Tape<double> tape;
  EXPECT_EQ(grad(sum(square(tape.parameter(full<double>(1, 1, 3.0)))), std::vector<Var<double>>{}).size(),
            0u);
}

TEST(Tape, ComparisonHasAGradientOfZero) {
  const auto a = full<double>(1, 1, 2.0), d = random_array(3, 1, "d");
  Tape<double> tape;
  const auto x = tape.parameter(a), y = greater(x, 0);
  EXPECT_EQ(grad(y, x), zeros_like(a));
  EXPECT_EQ(grad_graph(y, x).value(), zeros_like(a));
  std::vector<Array<double>> out{full<double>(1, 1, 7.0)};
  hvp_into(out, y, {x}, {a});
  EXPECT_EQ(out[0], zeros_like(a));
  const auto rows = greater(tape.data(d), x);
  const std::vector<int> offset{0, 1, 3};
  EXPECT_EQ(grouped_grad(rows, {x}, std::span<const int>(offset), full<double>(3, 1, 1.0)),
            zeros<double>(2, 1));
  EXPECT_EQ(squared_row_norms(rows, {x}), zeros<double>(3, 1));
}

TEST(Tape, HessianProductsLeaveNothingOnTheTape) {
  const std::vector<Array<double>> x{random_array(3, 3, "W"), random_array(1, 3, "b")};
  const auto observed = random_array(5, 3, "x"), nobody = zeros<double>(0, 3);
  Tape<double> tape;
  const auto p = tape.parameters(x);
  const auto y = sum(square(tanh(linear(tape.data(observed), p[0], p[1]))));
  std::vector<Array<double>> once{zeros_like(x[0]), zeros_like(x[1])}, twice = once;
  hvp_into(once, y, p, x);
  hvp_into(twice, y, p, x);
  EXPECT_EQ(once, twice);
  EXPECT_EQ(square(y).index(), y.index() + 1);
  hvp_into(twice, sum(square(linear(tape.data(nobody), p[0], p[1]))), p, x);
  EXPECT_EQ(twice[0], zeros_like(x[0]));
  expect_mentions(refusal([&] { hvp_into(twice, y, p, {x[0]}); }), "needs a v for each of the 2 xs, got 1");
  expect_mentions(refusal([&] { hvp_into(twice, y, p, {x[1], x[1]}); }), "the v of x 0 is 1x3, not 3x3");
}

// ---- The trap ----

std::string fault(const auto& f) {
  try {
    f();
  } catch (const NumericalFault& e) {
    return e.what();
  }
  return "no fault";
}

TEST(Trap, NamesTheOpThatMadeTheFirstNaNOrInfinity) {
  const auto a = Array<double>{{1, 0, 2}}, bad = Array<double>{{1, std::nan(""), 2}};
  Tape<double> tape(Trap::on);
  const auto x = tape.parameter(a);
  const auto what = fault([&] { exp(1 / x); });
  expect_mentions(what, "divide: the result is inf at row 0, column 1 of 1x3");
  expect_mentions(what, "test_tape.cpp");
  expect_mentions(fault([&] { log(x - 3); }), "log: the result is nan at row 0, column 0");
  expect_mentions(fault([&] { matmul_nt(x * 1e200, x * 1e200); }), "matmul_nt: the result is inf");
  expect_mentions(fault([&] { tape.data(bad); }), "data of the tape is nan at row 0, column 1");
  expect_mentions(fault([&] { tape.parameter(bad); }), "a parameter of the tape is nan");
  expect_mentions(fault([&] { x* bad; }), "an operand is nan at row 0, column 1");
  EXPECT_EQ(fault([&] { sum(exp(x)); }), "no fault");
}

TEST(Trap, NamesTheOpWhoseRuleMadeIt) {
  const auto a = Array<double>{{1, 0, 2}};
  Tape<double> tape(Trap::on);
  const auto x = tape.parameter(a);
  const auto y = sum(exp(sqrt(x)));  // finite, with an infinite slope at 0
  expect_mentions(fault([&] { grad(y, x); }),
                  "sqrt: backward, the cotangent of operand 0 is inf at row 0, column 1");
  expect_mentions(fault([&] { grad_graph(y, x); }), "sqrt: backward, in the cotangent of operand 0");
  const std::vector<int> offset{0, 1};
  const auto d = tape.data(a);
  expect_mentions(fault([&] {
                    grouped_grad(sum_rows(sqrt(x * d)), {x}, std::span<const int>(offset),
                                 full<double>(1, 1, 1.0));
                  }),
                  "sqrt: backward");
  expect_mentions(fault([&] { squared_row_norms(sum_rows(sqrt(x * d)), {x}); }), "sqrt: backward");
  const auto W = full<double>(3, 1, 1e200), b = zeros<double>(1, 1);
  const auto weight = tape.parameter(W), bias = tape.parameter(b);
  std::vector<Array<double>> out{W, b};
  expect_mentions(fault([&] {
                    hvp_into(out, sum(linear(d, weight, bias)), {weight, bias}, {W * 1e108, b});
                  }),
                  "linear: in the derivative along v, linear: the result is inf");
}

// Minus infinity is the logit of what cannot be chosen: it passes where it was before, and where it comes
// from.
TEST(Trap, LetsMasksPass) {
  constexpr double never = -std::numeric_limits<double>::infinity();
  const Array<double> a = {{0.5, 7, -0.3}}, given = {{0.5, never, -0.3}}, legal = {{1, 0, 1}};
  const std::vector<int> chosen{0};
  Tape<double> tape(Trap::on);
  const auto x = tape.parameter(a), z = tape.parameter(given);
  for (const Var<double>& logits : {where(tape.constant(legal), x, never), z}) {
    const auto log_p = log_softmax(logits);
    EXPECT_EQ(log_p.values()[1], never);
    const auto y = sum(entropy(log_p) + kl(log_p, log_p) + pick(log_p, chosen));
    const auto g = grad(y, logits), second = grad(sum(square(grad_graph(y, logits))), logits);
    for (const auto* each : {&g, &second}) {
      EXPECT_EQ((*each)(0, 1), 0);
      EXPECT_NE((*each)(0, 0), 0);
      EXPECT_TRUE(std::isfinite((*each)(0, 0)));
    }
  }
  EXPECT_NE(fault([&] { log(x * 0); }), "no fault");  // made of finite numbers
  EXPECT_NE(fault([&] { tape.data(-given); }), "no fault");
  EXPECT_NE(fault([&] { z * 0; }), "no fault");
  EXPECT_NE(fault([&] { grad(sum(z * x), x); }), "no fault");
}

TEST(Trap, IsOffUnlessAskedFor) {
  const auto a = Array<double>{{1, 0, 2}};
  { Tape<double> trapped(Trap::on); }
  Tape<double> tape;  // of the same record
  const auto x = tape.parameter(a);
  EXPECT_EQ(grad(sum(sqrt(x)), x)(0, 1), std::numeric_limits<double>::infinity());
}

}  // namespace
}  // namespace lowvar
