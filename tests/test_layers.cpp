// Layers against their equations written as loops, their derivatives against differences, and gradients of
// single sequences against those of each sequence alone.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "autograd/gradcheck.h"
#include "nn/layers.h"

namespace lowvar {
namespace {

Array<double> random_array(int rows, int cols, std::string_view name, std::uint32_t index = 0) {
  Rng rng(31, name, index);
  Array<double> out = zeros<double>(rows, cols);
  for (double& v : values(out)) v = 0.7 * rng.normal();
  return out;
}

/// Arrays of these shapes.
std::vector<Array<double>> random_arrays(const std::vector<Array<double>>& like) {
  std::vector<Array<double>> out;
  for (const auto& x : like)
    out.push_back(
        random_array(shape(x).rows, shape(x).cols, "theta", static_cast<std::uint32_t>(out.size())));
  return out;
}

void expect_near(const Array<double>& a, const Array<double>& b, double tolerance) {
  ASSERT_EQ(shape(a), shape(b));
  for (std::size_t j = 0; j < a.size(); ++j) EXPECT_NEAR(a.data()[j], b.data()[j], tolerance) << j;
}

Array<double> rows_of(const Array<double>& x, int begin, int end) {
  Array<double> out = zeros<double>(end - begin, shape(x).cols);
  for (int r = begin; r < end; ++r) std::ranges::copy(row(x, r), row(out, r - begin).begin());
  return out;
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

/// x W + b of one row, W and b being theta[k] and theta[k + 1].
std::vector<double> affine(std::span<const double> x, const std::vector<Array<double>>& theta,
                           std::size_t k) {
  std::vector<double> out(row(theta[k + 1], 0).begin(), row(theta[k + 1], 0).end());
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t j = 0; j < out.size(); ++j) out[j] += x[i] * theta[k](i, j);
  return out;
}

// ---- Normalisation ----

TEST(LayerNorm, RowsAreStandardisedScaledAndShifted) {
  const auto x = random_array(3, 5, "x"), gain = random_array(1, 5, "gain"),
             bias = random_array(1, 5, "bias");
  Array<double> expected = zeros_like(x), expected_rms = x;
  for (int r = 0; r < 3; ++r) {
    double mean = 0, variance = 0, square = 0;
    for (const double v : row(x, r)) mean += v / 5;
    for (const double v : row(x, r)) variance += (v - mean) * (v - mean) / 5, square += v * v / 5;
    for (int j = 0; j < 5; ++j) {
      expected(r, j) = (x(r, j) - mean) / std::sqrt(variance + 1e-5) * gain(0, j) + bias(0, j);
      expected_rms(r, j) = x(r, j) / std::sqrt(square + 1e-5) * gain(0, j);
    }
  }
  Tape<double> tape;
  const auto v = tape.parameter(x), g = tape.parameter(gain), b = tape.parameter(bias);
  expect_near(layer_norm(v, g, b).value(), expected, 1e-14);
  expect_near(rms_norm(v, g).value(), expected_rms, 1e-14);
  EXPECT_NE(layer_norm(v, g, b, 0.1).value(), layer_norm(v, g, b).value());
  EXPECT_NE(rms_norm(v, g, 0.1).value(), rms_norm(v, g).value());
}

TEST(LayerNorm, Derivatives) {
  for (const int n : {1, 3}) {
    const auto x = random_array(n, 4, "x"), w = random_array(n, 4, "w");
    const std::vector<Array<double>> theta = {x, random_array(1, 4, "gain"), random_array(1, 4, "bias")};
    const GradcheckOptions options{.orders = 3, .tolerance = 1e-7};
    const auto norm = [](const std::vector<Var<double>>& p, Var<double> weight) {
      return dot(layer_norm(p[0], p[1], p[2]), weight);
    };
    const auto rms = [](const std::vector<Var<double>>& p, Var<double> weight) {
      return dot(rms_norm(p[0], p[1]) + p[2], weight);
    };
    for (const auto& report : {gradcheck(norm, theta, options, w), gradcheck(rms, theta, options, w)})
      EXPECT_TRUE(report.ok) << report.text();
  }
}

TEST(LayerNorm, ARowOfEqualNumbersIsTheBiasAndHasADerivative) {
  const auto x = full<double>(2, 3, 7.0), gain = random_array(1, 3, "gain"),
             bias = random_array(1, 3, "bias");
  Tape<double> tape;
  const auto v = tape.parameter(x);
  const auto y = layer_norm(v, tape.constant(gain), tape.constant(bias));
  for (int r = 0; r < 2; ++r)
    for (int j = 0; j < 3; ++j) EXPECT_EQ(y.value()(r, j), bias(0, j));
  for (const double g : grad(sum(square(y)), v)) EXPECT_TRUE(std::isfinite(g));
  const auto none = tape.parameter(zeros<double>(2, 3));
  for (const double g : grad(sum(rms_norm(none, tape.constant(gain))), none)) EXPECT_TRUE(std::isfinite(g));
}

// ---- Recurrent cells ----

constexpr int p = 3, H = 2, B = 3, L = 4;

std::vector<double> gru_by_hand(const std::vector<Array<double>>& theta, std::span<const double> x,
                                const std::vector<double>& h) {
  const auto a = affine(x, theta, 0), b = affine(h, theta, 2);
  std::vector<double> out;
  for (std::size_t j = 0; j < H; ++j) {
    const double r = logistic(a[j] + b[j]), z = logistic(a[H + j] + b[H + j]),
                 n = std::tanh(a[2 * H + j] + r * b[2 * H + j]);
    out.push_back((1 - z) * n + z * h[j]);
  }
  return out;
}

void lstm_by_hand(const std::vector<Array<double>>& theta, std::span<const double> x, std::vector<double>& h,
                  std::vector<double>& c) {
  const auto a = affine(x, theta, 0), b = affine(h, theta, 2);
  for (std::size_t j = 0; j < H; ++j) {
    const auto gate = [&](std::size_t k) { return a[k * H + j] + b[k * H + j]; };
    c[j] = logistic(gate(1)) * c[j] + logistic(gate(0)) * std::tanh(gate(2));
    h[j] = logistic(gate(3)) * std::tanh(c[j]);
  }
}

struct Recurrent : testing::Test {
  Rng rng{1, "recurrent"};
  const Gru gru{.inputs = p, .hidden = H};
  const Lstm lstm{.inputs = p, .hidden = H};
  const std::vector<Array<double>> of_gru = random_arrays(initialise(gru, rng)),
                                   of_lstm = random_arrays(initialise(lstm, rng));
  const Array<double> x = random_array(B * L, p, "x"), h0 = random_array(B, H, "h0"),
                      c0 = random_array(B, H, "c0");
};

TEST_F(Recurrent, CellsAreTheirEquations) {
  Tape<double> tape;
  const auto inputs = tape.data(x, 0, B), h = tape.data(h0), c = tape.data(c0);
  const auto next = forward(gru, tape.parameters(of_gru), inputs, h);
  const auto state = forward(lstm, tape.parameters(of_lstm), inputs, {h, c});
  for (int r = 0; r < B; ++r) {
    std::vector<double> hr(row(h0, r).begin(), row(h0, r).end()), cr(row(c0, r).begin(), row(c0, r).end());
    const auto expected = gru_by_hand(of_gru, row(x, r), hr);
    lstm_by_hand(of_lstm, row(x, r), hr, cr);
    for (int j = 0; j < H; ++j) {
      EXPECT_NEAR(next.value()(r, j), expected[static_cast<std::size_t>(j)], 1e-15);
      EXPECT_NEAR(state.h.value()(r, j), hr[static_cast<std::size_t>(j)], 1e-15);
      EXPECT_NEAR(state.c.value()(r, j), cr[static_cast<std::size_t>(j)], 1e-15);
    }
  }
}

TEST_F(Recurrent, SequencesAreUnrolledOneByOne) {
  Tape<double> tape;
  const auto inputs = tape.data(x);
  const auto g = tape.parameters(of_gru), l = tape.parameters(of_lstm);
  const auto from_state = unroll(gru, g, inputs, tape.data(h0)).value(),
             from_zeros = unroll(gru, g, inputs, B).value();
  const auto of_memory = unroll(lstm, l, inputs, {tape.data(h0), tape.data(c0)}).value(),
             lstm_zeros = unroll(lstm, l, inputs, B).value();
  ASSERT_EQ(shape(from_state), (Shape{B * L, H}));
  for (int b = 0; b < B; ++b) {
    std::vector<double> h(row(h0, b).begin(), row(h0, b).end()), zero(H),
        m = h, z(H), z_c(H), c(row(c0, b).begin(), row(c0, b).end());
    for (int t = 0; t < L; ++t) {
      const int r = b * L + t;
      h = gru_by_hand(of_gru, row(x, r), h);
      zero = gru_by_hand(of_gru, row(x, r), zero);
      lstm_by_hand(of_lstm, row(x, r), m, c);
      lstm_by_hand(of_lstm, row(x, r), z, z_c);
      for (std::size_t j = 0; j < H; ++j) {
        EXPECT_NEAR(from_state(r, j), h[j], 1e-14);
        EXPECT_NEAR(from_zeros(r, j), zero[j], 1e-14);
        EXPECT_NEAR(of_memory(r, j), m[j], 1e-14);
        EXPECT_NEAR(lstm_zeros(r, j), z[j], 1e-14);
      }
    }
  }
}

TEST_F(Recurrent, Derivatives) {
  const auto w = random_array(B * L, H, "w");
  const auto of_sequences = [&](const std::vector<Var<double>>& q, Var<double> inputs, Var<double> weight) {
    return dot(unroll(gru, {q[0], q[1], q[2], q[3]}, inputs, q[4]), weight);
  };
  const auto of_memory = [&](const std::vector<Var<double>>& q, Var<double> inputs, Var<double> weight) {
    return dot(unroll(lstm, {q[0], q[1], q[2], q[3]}, inputs, {q[4], q[5]}), weight);
  };
  auto gru_at = of_gru, lstm_at = of_lstm;
  gru_at.push_back(h0);
  lstm_at.push_back(h0);
  lstm_at.push_back(c0);
  const GradcheckOptions options{.orders = 3, .tolerance = 1e-7, .projections = 1};
  for (const auto& report :
       {gradcheck(of_sequences, gru_at, options, x, w), gradcheck(of_memory, lstm_at, options, x, w)})
    EXPECT_TRUE(report.ok) << report.text();
}

TEST_F(Recurrent, Initialisations) {
  for (const auto& theta : {initialise(gru, rng), initialise(lstm, rng)}) {
    const int gates = shape(theta[0]).cols / H;
    EXPECT_EQ(shape(theta[0]), (Shape{p, gates * H}));
    EXPECT_EQ(shape(theta[2]), (Shape{H, gates * H}));
    for (const std::size_t bias : {1u, 3u}) EXPECT_EQ(theta[bias], zeros<double>(1, gates * H));
    for (int k = 0; k < gates; ++k)
      for (const std::size_t weight : {0u, 2u})
        for (int i = 0; i < H; ++i)
          for (int j = 0; j < H; ++j) {
            double inner = 0;
            for (int r = 0; r < shape(theta[weight]).rows; ++r)
              inner += theta[weight](r, k * H + i) * theta[weight](r, k * H + j);
            EXPECT_NEAR(inner, i == j, 1e-14);
          }
  }
  const double bound = 1 / std::sqrt(static_cast<double>(H));
  for (const auto& theta : {initialise_uniform(gru, rng), initialise_uniform(lstm, rng)}) {
    double largest = 0;
    for (const auto& each : theta)
      for (const double v : each) largest = std::max(largest, std::abs(v));
    EXPECT_LE(largest, bound);
    EXPECT_GT(largest, 0.8 * bound);
  }
}

// ---- Attention ----

/// Row by row, head by head.
Array<double> attention_by_hand(const MultiHeadAttention& layer, const std::vector<Array<double>>& theta,
                                const Array<double>& x, int sequences) {
  const int n = shape(x).rows, d = layer.width, length = n / sequences, part = d / layer.heads;
  Array<double> qkv = zeros<double>(n, 3 * d), out = zeros_like(x);
  for (int r = 0; r < n; ++r) std::ranges::copy(affine(row(x, r), theta, 0), row(qkv, r).begin());
  for (int r = 0; r < n; ++r) {
    std::vector<double> heads(static_cast<std::size_t>(d));
    const int begin = r / length * length, end = layer.to == Attend::to_past ? r + 1 : begin + length;
    for (int h = 0; h < layer.heads; ++h) {
      std::vector<double> weight;
      double total = 0;
      for (int m = begin; m < end; ++m) {
        double score = 0;
        for (int j = h * part; j < (h + 1) * part; ++j) score += qkv(r, j) * qkv(m, d + j);
        weight.push_back(std::exp(score / std::sqrt(static_cast<double>(part))));
        total += weight.back();
      }
      for (int m = begin; m < end; ++m)
        for (int j = h * part; j < (h + 1) * part; ++j)
          heads[static_cast<std::size_t>(j)] +=
              weight[static_cast<std::size_t>(m - begin)] / total * qkv(m, 2 * d + j);
    }
    std::ranges::copy(affine(heads, theta, 2), row(out, r).begin());
  }
  return out;
}

class Attention : public testing::TestWithParam<Attend> {
 protected:
  Rng rng{1, "attention"};
  const MultiHeadAttention layer{.width = 4, .heads = 2, .to = GetParam()};
  const std::vector<Array<double>> theta = random_arrays(initialise(layer, rng));
  const Array<double> x = random_array(B * L, 4, "x");
};

TEST_P(Attention, IsItsEquation) {
  for (const int sequences : {1, B, B * L}) {
    Tape<double> tape;
    const auto y = forward(layer, tape.parameters(theta), tape.data(x), sequences);
    expect_near(y.value(), attention_by_hand(layer, theta, x, sequences), 1e-14);
  }
}

TEST_P(Attention, Derivatives) {
  const auto w = random_array(B * L, 4, "w");
  auto at = theta;
  at.push_back(x);
  const auto loss = [&](const std::vector<Var<double>>& q, Var<double> weight) {
    return dot(forward(layer, {q[0], q[1], q[2], q[3]}, q[4], B), weight);
  };
  const auto report = gradcheck(loss, at, {.orders = 3, .tolerance = 1e-7, .projections = 1}, w);
  EXPECT_TRUE(report.ok) << report.text();
}

TEST_P(Attention, QueriesMayBeOtherRowsThanKeys) {
  const auto q = random_array(B * 2, 4, "q"), k = random_array(B * 3, 4, "k"),
             v = random_array(B * 3, 5, "v");
  Tape<double> tape;
  const auto y = attention(tape.data(q), tape.data(k), tape.data(v), B, GetParam()).value();
  ASSERT_EQ(shape(y), (Shape{B * 2, 5}));
  for (int r = 0; r < B * 2; ++r) {
    const int begin = r / 2 * 3, end = GetParam() == Attend::to_past ? begin + r % 2 + 1 : begin + 3;
    double total = 0;
    std::vector<double> expected(5);
    for (int m = begin; m < end; ++m) {
      double score = 0;
      for (int j = 0; j < 4; ++j) score += q(r, j) * k(m, j) / 2;
      total += std::exp(score);
      for (int j = 0; j < 5; ++j) expected[static_cast<std::size_t>(j)] += std::exp(score) * v(m, j);
    }
    for (int j = 0; j < 5; ++j) EXPECT_NEAR(y(r, j), expected[static_cast<std::size_t>(j)] / total, 1e-14);
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, Attention, testing::Values(Attend::to_all, Attend::to_past));

TEST(CausalAttention, WhatIsToComeHasNoGradientWhateverItIs) {
  const double inf = std::numeric_limits<double>::infinity();
  Tape<double> tape(Trap::on);
  const auto q = tape.parameter(random_array(L, 4, "q")), k = tape.parameter(random_array(L, 4, "k")),
             v = tape.parameter(random_array(L, 4, "v"));
  const auto first = block(attention(q, k, v, 1, Attend::to_past), 1, 0, {1, 4});
  for (const auto& g : grad(sum(square(first)), {k, v}))
    for (int r = 0; r < L; ++r)
      for (int j = 0; j < 4; ++j) EXPECT_EQ(g(r, j) != 0, r <= 1);
  // Scores that overflow are masked too.
  auto large = random_array(L, 4, "k");
  for (double& each : row(large, 3)) each = inf;
  Tape<double> other;
  const auto key = other.parameter(large);
  const auto y = attention(other.data(full<double>(L, 4, 1.0)), key, other.data(full<double>(L, 4, 2.0)), 1,
                           Attend::to_past);
  const auto second = block(y, 2, 0, {1, 4});
  for (const double each : second.values()) EXPECT_NEAR(each, 2, 1e-14);
}

TEST(MultiHeadAttention, Initialisations) {
  Rng rng(2, "attention");
  const MultiHeadAttention layer{.width = 4, .heads = 2};
  const auto theta = initialise(layer, rng), uniform = initialise_uniform(layer, rng);
  const Shape shapes[] = {{4, 12}, {1, 12}, {4, 4}, {1, 4}};
  for (std::size_t k = 0; k < 4; ++k) {
    EXPECT_EQ(shape(theta[k]), shapes[k]);
    EXPECT_EQ(shape(uniform[k]), shapes[k]);
    for (const double v : uniform[k]) EXPECT_LE(std::abs(v), 0.5);
  }
  for (int k = 0; k < 3; ++k)
    for (int i = 0; i < 4; ++i) {
      double length = 0;
      for (int r = 0; r < 4; ++r) length += theta[0](r, 4 * k + i) * theta[0](r, 4 * k + i);
      EXPECT_NEAR(length, 1, 1e-14);
    }
}

// ---- Sequences apart ----

/// Numbers for the rows of sequences, [B L x 1].
struct Model {
  const char* name;
  std::vector<Array<double>> theta;
  std::function<Var<double>(const std::vector<Var<double>>&, Var<double> x, int sequences)> y;
};

std::vector<Model> models() {
  static Rng rng(3, "models");
  using Theta = const std::vector<Var<double>>&;
  const Gru gru{.inputs = 4, .hidden = 3};
  const Lstm lstm{.inputs = 4, .hidden = 3};
  const MultiHeadAttention layer{.width = 4, .heads = 2, .to = Attend::to_past};
  return {
      {"layer_norm",
       {random_array(1, 4, "gain"), random_array(1, 4, "bias")},
       [](Theta q, Var<double> x, int) { return sum_rows(tanh(layer_norm(x, q[0], q[1]))); }},
      {"rms_norm",
       {random_array(1, 4, "gain")},
       [](Theta q, Var<double> x, int) { return sum_rows(tanh(rms_norm(x, q[0]))); }},
      {"gru", random_arrays(initialise(gru, rng)),
       [gru](Theta q, Var<double> x, int n) { return sum_rows(square(unroll(gru, q, x, n))); }},
      {"lstm", random_arrays(initialise(lstm, rng)),
       [lstm](Theta q, Var<double> x, int n) { return sum_rows(square(unroll(lstm, q, x, n))); }},
      {"attention", random_arrays(initialise(layer, rng)),
       [layer](Theta q, Var<double> x, int n) { return sum_rows(square(forward(layer, q, x, n))); }},
  };
}

TEST(Sequences, GroupedGradientsAreThoseOfEachSequence) {
  for (const auto& model : models())
    for (const int sequences : {1, 3}) {
      const int length = 4, n = sequences * length, K = 2;
      const auto x = random_array(n, 4, "rows"), weights = random_array(n, K, "weights");
      std::vector<int> offset;
      for (int b = 0; b <= sequences; ++b) offset.push_back(b * length);
      Tape<double> tape;
      const auto theta = tape.parameters(model.theta);
      const auto g = grouped_grad(model.y(theta, tape.data(x), sequences), theta, offset, weights);
      for (int b = 0; b < sequences; ++b)
        for (int k = 0; k < K; ++k) {
          const auto alone = [&](const std::vector<Var<double>>& q, Var<double> rows, Var<double> weight) {
            return dot(model.y(q, rows, 1), column_slice(weight, k, k + 1));
          };
          const auto expected = grad(
              alone, model.theta,
              rows_of(x, offset[static_cast<std::size_t>(b)], offset[static_cast<std::size_t>(b) + 1]),
              rows_of(weights, offset[static_cast<std::size_t>(b)], offset[static_cast<std::size_t>(b) + 1]));
          std::size_t column = 0;
          for (const auto& each : expected)
            for (const double v : each) EXPECT_NEAR(g(b * K + k, column++), v, 1e-13) << model.name;
        }
    }
}

TEST(Sequences, OneRowIsASequence) {
  for (const auto& model : models()) {
    const auto loss = [&](const std::vector<Var<double>>& q, Var<double> x) { return sum(model.y(q, x, 1)); };
    const auto report =
        gradcheck(loss, model.theta, {.orders = 2, .tolerance = 1e-7}, random_array(1, 4, "row"));
    EXPECT_TRUE(report.ok) << model.name << report.text();
  }
}

/// The gradient of a loss through all layers.
template <class T>
std::vector<Array<T>> through_all(const std::vector<Array<double>>& theta, const Array<double>& x) {
  const Gru gru{.inputs = 4, .hidden = 4};
  const Lstm lstm{.inputs = 4, .hidden = 4};
  const MultiHeadAttention layer{.width = 4, .heads = 2, .to = Attend::to_past};
  const auto loss = [&](const std::vector<Var<T>>& q, Var<T> h) {
    const auto part = [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
      return std::vector<Var<T>>(q.begin() + begin, q.begin() + end);
    };
    h = unroll(gru, part(0, 4), h, 3) + forward(layer, part(8, 12), layer_norm(h, q[12], q[13]), 3);
    return mean(square(rms_norm(unroll(lstm, part(4, 8), h, 3), q[12])));
  };
  return grad(loss, std::vector<Array<T>>(theta.begin(), theta.end()), Array<T>(x));
}

TEST(Sequences, FloatsAreRoundedDoubles) {
  Rng rng(4, "floats");
  std::vector<Array<double>> theta = initialise(Gru{.inputs = 4, .hidden = 4}, rng);
  for (const auto& more : {initialise(Lstm{.inputs = 4, .hidden = 4}, rng),
                           initialise(MultiHeadAttention{.width = 4, .heads = 2}, rng),
                           {random_array(1, 4, "gain"), random_array(1, 4, "bias")}})
    theta.insert(theta.end(), more.begin(), more.end());
  const auto x = random_array(12, 4, "rows");
  const auto g = through_all<double>(theta, x);
  const auto g32 = through_all<float>(theta, x);
  for (std::size_t i = 0; i < g.size(); ++i)
    for (std::size_t j = 0; j < g[i].size(); ++j) EXPECT_NEAR(g32[i].data()[j], g[i].data()[j], 2e-6);
}

}  // namespace
}  // namespace lowvar
