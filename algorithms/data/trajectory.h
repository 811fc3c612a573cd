// What was sampled: N trajectories, their steps one after another in rows.
#pragma once

#include <span>
#include <vector>

#include "core/array.h"
#include "nn/policy.h"

namespace lowvar {

/// Steps of trajectory i are rows [offset[i], offset[i+1]). Row t of it holds s_t, a_t, r_t and log
/// mu(a_t|s_t) of the policy mu that acted. Tabular worlds fill `state`, others `observation`.
///
/// What comes after the last row is said in one way, whoever collected: `bootstrap` is 0 where the episode is
/// over for the objective at hand (it terminated, or a time limit ends the objective), and V of what is seen
/// last where it goes on beyond the rows.
struct Trajectories {
  std::vector<int> offset{0};      // [N+1]
  std::vector<int> state;          // [rows]
  std::vector<int> final_state;    // [N], after the last step
  Observations observation;        // [rows x p]
  std::vector<int> action;         // [rows], where actions are choices
  Array<double> action_vector;     // [rows x m], where they are vectors
  std::vector<double> reward;      // [rows]
  std::vector<double> log_mu;      // [rows]
  std::vector<char> terminated;    // [N]
  std::vector<char> truncated;     // [N], ended by a time limit; where neither, collecting stopped there
  Observations final_observation;  // [N x p], after the last step, where there are observations
  Array<double> numbers;           // [rows x n], of s_t, where the motion can be differentiated
  Array<double> final_numbers;     // [N x n], of what the last step led to
  std::vector<int> first_step;     // [N], steps of the episode before the first row; empty: none before any
  std::vector<double> bootstrap;   // [N], value of what follows the last step; empty: nothing follows any
  std::vector<double> value;       // [rows], V_t(s_t) of the critic; empty without one
  Array<double> action_values;     // [rows x A], Q_t(s_t, .) of a critic; empty without one
  std::vector<double> next_value;  // [rows], V_{t+1}(s_{t+1})

  // What a world knows of them beyond what was sampled (`annotate`, world.h).
  int longest = 0;              // steps that a trajectory may have; 0: nobody said
  std::vector<double> greedy;   // [N], the return of the likeliest actions from the same start; or empty
  Array<double> log_reference;  // [rows x A], of the policy that divergences are taken to; or empty

  int size() const { return static_cast<int>(offset.size()) - 1; }
  int rows() const { return offset.back(); }
  int begin(int i) const { return offset[static_cast<std::size_t>(i)]; }
  int end(int i) const { return offset[static_cast<std::size_t>(i) + 1]; }
  int length(int i) const { return end(i) - begin(i); }
  std::span<const double> rewards(int i) const {
    return {reward.data() + begin(i), static_cast<std::size_t>(length(i))};
  }

  /// The value of what follows trajectory i's last step: 0 where the episode is over.
  double after(int i) const { return bootstrap.empty() ? 0 : bootstrap[static_cast<std::size_t>(i)]; }
  /// Steps of trajectory i's episode before its first row.
  int before(int i) const { return first_step.empty() ? 0 : first_step[static_cast<std::size_t>(i)]; }

  /// Fills next_value from value: V of the step after, and what follows after the last.
  void fill_next_values() {
    next_value.resize(value.size());
    for (int i = 0; i < size(); ++i)
      for (int r = begin(i); r < end(i); ++r)
        next_value[static_cast<std::size_t>(r)] =
            r + 1 < end(i) ? value[static_cast<std::size_t>(r) + 1] : after(i);
  }

  Inputs inputs() const { return {state, observation.empty() ? nullptr : &observation}; }
  /// What is seen after the last steps.
  Inputs final_inputs() const {
    return {final_state, final_observation.empty() ? nullptr : &final_observation};
  }

  template <class F>
  void visit(F&& f) {
    f("offset", offset), f("state", state), f("final_state", final_state);
    f("observation", observation.any()), f("action", action), f("action_vector", action_vector);
    f("reward", reward), f("log_mu", log_mu), f("terminated", terminated), f("truncated", truncated);
    f("final_observation", final_observation.any()), f("numbers", numbers);
    f("final_numbers", final_numbers), f("first_step", first_step), f("bootstrap", bootstrap);
    f("value", value), f("action_values", action_values), f("next_value", next_value), f("longest", longest);
    f("greedy", greedy), f("log_reference", log_reference);
  }
};

}  // namespace lowvar
