#include "algorithms/data/collect.h"

namespace lowvar {

std::vector<int> state_numbers(const Array<float>& observation) {
  return {observation.begin(), observation.end()};
}

Collector::Collector(const World& world, int n, std::uint64_t seed, const std::string& suffix)
    : tabular_(world.mdp != nullptr),
      m_(world.m),
      environments_(world.stepper(n, world.T, seed, "train" + suffix)),
      total_(static_cast<std::size_t>(n)),
      length_(static_cast<std::size_t>(n)) {
  for (int i = 0; i < n; ++i)
    rng_.emplace_back(seed, "train-actions" + suffix, static_cast<std::uint32_t>(i));
}

template <class T>
Trajectories Collector::operator()(const Policy& policy, std::span<const Array<T>> theta, int steps) {
  const int n = environments_->size(), p = static_cast<int>(environments_->observation().shape(1));
  const auto at = [&](int t, int i) {
    return static_cast<std::size_t>(t) * static_cast<std::size_t>(n) + static_cast<std::size_t>(i);
  };
  const std::size_t rows = at(steps, 0);
  Array<float> observation = zeros<float>(steps * n, p), after = observation;
  std::vector<int> choice(m_ ? 0 : rows);
  Array<double> vector = zeros<double>(m_ ? steps * n : 0, m_), acted = zeros<double>(m_ ? n : 0, m_);
  std::vector<double> reward(rows), log_mu(rows);
  std::vector<char> terminated(rows), truncated(rows);
  std::vector<int> chosen(static_cast<std::size_t>(m_ ? 0 : n));
  Array<T> seen = zeros<T>(n, p);
  episodes_.clear();

  for (int t = 0; t < steps; ++t) {
    const Array<float>& now = environments_->observation();
    std::copy(now.begin(), now.end(), observation.begin() + static_cast<std::ptrdiff_t>(at(t, 0)) * p);
    std::copy(now.begin(), now.end(), seen.begin());
    std::vector<int> state;
    if (tabular_) state = state_numbers(now);
    const ActingPolicy acting(policy, theta, state, tabular_ ? nullptr : &seen);
    for (int i = 0; i < n; ++i) {
      const auto k = static_cast<std::size_t>(i);
      rng_[k].seek(static_cast<std::uint32_t>(steps_ / n));
      log_mu[at(t, i)] = m_ ? acting.act(i, rng_[k], row(acted, i)) : acting.act(i, rng_[k], chosen[k]);
      if (m_)
        std::copy(row(acted, i).begin(), row(acted, i).end(), row(vector, t * n + i).begin());
      else
        choice[at(t, i)] = chosen[k];
    }
    environments_->step(chosen, acted);
    steps_ += n;
    for (int i = 0; i < n; ++i) {
      const auto k = static_cast<std::size_t>(i);
      reward[at(t, i)] = environments_->reward()[k];
      terminated[at(t, i)] = environments_->terminated()[k];
      truncated[at(t, i)] = environments_->truncated()[k];
      total_[k] += environments_->reward()[k];
      ++length_[k];
      const bool ends = terminated[at(t, i)] || truncated[at(t, i)];
      if (ends) {
        episodes_.push_back({total_[k], length_[k], steps_});
        total_[k] = 0, length_[k] = 0;
      }
      if (ends || t + 1 == steps) {
        const auto& last = ends ? environments_->final_observation() : environments_->observation();
        std::copy(row(last, i).begin(), row(last, i).end(), row(after, t * n + i).begin());
      }
    }
  }

  Trajectories out;
  std::vector<float> final_observation;
  if (m_) out.action_vector = zeros<double>(steps * n, m_);
  if (!tabular_) out.observation = zeros<double>(steps * n, p);
  for (int i = 0; i < n; ++i)
    for (int t = 0; t < steps; ++t) {
      const auto from = at(t, i);
      const int r = i * steps + t;
      if (m_)
        std::copy(row(vector, t * n + i).begin(), row(vector, t * n + i).end(),
                  row(out.action_vector, r).begin());
      else
        out.action.push_back(choice[from]);
      if (tabular_)
        out.state.push_back(static_cast<int>(observation(from, 0)));
      else
        std::copy(row(observation, t * n + i).begin(), row(observation, t * n + i).end(),
                  row(out.observation, r).begin());
      out.reward.push_back(reward[from]);
      out.log_mu.push_back(log_mu[from]);
      if (!terminated[from] && !truncated[from] && t + 1 < steps) continue;
      out.offset.push_back(r + 1);
      out.terminated.push_back(terminated[from]);
      out.truncated.push_back(truncated[from]);
      const auto last = row(after, t * n + i);
      if (tabular_)
        out.final_state.push_back(static_cast<int>(last[0]));
      else
        final_observation.insert(final_observation.end(), last.begin(), last.end());
    }
  if (!tabular_) {
    out.final_observation = zeros<double>(out.size(), p);
    std::copy(final_observation.begin(), final_observation.end(), out.final_observation.begin());
  }
  return out;
}

template Trajectories Collector::operator()(const Policy&, std::span<const Array<float>>, int);
template Trajectories Collector::operator()(const Policy&, std::span<const Array<double>>, int);

}  // namespace lowvar
