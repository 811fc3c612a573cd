#include "algorithms/train/ddpg.h"

#include <algorithm>
#include <cmath>

#include "algorithms/train/algorithm_of.h"
#include "algorithms/train/replay.h"
#include "core/store.h"

namespace lowvar {

DdpgOptions ddpg_recipe(const World& world) { return {.gamma = world.gamma}; }

void check(const DdpgOptions& o, const World& world) {
  expect(world.m > 0 && world.levels.empty(), "ddpg acts by vectors, and the actions of ", world.id,
         " are choices");
  at_least_one({{"envs", o.envs},
                {"buffer", o.buffer},
                {"batch", o.batch},
                {"update_every", o.update_every},
                {"updates", o.updates},
                {"policy_every", o.policy_every}});
  at_most(1e6, {{"envs", o.envs}, {"batch", o.batch}});
  expect(o.batch <= o.buffer, "batch, ", o.batch, ", cannot be larger than buffer, ", o.buffer);
  expect(o.warmup >= 0, "warmup must not be negative, got ", o.warmup);
  from_zero_to_one({{"gamma", o.gamma}, {"tau", o.tau}, {"ou_theta", o.ou_theta}});
  positive({{"learning_rate", o.learning_rate},
            {"critic_learning_rate", o.critic_learning_rate},
            {"reward_scale", o.reward_scale}});
  not_negative({{"noise_std", o.noise_std}});
  check_hidden(o.hidden);
}

namespace {

using T = float;

constexpr int shard = 128;  // rows whose whole graph one thread evaluates

/// The mean over `rows` rows, and its gradient, of the sum f(tape, x, begin, end).
template <class F>
ValueAndGrad<T> mean_over(int rows, const Arrays<T>& x, F&& f) {
  auto mean = sharded_value_and_grad(f, x, rows, shard);
  mean.value /= static_cast<T>(rows);
  for (auto& g : mean.grad)
    for (T& each : values(g)) each /= static_cast<T>(rows);
  return mean;
}

/// target <- tau x + (1 - tau) target.
void follow(Arrays<T>& target, const Arrays<T>& x, double tau) {
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t j = 0; j < x[i].size(); ++j)
      target[i].data()[j] += static_cast<T>(tau) * (x[i].data()[j] - target[i].data()[j]);
}

/// Everything that the future of a run depends on.
struct DdpgLearner {
  Replay replay;
  Arrays<T> theta, w, theta_target, w_target;
  AdamState<T> policy_adam, critic_adam;
  std::vector<std::byte> places;  // of the environments, after the last update
  std::vector<double> total;      // [envs], return of the episode so far
  std::vector<int> length;        // [envs], its steps so far
  Array<double> drift;            // [envs x m], Ornstein and Uhlenbeck's noise
  long t = 0, step = 0, update = 0;

  explicit DdpgLearner(Replay empty) : replay(std::move(empty)) {}

  template <class F>
  void visit(F&& f) {
    f("theta", theta), f("w", w), f("theta_target", theta_target), f("w_target", w_target);
    f("policy_adam", policy_adam), f("critic_adam", critic_adam), f("replay", replay);
    f("places", places), f("total", total), f("length", length), f("drift", drift);
    f("t", t), f("step", step), f("update", update);
  }
};

class DdpgRun final : public Run {
 public:
  DdpgRun(const World& world, const DdpgOptions& options, long steps, std::uint64_t seed)
      : world_(world),
        o_(options),
        total_(steps),
        seed_(seed),
        policy_{mlp(world.observation, world.m), Head::gaussian, world.action_low, world.action_high},
        critic_(mlp(world.observation + world.m, 1)),
        l_(Replay(options.buffer, world.observation, world.m)),
        environments_(world.stepper(options.envs, world.T, seed, "train")) {
    Rng of_policy(seed, "policy-init"), of_critic(seed, "critic-init");
    l_.theta = l_.theta_target = in_float(initialise_uniform(std::get<Mlp>(policy_.model), of_policy));
    l_.w = l_.w_target = in_float(initialise_uniform(critic_, of_critic));
    l_.total.resize(static_cast<std::size_t>(o_.envs));
    l_.length.resize(l_.total.size());
    l_.drift = zeros<double>(o_.envs, world.m);
    l_.places = environments_->save();
  }
  DdpgRun(const DdpgRun& other) : DdpgRun(other.world_, other.o_, other.total_, other.seed_) {
    const auto bytes = other.store();
    DdpgRun::restore(bytes);
  }

  bool goes_on() const override { return l_.step < total_; }

