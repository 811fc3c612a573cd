// Times the engine against its rivals on one network: bench_engine NET ROWS [SECONDS]. Prints a line for each
// row and adds it to the file ROWS as a line of JSON. Every answer is compared before it is timed; bench/run
// starts this once for each network.
#include <cstdio>
#include <cstdlib>

#include "algorithms/estimators/gradient.h"
#include "algorithms/measure/moments.h"
#include "bench/hand_written.h"
#include "bench/interleave.h"
#include "bench/report.h"
#include "nn/distributions.h"

#if LOWVAR_WITH_LIBTORCH
#include "bench/libtorch.h"
#endif

namespace lowvar {
namespace {

constexpr int shard = HandWritten::shard;
constexpr double tolerance = 2e-4;  // of what two answers may differ by

// ---- What is timed, as a user of the engine writes it ----

template <class T>
Categorical<T> policy_of(const Mlp& mlp, const std::vector<Var<T>>& theta, Var<T> x) {
  return Categorical<T>::from_logits(forward(mlp, theta, x));
}

/// Forward and backward of the mean of -psi log pi(a|s), in shards.
FloatArrays policy_gradient(const Problem& p) {
  const int n = p.rows();
  const auto loss = [&](Tape<float>& tape, const std::vector<Var<float>>& theta, int begin, int end) {
    const auto pi = policy_of(p.mlp, theta, tape.data(borrow(p.x), begin, end));
    return sum(pi.log_prob(p.actions(begin, end)) * tape.data(borrow(p.psi), begin, end)) *
           (-1.0f / static_cast<float>(n));
  };
  return sharded_value_and_grad(loss, p.theta, n, shard).grad;
}

/// The Hessian of the mean KL from the policy to itself, held fixed, times p.direction.
FloatArrays hessian_product(const Problem& p) {
  const int n = p.rows();
  const auto mean_kl = [&](Tape<float>& tape, const std::vector<Var<float>>& theta, int begin, int end) {
    const auto pi = policy_of(p.mlp, theta, tape.data(borrow(p.x), begin, end));
    return sum(kl(Categorical<float>{stop_gradient(pi.log_p)}, pi)) * (1.0f / static_cast<float>(n));
  };
  return sharded_hvp(mean_kl, p.theta, p.direction, n, shard);
}

/// Row r of `out` is psi_r times the gradient of log pi(a_r|s_r).
void per_sample(const Problem& p, const std::vector<int>& offset, Array<float>& out) {
  const auto log_prob = [&](Tape<float>& tape, const std::vector<Var<float>>& theta, int begin, int end) {
    return policy_of(p.mlp, theta, tape.data(borrow(p.x), begin, end)).log_prob(p.actions(begin, end));
  };
  sharded_grouped_grad_into(values(out), log_prob, p.theta, offset, p.psi, shard);
}

// ---- Rows ----

struct Bench {
  std::string net;
  std::vector<int> sizes;
  double seconds;  // for each row
  Report& report;

  static std::string label(int rows, int threads) { return join("f32/b", rows, "/t", threads); }
  static void use_threads(int threads) {
#if LOWVAR_WITH_LIBTORCH
    LibTorch::use_threads(threads);
#endif
    omp_set_num_threads(threads);
  }

  void add(const std::string& theme, const std::string& size, const std::vector<Timing>& timings,
           const std::vector<std::pair<std::string, double>>& more = {}) {
    report.add(theme + "/" + net + "/" + size, timings, more);
  }

  void policy_gradients(int rows, int threads, bool with_libtorch) {
    use_threads(threads);
    const Problem p(sizes, rows);
    HandWritten hand(p, threads);
    must_agree("the engine and the gradient by hand", flat(policy_gradient(p)), flat(hand()), tolerance);
    std::vector<Way> ways{{"ours", [&] { policy_gradient(p); }},
                          {"hand", [&] { hand(); }},
                          {"kernels", [&] { hand.products_and_tanh(); }}};
#if LOWVAR_WITH_LIBTORCH
    LibTorch torch(p);
    if (with_libtorch) {
      torch.policy_gradient();
      must_agree("LibTorch and the gradient by hand", flat(torch.result()), flat(hand()), tolerance);
      ways.push_back({"libtorch", [&] { torch.policy_gradient(); }});
    }
#else
    (void)with_libtorch;
#endif
    add("policy_gradient", label(rows, threads),
        interleave(ways, seconds, threads == 1 ? Clock::thread : Clock::wall));
  }

