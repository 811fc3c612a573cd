// The gradient of a policy: forward and backward of the mean of -psi log pi(a|s) for a 4-64-64-2 tanh network
// in float. Every way of computing it is checked against every other before any is timed.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "bench/hand_written.h"
#include "nn/distributions.h"
#include "nn/mlp.h"

#if LOWVAR_WITH_LIBTORCH
#include <torch/torch.h>
#endif

namespace lowvar {
namespace {

using Gradient = std::vector<Array<float>>;

const Mlp mlp{.sizes = {4, 64, 64, 2}};

const Gradient& theta() {
  static const Gradient theta = [] {
    Rng rng(0, "init");
    const auto wide = initialise(mlp, rng);
    return Gradient(wide.begin(), wide.end());
  }();
  return theta;
}

struct Batch {
  Array<float> x, psi;
  std::vector<int> action;

  explicit Batch(int n) : x(zeros<float>(n, 4)), psi(zeros<float>(n, 1)) {
    for (int r = 0; r < n; ++r) {
      Rng rng(0, "batch", static_cast<std::uint32_t>(r));
      for (float& v : row(x, r)) v = static_cast<float>(rng.normal());
      psi(r, 0) = static_cast<float>(rng.normal());
      action.push_back(static_cast<int>(rng.bits() % 2));
    }
  }
};

// ---- Four ways. Each is made of a batch size, and its operator() is what is timed. ----

/// The engine, one tape for the whole batch.
struct Ours {
  Batch batch;
  explicit Ours(int n) : batch(n) {}

  Gradient operator()() const {
    Tape<float> tape;
    const auto parameters = tape.parameters(theta());
    const auto pi = Categorical<float>::from_logits(forward(mlp, parameters, tape.data(batch.x)));
    return grad(-mean(pi.log_prob(batch.action) * batch.psi), parameters);
  }
};

/// The engine, a tape for each 256 rows: what stays in cache, and what threads would share.
struct OursInShards {
  Batch batch;
  explicit OursInShards(int n) : batch(n) {}

  Gradient operator()() const {
    const int n = shape(batch.x).rows;
    const auto loss = [&](Tape<float>& tape, const std::vector<Var<float>>& parameters, int begin, int end) {
      const auto pi =
          Categorical<float>::from_logits(forward(mlp, parameters, tape.data(batch.x, begin, end)));
      const std::span action(batch.action.data() + begin, static_cast<std::size_t>(end - begin));
      return sum(pi.log_prob(action) * tape.data(batch.psi, begin, end)) * (-1.0f / static_cast<float>(n));
    };
    return sharded_value_and_grad(loss, theta(), n, HandWritten::shard).grad;
  }
};

struct ByHand {
  Batch batch;
  HandWritten gradient{theta()};
  explicit ByHand(int n) : batch(n) {}

  const Gradient& operator()() { return gradient(batch.x, batch.action, values(std::as_const(batch.psi))); }
};

#if LOWVAR_WITH_LIBTORCH
struct LibTorch {
  torch::Tensor x, psi, action;
  std::vector<torch::Tensor> parameters;

  static torch::Tensor copy(const Array<float>& a) {
    return torch::from_blob(const_cast<float*>(a.data()), {shape(a).rows, shape(a).cols}).clone();
  }
  explicit LibTorch(int n) {
    const Batch batch(n);
    x = copy(batch.x), psi = copy(batch.psi);
    const std::vector<std::int64_t> wide(batch.action.begin(), batch.action.end());
    action = torch::tensor(wide, torch::kInt64).unsqueeze(1);
    for (const auto& each : theta()) parameters.push_back(copy(each).requires_grad_());
  }

  std::vector<torch::Tensor> operator()() const {
    torch::Tensor h = x;
    for (std::size_t l = 0; l < parameters.size(); l += 2) {
      h = torch::addmm(parameters[l + 1], h, parameters[l]);
      if (l + 2 < parameters.size()) h = h.tanh();
    }
    const auto log_pi = h.log_softmax(1).gather(1, action);
    return torch::autograd::grad({-(log_pi * psi).mean()}, parameters);
  }
};

Gradient numbers(const std::vector<torch::Tensor>& g) {
  Gradient out;
  for (const auto& each : g)
    out.push_back(
        from_values<float>(static_cast<int>(each.size(0)), static_cast<int>(each.size(1)),
                           {each.contiguous().data_ptr<float>(), static_cast<std::size_t>(each.numel())}));
  return out;
}
#endif
const Gradient& numbers(const Gradient& g) { return g; }

// ---- Checked, then timed ----

double distance(const Gradient& a, const Gradient& b) {
  double off = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i)
    for (std::size_t j = 0; j < b[i].size(); ++j) {
      const double d = static_cast<double>(a[i].data()[j]) - static_cast<double>(b[i].data()[j]);
      off += d * d, size += std::pow(static_cast<double>(b[i].data()[j]), 2);
    }
  return std::sqrt(off / size);
}

template <class Way>
void time(benchmark::State& state) {
  Way way(static_cast<int>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(way());
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

template <class Way>
void check_and_register(const char* name, const std::vector<int>& sizes) {
  for (const int n : sizes) {
    ByHand reference(n);
    Way way(n);
    const auto result = way();
    const double off = distance(numbers(result), reference());
    if (!(off <= 1e-4)) {
      std::fprintf(stderr, "%s differs from the gradient by hand by %g for %d rows\n", name, off, n);
      std::exit(1);
    }
    benchmark::RegisterBenchmark(name, time<Way>)->Arg(n)->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace
}  // namespace lowvar

int main(int argc, char** argv) {
  using namespace lowvar;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("openblas_core", blas_core());
  benchmark::AddCustomContext("openmp_threads", std::to_string(omp_get_max_threads()));
  const std::vector<int> sizes{1, 64, 256, 1024, 4096};
  check_and_register<Ours>("ours", sizes);
  check_and_register<OursInShards>("ours_in_shards", {1024, 4096});
  check_and_register<ByHand>("hand_written", sizes);
#if LOWVAR_WITH_LIBTORCH
  at::set_num_threads(1);
  benchmark::AddCustomContext("libtorch_threads", std::to_string(at::get_num_threads()));
  check_and_register<LibTorch>("libtorch", sizes);
#endif
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
