#include "algorithms/train/pieces.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "algorithms/data/groups.h"
#include "algorithms/estimators/divergences.h"

namespace lowvar {
namespace {

Array<double> normalised(const Normaliser& normaliser, const Array<double>& x) {
  Tape<double> tape;
  return normaliser(tape.data(borrow(x))).value();
}

/// Divides rewards by the deviation, so far, of the discounted sums of past ones: of each environment's
/// episode, or of each whole episode; and holds them within the limit.
template <class T>
void normalise_rewards(Learner<T>& l, const BatchOptions& o, Trajectories& batch) {
  l.running_return.resize(o.episodes ? 1 : static_cast<std::size_t>(o.envs));
  Array<double> returns = zeros<double>(batch.rows(), 1);
  for (int i = 0; i < batch.size(); ++i) {
    double& R = l.running_return[o.episodes ? 0 : static_cast<std::size_t>(batch.begin(i) / o.rollout)];
    for (int r = batch.begin(i); r < batch.end(i); ++r)
      returns(r, 0) = R = o.gamma * R + batch.reward[static_cast<std::size_t>(r)];
    const auto k = static_cast<std::size_t>(i);
    if (o.episodes || batch.terminated[k] || batch.truncated[k]) R = 0;
  }
  l.returned.add(returns);
  const double limit = o.reward_limit > 0 ? o.reward_limit : std::numeric_limits<double>::infinity();
  for (double& r : batch.reward) r = std::clamp(r / l.returned.deviation(0), -limit, limit);
}

/// The next episodes with at least one step; those that end where they start teach nothing.
template <class T>
Trajectories whole_batch(Training<T>& run, const BatchOptions& o, const Estimator& estimator,
                         const Policy& acting) {
  Learner<T>& l = run.learner;
  const std::string stream = "train" + l.branch;
  const Parameters theta = converted<double>(l.theta());
  for (int tries = 0; tries < 1000; ++tries) {
    const Draw draw{l.seed, stream, next_episode(l.episodes, o.episodes), o.episodes,
                    std::max(estimator.unit, 1)};
    auto batch = estimator.draws_again
                     ? sample_unequal(run.world, acting, theta, run.world.T, o.gamma, draw, StillEqual::keep)
                     : run.world.sample(acting, theta, run.world.T, draw);
    l.episodes += o.episodes;
    if (batch.rows() > 0) return batch;
  }
  throw Error(
      join("the episodes of ", run.world.id, " end where they start: there is nothing to learn from"));
}

}  // namespace

template <class T>
Trajectories collect(Training<T>& run, const BatchOptions& o, const Estimator& estimator,
                     const Watcher& watcher) {
  Learner<T>& l = run.learner;
  const Normaliser seen = normaliser_of(l, o);
  Policy acting = l.policy;
  acting.model = of_raw_observations(acting.model, seen);
  Trajectories batch;
  if (run.collector) {
    batch = (*run.collector)(acting, l.theta(), o.rollout);
    l.environments = run.collector->state();
    watcher.saw(run.collector->episodes());
    l.episodes += static_cast<long>(run.collector->episodes().size());
  } else {
    batch = whole_batch(run, o, estimator, acting);
    watcher.saw(whole_episodes(batch, l.step));
  }
  l.step += batch.rows();
  const Wanted wanted = wanted_by(estimator) | Wanted{.reference = o.reward_kl != 0};
  annotate(run.world, acting, converted<double>(l.theta()), o.gamma, wanted, batch);
  for (std::size_t r = 0; r < batch.reward.size() && o.reward_kl != 0; ++r)
    batch.reward[r] -= o.reward_kl * (batch.log_mu[r] - batch.log_reference(r, batch.action[r]));
  if (o.normalise_observations) {
    const Array<double> raw = batch.observation.as<double>();
    batch.observation = normalised(seen, raw);
    batch.final_observation = normalised(seen, batch.final_observation.as<double>());
    l.observed.add(raw);
  }
  for (double& r : batch.reward) r *= o.reward_scale;
  if (o.normalise_rewards) normalise_rewards(l, o, batch);
  return batch;
}

template <class T>
void value(const Learner<T>& l, const BatchOptions& o, Trajectories& batch) {
  if (!l.critic) return;
  const Array<double> out = model_outputs(l.critic->model, l.w(), batch.inputs());
  const Array<double> last = model_outputs(l.critic->model, l.w(), batch.final_inputs());
  const bool of_actions = l.critic->of_actions;
  batch.value.resize(static_cast<std::size_t>(batch.rows()));
  for (std::size_t r = 0; r < batch.value.size(); ++r)
    batch.value[r] = out(r, of_actions ? static_cast<std::size_t>(batch.action[r]) : 0);
  Array<double> p = zeros<double>(0, 0);  // what the policy would do last
  if (of_actions) {
    batch.action_values = out;
    p = policy_outputs(l.policy, l.theta(), batch.final_inputs()).rows;
  }
  batch.bootstrap.assign(static_cast<std::size_t>(batch.size()), 0);
  for (int i = 0; i < batch.size(); ++i) {
    const auto k = static_cast<std::size_t>(i);
    if (batch.terminated[k] || (batch.truncated[k] && o.truncation == Truncation::terminate)) continue;
    if (!of_actions) batch.bootstrap[k] = last(k, 0);
    for (std::size_t a = 0; of_actions && a < p.shape(1); ++a)
      batch.bootstrap[k] += std::exp(p(k, a)) * last(k, a);
  }
  batch.fill_next_values();
}

double explained_variance(std::span<const double> target, std::span<const double> value) {
  const auto n = static_cast<double>(target.size());
  double mean = 0, mean_left = 0, whole = 0, left = 0;
  for (std::size_t r = 0; r < target.size(); ++r)
    mean += target[r] / n, mean_left += (target[r] - value[r]) / n;
  for (std::size_t r = 0; r < target.size(); ++r) {
    whole += (target[r] - mean) * (target[r] - mean);
    left += (target[r] - value[r] - mean_left) * (target[r] - value[r] - mean_left);
  }
  return whole > 0 ? 1 - left / whole : UpdateReport::none;
}

Objective objective_of(const ObjectiveOptions& o) {
  Objective out{.estimator = make_estimator(o.estimator),
                .reduce = o.reduce,
                .standardised = o.advantages == Advantages::standardised,
                .entropy = o.entropy_coefficient};
  if (o.loss_kl != 0)
    out.estimator =
        less_divergence(std::move(out.estimator), make_estimator("kl:" + o.loss_kl_variant), o.loss_kl);
  if (o.surrogate == SurrogateKind::ratio) {
    out.estimator.surrogate = importance_weighted();
    out.estimator.clip = 0;
  }
  return out;
}

template <class T>
void show(const Watcher& watcher, const Learner<T>& l, const Trajectories& batch, const PolicyTerm& actor,
          double gamma) {
  if (!watcher.weighed) return;
  const Parameters theta = converted<double>(l.theta());
  watcher.weighed({batch, l.policy, theta, actor.objective, actor.psi, gamma, [&](std::span<const int> rows) {
                     return ascent(gradient<T>(&actor, nullptr, l.parameters, l.policy_arrays, batch, rows),
                                   l.policy_arrays);
                   }});
}

template <class T>
std::vector<std::vector<int>> minibatches(const Learner<T>& l, int n, int epoch, int parts) {
  std::vector<int> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (parts > 1) {
    Rng rng(l.seed, "minibatches" + l.branch, static_cast<std::uint32_t>(l.update),
            static_cast<std::uint32_t>(epoch));
    for (int i = n; i-- > 1;)
      std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(rng.uniform() * (i + 1))]);
  }
  std::vector<std::vector<int>> out;
  for (long m = 0; m < parts; ++m)
    if (const auto begin = order.begin() + n * m / parts, end = order.begin() + n * (m + 1) / parts;
        begin < end)
      out.emplace_back(begin, end);
  return out;
}

