#include "algorithms/train/on_policy.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>

#include "algorithms/data/returns.h"
#include "algorithms/train/natural.h"
#include "algorithms/train/normalise.h"
#include "algorithms/train/options.h"
#include "core/parallel.h"
#include "nn/optim.h"

namespace lowvar {
namespace {

constexpr int shard = 256;  // rows whose whole graph one thread evaluates

template <class T>
using Arrays = std::vector<Array<T>>;

template <class T>
Array<T> rows_of(const Array<double>& x, std::span<const int> rows) {
  Array<T> out = zeros<T>(static_cast<int>(rows.size()), shape(x).cols);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const auto from = row(x, rows[k]);
    std::copy(from.begin(), from.end(), row(out, static_cast<int>(k)).begin());
  }
  return out;
}

template <class T>
Array<T> column_of(const std::vector<double>& x, std::span<const int> rows) {
  Array<T> out = zeros<T>(static_cast<int>(rows.size()), 1);
  for (std::size_t k = 0; k < rows.size(); ++k)
    out.data()[k] = static_cast<T>(x[static_cast<std::size_t>(rows[k])]);
  return out;
}

std::vector<int> entries_of(const std::vector<int>& x, std::span<const int> rows) {
  std::vector<int> out;
  if (x.empty()) return out;
  out.reserve(rows.size());
  for (const int r : rows) out.push_back(x[static_cast<std::size_t>(r)]);
  return out;
}

template <class T>
void add_to(Arrays<T>& sum, const Arrays<T>& part) {
  for (std::size_t i = 0; i < part.size(); ++i)
    for (std::size_t j = 0; j < part[i].size(); ++j) sum[i].data()[j] += part[i].data()[j];
}

template <class T>
double squared_norm(std::span<const Array<T>> g) {
  double sum = 0;
  for (const auto& x : g)
    for (const T each : x) sum += static_cast<double>(each) * static_cast<double>(each);
  return sum;
}

template <class To, class From>
Arrays<To> converted(std::span<const Array<From>> x) {
  Arrays<To> out;
  for (const auto& each : x) {
    out.push_back(zeros<To>(shape(each).rows, shape(each).cols));
    std::copy(each.begin(), each.end(), out.back().data());
  }
  return out;
}

/// What one pass over some rows gives: a gradient and sums over those rows.
template <class T>
struct Part {
  Arrays<T> g;
  double entropy = 0, clipped = 0, value_loss = 0;
};

/// Parameters that asynchronous workers share, with the running mean of g^2 of a shared RMSProp (Mnih et al.
/// 2016, section 4). Each number is read and written whole; numbers are not written together.
template <class T>
struct Shared {
  Arrays<T> x, square;
  std::atomic<long> step{0}, update{0};
  std::mutex watcher;  // who tells holds it

  explicit Shared(Arrays<T> start) : x(std::move(start)) {
    for (const auto& each : x) square.push_back(zeros_like(each));
  }

  void load(Arrays<T>& to) {
    for (std::size_t i = 0; i < x.size(); ++i)
      for (std::size_t j = 0; j < x[i].size(); ++j)
        to[i].data()[j] = std::atomic_ref<T>(x[i].data()[j]).load(std::memory_order_relaxed);
  }

  void rmsprop(const Arrays<T>& g, std::size_t first, std::size_t last, double rate, double epsilon) {
    for (std::size_t i = first; i < last; ++i)
      for (std::size_t j = 0; j < x[i].size(); ++j) {
        const std::atomic_ref<T> at(x[i].data()[j]), running(square[i].data()[j]);
        const T e = g[i].data()[j];
        const T mean = T(0.99) * running.load(std::memory_order_relaxed) + T(0.01) * e * e;
        running.store(mean, std::memory_order_relaxed);
        at.store(at.load(std::memory_order_relaxed) -
                     static_cast<T>(rate) * e / (std::sqrt(mean) + static_cast<T>(epsilon)),
                 std::memory_order_relaxed);
      }
  }
};

template <class T>
class Trainer {
 public:
  Trainer(const World& world, const OnPolicyOptions& options, long steps, std::uint64_t seed,
          const Watcher& watcher, int worker = 0)
      : world_(world),
        o_(options),
        steps_(steps),
        seed_(seed),
        watcher_(watcher),
        estimator_(make_estimator(o_.estimator)) {
    if (o_.surrogate == "ratio") estimator_.surrogate = importance_weighted();
    const int outputs = world.A ? world.A : world.m;
    policy_ = {model_of(outputs, o_.policy_gain), world.A ? Head::softmax : Head::gaussian};
    Rng rng(seed, "policy-init");
    auto theta = initialised(policy_.model, rng);
    if (policy_.head == Head::gaussian) theta.push_back(full<double>(1, outputs, o_.log_std));
    policy_arrays_ = theta.size();
    if (o_.critic != "none") {
      critic_ = model_of(action_values() ? world.A : 1, 1.0, true);
      Rng of_critic(seed, "critic-init");
      for (auto& each : initialised(*critic_, of_critic)) theta.push_back(std::move(each));
    }
    parameters_ = converted<T>(std::span<const Array<double>>(theta));
    if (!o_.episodes) collector_.emplace(world, o_.envs, seed, worker ? join("-", worker) : "");
    kl_coefficient_ = o_.kl_coefficient;
  }

