// Grouped gradients are a loop over groups with plain gradients of each group's rows, on every way a
// parameter may meet samples; every other way is refused by name.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <tuple>

#include "autograd/autograd.h"
#include "nn/distributions.h"
#include "nn/mlp.h"

namespace lowvar {
namespace {

constexpr int p =
    4;  // features, hidden units, actions and states: as many as the rows of one of the sizes below

template <class T>
Array<T> random_array(int rows, int cols, std::string_view name, std::uint32_t index = 0) {
  Rng rng(11, name, index);
  Array<T> out = zeros<T>(rows, cols);
  for (T& v : values(out)) v = static_cast<T>(0.7 * rng.normal());
  return out;
}

/// Rows of samples. A slice of them is samples too.
template <class T>
struct Samples {
  Array<T> x;       // [n x p]
  Array<T> target;  // [n x p]
  std::vector<int> state, action;

  static Samples random(int n) {
    Samples s{random_array<T>(n, p, "x"), random_array<T>(n, p, "target"), {}, {}};
    Rng rng(12, "numbers");
    for (int r = 0; r < n; ++r) {
      s.state.push_back(static_cast<int>(rng.bits() % p));
      s.action.push_back(static_cast<int>(rng.bits() % p));
    }
    return s;
  }

  Samples slice(int begin, int end) const {
    Samples s{zeros<T>(end - begin, p), zeros<T>(end - begin, p), {}, {}};
    for (int r = begin; r < end; ++r) {
      std::copy_n(row(x, r).begin(), p, row(s.x, r - begin).begin());
      std::copy_n(row(target, r).begin(), p, row(s.target, r - begin).begin());
      s.state.push_back(state[static_cast<std::size_t>(r)]);
      s.action.push_back(action[static_cast<std::size_t>(r)]);
    }
    return s;
  }
};

/// One number a row of samples, [n x 1], of parameters of the given shapes.
template <class T>
struct Model {
  const char* name;
  std::vector<Shape> shapes;
  std::function<Var<T>(const std::vector<Var<T>>& theta, Var<T> x, const Samples<T>&)> y;
};

template <class T>
std::vector<Model<T>> models() {
  using Theta = const std::vector<Var<T>>&;
  using S = const Samples<T>&;
  const Shape square_matrix{p, p}, one_row{1, p}, number{1, 1};
  return {
      {"linear with a bias",
       {square_matrix, one_row},
       [](Theta w, Var<T> x, S) { return sum_rows(linear(x, w[0], w[1])); }},
      {"mlp and categorical",
       {square_matrix, one_row, square_matrix, one_row},
       [](Theta w, Var<T> x, S s) {
         const auto logits = forward(Mlp{.sizes = {p, p, p}}, w, x);
         return Categorical<T>::from_logits(logits).log_prob(s.action);
       }},
      {"one weight in two layers",
       {square_matrix, one_row},
       [](Theta w, Var<T> x, S s) {
         const auto h = tanh(linear(x, w[0], w[1]));
         return sum_rows(square(linear(h, w[0], w[1]) - s.target));
       }},
      {"one weight, then its transpose",
       {square_matrix},
       [](Theta w, Var<T> x, S s) {
         return sum_rows(square(matmul_nt(tanh(matmul(x, w[0])), w[0]) - s.target));
       }},
      {"gaussian with a shared log_std",
       {square_matrix, one_row, one_row},
       [](Theta w, Var<T> x, S s) {
         return DiagGaussian<T>{linear(x, w[0], w[1]), w[2]}.log_prob(s.target);
       }},
      {"gaussian with a log_std of the state",
       {square_matrix, one_row, square_matrix, one_row},
       [](Theta w, Var<T> x, S s) {
         return DiagGaussian<T>{linear(x, w[0], w[1]), linear(x, w[2], w[3])}.log_prob(s.target);
       }},
      {"gaussian with a bonus of entropy",
       {square_matrix, one_row, one_row},
       [](Theta w, Var<T> x, S s) {
         const DiagGaussian<T> pi{linear(x, w[0], w[1]), w[2]};
         return pi.log_prob(s.target) + T(0.1) * pi.entropy();
       }},
      {"a table of logits",
       {square_matrix},
       [](Theta w, Var<T>, S s) {
         return Categorical<T>::from_logits(gather(w[0], s.state)).log_prob(s.action);
       }},
      {"a table of logits, with a bonus of entropy",
       {square_matrix},
       [](Theta w, Var<T>, S s) {
         const auto pi = Categorical<T>::from_logits(gather(w[0], s.state));
         return pi.log_prob(s.action) + T(0.1) * pi.entropy();
       }},
      {"a table added to features",
       {square_matrix, square_matrix},
       [](Theta w, Var<T> x, S s) { return sum_rows(tanh(matmul(x, w[0]) + gather(w[1], s.state))); }},
      {"a function of a matrix, of the parameters alone",
       {square_matrix, one_row},
       [](Theta v, Var<T> x, S) { return sum_rows(tanh(linear(x, exp(v[0]) * v[1], tanh(v[1])))); }},
      {"a product of parameters alone",
       {square_matrix, square_matrix},
       [](Theta v, Var<T> x, S) { return sum_rows(tanh(matmul(x, matmul_tn(v[0], v[1])))); }},
      {"a norm of the parameters alone",
       {square_matrix},
       [](Theta v, Var<T> x, S) { return sum_rows(tanh(matmul(x, v[0] / sqrt(sum(square(v[0])))))); }},
      {"columns in order, again and summed",
       {square_matrix},
       [](Theta w, Var<T> x, S) {
         const auto h = matmul(x, w[0]);
         const std::vector<int> twice{2, 2};
         return sum_rows(top_k(h, 2).values * gather_columns(cumulative_sum(h), twice)) +
                sum_rows(square(cumulative_product(h)));
       }},
      {"a temperature",
       {square_matrix, one_row, number},
       [](Theta w, Var<T> x, S s) {
         return Categorical<T>::from_logits(linear(x, w[0], w[1]) * exp(w[2])).log_prob(s.action);
       }},
      {"a number and a row, in every elementwise place",
       {number, one_row, square_matrix},
       [](Theta w, Var<T> x, S) {
         const auto h = matmul(x, w[2]);
         const auto each =
             (w[1] - h) * w[0] + w[0] / (T(2) + square(h)) + maximum(h, w[1]) + minimum(h, w[0]);
         return sum_rows(each * w[1]) * w[0];
       }},
      {"matmul and matmul_nt",
       {square_matrix, square_matrix},
       [](Theta w, Var<T> x, S) { return sum_rows(tanh(matmul_nt(tanh(matmul(x, w[0])), w[1]))); }},
      {"a broadcast column",
       {square_matrix},
       [](Theta w, Var<T> x, S) {
         const auto h = matmul(x, w[0]);
         return sum_rows(square(h - broadcast_to(sum_rows(h), h.shape())));
       }},
      {"pick and place",
       {square_matrix},
       [](Theta w, Var<T> x, S s) {
         const auto h = matmul(x, w[0]);
         return sum_rows(tanh(place(pick(h, s.action), s.state, p)) * h);
       }},
      {"rows, parts and their like",
       {square_matrix, square_matrix},
       [](Theta w, Var<T> x, S) {
         const auto h = matmul(x, w[0]);
         const auto both = concatenate_columns<T>({column_slice(h, 1, p), softplus(column_slice(h, 0, 1))});
         return logsumexp(matmul(both, transpose(w[1]))) + max_rows(h) + sum_rows(row_slice(w[1], 1, 2) * h);
       }},
      {"a linear system of parameters",
       {square_matrix},
       [](Theta w, Var<T> x, S) {
         const auto four = broadcast_to(sum(w[0]) * 0 + 4, {p, 1});
         const auto A = w[0] + place(four, std::vector<int>{0, 1, 2, 3}, p);
         return sum_rows(tanh(matmul(x, solve(A, w[0])))) * log_det(A);
       }},
      {"a parameter that is not used",
       {square_matrix, one_row},
       [](Theta w, Var<T> x, S) { return sum_rows(matmul(x, w[0])); }},
  };
}

/// One line a group and weighting, by plain gradients of the group's own rows.
template <class T>
std::vector<std::vector<T>> by_loop(const Model<T>& model, const std::vector<Array<T>>& theta,
                                    const Samples<T>& samples, std::span<const int> offset,
                                    const Array<T>& weights) {
  std::vector<std::vector<T>> out;
  for (std::size_t g = 0; g + 1 < offset.size(); ++g) {
    const Samples<T> slice = samples.slice(offset[g], offset[g + 1]);
    for (int k = 0; k < shape(weights).cols; ++k) {
      Array<T> w = zeros<T>(offset[g + 1] - offset[g], 1);
      for (int r = offset[g]; r < offset[g + 1]; ++r) w(r - offset[g], 0) = weights(r, k);
      Tape<T> tape;
      const auto parameters = tape.parameters(theta);
      auto& line = out.emplace_back();
      if (w.size() == 0) {
        for (const auto& x : theta) line.insert(line.end(), x.size(), T(0));
        continue;
      }
      for (const auto& each : grad(sum(model.y(parameters, tape.data(slice.x), slice) * w), parameters))
        line.insert(line.end(), each.begin(), each.end());
    }
  }
  return out;
}

template <class T>
class GroupedGrad : public testing::Test {
 protected:
  static constexpr double tolerance = sizeof(T) == 8 ? 1e-12 : 1e-6;

