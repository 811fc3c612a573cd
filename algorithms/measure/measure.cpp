#include "algorithms/measure/measure.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <numeric>

#include "algorithms/data/groups.h"
#include "algorithms/data/networks.h"
#include "algorithms/data/returns.h"
#include "core/blas.h"
#include "core/parallel.h"
#include "core/store.h"
#include "nn/optim.h"

namespace lowvar {
namespace {

constexpr int max_blocks = 64;
constexpr int pilot_shard = 32;
constexpr int shards_between_stands = 64;

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
  std::vector<Moments> moments;  // [rung], of those that see its trajectories
  std::vector<Array<double>> g;  // [rung], kept only for whoever wants each gradient
  int steps = 0;

  template <class F>
  void visit(F&& f) {
    f("moments", moments), f("g", g), f("steps", steps);
  }
};

/// A measurement between two shards: all that its future depends on beside its arguments.
struct Going {
  Measured measured;
  std::vector<std::vector<double>> batch_sum;  // [rung], of the cosine's batch so far
  long done = 0, total = 0;                    // trajectories, before this round and with it
  std::size_t sample = 0;                      // that is being drawn,
  int shard = 0;                               // and its shard that is next

  template <class F>
  void visit(F&& f) {
    f("measured", measured), f("batch_sum", batch_sum), f("done", done), f("total", total);
    f("sample", sample), f("shard", shard);
  }
};

/// About how many seconds of one core it takes to estimate from so many rows.
double work_of(double rows, std::size_t rungs, std::size_t parameters) {
  return rows * (1e-6 + 1e-7 * static_cast<double>(rungs) +
                 1e-9 * static_cast<double>(parameters) * static_cast<double>(1 + rungs));
}

std::size_t numbers_in(const Parameters& theta) {
  std::size_t out = 0;
  for (const auto& x : theta) out += x.size();
  return out;
}

double squared_distance(const std::vector<double>& a, const std::vector<double>& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += (a[i] - b[i]) * (a[i] - b[i]);
  return total;
}

double squared_norm(const std::vector<double>& a) {
  return std::inner_product(a.begin(), a.end(), a.begin(), 0.0);
}

}  // namespace

Critic table_critic(Array<double> V, Array<double> Q) {
  return [V = std::move(V), Q = std::move(Q)](Trajectories& batch) {
    batch.value.resize(static_cast<std::size_t>(batch.rows()));
    batch.next_value.resize(static_cast<std::size_t>(batch.rows()));
    if (Q.size()) batch.action_values = zeros<double>(batch.rows(), shape(Q).cols);
    for (int i = 0; i < batch.size(); ++i)
      for (int t = 0; t < batch.length(i); ++t) {
        const auto r = static_cast<std::size_t>(batch.begin(i) + t);
        if (Q.size()) {
          const auto q = row(Q, t * shape(V).cols + batch.state[r]);
          std::copy(q.begin(), q.end(), row(batch.action_values, static_cast<int>(r)).begin());
        }
        const int next =
            t + 1 < batch.length(i) ? batch.state[r + 1] : batch.final_state[static_cast<std::size_t>(i)];
        batch.value[r] = V(t, batch.state[r]);
        batch.next_value[r] = V(t + 1, next);
      }
  };
}

Critic network_critic(Model model, Parameters theta, std::optional<Model> of_actions, Parameters q_theta) {
  return [=](Trajectories& batch) {
    const auto outputs = [&](const Model& net, const Parameters& weights) {
      return model_outputs<double>(net, weights, batch.inputs());
    };
    const Array<double> V = outputs(model, theta);
    batch.value.assign(V.begin(), V.end());
    if (of_actions) batch.action_values = outputs(*of_actions, q_theta);
    batch.fill_next_values();
  };
}