  Learned run() {
    const long per_update = static_cast<long>(o_.envs) * o_.rollout;
    const auto goes_on = [&] {
      if (o_.max_episodes && episodes_ >= o_.max_episodes) return false;
      return o_.episodes ? step_ < steps_ : step_ + per_update <= steps_;
    };
    for (; goes_on(); ++update_) {
      if (watcher_.wants && watcher_.wants(update_)) watcher_.snapshot(update_, step_, learned());
      UpdateReport report;
      report.update = update_;
      Trajectories batch = collect();
      weigh(batch, report);
      anneal(report);
      report.step = step_ += batch.rows();
      if (o_.update == "natural" || o_.update == "trust-region")
        natural_update(batch, report);
      else
        gradient_updates(batch, report);
      if (critic_ && !joint()) critic_updates(batch, report);
      watcher_.saw(report);
    }
    return learned();
  }

  const Arrays<T>& parameters() const { return parameters_; }
  /// What the shared parameters hold.
  Learned now(Shared<T>& shared) {
    shared.load(parameters_);
    return learned();
  }

  /// The loop of one worker among several: until all of them together have taken the steps.
  void run_on(Shared<T>& shared) {
    shared_ = &shared;
    const long per_update = static_cast<long>(o_.envs) * o_.rollout;
    while ((step_ = shared.step.fetch_add(per_update)) + per_update <= steps_) {
      update_ = shared.update.fetch_add(1);
      shared.load(parameters_);
      UpdateReport report;
      Trajectories batch = (*collector_)(policy_, theta(), o_.rollout);
      {
        const std::lock_guard lock(shared.watcher);
        if (watcher_.wants && watcher_.wants(update_)) watcher_.snapshot(update_, step_, learned());
        watcher_.saw(collector_->episodes());
      }
      weigh(batch, report);
      anneal(report);
      report.update = update_;
      report.step = step_ + per_update;
      gradient_updates(batch, report);
      const std::lock_guard lock(shared.watcher);
      watcher_.saw(report);
    }
  }

 private:
  /// The critic learns in the policy's minibatches.
  bool joint() const { return critic_ && o_.critic_epochs == 0; }
  bool action_values() const { return o_.critic == "action-value"; }
  std::span<const Array<T>> theta() const {
    return std::span<const Array<T>>(parameters_).first(policy_arrays_);
  }
  std::span<const Array<T>> w() const {
    return std::span<const Array<T>>(parameters_).subspan(policy_arrays_);
  }

  Model model_of(int outputs, double gain, bool of_critic = false) const {
    if (world_.mdp) return Table{world_.mdp->S, outputs};
    if (world_.lqg && !of_critic) return Linear{world_.observation, outputs};
    Mlp mlp{.sizes = {},
            .activation = o_.activation == "relu" ? Activation::relu : Activation::tanh,
            .output_gain = gain};
    mlp.sizes.push_back(world_.observation);
    mlp.sizes.insert(mlp.sizes.end(), o_.hidden.begin(), o_.hidden.end());
    mlp.sizes.push_back(outputs);
    return mlp;
  }

  Parameters initialised(const Model& model, Rng& rng) const {
    if (o_.initialisation == "uniform" && std::holds_alternative<Mlp>(model))
      return initialise_uniform(std::get<Mlp>(model), rng);
    return initialise(model, rng);
  }

  /// Of raw observations.
  Learned learned() const {
    const auto x = of_raw_observations();
    const std::span<const Array<T>> all(x);
    Learned out{policy_, converted<double>(all.first(policy_arrays_))};
    if (critic_)
      out.critic = critic_, out.w = converted<double>(all.subspan(policy_arrays_)),
      out.action_values = action_values();
    return out;
  }

  Arrays<T> of_raw_observations() const {
    Arrays<T> x = parameters_;
    if (o_.normalise_observations) {
      const std::span<Array<T>> all(x);
      observed_.fold_into(all.first(policy_arrays_));
      if (critic_) observed_.fold_into(all.subspan(policy_arrays_));
    }
    return x;
  }

  /// Sets what falls along the run, for the update after the first step_ steps.
  void anneal(UpdateReport& report) {
    const double done = static_cast<double>(step_) / static_cast<double>(steps_);
    left_ = o_.anneal ? 1 - done : 1;
    report.learning_rate = rate_ = o_.learning_rate * left_;
  }