  static void expect_agreement(const Model<T>& model, int n, const std::vector<int>& offset, int K) {
    std::vector<Array<T>> theta;
    for (const Shape s : model.shapes)
      theta.push_back(random_array<T>(s.rows, s.cols, model.name, static_cast<std::uint32_t>(theta.size())));
    const auto samples = Samples<T>::random(n);
    const auto weights = random_array<T>(n, K, "weights");
    const auto expected = by_loop(model, theta, samples, offset, weights);

    Tape<T> tape;
    const auto parameters = tape.parameters(theta);
    const auto y = model.y(parameters, tape.data(samples.x), samples);
    Array<T> actual;
    try {
      actual = grouped_grad(y, parameters, std::span<const int>(offset), weights);
    } catch (const Error& e) {
      FAIL() << model.name << ", " << n << " rows: " << e.what();
    }
    ASSERT_EQ(shape(actual).rows, static_cast<int>(expected.size()));
    double scale = 0, off = 0;  // of the whole table: a line by itself may be all cancellation
    for (std::size_t j = 0; j < expected.size(); ++j) {
      const auto got = row(actual, static_cast<int>(j));
      ASSERT_EQ(got.size(), expected[j].size());
      for (std::size_t i = 0; i < got.size(); ++i) {
        scale = std::max(scale, std::abs(static_cast<double>(expected[j][i])));
        off = std::max(off, std::abs(static_cast<double>(got[i]) - static_cast<double>(expected[j][i])));
      }
    }
    EXPECT_GT(scale, 0.0) << model.name;
    EXPECT_LE(off, tolerance * scale)
        << model.name << ", " << n << " rows, " << offset.size() - 1 << " groups, " << K << " weightings";
  }
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(GroupedGrad, Scalars);

TYPED_TEST(GroupedGrad, EqualsALoopOverGroups) {
  for (const auto& model : models<TypeParam>())
    for (const int n : {1, 2, p, 7, 40}) {
      std::vector<int> rows(static_cast<std::size_t>(n) + 1);
      std::iota(rows.begin(), rows.end(), 0);
      const std::vector<std::vector<int>> cuts = {
          {0, n},                              // one group
          rows,                                // groups of one row
          {0, 0, n / 2, n / 2, n / 2, n, n}};  // empty ones among others
      for (const auto& offset : cuts)
        for (const int K : {1, 3}) this->expect_agreement(model, n, offset, K);
    }
}

TYPED_TEST(GroupedGrad, WeightingsShareNothingButThePass) {
  using T = TypeParam;
  const auto model = models<T>()[1];
  std::vector<Array<T>> theta;
  for (const Shape s : model.shapes) theta.push_back(random_array<T>(s.rows, s.cols, "theta"));
  const auto samples = Samples<T>::random(7);
  const auto weights = random_array<T>(7, 3, "weights");
  const std::vector<int> offset{0, 2, 7};
  Tape<T> tape;
  const auto parameters = tape.parameters(theta);
  const auto y = model.y(parameters, tape.data(samples.x), samples);
  const Array<T> all = grouped_grad(y, parameters, std::span<const int>(offset), weights);
  for (int k = 0; k < 3; ++k) {
    Array<T> one = zeros<T>(7, 1);
    for (int r = 0; r < 7; ++r) one(r, 0) = weights(r, k);
    const Array<T> alone = grouped_grad(y, parameters, std::span<const int>(offset), one);
    for (int g = 0; g < 2; ++g)
      for (std::size_t i = 0; i < alone.shape(1); ++i) EXPECT_EQ(all(g * 3 + k, i), alone(g, i));
  }
}

TYPED_TEST(GroupedGrad, WritesIntoAnArrayThatHeldSomethingElse) {
  using T = TypeParam;
  for (const auto& model : models<T>()) {
    std::vector<Array<T>> theta;
    for (const Shape s : model.shapes) theta.push_back(random_array<T>(s.rows, s.cols, "theta"));
    const auto samples = Samples<T>::random(7);
    const auto weights = random_array<T>(7, 2, "weights");
    const std::vector<int> offset{0, 2, 2, 7};
    Tape<T> tape;
    const auto parameters = tape.parameters(theta);
    const auto y = model.y(parameters, tape.data(samples.x), samples);
    auto twice = parameters;  // and each parameter may be asked for twice
    twice.insert(twice.end(), parameters.begin(), parameters.end());
    const Array<T> once = grouped_grad(y, parameters, std::span<const int>(offset), weights);
    const int d = shape(once).cols;
    Array<T> out = full<T>(6, 2 * d, std::numeric_limits<T>::quiet_NaN());
    grouped_grad_into(values(out), y, twice, std::span<const int>(offset), weights);
    for (int j = 0; j < 6; ++j)
      for (int i = 0; i < 2 * d; ++i) ASSERT_EQ(out(j, i), once(j, i % d)) << model.name;
    Array<T> wrong = zeros<T>(6, d);
    EXPECT_THROW(grouped_grad_into(values(wrong), y, twice, std::span<const int>(offset), weights), Error);
  }
}

TYPED_TEST(GroupedGrad, ReachesWhatIsComputedFromParameters) {
  using T = TypeParam;
  const Array<T> V = random_array<T>(p, p, "V");
  const auto samples = Samples<T>::random(7);
  const auto weights = random_array<T>(7, 1, "weights");
  const std::vector<int> offset{0, 3, 7};
  Tape<T> tape;
  const auto v = tape.parameter(V);
  const auto W = exp(v);
  const auto y = sum_rows(tanh(matmul(tape.data(samples.x), W)));
  const Array<T> both = grouped_grad(y, {W, v}, std::span<const int>(offset), weights);
  for (int g = 0; g < 2; ++g)
    for (int i = 0; i < p * p; ++i)
      EXPECT_NEAR(both(g, p * p + i), both(g, i) * W.values()[static_cast<std::size_t>(i)],
                  8 * this->tolerance);
}

TYPED_TEST(GroupedGrad, NoRowsNoGroups) {
  using T = TypeParam;
  const Array<T> W = random_array<T>(p, p, "W"), none = zeros<T>(0, p);
  Tape<T> tape;
  const auto w = tape.parameter(W);
  const auto y = sum_rows(tanh(matmul(tape.data(none), w)));
  const std::vector<int> no_group{0}, empty_groups{0, 0, 0};
  EXPECT_EQ(shape(grouped_grad(y, {w}, std::span<const int>(no_group), zeros<T>(0, 1))), (Shape{0, p * p}));
  EXPECT_EQ(grouped_grad(y, {w}, std::span<const int>(empty_groups), zeros<T>(0, 1)), zeros<T>(2, p * p));
}

TYPED_TEST(GroupedGrad, OfALargeResultAreThoseOfItsParts) {
  using T = TypeParam;
  const int rows = 1000, hidden = 48;  // more than 4 MB at one row a group, and half of them too
  const Mlp mlp{.sizes = {p, hidden, hidden, p}};
  std::vector<Array<T>> theta;
  for (int l = 0; l < 3; ++l) {
    const int in = mlp.sizes[static_cast<std::size_t>(l)], out = mlp.sizes[static_cast<std::size_t>(l) + 1];
    theta.push_back(random_array<T>(in, out, "W", static_cast<std::uint32_t>(l)));
    theta.push_back(random_array<T>(1, out, "b", static_cast<std::uint32_t>(l)));
  }
  theta.push_back(random_array<T>(1, p, "scale"));
  const auto samples = Samples<T>::random(rows);
  const auto weights = random_array<T>(rows, 1, "weights");
  using Theta = const std::vector<Var<T>>&;
  const std::vector<std::function<Var<T>(Theta, Var<T>)>> models = {
      [&](Theta w, Var<T> x) {  // a parameter that is not used: not all of a row is covered
        return sum_rows(square(forward(mlp, {w.begin(), w.begin() + 6}, x)));
      },
      [&](Theta w, Var<T> x) {  // one used twice
        return sum_rows(square(forward(mlp, {w.begin(), w.begin() + 6}, x * w[6])) * w[6]);
      },
      [&](Theta w, Var<T> x) {  // one that meets the rows and other parameters as well
        return sum_rows(square(forward(mlp, {w.begin(), w.begin() + 6}, x * w[6]))) *
               (sum(exp(w[6])) + sum(square(w[1])));
      }};
  for (const auto& model : models) {
    const auto of = [&](int begin, int end) {
      Tape<T> tape;
      const auto parameters = tape.parameters(theta);
      std::vector<int> offset;
      for (int r = begin; r <= end; ++r) offset.push_back(r - begin);
      offset.insert(offset.begin() + 1, 0);  // and a group without rows
      Array<T> part = zeros<T>(end - begin, 1);
      for (int r = begin; r < end; ++r) part(r - begin, 0) = weights(r, 0);
      return grouped_grad(model(parameters, tape.data(samples.x, begin, end)), parameters,
                          std::span<const int>(offset), part);
    };
    const Array<T> whole = of(0, rows);
    ASSERT_GT(whole.size() * sizeof(T), 4'000'000U);
    for (const int begin : {0, 300, 980}) {
      const Array<T> part = of(begin, begin + 20);
      for (int r = 0; r < 20; ++r)
        for (std::size_t i = 0; i < part.shape(1); ++i)
          ASSERT_NEAR(whole(begin + r + 1, i), part(r + 1, i),
                      1000 * this->tolerance * std::max(T(1), std::abs(part(r + 1, i))));
    }
    for (std::size_t i = 0; i < whole.shape(1); ++i) ASSERT_EQ(whole(0, i), 0);

    // In two shards that meet within a cache line, inside an array around which nothing is written.
    std::vector<int> offset{0, 0};
    for (int r = 1; r <= rows; ++r) offset.push_back(r);
    const auto y = [&](Tape<T>& tape, const auto& w, int begin, int end) {
      return model(w, tape.data(samples.x, begin, end));
    };
    for (const std::size_t before : {1, 2, 5})
      for (const int threads : {1, 2}) {
        omp_set_num_threads(threads);
        std::vector<T> around(whole.size() + 2 * before, T(-7));
        sharded_grouped_grad_into(std::span(around).subspan(before, whole.size()), y, theta,
                                  std::span<const int>(offset), weights, rows / 2);
        for (int r = 0; r <= rows; ++r) {
          T size = 1;  // of the row: sharded products round differently
          for (const T each : row(whole, r)) size = std::max(size, std::abs(each));
          const std::size_t at = before + static_cast<std::size_t>(r) * whole.shape(1);
          for (std::size_t i = 0; i < whole.shape(1); ++i)
            ASSERT_NEAR(around[at + i], whole(r, i), 1000 * this->tolerance * size);
        }
        for (std::size_t i = 0; i < before; ++i) {
          ASSERT_EQ(around[i], -7);
          ASSERT_EQ(around[before + whole.size() + i], -7);
        }
      }
  }
  omp_set_num_threads(omp_get_num_procs());
}

TYPED_TEST(GroupedGrad, InShardsIsThatOfAllRowsAndTheSameForAnyNumberOfThreads) {
  using T = TypeParam;
  constexpr int n = 23;
  const std::vector<int> offset{0, 0, 1, 2, 9, 9, 10, 17, 22, n, n};
  for (const auto& model : models<T>()) {
    std::vector<Array<T>> theta;
    for (const Shape s : model.shapes) theta.push_back(random_array<T>(s.rows, s.cols, "theta"));
    const auto samples = Samples<T>::random(n);
    const auto weights = random_array<T>(n, 2, "weights");
    const auto y = [&](Tape<T>& tape, const std::vector<Var<T>>& w, int begin, int end) {
      return model.y(w, tape.data(samples.x, begin, end), samples.slice(begin, end));
    };
    Tape<T> tape;
    const auto parameters = tape.parameters(theta);
    const Array<T> whole =
        grouped_grad(y(tape, parameters, 0, n), parameters, std::span<const int>(offset), weights);
    Array<T> first;
    for (const int threads : {1, 2, 3}) {
      omp_set_num_threads(threads);
      Array<T> parts = full<T>(shape(whole).rows, shape(whole).cols, std::numeric_limits<T>::quiet_NaN());
      sharded_grouped_grad_into(values(parts), y, theta, std::span<const int>(offset), weights, 3);
      if (threads == 1) first = parts;
      ASSERT_EQ(parts, first) << model.name << ", " << threads << " threads";
    }
    for (std::size_t i = 0; i < whole.size(); ++i)
      ASSERT_NEAR(first.data()[i], whole.data()[i], 8 * this->tolerance) << model.name;
  }
  omp_set_num_threads(omp_get_num_procs());
}

// ---- Norms of the rows' gradients ----

TYPED_TEST(GroupedGrad, SquaredRowNormsAreThoseOfTheRowsOrRefused) {
  using T = TypeParam;
  int right = 0, refused = 0;
  for (const auto& model : models<T>()) {
    std::vector<Array<T>> theta;
    for (const Shape s : model.shapes)
      theta.push_back(random_array<T>(s.rows, s.cols, model.name, static_cast<std::uint32_t>(theta.size())));
    const auto samples = Samples<T>::random(7);
    std::vector<int> rows(8);
    std::iota(rows.begin(), rows.end(), 0);
    Tape<T> tape;
    const auto parameters = tape.parameters(theta);
    const auto y = model.y(parameters, tape.data(samples.x), samples);
    const Array<T> g = grouped_grad(y, parameters, std::span<const int>(rows), full<T>(7, 1, T(1)));
    try {
      const Array<T> norms = squared_row_norms(y, parameters);
      ++right;
      for (int r = 0; r < 7; ++r) {
        T expected = 0;
        for (const T each : row(g, r)) expected += each * each;
        EXPECT_NEAR(norms(r, 0), expected, 8 * this->tolerance * std::max(T(1), expected)) << model.name;
      }
    } catch (const Error& e) {
      ++refused;
      EXPECT_NE(std::string(e.what()).find("needs each parameter to meet the rows itself, and once"),
                std::string::npos)
          << e.what();
    }
  }
  EXPECT_GE(right, 8);
  EXPECT_GE(refused, 5);  // a weight in two layers, functions of parameters, ...
}

// ---- Rows that meet inside groups ----

// Discounted sums of a network's outputs, in the groups or in parts of them, weighted row by row.
TYPED_TEST(GroupedGrad, OfRowsThatMeetInsideGroups) {
  using T = TypeParam;
  const int n = 7;
  const Array<T> W = random_array<T>(p, p, "W"), x = random_array<T>(n, p, "x"),
                 weights = random_array<T>(n, 3, "weights");
  const std::vector<int> offset{0, 2, 2, 6, n}, finer{0, 1, 2, 4, 6, n};
  for (const auto& segments : {offset, finer}) {
    const auto loss = [&](Tape<T>& tape, Var<T> w, int k) {
      const auto y = tanh(discounted_sum(sum_rows(tanh(matmul(tape.data(x), w))), T(0.9), segments));
      return k < 0 ? y : y * tape.data(weights, 0, n);
    };
    Tape<T> tape;
    const auto w = tape.parameter(W);
    const auto y = loss(tape, w, -1);
    const Array<T> g = grouped_grad(y, {w}, std::span<const int>(offset), weights);
    ASSERT_EQ(shape(g), (Shape{4 * 3, p * p}));
    for (int group = 0; group < 4; ++group)
      for (int k = 0; k < 3; ++k) {
        Array<T> only = zeros<T>(n, 1);
        for (int r = offset[group]; r < offset[group + 1]; ++r) only(r, 0) = weights(r, k);
        const Array<T> expected = grad(sum(y * tape.constant(only)), w);
        for (int j = 0; j < p * p; ++j)
          EXPECT_NEAR(g(group * 3 + k, j), expected.data()[j], sizeof(T) == 4 ? 1e-5 : 1e-13);
      }
  }
  // Groups that cut a segment are not independent.
  Tape<T> tape;
  const auto w = tape.parameter(W);
  const auto y = discounted_sum(sum_rows(matmul(tape.data(x), w)), T(0.9), offset);
  EXPECT_THROW(grouped_grad(y, {w}, std::span<const int>(finer), weights), Error);
}

/// Groups of segments: a number for each segment (a mean, a maximum), and for each row (what a softmax gives
/// it).
TYPED_TEST(GroupedGrad, SegmentsStayApart) {
  using T = TypeParam;
  const std::vector<int> segments{0, 2, 3, 3, 7, 9}, of_rows{0, 3, 7, 9}, of_segments{0, 3, 4, 5};
  const std::vector<int> filled{0, 2, 3, 7, 9}, of_filled{0, 2, 3, 4};
  const int n = 9;
  const auto W = random_array<T>(p, p, "W"), x = random_array<T>(n, p, "x"),
             noise = random_array<T>(n, 2, "weights");
  using Y = std::function<Var<T>(Var<T>)>;
  const std::vector<std::tuple<const char*, std::vector<int>, Y>> cases = {
      {"sum", of_segments, [&](Var<T> h) { return tanh(segment_sum(sum_rows(h), segments)); }},
      {"mean", of_filled, [&](Var<T> h) { return tanh(segment_mean(sum_rows(square(h)), filled)); }},
      {"max", of_filled, [&](Var<T> h) { return sum_rows(square(segment_max(h, filled))); }},
      {"softmax", of_rows, [&](Var<T> h) { return sum_rows(segment_softmax(h, segments) * h); }},
      {"softmax over groups of columns", of_rows, [&](Var<T> h) { return sum_rows(softmax(h, 2) * h); }},
      {"normalised", of_rows,
       [&](Var<T> h) {
         const auto centred = h - spread(segment_mean(h, filled), filled);
         return sum_rows(centred / sqrt(spread(segment_mean(square(centred), filled), filled) + T(1)));
       }},
  };
  for (const auto& [name, offset, y_of] : cases) {
    Tape<T> tape;
    const auto w = tape.parameter(W);
    const auto y = y_of(matmul(tape.data(x), w));
    Array<T> weights = zeros<T>(y.rows(), 2);
    std::copy_n(noise.data(), weights.size(), weights.data());
    const auto g = grouped_grad(y, {w}, std::span<const int>(offset), weights);
    for (std::size_t group = 0; group + 1 < offset.size(); ++group)
      for (std::size_t k = 0; k < 2; ++k) {
        Array<T> only = zeros<T>(y.rows(), 1);
        for (int r = offset[group]; r < offset[group + 1]; ++r) only(r, 0) = weights(r, k);
        const Array<T> expected = grad(sum(y * tape.constant(only)), w);
        for (int j = 0; j < p * p; ++j)
          EXPECT_NEAR(g(group * 2 + k, j), expected.data()[j], sizeof(T) == 4 ? 2e-5 : 1e-13) << name;
      }
  }
  Tape<T> tape;  // a group that cuts a segment
  const auto w = tape.parameter(W);
  const auto y = sum_rows(segment_softmax(matmul(tape.data(x), w), segments));
  const std::vector<int> cut{0, 4, 9};
  EXPECT_THROW(grouped_grad(y, {w}, std::span<const int>(cut), noise), Error);
}

TYPED_TEST(GroupedGrad, OneRowIsAsManyAre) {
  using T = TypeParam;
  const Array<T> theta = random_array<T>(1, p, "theta"), table = random_array<T>(5, p, "table");
  for (const int n : {1, 2, 3}) {
    const Array<T> x = random_array<T>(n, p, "x"), weights = random_array<T>(n, 2, "weights");
    std::vector<int> offset(static_cast<std::size_t>(n) + 1), state(static_cast<std::size_t>(n), 4),
        action(state.size(), 3);
    std::iota(offset.begin(), offset.end(), 0);
    const std::vector<std::function<Var<T>(Tape<T>&, Var<T>, Var<T>)>> losses{
        [&](Tape<T>&, Var<T> t, Var<T>) { return sum_rows(x * t); },
        [&](Tape<T>&, Var<T> t, Var<T>) { return sum_rows(exp(t) * x); },
        [&](Tape<T>&, Var<T>, Var<T> s) { return pick(log_softmax(gather(s, state)), action); },
        [&](Tape<T>& tape, Var<T> t, Var<T>) { return sum_rows(tanh(tape.data(x) + t)); }};
    for (const auto& loss : losses) {
      Tape<T> tape;
      const auto t = tape.parameter(theta), s = tape.parameter(table);
      const auto y = loss(tape, t, s);
      const Array<T> g = grouped_grad(y, {t, s}, std::span<const int>(offset), weights);
      for (int r = 0; r < n; ++r)
        for (int k = 0; k < 2; ++k) {
          Array<T> only = zeros<T>(n, 1);
          only(r, 0) = weights(r, k);
          const auto expected = grad(sum(y * tape.constant(only)), {t, s});
          for (int j = 0; j < p; ++j) EXPECT_NEAR(g(2 * r + k, j), expected[0].data()[j], 1e-5);
          for (int j = 0; j < 5 * p; ++j) EXPECT_NEAR(g(2 * r + k, p + j), expected[1].data()[j], 1e-5);
        }
    }
  }
  // Of one sample whose loss looks at no data, the gradient is the loss's.
  Tape<T> tape;
  const auto t = tape.parameter(theta);
  const auto y = sum(square(softmax(t)));
  const std::vector<int> offset{0, 0, 1};
  const Array<T> g = grouped_grad(y, {t}, std::span<const int>(offset), full<T>(1, 1, T(2)));
  const Array<T> expected = grad(y, t);
  for (int j = 0; j < p; ++j) {
    EXPECT_EQ(g(0, j), 0);
    EXPECT_NEAR(g(1, j), 2 * expected(0, j), 1e-6);
  }
}

// Arrays and gathered rows that are not as many as the samples belong to the parameters.
TYPED_TEST(GroupedGrad, RowsOfParametersAreNotSamples) {
  using T = TypeParam;
  const int n = 6;
  const Array<T> W = random_array<T>(p, p, "W"), C = random_array<T>(p, p, "C"),
                 x = random_array<T>(n, p, "x");
  const std::vector<int> order{2, 0, 1, 3};
  Tape<T> tape;
  const auto w = tape.parameter(W);
  const auto y = sum_rows(matmul(tape.data(x), gather(w * C, order)));
  std::vector<int> offset(n + 1);
  std::iota(offset.begin(), offset.end(), 0);
  const Array<T> g = grouped_grad(y, {w}, std::span<const int>(offset), full<T>(n, 1, T(1)));
  for (int r = 0; r < n; ++r) {
    Array<T> only = zeros<T>(n, 1);
    only(r, 0) = 1;
    const Array<T> expected = grad(sum(y * tape.constant(only)), w);
    for (int j = 0; j < p * p; ++j) EXPECT_NEAR(g(r, j), expected.data()[j], 1e-5);
  }
}

// ---- Refusals: with as many rows as features, no shape gives the mistake away ----

class Refused : public testing::Test {
 protected:
  /// The message with which y(w, x) is refused, for p rows of p features.
  std::string refusal(const std::function<Var<double>(Var<double> w, Var<double> x)>& y,
                      const std::vector<int>& offset = {0, 1, p}, int weight_rows = p) {
    Tape<double> tape;
    const auto w = tape.parameter(W_);
    const auto x = tape.data(x_);
    try {
      grouped_grad(y(w, x), {w}, std::span<const int>(offset), full<double>(weight_rows, 1, 1.0));
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("test_grouped_grad.cpp"), std::string::npos) << e.what();
      return e.what();
    }
    return "no error";
  }
  void expect_refusal(const char* part, const std::function<Var<double>(Var<double>, Var<double>)>& y) {
    const std::string what = refusal(y);
    EXPECT_NE(what.find(part), std::string::npos) << what;
  }