FittedCritic fit_critic(const World& world, const Policy& policy, const Parameters& theta, int N,
                        std::uint64_t seed, bool action_values) {
  if (world.mdp) {
    const int S = world.mdp->S;
    Array<double> sum = zeros<double>(world.T + 1, S), visits = sum;
    Array<double> q_sum = zeros<double>(action_values ? world.T * S : 0, world.mdp->A), q_visits = q_sum;
    for_each_batch(world, policy, theta, N, seed, "critic", [&](const Trajectories& batch) {
      std::vector<double> G;
      for (int i = 0; i < batch.size(); ++i) {
        G.resize(static_cast<std::size_t>(batch.length(i)));
        returns_to_go(batch.rewards(i), world.gamma, G);
        for (int t = 0; t < batch.length(i); ++t) {
          const int s = batch.state[static_cast<std::size_t>(batch.begin(i) + t)];
          sum(t, s) += G[static_cast<std::size_t>(t)];
          visits(t, s) += 1;
          if (!action_values) continue;
          const int a = batch.action[static_cast<std::size_t>(batch.begin(i) + t)];
          q_sum(t * S + s, a) += G[static_cast<std::size_t>(t)];
          q_visits(t * S + s, a) += 1;
        }
      }
    });
    for (std::size_t k = 0; k < sum.size(); ++k) sum.data()[k] /= std::max(1.0, visits.data()[k]);
    for (int k = 0; k < shape(q_sum).rows; ++k)
      for (int a = 0; a < world.mdp->A; ++a)  // what was never tried is worth what its state is
        q_sum(k, a) = q_visits(k, a) > 0 ? q_sum(k, a) / q_visits(k, a) : sum(k / S, k % S);
    return {table_critic(sum, q_sum), sum, q_sum};
  }

  expect(!action_values || world.A > 0, "a critic of Q(s, a) is learned for choices of action, and those of ",
         world.id, " are vectors");
  std::vector<double> observation, target;
  std::vector<int> action;
  for_each_batch(world, policy, theta, N, seed, "critic", [&](const Trajectories& batch) {
    batch.observation.visit(
        [&](const auto& x) { observation.insert(observation.end(), x.begin(), x.end()); });
    action.insert(action.end(), batch.action.begin(), batch.action.end());
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

  const auto fit = [&](const Model& model, std::string_view stream) {
    constexpr int steps = 2000, minibatch = 256;
    const bool of_actions = outputs(model) > 1;
    Rng rng(seed, stream);
    Parameters v = initialise(model, rng);
    AdamState<double> adam;
    Array<double> x = zeros<double>(minibatch, world.observation), y = zeros<double>(minibatch, 1);
    std::vector<int> chosen(minibatch);
    for (int step = 0; step < steps; ++step) {
      for (int r = 0; r < minibatch; ++r) {
        const auto k = static_cast<std::size_t>(rng.uniform() * rows);
        std::copy_n(observation.begin() + static_cast<std::ptrdiff_t>(k) * world.observation,
                    world.observation, row(x, r).begin());
        y(r, 0) = (target[k] - mean) / scale;
        if (of_actions) chosen[static_cast<std::size_t>(r)] = action[k];
      }
      Tape<double> tape;
      const auto parameters = tape.parameters(borrow(v));
      const auto out = forward(model, parameters, {}, tape.data(borrow(x)));
      const auto g = grad(mse(of_actions ? pick(out, chosen) : out, y), parameters);
      // Cosine decay to zero, so that the fit ends where it points and not where the last minibatch pushed
      // it.
      const double rate = 3e-3 * 0.5 * (1 + std::cos(std::numbers::pi * step / steps));
      adam_step(v, g, adam, {.learning_rate = rate});
    }
    for (double& w : values(v[v.size() - 2])) w *= scale;
    for (double& w : values(v.back())) w = w * scale + mean;
    return v;
  };
  const Model V = network(world, suitable_layers(world), 1, 1);
  const Parameters v = fit(V, "critic-fit");
  if (!action_values) return {network_critic(V, v), std::nullopt};
  const Model Q = network(world, suitable_layers(world), world.A, 1);
  return {network_critic(V, v, Q, fit(Q, "action-critic-fit")), std::nullopt};
}

Constants pilot_constants(const World& world, const Policy& policy, const Parameters& theta, int N,
                          std::uint64_t seed) {
  Constants c;
  c.gamma = world.gamma;
  c.mean_return_to_go.assign(static_cast<std::size_t>(world.T), 0);
  c.dynamics = world.dynamics;
  c.differences = world.differences;
  std::vector<double> running(static_cast<std::size_t>(world.T), 0), S2, S2R;
  const int states = world.mdp ? world.mdp->S : 0;
  const int numbers = states ? states : world.observation;
  const int features = numbers > 1000 ? 0 : states ? states + 3 : 2 * world.observation + 4;
  Array<double> XX = zeros<double>(features, features), Xy = zeros<double>(features, 1);
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
          for (std::size_t t = 0; t < G.size(); ++t) {
            c.mean_return_to_go[t] += G[t], running[t] += 1;
            if (features == 0) continue;
            const int step = static_cast<int>(t);
            const auto phi = linear_features(batch, batch.begin(i) + step, step, states);
            for (int j = 0; j < features; ++j) {
              const double phi_j = phi[static_cast<std::size_t>(j)];
              if (phi_j == 0) continue;
              Xy(j, 0) += phi_j * G[t];
              for (int k = 0; k < features; ++k) XX(j, k) += phi_j * phi[static_cast<std::size_t>(k)];
            }
          }
          const auto s = row(S, i);
          for (std::size_t j = 0; j < s.size(); ++j) S2[j] += s[j] * s[j], S2R[j] += s[j] * s[j] * R;
        }
      });
  for (std::size_t t = 0; t < running.size(); ++t) c.mean_return_to_go[t] /= std::max(1.0, running[t]);
  c.b_i.resize(S2.size());
  for (std::size_t j = 0; j < S2.size(); ++j) c.b_i[j] = S2[j] > 0 ? S2R[j] / S2[j] : 0;
  if (features > 0) {
    double scale = 0;  // a ridge that only decides what the data leave open
    for (int j = 0; j < features; ++j) scale += XX(j, j) / features;
    for (int j = 0; j < features; ++j) XX(j, j) += 1e-10 * scale + 1e-300;
    solve(features, 1, XX.data(), Xy.data());
    c.linear.assign(Xy.begin(), Xy.end());
  }
  const double total = std::accumulate(S2.begin(), S2.end(), 0.0);
  c.b_star = total > 0 ? std::accumulate(S2R.begin(), S2R.end(), 0.0) / total : 0;
  return c;
}