  Trajectories collect() {
    observed_ = observed_and_last_;
    const auto x = of_raw_observations();
    const auto acting = std::span<const Array<T>>(x).first(policy_arrays_);
    Trajectories batch;
    if (collector_) {
      batch = (*collector_)(policy_, acting, o_.rollout);
      watcher_.saw(collector_->episodes());
      episodes_ += static_cast<long>(collector_->episodes().size());
    } else {
      batch = world_.sample(policy_, converted<double>(acting), world_.T,
                            {seed_, "train", static_cast<int>(episodes_), o_.episodes});
      watcher_.saw(whole_episodes(batch, step_));
      episodes_ += o_.episodes;
    }
    if (o_.normalise_observations) {
      observed_and_last_.add(batch.observation);
      observed_.normalise(batch.observation);
      observed_.normalise(batch.final_observation);
    }
    return batch;
  }

  /// Divides rewards by the deviation, so far, of the discounted sums of past ones.
  void normalise_rewards(Trajectories& batch) {
    running_return_.resize(o_.episodes ? 1 : static_cast<std::size_t>(o_.envs));
    Array<double> returns = zeros<double>(batch.rows(), 1);
    for (int i = 0; i < batch.size(); ++i) {
      double& R = running_return_[o_.episodes ? 0 : static_cast<std::size_t>(batch.begin(i) / o_.rollout)];
      for (auto r = static_cast<std::size_t>(batch.begin(i)); r < static_cast<std::size_t>(batch.end(i)); ++r)
        returns(r, 0) = R = o_.gamma * R + batch.reward[r];
      const auto k = static_cast<std::size_t>(i);
      if (o_.episodes || batch.terminated[k] || batch.truncated[k]) R = 0;
    }
    returned_.add(returns);
    for (double& r : batch.reward) r /= returned_.deviation(0);
  }

  // ---- What the batch is worth ----

  /// Outputs of the critic, [n x outputs].
  Array<double> criticise(const std::vector<int>& state, const Array<double>& observation, int n) const {
    Array<double> out = zeros<double>(n, outputs(*critic_));
    parallel_for((n + shard - 1) / shard, [&](int k) {
      const int begin = k * shard, end = std::min(n, begin + shard);
      const std::vector<int> rows = range(begin, end);
      const auto states = entries_of(state, rows);
      const Array<T> seen = states.empty() ? rows_of<T>(observation, rows) : Array<T>();
      Tape<T> tape;
      const auto V = forward(*critic_, tape.constants(w()), states, states.empty() ? tape.data(seen) : Var<T>());
      std::copy(V.values().begin(), V.values().end(), row(out, begin).begin());
    });
    return out;
  }

  static std::vector<int> range(int begin, int end) {
    std::vector<int> out(static_cast<std::size_t>(end - begin));
    std::iota(out.begin(), out.end(), begin);
    return out;
  }

  /// V(s_T) of each trajectory: for Q(s, .) its mean under the policy.
  std::vector<double> values_at_ends(const Trajectories& batch) const {
    const Array<double> Q = criticise(batch.final_state, batch.final_observation, batch.size());
    if (!action_values()) return {Q.begin(), Q.end()};
    const Array<double> p = probabilities(
        policy_, converted<double>(theta()),
        {batch.final_state, batch.final_observation.size() ? &batch.final_observation : nullptr});
    std::vector<double> V(static_cast<std::size_t>(batch.size()));
    for (int i = 0; i < batch.size(); ++i)
      V[static_cast<std::size_t>(i)] =
          std::inner_product(row(p, i).begin(), row(p, i).end(), row(Q, i).begin(), 0.0);
    return V;
  }

  /// Brings rewards to the learner's scale and fills the batch's values, psi_ and target_. Where an episode
  /// goes on beyond the last step of a trajectory, gamma V(s_T) is part of that step's reward; so everything
  /// after knows only episodes that end.
  void weigh(Trajectories& batch, UpdateReport& report) {
    for (double& r : batch.reward) r *= o_.reward_scale;
    if (o_.normalise_rewards) normalise_rewards(batch);
    const auto n = static_cast<std::size_t>(batch.rows());
    if (critic_) {
      const Array<double> out = criticise(batch.state, batch.observation, batch.rows());
      batch.value.resize(n);
      for (std::size_t r = 0; r < n; ++r)
        batch.value[r] = out(r, action_values() ? static_cast<std::size_t>(batch.action[r]) : 0);
      if (action_values()) batch.action_values = out;
      const auto ends = values_at_ends(batch);
      batch.fill_next_values();
      for (int i = 0; i < batch.size(); ++i) {
        const auto k = static_cast<std::size_t>(i);
        const bool over = batch.terminated[k] || (batch.truncated[k] && o_.truncation == "terminate");
        if (!over) batch.reward[static_cast<std::size_t>(batch.end(i)) - 1] += o_.gamma * ends[k];
      }
      target_.resize(n);
      for (int i = 0; i < batch.size(); ++i) {
        const auto of = [&](std::vector<double>& x) {
          return std::span<double>(x.data() + batch.begin(i), static_cast<std::size_t>(batch.length(i)));
        };
        td_errors(batch.rewards(i), of(batch.value), of(batch.next_value), o_.gamma, of(target_));
        gae(of(target_), o_.gamma, o_.critic_lambda);
      }
      double mean = 0, mean_target = 0;
      for (std::size_t r = 0; r < n; ++r) {
        mean += target_[r] / static_cast<double>(n);
        mean_target += (target_[r] + batch.value[r]) / static_cast<double>(n);
      }
      double left = 0, whole = 0;
      for (std::size_t r = 0; r < n; ++r) {
        left += (target_[r] - mean) * (target_[r] - mean);
        target_[r] += batch.value[r];
        whole += (target_[r] - mean_target) * (target_[r] - mean_target);
      }
      if (whole > 0) report.explained_variance = 1 - left / whole;
    }
    Constants constants;
    constants.gamma = o_.gamma;
    const Array<double> psi = estimator_.weights(batch, constants);
    psi_.assign(psi.begin(), psi.end());
  }

