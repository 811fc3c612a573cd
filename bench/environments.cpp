// Stepping 4096 environments, 16384 and 65536: actions given, resets drawn, autoreset on, observations
// written. The rival is the same equations in a plain loop over an array of states, with libm. Both see the
// same starts and actions and are checked against each other before either is timed.
//
// One thread is timed on each CPU in turn. Virtual CPUs are rarely equally fast, and two threads can be no
// faster than the sum of the two.
#include <benchmark/benchmark.h>
#include <omp.h>
#include <sched.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "algorithms/data/stepper.h"
#include "bench/mujoco.h"
#include "envs/classic_control.h"
#include "envs/minatar/games.h"
#include "envs/tabular_environment.h"

namespace lowvar {
namespace {

constexpr int laps = 16;  // steps for which actions are prepared

template <Environment E>
std::vector<std::vector<typename E::Action>> actions(const E& env, int n) {
  std::vector<std::vector<typename E::Action>> out(laps);
  for (int lap = 0; lap < laps; ++lap)
    for (int i = 0; i < n; ++i) {
      Rng rng(1, "actions", static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(lap));
      out[static_cast<std::size_t>(lap)].push_back(random_action(env, rng));
    }
  return out;
}

// ---- The same worlds, written plainly: state and action in, state out ----

struct PlainCartPole : CartPole {
  Step<State> step(const State& s, int action, Rng&) const {
    const double c = std::cos(s.theta), sn = std::sin(s.theta), u = action == 1 ? 10.0 : -10.0;
    const double temp = (u + 0.05 * s.theta_dot * s.theta_dot * sn) / 1.1;
    const double theta_acc = (9.8 * sn - c * temp) / (0.5 * (4.0 / 3.0 - 0.1 * c * c / 1.1));
    const double x_acc = temp - 0.05 * theta_acc * c / 1.1;
    const State next{s.x + 0.02 * s.x_dot, s.x_dot + 0.02 * x_acc, s.theta + 0.02 * s.theta_dot,
                     s.theta_dot + 0.02 * theta_acc};
    return {next, 1.0, std::abs(next.x) > x_limit || std::abs(next.theta) > theta_limit};
  }
};

struct PlainFrictionCartPole : FrictionCartPole {
  Step<State> step(const State& s, const Action& a, Rng&) const {
    const double c = std::cos(s.theta), sn = std::sin(s.theta), u = std::min(std::max(a[0], -10.0), 10.0);
    const double rub = s.x_dot > 0 ? 0.0005 : s.x_dot < 0 ? -0.0005 : 0.0;
    const double swing = 0.05 * s.theta_dot * s.theta_dot * sn;
    const double theta_acc = (9.8 * sn + c * (rub - u - swing) / 1.1 - 0.000002 * s.theta_dot / 0.05) /
                             (0.5 * (4.0 / 3.0 - 0.1 * c * c / 1.1));
    const double x_acc = (u + swing - 0.05 * theta_acc * c - rub) / 1.1;
    const State next{s.x + 0.02 * s.x_dot, s.x_dot + 0.02 * x_acc, s.theta + 0.02 * s.theta_dot,
                     s.theta_dot + 0.02 * theta_acc};
    return {next, 1.0, std::abs(next.x) > CartPole::x_limit || std::abs(next.theta) > CartPole::theta_limit};
  }
};

struct PlainAcrobot : Acrobot {
  static void derivative(const double* s, double torque, double* out) {
    const double d1 = 0.25 + (1.25 + std::cos(s[1])) + 2, d2 = 0.25 + 0.5 * std::cos(s[1]) + 1;
    const double phi2 = 0.5 * 9.8 * std::cos(s[0] + s[1] - pi / 2);
    const double phi1 = -0.5 * s[3] * s[3] * std::sin(s[1]) - s[3] * s[2] * std::sin(s[1]) +
                        1.5 * 9.8 * std::cos(s[0] - pi / 2) + phi2;
    out[0] = s[2];
    out[1] = s[3];
    out[3] = (torque + d2 / d1 * phi1 - 0.5 * s[2] * s[2] * std::sin(s[1]) - phi2) / (1.25 - d2 * d2 / d1);
    out[2] = -(d2 * out[3] + phi1) / d1;
  }
  Step<State> step(const State& state, int action, Rng&) const {
    const double s[4] = {state.theta1, state.theta2, state.theta1_dot, state.theta2_dot};
    double k[4][4], at[4], out[4];
    derivative(s, action - 1.0, k[0]);
    for (int i = 1; i < 4; ++i) {
      for (int j = 0; j < 4; ++j) at[j] = s[j] + (i == 3 ? 0.2 : 0.1) * k[i - 1][j];
      derivative(at, action - 1.0, k[i]);
    }
    for (int j = 0; j < 4; ++j) out[j] = s[j] + 0.2 / 6 * (k[0][j] + 2 * k[1][j] + 2 * k[2][j] + k[3][j]);
    for (int j = 0; j < 2; ++j) {
      while (out[j] > pi) out[j] -= 2 * pi;
      while (out[j] < -pi) out[j] += 2 * pi;
    }
    out[2] = std::min(std::max(out[2], -4 * pi), 4 * pi);
    out[3] = std::min(std::max(out[3], -9 * pi), 9 * pi);
    const bool up = -std::cos(out[0]) - std::cos(out[1] + out[0]) > 1;
    return {{out[0], out[1], out[2], out[3]}, up ? 0.0 : -1.0, up};
  }
  void observe(const State& s, std::span<double> out) const {
    out[0] = float32(std::cos(s.theta1));
    out[1] = float32(std::sin(s.theta1));
    out[2] = float32(std::cos(s.theta2));
    out[3] = float32(std::sin(s.theta2));
    out[4] = float32(s.theta1_dot);
    out[5] = float32(s.theta2_dot);
  }
};

struct PlainMountainCar : MountainCar {
  Step<State> step(const State& s, int action, Rng&) const {
    double v = s.v + (action - 1) * 0.001 - 0.0025 * std::cos(3 * s.x);
    v = std::min(std::max(v, -0.07), 0.07);
    const double x = std::min(std::max(s.x + v, -1.2), 0.6);
    if (x == -1.2 && v < 0) v = 0;
    return {{x, v}, -1.0, x >= 0.5 && v >= 0};
  }
};

struct PlainMountainCarContinuous : MountainCarContinuous {
  Step<State> step(const State& s, const Action& a, Rng&) const {
    double v = s.v + std::min(std::max(a[0], -1.0), 1.0) * 0.0015 - 0.0025 * std::cos(3 * s.x);
    v = std::min(std::max(v, -0.07), 0.07);
    const double x = std::min(std::max(s.x + v, -1.2), 0.6);
    if (x == -1.2 && v < 0) v = 0;
    const bool up = x >= 0.45 && v >= 0;
    return {{float32(x), float32(v)}, (up ? 100.0 : 0.0) - 0.1 * a[0] * a[0], up};
  }
};

struct PlainPendulum : Pendulum {
  Step<State> step(const State& s, const Action& a, Rng&) const {
    const double u = std::min(std::max(a[0], -2.0), 2.0);
    double angle = std::fmod(s.theta + pi, 2 * pi);
    angle = (angle < 0 ? angle + 2 * pi : angle) - pi;
    const double cost = angle * angle + 0.1 * s.theta_dot * s.theta_dot + 0.001 * u * u;
    double w = s.theta_dot + (15 * std::sin(s.theta) + 3 * u) * 0.05;
    w = std::min(std::max(w, -8.0), 8.0);
    return {{s.theta + w * 0.05, w}, -cost, false};
  }
  void observe(const State& s, std::span<double> out) const {
    out[0] = float32(std::cos(s.theta));
    out[1] = float32(std::sin(s.theta));
    out[2] = float32(s.theta_dot);
  }
};

// ---- Two ways of stepping. Each is made of an environment and how many, and `step` is what is timed. ----

template <Environment E>
struct AtOnce {
  Stepper many;
  Array<double> vectors;
  AtOnce(const E& env, int n)
      : many(states_of(env)(n), env.T, 1, "vector-env"), vectors(zeros<double>(n, action_size<E>)) {}
  void step(const std::vector<typename E::Action>& a) {
    if constexpr (DiscreteEnvironment<E>) {
      many.step(a, {});
    } else {
      std::memcpy(vectors.data(), a.data(), a.size() * sizeof a[0]);
      many.step({}, vectors);
    }
  }
  const Array<Observed<E>>& observation() const { return *many.observation().template get<Observed<E>>(); }
};

template <Environment E>
struct PlainLoop {
  E env;
  std::vector<typename E::State> state;
  std::vector<Rng> rng;
  std::vector<std::uint32_t> t, episode;
  std::vector<double> reward;
  std::vector<char> terminated, truncated;
  Array<Observed<E>> x, final_x;

