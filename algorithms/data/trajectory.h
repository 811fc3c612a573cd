// What was sampled: N trajectories, their steps one after another in rows.
#pragma once

#include <span>
#include <vector>

#include "core/array.h"
#include "nn/policy.h"

namespace lowvar {

/// Steps of trajectory i are rows [offset[i], offset[i+1]). Row t of it holds s_t, a_t, r_t and log
/// mu(a_t|s_t) of the policy mu that acted. Tabular worlds fill `state`, others `observation`.
struct Trajectories {
  std::vector<int> offset{0};       // [N+1]
  std::vector<int> state;           // [rows]
  std::vector<int> final_state;     // [N], after the last step
  Array<double> observation;        // [rows x p]
  std::vector<int> action;          // [rows], where actions are choices
  Array<double> action_vector;      // [rows x m], where they are vectors
  std::vector<double> reward;       // [rows]
  std::vector<double> log_mu;       // [rows]
  std::vector<char> terminated;     // [N]
  std::vector<char> truncated;      // [N], ended by a time limit; where neither, collecting stopped there
  Array<double> final_observation;  // [N x p], after the last step, where there are observations
  std::vector<double> value;        // [rows], V_t(s_t) of the critic; empty without one
  Array<double> action_values;      // [rows x A], Q_t(s_t, .) of a critic; empty without one
  std::vector<double> next_value;   // [rows], V_{t+1}(s_{t+1})

  int size() const { return static_cast<int>(offset.size()) - 1; }
  int rows() const { return offset.back(); }
  int begin(int i) const { return offset[static_cast<std::size_t>(i)]; }
  int end(int i) const { return offset[static_cast<std::size_t>(i) + 1]; }
  int length(int i) const { return end(i) - begin(i); }
  std::span<const double> rewards(int i) const {
    return {reward.data() + begin(i), static_cast<std::size_t>(length(i))};
  }

  /// Fills next_value from value: V of the step after, 0 after the last.
  void fill_next_values() {
    next_value.assign(value.size(), 0);
    for (int i = 0; i < size(); ++i)
      for (auto r = static_cast<std::size_t>(begin(i)); r + 1 < static_cast<std::size_t>(end(i)); ++r)
        next_value[r] = value[r + 1];
  }

  Inputs inputs() const { return {state, observation.size() ? &observation : nullptr}; }
  /// What was done; vectors become data of the tape.
  Actions<double> actions(Tape<double>& tape) const {
    return {action, action_vector.size() ? tape.data(action_vector) : Var<double>()};
  }
};

}  // namespace lowvar