  // ---- Gradients ----

  /// Where the policy was when the batch was collected: its outputs, for the KL divergence from it.
  struct Before {
    Array<double> outputs;  // log probabilities, or means
    Array<T> log_std;
  };

  /// What the networks look at, and what was done, in some rows.
  struct Seen {
    std::vector<int> state, choice;
    Array<T> observation, vector;
    Seen(const Trajectories& batch, std::span<const int> rows)
        : state(entries_of(batch.state, rows)), choice(entries_of(batch.action, rows)) {
      if (state.empty()) observation = rows_of<T>(batch.observation, rows);
      if (choice.empty()) vector = rows_of<T>(batch.action_vector, rows);
    }
    Var<T> observed(Tape<T>& tape) const { return state.empty() ? tape.data(observation) : Var<T>(); }
    Distribution<T> distribution(const Policy& policy, Tape<T>& tape,
                                 const std::vector<Var<T>>& theta) const {
      return policy(theta, state, observed(tape));
    }
    Actions<T> actions(Tape<T>& tape) const {
      return {choice, choice.empty() ? tape.data(vector) : Var<T>()};
    }
  };

  /// f(first row, tape, what is seen, the policy's distribution there) for every shard of the batch, in
  /// parallel.
  template <class F>
  void for_each_shard(const Trajectories& batch, F&& f) const {
    parallel_for((batch.rows() + shard - 1) / shard, [&](int k) {
      const int begin = k * shard, end = std::min(batch.rows(), begin + shard);
      const auto rows = range(begin, end);
      Tape<T> tape;
      const Seen seen(batch, rows);
      f(begin, tape, seen, seen.distribution(policy_, tape, tape.constants(theta())));
    });
  }

  Before outputs_before(const Trajectories& batch) const {
    Before before{zeros<double>(batch.rows(), outputs(policy_.model)), {}};
    for_each_shard(batch, [&](int begin, Tape<T>&, const Seen&, const Distribution<T>& pi) {
      const auto* softmax = std::get_if<Categorical<T>>(&pi);
      const Var<T> out = softmax ? softmax->log_p : std::get<DiagGaussian<T>>(pi).mean;
      std::copy(out.values().begin(), out.values().end(), row(before.outputs, begin).begin());
    });
    if (policy_.head == Head::gaussian) before.log_std = theta().back();
    return before;
  }

  Distribution<T> distribution_before(const Before& before, const Array<T>& outputs, Tape<T>& tape) const {
    if (policy_.head == Head::softmax) return Categorical<T>{tape.data(outputs)};
    return DiagGaussian<T>{tape.data(outputs), tape.constant(before.log_std)};
  }

  /// Half the squared error of the critic's values, a row each; or Huber's loss, or PPO's clipped one.
  Var<T> critic_losses(Var<T> V, const Array<T>& target, const Array<T>& value) const {
    const Var<T> error = V - target;
    if (o_.critic_loss == "huber") return huber(error, 1);
    if (o_.value_clip == 0) return square(error) * T(0.5);
    const Var<T> clipped = clip(V - value, -o_.value_clip, o_.value_clip) + value - target;
    return maximum(square(error), square(clipped)) * T(0.5);
  }