  /// Steps until it is time to learn, then the updates of that time.
  UpdateReport update(const Watcher& watcher) override {
    UpdateReport report{.learning_rate = o_.learning_rate};
    do {
      step(watcher);
      ++l_.t;
    } while (goes_on() && !(due()));
    if (due())
      for (int u = 0; u < o_.updates; ++u) {
        if (u > 0 && watcher.wants && watcher.wants(l_.update))
          watcher.snapshot(l_.update, l_.step, learned());
        learn(report, watcher);
        report.update = l_.update++;
        report.step = l_.step;
        if (u + 1 < o_.updates) watcher.saw(report);
      }
    report.step = l_.step;
    l_.places = environments_->save();
    return report;
  }

  bool finite() const override { return all_finite(l_.theta) && all_finite(l_.w); }
  Learned learned() const override {
    Learned out{policy_, converted<double>(std::span<const Array<T>>(l_.theta))};
    Array<double> log_std = zeros<double>(1, world_.m);
    for (int j = 0; j < world_.m; ++j) log_std(0, j) = std::log(std::max(1e-8, half_range(j) * o_.noise_std));
    out.theta.push_back(std::move(log_std));
    return out;
  }
  Parameters policy_parameters() const override {
    return converted<double>(std::span<const Array<T>>(l_.theta));
  }
  long updates() const override { return l_.update; }
  long steps() const override { return l_.step; }
  double work() const override {
    double parameters = 0;
    for (const auto* networks : {&l_.theta, &l_.w})
      for (const auto& x : *networks) parameters += static_cast<double>(x.size());
    return seconds_of(static_cast<double>(l_.step) + static_cast<double>(l_.update) * o_.batch, parameters);
  }
  std::unique_ptr<Run> clone() const override { return std::make_unique<DdpgRun>(*this); }
  std::vector<std::byte> store() const override { return stored(l_); }
  void restore(std::span<const std::byte> learner) override {
    const Arrays<T> theta = l_.theta, w = l_.w;
    const auto of_policy = std::span<const Array<T>>(theta), of_critic = std::span<const Array<T>>(w);
    restore_from(learner, l_);
    expect_shapes<T>("theta", std::span(l_.theta), of_policy);
    expect_shapes<T>("theta_target", std::span(l_.theta_target), of_policy);
    expect_shapes<T>("policy_adam", l_.policy_adam, of_policy);
    expect_shapes<T>("w", std::span(l_.w), of_critic);
    expect_shapes<T>("w_target", std::span(l_.w_target), of_critic);
    expect_shapes<T>("critic_adam", l_.critic_adam, of_critic);
    expect(l_.replay.whole(), "the stored learner's replay buffer lacks rows or has too many");
    const auto n = static_cast<std::size_t>(o_.envs);
    expect(l_.total.size() == n && l_.length.size() == n && shape(l_.drift) == Shape{o_.envs, world_.m},
           "the stored learner is of another number of environments than ", o_.envs);
    expect_counts({{"t", l_.t}, {"step", l_.step}, {"update", l_.update}});
    for (const int each : l_.length) expect_counts({{"length", each}});
    environments_->restore(l_.places);
  }
  std::unique_ptr<Run> branch(std::uint64_t, const std::string&) const override {
    throw Error("ddpg learns from what other policies did: it has no batches of one policy to draw again");
  }

 private:
  static Arrays<T> in_float(const Parameters& x) { return converted<T>(std::span<const Array<double>>(x)); }

  Mlp mlp(int inputs, int outputs) const {
    Mlp out{.sizes = {inputs}, .activation = o_.activation};
    out.sizes.insert(out.sizes.end(), o_.hidden.begin(), o_.hidden.end());
    out.sizes.push_back(outputs);
    return out;
  }
  double low(int j) const { return world_.action_low[static_cast<std::size_t>(j)]; }
  double high(int j) const { return world_.action_high[static_cast<std::size_t>(j)]; }
  double half_range(int j) const { return 0.5 * (high(j) - low(j)); }

  bool due() const {
    return l_.step >= o_.warmup && l_.replay.size() >= o_.batch && (l_.t - 1) % o_.update_every == 0;
  }

  /// mu(s) [n x m].
  Var<T> mu(const std::vector<Var<T>>& theta, Var<T> s) const {
    return policy_.between_bounds(forward(std::get<Mlp>(policy_.model), theta, s));
  }
  /// Q(s, a), [n x 1].
  Var<T> Q(const std::vector<Var<T>>& w, Var<T> s, Var<T> a) const {
    return forward(critic_, w, concatenate_columns<T>({s, a}));
  }

  /// a_t = mu(s_t) + noise, or anything while it warms up.
  Array<double> explore(const Array<T>& seen) {
    const bool random = l_.step < o_.warmup;
    Array<T> mean;
    if (!random) {
      Tape<T> tape;
      mean = mu(tape.constants(borrow(l_.theta)), tape.data(seen)).value();
    }
    Array<double> actions = zeros<double>(o_.envs, world_.m);
    for (int i = 0; i < o_.envs; ++i) {
      Rng rng(seed_, "train-actions", static_cast<std::uint32_t>(i));
      rng.seek(static_cast<std::uint32_t>(l_.t));
      for (int j = 0; j < world_.m; ++j) {
        if (random) {
          actions(i, j) = rng.uniform(low(j), high(j));
          continue;
        }
        double& noise = l_.drift(i, j);
        noise = (o_.noise == Noise::ou ? (1 - o_.ou_theta) * noise : 0.0) + o_.noise_std * rng.normal();
        actions(i, j) = std::clamp(static_cast<double>(mean(i, j)) + half_range(j) * noise, low(j), high(j));
      }
    }
    return actions;
  }

