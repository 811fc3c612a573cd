#include "algorithms/train/ddpg.h"

#include <algorithm>
#include <cmath>

#include "algorithms/train/options.h"
#include "autograd/autograd.h"
#include "core/parallel.h"
#include "nn/optim.h"

namespace lowvar {
namespace {

using T = float;
using Arrays = std::vector<Array<T>>;

constexpr int shard = 128;  // rows whose whole graph one thread evaluates

/// Transitions (s, a, r, s', whether the world ended), the last `capacity` of them.
class Replay {
 public:
  Replay(int capacity, int p, int m) : capacity_(capacity), p_(p), m_(m) {}

  int size() const { return static_cast<int>(std::min<long>(added_, capacity_)); }

  void add(std::span<const float> s, std::span<const double> a, double r, std::span<const float> next,
           bool ended) {
    const std::size_t width = static_cast<std::size_t>(2 * p_ + m_ + 2);
    const auto at = static_cast<std::size_t>(added_++ % capacity_) * width;
    if (rows_.size() < at + width) rows_.resize(at + width);
    T* to = rows_.data() + at;
    to = std::copy(s.begin(), s.end(), to);
    to = std::copy(a.begin(), a.end(), to);
    *to++ = static_cast<T>(r);
    to = std::copy(next.begin(), next.end(), to);
    *to = ended;
  }

  struct Batch {
    Array<T> s, sa, r, next, goes_on;
  };
  Batch operator()(std::span<const int> rows) const {
    const int n = static_cast<int>(rows.size());
    Batch out{zeros<T>(n, p_), zeros<T>(n, p_ + m_), zeros<T>(n, 1), zeros<T>(n, p_), zeros<T>(n, 1)};
    for (int k = 0; k < n; ++k) {
      const T* from = rows_.data() + static_cast<std::size_t>(rows[static_cast<std::size_t>(k)]) *
                                         static_cast<std::size_t>(2 * p_ + m_ + 2);
      std::copy_n(from, p_, row(out.s, k).begin());
      std::copy_n(from, p_ + m_, row(out.sa, k).begin());
      from += p_ + m_;
      out.r(k, 0) = *from++;
      std::copy_n(from, p_, row(out.next, k).begin());
      out.goes_on(k, 0) = 1 - from[p_];
    }
    return out;
  }

 private:
  int capacity_, p_, m_;
  long added_ = 0;
  std::vector<T> rows_;
};

Arrays in_float(const Parameters& x) {
  Arrays out;
  for (const auto& each : x) out.emplace_back(each);
  return out;
}

/// The mean over `rows` rows, and its gradient, of the sum f(tape, x, begin, end).
template <class F>
ValueAndGrad<T> mean_over(int rows, const Arrays& x, F&& f) {
  auto mean = sharded_value_and_grad(f, x, rows, shard);
  mean.value /= static_cast<T>(rows);
  for (auto& g : mean.grad)
    for (T& each : values(g)) each /= static_cast<T>(rows);
  return mean;
}

class Ddpg {
 public:
  Ddpg(const World& world, const DdpgOptions& options, long steps, std::uint64_t seed, const Watcher& watcher)
      : world_(world),
        o_(options),
        steps_(steps),
        seed_(seed),
        watcher_(watcher),
        replay_(options.buffer, world.observation, world.m) {
    const auto mlp = [&](int inputs, int outputs) {
      Mlp out{.sizes = {inputs}, .activation = o_.activation == "relu" ? Activation::relu : Activation::tanh};
      out.sizes.insert(out.sizes.end(), o_.hidden.begin(), o_.hidden.end());
      out.sizes.push_back(outputs);
      return out;
    };
    policy_ = {mlp(world.observation, world.m), Head::gaussian, world.action_bound};
    critic_ = mlp(world.observation + world.m, 1);
    Rng of_policy(seed, "policy-init"), of_critic(seed, "critic-init");
    theta_ = theta_target_ = in_float(initialise_uniform(std::get<Mlp>(policy_.model), of_policy));
    w_ = w_target_ = in_float(initialise_uniform(critic_, of_critic));
  }