namespace {

/// Rungs that see the same trajectories, and how those are cut.
struct Sample {
  int unit;          // trajectories in a unit
  bool same_start;   // within one
  bool draws_again;  // those of equal returns
  int shard;         // trajectories sampled, estimated and summarised together: whole units
  int cosine_batch;
  std::vector<std::vector<std::size_t>> passes;  // rungs at the same parameters share a backward pass
};

std::vector<Sample> samples_of(const std::vector<Rung>& rungs, const MeasureOptions& options) {
  std::vector<Sample> samples;
  for (std::size_t e = 0; e < rungs.size(); ++e) {
    const Estimator& estimator = rungs[e].estimator;
    const int unit = options.unit(estimator), cosine_batch = options.cosine_batch_of(estimator);
    const bool whole = estimator.unit == 0, same_start = estimator.unit > 1, again = estimator.draws_again;
    auto of_unit = std::find_if(samples.begin(), samples.end(), [&](const Sample& s) {
      return s.unit == unit && s.same_start == same_start && s.draws_again == again &&
             (!whole || s.shard == unit);
    });
    if (of_unit == samples.end()) {
      const int shard = whole ? unit : unit * shard_size(options.trajectories / unit, cosine_batch / unit);
      of_unit = samples.insert(samples.end(), {unit, same_start, again, shard, cosine_batch, {}});
    }
    auto& passes = of_unit->passes;
    const auto pass = std::find_if(passes.begin(), passes.end(),
                                   [&](const auto& p) { return rungs[p.front()].theta == rungs[e].theta; });
    if (pass == passes.end())
      passes.push_back({e});
    else
      pass->push_back(e);
  }
  return samples;
}

}  // namespace

void expect_fits(const Measured& stored, const Measured& begun, const std::vector<std::size_t>& d) {
  bool fits = stored.blocks.size() == begun.blocks.size() &&
              stored.block_steps.size() == begun.block_steps.size() && stored.unit == begun.unit &&
              stored.sample == begun.sample;
  for (const auto& block : stored.blocks) {
    fits = fits && block.size() == d.size();
    for (std::size_t e = 0; fits && e < d.size(); ++e) fits = block[e].fits(d[e]);
  }
  for (const auto& steps : stored.block_steps) fits = fits && steps.size() == 2;
  expect(fits, "the stored measurement is of other estimators, batches or parameters than this one");
}