  const Array<double> W_ = random_array<double>(p, p, "W"), x_ = random_array<double>(p, p, "x");
  const std::vector<int> order_{1, 0, 3, 2};
};

TEST_F(Refused, ParameterWithARowForEachSample) {
  expect_refusal("multiply: a parameter of shape 4x4 meets 4 rows of samples as operand 0",
                 [](auto w, auto x) { return sum_rows(w * x); });
  expect_refusal("subtract: a parameter of shape 4x4 meets 4 rows of samples as operand 1",
                 [](auto w, auto x) { return sum_rows(square(x - w)); });
  expect_refusal("add: a parameter of shape 4x1 meets",
                 [](auto w, auto x) { return sum_rows(x) + sum_rows(w); });
}

TEST_F(Refused, ProductsThatMixRows) {
  expect_refusal("matmul_tn: operand 0 mixes the rows of samples", [](auto w, auto x) {
    const auto h = matmul(x, w);
    return sum_rows(matmul_tn(h, h));
  });
  expect_refusal("matmul_tn: a parameter of shape 4x4 meets",
                 [](auto w, auto x) { return sum_rows(matmul_tn(x, w)); });
  expect_refusal("matmul_tn: a parameter of shape 4x4 meets",
                 [](auto w, auto x) { return sum_rows(matmul_tn(w, x)); });
  expect_refusal("matmul: a parameter of shape 4x4 meets 4 rows of samples as operand 0",
                 [](auto w, auto x) { return sum_rows(matmul(w, x)); });
  expect_refusal("matmul: operand 1 mixes the rows of samples",
                 [](auto w, auto x) { return sum_rows(matmul(x, tanh(matmul(x, w)))); });
  expect_refusal("matmul_nt: operand 1 mixes the rows of samples",
                 [](auto w, auto x) { return sum_rows(matmul_nt(x, tanh(matmul(x, w)))); });
}

TEST_F(Refused, SumsAndMovesAcrossRows) {
  expect_refusal("subtract: operand 1 mixes the rows of samples", [](auto w, auto x) {
    const auto h = matmul(x, w);
    return sum_rows(square(h - sum_to(h, {1, h.cols()}) * 0.25));
  });
  expect_refusal("multiply: operand 1 mixes the rows of samples", [](auto w, auto x) {
    const auto h = matmul(x, w);
    return sum_rows(h * sum(h));
  });
  expect_refusal("broadcast_to: operand 0 mixes the rows of samples", [](auto w, auto x) {
    const auto h = matmul(x, w);
    return sum_rows(broadcast_to(sum_to(h, {1, h.cols()}), h.shape()));
  });
  expect_refusal("gather: operand 0 mixes the rows of samples",
                 [&](auto w, auto x) { return sum_rows(gather(matmul(x, w), order_)); });
  expect_refusal("scatter_add: operand 0 mixes the rows of samples",
                 [&](auto w, auto x) { return sum_rows(scatter_add(matmul(x, w), order_, p)); });
}

TEST_F(Refused, OtherMovesAcrossRows) {
  expect_refusal("transpose: operand 0 mixes the rows of samples",
                 [](auto w, auto x) { return sum_rows(transpose(matmul(x, w))); });
  expect_refusal("discounted_sum: rows of two groups of samples meet in operand 0", [](auto w, auto x) {
    return discounted_sum(sum_rows(matmul(x, w)), 0.9, std::vector<int>{0, p});
  });
  expect_refusal("pad: operand 0 mixes the rows of samples", [](auto w, auto x) {
    return sum_rows(pad(row_slice(matmul(x, w), 0, p - 1), 1, 0, Shape{p, p}));
  });
  expect_refusal("solve: a parameter of shape 4x4 meets 4 rows of samples as operand 0",
                 [](auto w, auto x) { return sum_rows(solve(w, matmul(x, w))); });
}

TEST_F(Refused, WhatIsNotOneNumberForEachSample) {
  expect_refusal("y must be one column with a number for each row of data, got 4x4",
                 [](auto w, auto x) { return matmul(x, w); });
  expect_refusal("y must be one column", [](auto w, auto) { return sum_rows(w); });
  Tape<double> tape;
  const auto w = tape.parameter(W_);
  const auto c = tape.constant(x_);
  const std::vector<int> offset{0, p};
  EXPECT_THROW(
      grouped_grad(sum_rows(matmul(c, w)), {w}, std::span<const int>(offset), full<double>(p, 1, 1.0)),
      Error);
}

TEST_F(Refused, OffsetsAndWeightsThatDoNotFit) {
  const auto y = [](auto w, auto x) { return sum_rows(matmul(x, w)); };
  EXPECT_NE(refusal(y, {0, p}, p + 1).find("weights must have 4 rows, got 5"), std::string::npos);
  for (const std::vector<int>& offset :
       std::vector<std::vector<int>>{{}, {0, 3}, {1, p}, {0, 3, 2, p}, {0, p + 1}})
    EXPECT_NE(refusal(y, offset).find("offset must rise from 0 to 4"), std::string::npos);
}

TEST_F(Refused, SquaredNormsOfOneParameterTwice) {
  const Array<double> w = random_array<double>(1, 2, "w"), seen = random_array<double>(4, 2, "seen");
  Tape<double> tape;
  const auto x = tape.parameter(w);
  EXPECT_THROW(squared_row_norms(sum_rows(tape.data(seen) * x), {x, x}), Error);
}

// For the widest of all nodes it would be 1.6 TB.
TEST(GroupedGrad, ScratchIsAsWideAsTheSamplesOnly) {
  const Array<double> w = random_array<double>(1, 2, "w"), wide = zeros<double>(1, 2'000'000);
  const Array<double> seen = random_array<double>(100'000, 2, "seen"), ones = full<double>(100'000, 1, 1.0);
  Tape<double> tape;
  const auto x = tape.parameter(w);
  tape.parameter(wide);
  const std::vector<int> offset{0, 100'000};
  EXPECT_NO_THROW(grouped_grad(sum_rows(tape.data(seen) * x), {x}, std::span<const int>(offset), ones));
}

TEST(GroupedGrad, ShardedRefusesWhatDoesNotFit) {
  const std::vector<Array<double>> theta{random_array<double>(1, 2, "w")};
  const Array<double> seen = random_array<double>(5, 2, "seen");
  const auto f = [&](Tape<double>& tape, const std::vector<Var<double>>& x, int begin, int end) {
    return sum_rows(tape.data(seen, begin, end) * x[0]);
  };
  const std::vector<int> offset{0, 2, 3, 5};
  std::vector<double> out(6), longer(7);
  const std::span<const int> cuts(offset);
  EXPECT_NO_THROW(sharded_grouped_grad_into(std::span(out), f, theta, cuts, full<double>(5, 1, 1.0)));
  EXPECT_THROW(sharded_grouped_grad_into(std::span(longer), f, theta, cuts, full<double>(5, 1, 1.0)), Error);
  EXPECT_THROW(sharded_grouped_grad_into(std::span(out), f, theta, cuts, full<double>(7, 1, 1.0)), Error);
}

TEST_F(Refused, GradientsForSamples) {
  Tape<double> tape;
  const auto w = tape.parameter(W_), x = tape.data(x_);
  const auto h = matmul(x, w);
  const std::vector<int> offset{0, p};
  const auto ones = full<double>(p, 1, 1.0);
  EXPECT_THROW(grouped_grad(sum_rows(h), {x}, std::span<const int>(offset), ones), Error);
  EXPECT_THROW(grouped_grad(sum_rows(h), {h}, std::span<const int>(offset), ones), Error);
}

}  // namespace
}  // namespace lowvar