  Learned run() {
    const auto environments = world_.stepper(o_.envs, world_.T, seed_, "train");
    std::vector<Rng> explore;
    for (int i = 0; i < o_.envs; ++i)
      explore.emplace_back(seed_, "train-actions", static_cast<std::uint32_t>(i));
    Array<double> actions = zeros<double>(o_.envs, world_.m), drift = actions;
    std::vector<double> total(static_cast<std::size_t>(o_.envs));
    std::vector<int> length(total.size());
    UpdateReport report;
    for (std::uint32_t t = 0; step_ < steps_; ++t) {
      const Array<float> seen = environments->observation();
      const bool random = step_ < o_.warmup;
      Array<T> mean;
      if (!random) mean = act(theta_, seen);
      for (int i = 0; i < o_.envs; ++i) {
        Rng& rng = explore[static_cast<std::size_t>(i)];
        rng.seek(t);
        for (int j = 0; j < world_.m; ++j) {
          const double bound = world_.action_bound;
          if (random) {
            actions(i, j) = rng.uniform(-bound, bound);
            continue;
          }
          double& noise = drift(i, j);
          noise = (o_.noise == "ou" ? (1 - o_.ou_theta) * noise : 0.0) + o_.noise_std * rng.normal();
          actions(i, j) = std::clamp(static_cast<double>(mean(i, j)) + bound * noise, -bound, bound);
        }
      }
      environments->step({}, actions);
      step_ += o_.envs;
      std::vector<Collector::Episode> ended;
      for (int i = 0; i < o_.envs; ++i) {
        const auto k = static_cast<std::size_t>(i);
        const bool terminated = environments->terminated()[k], truncated = environments->truncated()[k];
        const bool ends = terminated || truncated;
        const auto& next = ends ? environments->final_observation() : environments->observation();
        replay_.add(row(seen, i), row(actions, i), o_.reward_scale * environments->reward()[k], row(next, i),
                    terminated || (truncated && o_.truncation == "terminate"));
        total[k] += environments->reward()[k];
        ++length[k];
        if (!ends) continue;
        ended.push_back({total[k], length[k], step_});
        total[k] = length[k] = 0;
        std::fill(row(drift, i).begin(), row(drift, i).end(), 0.0);
      }
      watcher_.saw(ended);
      if (step_ < o_.warmup || replay_.size() < o_.batch ||
          t % static_cast<std::uint32_t>(o_.update_every) != 0)
        continue;
      for (int u = 0; u < o_.updates; ++u) {
        if (watcher_.wants && watcher_.wants(update_)) watcher_.snapshot(update_, step_, learned());
        report.update = update_;
        report.step = step_;
        report.learning_rate = o_.learning_rate;
        update(report);
        ++update_;
        watcher_.saw(report);
      }
    }
    report.step = step_;
    watcher_.saw(report);
    return learned();
  }

 private:
  Learned learned() const {
    Learned out{policy_, {}};
    for (const auto& x : theta_) out.theta.emplace_back(x);
    out.theta.push_back(
        full<double>(1, world_.m, std::log(std::max(1e-8, world_.action_bound * o_.noise_std))));
    return out;
  }

  /// mu(s) [n x m].
  Var<T> mu(const std::vector<Var<T>>& theta, Var<T> s) const {
    return tanh(forward(std::get<Mlp>(policy_.model), theta, s)) * static_cast<T>(world_.action_bound);
  }

  Array<T> act(const Arrays& theta, const Array<T>& s) const {
    Tape<T> tape;
    return mu(tape.constants(theta), tape.data(s)).value();
  }

  /// Q(s, a), [n x 1].
  Var<T> Q(const std::vector<Var<T>>& w, Var<T> s, Var<T> a) const {
    return forward(critic_, w, concatenate_columns<T>({s, a}));
  }

