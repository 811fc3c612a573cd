// Prints a hash of every gradient that the promise of unchanging bits covers: run by test_ci_determinism once
// for each number of threads and family of OpenBLAS kernels. The first line names the kernels.
#include <cmath>
#include <cstdio>
#include <string>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/blas.h"
#include "nn/distributions.h"
#include "nn/mlp.h"

namespace lowvar {
namespace {

constexpr int rows = 1000, shard = 128, per_group = 10;

template <class T>
struct Problem {
  Mlp mlp;
  std::vector<Array<T>> theta, direction;
  Array<T> x, psi, weights;
  std::vector<int> action;

  explicit Problem(const std::vector<int>& sizes)
      : mlp{.sizes = sizes},
        x(zeros<T>(rows, sizes.front())),
        psi(zeros<T>(rows, 1)),
        weights(zeros<T>(rows, 3)) {
    Rng rng(0, "gradient-hashes");
    for (const auto& each : initialise(mlp, rng)) {
      theta.emplace_back(each);
      direction.push_back(zeros_like(theta.back()));
    }
    const auto fill = [&](Array<T>& a) {
      for (T& each : values(a)) each = static_cast<T>(rng.normal());
    };
    for (auto& each : direction) fill(each);
    fill(x), fill(psi), fill(weights);
    for (int r = 0; r < rows; ++r) action.push_back(static_cast<int>(rng.uniform() * sizes.back()));
  }

  Categorical<T> pi(Tape<T>& tape, const std::vector<Var<T>>& p, int begin, int end) const {
    return Categorical<T>::from_logits(forward(mlp, p, tape.data(x, begin, end)));
  }
  Var<T> log_prob(Tape<T>& tape, const std::vector<Var<T>>& p, int begin, int end) const {
    return pi(tape, p, begin, end).log_prob({action.data() + begin, static_cast<std::size_t>(end - begin)});
  }
  /// -sum psi log pi(a|s) over rows [begin, end).
  Var<T> loss(Tape<T>& tape, const std::vector<Var<T>>& p, int begin, int end) const {
    return -sum(log_prob(tape, p, begin, end) * tape.data(psi, begin, end));
  }
  /// The sum over rows of KL(pi_theta' || pi_theta) with theta' held where theta is.
  Var<T> kl_of(Tape<T>& tape, const std::vector<Var<T>>& p, int begin, int end) const {
    const auto here = pi(tape, p, begin, end);
    return sum(kl(Categorical<T>{stop_gradient(here.log_p)}, here));
  }

  std::vector<Array<T>> plain() const {
    Tape<T> tape;
    const auto p = tape.parameters(theta);
    return grad(loss(tape, p, 0, rows), p);
  }
  std::vector<Array<T>> sharded() const {
    const auto f = [&](Tape<T>& tape, const std::vector<Var<T>>& p, int begin, int end) {
      return loss(tape, p, begin, end);
    };
    return sharded_value_and_grad(f, theta, rows, shard).grad;
  }
  /// Three weightings of each group of rows [begin, end).
  Array<T> groups(int begin, int end) const {
    Tape<T> tape;
    const auto p = tape.parameters(theta);
    std::vector<int> offset;
    for (int r = begin; r <= end; r += per_group) offset.push_back(r - begin);
    const auto w = values(weights).subspan(static_cast<std::size_t>(3 * begin),
                                           static_cast<std::size_t>(3 * (end - begin)));
    return grouped_grad(log_prob(tape, p, begin, end), p, offset, from_values<T>(end - begin, 3, w));
  }
  /// All rows in one graph, then in parts that threads share.
  std::vector<Array<T>> grouped() const { return {groups(0, rows)}; }
  std::vector<Array<T>> grouped_in_parts() const {
    std::vector<Array<T>> out;
    ordered_reduce(
        10, [&](int i) { return groups(i * rows / 10, (i + 1) * rows / 10); },
        [&](int, Array<T> part) { out.push_back(std::move(part)); });
    return out;
  }
  std::vector<Array<T>> product(int begin, int end) const {
    Tape<T> tape;
    const auto p = tape.parameters(theta);
    auto out = direction;
    hvp_into(out, kl_of(tape, p, begin, end), p, direction);
    return out;
  }
  std::vector<Array<T>> hessian_product() const { return product(0, rows); }
  std::vector<Array<T>> hessian_product_in_parts() const {
    std::vector<Array<T>> out;
    ordered_reduce(
        10, [&](int i) { return product(i * rows / 10, (i + 1) * rows / 10); },
        [&](int, std::vector<Array<T>> part) {
          for (auto& each : part) out.push_back(std::move(each));
        });
    return out;
  }
};

template <class T>
void print(const char* name, const std::vector<Array<T>>& arrays) {
  XXH64_state_t state;
  XXH64_reset(&state, 0);
  for (const auto& a : arrays) {
    for (const T each : values(a)) expect(std::isfinite(each), name, ": a gradient is not finite");
    XXH64_update(&state, a.data(), a.size() * sizeof(T));
  }
  std::printf("%s %016llx\n", name, static_cast<unsigned long long>(XXH64_digest(&state)));
}

template <class T>
void print_all(const std::vector<int>& sizes, const std::string& net) {
  const Problem<T> problem(sizes);
  print((net + " plain").c_str(), problem.plain());
  print((net + " sharded").c_str(), problem.sharded());
  print((net + " grouped").c_str(), problem.grouped());
  print((net + " grouped, in parts").c_str(), problem.grouped_in_parts());
  print((net + " hvp").c_str(), problem.hessian_product());
  print((net + " hvp, in parts").c_str(), problem.hessian_product_in_parts());
}

}  // namespace
}  // namespace lowvar

int main() {
  using namespace lowvar;
  std::printf("%s\n", blas_core().c_str());
  for (const std::vector<int>& sizes : {std::vector{4, 64, 64, 2}, std::vector{17, 256, 256, 6}}) {
    const std::string net = sizes[1] == 64 ? "4-64-64-2" : "17-256-256-6";
    print_all<float>(sizes, net + " f32");
    print_all<double>(sizes, net + " f64");
  }
}