  /// The losses of `rows` and their gradient with respect to the parameters, shards in order.
  /// `denominator` is what sums of the policy's objective are divided by.
  Part<T> losses(const Trajectories& batch, std::span<const int> rows, std::span<const double> psi,
                 const Before* before, double denominator, bool of_policy, bool of_critic) const {
    Part<T> total;
    const int n = static_cast<int>(rows.size());
    const auto part_of = [&](int k) {
      const int begin = k * shard, end = std::min(n, begin + shard);
      const auto own = rows.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
      const Seen seen(batch, own);
      Part<T> part;
      Tape<T> tape;
      const auto parameters = tape.parameters(parameters_);
      std::vector<Var<T>> terms;
      Array<T> log_mu, weight, outputs, target, value;
      if (of_policy) {
        const std::vector<Var<T>> theta(parameters.begin(),
                                        parameters.begin() + static_cast<std::ptrdiff_t>(policy_arrays_));
        const auto pi = seen.distribution(policy_, tape, theta);
        const Var<T> log_pi = log_prob(pi, seen.actions(tape));
        log_mu = column_of<T>(batch.log_mu, own);
        weight = zeros<T>(end - begin, 1);
        for (int r = begin; r < end; ++r)
          weight(r - begin, 0) = static_cast<T>(psi[static_cast<std::size_t>(r)]);
        terms.push_back(sum(estimator_.surrogate(log_pi, log_mu, weight)) * T(-1 / denominator));
        const Var<T> H = entropy(pi);
        for (const T each : H.values()) part.entropy += static_cast<double>(each);
        if (o_.entropy_coefficient != 0) terms.push_back(sum(H) * T(-o_.entropy_coefficient / n));
        if (kl_coefficient_ != 0) {
          outputs = rows_of<T>(before->outputs, own);
          terms.push_back(sum(kl(distribution_before(*before, outputs, tape), pi)) * T(kl_coefficient_ / n));
        }
      }
      if (of_critic) {
        const std::vector<Var<T>> w(parameters.begin() + static_cast<std::ptrdiff_t>(policy_arrays_),
                                    parameters.end());
        Var<T> V = forward(*critic_, w, seen.state, seen.observed(tape));
        if (action_values()) V = pick(V, seen.choice);
        target = column_of<T>(target_, own);
        value = column_of<T>(batch.value, own);
        const Var<T> loss = sum(critic_losses(V, target, value));
        part.value_loss = static_cast<double>(loss.item());
        terms.push_back(loss * T(o_.critic_coefficient / n));
      }
      Var<T> loss = terms.front();
      for (std::size_t i = 1; i < terms.size(); ++i) loss = loss + terms[i];
      part.g = grad(loss, parameters);
      return part;
    };
    ordered_reduce((n + shard - 1) / shard, part_of, [&](int k, Part<T> part) {
      if (k == 0) {
        total = std::move(part);
        return;
      }
      add_to(total.g, part.g);
      total.entropy += part.entropy;
      total.value_loss += part.value_loss;
    });
    return total;
  }

  std::vector<double> log_pi_of(const Trajectories& batch) const {
    std::vector<double> out(static_cast<std::size_t>(batch.rows()));
    for_each_shard(batch, [&](int begin, Tape<T>& tape, const Seen& seen, const Distribution<T>& pi) {
      const auto log_pi = log_prob(pi, seen.actions(tape));
      std::copy(log_pi.values().begin(), log_pi.values().end(), out.begin() + begin);
    });
    return out;
  }

  /// Mean KL(before || now), estimated on the batch's actions by (rho - 1) - log rho (Schulman 2020, k3).
  double sampled_kl(const Trajectories& batch, double* clip_fraction) const {
    const auto log_pi = log_pi_of(batch);
    double sum = 0, outside = 0;
    for (std::size_t r = 0; r < log_pi.size(); ++r) {
      const double log_rho = log_pi[r] - batch.log_mu[r];
      sum += std::expm1(log_rho) - log_rho;
      outside += std::abs(std::expm1(log_rho)) > 0.2;
    }
    if (clip_fraction) *clip_fraction = outside / static_cast<double>(log_pi.size());
    return sum / static_cast<double>(log_pi.size());
  }

  double denominator(const Trajectories& batch, std::size_t rows) const {
    if (o_.reduce == "row") return static_cast<double>(rows);
    return batch.size() * static_cast<double>(rows) / batch.rows();  // the minibatch's share of trajectories
  }

  /// psi of the rows, standardised if asked for.
  std::vector<double> weights_of(std::span<const int> rows) const {
    std::vector<double> psi;
    for (const int r : rows) psi.push_back(psi_[static_cast<std::size_t>(r)]);
    if (o_.advantages == "raw") return psi;
    const auto n = static_cast<double>(psi.size());
    const double mean = std::accumulate(psi.begin(), psi.end(), 0.0) / n;
    double square = 0;
    for (const double x : psi) square += (x - mean) * (x - mean);
    const double deviation = std::sqrt(square / std::max(1.0, n - 1)) + 1e-8;
    for (double& x : psi) x = (x - mean) / deviation;
    return psi;
  }