  void update(UpdateReport& report) {
    std::vector<int> rows;
    Rng rng(seed_, "replay", static_cast<std::uint32_t>(update_));
    for (int i = 0; i < o_.batch; ++i) rows.push_back(static_cast<int>(rng.uniform() * replay_.size()));
    const Replay::Batch batch = replay_(rows);
    const auto of_critic =
        mean_over(o_.batch, w_, [&](Tape<T>& tape, const std::vector<Var<T>>& w, int begin, int end) {
          const Var<T> next = tape.data(batch.next, begin, end);
          const Var<T> Q_next = Q(tape.constants(w_target_), next, mu(tape.constants(theta_target_), next));
          const Var<T> y = tape.data(batch.r, begin, end) +
                           tape.data(batch.goes_on, begin, end) * Q_next * static_cast<T>(o_.gamma);
          const Var<T> error = forward(critic_, w, tape.data(batch.sa, begin, end)) - y;
          return sum(o_.critic_loss == "huber" ? huber(error, 1) : square(error));
        });
    adam_step(w_, of_critic.grad, critic_adam_, {.learning_rate = o_.critic_learning_rate});

    const auto of_policy =
        mean_over(o_.batch, theta_, [&](Tape<T>& tape, const std::vector<Var<T>>& theta, int begin, int end) {
          const Var<T> s = tape.data(batch.s, begin, end);
          return -sum(Q(tape.constants(w_), s, mu(theta, s)));
        });
    double square_norm = 0;
    for (const auto& g : of_policy.grad)
      for (const T each : g) square_norm += static_cast<double>(each) * static_cast<double>(each);
    adam_step(theta_, of_policy.grad, policy_adam_, {.learning_rate = o_.learning_rate});

    const auto follow = [&](Arrays& target, const Arrays& x) {
      const T tau = static_cast<T>(o_.tau);
      for (std::size_t i = 0; i < x.size(); ++i)
        for (std::size_t j = 0; j < x[i].size(); ++j)
          target[i].data()[j] += tau * (x[i].data()[j] - target[i].data()[j]);
    };
    follow(theta_target_, theta_);
    follow(w_target_, w_);
    report.value_loss = static_cast<double>(of_critic.value);
    report.gradient_norm = std::sqrt(square_norm);
  }

  const World& world_;
  const DdpgOptions& o_;
  const long steps_;
  const std::uint64_t seed_;
  const Watcher& watcher_;
  Replay replay_;
  Policy policy_{};
  Mlp critic_;
  Arrays theta_, w_, theta_target_, w_target_;
  AdamState<T> policy_adam_, critic_adam_;
  long step_ = 0, update_ = 0;
};

}  // namespace

void check(const DdpgOptions& o, const World& world) {
  expect(world.m > 0, "ddpg acts by vectors, and the actions of ", world.id, " are choices");
  one_of("truncation", o.truncation, {"bootstrap", "terminate"});
  one_of("activation", o.activation, {"tanh", "relu"});
  one_of("noise", o.noise, {"gaussian", "ou"});
  one_of("critic_loss", o.critic_loss, {"mse", "huber"});
  at_least_one({{"envs", o.envs},
                {"buffer", o.buffer},
                {"batch", o.batch},
                {"update_every", o.update_every},
                {"updates", o.updates}});
  expect(o.batch <= o.buffer, "batch, ", o.batch, ", cannot be larger than buffer, ", o.buffer);
  expect(o.warmup >= 0, "warmup must not be negative, got ", o.warmup);
  from_zero_to_one({{"gamma", o.gamma}, {"tau", o.tau}, {"ou_theta", o.ou_theta}});
  positive({{"learning_rate", o.learning_rate},
            {"critic_learning_rate", o.critic_learning_rate},
            {"reward_scale", o.reward_scale}});
  not_negative({{"noise_std", o.noise_std}});
  check_hidden(o.hidden);
}

Learned train(const World& world, const DdpgOptions& options, long steps, std::uint64_t seed,
              const Watcher& watcher) {
  check(options, world);
  return Ddpg(world, options, steps, seed, watcher).run();
}

}  // namespace lowvar
