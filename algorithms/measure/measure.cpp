#include "algorithms/measure/measure.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <numeric>

#include "algorithms/data/returns.h"
#include "core/parallel.h"
#include "nn/optim.h"

namespace lowvar {
namespace {

constexpr int max_blocks = 64;
constexpr int pilot_shard = 32;

/// f(batch) for N trajectories of a stream, in order.
template <class F>
void for_each_batch(const World& world, const Policy& policy, const Parameters& theta, int N,
                    std::uint64_t seed, std::string_view stream, F&& f) {
  const int shards = (N + pilot_shard - 1) / pilot_shard;
  ordered_reduce(
      shards,
      [&](int i) {
        const int first = i * pilot_shard;
        return world.sample(policy, theta, world.T, {seed, stream, first, std::min(pilot_shard, N - first)});
      },
      [&](int, Trajectories batch) { f(batch); });
}

/// Trajectories sampled, estimated and summarised together. It divides the batches of the cosine, is small
/// enough to leave every block its share of few trajectories, and depends on nothing else.
int shard_size(long trajectories, int cosine_batch) {
  const long most = std::clamp<long>(trajectories / max_blocks, 1, 64);
  for (int size = cosine_batch; size > 1; --size)
    if (size <= most && cosine_batch % size == 0) return size;
  return 1;
}

struct Shard {
  std::vector<Moments> moments;  // [rung]
  std::vector<Array<double>> g;  // [rung], kept only for whoever wants each gradient
  int steps = 0;
};

double squared_distance(const std::vector<double>& a, const std::vector<double>& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += (a[i] - b[i]) * (a[i] - b[i]);
  return total;
}

double squared_norm(const std::vector<double>& a) {
  return std::inner_product(a.begin(), a.end(), a.begin(), 0.0);
}

}  // namespace

Critic table_critic(Array<double> V) {
  return [V = std::move(V)](Trajectories& batch) {
    batch.value.resize(static_cast<std::size_t>(batch.rows()));
    batch.next_value.resize(static_cast<std::size_t>(batch.rows()));
    for (int i = 0; i < batch.size(); ++i)
      for (int t = 0; t < batch.length(i); ++t) {
        const auto r = static_cast<std::size_t>(batch.begin(i) + t);
        const int next =
            t + 1 < batch.length(i) ? batch.state[r + 1] : batch.final_state[static_cast<std::size_t>(i)];
        batch.value[r] = V(t, batch.state[r]);
        batch.next_value[r] = V(t + 1, next);
      }
  };
}

Critic network_critic(Mlp mlp, Parameters theta) {
  return [mlp = std::move(mlp), theta = std::move(theta)](Trajectories& batch) {
    Tape<double> tape;
    std::vector<Var<double>> constants;
    for (const auto& x : theta) constants.push_back(tape.constant(x));
    const auto V = forward(mlp, constants, tape.data(batch.observation)).values();
    batch.value.assign(V.begin(), V.end());
    batch.next_value.assign(batch.value.size(), 0);
    for (int i = 0; i < batch.size(); ++i)
      for (int r = batch.begin(i); r + 1 < batch.end(i); ++r)
        batch.next_value[static_cast<std::size_t>(r)] = batch.value[static_cast<std::size_t>(r) + 1];
  };
}

FittedCritic fit_critic(const World& world, const Policy& policy, const Parameters& theta, int N,
                        std::uint64_t seed) {
  if (world.mdp) {
    Array<double> sum = zeros<double>(world.T + 1, world.mdp->S), visits = sum;
    for_each_batch(world, policy, theta, N, seed, "critic", [&](const Trajectories& batch) {
      std::vector<double> G;
      for (int i = 0; i < batch.size(); ++i) {
        G.resize(static_cast<std::size_t>(batch.length(i)));
        returns_to_go(batch.rewards(i), world.gamma, G);
        for (int t = 0; t < batch.length(i); ++t) {
          const int s = batch.state[static_cast<std::size_t>(batch.begin(i) + t)];
          sum(t, s) += G[static_cast<std::size_t>(t)];
          visits(t, s) += 1;
        }
      }
    });
    for (std::size_t k = 0; k < sum.size(); ++k) sum.data()[k] /= std::max(1.0, visits.data()[k]);
    return {table_critic(sum), sum};
  }

  std::vector<double> observation, target;
  for_each_batch(world, policy, theta, N, seed, "critic", [&](const Trajectories& batch) {
    observation.insert(observation.end(), batch.observation.begin(), batch.observation.end());
    const std::size_t begin = target.size();
    target.resize(begin + static_cast<std::size_t>(batch.rows()));
    for (int i = 0; i < batch.size(); ++i)
      returns_to_go(batch.rewards(i), world.gamma,
                    {target.data() + begin + batch.begin(i), static_cast<std::size_t>(batch.length(i))});
  });
  const auto rows = static_cast<double>(target.size());
  const double mean = std::accumulate(target.begin(), target.end(), 0.0) / rows;
  double scale = 0;
  for (const double y : target) scale += (y - mean) * (y - mean) / rows;
  scale = std::max(std::sqrt(scale), 1e-12);

  constexpr int steps = 2000, minibatch = 256;
  const Mlp mlp{{world.observation, 64, 64, 1}};
  Rng rng(seed, "critic-fit");
  Parameters v = initialise(mlp, rng);
  AdamState<double> adam;
  Array<double> x = zeros<double>(minibatch, world.observation), y = zeros<double>(minibatch, 1);
  for (int step = 0; step < steps; ++step) {
    for (int r = 0; r < minibatch; ++r) {
      const auto pick = static_cast<std::size_t>(rng.uniform() * rows);
      std::copy_n(observation.begin() + static_cast<std::ptrdiff_t>(pick) * world.observation,
                  world.observation, row(x, r).begin());
      y(r, 0) = (target[pick] - mean) / scale;
    }
    Tape<double> tape;
    const auto parameters = tape.parameters(v);
    const auto g = grad(mse(forward(mlp, parameters, tape.data(x)), y), parameters);
    // Cosine decay to zero, so that the fit ends where it points and not where the last minibatch pushed it.
    const double rate = 3e-3 * 0.5 * (1 + std::cos(std::numbers::pi * step / steps));
    adam_step(v, g, adam, {.learning_rate = rate});
  }
  for (double& w : values(v[v.size() - 2])) w *= scale;
  v.back()(0, 0) = v.back()(0, 0) * scale + mean;
  return {network_critic(mlp, v), std::nullopt};
}

Constants pilot_constants(const World& world, const Policy& policy, const Parameters& theta, int N,
                          std::uint64_t seed) {
  Constants c;
  c.gamma = world.gamma;
  c.mean_return_to_go.assign(static_cast<std::size_t>(world.T), 0);
  std::vector<double> running(static_cast<std::size_t>(world.T), 0), S2, S2R;
  const int shards = (N + pilot_shard - 1) / pilot_shard;
  // The score is the estimate of an estimator whose weight is one.
  Estimator score;
  score.weights = [](const Trajectories& batch, const Constants&) {
    return full<double>(batch.rows(), 1, 1.0);
  };
  ordered_reduce(
      shards,
      [&](int i) {
        const int first = i * pilot_shard;
        auto batch =
            world.sample(policy, theta, world.T, {seed, "pilot", first, std::min(pilot_shard, N - first)});
        auto S = estimate({&score}, policy, theta, batch, batch.offset, c).front();
        return std::pair(std::move(batch), std::move(S));
      },
      [&](int, const std::pair<Trajectories, Array<double>>& part) {
        const auto& [batch, S] = part;
        S2.resize(S.shape(1), 0), S2R.resize(S.shape(1), 0);
        std::vector<double> G;
        for (int i = 0; i < batch.size(); ++i) {
          G.resize(static_cast<std::size_t>(batch.length(i)));
          returns_to_go(batch.rewards(i), c.gamma, G);
          const double R = G.empty() ? 0 : G.front();
          c.J += R / N;
          for (std::size_t t = 0; t < G.size(); ++t) c.mean_return_to_go[t] += G[t], running[t] += 1;
          const auto s = row(S, i);
          for (std::size_t j = 0; j < s.size(); ++j) S2[j] += s[j] * s[j], S2R[j] += s[j] * s[j] * R;
        }
      });
  for (std::size_t t = 0; t < running.size(); ++t) c.mean_return_to_go[t] /= std::max(1.0, running[t]);
  c.b_i.resize(S2.size());
  for (std::size_t j = 0; j < S2.size(); ++j) c.b_i[j] = S2[j] > 0 ? S2R[j] / S2[j] : 0;
  const double total = std::accumulate(S2.begin(), S2.end(), 0.0);
  c.b_star = total > 0 ? std::accumulate(S2R.begin(), S2R.end(), 0.0) / total : 0;
  return c;
}

Measured measure(const World& world, const Policy& policy, const Parameters& behaviour,
                 const std::vector<Rung>& rungs, const Critic& critic, const Constants& constants,
                 const MeasureOptions& options) {
  expect(options.trajectories >= 2, "a variance needs at least 2 trajectories, got ", options.trajectories);
  const int size = shard_size(options.trajectories, options.cosine_batch);
  const auto E = rungs.size();
  for (const Rung& rung : rungs)
    expect(rung.estimator.unit == 1, "estimator '", rung.estimator.name,
           "' is of a batch, not of one trajectory: it can be trained with, but not measured yet");

  // Rungs at the same parameters share a backward pass.
  std::map<const Parameters*, std::vector<std::size_t>> by_theta;
  for (std::size_t e = 0; e < E; ++e) by_theta[rungs[e].theta].push_back(e);
  std::vector<std::vector<std::size_t>> passes;
  for (std::size_t e = 0; e < E; ++e)  // in the order of the rungs, not of addresses
    if (by_theta.at(rungs[e].theta).front() == e) passes.push_back(by_theta.at(rungs[e].theta));

  const auto produce = [&](int shard, long total) {
    const long first = static_cast<long>(shard) * size;
    Trajectories batch = world.sample(policy, behaviour, world.T,
                                      {options.seed, "measure", static_cast<int>(first),
                                       static_cast<int>(std::min<long>(size, total - first))});
    if (critic) critic(batch);
    Shard out;
    out.steps = batch.rows();
    std::vector<Array<double>> g(E);
    for (const auto& pass : passes) {
      std::vector<const Estimator*> estimators;
      for (const std::size_t e : pass) estimators.push_back(&rungs[e].estimator);
      auto estimates =
          estimate(estimators, policy, *rungs[pass.front()].theta, batch, batch.offset, constants);
      for (std::size_t k = 0; k < pass.size(); ++k) g[pass[k]] = std::move(estimates[k]);
    }
    for (std::size_t e = 0; e < E; ++e)
      out.moments.push_back(Moments::of(g[e], g[static_cast<std::size_t>(options.relative_to)]));
    if (options.each) out.g = std::move(g);
    return out;
  };

  Measured measured;
  measured.blocks.assign(max_blocks, std::vector<Moments>(E));
  measured.block_steps.assign(max_blocks, {0, 0});
  std::vector<std::vector<double>> batch_sum(E);
  const auto combine = [&](int shard, Shard part) {
    const long first = static_cast<long>(shard) * size;
    const auto n = static_cast<long>(part.moments.front().n);
    auto& block = measured.blocks[static_cast<std::size_t>(shard % max_blocks)];
    auto& steps = measured.block_steps[static_cast<std::size_t>(shard % max_blocks)];
    steps[0] += static_cast<double>(n);
    steps[1] += part.steps;
    const bool batch_ends = (first + n) % options.cosine_batch == 0;
    auto& batch_block = measured.blocks[static_cast<std::size_t>(first / options.cosine_batch % max_blocks)];
    for (std::size_t e = 0; e < E; ++e) {
      auto& sum = batch_sum[e];
      sum.resize(part.moments[e].mean.size(), 0);
      for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += part.moments[e].mean[j] * part.moments[e].n;
      if (options.each) options.each(static_cast<int>(e), first, part.g[e]);
      block[e].merge(part.moments[e]);
      if (batch_ends) {
        Moments& to = batch_block[e];
        to.batches += 1;
        if (const double norm = std::sqrt(squared_norm(sum)); norm > 0) {
          to.directions += 1;
          to.direction.resize(sum.size(), 0);
          for (std::size_t j = 0; j < sum.size(); ++j) to.direction[j] += sum[j] / norm;
        }
        std::fill(sum.begin(), sum.end(), 0);
      }
    }
  };

  // Rounds that may go on are of whole batches, so that the next begins with one.
  const auto whole = [&](long n) { return (n + options.cosine_batch - 1) / options.cosine_batch * options.cosine_batch; };
  long done = 0, total = options.until_rse ? whole(options.trajectories) : options.trajectories;
  for (;;) {
    expect(total <= std::numeric_limits<int>::max(), "cannot measure ", total, " trajectories: at most ",
           std::numeric_limits<int>::max());
    const auto begin = static_cast<int>(done / size), end = static_cast<int>((total + size - 1) / size);
    ordered_reduce(
        end - begin, [&](int i) { return produce(begin + i, total); },
        [&](int i, Shard part) {
          combine(begin + i, std::move(part));
          options.progress(std::min<long>(static_cast<long>(begin + i + 1) * size, total), total);
        });
    done = measured.trajectories = total;
    if (!options.until_rse) return measured;
    double worst = 0;
    for (std::size_t e = 0; e < E; ++e) {
      std::vector<std::vector<Moments>> own;
      for (const auto& block : measured.blocks) own.push_back({block[e]});
      const auto trace = jackknife(own, [](const auto& m) { return std::vector{m[0].trace_cov()}; }).front();
      if (trace.value > 0) worst = std::max(worst, trace.se / trace.value);
    }
    if (worst <= *options.until_rse) return measured;
    total *= 2;
  }
}

std::vector<Quantity> quantities(const Measured& measured, const std::vector<Rung>& rungs,
                                 const std::vector<Truth>& truth, int rung, int relative_to) {
  const auto self = static_cast<std::size_t>(rung), other = static_cast<std::size_t>(relative_to);
  std::vector<std::vector<Moments>> blocks;
  for (const auto& block : measured.blocks) blocks.push_back({block[self], block[other]});
  const Truth& exact = truth[self];
  const bool gradient_known = !exact.gradient.empty(), moments_known = !exact.variance.empty();

  enum { trace, bias_sq, mse, snr, noise, cosine, ratio, difference_sq, share };
  const auto estimates = jackknife(blocks, [&](const std::vector<Moments>& m) {
    const Moments &a = m[0], &b = m[1];
    const double t = a.trace_cov(), nan = std::numeric_limits<double>::quiet_NaN();
    const double bias = gradient_known ? squared_distance(a.mean, exact.gradient) - t / a.n : nan;
    const double signal = squared_norm(a.mean) - t / a.n;
    const double apart = squared_distance(a.mean, b.mean);
    const double apart_trace = (a.difference_sq - a.n * apart) / (a.n - 1);
    const double pairs = a.batches * (a.batches - 1);
    const double aligned = a.direction.empty() ? 0 : squared_norm(a.direction);
    return std::vector<double>{t,
                               bias,
                               bias + t,
                               signal / t,
                               t / signal,
                               pairs > 0 ? (aligned - a.directions) / pairs : nan,
                               t / b.trace_cov(),
                               apart - apart_trace / a.n,
                               a.norm_sq > 0 ? a.largest_norm_sq / a.norm_sq : 0};
  });
  // norm - exact = (norm^2 - exact^2) / (norm + exact), down to where both are lost in the error of their squares.
  const auto norm_of = [](Estimate square, double about) {
    const double norm = std::sqrt(std::max(0.0, square.value));
    return Estimate{norm, square.se > 0 ? square.se / std::max(norm + about, std::sqrt(square.se)) : square.se};
  };

  std::optional<double> exact_trace, exact_bias, exact_bias_sq, exact_mse, exact_snr, exact_noise,
      exact_ratio;
  if (moments_known) {
    exact_trace = std::accumulate(exact.variance.begin(), exact.variance.end(), 0.0);
    exact_snr = squared_norm(exact.mean) / *exact_trace;
    exact_noise = 1 / *exact_snr;
    if (gradient_known) {
      exact_bias_sq = squared_distance(exact.mean, exact.gradient);
      exact_bias = std::sqrt(*exact_bias_sq);
      exact_mse = *exact_bias_sq + *exact_trace;
    }
    if (const auto& v = truth[other].variance; !v.empty())
      exact_ratio = *exact_trace / std::accumulate(v.begin(), v.end(), 0.0);
  }

  std::vector<Quantity> out{{"trace_cov", estimates[trace], exact_trace}};
  if (gradient_known) {
    const double about = exact_bias ? *exact_bias : std::sqrt(std::max(0.0, estimates[bias_sq].value));
    out.push_back({"bias_norm", norm_of(estimates[bias_sq], about), exact_bias});
    out.push_back({"bias_sq", estimates[bias_sq], exact_bias_sq});
    out.push_back({"mse", estimates[mse], exact_mse});
  }
  out.push_back({"snr", estimates[snr], exact_snr});
  out.push_back({"noise_scale", estimates[noise], exact_noise});
  out.push_back({"cosine", estimates[cosine], std::nullopt});
  const std::string& reference = rungs[other].estimator.name;
  out.push_back({"ratio:" + reference, estimates[ratio], exact_ratio});
  out.push_back({"difference:" + reference,
                 norm_of(estimates[difference_sq], std::sqrt(std::max(0.0, estimates[difference_sq].value))),
                 std::nullopt});
  out.push_back({"largest_share", estimates[share], std::nullopt});

  double n = 0, steps = 0, used = 0, spread = 0;
  for (const auto& block : measured.block_steps) n += block[0], steps += block[1], used += block[0] > 0;
  for (const auto& block : measured.block_steps)
    if (block[0] > 0) spread += std::pow((steps - block[1]) / (n - block[0]) - steps / n, 2);
  const Estimate length{
      steps / n, used > 1 ? std::sqrt(spread * (used - 1) / used) : std::numeric_limits<double>::quiet_NaN()};
  const auto times = [&](double k) { return Estimate{k * length.value, k * length.se}; };
  out.push_back({"env_steps", length, std::nullopt});
  out.push_back({"policy_rows", times(2), std::nullopt});  // sampled once, differentiated once
  out.push_back({"value_rows", times(rungs[self].estimator.needs_critic ? 1 : 0), std::nullopt});
  return out;
}

}  // namespace lowvar