  /// One step of every environment, into the buffer.
  void step(const Watcher& watcher) {
    const Array<T> seen = environments_->observation().as<T>();
    const Array<double> actions = explore(seen);
    environments_->step({}, actions);
    const Array<T> after = environments_->observation().as<T>(),
                   last = environments_->final_observation().as<T>();
    l_.step += o_.envs;
    std::vector<Episode> ended;
    for (int i = 0; i < o_.envs; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const bool terminated = environments_->terminated()[k], truncated = environments_->truncated()[k];
      const bool ends = terminated || truncated;
      const auto& next = ends ? last : after;
      l_.replay.add(row(seen, i), row(actions, i), o_.reward_scale * environments_->reward()[k], row(next, i),
                    terminated || (truncated && o_.truncation == Truncation::terminate));
      l_.total[k] += environments_->reward()[k];
      ++l_.length[k];
      if (!ends) continue;
      ended.push_back({l_.total[k], l_.length[k], l_.step});
      l_.total[k] = l_.length[k] = 0;
      std::fill(row(l_.drift, i).begin(), row(l_.drift, i).end(), 0.0);
    }
    watcher.saw(ended);
  }

  /// Minimise (y - Q(s, a; w))^2 with y = r + gamma Q'(s', mu'(s')); where it is time, climb
  /// Q(s, mu(s; theta)) and move the targets.
  void learn(UpdateReport& report, const Watcher& watcher) {
    std::vector<int> rows;
    Rng rng(seed_, "replay", static_cast<std::uint32_t>(l_.update));
    for (int i = 0; i < o_.batch; ++i) rows.push_back(static_cast<int>(rng.uniform() * l_.replay.size()));
    const Replay::Batch batch = l_.replay(rows);
    const auto of_critic =
        mean_over(o_.batch, l_.w, [&](Tape<T>& tape, const std::vector<Var<T>>& w, int begin, int end) {
          const Var<T> next = tape.data(borrow(batch.next), begin, end);
          const Var<T> Q_next =
              Q(tape.constants(borrow(l_.w_target)), next, mu(tape.constants(borrow(l_.theta_target)), next));
          const Var<T> y = tape.data(borrow(batch.r), begin, end) +
                           tape.data(borrow(batch.goes_on), begin, end) * Q_next * static_cast<T>(o_.gamma);
          const Var<T> error = forward(critic_, w, tape.data(borrow(batch.sa), begin, end)) - y;
          return sum(o_.critic_loss == CriticLoss::huber ? huber(error, 1) : square(error));
        });
    adam_step(l_.w, of_critic.grad, l_.critic_adam, {.learning_rate = o_.critic_learning_rate});
    report.value_loss = static_cast<double>(of_critic.value);
    report.gradient_norm = UpdateReport::none;
    if (l_.update % o_.policy_every != 0) return;

    const auto of_policy = mean_over(
        o_.batch, l_.theta, [&](Tape<T>& tape, const std::vector<Var<T>>& theta, int begin, int end) {
          const Var<T> s = tape.data(borrow(batch.s), begin, end);
          return -sum(Q(tape.constants(borrow(l_.w)), s, mu(theta, s)));
        });
    std::vector<double> up;
    double square_norm = 0;
    for (const auto& g : of_policy.grad)
      for (const T each : g) {
        up.push_back(-static_cast<double>(each));
        square_norm += up.back() * up.back();
      }
    if (watcher.gradient) watcher.gradient(up);
    adam_step(l_.theta, of_policy.grad, l_.policy_adam, {.learning_rate = o_.learning_rate});

    follow(l_.theta_target, l_.theta, o_.tau);
    follow(l_.w_target, l_.w, o_.tau);
    report.gradient_norm = std::sqrt(square_norm);
  }

  const World& world_;
  DdpgOptions o_;
  long total_;
  std::uint64_t seed_;
  Policy policy_;
  Mlp critic_;
  DdpgLearner l_;
  std::unique_ptr<Stepper> environments_;
};

}  // namespace

long first_batch(const DdpgOptions& o, const World&) { return std::max(o.warmup, o.batch); }

std::unique_ptr<Run> start(const DdpgOptions& o, const World& world, long steps, std::uint64_t seed) {
  return std::make_unique<DdpgRun>(world, o, steps, seed);
}

std::unique_ptr<Algorithm> algorithm(const DdpgOptions& options) { return algorithm_of(options); }

}  // namespace lowvar