template <class T>
void clip_norm(Gradient<T>& g, double most) {
  if (most <= 0) return;
  double square = 0;
  for (const auto& x : g.g)
    for (const T each : x) square += static_cast<double>(each) * static_cast<double>(each);
  const double norm = std::sqrt(square);
  if (norm <= most) return;
  for (auto& x : g.g)
    for (T& each : values(x)) each *= static_cast<T>(most / norm);
}

template <class T>
void descend(Learner<T>& l, Gradient<T>& g, const StepOptions& o, const CriticOptions& critic, double rate,
             Of what) {
  clip_norm(g, o.max_gradient_norm);
  const auto step = [&](std::span<Array<T>> x, std::span<const Array<T>> along, AdamState<T>& state,
                        double at_rate) {
    switch (o.update) {
      case Optimiser::sgd:
        return sgd_step(x, along, at_rate);
      case Optimiser::rmsprop:
        return rmsprop_step(x, along, state, at_rate, o.adam_epsilon);
      case Optimiser::adam:
        return adam_step(x, along, state, {.learning_rate = at_rate, .epsilon = o.adam_epsilon});
    }
  };
  const std::span<Array<T>> x(l.parameters);
  const std::span<const Array<T>> along(g.g);
  if (what != Of::critic) step(x.first(l.policy_arrays), along.first(l.policy_arrays), l.policy_adam, rate);
  if (what != Of::policy)
    step(x.subspan(l.policy_arrays), along.subspan(l.policy_arrays), l.critic_adam,
         critic_rate(o, critic, rate));
}