  static Rng rng_of(int i, std::uint32_t k) { return Rng(1, "vector-env", static_cast<std::uint32_t>(i), k); }
  PlainLoop(const E& e, int n)
      : env(e),
        t(n),
        episode(n),
        reward(n),
        terminated(n),
        truncated(n),
        x(zeros<Observed<E>>(n, e.observation)) {
    final_x = x;
    for (int i = 0; i < n; ++i) {
      rng.push_back(rng_of(i, 0));
      state.push_back(env.reset(rng.back()));
    }
  }
  void observe(const typename E::State& s, std::span<Observed<E>> out) const {
    if constexpr (std::same_as<Observed<E>, Written<E>>) {
      env.observe(s, out);
    } else {
      double o[8] = {};
      env.observe(s, o);
      for (std::size_t j = 0; j < out.size(); ++j) out[j] = static_cast<float>(o[j]);
    }
  }
  void step(const std::vector<typename E::Action>& a) {
    for (int i = 0; i < static_cast<int>(a.size()); ++i) {
      const auto k = static_cast<std::size_t>(i);
      rng[k].seek(t[k] + 1);
      const Step<typename E::State> step = env.step(state[k], a[k], rng[k]);
      state[k] = step.state;
      reward[k] = step.reward;
      terminated[k] = step.terminated;
      truncated[k] = ++t[k] == static_cast<std::uint32_t>(env.T);
      if (terminated[k] || truncated[k]) {
        observe(state[k], row(final_x, i));
        rng[k] = rng_of(i, ++episode[k]);
        state[k] = env.reset(rng[k]);
        t[k] = 0;
      }
      observe(state[k], row(x, i));
    }
  }
  const Array<Observed<E>>& observation() const { return x; }
};

// ---- Checked, then timed ----

/// Keeps the calling thread, while it lives, on another of its CPUs than the last one did.
class OneCpu {
 public:
  OneCpu() {
    sched_getaffinity(0, sizeof all_, &all_);
    static int turn = 0;
    int left = turn++ % CPU_COUNT(&all_), cpu = 0;
    while (!CPU_ISSET(cpu, &all_) || left-- > 0) ++cpu;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  OneCpu(const OneCpu&) = delete;
  OneCpu& operator=(const OneCpu&) = delete;
  ~OneCpu() { sched_setaffinity(0, sizeof all_, &all_); }

 private:
  cpu_set_t all_;
};

template <class Way, Environment E>
void time(benchmark::State& state, const E& env, int threads) {
  const int before = omp_get_max_threads(), n = static_cast<int>(state.range(0));
  omp_set_num_threads(threads);
  std::optional<OneCpu> here;
  if (threads == 1) here.emplace();
  Way way(env, n);
  const auto given = actions(env, n);
  std::size_t lap = 0;
  for (auto _ : state) {
    way.step(given[lap++ % laps]);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * n);
  omp_set_num_threads(before);
}

template <Environment E, Environment Plain>
void check_and_register(const std::string& id, const E& env, const Plain& plain) {
  constexpr int n = 4096;
  AtOnce<E> ours(env, n);
  PlainLoop<Plain> theirs(plain, n);
  const auto given = actions(env, n);
  double off = 0;
  for (const auto& a : given) {
    ours.step(a);
    theirs.step(a);
    for (std::size_t k = 0; k < theirs.x.size(); ++k)
      off = std::max(off, std::abs(static_cast<double>(ours.observation().data()[k]) -
                                   static_cast<double>(theirs.observation().data()[k])));
  }
  if (!(off <= 1e-5)) {
    std::fprintf(stderr, "%s: the two ways differ by %g\n", id.c_str(), off);
    std::exit(1);
  }
  const auto add = [&](const std::string& name, auto run) {
    benchmark::RegisterBenchmark((name + "/" + id).c_str(), run)
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime()
        ->Arg(4096)
        ->Arg(16384)
        ->Arg(65536);
  };
  add("plain_loop", [plain](benchmark::State& s) { time<PlainLoop<Plain>>(s, plain, 1); });
  add("at_once", [env](benchmark::State& s) { time<AtOnce<E>>(s, env, 1); });
  add("at_once_2_threads", [env](benchmark::State& s) { time<AtOnce<E>>(s, env, 2); });
}

}  // namespace
}  // namespace lowvar

int main(int argc, char** argv) {
  using namespace lowvar;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  check_and_register("CartPole-v1", CartPole{}, PlainCartPole{});
  check_and_register("CartPoleFriction-v0", FrictionCartPole{}, PlainFrictionCartPole{});
  check_and_register("Acrobot-v1", Acrobot{}, PlainAcrobot{});
  check_and_register("MountainCar-v0", MountainCar{}, PlainMountainCar{});
  check_and_register("MountainCarContinuous-v0", MountainCarContinuous{}, PlainMountainCarContinuous{});
  check_and_register("Pendulum-v1", Pendulum{}, PlainPendulum{});
  const TabularEnvironment lake(frozen_lake_4x4()), cliff(cliff_walking());
  check_and_register("FrozenLake-v1", lake, lake);
  check_and_register("CliffWalking-v0", cliff, cliff);
  minatar::for_each_world([]<class Game>(const minatar::World<Game>& world) {
    const minatar::MinAtar<Game> game{world.variant};
    if (world.id.ends_with("-v1")) check_and_register(world.id, game, game);
  });
#ifdef LOWVAR_MUJOCO
  register_mujoco();
#endif
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
