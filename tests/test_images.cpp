// Convolutions and pools against their definitions, and at their edges. That their rules are right is
// test_ops.cpp's.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "autograd/autograd.h"
#include "autograd/op.h"
#include "core/random.h"
#include "tests/arrays.h"

namespace lowvar {
namespace {

const double nan = std::numeric_limits<double>::quiet_NaN();

int size(ImageShape s) { return s.height * s.width * s.channels; }

/// Entry (i, j, c) of image r, 0 beyond the edges.
double entry(const Array<double>& x, const ImageShape& s, int r, int i, int j, int c) {
  if (i < 0 || i >= s.height || j < 0 || j >= s.width) return 0;
  return x(r, (i * s.width + j) * s.channels + c);
}

/// The definition.
Array<double> convolution(const Array<double>& x, const Array<double>& W, const Array<double>& b,
                          const Window& w) {
  const int n = shape(x).rows, filters = shape(W).cols;
  const ImageShape out = w.result(filters);
  Array<double> y = zeros<double>(n, size(out));
  for (int r = 0; r < n; ++r)
    for (int i = 0; i < out.height; ++i)
      for (int j = 0; j < out.width; ++j)
        for (int f = 0; f < filters; ++f) {
          double sum = b(0, f);
          for (int k = 0; k < w.height; ++k)
            for (int l = 0; l < w.width; ++l)
              for (int c = 0; c < w.image.channels; ++c)
                sum += W((k * w.width + l) * w.image.channels + c, f) *
                       entry(x, w.image, r, i * w.stride - w.padding + k, j * w.stride - w.padding + l, c);
          y(r, (i * out.width + j) * filters + f) = sum;
        }
  return y;
}

const Window kWindows[] = {
    {.image = {4, 5, 2}, .height = 3, .width = 2, .stride = 2, .padding = 1},
    {.image = {3, 3, 1}, .height = 1, .width = 1},
    {.image = {5, 3, 3}, .height = 5, .width = 3},                             // one place
    {.image = {2, 2, 1}, .height = 2, .width = 3, .stride = 3, .padding = 2},  // windows beyond the image
    {.image = {84, 84, 4}, .height = 8, .width = 8, .stride = 4},  // several shards for each image
    {.image = {10, 10, 4}, .height = 3, .width = 3},
};

TEST(Conv2d, IsItsDefinition) {
  for (const Window& w : kWindows)
    for (const int n : {0, 1, 9}) {
      const auto x = random_array(n, size(w.image), "x"), W = random_array(w.size(), 5, "W"),
                 b = random_array(1, 5, "b");
      Tape<double> tape;
      const auto y = conv2d(tape.data(x), tape.parameter(W), tape.parameter(b), w).value();
      const auto right = convolution(x, W, b, w);
      ASSERT_EQ(shape(y), shape(right));
      for (std::size_t k = 0; k < y.size(); ++k)
        ASSERT_NEAR(y.data()[k], right.data()[k], 1e-12) << w.image.height;
      const Array<float> x32(x), W32(W);
      Tape<float> tape32;
      const auto y32 = conv2d(tape32.data(x32), tape32.parameter(W32), w).value();
      for (std::size_t k = 0; k < y.size(); ++k)
        ASSERT_NEAR(y32.data()[k], right.data()[k] - b.data()[k % 5], 1e-4) << w.image.height;
    }
}

TEST(Conv2d, TransposeAndWeightsAreItsAdjoints) {
  for (const Window& w : kWindows)
    for (const int n : {0, 1, 9}) {
      const int filters = 5;
      const auto x = random_array(n, size(w.image), "x"), W = random_array(w.size(), filters, "W"),
                 g = random_array(n, size(w.result(filters)), "g");
      Tape<double> tape;
      const auto X = tape.parameter(x), V = tape.parameter(W), G = tape.parameter(g);
      const double inner = dot(conv2d(X, V, w), G).item(),
                   scale = 1e-13 * std::sqrt(static_cast<double>(g.size()) + 1);
      EXPECT_NEAR(dot(conv2d_transpose(G, V, w), X).item(), inner, 100 * scale);
      EXPECT_NEAR(dot(conv2d_weights(X, G, w), V).item(), inner, 100 * scale);
      // A cotangent that is added to another one.
      const auto twice = grad(dot(conv2d(X, V, w) + conv2d(X, V, w), G), V);
      const auto once = conv2d_weights(X, G, w).value();
      for (std::size_t k = 0; k < once.size(); ++k) EXPECT_NEAR(twice.data()[k], 2 * once.data()[k], 1e-11);
    }
}

TEST(Conv2d, SumsOfManyPlacesAreAccurate) {
  const Window w{.image = {1, 1, 1}, .height = 1, .width = 1};
  const int n = 3'000'000;
  const auto x = full<float>(n, 1, 0.1f), W = full<float>(1, 1, 1.0f), b = full<float>(1, 1, 0.0f);
  Tape<float> tape;
  const auto V = tape.parameter(W);
  const auto dW = grad(sum(conv2d(tape.data(x), V, w)), V);
  EXPECT_NEAR(dW(0, 0) / (static_cast<double>(0.1f) * n), 1, 5e-6);  // one after another: 0.02
}

/// Convolution, pooling, convolution and a maximum, with a number for each image.
Var<double> network(Var<double> x, const std::vector<Var<double>>& p) {
  const Window first{.image = {8, 8, 2}, .height = 3, .width = 3, .padding = 1};
  const Window pool{.image = first.result(4), .height = 2, .width = 2, .stride = 2};
  const Window second{.image = pool.result(4), .height = 3, .width = 3};
  const Window last{.image = second.result(3), .height = 2, .width = 2};
  const auto h = max_pool2d(tanh(conv2d(x, p[0], p[1], first)), pool);
  return sum_rows(mean_pool2d(tanh(conv2d(h, p[2], p[3], second)), last) * linear(x, p[4], p[5]));
}

TEST(Conv2d, GroupedGradientsAreThoseOfTheImages) {
  const auto x = random_array(7, 128, "x");
  const std::vector<Array<double>> theta = {random_array(18, 4, "0"),  random_array(1, 4, "1"),
                                            random_array(36, 3, "2"),  random_array(1, 3, "3"),
                                            random_array(128, 3, "4"), random_array(1, 3, "5")};
  const std::vector<int> offset{0, 1, 4, 4, 6, 7};
  const auto weights = random_array(7, 2, "weights");
  Tape<double> tape;
  const auto p = tape.parameters(theta);
  const auto y = network(tape.data(x), p);
  const auto g = grouped_grad(y, p, offset, weights);
  const auto squares = squared_row_norms(y, p);
  for (std::size_t group = 0; group + 1 < offset.size(); ++group)
    for (int k = 0; k < 2; ++k) {
      std::vector<double> alone(shape(g).cols);
      for (int r = offset[group]; r < offset[group + 1]; ++r) {
        Tape<double> one;
        const auto q = one.parameters(theta);
        double square = 0;
        std::size_t j = 0;
        for (const auto& each : grad(network(one.data(x, r, r + 1), q), q))
          for (const double v : each) alone[j++] += weights(r, k) * v, square += v * v;
        EXPECT_NEAR(squares(r, 0), square, 1e-11 * square);
      }
      for (std::size_t j = 0; j < alone.size(); ++j)
        EXPECT_NEAR(g(group * 2 + static_cast<std::size_t>(k), j), alone[j], 1e-12) << group << " " << j;
    }
}

TEST(Conv2d, GradientsAreDifferentiatedThroughANetwork) {
  const auto x = random_array(2, 128, "x");
  const std::vector<Array<double>> theta = {0.3 * random_array(18, 4, "0"),  random_array(1, 4, "1"),
                                            0.3 * random_array(36, 3, "2"),  random_array(1, 3, "3"),
                                            0.3 * random_array(128, 3, "4"), random_array(1, 3, "5")};
  std::vector<Array<double>> v;
  for (const auto& each : theta) v.push_back(random_array(shape(each).rows, shape(each).cols, "v"));
  const auto loss = [&](const std::vector<Var<double>>& p) {
    return sum(network(operand_var<double>(*p[0].record(), x), p));
  };
  const auto Hv = hvp(loss, theta, v);
  const double h = 1e-5;
  auto up = theta, down = theta;
  for (std::size_t k = 0; k < v.size(); ++k) up[k] += h * v[k], down[k] -= h * v[k];
  const auto g_up = grad(loss, up), g_down = grad(loss, down);
  for (std::size_t k = 0; k < v.size(); ++k)
    for (std::size_t j = 0; j < v[k].size(); ++j)
      EXPECT_NEAR(Hv[k].data()[j], (g_up[k].data()[j] - g_down[k].data()[j]) / (2 * h), 1e-6)
          << k << " " << j;
}

TEST(Conv2d, TakesImagesThatAreAnArray) {
  const Window w = kWindows[0];
  const auto x = random_array(3, 40, "x"), W = random_array(12, 2, "W"), b = random_array(1, 2, "b"),
             g = random_array(3, 12, "g");
  const std::vector<int> offset{0, 1, 2, 3};
  Tape<double> tape;
  const auto V = tape.parameter(W), B = tape.parameter(b);
  const auto of_array = sum_rows(tanh(conv2d(x, V, B, w))),
             of_var = sum_rows(tanh(conv2d(tape.data(x), V, B, w)));
  EXPECT_EQ(grouped_grad(of_array, {V, B}, offset, full<double>(3, 1, 1.0)),
            grouped_grad(of_var, {V, B}, offset, full<double>(3, 1, 1.0)));
  EXPECT_EQ(conv2d(x, W, B, w).value(), conv2d(x, V, b, w).value());
  EXPECT_EQ(conv2d_transpose(g, V, w).value(), conv2d_transpose(tape.data(g), V, w).value());
  EXPECT_EQ(conv2d_weights(x, tape.data(g), w).value(), conv2d_weights(tape.data(x), g, w).value());
}

TEST(Pool2d, TakesTheFirstOfEqualAndNaNAboveAll) {
  const Window w{.image = {2, 4, 1}, .height = 2, .width = 2, .stride = 2};
  const Array<double> x = {{1, 7, 3, 3, 7, 2, nan, 9}};
  Tape<double> tape;
  const auto X = tape.parameter(x);
  const auto y = max_pool2d(X, w);
  EXPECT_EQ(y.values()[0], 7);
  EXPECT_TRUE(std::isnan(y.values()[1]));
  EXPECT_EQ(grad(sum(y), X), (Array<double>{{0, 1, 0, 0, 0, 0, 1, 0}}));
}

TEST(Pool2d, PaddingIsNoPixelOfAMaximumAndZerosOfAMean) {
  const Window w{.image = {2, 2, 2}, .height = 2, .width = 2, .stride = 2, .padding = 1};
  const Array<double> x = {{-1, 10, -2, 20, -3, 30, -4, 40}};
  Tape<double> tape;
  EXPECT_EQ(max_pool2d(tape.data(x), w).value(), x);
  EXPECT_EQ(mean_pool2d(tape.data(x), w).value(), Array<double>(x * 0.25));
  EXPECT_EQ(sum_pool2d(tape.data(x), {.image = {2, 2, 2}, .height = 2, .width = 2}).value(),
            (Array<double>{{-10, 100}}));
}

TEST(Images, ErrorsSayWhatDoesNotFit) {
  const Window w{.image = {4, 5, 2}, .height = 3, .width = 2};  // 2 x 4 places
  const auto x = zeros<double>(3, 40), W = zeros<double>(12, 6), b = zeros<double>(1, 6),
             odd = zeros<double>(3, 41), g = zeros<double>(3, 48), two = zeros<double>(2, 48);
  Tape<double> tape;
  const auto X = tape.data(x), V = tape.parameter(W), B = tape.parameter(b);
  const auto with = [&](auto&& change) {
    Window changed = w;
    change(changed);
    return changed;
  };
  const std::vector<std::pair<const char*, std::function<void()>>> mistakes = {
      {"conv2d: 3x41 is not rows of images 4x5x2, 40 numbers", [&] { conv2d(odd, V, B, w); }},
      {"conv2d: W 1x6 must have 12 rows, one for each number of a window 3x2x2", [&] { conv2d(X, B, w); }},
      {"conv2d: b 12x6 must be one row of 6 filters", [&] { conv2d(X, V, V, w); }},
      {"its stride 0 must be positive", [&] { conv2d(X, V, B, with([](Window& c) { c.stride = 0; })); }},
      {"a window 5x2 does not fit an image 4x5",
       [&] { conv2d(X, V, B, with([](Window& c) { c.height = 5; })); }},
      {"conv2d: 3 images 4x5x2 have too many windows 3x2",
       [&] { conv2d(X, V, B, with([](Window& c) { c.padding = 1'000'000; })); }},
      {"conv2d_transpose: 3x40 is not rows of images 2x4x6, 48 numbers", [&] { conv2d_transpose(X, V, w); }},
      {"conv2d_transpose: W 1x6 must have 12 rows", [&] { conv2d_transpose(g, B, w); }},
      {"conv2d_weights: 3x41 is not rows of images 2x4x5, 40 numbers", [&] { conv2d_weights(X, odd, w); }},
      {"conv2d_weights: 3x40 and 2x48 must have as many rows", [&] { conv2d_weights(X, two, w); }},
      {"max_pool2d: 1x6 is not rows of images 4x5x2", [&] { max_pool2d(B, w); }},
      {"max_pool2d: a padding of 2 leaves no pixel in some windows 3x2",
       [&] { max_pool2d(X, with([](Window& c) { c.padding = 2; })); }},
      {"sum_pool2d: 1x6 is not rows of images 4x5x2", [&] { sum_pool2d(B, w); }},
      {"spread_pool2d: 3x40 is not rows of 2x4x2, 16 numbers", [&] { spread_pool2d(X, w); }},
  };
  for (const auto& [part, mistake] : mistakes) {
    try {
      mistake();
      FAIL() << part << ": no error";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find("test_images.cpp"), std::string::npos) << e.what();
    }
  }
}

TEST(Images, SameBitsForAnyNumberOfThreads) {
  const int before = omp_get_max_threads();
  const Window w = kWindows[4];
  const auto x = random_array<float>(5, size(w.image), "x"), W = random_array<float>(w.size(), 32, "W"),
             b = random_array<float>(1, 32, "b");
  const auto run = [&] {
    Tape<float> tape;
    const std::vector<Var<float>> p{tape.parameter(x), tape.parameter(W), tape.parameter(b)};
    std::vector<float> out;
    for (const auto& g : grad(sum(square(conv2d(p[0], p[1], p[2], w))), p))
      out.insert(out.end(), g.begin(), g.end());
    return out;
  };
  omp_set_num_threads(1);
  const auto one = run();
  for (const int threads : {2, 4}) {
    omp_set_num_threads(threads);
    EXPECT_EQ(std::memcmp(one.data(), run().data(), one.size() * sizeof(float)), 0) << threads << " threads";
  }
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace lowvar
