// Networks that look at images: against a loop by hand, their derivatives of both orders, row by row and in
// groups, on pixels as they are stored.
#include <gtest/gtest.h>

#include <cmath>

#include "algorithms/data/networks.h"
#include "arrays.h"
#include "autograd/gradcheck.h"
#include "autograd/grouped.h"

namespace lowvar {
namespace {

const Cnn small{.image = {6, 5, 2},
                .unit = 0.5,
                .filters = {{3, 3, 1}, {2, 2, 2}},
                .mlp = {.sizes = {4, 5, 3}, .activation = Activation::relu}};

struct Network {
  Cnn cnn = small;
  std::vector<Array<double>> theta;
  Array<double> x = random_array(4, small.image.size(), "x");

  Network() {
    Rng rng(4, "network");
    theta = initialise(cnn, rng);
    for (std::size_t i = 1; i < theta.size(); i += 2)
      for (double& b : values(theta[i])) b = 0.3 * rng.normal();
  }
};

/// One number at a time.
std::vector<double> by_hand(const Cnn& cnn, const std::vector<Array<double>>& theta, std::vector<double> x) {
  ImageShape seen = cnn.image;
  for (double& each : x) each *= cnn.unit;
  std::size_t k = 0;
  for (const auto& [filters, size, stride] : cnn.filters) {
    const ImageShape next{(seen.height - size) / stride + 1, (seen.width - size) / stride + 1, filters};
    std::vector<double> y;
    for (int i = 0; i < next.height; ++i)
      for (int j = 0; j < next.width; ++j)
        for (int f = 0; f < filters; ++f) {
          double sum = theta[k + 1](0, f);
          for (int a = 0; a < size; ++a)
            for (int b = 0; b < size; ++b)
              for (int c = 0; c < seen.channels; ++c)
                sum += x[static_cast<std::size_t>(
                           ((i * stride + a) * seen.width + j * stride + b) * seen.channels + c)] *
                       theta[k]((a * size + b) * seen.channels + c, f);
          y.push_back(std::max(0.0, sum));
        }
    x = y, seen = next, k += 2;
  }
  for (int l = 0; l < cnn.mlp.layers(); ++l, k += 2) {
    std::vector<double> y;
    for (int j = 0; j < shape(theta[k]).cols; ++j) {
      double z = theta[k + 1](0, j);
      for (int i = 0; i < shape(theta[k]).rows; ++i) z += x[static_cast<std::size_t>(i)] * theta[k](i, j);
      y.push_back(l + 1 == cnn.mlp.layers() ? z : std::max(z, 0.0));
    }
    x = y;
  }
  return x;
}

TEST(Cnn, NamesAndShapes) {
  EXPECT_EQ(small.names(), (std::vector<std::string>{"C0", "c0", "C1", "c1", "W0", "b0", "W1", "b1"}));
  const std::vector<Shape> shapes{{18, 3}, {1, 3}, {12, 2}, {1, 2}, {4, 5}, {1, 5}, {5, 3}, {1, 3}};
  EXPECT_EQ(small.shapes(), shapes);
  EXPECT_EQ(small.flattened(), (ImageShape{2, 1, 2}));
  Rng a(0, "init"), b(0, "init");
  for (const auto& theta : {initialise(small, a), initialise_uniform(small, b)}) {
    ASSERT_EQ(theta.size(), shapes.size());
    for (std::size_t i = 0; i < theta.size(); ++i) EXPECT_EQ(shape(theta[i]), shapes[i]);
  }
}

TEST(Cnn, NaturesNetworkIsTheirs) {
  Spaces pixels;
  pixels.A = 18, pixels.observation = 84 * 84 * 4, pixels.image = {84, 84, 4}, pixels.unit = 1.0 / 255;
  const Model model = network(pixels, suitable_layers(pixels), 18, 1);
  std::size_t parameters = 0;
  for (const Shape& each : shapes(model)) parameters += each.size();
  EXPECT_EQ(parameters, 1'693'362u);  // with 18 actions
  EXPECT_EQ(std::get<Cnn>(model).flattened(), (ImageShape{7, 7, 64}));
}

TEST(Cnn, ForwardMatchesALoopByHand) {
  const Network net;
  Tape<double> tape;
  const auto y = forward(net.cnn, tape.parameters(net.theta), tape.data(net.x)).value();
  const std::vector<Array<float>> theta32(net.theta.begin(), net.theta.end());
  const Array<float> x32(net.x);
  Tape<float> tape32;
  const auto y32 = forward(net.cnn, tape32.parameters(theta32), tape32.data(x32)).value();
  for (int r = 0; r < 4; ++r) {
    const auto in = row(net.x, r);
    const auto expected = by_hand(net.cnn, net.theta, {in.begin(), in.end()});
    for (int j = 0; j < 3; ++j) {
      EXPECT_NEAR(y(r, j), expected[static_cast<std::size_t>(j)], 1e-13);
      EXPECT_NEAR(y32(r, j), expected[static_cast<std::size_t>(j)], 1e-5);
    }
  }
}

TEST(Cnn, Derivatives) {
  const Network net;
  auto all = net.theta;
  all.push_back(net.x);
  const auto target = full<double>(4, 3, 0.5);
  const Loss loss = [&](const std::vector<Var<double>>& p) {
    return mse(forward(net.cnn, {p.begin(), p.end() - 1}, p.back()), target);
  };
  const auto report = gradcheck(loss, all, {.orders = 2, .tolerance = 1e-7});
  EXPECT_TRUE(report.ok) << report.text();
}

TEST(Cnn, GradientsOfGroupsAreThoseOfTheirRows) {
  const Network net;
  const auto weights = random_array(4, 1, "weights");
  const std::vector<int> offset{0, 1, 1, 4};
  Tape<double> tape;
  const auto theta = tape.parameters(net.theta);
  const auto y = sum_rows(square(forward(net.cnn, theta, tape.data(net.x))));
  const auto grouped = grouped_grad(y, theta, std::span<const int>(offset), weights);
  for (int g = 0; g < 3; ++g) {
    Array<double> own = zeros<double>(4, 1);
    for (int r = offset[static_cast<std::size_t>(g)]; r < offset[static_cast<std::size_t>(g) + 1]; ++r)
      own(r, 0) = weights(r, 0);
    int k = 0;
    for (const auto& part : grad(dot(y, own), theta))
      for (const double each : part) EXPECT_NEAR(grouped(g, k++), each, 1e-12);
  }
}

/// Pixels are numbers only where they are looked at, whichever rows in whichever order.
TEST(Cnn, PixelsAreWhatTheyAreAsNumbers) {
  Array<std::uint8_t> pixels = zeros<std::uint8_t>(7, 60);
  Rng rng(1, "pixels");
  for (auto& each : values(pixels)) each = static_cast<std::uint8_t>(rng.uniform() * 256);
  const Observations stored(pixels);
  const Observations numbers(Array<float>{pixels});
  const std::vector<int> rows{6, 0, 0, 3};
  for (const bool some : {false, true}) {
    const auto of = [&](const Observations& x) {
      const auto seen = some ? ObservedRows<float>(x, rows) : ObservedRows<float>(x);
      Tape<float> tape;
      return seen.on(tape, 1, 4).value();
    };
    EXPECT_EQ(of(stored), of(numbers));
    EXPECT_EQ(of(stored)(0, 5), static_cast<float>(pixels(some ? 0 : 1, 5)));
  }
}

TEST(Cnn, LayersThatDoNotFitAreRefused) {
  Spaces pixels;
  pixels.A = 2, pixels.observation = 60, pixels.image = {6, 5, 2};
  const auto message = [&](std::vector<Filters> filters) -> std::string {
    try {
      network(pixels, {.filters = std::move(filters)}, 2, 1);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(message({{3, 3, 1}, {2, 2, 2}}), "");
  EXPECT_EQ(message({}), "");
  EXPECT_NE(message({{3, 3, 1}, {2, 4, 1}})
                .find("filters of 4x4 do not fit the image 4x3x3 that layer 2 of the convolutions looks at"),
            std::string::npos);
  EXPECT_NE(message({{3, 0, 1}}).find("each at least 1; got 3, 0, 1"), std::string::npos);
  EXPECT_NE(message({{1'000'000, 5, 1}}).find("fewer than 1e7 weights"), std::string::npos);
  pixels.image = {};
  EXPECT_NE(message({{3, 3, 1}}).find("for worlds whose observations are images"), std::string::npos);
}

}  // namespace
}  // namespace lowvar