template <class T>
void fit_critic(Learner<T>& l, const StepOptions& o, const CriticOptions& critic, double rate,
                const Trajectories& batch, std::span<const double> target, UpdateReport& report) {
  if (!l.critic || critic.joint()) return;
  const CriticTerm term{*l.critic, target};
  double first_epoch = 0;
  for (int epoch = 0; epoch < critic.critic_epochs; ++epoch)
    for (const auto& rows : minibatches(l, batch.rows(), 1000 + epoch, critic.critic_minibatches)) {
      auto g = gradient<T>(nullptr, &term, l.parameters, l.policy_arrays, batch, rows);
      if (epoch == 0) first_epoch += g.value_loss;
      descend(l, g, o, critic, rate, Of::critic);
    }
  report.value_loss = first_epoch / batch.rows();
}

template <class T>
std::vector<double> ascent(const Gradient<T>& g, std::size_t policy_arrays) {
  std::vector<double> out;
  for (std::size_t i = 0; i < policy_arrays; ++i)
    for (const T each : g.g[i]) out.push_back(-static_cast<double>(each));
  return out;
}

template <class T>
void Tally::saw(const Gradient<T>& g, std::size_t policy_arrays, std::size_t rows, int epoch,
                const Watcher& watcher) {
  const std::vector<double> up = ascent(g, policy_arrays);
  const double square = std::inner_product(up.begin(), up.end(), up.begin(), 0.0);
  if (epoch == 0) {
    sum_.resize(up.size());
    for (std::size_t j = 0; j < up.size(); ++j) sum_[j] += up[j];
    square_ += square;
    ++first_epoch_;
  }
  ++count_;
  norm_ += std::sqrt(square);
  entropy_ += g.entropy;
  value_loss_ += g.value_loss;
  rows_ += static_cast<double>(rows);
  if (watcher.gradient) watcher.gradient(up);
}

void Tally::write(UpdateReport& report, bool joint) const {
  report.gradient_norm = norm_ / count_;
  report.entropy = entropy_ / rows_;
  if (joint) report.value_loss = value_loss_ / rows_;
  if (const double k = first_epoch_; k > 1) {
    double of_mean = 0;
    for (const double x : sum_) of_mean += x * x / (k * k);
    const double variance = (square_ - k * of_mean) / (k - 1);
    if (variance > 0) report.gradient_snr = (of_mean - variance / k) / variance;
  }
}

template <class T>
void compare_with_before(const Learner<T>& l, const Estimator& estimator, const Trajectories& batch,
                         UpdateReport& report) {
  const auto log_pi = log_pi_of(l.policy, l.theta(), batch);
  report.kl = sampled_kl(log_pi, batch.log_mu);
  if (estimator.clip == 0) return;
  double outside = 0;
  for (std::size_t r = 0; r < log_pi.size(); ++r)
    outside += std::abs(std::expm1(log_pi[r] - batch.log_mu[r])) > estimator.clip;
  report.clip_fraction = outside / static_cast<double>(log_pi.size());
}

#define LOWVAR_INSTANTIATE(T)                                                                             \
  template Trajectories collect(Training<T>&, const BatchOptions&, const Estimator&, const Watcher&);     \
  template void value(const Learner<T>&, const BatchOptions&, Trajectories&);                             \
  template void show(const Watcher&, const Learner<T>&, const Trajectories&, const PolicyTerm&, double);  \
  template std::vector<std::vector<int>> minibatches(const Learner<T>&, int, int, int);                   \
  template void descend(Learner<T>&, Gradient<T>&, const StepOptions&, const CriticOptions&, double, Of); \
  template void fit_critic(Learner<T>&, const StepOptions&, const CriticOptions&, double,                 \
                           const Trajectories&, std::span<const double>, UpdateReport&);                  \
  template void clip_norm(Gradient<T>&, double);                                                          \
  template std::vector<double> ascent(const Gradient<T>&, std::size_t);                                   \
  template void Tally::saw(const Gradient<T>&, std::size_t, std::size_t, int, const Watcher&);            \
  template void compare_with_before(const Learner<T>&, const Estimator&, const Trajectories&, UpdateReport&);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
