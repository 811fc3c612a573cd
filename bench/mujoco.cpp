// Stepping worlds on MuJoCo, one and two at once, against a plain loop over mj_step on the same model from
// the same starts under the same controls. Both have to end in the same positions before either is timed.
#include "bench/mujoco.h"

#include <benchmark/benchmark.h>
#include <mujoco/mujoco.h>
#include <omp.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "algorithms/data/stepper.h"
#include "core/parallel.h"
#include "envs/mujoco/mujoco.h"

namespace lowvar {
namespace {

constexpr int steps = 250;  // of a lap

/// n worlds, steps under actions that are prepared, and the states in which they begin: at 0, and again
/// behind each end.
template <std::size_t m>
struct Lap {
  Mujoco<m> env;
  int n;
  std::vector<Array<double>> actions;
  std::vector<std::vector<std::vector<double>>> starts;  // [n][steps], empty where nothing begins

  Lap(const char* id, int worlds) : env(id), n(worlds), starts(n) {
    Rng rng(1, "actions");
    for (int t = 0; t < steps; ++t) {
      actions.push_back(zeros<double>(n, static_cast<int>(m)));
      for (int i = 0; i < n; ++i) {
        const auto a = random_action(env, rng);
        std::copy(a.begin(), a.end(), row(actions.back(), i).begin());
      }
    }
  }
  std::unique_ptr<Stepper> begin(int count, int first) const {
    return std::make_unique<Stepper>(states_of(env)(count), env.T, 1, "worlds", first);
  }
};

/// A thread's part of the plain loop.
template <std::size_t m>
void plain_loop(const Lap<m>& lap, const mjModel& model, int frame_skip, int i, mjData& d) {
  for (int t = 0; t < steps; ++t) {
    if (const auto& start = lap.starts[static_cast<std::size_t>(i)][static_cast<std::size_t>(t)];
        !start.empty()) {
      mju_copy(d.qpos, start.data(), model.nq);
      mju_copy(d.qvel, start.data() + model.nq, model.nv);
      mju_copy(d.qacc_warmstart, start.data() + model.nq + model.nv, model.nv);
    }
    mju_copy(d.ctrl, row(lap.actions[static_cast<std::size_t>(t)], i).data(), model.nu);
    for (int k = 0; k < frame_skip; ++k) mj_step(&model, &d);
  }
}

using Data = std::unique_ptr<mjData, void (*)(mjData*)>;

template <std::size_t m>
void add(const char* id, int frame_skip) {
  for (const int n : {1, 2}) {
    const auto lap = std::make_shared<Lap<m>>(id, n);
    const mjModel& model = *lap->env.engine_model();
    const auto many = lap->begin(n, 0);
    const auto bytes = [&](int i) {
      std::vector<std::byte> out;
      many->states().save(i, out);
      std::vector<double> state(out.size() / sizeof(double));
      std::memcpy(state.data(), out.data(), out.size());
      return state;
    };
    for (int i = 0; i < n; ++i) lap->starts[static_cast<std::size_t>(i)] = {bytes(i)};
    for (int t = 0; t < steps; ++t) {
      many->step({}, lap->actions[static_cast<std::size_t>(t)]);
      for (int i = 0; i < n; ++i) {
        const bool begins =
            many->terminated()[static_cast<std::size_t>(i)] || many->truncated()[static_cast<std::size_t>(i)];
        lap->starts[static_cast<std::size_t>(i)].push_back(begins ? bytes(i) : std::vector<double>());
      }
    }
    std::vector<Data> data;
    for (int i = 0; i < n; ++i) {
      data.emplace_back(mj_makeData(&model), mj_deleteData);
      plain_loop(*lap, model, frame_skip, i, *data.back());
      const std::vector<double> end = bytes(i);
      if (lap->starts[static_cast<std::size_t>(i)].back().empty() &&
          std::memcmp(data.back()->qpos, end.data(), sizeof(double) * static_cast<std::size_t>(model.nq)) !=
              0) {
        std::fprintf(stderr, "%s: the two ways end in different positions\n", id);
        std::exit(1);
      }
    }

    const auto run = [&](const char* name, auto timed) {
      benchmark::RegisterBenchmark((std::string(name) + "/" + id).c_str(),
                                   [n, timed](benchmark::State& s) {
                                     timed(s);
                                     s.SetItemsProcessed(s.iterations() * n * steps);
                                   })
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime()
          ->Arg(n);
    };
    // Each world by itself, as they are sampled and collected.
    const auto ours = [lap](int threads) {
      return [lap, threads](benchmark::State& s) {
        const int before = omp_get_max_threads();
        omp_set_num_threads(threads);
        std::vector<std::unique_ptr<Stepper>> worlds;
        std::vector<std::vector<std::byte>> begin;
        for (int i = 0; i < lap->n; ++i) {
          worlds.push_back(lap->begin(1, i));
          begin.push_back(worlds.back()->save());
        }
        for (auto _ : s)
          parallel_for(lap->n, [&](int i) {
            Stepper& world = *worlds[static_cast<std::size_t>(i)];
            world.restore(begin[static_cast<std::size_t>(i)]);
            Array<double> action = zeros<double>(1, static_cast<int>(m));
            for (const auto& a : lap->actions) {
              std::copy(row(a, i).begin(), row(a, i).end(), action.begin());
              world.step({}, action);
            }
          });
        omp_set_num_threads(before);
      };
    };
    run("plain_loop", [lap, &model, frame_skip, n](benchmark::State& s) {
      const Data d(mj_makeData(&model), mj_deleteData);
      for (auto _ : s)
        for (int i = 0; i < n; ++i) plain_loop(*lap, model, frame_skip, i, *d);
    });
    run("at_once", ours(1));
    run("at_once_2_threads", ours(2));
  }
}

}  // namespace

void register_mujoco() {
  add<8>("Ant-v5", 5);
  add<6>("HalfCheetah-v5", 5);
  add<3>("Hopper-v5", 4);
  add<1>("InvertedDoublePendulum-v5", 5);
  add<1>("InvertedPendulum-v5", 2);
  add<2>("Reacher-v5", 2);
  add<2>("Swimmer-v5", 4);
  add<6>("Walker2d-v5", 4);
}

}  // namespace lowvar
