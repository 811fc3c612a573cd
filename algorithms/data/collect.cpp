#include "algorithms/data/collect.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/parallel.h"

namespace lowvar {
namespace {

/// The rows of a batch while it is collected: step t of environment i is row i * steps + t, so that nothing
/// has to be put in another order afterwards.
template <class X>
class Rows {
 public:
  /// m: length of vectors that act, 0 for choices; p: of observations, 0 for numbers of states.
  Rows(int n, int steps, int m, int p) : n_(n), steps_(steps), m_(m), p_(p) {
    const auto rows = static_cast<std::size_t>(n * steps);
    if (p) seen_ = zeros<X>(n * steps, p);
    if (!p) batch_.state.resize(rows);
    if (m) batch_.action_vector = zeros<double>(n * steps, m);
    if (!m) batch_.action.resize(rows);
    batch_.reward.resize(rows), batch_.log_mu.resize(rows);
    terminated_.resize(rows), truncated_.resize(rows);
  }

  void saw(int i, int t, std::span<const X> observation) {
    if (p_)
      std::copy(observation.begin(), observation.end(), row(seen_, at(i, t)).begin());
    else
      batch_.state[index(i, t)] = static_cast<int>(observation[0]);
  }
  void did(int i, int t, const std::vector<int>& choices, const Array<double>& vectors, double log_mu) {
    if (m_)
      std::copy(row(vectors, i).begin(), row(vectors, i).end(), row(batch_.action_vector, at(i, t)).begin());
    else
      batch_.action[index(i, t)] = choices[static_cast<std::size_t>(i)];
    batch_.log_mu[index(i, t)] = log_mu;
  }
  void got(int i, int t, double reward, bool terminated, bool truncated, std::span<const X> next) {
    batch_.reward[index(i, t)] = reward;
    terminated_[index(i, t)] = terminated;
    truncated_[index(i, t)] = truncated;
    if (ends(i, t)) last_[at(i, t)].assign(next.begin(), next.end());
  }

  /// Trajectories, cut where episodes end and after the last steps; `before` [n] is how long the episodes had
  /// been running.
  Trajectories cut(const std::vector<int>& before) && {
    for (int i = 0; i < n_; ++i)
      for (int t = 0; t < steps_; ++t) {
        if (t == 0)
          batch_.first_step.push_back(before[static_cast<std::size_t>(i)]);
        else if (ends(i, t - 1))
          batch_.first_step.push_back(0);
        if (!ends(i, t)) continue;
        batch_.offset.push_back(at(i, t) + 1);
        batch_.terminated.push_back(terminated_[index(i, t)]);
        batch_.truncated.push_back(truncated_[index(i, t)]);
      }
    Array<X> last = zeros<X>(p_ ? batch_.size() : 0, p_);
    int k = 0;
    for (const auto& [r, x] : last_)
      if (p_)
        std::copy(x.begin(), x.end(), row(last, k++).begin());
      else
        batch_.final_state.push_back(static_cast<int>(x[0]));
    batch_.observation = std::move(seen_);
    batch_.final_observation = std::move(last);
    return std::move(batch_);
  }

 private:
  int at(int i, int t) const { return i * steps_ + t; }
  std::size_t index(int i, int t) const { return static_cast<std::size_t>(at(i, t)); }
  /// Whether a trajectory ends with this step.
  bool ends(int i, int t) const {
    return terminated_[index(i, t)] || truncated_[index(i, t)] || t + 1 == steps_;
  }

  int n_, steps_, m_, p_;
  Trajectories batch_;
  Array<X> seen_ = zeros<X>(0, 0);      // [n steps x p]
  std::map<int, std::vector<X>> last_;  // what is seen after a row that a trajectory ends with
  std::vector<char> terminated_, truncated_;
};

/// Arrays one above the other.
template <class X>
Array<X> stacked(const std::vector<const Array<X>*>& parts) {
  int rows = 0;
  for (const auto* each : parts) rows += shape(*each).rows;
  Array<X> out = zeros<X>(rows, shape(*parts.front()).cols);
  X* to = out.data();
  for (const auto* each : parts) to = std::copy(each->begin(), each->end(), to);
  return out;
}

/// Collected batches one after another; observations are numbers of X.
template <class X>
Trajectories joined(std::vector<Trajectories> parts) {
  if (parts.size() == 1) return std::move(parts.front());
  Trajectories out;
  std::vector<const Array<X>*> seen, last;
  std::vector<const Array<double>*> acted;
  const auto append = [](auto& all, const auto& more) { all.insert(all.end(), more.begin(), more.end()); };
  for (const Trajectories& part : parts) {
    const int rows = out.rows();
    for (int i = 0; i < part.size(); ++i) out.offset.push_back(rows + part.end(i));
    append(out.state, part.state), append(out.final_state, part.final_state);
    append(out.action, part.action), append(out.reward, part.reward), append(out.log_mu, part.log_mu);
    append(out.terminated, part.terminated), append(out.truncated, part.truncated);
    append(out.first_step, part.first_step);
    seen.push_back(part.observation.get<X>()), last.push_back(part.final_observation.get<X>());
    acted.push_back(&part.action_vector);
  }
  out.observation = stacked(seen), out.final_observation = stacked(last), out.action_vector = stacked(acted);
  return out;
}

/// How many environments the policy looks at together.
int block_size(const World& world) { return world.dear ? 1 : 16; }

}  // namespace

Collector::Collector(const World& world, int n, std::uint64_t seed, const std::string& branch)
    : tabular_(world.mdp != nullptr), m_(world.m), n_(n), T_(world.T) {
  const int most = block_size(world);
  for (int first = 0; first < n; first += most) {
    const int size = std::min(most, n - first);
    Block& block =
        blocks_.emplace_back(Block{world.stepper(size, world.T, seed, "train" + branch, first), {}, {}});
    for (int i = first; i < first + size; ++i)
      block.actions.emplace_back(seed, "train-actions" + branch, static_cast<std::uint32_t>(i));
    block.now.environments = block.environments->save();
    block.now.total.resize(static_cast<std::size_t>(size));
    block.now.length.resize(static_cast<std::size_t>(size));
  }
}

Collector::State Collector::state() const {
  State out{.steps = steps_};
  for (const auto& [environments, actions, now, here] : blocks_) {
    out.places.push_back(now.environments);
    out.total.insert(out.total.end(), now.total.begin(), now.total.end());
    out.length.insert(out.length.end(), now.length.begin(), now.length.end());
  }
  return out;
}

void Collector::restore(const State& state) {
  expect(state.places.size() == blocks_.size(), "environments were saved in ", state.places.size(),
         " blocks, and there are ", blocks_.size());
  const auto n = static_cast<std::size_t>(n_);
  expect(state.total.size() == n && state.length.size() == n, "episodes of ", state.total.size(), " and ",
         state.length.size(), " environments were saved, and there are ", n_);
  for (const int each : state.length)
    expect(each >= 0 && each < T_, "an episode was saved after ", each, " steps, and they have at most ", T_);
  expect(state.steps >= 0, "environments were saved after ", state.steps, " steps");
  auto total = state.total.begin();
  auto length = state.length.begin();
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    Block& block = blocks_[b];
    block.environments->restore(state.places[b]);
    block.stepped_here = true;
    block.now.environments = state.places[b];
    for (double& each : block.now.total) each = *total++;
    for (int& each : block.now.length) each = *length++;
  }
  steps_ = state.steps;
  episodes_.clear();
}

