#include "algorithms/data/collect.h"

#include <map>

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

}  // namespace

Collector::Collector(const World& world, int n, std::uint64_t seed, const std::string& branch)
    : tabular_(world.mdp != nullptr),
      m_(world.m),
      environments_(world.stepper(n, world.T, seed, "train" + branch)) {
  now_.total.resize(static_cast<std::size_t>(n));
  now_.length.resize(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i)
    rng_.emplace_back(seed, "train-actions" + branch, static_cast<std::uint32_t>(i));
}

Collector::State Collector::state() const {
  State out = now_;
  out.places = environments_->save();
  return out;
}

void Collector::restore(const State& state) {
  environments_->restore(state.places);
  now_ = state;
  now_.places.clear();
  episodes_.clear();
}

template <class T>
Trajectories Collector::operator()(const Policy& policy, std::span<const Array<T>> theta, int steps) {
  return environments_->observation().visit(
      [&]<class X>(const Array<X>&) { return collect<T, X>(policy, theta, steps); });
}

template <class T, class X>
Trajectories Collector::collect(const Policy& policy, std::span<const Array<T>> theta, int steps) {
  const int n = environments_->size(), p = environments_->observation().cols();
  Rows<X> rows(n, steps, m_, tabular_ ? 0 : p);
  const std::vector<int> before = now_.length;
  std::vector<int> state, chosen(static_cast<std::size_t>(m_ ? 0 : n));
  Array<double> acted = zeros<double>(m_ ? n : 0, m_);
  Array<T> seen = zeros<T>(n, p);
  episodes_.clear();
  for (int t = 0; t < steps; ++t) {
    const Array<X>& now = *environments_->observation().template get<X>();
    if (tabular_)
      state.assign(now.begin(), now.end());
    else
      std::copy(now.begin(), now.end(), seen.begin());
    const ActingPolicy acting(policy, theta, state, tabular_ ? nullptr : &seen);
    for (int i = 0; i < n; ++i) {
      Rng& rng = rng_[static_cast<std::size_t>(i)];
      rng.seek(static_cast<std::uint32_t>(now_.steps / n));
      const double log_mu =
          m_ ? acting.act(i, rng, row(acted, i)) : acting.act(i, rng, chosen[static_cast<std::size_t>(i)]);
      rows.saw(i, t, row(now, i));
      rows.did(i, t, chosen, acted, log_mu);
    }
    environments_->step(chosen, acted);
    now_.steps += n;
    for (int i = 0; i < n; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const bool terminated = environments_->terminated()[k], truncated = environments_->truncated()[k];
      now_.total[k] += environments_->reward()[k];
      ++now_.length[k];
      const bool ends = terminated || truncated;
      const auto& next = ends ? environments_->final_observation() : environments_->observation();
      rows.got(i, t, environments_->reward()[k], terminated, truncated, row(*next.template get<X>(), i));
      if (!ends) continue;
      episodes_.push_back({now_.total[k], now_.length[k], now_.steps});
      now_.total[k] = 0, now_.length[k] = 0;
    }
  }
  return std::move(rows).cut(before);
}

template Trajectories Collector::operator()(const Policy&, std::span<const Array<float>>, int);
template Trajectories Collector::operator()(const Policy&, std::span<const Array<double>>, int);

}  // namespace lowvar