  void hessian_products(int rows) {
    use_threads(1);
    const Problem p(sizes, rows);
    std::vector<Way> ways{{"ours", [&] { hessian_product(p); }}};
#if LOWVAR_WITH_LIBTORCH
    LibTorch torch(p);
    torch.hessian_product();
    must_agree("the Hessian products of the engine and LibTorch", flat(hessian_product(p)),
               flat(torch.result()), tolerance);
    ways.push_back({"libtorch", [&] { torch.hessian_product(); }});
#endif
    add("hvp", label(rows, 1), interleave(ways, seconds, Clock::thread));
  }

  void per_samples(int rows) {
    use_threads(1);
    const Problem p(sizes, rows);
    std::vector<int> offset(static_cast<std::size_t>(rows) + 1);
    for (std::size_t r = 0; r < offset.size(); ++r) offset[r] = static_cast<int>(r);
    int d = 0;
    for (const auto& each : p.theta) d += static_cast<int>(each.size());
    auto out = zeros<float>(rows, d);
    per_sample(p, offset, out);
    for (const int r : {0, rows / 2, rows - 1}) {
      Problem one(sizes, 1);
      one.theta = p.theta, one.action = {p.action[static_cast<std::size_t>(r)]}, one.psi(0, 0) = -p.psi(r, 0);
      std::copy_n(row(p.x, r).begin(), sizes.front(), one.x.begin());
      HandWritten hand(one, 1);
      const auto ours = row(out, r);
      must_agree("the gradient of a sample", {ours.begin(), ours.end()}, flat(hand()), tolerance);
    }
    volatile float stored = 1;
    const auto store = [&] {
      const float x = stored;
      float* to = out.data();
      for (std::size_t k = 0; k < out.size(); ++k) to[k] = x;
    };
    add("per_sample", label(rows, 1),
        interleave({{"ours", [&] { per_sample(p, offset, out); }}, {"store", store}}, seconds,
                   Clock::thread));
  }

  /// Moments of the estimates of 64 trajectories of 200 steps, in the shards and with the functions that
  /// measure() uses, against one plain gradient of the same rows.
  void moments(const std::vector<std::string>& names) {
    use_threads(1);
    constexpr int N = 64, T = 200, of_shard = 32;
    const Problem p(sizes, N * T);
    const Policy policy{p.mlp};
    const std::vector<Array<double>> theta(p.theta.begin(), p.theta.end());
    std::vector<Trajectories> batches;
    Rng rng(0, "moments");
    for (int first = 0; first < N; first += of_shard) {
      Trajectories& b = batches.emplace_back();
      Array<double> seen = zeros<double>(of_shard * T, sizes.front());
      for (double& each : values(seen)) each = rng.normal();
      b.observation = std::move(seen);
      for (int i = 0; i < of_shard; ++i) {
        b.offset.push_back((i + 1) * T);
        for (int t = 0; t < T; ++t) {
          b.action.push_back(static_cast<int>(rng.uniform() * sizes.back()));
          b.reward.push_back(rng.normal());
          b.log_mu.push_back(0);
          b.value.push_back(rng.normal());
          b.next_value.push_back(rng.normal());
        }
      }
    }
    std::vector<Estimator> estimators;
    for (const auto& name : names) estimators.push_back(make_estimator(name));
    std::vector<const Estimator*> each;
    for (const auto& e : estimators) each.push_back(&e);
    Constants constants;
    constants.gamma = 0.99;
    const auto streamed = [&] {
      std::vector<Moments> total(estimators.size());
      for (const auto& b : batches) {
        const auto g = estimate(each, policy, theta, b, b.offset, constants);
        for (std::size_t k = 0; k < g.size(); ++k) total[k].merge(Moments::of(g[k], g[0]));
      }
      return total;
    };
    const auto plain = [&] {
      std::vector<Array<double>> total;
      for (const auto& b : batches) {
        const Array<double> psi = estimators.front().weights(b, constants);
        const auto loss = [&](Tape<double>& tape, const std::vector<Var<double>>& w, int begin, int end) {
          const auto pi = policy_of(p.mlp, w, tape.data(borrow(*b.observation.get<double>()), begin, end));
          const std::span action(b.action.data() + begin, static_cast<std::size_t>(end - begin));
          return sum(pi.log_prob(action) * tape.data(borrow(psi), begin, end));
        };
        auto g = sharded_value_and_grad(loss, theta, b.rows(), shard).grad;
        if (total.empty()) total = zeros_of(g);
        for (std::size_t k = 0; k < g.size(); ++k) total[k] += g[k];
      }
      return total;
    };
    auto mean = flat(plain());
    for (double& x : mean) x /= N;
    must_agree("the mean of the estimates and the gradient", streamed().front().mean, mean, tolerance);
    add("moments/trajectory", join("f64/b", N * T, "/t1/k", names.size()),
        interleave({{"ours", [&] { streamed(); }}, {"plain", [&] { plain(); }}}, seconds, Clock::thread));
  }