template <class T>
Trajectories Collector::operator()(const Policy& policy, std::span<const Array<T>> theta, int steps) {
  return blocks_.front().environments->observation().visit(
      [&]<class X>(const Array<X>&) { return collect<T, X>(policy, theta, steps); });
}

template <class T, class X>
Trajectories Collector::collect(const Policy& policy, std::span<const Array<T>> theta, int steps) {
  std::vector<Trajectories> batches;
  episodes_.clear();
  std::vector<char> up_to_date;
  for (Block& block : blocks_) up_to_date.push_back(std::exchange(block.stepped_here, false));
  ordered_reduce(
      static_cast<int>(blocks_.size()),
      [&](int b) {
        Block& block = blocks_[static_cast<std::size_t>(b)];
        if (!up_to_date[static_cast<std::size_t>(b)]) block.environments->restore(block.now.environments);
        block.stepped_here = true;
        return step<T, X>(block, policy, theta, steps);
      },
      [&](int b, Part part) {
        blocks_[static_cast<std::size_t>(b)].now = std::move(part.after);
        episodes_.insert(episodes_.end(), part.episodes.begin(), part.episodes.end());
        batches.push_back(std::move(part.batch));
      });
  steps_ += static_cast<long>(steps) * n_;
  std::stable_sort(episodes_.begin(), episodes_.end(),
                   [](const Episode& a, const Episode& b) { return a.at < b.at; });
  return joined<X>(std::move(batches));
}

template <class T, class X>
Collector::Part Collector::step(Block& block, const Policy& policy, std::span<const Array<T>> theta,
                                int steps) const {
  Stepper& environments = *block.environments;
  const int n = environments.size(), p = environments.observation().cols();
  Rows<X> rows(n, steps, m_, tabular_ ? 0 : p);
  Part out{.batch = {}, .episodes = {}, .after = block.now};
  auto& [places, total, length] = out.after;
  std::vector<int> state, chosen(static_cast<std::size_t>(m_ ? 0 : n));
  Array<double> acted = zeros<double>(m_ ? n : 0, m_);
  Array<T> seen = zeros<T>(n, p);
  long taken = steps_;  // by all environments together
  for (int t = 0; t < steps; ++t) {
    const Array<X>& now = *environments.observation().template get<X>();
    if (tabular_)
      state.assign(now.begin(), now.end());
    else
      std::copy(now.begin(), now.end(), seen.begin());
    const ActingPolicy acting(policy, theta, state, tabular_ ? nullptr : &seen);
    for (int i = 0; i < n; ++i) {
      Rng& rng = block.actions[static_cast<std::size_t>(i)];
      rng.seek(static_cast<std::uint32_t>(taken / n_));
      const double log_mu =
          m_ ? acting.act(i, rng, row(acted, i)) : acting.act(i, rng, chosen[static_cast<std::size_t>(i)]);
      rows.saw(i, t, row(now, i));
      rows.did(i, t, chosen, acted, log_mu);
    }
    environments.step(chosen, acted);
    taken += n_;
    for (int i = 0; i < n; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const bool terminated = environments.terminated()[k], truncated = environments.truncated()[k];
      total[k] += environments.reward()[k];
      ++length[k];
      const bool ends = terminated || truncated;
      const auto& next = ends ? environments.final_observation() : environments.observation();
      rows.got(i, t, environments.reward()[k], terminated, truncated, row(*next.template get<X>(), i));
      if (!ends) continue;
      out.episodes.push_back({total[k], length[k], taken});
      total[k] = 0, length[k] = 0;
    }
  }
  places = environments.save();
  out.batch = std::move(rows).cut(block.now.length);
  return out;
}

template Trajectories Collector::operator()(const Policy&, std::span<const Array<float>>, int);
template Trajectories Collector::operator()(const Policy&, std::span<const Array<double>>, int);

}  // namespace lowvar
