// Errors name the line of the caller: of an operation, and of what is composed of operations.
#include <gtest/gtest.h>

#include <thread>

#include "core/error.h"
#include "nn/layers.h"
#include "nn/policy.h"

namespace lowvar {
namespace {

using At = std::source_location;

std::string message_of(auto&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "no error";
}

/// That f fails and names `line` of this file.
void expect_line(unsigned line, auto&& f) {
  const std::string message = message_of(f);
  EXPECT_NE(message.find(join(" (", __FILE__, ":", line, ")")), std::string::npos) << line << ": " << message;
}

void inner(At at = At::current()) { fail("inner", at); }
void middle(At at = At::current()) {
  const CalledFrom here(at);
  inner();
}
void outer(At at = At::current()) {
  const CalledFrom here(at);
  middle();
}

TEST(CalledFrom, TheOutermostCounts) {
  expect_line(__LINE__, [] { inner(); });
  expect_line(__LINE__, [] { middle(); });
  expect_line(__LINE__, [] { outer(); });
  expect_line(__LINE__, [] { inner(); });  // those before have ended, by their errors
}

TEST(CalledFrom, IsOfItsThread) {
  const CalledFrom here(At::current());
  std::string message;
  const unsigned line = __LINE__ + 1;
  std::thread([&] { message = message_of([] { inner(); }); }).join();
  EXPECT_EQ(message, join("inner (", __FILE__, ":", line, ")"));
}

TEST(CalledFrom, EveryCompositeNamesItsCaller) {
  const auto x = full<double>(3, 2, 1.0), three = full<double>(1, 3, 1.0);
  const std::vector<int> bad = {0, 1, 2};
  Tape<double> tape(Trap::on);
  const Var<double> v = tape.parameter(x), w = tape.parameter(three), large = v * 1e155,
                    empty = block(v, 0, 0, {3, 0});
  const Var<double> none = block(v, 0, 0, {0, 2});
  const Var<double> spread_out = 1e200 * place(mean_rows(v), bad, 3);
  expect_line(__LINE__, [&] { dot(v, three); });
  expect_line(__LINE__, [&] { mse(v, three); });
  expect_line(__LINE__, [&] { kl(v, w); });
  expect_line(__LINE__, [&] { entropy(v * 1e3); });
  expect_line(__LINE__, [&] { norm(large); });
  expect_line(__LINE__, [&] { huber(large * 10, 1e200); });
  expect_line(__LINE__, [&] { cross_entropy(v, bad); });
  expect_line(__LINE__, [&] { gaussian_log_density(three, v, v); });
  expect_line(__LINE__, [&] { gaussian_log_density(v, v, -large); });
  expect_line(__LINE__, [&] { softmax(empty); });
  expect_line(__LINE__, [&] { logsumexp_columns(none); });
  expect_line(__LINE__, [&] { logsumexp_all(empty); });
  expect_line(__LINE__, [&] { max_columns(none); });
  expect_line(__LINE__, [&] { max(empty); });
  expect_line(__LINE__, [&] { mean(v * 1e308); });
  expect_line(__LINE__, [&] { mean_rows(v * 1e308); });
  expect_line(__LINE__, [&] { mean_columns(v * 1e308); });
  expect_line(__LINE__, [&] { var_rows(spread_out); });
  expect_line(__LINE__, [&] { var_columns(spread_out); });
  expect_line(__LINE__, [&] { var(spread_out); });
  expect_line(__LINE__, [&] { stddev_rows(spread_out); });
  expect_line(__LINE__, [&] { stddev_columns(none); });
  expect_line(__LINE__, [&] { stddev(none); });
  expect_line(__LINE__, [&] { min_rows(empty); });
  expect_line(__LINE__, [&] { min_columns(none); });
  expect_line(__LINE__, [&] { min(empty); });
  expect_line(__LINE__, [&] { cumulative_product(large * 1e2); });
  expect_line(__LINE__, [&] { segment_mean(v, bad); });
  expect_line(__LINE__, [&] { segment_softmax(v, bad); });
  expect_line(__LINE__, [&] { segment_log_softmax(v, bad); });
  expect_line(__LINE__, [&] { softmax(v, 3); });
  expect_line(__LINE__, [&] { concatenate_rows({v, w}); });
  expect_line(__LINE__, [&] { concatenate_columns({v, w}); });
}

/// The rules run operations too.
TEST(CalledFrom, RecordedPassesNameTheirCaller) {
  const auto zero = full<double>(1, 1, 0.0);
  Tape<double> tape(Trap::on);
  const Var<double> v = tape.parameter(zero), y = sqrt(v);
  std::vector<Array<double>> out = {zero};
  expect_line(__LINE__, [&] { grad_graph(y, v); });
  expect_line(__LINE__, [&] { hvp_into(out, y, {v}, {full<double>(1, 1, 1.0)}); });
}

TEST(CalledFrom, EveryModelAndDistributionNamesItsCaller) {
  const auto x = full<double>(3, 2, 1.0), three = full<double>(1, 3, 1.0);
  const std::vector<int> bad = {0, 1, 2};
  Tape<double> tape(Trap::on);
  const Var<double> v = tape.parameter(x), w = tape.parameter(three);
  const Mlp mlp{.sizes = {3, 1}};
  const Categorical<double> c = Categorical<double>::from_logits(v), d{w};
  const DiagGaussian<double> p{v, v}, q{w, w}, far{v, v * -1e300};
  expect_line(__LINE__, [&] { forward(mlp, {v}, w); });
  expect_line(__LINE__, [&] { forward(mlp, {v, w}, w); });
  expect_line(__LINE__, [&] { c.log_prob(bad); });
  expect_line(__LINE__, [&] { kl(c, d); });
  expect_line(__LINE__, [&] { p.log_prob(w); });
  expect_line(__LINE__, [&] { far.log_prob(v); });
  expect_line(__LINE__, [&] { DiagGaussian<double>{v, w}.log_prob(v); });
  expect_line(__LINE__, [&] { DiagGaussian<double>{v, v * 1e308}.entropy(); });
  expect_line(__LINE__, [&] { kl(p, q); });
  const Distribution<double> pi = p, other = q;
  expect_line(__LINE__, [&] { log_prob(pi, {.choice = {}, .vector = w}); });
  expect_line(__LINE__, [&] { kl(pi, other); });
  const Policy linear{.model = Linear{2, 3}},
      bounded{.model = Linear{2, 3}, .head = Head::gaussian, .low = {0, 0}, .high = {1, 1}};
  expect_line(__LINE__, [&] { linear({w}, {}, v); });
  expect_line(__LINE__, [&] { bounded({tape.parameter(x), w}, {}, v); });
}

TEST(CalledFrom, EveryLayerNamesItsCaller) {
  Tape<double> tape(Trap::on);
  const Var<double> v = tape.parameter(full<double>(3, 2, 1.0)), w = tape.parameter(full<double>(1, 3, 1.0)),
                    W = tape.parameter(full<double>(2, 6, 1.0)), b = tape.parameter(full<double>(1, 6, 1.0));
  const Gru gru{.inputs = 2, .hidden = 2};
  const Lstm lstm{.inputs = 2, .hidden = 2};
  expect_line(__LINE__, [&] { layer_norm(v, w, w); });
  expect_line(__LINE__, [&] { rms_norm(v * 1e200, w); });
  expect_line(__LINE__, [&] { forward(gru, {W, b}, v, v); });
  expect_line(__LINE__, [&] { forward(gru, {W, b, W, b}, w, v); });
  expect_line(__LINE__, [&] { forward(gru, {W, b, W, b}, v, w); });
  expect_line(__LINE__, [&] { forward(lstm, {W, b, W, b}, v, {v, v}); });
  expect_line(__LINE__, [&] { unroll(gru, {W, b, W, b}, v, 2); });
  expect_line(__LINE__, [&] { unroll(gru, {W, b, W, b}, v, 0); });
  expect_line(__LINE__, [&] { unroll(lstm, {W, b, W, b}, v, {w, w}); });
  expect_line(__LINE__, [&] { unroll(lstm, {W, b, W, b}, v, -1); });
  expect_line(__LINE__, [&] { attention(v, v, v, 2); });
  expect_line(__LINE__, [&] { attention(v, v, v, 0, Attend::to_past); });
  expect_line(__LINE__, [&] { forward(MultiHeadAttention{.width = 2, .heads = 3}, {W, b, v, v}, v, 1); });
  expect_line(__LINE__, [&] { forward(MultiHeadAttention{.width = 2, .heads = 1}, {W, b}, v, 1); });
  expect_line(__LINE__, [&] { forward(MultiHeadAttention{.width = 2, .heads = 1}, {W, b, w, w}, v, 1); });
}

}  // namespace
}  // namespace lowvar