  /// How much faster two threads are than one.
  void scaling(int rows) {
    const Problem p(sizes, rows);
    HandWritten one(p, 1), two(p, 2);
    const auto ours = [&] { policy_gradient(p); };
    // A change of their number ends OpenMP's threads: those that are timed have run before.
    const auto on = [&](std::string name, int threads, std::function<void()> run) {
      return Way{std::move(name), run, [threads, run] { use_threads(threads), run(); }};
    };
    const auto t = interleave({on("ours_t1", 1, ours), on("ours", 2, ours), on("hand_t1", 1, [&] { one(); }),
                               on("hand", 2, [&] { two(); })},
                              3 * seconds, Clock::wall);
    add("scaling", label(rows, 2), t,
        {{"ours_scaling", t[0].median_us / t[1].median_us},
         {"hand_scaling", t[2].median_us / t[3].median_us}});
  }

 private:
  static std::vector<Array<double>> zeros_of(const std::vector<Array<double>>& like) {
    std::vector<Array<double>> out;
    for (const auto& each : like) out.push_back(zeros_like(each));
    return out;
  }
};

int run(int argc, char** argv) {
  const std::string net = argc > 1 ? argv[1] : "";
  if (argc < 3 || argc > 4 || (net != "4-64-64-2" && net != "17-256-256-6")) {
    std::fprintf(stderr, "usage: bench_engine 4-64-64-2|17-256-256-6 ROWS [SECONDS]\n");
    return 2;
  }
  Report report(argv[2]);
  const double seconds = argc > 3 ? std::atof(argv[3]) : 2;
  std::printf("# %s: OpenBLAS kernels %s, g++ %s, LibTorch %s\n", net.c_str(), blas_core().c_str(),
              __VERSION__, LOWVAR_WITH_LIBTORCH ? "yes" : "no");
  if (net == "17-256-256-6") {
    Bench bench{net, {17, 256, 256, 6}, seconds, report};
    for (const int rows : {256, 1024, 4096}) bench.policy_gradients(rows, 1, true);
    bench.hessian_products(1024);
    return 0;
  }
  Bench bench{net, {4, 64, 64, 2}, seconds, report};
  for (const int rows : {1, 64, 256, 1024, 4096}) bench.policy_gradients(rows, 1, true);
  for (const int rows : {16384, 65536, 262144, 1048576}) bench.policy_gradients(rows, 1, false);
  for (const int rows : {1024, 8192}) bench.hessian_products(rows);
  bench.per_samples(16384);
  bench.moments({"gae:0.95"});
  bench.moments({"gae:0.95", "togo", "togo-value", "td"});
  bench.moments({"gae:0.95", "togo", "togo-value", "td", "nstep:2", "nstep:5", "gae:0.5", "gae:0.99"});
  bench.policy_gradients(65536, 2, true);
  bench.scaling(65536);
  return 0;
}

}  // namespace
}  // namespace lowvar

int main(int argc, char** argv) {
  try {
    return lowvar::run(argc, argv);
  } catch (const lowvar::Error& e) {
    std::fprintf(stderr, "bench_engine: %s\n", e.what());
    return 2;
  }
}