Measured measure(const World& world, const Policy& policy, const Parameters& behaviour,
                 const std::vector<Rung>& rungs, const Critic& critic, const Constants& constants,
                 const MeasureOptions& options) {
  expect(options.trajectories >= 2, "a variance needs at least 2 trajectories, got ", options.trajectories);
  const auto E = rungs.size();
  const std::vector<Sample> samples = samples_of(rungs, options);

  Going going;
  Measured& measured = going.measured;
  auto& batch_sum = going.batch_sum;
  batch_sum.resize(E);
  measured.blocks.assign(max_blocks, std::vector<Moments>(E));
  measured.block_steps.assign(max_blocks, {0, 0});
  measured.unit.assign(E, 1);
  measured.sample.assign(E, 0);
  long round = 1;  // rounds that may go on are of whole batches, so that the next begins with one
  for (std::size_t k = 0; k < samples.size(); ++k) {
    const Sample& sample = samples[k];
    for (const auto& pass : sample.passes)
      for (const std::size_t e : pass) {
        measured.unit[e] = sample.unit;
        measured.sample[e] = static_cast<int>(k);
        expect(options.trajectories % sample.unit == 0 && options.trajectories >= 2 * sample.unit,
               "estimator '", rungs[e].estimator.name, "' is of ", sample.unit,
               " trajectories at a time: their number must be a multiple of that, at least twice, got ",
               options.trajectories);
      }
    round = std::lcm(round, static_cast<long>(sample.cosine_batch));
  }

  const auto produce = [&](const Sample& sample, int shard, long total) {
    const long first = static_cast<long>(shard) * sample.shard;
    const Draw draw{options.seed, "measure", static_cast<int>(first),
                    static_cast<int>(std::min<long>(sample.shard, total - first)),
                    sample.same_start ? sample.unit : 1};
    Trajectories batch = sample.draws_again
                             ? sample_unequal(world, policy, behaviour, world.T, world.gamma, draw)
                             : world.sample(policy, behaviour, world.T, draw);
    Wanted wanted;
    for (const auto& pass : sample.passes)
      for (const std::size_t e : pass) wanted = wanted | wanted_by(rungs[e].estimator);
    annotate(world, policy, behaviour, world.gamma, wanted, batch);
    if (critic) critic(batch);
    std::vector<int> offset;
    for (int i = 0; i <= batch.size(); i += sample.unit)
      offset.push_back(batch.offset[static_cast<std::size_t>(i)]);
    Shard out;
    out.steps = batch.rows();
    out.g.resize(E);
    for (const auto& pass : sample.passes) {
      std::vector<const Estimator*> estimators;
      for (const std::size_t e : pass) estimators.push_back(&rungs[e].estimator);
      auto estimates = estimate(estimators, policy, *rungs[pass.front()].theta, batch, offset, constants);
      for (std::size_t k = 0; k < pass.size(); ++k) {
        for (double& each : values(estimates[k])) each /= sample.unit;
        out.g[pass[k]] = std::move(estimates[k]);
      }
    }
    out.moments.resize(E);
    const Array<double>& reference = out.g[static_cast<std::size_t>(options.relative_to)];
    for (const auto& pass : sample.passes)
      for (const std::size_t e : pass)
        out.moments[e] = Moments::of(out.g[e], reference.size() ? reference : out.g[e]);
    if (!options.each) out.g.clear();
    return out;
  };

  const auto combine = [&](const Sample& sample, int shard, Shard part) {
    const long first = static_cast<long>(shard) * sample.shard;
    const std::size_t a_rung = sample.passes.front().front();
    const long n = static_cast<long>(part.moments[a_rung].n) * sample.unit;
    auto& block = measured.blocks[static_cast<std::size_t>(shard % max_blocks)];
    if (&sample == &samples.front()) {
      auto& steps = measured.block_steps[static_cast<std::size_t>(shard % max_blocks)];
      steps[0] += static_cast<double>(n);
      steps[1] += part.steps;
    }
    const bool batch_ends = (first + n) % sample.cosine_batch == 0;
    auto& batch_block = measured.blocks[static_cast<std::size_t>(first / sample.cosine_batch % max_blocks)];
    for (const auto& pass : sample.passes)
      for (const std::size_t e : pass) {
        auto& sum = batch_sum[e];
        sum.resize(part.moments[e].mean.size(), 0);
        for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += part.moments[e].mean[j] * part.moments[e].n;
        if (options.each) options.each(static_cast<int>(e), first / sample.unit, part.g[e]);
        block[e].merge(part.moments[e]);
        if (batch_ends) {
          batch_block[e].add_batch(sum);
          std::fill(sum.begin(), sum.end(), 0);
        }
      }
  };

  long &done = going.done, &total = going.total;
  std::size_t& k = going.sample;
  int& shard = going.shard;
  total = options.trajectories;
  if (options.until_rse) total = (total + round - 1) / round * round;
  if (!options.keeper.kept.empty()) {
    const Going begun = going;
    restore_from(options.keeper.kept, going);
    std::vector<std::size_t> d;
    for (const Rung& rung : rungs) d.push_back(numbers_in(*rung.theta));
    expect_fits(measured, begun.measured, d);
    bool fits = batch_sum.size() == E && k <= samples.size() && shard >= 0 && done >= 0 && done <= total;
    for (std::size_t e = 0; fits && e < E; ++e) fits = batch_sum[e].empty() || batch_sum[e].size() == d[e];
    long round_total = begun.total;  // which doubles
    while (options.until_rse && round_total < total && round_total <= std::numeric_limits<int>::max())
      round_total *= 2;
    expect(fits && total == round_total, "the stored measurement stands where this one never does");
  }
  const auto state = [&] { return stored(going); };
  const auto parts = static_cast<long>(samples.size());
  const std::size_t parameters = numbers_in(behaviour);
  for (;;) {
    expect(total <= std::numeric_limits<int>::max(), "cannot measure ", total, " trajectories: at most ",
           std::numeric_limits<int>::max());
    for (; k < samples.size(); ++k, shard = 0) {
      const Sample& sample = samples[k];
      const auto end = static_cast<int>((total + sample.shard - 1) / sample.shard);
      shard = std::max(shard, static_cast<int>(done / sample.shard));
      while (shard < end) {
        double rows = 0;
        ordered_reduce(
            std::min(shards_between_stands, end - shard),
            [&](int i) { return produce(sample, shard + i, total); },
            [&](int i, Shard part) {
              rows += part.steps;
              combine(sample, shard + i, std::move(part));
              options.progress(static_cast<long>(k) * total +
                                   std::min<long>(static_cast<long>(shard + i + 1) * sample.shard, total),
                               parts * total);
            });
        shard += std::min(shards_between_stands, end - shard);
        if (options.keeper.stands) options.keeper.stands(work_of(rows, E, parameters), state);
      }
    }
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
    k = 0;
  }
}