  std::vector<int> shuffled(int n, int epoch) const {
    std::vector<int> order = range(0, n);
    Rng rng(seed_, "minibatches", static_cast<std::uint32_t>(update_), static_cast<std::uint32_t>(epoch));
    for (int i = n; i-- > 1;)
      std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(rng.uniform() * (i + 1))]);
    return order;
  }

  /// The m-th of `parts` parts of equal size, up to one row.
  static std::span<const int> part_of(const std::vector<int>& order, int m, int parts) {
    const auto n = static_cast<long>(order.size());
    const auto begin = static_cast<std::size_t>(n * m / parts),
               end = static_cast<std::size_t>(n * (m + 1) / parts);
    return std::span(order).subspan(begin, end - begin);
  }

  void descend(Arrays<T>& g, bool of_policy, bool of_critic) {
    if (o_.max_gradient_norm > 0) {
      const double norm = std::sqrt(squared_norm<T>(g));
      if (norm > o_.max_gradient_norm)
        for (auto& x : g)
          for (T& each : values(x)) each *= static_cast<T>(o_.max_gradient_norm / norm);
    }
    const auto step = [&](std::span<Array<T>> x, std::span<const Array<T>> along, AdamState<T>& state,
                          double rate) {
      if (o_.update == "sgd")
        sgd_step(x, along, rate);
      else if (o_.update == "rmsprop")
        rmsprop_step(x, along, state, rate, o_.adam_epsilon);
      else
        adam_step(x, along, state, {.learning_rate = rate, .epsilon = o_.adam_epsilon});
    };
    const double critic_rate =
        o_.critic_learning_rate > 0 ? o_.critic_learning_rate * rate_ / o_.learning_rate : rate_;
    if (shared_) {
      shared_->rmsprop(g, 0, policy_arrays_, rate_, o_.adam_epsilon);
      shared_->rmsprop(g, policy_arrays_, g.size(), critic_rate, o_.adam_epsilon);
      return;
    }
    const std::span<Array<T>> x(parameters_);
    const std::span<const Array<T>> along(g);
    if (of_policy) step(x.first(policy_arrays_), along.first(policy_arrays_), policy_adam_, rate_);
    if (of_critic) step(x.subspan(policy_arrays_), along.subspan(policy_arrays_), critic_adam_, critic_rate);
  }

  /// Epochs of minibatches, each a descent step.
  void gradient_updates(const Trajectories& batch, UpdateReport& report) {
    Before before;
    if (kl_coefficient_ != 0) before = outputs_before(batch);
    const int n = batch.rows();
    std::vector<double> g_sum;
    double g_square = 0, norm = 0, value_loss = 0, entropy_sum = 0, rows_seen = 0;
    int count = 0;
    for (int epoch = 0; epoch < o_.epochs; ++epoch) {
      const bool whole = o_.minibatches == 1;
      const auto order = whole ? range(0, n) : shuffled(n, epoch);
      for (int m = 0; m < o_.minibatches; ++m) {
        const auto rows = part_of(order, m, o_.minibatches);
        if (rows.empty()) continue;
        const auto psi = weights_of(rows);
        auto part = losses(batch, rows, psi, &before, denominator(batch, rows.size()), true, joint());
        const double square = squared_norm(std::span<const Array<T>>(part.g).first(policy_arrays_));
        if (epoch == 0) {
          std::size_t k = 0;
          for (std::size_t i = 0; i < policy_arrays_; ++i) {
            g_sum.resize(std::max(g_sum.size(), k + part.g[i].size()));
            for (const T each : part.g[i]) g_sum[k++] += static_cast<double>(each);
          }
          g_square += square;
        }
        ++count;
        norm += std::sqrt(square);
        value_loss += part.value_loss;
        entropy_sum += part.entropy;
        rows_seen += static_cast<double>(rows.size());
        descend(part.g, true, joint());
      }
      if (o_.kl_stop > 0 && sampled_kl(batch, nullptr) > o_.kl_stop) break;
    }
    report.gradient_norm = norm / count;
    report.entropy = entropy_sum / rows_seen;
    if (joint()) report.value_loss = value_loss / rows_seen;
    if (const double k = o_.minibatches; k > 1) {
      double of_mean = 0;
      for (const double x : g_sum) of_mean += x * x / (k * k);
      const double variance = (g_square - k * of_mean) / (k - 1);
      if (variance > 0) report.gradient_snr = (of_mean - variance / k) / variance;
    }
    report.kl = sampled_kl(batch, &report.clip_fraction);
    if (o_.kl_target > 0) {
      if (report.kl > 1.5 * o_.kl_target) kl_coefficient_ *= 2;
      if (report.kl < o_.kl_target / 1.5) kl_coefficient_ /= 2;
    }
  }

  // ---- The natural gradient ----

  /// Mean over the batch of KL(before || policy now).
  double mean_kl(const Trajectories& batch, const Before& before) const {
    std::vector<double> sums(static_cast<std::size_t>((batch.rows() + shard - 1) / shard));
    for_each_shard(batch, [&](int begin, Tape<T>& tape, const Seen&, const Distribution<T>& pi) {
      const Array<T> outputs =
          rows_of<T>(before.outputs, range(begin, std::min(batch.rows(), begin + shard)));
      const auto each = kl(distribution_before(before, outputs, tape), pi);
      for (const T d : each.values()) sums[static_cast<std::size_t>(begin / shard)] += static_cast<double>(d);
    });
    return std::accumulate(sums.begin(), sums.end(), 0.0) / batch.rows();
  }

  static double dot_of(const std::vector<double>& a, const std::vector<double>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  }

  /// mean of rho psi over the batch, the surrogate that the line search must improve.
  double surrogate_value(const Trajectories& batch, const std::vector<double>& psi) const {
    const auto log_pi = log_pi_of(batch);
    double sum = 0;
    for (std::size_t r = 0; r < psi.size(); ++r) sum += std::exp(log_pi[r] - batch.log_mu[r]) * psi[r];
    return sum / static_cast<double>(psi.size());
  }

  /// theta += sqrt(2 kl_step / x'Fx) x with F x = g (Kakade 2001; Schulman et al. 2015, appendix C); a trust
  /// region halves the step until the mean KL is within kl_step and the surrogate has grown.
  void natural_update(const Trajectories& batch, UpdateReport& report) {
    const auto all = range(0, batch.rows());
    const auto psi = weights_of(all);
    const Before before = outputs_before(batch);
    const auto part = losses(batch, all, psi, &before, denominator(batch, all.size()), true, false);
    std::vector<double> g;
    for (std::size_t i = 0; i < policy_arrays_; ++i)
      for (const T each : part.g[i]) g.push_back(-static_cast<double>(each));
    report.gradient_norm = std::sqrt(dot_of(g, g));
    report.entropy = part.entropy / batch.rows();

    const auto x = conjugate_gradient(
        [&](const std::vector<double>& v) { return fisher_times(policy_, theta(), batch, v, o_.cg_damping); },
        g, o_.cg_iterations);
    const double curvature = dot_of(x, fisher_times(policy_, theta(), batch, x, o_.cg_damping));
    const Arrays<T> start(theta().begin(), theta().end());
    report.kl = 0;
    if (curvature > 0) {
      double step = std::sqrt(2 * o_.kl_step * left_ / curvature);
      const double surrogate_before = surrogate_value(batch, psi);
      const int tries = o_.update == "natural" ? 1 : 15;
      for (int i = 0; i < tries; ++i, step /= 2) {
        std::size_t k = 0;
        for (std::size_t a = 0; a < policy_arrays_; ++a)
          for (std::size_t j = 0; j < start[a].size(); ++j)
            parameters_[a].data()[j] =
                static_cast<T>(static_cast<double>(start[a].data()[j]) + step * x[k++]);
        const double divergence = mean_kl(batch, before);
        if (o_.update == "natural" ||
            (divergence <= o_.kl_step * left_ && surrogate_value(batch, psi) > surrogate_before)) {
          report.kl = divergence;
          break;
        }
        std::copy(start.begin(), start.end(), parameters_.begin());
      }
    }
  }

  /// The critic's own epochs of minibatches.
  void critic_updates(const Trajectories& batch, UpdateReport& report) {
    double value_loss = 0;
    for (int epoch = 0; epoch < o_.critic_epochs; ++epoch) {
      const auto order = shuffled(batch.rows(), 1000 + epoch);
      for (int m = 0; m < o_.critic_minibatches; ++m) {
        const auto rows = part_of(order, m, o_.critic_minibatches);
        if (rows.empty()) continue;
        auto part = losses(batch, rows, {}, nullptr, 1, false, true);
        if (epoch == 0) value_loss += part.value_loss;
        descend(part.g, false, true);
      }
    }
    report.value_loss = value_loss / batch.rows();
  }

  const World& world_;
  const OnPolicyOptions& o_;
  const long steps_;
  const std::uint64_t seed_;
  const Watcher& watcher_;
  Estimator estimator_;
  Policy policy_;
  std::optional<Model> critic_;
  Arrays<T> parameters_;  // of the policy, then of the critic
  std::size_t policy_arrays_ = 0;
  AdamState<T> policy_adam_, critic_adam_;
  std::optional<Collector> collector_;
  double kl_coefficient_ = 0, rate_ = 0, left_ = 1;
  long update_ = 0, step_ = 0, episodes_ = 0;
  std::vector<double> psi_, target_;  // of each row of the batch
  RunningMoments observed_, observed_and_last_, returned_;  // before the batch; with it
  std::vector<double> running_return_;                      // of each environment's episode so far
  Shared<T>* shared_ = nullptr;
};