std::vector<Quantity> quantities(const Measured& measured, const std::vector<Rung>& rungs,
                                 const std::vector<Truth>& truth, int rung, int relative_to) {
  const auto self = static_cast<std::size_t>(rung), other = static_cast<std::size_t>(relative_to);
  std::vector<std::vector<Moments>> blocks;
  for (const auto& block : measured.blocks) blocks.push_back({block[self], block[other]});
  const Truth& exact = truth[self];
  const bool gradient_known = !exact.gradient.empty(), moments_known = !exact.variance.empty();

  const bool paired = measured.sample[self] == measured.sample[other];
  const double sizes = static_cast<double>(measured.unit[self]) / measured.unit[other];
  enum { trace, bias_sq, mse, snr, noise, cosine, ratio, difference_sq, share };
  const auto estimates = jackknife(blocks, [&](const std::vector<Moments>& m) {
    const Moments &a = m[0], &b = m[1];
    const double t = a.trace_cov(), nan = std::numeric_limits<double>::quiet_NaN();
    const double bias = gradient_known ? squared_distance(a.mean, exact.gradient) - t / a.n : nan;
    const double signal = squared_norm(a.mean) - t / a.n;
    const double apart = squared_distance(a.mean, b.mean);
    const double apart_trace =
        paired ? (a.difference_sq - a.n * apart) / (a.n - 1) : t + b.trace_cov() * a.n / b.n;
    const double pairs = a.batches * (a.batches - 1);
    const double aligned = a.direction.empty() ? 0 : squared_norm(a.direction);
    return std::vector<double>{t,
                               bias,
                               bias + t,
                               signal / t,
                               t / signal,
                               pairs > 0 ? (aligned - a.directions) / pairs : nan,
                               sizes * t / b.trace_cov(),
                               apart - apart_trace / a.n,
                               a.norm_sq > 0 ? a.largest_norm_sq / a.norm_sq : 0};
  });
  // norm - exact = (norm^2 - exact^2) / (norm + exact), down to where both are lost in the error of their
  // squares.
  const auto norm_of = [](Estimate square, double about) {
    const double norm = std::sqrt(std::max(0.0, square.value));
    return Estimate{norm,
                    square.se > 0 ? square.se / std::max(norm + about, std::sqrt(square.se)) : square.se};
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
      exact_ratio = sizes * *exact_trace / std::accumulate(v.begin(), v.end(), 0.0);
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