Learned run_workers(const World& world, const OnPolicyOptions& options, long steps, std::uint64_t seed,
                    const Watcher& watcher) {
  std::vector<std::unique_ptr<Trainer<float>>> workers;
  for (int k = 0; k < options.workers; ++k)
    workers.push_back(std::make_unique<Trainer<float>>(world, options, steps, seed, watcher, k));
  Shared<float> shared(workers.front()->parameters());
  std::exception_ptr error;
#pragma omp parallel for num_threads(options.workers) schedule(static, 1)
  for (int k = 0; k < options.workers; ++k) {
    try {
      workers[static_cast<std::size_t>(k)]->run_on(shared);
    } catch (...) {
#pragma omp critical(lowvar_workers)
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
  return workers.front()->now(shared);
}

}  // namespace

void check(const OnPolicyOptions& o, const World& world) {
  one_of("truncation", o.truncation, {"bootstrap", "terminate"});
  one_of("activation", o.activation, {"tanh", "relu"});
  one_of("initialisation", o.initialisation, {"orthogonal", "uniform"});
  one_of("precision", o.precision, {"float", "double"});
  one_of("surrogate", o.surrogate, {"own", "ratio"});
  one_of("advantages", o.advantages, {"raw", "standardised"});
  one_of("reduce", o.reduce, {"row", "trajectory"});
  one_of("update", o.update, {"adam", "sgd", "rmsprop", "natural", "trust-region"});
  one_of("critic", o.critic, {"none", "value", "action-value"});
  one_of("critic_loss", o.critic_loss, {"mse", "huber"});
  at_least_one({{"envs", o.envs},
                {"rollout", o.rollout},
                {"epochs", o.epochs},
                {"minibatches", o.minibatches},
                {"cg_iterations", o.cg_iterations},
                {"critic_minibatches", o.critic_minibatches}});
  from_zero_to_one({{"gamma", o.gamma}, {"critic_lambda", o.critic_lambda}});
  positive({{"learning_rate", o.learning_rate},
            {"adam_epsilon", o.adam_epsilon},
            {"kl_step", o.kl_step},
            {"reward_scale", o.reward_scale},
            {"policy_gain", o.policy_gain}});
  not_negative({{"episodes", o.episodes},
                {"max_episodes", static_cast<double>(o.max_episodes)},
                {"entropy_coefficient", o.entropy_coefficient},
                {"kl_coefficient", o.kl_coefficient},
                {"kl_target", o.kl_target},
                {"kl_stop", o.kl_stop},
                {"max_gradient_norm", o.max_gradient_norm},
                {"cg_damping", o.cg_damping},
                {"critic_coefficient", o.critic_coefficient},
                {"value_clip", o.value_clip},
                {"critic_learning_rate", o.critic_learning_rate},
                {"critic_epochs", o.critic_epochs}});
  check_hidden(o.hidden);
  expect(o.kl_target == 0 || o.kl_coefficient > 0, "kl_target adapts kl_coefficient, which must be positive");
  const Estimator e = make_estimator(o.estimator);
  expect(!e.needs_constants, "estimator '", o.estimator,
         "' subtracts constants of an oracle or a pilot, and training has neither");
  expect(o.critic_epochs > 0 || o.critic == "none" || (o.update != "natural" && o.update != "trust-region"),
         "critic_epochs must be at least 1 where the update is ", o.update);
  expect(o.workers >= 0 && o.workers <= 256, "workers must be from 0 to 256, got ", o.workers);
  expect(o.workers == 0 || (o.update == "rmsprop" && o.precision == "float" && !o.episodes &&
                            !o.max_episodes && o.kl_coefficient == 0),
         "workers share a float RMSProp: update must be rmsprop, precision float, and episodes, max_episodes "
         "and kl_coefficient 0");
  expect(!o.workers || (!o.normalise_observations && !o.normalise_rewards),
         "workers share no running moments: normalise_observations and normalise_rewards must be false");
  expect(!o.normalise_observations || (!world.mdp && !world.lqg),
         "normalise_observations is for networks; in ", world.id, " the policy is none");
  expect(!e.objective && !e.all_actions, "estimator '", o.estimator,
         "' weighs no scores of what was done; training needs one that does");
  expect(e.weightings == 1, "estimator '", o.estimator,
         "' has a weight for each parameter; training takes one");
  expect(!e.needs_critic || o.critic != "none", "estimator '", o.estimator,
         "' needs a critic; critic is none");
  expect(o.critic != "action-value" || world.A > 0, "an action-value critic is of worlds with choices; ",
         world.id, " acts by vectors");
}

Learned train(const World& world, const OnPolicyOptions& options, long steps, std::uint64_t seed,
              const Watcher& watcher) {
  check(options, world);
  if (options.workers > 0) return run_workers(world, options, steps, seed, watcher);
  if (options.precision == "double") return Trainer<double>(world, options, steps, seed, watcher).run();
  return Trainer<float>(world, options, steps, seed, watcher).run();
}

}  // namespace lowvar
